//! Two doors in one client keep apart: each signs what is for its own origins, refreshes at its own issuer, and never shows
//! its tokens to the other's server. One session may have several.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use reqwest::Response;
use reqwest_auth_refresh::{
    AuthRefresh, FirstLogin, NotRetryable, Origins, RefreshError, RefreshGrant, RefreshRequest, Refresher,
    RefresherInfo, Retried, Session, Tokens, async_trait,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tokio::task::JoinSet;

use crate::support::{Api, Holder, Issuer, Names, Tally};
use crate::wire_tap::{LeftBehind, Sent, WireTap};

/// What all tokens of one side hold, and nothing else does.
const CANARIES: [&str; 2] = ["Lk4Wd9QeFt", "Rm7Zs2VhGt"];

/// The texts of their tokens.
const NAMES: [Names; 2] = [
    |kind, Holder { grant, generation, .. }| format!("{}-{kind}-{grant}-{generation}", CANARIES[0]),
    |kind, Holder { grant, generation, .. }| format!("{}-{kind}-{grant}-{generation}", CANARIES[1]),
];

/// An issuer, its API, and somebody who is logged in there.
struct Side {
    issuer: Issuer,
    api: Api,
    session: Session,
    canary: &'static str,
}

impl Side {
    async fn new(nth: usize) -> Self {
        let issuer = Issuer::start().await.unwrap();
        issuer.grants().set_names(NAMES[nth]);
        let api = Api::start(&issuer).await.unwrap();
        let session = Session::new(RefreshGrant::new(issuer.token_url(), "app").unwrap());
        let side = Self { issuer, api, session, canary: CANARIES[nth] };
        side.log_in().await;
        side
    }

    async fn both() -> [Self; 2] {
        [Self::new(0).await, Self::new(1).await]
    }

    async fn log_in(&self) {
        let answer = self.issuer.login("alice").to_string();
        self.session.login(Tokens::from_json(answer).unwrap()).await.unwrap();
    }

    /// The API no longer takes the token that the program has.
    fn expire(&self) {
        self.issuer.revoke_access("alice");
    }

    fn door(&self) -> AuthRefresh {
        self.door_to(&self.api)
    }

    fn door_to(&self, api: &Api) -> AuthRefresh {
        AuthRefresh::new(&self.session, Origins::new(api.url()).unwrap())
    }

    /// How often the issuer was called, how many requests the API let in, and how many it refused.
    fn counts(&self) -> (usize, usize, usize) {
        let Tally { ok, refused } = self.api.counts().all;
        (self.issuer.counts().token_calls, ok, refused)
    }

    /// How many requests brought this API a token that its issuer never gave.
    fn strange_tokens(&self) -> usize {
        let counts = self.api.counts();
        let own: usize = counts.by_tokens.values().map(|tally| tally.ok + tally.refused).sum();
        counts.requests - counts.unsigned.ok - counts.unsigned.refused - own
    }

    /// Nothing came to these servers that was the other side's.
    fn is_apart(&self) -> bool {
        let issuer = self.issuer.counts();
        self.strange_tokens() == 0 && (issuer.rejected, issuer.turned_away, issuer.reuse) == (0, 0, 0)
    }
}

/// A client with these doors, from the outermost to the innermost, and what stands around them.
struct Chain {
    client: ClientWithMiddleware,
    wire: WireTap,
    left_behind: LeftBehind,
}

impl Chain {
    fn of(doors: impl IntoIterator<Item = AuthRefresh>) -> Self {
        let (wire, left_behind) = (WireTap::default(), LeftBehind::default());
        let builder = ClientBuilder::new(reqwest::Client::new()).with(left_behind.clone());
        let builder = doors.into_iter().fold(builder, ClientBuilder::with);
        Self { client: builder.with(wire.clone()).build(), wire, left_behind }
    }

    async fn get(&self, api: &Api) -> Response {
        self.client.get(api.at("/orders")).send().await.unwrap()
    }
}

fn is_retried(response: &Response) -> bool {
    response.extensions().get::<Retried>().is_some()
}

/// How often the canary of one side was on its way to the API of the other.
fn strayed(sent: &[Sent], [left, right]: [&Side; 2]) -> usize {
    let goes = |sent: &Sent, side: &Side| sent.url.as_str().starts_with(side.api.url());
    let strays = |from: &Side, to: &Side| sent.iter().filter(|sent| goes(sent, to) && sent.shows(from.canary)).count();
    strays(left, right) + strays(right, left)
}

#[tokio::test]
async fn each_request_is_signed_and_each_401_refreshed_by_its_own_door() {
    let mut canaries_astray = 0;
    for left_is_outside in [true, false] {
        let [left, right] = Side::both().await;
        let doors = if left_is_outside { [left.door(), right.door()] } else { [right.door(), left.door()] };
        let chain = Chain::of(doors);

        left.expire();
        for (side, again) in [(&left, true), (&right, false)] {
            let response = chain.get(&side.api).await;
            assert_eq!((response.status(), is_retried(&response)), (StatusCode::OK, again));
        }
        assert_eq!((left.counts(), right.counts()), ((1, 1, 1), (0, 1, 0)));

        right.expire();
        for (side, again) in [(&left, false), (&right, true)] {
            let response = chain.get(&side.api).await;
            assert_eq!((response.status(), is_retried(&response)), (StatusCode::OK, again));
        }
        assert_eq!((left.counts(), right.counts()), ((1, 2, 1), (1, 2, 1)));

        let sent = chain.wire.take();
        assert_eq!(sent.iter().map(|sent| sent.flagged).collect::<Vec<_>>(), [false, true, false, false, false, true]);
        for Sent { headers, .. } in &sent {
            assert_eq!(headers.get_all("authorization").iter().count(), 1);
        }
        canaries_astray += strayed(&sent, [&left, &right]) + left.strange_tokens() + right.strange_tokens();
        assert!(left.is_apart() && right.is_apart());
        assert_eq!(chain.left_behind.count(), 0);
    }
    println!("figure: two_doors_tokens_astray = {canaries_astray} tokens");
    assert_eq!(canaries_astray, 0);
}

#[tokio::test]
async fn control_a_door_that_lists_both_origins_shows_its_tokens_to_both() {
    let [left, right] = Side::both().await;
    let origins = Origins::new(left.api.url()).unwrap().and(right.api.url()).unwrap();
    let chain = Chain::of([AuthRefresh::new(&left.session, origins), right.door()]);
    let refused = chain.get(&right.api).await;
    // One refresh at the wrong issuer, and the second 401 as it is.
    assert_eq!((refused.status(), is_retried(&refused)), (StatusCode::UNAUTHORIZED, true));
    assert_eq!((left.counts(), right.counts()), ((1, 0, 0), (0, 0, 2)));
    let astray = strayed(&chain.wire.take(), [&left, &right]);
    println!("figure: control_two_doors_tokens_astray = {astray} tokens");
    assert_eq!((astray, right.strange_tokens()), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_storms_at_once_cost_one_refresh_at_each_issuer() {
    const CROWD: usize = 20;
    let [left, right] = Side::both().await;
    let chain = Chain::of([left.door(), right.door()]);
    for side in [&left, &right] {
        side.expire();
        side.api.at_refusal().close_until(CROWD);
    }
    let mut crowd = JoinSet::new();
    for side in [&left, &right] {
        for _ in 0..CROWD {
            let request = chain.client.get(side.api.at("/orders"));
            crowd.spawn(async move { request.send().await.is_ok_and(|response| response.status() == StatusCode::OK) });
        }
    }
    let ok = crowd.join_all().await.into_iter().filter(|ok| *ok).count();
    assert_eq!(ok, 2 * CROWD);
    assert_eq!((left.counts(), right.counts()), ((1, CROWD, CROWD), (1, CROWD, CROWD)));
    assert!(left.is_apart() && right.is_apart());
    assert_eq!((strayed(&chain.wire.take(), [&left, &right]), chain.left_behind.count()), (0, 0));
}

#[tokio::test]
async fn of_two_doors_to_one_origin_the_outer_one_signs() {
    let [left, right] = Side::both().await;
    let chain = Chain::of([left.door(), right.door_to(&left.api)]);
    assert!(!is_retried(&chain.get(&left.api).await));
    left.expire();
    let response = chain.get(&left.api).await;
    assert_eq!((response.status(), is_retried(&response)), (StatusCode::OK, true));
    // The inner one met a request that was signed already, and left both its sendings alone.
    assert_eq!((left.counts(), right.counts()), ((1, 2, 1), (0, 0, 0)));
    assert!(left.is_apart());
    assert_eq!(chain.left_behind.count(), 0);

    // That goes for a 401 that the inner one could have cured as well.
    let chain = Chain::of([right.door_to(&left.api), left.door()]);
    let response = chain.get(&left.api).await;
    assert_eq!((response.status(), is_retried(&response)), (StatusCode::UNAUTHORIZED, true));
    assert_eq!((left.counts(), right.counts()), ((1, 2, 3), (1, 0, 0)));
    assert_eq!((left.strange_tokens(), chain.left_behind.count()), (2, 0));
}

#[tokio::test]
async fn where_nobody_is_logged_in_at_the_outer_door_the_inner_one_signs() {
    let [left, right] = Side::both().await;
    right.session.logout().await.unwrap();
    let chain = Chain::of([right.door_to(&left.api), left.door()]);
    left.expire();
    let response = chain.get(&left.api).await;
    assert_eq!((response.status(), is_retried(&response)), (StatusCode::OK, true));
    assert_eq!((left.counts(), right.counts()), ((1, 1, 1), (0, 0, 0)));

    // What the inner one hands on is final for both: a token that is refused however fresh costs one refresh.
    left.api.set_refuses_all(true);
    let response = chain.get(&left.api).await;
    assert_eq!((response.status(), response.extensions().get::<NotRetryable>()), (StatusCode::UNAUTHORIZED, None));
    assert_eq!((left.counts(), right.counts()), ((2, 1, 3), (0, 0, 0)));
    assert!(left.is_apart());
    assert_eq!(chain.left_behind.count(), 0);
}

#[tokio::test]
async fn a_door_that_places_nothing_around_one_that_signs_makes_four_sendings_at_most() {
    /// The session lives in cookies.
    struct Unseen(Arc<AtomicUsize>);
    #[async_trait]
    impl Refresher for Unseen {
        async fn refresh(&self, _: RefreshRequest) -> Result<Tokens, RefreshError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Tokens::unseen())
        }
        fn info(&self) -> RefresherInfo {
            RefresherInfo::default().with_first_login(FirstLogin::Assumed)
        }
    }
    let calls = Arc::new(AtomicUsize::new(0));
    let side = Side::new(0).await;
    let outer = AuthRefresh::new(Session::new(Unseen(Arc::clone(&calls))), Origins::new(side.api.url()).unwrap());
    let (wire, left_behind, between) = (WireTap::default(), LeftBehind::default(), LeftBehind::default());
    let builder = ClientBuilder::new(reqwest::Client::new()).with(left_behind.clone()).with(outer);
    let client = builder.with(between.clone()).with(side.door()).with(wire.clone()).build();

    // The inner one's cure is enough.
    side.expire();
    assert_eq!(client.get(side.api.at("/orders")).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!((side.counts(), calls.load(Ordering::Relaxed)), ((1, 1, 1), 0));
    assert_eq!(wire.take().iter().map(|sent| sent.flagged).collect::<Vec<_>>(), [false, true]);
    assert_eq!((left_behind.count(), between.count()), (0, 0));

    // Nothing cures it: each door makes two of what it is given. The flag of the outer one stays through the trip within.
    side.api.set_refuses_all(true);
    assert_eq!(client.get(side.api.at("/orders")).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!((side.counts(), calls.load(Ordering::Relaxed)), ((3, 1, 5), 1));
    assert_eq!(wire.take().iter().map(|sent| sent.flagged).collect::<Vec<_>>(), [false, true, true, true]);
    assert_eq!((left_behind.count(), between.count()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_session_in_two_doors_is_refreshed_once_for_both() {
    const CROWD: usize = 10;
    for one_client in [true, false] {
        let side = Side::new(0).await;
        let other = Api::start(&side.issuer).await.unwrap();
        let doors = [side.door(), side.door_to(&other)];
        let clients = if one_client {
            let client = Chain::of(doors).client;
            [client.clone(), client]
        } else {
            doors.map(|door| Chain::of([door]).client)
        };
        side.expire();
        let mut crowd = JoinSet::new();
        for (client, api) in clients.iter().zip([&side.api, &other]) {
            api.at_refusal().close();
            for _ in 0..CROWD {
                let request = client.get(api.at("/orders"));
                crowd.spawn(
                    async move { request.send().await.is_ok_and(|response| response.status() == StatusCode::OK) },
                );
            }
        }
        // Both APIs refuse all of theirs before either says so: what begins while a refresh is under way is held back.
        for api in [&side.api, &other] {
            api.at_refusal().arrived(CROWD).await;
        }
        for api in [&side.api, &other] {
            api.at_refusal().open();
        }
        let ok = crowd.join_all().await.into_iter().filter(|ok| *ok).count();
        println!("figure: one_session_two_doors_refresh_calls = {} calls", side.counts().0);
        assert_eq!(ok, 2 * CROWD);
        assert_eq!(side.counts().0, 1);
        for api in [&side.api, &other] {
            assert_eq!(api.counts().all, Tally { ok: CROWD, refused: CROWD });
        }
        assert!(side.is_apart());
    }
}
