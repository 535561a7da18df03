//! Tokens are replaced before they expire, at leisure and out of everybody's way; expired ones are never sent; and whatever
//! a clock says, a token that was just issued is used.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::StatusCode;
use http_body_util::Full;
use hyper::body::Bytes;
use reqwest::{Body, Response};
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, Clock, Event, MemoryStore, Origins, RefreshError, RefreshRequest, RequestBuilderExt,
    Session, SessionBuilder, State,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, RequestBuilder};
use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::virtual_issuer::Issuer;
use crate::virtual_world::{API, Canned, VirtualClock, told};

const LATENCY: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: i64 = 365 * 24 * 3600;

/// A session whose tokens live for an hour, from the moment it was made.
struct World {
    issuer: Issuer,
    session: Session,
    auth: AuthRefresh,
    /// The access token of every request that the API has met.
    seen: Arc<Mutex<Vec<String>>>,
}

impl World {
    async fn new() -> Self {
        Self::of(Issuer::new(), |builder| builder).await
    }

    async fn of(issuer: Issuer, set: impl FnOnce(SessionBuilder) -> SessionBuilder) -> Self {
        let session = set(Session::builder(issuer.refresher()).clock(VirtualClock::start())).build();
        session.login(issuer.tokens()).await.unwrap();
        let auth = AuthRefresh::new(&session, Origins::new(API).unwrap());
        Self { issuer, session, auth, seen: Arc::default() }
    }

    fn client(&self) -> ClientWithMiddleware {
        let (judge, seen) = (self.issuer.api(LATENCY), Arc::clone(&self.seen));
        let (api, _) = Canned::new(move |bearer: Option<String>| {
            seen.lock().unwrap().push(bearer.clone().unwrap_or_default());
            judge(bearer)
        });
        ClientBuilder::new(reqwest::Client::new()).with(self.auth.clone()).with(api).build()
    }

    /// The generations that the API has met since it was asked last.
    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// So many requests at once; each must succeed.
    async fn crowd(&self, size: usize) {
        let (client, mut crowd) = (self.client(), JoinSet::new());
        for _ in 0..size {
            crowd.spawn(succeeds(client.get(API)));
        }
        crowd.join_all().await;
    }

    fn generation(&self) -> u64 {
        let State::LoggedIn { version, .. } = self.session.state() else { panic!("{:?}", self.session.state()) };
        version.generation
    }
}

async fn succeeds(request: RequestBuilder) -> Response {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response
}

/// How long this request takes, in milliseconds; it must succeed.
async fn takes(request: RequestBuilder) -> u128 {
    let begun = Instant::now();
    succeeds(request).await;
    begun.elapsed().as_millis()
}

/// Waits, from the login on, until so many seconds before the tokens expire.
async fn until_left(seconds: u64) {
    sleep(HOUR.saturating_sub(Duration::from_secs(seconds))).await;
}

fn down() -> RefreshError {
    RefreshError::unavailable("down")
}

fn streaming() -> Body {
    Body::wrap(Full::<Bytes>::from("once"))
}

#[tokio::test(start_paused = true)]
async fn fresh_tokens_are_sent_due_ones_too_and_expired_ones_never() {
    // seconds before expiry, calls, the token that was sent
    let table = [
        (61, 0, "access.a.0.0"),
        (29, 1, "access.a.0.0"),
        (6, 1, "access.a.0.0"),
        (5, 1, "access.a.0.1"),
        (0, 1, "access.a.0.1"),
    ];
    for (left, calls, sent) in table {
        let world = World::new().await;
        until_left(left).await;
        assert!(takes(world.client().get(API)).await >= LATENCY.as_millis());
        assert_eq!((world.issuer.calls(), world.seen()), (calls, vec![sent.to_owned()]), "{left} s before");
    }
}

#[tokio::test(start_paused = true)]
async fn when_expired_everybody_waits_and_nobody_is_sent_with_the_old_tokens() {
    let world = World::new().await;
    sleep(HOUR).await;
    let begun = Instant::now();
    world.crowd(1_000).await;
    assert_eq!(begun.elapsed().as_millis(), 120);
    assert_eq!((world.issuer.calls(), world.seen()), (1, vec!["access.a.0.1".to_owned(); 1_000]));
}

/// The same program, begun again so many seconds before the stored tokens expire.
async fn reopened(left: u64) -> World {
    let store = MemoryStore::default();
    let world = World::of(Issuer::new(), |builder| builder.store(store.clone())).await;
    let session = Session::builder(world.issuer.refresher()).clock(VirtualClock::start()).store(store).build();
    until_left(left).await;
    World { auth: AuthRefresh::new(&session, Origins::new(API).unwrap()), session, ..world }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_were_stored_are_judged_like_any_others() {
    type Ask = fn(RequestBuilder) -> RequestBuilder;
    let (any, once): (Ask, Ask) = (|request| request, RequestBuilderExt::send_once);
    // seconds before expiry, the first request, how long it takes, calls, the token that was sent
    let table = [
        (100, any, 20, 0, "access.a.0.0"),
        (20, any, 100, 1, "access.a.0.0"),
        (20, once, 120, 1, "access.a.0.1"),
        (0, any, 120, 1, "access.a.0.1"),
        (0, once, 120, 1, "access.a.0.1"),
    ];
    for (left, ask, expected, calls, sent) in table {
        let world = reopened(left).await;
        assert_eq!(takes(ask(world.client().get(API))).await, expected, "{left} s before");
        assert_eq!((world.issuer.calls(), world.seen()), (calls, vec![sent.to_owned()]), "{left} s before");
    }
    let world = reopened(0).await;
    world.crowd(1_000).await;
    assert_eq!(world.issuer.calls(), 1);
    assert!(world.seen().iter().all(|token| token == "access.a.0.1"));
}

#[tokio::test(start_paused = true)]
async fn what_another_process_saved_long_ago_is_not_sent_either() {
    let store = MemoryStore::default();
    let world = World::of(Issuer::new(), |builder| builder.store(store.clone())).await;
    let other = Session::builder(world.issuer.refresher()).clock(VirtualClock::start()).store(store).build();
    sleep(60 * SECOND).await;
    other.refresh().await.unwrap();
    sleep(HOUR).await;
    world.crowd(100).await;
    assert_eq!((world.issuer.calls(), world.generation()), (2, 2), "adopted, and refreshed again");
    assert!(world.seen().iter().all(|token| token == "access.a.0.2"));
}

#[tokio::test(start_paused = true)]
async fn a_logout_reads_what_is_stored_and_refreshes_nothing() {
    for left in [20, 0] {
        let world = reopened(left).await;
        world.session.logout().await.unwrap();
        assert_eq!(world.issuer.calls(), 0);
        assert!(matches!(world.session.state(), State::LoggedOut { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn when_due_one_request_begins_the_refresh_and_nobody_else_waits() {
    let world = World::of(Issuer::new().taking(SECOND), |builder| builder).await;
    until_left(20).await;
    let starter = tokio::spawn(takes(world.client().get(API)));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(world.issuer.calls(), 1);

    let begun = Instant::now();
    world.crowd(1_000).await;
    assert_eq!(begun.elapsed(), LATENCY, "with good tokens nobody waits for the flight");
    assert!(!starter.is_finished());
    assert_eq!(starter.await.unwrap(), 1_000, "but the one that began it, until the new tokens are saved");
    assert_eq!((world.issuer.calls(), world.seen()), (1, vec!["access.a.0.0".to_owned(); 1_001]));

    world.crowd(100).await;
    assert_eq!((world.issuer.calls(), world.seen()), (1, vec!["access.a.0.1".to_owned(); 100]));
}

#[tokio::test(start_paused = true)]
async fn the_one_that_begins_an_early_refresh_waits_for_it_within_bounds() {
    type Set = fn(AuthRefresh) -> AuthRefresh;
    // door, the request's timeout in seconds (0: none), how long the refresh takes, how long the request takes
    let table: [(Set, u32, u64, u128); 8] = [
        (|auth| auth, 0, 1_000, 1_000),
        (|auth| auth, 0, 9_000, 2_020),
        (|auth| auth, 4, 9_000, 1_020),
        (|auth| auth, 60, 9_000, 2_020),
        (|auth| auth, 4, 500, 500),
        (|auth| auth.early_wait(5 * SECOND), 0, 9_000, 5_020),
        (|auth| auth.early_wait(5 * SECOND), 4, 9_000, 1_020),
        (|auth| auth.early_wait(Duration::ZERO), 0, 9_000, 20),
    ];
    for (set, timeout, refresh, expected) in table {
        let mut world = World::of(Issuer::new().taking(Duration::from_millis(refresh)), |builder| builder).await;
        world.auth = set(world.auth);
        until_left(20).await;
        let mut request = world.client().get(API);
        if timeout > 0 {
            request = request.timeout(timeout * SECOND);
        }
        let took = takes(request).await;
        assert!((expected..=expected + 1).contains(&took), "{took} ms, expected {expected}");
        assert_eq!(world.seen(), ["access.a.0.0"]);

        // The refresh goes on without it.
        world.session.flush().await.unwrap();
        world.crowd(1).await;
        assert_eq!((world.issuer.calls(), world.seen()), (1, vec!["access.a.0.1".to_owned()]));
    }
}

#[tokio::test(start_paused = true)]
async fn an_early_refresh_that_fails_is_seen_by_nobody() {
    let world = World::of(Issuer::new(), |builder| builder.refresh_ahead(600 * SECOND)).await;
    until_left(300).await;
    let mut events = world.session.events();
    world.issuer.fail(down().retry_after(100 * SECOND));
    for failure in 1..=2 {
        assert_eq!(takes(world.client().get(API)).await, 100, "until the flight has failed");
        world.crowd(100).await;
        sleep(99 * SECOND).await;
        world.crowd(100).await;
        assert_eq!(world.issuer.calls(), failure, "nobody asks again while the session rests");
        sleep(SECOND).await;
    }
    assert!(world.seen().iter().all(|token| token == "access.a.0.0"));
    let said = told(&mut events);
    assert!(matches!(said[..], [Event::Now(_), Event::RefreshFailed(_), Event::RefreshFailed(_)]), "{said:?}");

    world.issuer.recover();
    world.crowd(1).await;
    assert_eq!((world.issuer.calls(), world.generation()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn an_early_refresh_that_is_rejected_ends_the_session_but_not_the_request_that_began_it() {
    let world = World::new().await;
    until_left(20).await;
    world.issuer.fail(RefreshError::rejected("invalid_grant"));
    assert_eq!(takes(world.client().get(API)).await, 100);
    let error = world.client().get(API).send().await.unwrap_err();
    assert!(AuthError::find(&error).is_some_and(AuthError::needs_login), "{error:?}");
    assert_eq!((world.issuer.calls(), world.seen().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_twice_waits_rather_than_meet_a_rotation() {
    type Ask = fn(RequestBuilder) -> RequestBuilder;
    let kinds: [Ask; 2] = [|request| request.body(streaming()), RequestBuilderExt::send_once];
    for ask in kinds {
        let once = |world: &World| takes(ask(world.client().post(API)));

        let fresh = World::new().await;
        assert_eq!((once(&fresh).await, fresh.issuer.calls()), (20, 0), "fresh: it just goes");

        let due = World::new().await;
        until_left(20).await;
        assert_eq!(once(&due).await, 120, "due: it refreshes first");
        assert_eq!((due.issuer.calls(), due.seen()), (1, vec!["access.a.0.1".to_owned()]));

        let begun_by_another = World::new().await;
        until_left(20).await;
        let other = tokio::spawn(takes(begun_by_another.client().get(API)));
        sleep(Duration::from_millis(50)).await;
        assert_eq!(once(&begun_by_another).await, 70, "under way: it waits");
        assert_eq!(other.await.unwrap(), 100);
        assert_eq!(
            (begun_by_another.issuer.calls(), begun_by_another.seen().as_slice()),
            (1, &["access.a.0.0", "access.a.0.1"].map(String::from)[..])
        );

        let forced = World::new().await;
        let session = forced.session.clone();
        let refresh = tokio::spawn(async move { session.refresh().await });
        sleep(Duration::from_millis(50)).await;
        assert_eq!(once(&forced).await, 70, "under way, although the tokens are fresh: it waits");
        refresh.await.unwrap().unwrap();
        assert_eq!((forced.issuer.calls(), forced.seen()), (1, vec!["access.a.0.1".to_owned()]));

        let failing = World::new().await;
        until_left(20).await;
        failing.issuer.fail(down());
        assert_eq!(once(&failing).await, 120, "no new tokens: the current ones are good");
        assert_eq!(once(&failing).await, 20, "and while the session rests nobody waits");
        assert_eq!((failing.issuer.calls(), failing.seen()), (1, vec!["access.a.0.0".to_owned(); 2]));
    }

    // A body that can be made anew waits for nobody.
    let world = World::of(Issuer::new().taking(SECOND), |builder| builder).await;
    until_left(20).await;
    let starter = tokio::spawn(takes(world.client().get(API)));
    sleep(Duration::from_millis(1)).await;
    let again = world.client().post(API).body(streaming()).resend_with(streaming);
    assert_eq!(takes(again).await, 20);
    assert_eq!((starter.await.unwrap(), world.issuer.calls()), (1_000, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_known_expiry_tokens_are_used_until_they_are_refused() {
    let world = World::of(Issuer::new().without_expiry(), |builder| builder).await;
    for _ in 0..10 {
        world.crowd(10).await;
        sleep(100 * 24 * HOUR).await;
    }
    assert_eq!(world.issuer.calls(), 0);
    world.issuer.end_access_tokens();
    world.crowd(10).await;
    assert_eq!((world.issuer.calls(), world.seen().len()), (1, 120));
}

#[tokio::test(start_paused = true)]
async fn short_lives_are_refreshed_once_each() {
    let world = World::of(Issuer::new().with_life(10 * SECOND), |builder| builder).await;
    let begun = Instant::now();
    while begun.elapsed() < 600 * SECOND {
        world.crowd(1).await;
        sleep(Duration::from_millis(100)).await;
    }
    // Due one to two seconds before their end.
    let calls = world.issuer.calls();
    assert!((60..=75).contains(&calls), "{calls} refreshes in 600 s");
    // The last ones may have come with the last request; whoever comes next is sent with them.
    world.crowd(1).await;
    assert_eq!(world.seen().windows(2).filter(|two| two[0] != two[1]).count(), calls, "each was used");
}

/// A clock whose wall part is off by so many seconds.
#[derive(Clone)]
struct Jumping {
    right: VirtualClock,
    off: Arc<AtomicI64>,
    /// By how much each reading sets it on.
    drift: i64,
}

impl Jumping {
    fn new() -> Self {
        Self { right: VirtualClock::start(), off: Arc::default(), drift: 0 }
    }

    fn set(&self, off: i64) {
        self.off.store(off, Ordering::Relaxed);
    }
}

impl Clock for Jumping {
    fn wall(&self) -> SystemTime {
        let off = self.off.fetch_add(self.drift, Ordering::Relaxed);
        let by = Duration::from_secs(off.unsigned_abs());
        if off < 0 { self.right.wall() - by } else { self.right.wall() + by }
    }

    fn monotonic(&self) -> Duration {
        self.right.monotonic()
    }
}

async fn with_clock(clock: &Jumping) -> World {
    let clock = clock.clone();
    World::of(Issuer::new(), |builder| builder.clock(clock)).await
}

#[tokio::test(start_paused = true)]
async fn a_clock_may_jump_by_years_either_way() {
    let clock = Jumping::new();
    let world = with_clock(&clock).await;

    clock.set(-10 * YEAR);
    world.crowd(100).await;
    assert_eq!(world.issuer.calls(), 0, "back: nothing has expired");
    world.issuer.end_access_tokens();
    world.crowd(100).await;
    assert_eq!(world.issuer.calls(), 1, "and a 401 still counts");

    clock.set(10 * YEAR);
    world.crowd(100).await;
    assert_eq!(world.issuer.calls(), 2, "forward: expired, once");
    world.crowd(100).await;
    assert_eq!(world.issuer.calls(), 2, "the new ones are fresh by the same clock");

    clock.set(0);
    world.crowd(100).await;
    assert_eq!(world.issuer.calls(), 2, "back again: tokens from the future are good");
    sleep(2 * HOUR).await;
    world.issuer.end_access_tokens();
    world.crowd(100).await;
    assert_eq!(world.issuer.calls(), 3);
    world.crowd(100).await;
    assert_eq!(world.issuer.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn each_jump_costs_at_most_one_refresh() {
    let clock = Jumping::new();
    let world = with_clock(&clock).await;
    let mut forward = 0;
    let (mut seed, mut before) = (1_u64, 0);
    for _ in 0..500 {
        // Where to, by a generator that is the same in every run.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let to = i64::try_from(seed >> 33).unwrap() % (20 * YEAR) - 10 * YEAR;
        clock.set(to);
        forward += usize::from(to > before);
        before = to;
        world.crowd(3).await;
        world.crowd(3).await;
    }
    let calls = world.issuer.calls();
    assert!((2..=forward).contains(&calls), "{calls} refreshes, {forward} jumps forward");
}

#[tokio::test(start_paused = true)]
async fn a_token_just_issued_is_used_once_whatever_the_clock_says() {
    // It runs so fast that every token has expired by the time it arrives.
    let clock = Jumping { drift: YEAR, ..Jumping::new() };
    let world = with_clock(&clock).await;
    for nth in 1..=20 {
        world.crowd(1).await;
        assert_eq!((world.issuer.calls(), world.seen()), (nth, vec![format!("access.a.0.{nth}")]));
    }

    // And when it jumps during the refresh, everyone who waited for it goes out.
    let clock = Jumping::new();
    let world = with_clock(&clock).await;
    sleep(HOUR).await;
    let late = clock.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(50)).await;
        late.set(10 * YEAR);
    });
    world.crowd(100).await;
    assert_eq!((world.issuer.calls(), world.seen()), (1, vec!["access.a.0.1".to_owned(); 100]));
}

#[tokio::test(start_paused = true)]
async fn tokens_that_expired_before_they_came_are_used_until_they_are_refused() {
    // The issuer's clock and ours disagree by a day.
    let yesterday = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) - 24 * HOUR;
    let issuer = Issuer::new();
    let asked = issuer.clone();
    let session = Session::builder(move |request: RefreshRequest| {
        let tokens = asked.rotate(&request).map(|tokens| tokens.with_expires_at(yesterday));
        async move { tokens }
    });
    let session = session.clock(VirtualClock::start()).build();
    session.login(issuer.tokens().with_expires_at(yesterday)).await.unwrap();
    let auth = AuthRefresh::new(&session, Origins::new(API).unwrap());
    let world = World { auth, session, issuer, seen: Arc::default() };
    world.crowd(1_000).await;
    assert_eq!(world.issuer.calls(), 0);
    world.session.refresh().await.unwrap();
    assert_eq!(world.issuer.calls(), 1);
    let token = world.session.access_token().await.unwrap();
    assert_eq!((token.expose_secret(), world.issuer.calls()), ("access.a.0.1", 1));
}

#[tokio::test(start_paused = true)]
async fn an_invalidated_token_is_sent_by_nobody_and_replaced_once() {
    let world = World::new().await;
    let token = |nth: u32| SecretString::from(format!("access.a.0.{nth}"));
    assert!(!world.session.invalidate(&token(7)), "not the current one");
    world.crowd(100).await;
    assert_eq!((world.issuer.calls(), world.seen().len()), (0, 100));

    assert!(world.session.invalidate(&token(0)));
    assert!(world.session.invalidate(&token(0)), "it still is the current one");
    assert_eq!(world.issuer.calls(), 0, "nothing happens until somebody needs it");
    world.crowd(1_000).await;
    assert_eq!((world.issuer.calls(), world.seen()), (1, vec!["access.a.0.1".to_owned(); 1_000]));
    assert!(!world.session.invalidate(&token(0)), "no longer");
    world.crowd(100).await;
    assert_eq!(world.issuer.calls(), 1);

    // The same for tokens that leave the program by another way.
    let current = world.session.access_token().await.unwrap();
    assert!(world.session.invalidate(&current));
    assert_eq!(world.session.access_token().await.unwrap().expose_secret(), "access.a.0.2");
    assert_eq!(world.issuer.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn doubt_during_an_early_refresh_holds_everybody_back() {
    let world = World::of(Issuer::new().taking(SECOND), |builder| builder).await;
    until_left(20).await;
    let starter = tokio::spawn(takes(world.client().get(API)));
    sleep(Duration::from_millis(1)).await;
    world.session.invalidate(&SecretString::from("access.a.0.0"));
    world.crowd(100).await;
    assert_eq!(starter.await.unwrap(), 1_000);
    let seen = world.seen();
    assert_eq!((seen[0].as_str(), &seen[1..]), ("access.a.0.0", &vec!["access.a.0.1".to_owned(); 100][..]));
    assert_eq!(world.issuer.calls(), 1);
}
