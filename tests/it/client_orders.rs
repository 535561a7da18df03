//! In whatever order an `AuthRefresh` and its client are set up, and wherever a clone of it is taken: no token goes where a
//! redirect leads out of the origins. What would break that does not compile; those cases stand in `src/must_not_compile.rs`.

mod flagged;
mod world;

use std::time::Duration;

use reqwest_auth_refresh::{AuthClientBuilder, AuthRefresh, OwnClient, Placement};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};

use crate::torture::rounds;
use world::{Pass, Place, World, permutations};

/// One call on an `AuthRefresh`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Call {
    Exclude,
    RequireLogin,
    EarlyWait,
    UnauthorizedWhen,
    Scheme,
    Placement,
}

/// One call on the builder of its client.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Build {
    Outside,
    Inside,
    Also,
}

/// Both forms of the type, so that calls can come in any order.
#[derive(Clone)]
enum Auth {
    Any(AuthRefresh),
    Own(AuthRefresh<OwnClient>),
}

fn call_on_both<C>(auth: AuthRefresh<C>, call: Call) -> AuthRefresh<C> {
    match call {
        Call::Exclude => auth.exclude("/login"),
        Call::RequireLogin => auth.require_login(),
        Call::EarlyWait => auth.early_wait(Duration::from_millis(1)),
        Call::UnauthorizedWhen => auth.unauthorized_when(|head| head.status() == 419),
        Call::Scheme | Call::Placement => unreachable!("these differ"),
    }
}

impl Auth {
    fn call(self, call: Call) -> Self {
        match (self, call) {
            (Self::Any(auth), Call::Scheme) => Self::Any(auth.scheme("Token").unwrap()),
            (Self::Own(_), Call::Scheme) => panic!("does not compile"),
            (Self::Any(auth), Call::Placement) => Self::Own(auth.placement(Placement::header("X-Token", "").unwrap())),
            (Self::Own(auth), Call::Placement) => Self::Own(auth.placement(Placement::header("X-Token", "").unwrap())),
            (Self::Any(auth), call) => Self::Any(call_on_both(auth, call)),
            (Self::Own(auth), call) => Self::Own(call_on_both(auth, call)),
        }
    }

    fn client_builder(&self) -> AuthClientBuilder {
        match self {
            Self::Any(auth) => auth.client_builder(reqwest::Client::builder()),
            Self::Own(auth) => auth.client_builder(reqwest::Client::builder()),
        }
    }

    /// A plain middleware over a plain client, where that compiles.
    fn over_any_client(&self) -> Option<ClientWithMiddleware> {
        match self {
            Self::Any(auth) => Some(ClientBuilder::new(reqwest::Client::new()).with(auth.clone()).build()),
            Self::Own(_) => None,
        }
    }
}

/// Every order of calls that compiles.
fn orders() -> Vec<Vec<Call>> {
    use Call::{EarlyWait, Exclude, Placement, RequireLogin, Scheme, UnauthorizedWhen};
    let common = [Exclude, RequireLogin, EarlyWait, UnauthorizedWhen];
    let placing: [&[Call]; 4] = [&[], &[Scheme], &[Placement], &[Scheme, Placement]];
    let orders = placing.into_iter().flat_map(|placing| permutations(&[&common, placing].concat()));
    let at = |order: &[Call], call| order.iter().position(|other| *other == call);
    orders.filter(|order| at(order, Placement).is_none() || at(order, Scheme) < at(order, Placement)).collect()
}

fn builds() -> Vec<Vec<Build>> {
    permutations(&[Build::Outside, Build::Inside, Build::Also])
}

/// One program: an order of calls, a place where a clone is taken, and whether the clone is used before the rest is called.
struct Program<'a> {
    calls: &'a [Call],
    builds: &'a [Build],
    cloned_at: usize,
    clone_first: bool,
}

impl Program<'_> {
    /// Places where a clone can be taken: before each call, and at the end.
    fn places(calls: &[Call], builds: &[Build]) -> usize {
        calls.len() + builds.len() + 1
    }

    async fn run(&self, world: &mut World) {
        let also = world.auth(Place::Billing).placement(Placement::header("X-Billing", "").unwrap());
        let build = |builder: AuthClientBuilder, build: Build| match build {
            Build::Outside => builder.outside(Pass),
            Build::Inside => builder.inside(Pass),
            Build::Also => builder.also(&also),
        };
        let mut auth = Auth::Any(world.auth(Place::Api));
        let mut clone = None;
        for (at, call) in self.calls.iter().enumerate() {
            if at == self.cloned_at {
                clone = Some(auth.clone());
            }
            auth = auth.call(*call);
        }
        let mut builder = auth.client_builder();
        for (at, call) in self.builds.iter().enumerate() {
            if at + self.calls.len() == self.cloned_at {
                clone = Some(auth.clone());
            }
            builder = build(builder, *call);
        }
        // A clone that is taken late is changed once more, which is to change no client that there is.
        let clone = clone.unwrap_or_else(|| auth.clone().call(Call::Placement));
        let of_clone =
            || self.builds.iter().fold(clone.client_builder(), |builder, call| build(builder, *call)).build().unwrap();
        let mut clients = Vec::new();
        if self.clone_first {
            clients.extend([Some(of_clone()), clone.over_any_client()].into_iter().flatten());
            for client in &clients {
                world.send_all(client).await;
            }
        }
        let client = builder.build().unwrap();
        clients.extend([Some(client), auth.over_any_client()].into_iter().flatten());
        if !self.clone_first {
            clients.extend([Some(of_clone()), clone.over_any_client()].into_iter().flatten());
        }
        for client in &clients {
            world.send_all(client).await;
        }
    }
}

/// Every order, with a clone at another place each time.
#[tokio::test]
async fn no_order_of_calls_lets_a_token_out() {
    let mut world = World::new().await;
    let (orders, builds) = (orders(), builds());
    for (nth, calls) in orders.iter().enumerate() {
        let builds = &builds[nth % builds.len()];
        let cloned_at = nth / 6 % Program::places(calls, builds);
        let program = Program { calls, builds, cloned_at, clone_first: nth % 4 < 2 };
        program.run(&mut world).await;
    }
    println!("figure: client_orders = {} orders", orders.len());
    println!("figure: client_order_leaks = {} tokens", world.leaks());
    // 24 without a placement, 120 with either, and half of 720 with both.
    assert_eq!((orders.len(), world.leaks()), (24 + 120 + 120 + 360, 0));
    assert!(world.signed() > 4 * orders.len(), "{} requests carried tokens", world.signed());
}

/// Every order of both kinds of calls, with a clone at every place.
#[tokio::test]
#[ignore = "torture: 35,000 programs with three clients each"]
async fn torture_no_order_of_calls_with_a_clone_anywhere_lets_a_token_out() {
    let mut world = World::new().await;
    let (orders, builds) = (orders(), builds());
    let all = orders.iter().flat_map(|calls| builds.iter().map(move |builds| (calls, builds)));
    let all: Vec<_> = all
        .flat_map(|(calls, builds)| (0..Program::places(calls, builds)).map(move |place| (calls, builds, place)))
        .collect();
    let programs = rounds(all.len());
    for nth in 0..programs {
        let (calls, builds, cloned_at) = all[nth * all.len() / programs];
        Program { calls, builds, cloned_at, clone_first: nth % 2 == 0 }.run(&mut world).await;
    }
    println!("figure: client_order_torture_programs = {programs} programs");
    println!("figure: client_order_torture_leaks = {} tokens", world.leaks());
    assert_eq!(world.leaks(), 0);
    assert!(world.signed() > 4 * programs);
}

/// The control: a flag that all clones share lets tokens out in the same world: in each order that widens after the guard, and
/// by each clone that is put into another client.
#[tokio::test]
async fn control_a_flag_that_clones_share_lets_tokens_out() {
    let mut world = World::new().await;
    let programs = flagged::run_all(&mut world).await;
    println!("figure: client_order_control_orders = {programs} orders");
    let stolen = world.seen(Place::Api, Place::Thief);
    println!("figure: client_order_control_leaks = {stolen} tokens");
    assert_eq!((programs, stolen), (24, 12 + 24));
}

/// Its client takes what is dangerous over any client, and is as safe with it.
#[tokio::test]
async fn what_was_opened_is_safe_in_a_client_of_its_own() {
    let mut world = World::new().await;
    let auth = world.auth(Place::Api).placement(Placement::header("X-Token", "").unwrap());
    let opened = auth.dangerous_over_any_client();
    world.send_all(&opened.client(reqwest::Client::builder()).unwrap()).await;
    assert_eq!(world.leaks(), 0);
    world.send_all(&ClientBuilder::new(reqwest::Client::new()).with(opened).build()).await;
    assert_eq!(world.leaks(), 2, "to the thief, and to the other API");
}

/// What another middleware may have, in the same client or in another one, is no place for the tokens of this one.
#[tokio::test]
async fn what_is_allowed_to_another_is_not_allowed_to_this_one() {
    let mut world = World::new().await;
    let api = world.auth(Place::Api).placement(Placement::header("X-Token", "").unwrap());
    let both = world.auth_for(Place::Billing, [Place::Billing, Place::Api]);
    let both = both.placement(Placement::header("X-Billing", "").unwrap());
    let builder = reqwest::Client::builder;
    let outside = both.client_builder(builder()).also(&api).build().unwrap();
    for client in
        [api.client_builder(builder()).also(&both).build().unwrap(), outside.clone(), api.client(builder()).unwrap()]
    {
        assert_eq!(world.send(&client, Place::Api, 307, Place::Billing).await, 307);
    }
    assert_eq!(world.seen(Place::Api, Place::Billing), 0);
    // Its own redirects are as free as its own origins.
    assert_eq!(world.send(&outside, Place::Billing, 307, Place::Api).await, 200);
    assert_eq!(world.send(&outside, Place::Billing, 307, Place::Thief).await, 307);
    assert_eq!(world.seen(Place::Billing, Place::Thief), 0);
}
