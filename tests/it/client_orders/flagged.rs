//! The control: a guard as one would write it first, out of public parts. It makes a client builder fit for the origins of
//! that moment, and remembers in a flag, which all clones share, that it did.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Extensions;
use reqwest::redirect::Policy;
use reqwest::{Request, Response, Url};
use reqwest_auth_refresh::{AuthRefresh, Origins, Placement, async_trait};
use reqwest_middleware::{ClientBuilder, Middleware, Next};

use super::world::{Place, World, permutations};

#[derive(Debug, Clone, Copy)]
enum Call {
    Exclude,
    RequireLogin,
    Guard,
    /// Tokens go to another place too.
    Widen,
}

#[derive(Clone)]
struct Flagged {
    auth: AuthRefresh,
    origins: Origins,
    guarded: Arc<AtomicBool>,
}

impl Flagged {
    /// An `AuthRefresh` cannot be widened any more, so a wide one takes the place of the narrow one.
    fn auth(world: &World, wide: bool) -> (AuthRefresh, Origins) {
        let places = if wide { [Place::Api, Place::Billing] } else { [Place::Api, Place::Api] };
        let [first, second] = places.map(|place| world.url(place));
        let auth = world.auth_for(Place::Api, places).placement(Placement::header("X-Token", "").unwrap());
        (auth.dangerous_over_any_client(), Origins::new(first).unwrap().and(second).unwrap())
    }

    fn guard(&self, builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
        self.guarded.store(true, Ordering::Release);
        let origins = self.origins.clone();
        builder.referer(false).redirect(Policy::custom(move |attempt| {
            let first: &Url = attempt.previous().first().unwrap();
            if !origins.allows(first) || origins.allows(attempt.url()) {
                Policy::default().redirect(attempt)
            } else {
                attempt.stop()
            }
        }))
    }
}

#[async_trait]
impl Middleware for Flagged {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        assert!(self.guarded.load(Ordering::Acquire), "it signs nothing for a client that is not guarded");
        self.auth.handle(request, extensions, next).await
    }
}

/// Runs every order of calls, and says how many there are.
pub(super) async fn run_all(world: &mut World) -> usize {
    let orders = permutations(&[Call::Exclude, Call::RequireLogin, Call::Guard, Call::Widen]);
    for order in &orders {
        let (auth, origins) = Flagged::auth(world, false);
        let mut flagged = Flagged { auth, origins, guarded: Arc::default() };
        let clone = flagged.clone();
        let mut http = reqwest::Client::builder();
        for call in order {
            match call {
                Call::Exclude => flagged.auth = flagged.auth.exclude("/login"),
                Call::RequireLogin => flagged.auth = flagged.auth.require_login(),
                Call::Guard => http = flagged.guard(http),
                Call::Widen => (flagged.auth, flagged.origins) = Flagged::auth(world, true),
            }
        }
        let client = ClientBuilder::new(http.build().unwrap()).with(flagged).build();
        world.send(&client, Place::Billing, 307, Place::Thief).await;
        // The clone went through no guard, nor did this client.
        let client = ClientBuilder::new(reqwest::Client::new()).with(clone).build();
        world.send(&client, Place::Api, 307, Place::Thief).await;
    }
    orders.len()
}
