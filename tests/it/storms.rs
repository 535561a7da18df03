//! However many requests of a session are unauthorized or find their tokens expired together, the issuer is asked once. A
//! 401 that comes late costs nothing, and nobody waits for another session.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{Extensions, StatusCode};
use reqwest::{Request, Response};
use reqwest_auth_refresh::{
    AuthError, FirstLogin, Lock, LockGuard, LockReach, LockRequest, MemoryStore, Record, RefreshError, RefreshReason,
    RefreshRequest, Refresher, RefresherInfo, Retried, Session, SessionId, State, StoreError, Swap, TokenStore, Tokens,
    Version, async_trait,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use secrecy::ExposeSecret;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::bounded;
use crate::virtual_issuer::Issuer;
use crate::virtual_world::{API, Canned, VirtualClock, client};

const CROWD: usize = 10_000;
/// How long the API takes.
const LATENCY: Duration = Duration::from_millis(20);

/// Requests that all meet dead tokens.
struct Storm {
    /// When each of them begins.
    begins: fn(usize) -> Duration,
    /// How long the API takes to refuse each of them.
    refused_after: fn(usize) -> Duration,
}

/// At one moment they are all sent, and at one moment all refused.
const BURST: Storm = Storm { begins: |_| Duration::ZERO, refused_after: |_| LATENCY };
/// At one moment they are all sent; the answers come over one second, most of them long after the refresh.
const STAGGERED: Storm =
    Storm { begins: |_| Duration::ZERO, refused_after: |nth| LATENCY + Duration::from_micros(nth as u64 * 100) };
/// They begin over 200 ms: before the first answer, during the refresh, and after it.
const ARRIVING: Storm = Storm { begins: |nth| Duration::from_micros(nth as u64 * 20), refused_after: |_| LATENCY };

/// What became of a storm.
#[derive(Debug, PartialEq, Eq)]
struct Tally {
    refresh_calls: usize,
    ok: usize,
    sent: usize,
    /// Sent with tokens of which somebody had been told that they are dead.
    doomed: usize,
}

/// An API that knows which of its requests were doomed.
#[derive(Debug, Clone, Default)]
struct Watched {
    refused: Arc<AtomicUsize>,
    known: Arc<AtomicBool>,
    doomed: Arc<AtomicUsize>,
}

impl Watched {
    fn api(
        &self,
        issuer: &Issuer,
        refused_after: fn(usize) -> Duration,
    ) -> (impl Middleware + use<>, Arc<AtomicUsize>) {
        let (watched, issuer) = (self.clone(), issuer.clone());
        Canned::new(move |bearer: Option<String>| {
            let good = issuer.accepts(bearer.as_deref());
            let watched = watched.clone();
            if !good && watched.known.load(Ordering::Relaxed) {
                watched.doomed.fetch_add(1, Ordering::Relaxed);
            }
            async move {
                if good {
                    sleep(LATENCY).await;
                    return StatusCode::OK;
                }
                sleep(refused_after(watched.refused.fetch_add(1, Ordering::Relaxed))).await;
                watched.known.store(true, Ordering::Relaxed);
                StatusCode::UNAUTHORIZED
            }
        })
    }
}

impl Storm {
    /// Lets it loose on a session, or on the client that `by_hand` makes.
    async fn run(&self, by_hand: Option<fn(&Issuer) -> ByHand>) -> Tally {
        let issuer = Issuer::new();
        let session = Session::builder(issuer.refresher()).clock(VirtualClock::start()).build();
        session.login(issuer.tokens()).await.expect("memory stores everything");
        let by_hand = by_hand.map(|by_hand| by_hand(&issuer));
        issuer.end_access_tokens();

        let watched = Watched::default();
        let (api, sent) = watched.api(&issuer, self.refused_after);
        let client = match by_hand {
            None => client(&session, api),
            Some(by_hand) => ClientBuilder::new(reqwest::Client::new()).with(by_hand).with(api).build(),
        };
        let ok = crowd(&client, CROWD, self.begins).await;
        assert_eq!(issuer.reuses(), 0, "a refresh token was spent twice");
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        Tally { refresh_calls: issuer.calls(), ok, sent: count(&sent), doomed: count(&watched.doomed) }
    }
}

/// Sends so many requests and counts those that succeed.
async fn crowd(client: &ClientWithMiddleware, size: usize, begins: fn(usize) -> Duration) -> usize {
    let mut crowd = JoinSet::new();
    for nth in 0..size {
        let client = client.clone();
        crowd.spawn(async move {
            sleep(begins(nth)).await;
            client.get(API).send().await.is_ok_and(|response| response.status() == StatusCode::OK)
        });
    }
    crowd.join_all().await.into_iter().filter(|ok| *ok).count()
}

/// What is commonly written by hand: one refresh at a time, shared by those who come meanwhile. It holds nobody back.
struct ByHand {
    issuer: Issuer,
    current: RwLock<Arc<Tokens>>,
    one: Mutex<()>,
    /// Whether a late 401 looks if its tokens are still the current ones.
    looks: bool,
}

impl ByHand {
    fn new(issuer: &Issuer) -> Self {
        let current = RwLock::new(Arc::new(issuer.tokens()));
        Self { issuer: issuer.clone(), current, one: Mutex::new(()), looks: true }
    }

    fn without_looking(issuer: &Issuer) -> Self {
        Self { looks: false, ..Self::new(issuer) }
    }

    fn current(&self) -> Arc<Tokens> {
        Arc::clone(&self.current.read().unwrap())
    }

    async fn newer(&self, refused: &Arc<Tokens>) -> Arc<Tokens> {
        let met = if self.looks { Arc::clone(refused) } else { self.current() };
        let _one = self.one.lock().await;
        if Arc::ptr_eq(&self.current(), &met) {
            let (id, bound) = (SessionId::default(), Duration::from_secs(10));
            let request = RefreshRequest::new(id, Some(met), RefreshReason::Unauthorized, bound);
            let tokens = self.issuer.clone().refresh(request).await.unwrap();
            *self.current.write().unwrap() = Arc::new(tokens);
        }
        self.current()
    }
}

fn sign(request: &mut Request, tokens: &Tokens) {
    let bearer = format!("Bearer {}", tokens.access_token().unwrap().expose_secret());
    request.headers_mut().insert(AUTHORIZATION, bearer.parse().unwrap());
}

#[async_trait]
impl Middleware for ByHand {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let tokens = self.current();
        let mut again = request.try_clone().unwrap();
        sign(&mut request, &tokens);
        let response = next.clone().run(request, extensions).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        sign(&mut again, &*self.newer(&tokens).await);
        next.run(again, extensions).await
    }
}

#[tokio::test(start_paused = true)]
async fn all_unauthorized_together() {
    let tally = BURST.run(None).await;
    println!("figure: storm_burst_refresh_calls = {} calls", tally.refresh_calls);
    println!("figure: storm_burst_ok = {} requests", tally.ok);
    assert_eq!(tally, Tally { refresh_calls: 1, ok: CROWD, sent: 2 * CROWD, doomed: 0 });
}

#[tokio::test(start_paused = true)]
async fn unauthorized_one_after_the_other_over_a_second() {
    let tally = STAGGERED.run(None).await;
    println!("figure: storm_staggered_refresh_calls = {} calls", tally.refresh_calls);
    println!("figure: storm_staggered_ok = {} requests", tally.ok);
    assert_eq!(tally, Tally { refresh_calls: 1, ok: CROWD, sent: 2 * CROWD, doomed: 0 });

    let unlooked = STAGGERED.run(Some(ByHand::without_looking)).await;
    println!("figure: storm_staggered_refresh_calls_unlooked = {} calls", unlooked.refresh_calls);
    assert!(unlooked.refresh_calls > 5, "the same harness sees a session that does not compare: {unlooked:?}");
}

#[tokio::test(start_paused = true)]
async fn those_that_arrive_during_the_refresh_are_held_back() {
    let tally = ARRIVING.run(None).await;
    println!("figure: storm_arriving_refresh_calls = {} calls", tally.refresh_calls);
    println!("figure: storm_arriving_ok = {} requests", tally.ok);
    println!("figure: storm_arriving_doomed = {} requests", tally.doomed);
    assert_eq!((tally.refresh_calls, tally.ok, tally.doomed), (1, CROWD, 0));
    // Only those of the first 20 ms, of 200, were sent twice.
    assert!((900..=1_100).contains(&(tally.sent - CROWD)), "{tally:?}");

    let unheld = ARRIVING.run(Some(ByHand::new)).await;
    println!("figure: storm_arriving_doomed_unheld = {} requests", unheld.doomed);
    assert_eq!((unheld.refresh_calls, unheld.ok), (1, CROWD), "the control does everything else right");
    assert!(unheld.doomed > 100, "{unheld:?}");
}

#[tokio::test(start_paused = true)]
async fn all_find_their_tokens_expired_together() {
    let issuer = Issuer::new();
    let session = Session::builder(issuer.refresher()).clock(VirtualClock::start()).build();
    session.login(issuer.tokens()).await.unwrap();
    sleep(Duration::from_secs(3600)).await;
    issuer.end_access_tokens();

    let (api, sent) = Canned::new(issuer.api(LATENCY));
    assert_eq!(crowd(&client(&session, api), CROWD, |_| Duration::ZERO).await, CROWD);
    assert_eq!((issuer.calls(), sent.load(Ordering::Relaxed)), (1, CROWD), "nobody was sent with the old tokens");
}

#[tokio::test(start_paused = true)]
async fn all_are_the_first_of_a_session_that_logs_in_alone() {
    #[derive(Clone, Default)]
    struct Alone(Arc<AtomicUsize>);
    #[async_trait]
    impl Refresher for Alone {
        async fn refresh(&self, request: RefreshRequest) -> Result<Tokens, RefreshError> {
            assert!(request.tokens().is_none() && request.reason() == RefreshReason::FirstLogin);
            self.0.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(100)).await;
            Ok(Tokens::new("alone").unwrap())
        }
        fn info(&self) -> RefresherInfo {
            RefresherInfo::default().with_first_login(FirstLogin::Unattended)
        }
    }

    let refresher = Alone::default();
    let session = Session::builder(refresher.clone()).clock(VirtualClock::start()).build();
    let (api, sent) = Canned::new(|bearer: Option<String>| async move {
        if bearer.as_deref() == Some("alone") { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
    });
    assert_eq!(crowd(&client(&session, api), CROWD, |_| Duration::ZERO).await, CROWD);
    assert_eq!((refresher.0.load(Ordering::Relaxed), sent.load(Ordering::Relaxed)), (1, CROWD));
    assert!(matches!(session.state(), State::LoggedIn { saved: true, .. }));
}

/// An API that refuses everything issued so far, and every refusal waits until it is let go.
fn holding_refusals(issuer: &Issuer) -> (impl Middleware + use<>, Arc<AtomicUsize>, watch::Sender<bool>) {
    let let_go = watch::Sender::new(false);
    let (issuer, held) = (issuer.clone(), let_go.clone());
    let (api, sent) = Canned::new(move |bearer: Option<String>| {
        let (good, mut held) = (issuer.accepts(bearer.as_deref()), held.subscribe());
        async move {
            if good {
                return StatusCode::OK;
            }
            drop(bounded(|| "the refusals to be let go", held.wait_for(|let_go| *let_go)).await.unwrap());
            StatusCode::UNAUTHORIZED
        }
    });
    (api, sent, let_go)
}

/// A session whose current tokens are of this generation, with nothing young about them.
async fn session_at(generation: u64, issuer: &Issuer) -> Session {
    let session = Session::builder(issuer.refresher()).clock(VirtualClock::start()).build();
    session.login(issuer.tokens()).await.unwrap();
    for _ in 0..generation {
        sleep(Duration::from_secs(11)).await;
        session.refresh().await.unwrap();
    }
    sleep(Duration::from_secs(11)).await;
    session
}

fn generation(session: &Session) -> u64 {
    let State::LoggedIn { version, .. } = session.state() else { panic!("{:?}", session.state()) };
    version.generation
}

#[tokio::test(start_paused = true)]
async fn a_late_401_for_an_older_generation_costs_no_call() {
    let issuer = Issuer::new();
    let session = session_at(7, &issuer).await;
    issuer.end_access_tokens();
    let (api, sent, let_go) = holding_refusals(&issuer);
    let client = client(&session, api);
    let late = tokio::spawn(async move { client.get(API).send().await });
    sleep(LATENCY).await;
    assert_eq!((generation(&session), sent.load(Ordering::Relaxed)), (7, 1), "it was sent with generation 7");

    session.refresh().await.unwrap();
    let calls = issuer.calls();
    let_go.send_replace(true);
    let response = late.await.unwrap().unwrap();

    assert_eq!(response.status(), StatusCode::OK, "it was sent again with generation 8");
    assert!(response.extensions().get::<Retried>().is_some());
    assert_eq!((generation(&session), sent.load(Ordering::Relaxed), issuer.calls()), (8, 2, calls));
}

#[tokio::test(start_paused = true)]
async fn a_late_401_for_another_login_is_the_end_of_its_request() {
    let issuer = Issuer::new();
    let session = session_at(0, &issuer).await;
    issuer.end_access_tokens();
    let (api, sent, let_go) = holding_refusals(&issuer);
    let client = client(&session, api);
    let late = tokio::spawn(async move { client.get(API).send().await });
    sleep(LATENCY).await;

    session.login(Tokens::new("of-somebody-else").unwrap()).await.unwrap();
    let_go.send_replace(true);
    let error = late.await.unwrap().unwrap_err();

    let error = AuthError::find(&error).unwrap();
    assert!(error.is_logged_out(), "{error:?}");
    assert_eq!(error.status(), Some(StatusCode::UNAUTHORIZED));
    assert_eq!((sent.load(Ordering::Relaxed), issuer.calls()), (1, 0));
}

/// Keeps everything in memory, and takes a second to give its lock back.
struct SlowToUnlock(MemoryStore);

struct SlowGuard;

#[async_trait]
impl LockGuard for SlowGuard {
    fn is_held(&self) -> bool {
        true
    }
    fn reach(&self) -> LockReach {
        LockReach::ThisMachine
    }
    async fn release(self: Box<Self>) {
        sleep(Duration::from_secs(1)).await;
    }
}

#[async_trait]
impl TokenStore for SlowToUnlock {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        self.0.load(id).await
    }
    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        self.0.swap(id, expected, new).await
    }
    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.0.remove(id).await
    }
    async fn lock(&self, _: &SessionId, _: LockRequest) -> Result<Lock, StoreError> {
        Ok(Lock::Held(Box::new(SlowGuard)))
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_refused_before_their_flight_has_landed_are_lent_to_nobody() {
    let issuer = Issuer::new();
    let store = SlowToUnlock(MemoryStore::default());
    let session = Session::builder(issuer.refresher()).clock(VirtualClock::start()).store(store).build();
    session.login(issuer.tokens()).await.unwrap();
    issuer.end_access_tokens();
    let (api, sent) = Canned::new(issuer.api(LATENCY));
    let client = client(&session, api);

    // The first is refused, and its flight has saved new tokens at 120 ms.
    let first = tokio::spawn({
        let client = client.clone();
        async move { crowd(&client, 100, |_| Duration::ZERO).await }
    });
    sleep(Duration::from_millis(150)).await;
    assert_eq!((issuer.calls(), sent.load(Ordering::Relaxed)), (1, 100));
    // Those are refused before anybody who waits has got them.
    issuer.end_access_tokens();
    assert_eq!(crowd(&client, 1, |_| Duration::ZERO).await, 1);
    assert_eq!(first.await.unwrap(), 100);
    assert_eq!((issuer.calls(), sent.load(Ordering::Relaxed)), (2, 202), "one request met each generation's end");
}

#[tokio::test(start_paused = true)]
async fn two_clients_of_one_session_share_its_flight() {
    let issuer = Issuer::new();
    let session = session_at(0, &issuer).await;
    issuer.end_access_tokens();
    let mut sendings = Vec::new();
    let mut crowds = JoinSet::new();
    for _ in 0..2 {
        let (api, sent) = Canned::new(issuer.api(LATENCY));
        let client = client(&session, api);
        sendings.push(sent);
        crowds.spawn(async move { crowd(&client, 500, |_| Duration::ZERO).await });
    }
    assert_eq!(crowds.join_all().await, [500, 500]);
    assert_eq!(issuer.calls(), 1);
    assert!(sendings.iter().all(|sent| sent.load(Ordering::Relaxed) == 1_000));
}

#[tokio::test(start_paused = true)]
async fn sessions_never_wait_for_each_other() {
    let stalled = Session::builder(|_: RefreshRequest| std::future::pending::<Result<Tokens, RefreshError>>())
        .clock(VirtualClock::start())
        .id("stalled")
        .build();
    stalled.login(Tokens::new("dead").unwrap()).await.unwrap();
    let issuer = Issuer::new();
    let session = session_at(0, &issuer).await;
    issuer.end_access_tokens();

    let (api, _) = Canned::new(issuer.api(LATENCY));
    let other = client(&stalled, api);
    let waiting = tokio::spawn(async move { other.get(API).send().await });
    sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());

    let (api, sent) = Canned::new(issuer.api(LATENCY));
    let begun = Instant::now();
    assert_eq!(crowd(&client(&session, api), 100, |_| Duration::ZERO).await, 100);
    let took = begun.elapsed().as_millis();
    assert!((140..150).contains(&took), "refused, refreshed and accepted without a wait: {took} ms");
    assert_eq!((issuer.calls(), sent.load(Ordering::Relaxed)), (1, 200));
    assert!(!waiting.is_finished(), "the other one still waits");

    let error = waiting.await.unwrap().unwrap_err();
    assert!(AuthError::find(&error).is_some_and(AuthError::is_transient), "{error:?}");
}
