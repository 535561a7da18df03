//! Other people's panics stay theirs: an error for whoever needed the outcome, and the next request works.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

use reqwest::Body;
use reqwest_auth_refresh::{
    AuthRefresh, Clock, Event, FirstLogin, Lock, LockGuard, LockReach, LockRequest, NeedsLogin, NotRetryable, Origins,
    Record, RefreshError, RefreshRequest, Refresher, RefresherInfo, RequestBuilderExt, Session, SessionId, State,
    StoreError, Swap, TokenStore, Tokens, Version, async_trait,
};
use tokio::time::sleep;

use crate::gated_world::{Gate, GatedStore, World, Worth, auth_error, client, status};
use crate::support::until;
use crate::virtual_world::{API, VirtualClock, heard};

/// Without a word from the panic hook.
fn panic_quietly() -> ! {
    resume_unwind(Box::new("somebody's panic"))
}

/// The longest pause after one failure, and a tick of the timer.
const REST: Duration = Duration::from_millis(1_010);

#[tokio::test(start_paused = true)]
async fn on_needs_login() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let world = World::with(Worth::Refused, |session| {
        session.on_needs_login(move |reason| {
            assert_eq!(*reason, NeedsLogin::Rejected("invalid_grant".into()));
            counted.fetch_add(1, SeqCst);
            panic_quietly()
        })
    })
    .await;
    let mut events = world.session.events();
    // A second use of the refresh token is the end of its login.
    let tokens = world.store.record().await.unwrap().tokens().unwrap().clone();
    let spent = RefreshRequest::new(
        SessionId::default(),
        Some(Arc::new(tokens)),
        reqwest_auth_refresh::RefreshReason::Forced,
        Duration::ZERO,
    );
    world.issuer.rotate(&spent).unwrap();

    let requests: Vec<_> = (0..5).map(|_| tokio::spawn(status(world.get("a")))).collect();
    for request in requests {
        assert!(auth_error(request.await.unwrap()).needs_login());
    }
    assert_eq!(calls.load(SeqCst), 1);
    assert!(matches!(heard(&mut events).await, Some(Event::Now(State::NotLoaded))));
    assert!(matches!(heard(&mut events).await, Some(Event::LoggedIn(_))));
    assert!(matches!(heard(&mut events).await, Some(Event::NeedsLogin(_))));
    assert!(matches!(heard(&mut events).await, Some(Event::CallbackFailed)));
    world.session.login(world.tokens("b", Worth::Good)).await.unwrap();
    assert!(matches!(heard(&mut events).await, Some(Event::LoggedIn(_))));
    assert_eq!(status(world.get("b")).await.unwrap(), 200);
    assert_eq!(calls.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn resend_with() {
    let world = World::of(Worth::Refused).await;
    world.session.access_token().await.unwrap();
    let mut events = world.session.events();
    let streaming = || Body::wrap(http_body_util::Full::new(&b"once"[..]));
    let request = world.client.post(format!("{API}/orders")).body(streaming());
    let response = request.resend_with(|| -> Body { panic_quietly() }).send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.extensions().get::<NotRetryable>(), Some(&NotRetryable::Body));
    assert!(matches!(heard(&mut events).await, Some(Event::Now(_))));
    assert!(matches!(heard(&mut events).await, Some(Event::Refreshed(_))));
    assert!(matches!(heard(&mut events).await, Some(Event::CallbackFailed)));
    assert_eq!(world.issuer.rotations(), 1);
    assert_eq!(status(world.get("next")).await.unwrap(), 200);
}

/// A refresher that panics where it is told to.
struct Brittle(Arc<Mood>);

#[derive(Default)]
struct Mood {
    info: AtomicBool,
    refresh: AtomicBool,
    calls: AtomicUsize,
}

#[async_trait]
impl Refresher for Brittle {
    async fn refresh(&self, _request: RefreshRequest) -> Result<Tokens, RefreshError> {
        let call = self.0.calls.fetch_add(1, SeqCst);
        if self.0.refresh.load(SeqCst) {
            panic_quietly();
        }
        Tokens::new(format!("new-{call}")).map_err(RefreshError::unavailable)
    }

    fn info(&self) -> RefresherInfo {
        if self.0.info.load(SeqCst) {
            panic_quietly();
        }
        RefresherInfo::default().with_first_login(FirstLogin::Unattended)
    }
}

#[tokio::test(start_paused = true)]
async fn the_refresher() {
    let mood = Arc::new(Mood::default());
    // What is asked when a session or a client is made comes through to whoever makes it, and leaves nothing behind.
    mood.info.store(true, SeqCst);
    assert!(catch_unwind(AssertUnwindSafe(|| Session::new(Brittle(Arc::clone(&mood))))).is_err());
    mood.info.store(false, SeqCst);
    let session = Session::builder(Brittle(Arc::clone(&mood))).clock(VirtualClock::start()).build();
    // It is asked once, so that making a client is none of its business.
    mood.info.store(true, SeqCst);
    drop(AuthRefresh::new(&session, Origins::new(API).unwrap()));

    mood.refresh.store(true, SeqCst);
    let callers: Vec<_> = (0..5)
        .map(|_| {
            let session = session.clone();
            tokio::spawn(async move { session.access_token().await.map(drop) })
        })
        .collect();
    for caller in callers {
        let error = caller.await.unwrap().unwrap_err();
        assert!(error.is_transient() && error.retry_after().is_some(), "{error:?}");
    }
    assert_eq!(mood.calls.load(SeqCst), 1);
    mood.refresh.store(false, SeqCst);
    sleep(REST).await;
    session.access_token().await.unwrap();
    assert_eq!(mood.calls.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_panics_before_it_has_a_future() {
    let calm = Arc::new(AtomicBool::new(false));
    let session = Session::builder({
        let calm = Arc::clone(&calm);
        move |_: RefreshRequest| {
            if !calm.load(SeqCst) {
                panic_quietly();
            }
            std::future::ready(Tokens::new("new").map_err(RefreshError::unavailable))
        }
    })
    .clock(VirtualClock::start())
    .build();
    session.login(Tokens::new("old").unwrap()).await.unwrap();
    assert!(session.refresh().await.unwrap_err().is_transient());
    calm.store(true, SeqCst);
    sleep(REST).await;
    session.refresh().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_method_of_the_store() {
    let doors: [fn(&World) -> &crate::gated_world::Door; 3] =
        [|world| &world.store.load, |world| &world.store.lock, |world| &world.store.save];
    for door in doors {
        let world = World::of(Worth::Refused).await;
        door(&world).set(Gate::Panic);
        let result = status(world.get("a")).await;
        // New tokens that cannot be saved are used.
        assert!(matches!(result, Ok(200)) || auth_error(result).is_store());
        door(&world).set(Gate::Ok);
        sleep(REST).await;
        assert_eq!(status(world.get("next")).await.unwrap(), 200);
        world.assert_logged_in("a").await;
    }
}

/// Where a guard panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Spot {
    Nowhere,
    IsHeld,
    Reach,
    Release,
    Drop,
    IsHeldAndDrop,
}

/// A store whose lock panics where it is told to.
#[derive(Clone)]
struct BrittleLock {
    kept: GatedStore,
    spot: Arc<AtomicU8>,
}

impl BrittleLock {
    fn set(&self, spot: Spot) {
        self.spot.store(spot as u8, SeqCst);
    }

    fn panics_at(&self, spots: &[Spot]) {
        let set = self.spot.load(SeqCst);
        if spots.iter().any(|spot| *spot as u8 == set) {
            panic_quietly();
        }
    }
}

#[async_trait]
impl TokenStore for BrittleLock {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        self.kept.load(id).await
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        self.kept.swap(id, expected, new).await
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.kept.remove(id).await
    }

    async fn lock(&self, id: &SessionId, wanted: LockRequest) -> Result<Lock, StoreError> {
        Ok(match self.kept.lock(id, wanted).await? {
            Lock::Held(guard) => Lock::Held(Box::new(BrittleGuard { store: self.clone(), guard: Some(guard) })),
            other @ (Lock::NotShared | Lock::Busy) => other,
        })
    }
}

struct BrittleGuard {
    store: BrittleLock,
    guard: Option<Box<dyn LockGuard>>,
}

#[async_trait]
impl LockGuard for BrittleGuard {
    fn is_held(&self) -> bool {
        self.store.panics_at(&[Spot::IsHeld, Spot::IsHeldAndDrop]);
        true
    }

    fn reach(&self) -> LockReach {
        self.store.panics_at(&[Spot::Reach]);
        LockReach::ThisMachine
    }

    async fn release(mut self: Box<Self>) {
        self.store.panics_at(&[Spot::Release]);
        self.guard.take().unwrap().release().await;
    }
}

impl Drop for BrittleGuard {
    fn drop(&mut self) {
        self.guard = None;
        self.store.panics_at(&[Spot::Drop, Spot::IsHeldAndDrop]);
    }
}

#[tokio::test(start_paused = true)]
async fn each_method_of_the_lock() {
    for spot in [Spot::IsHeld, Spot::Reach, Spot::Release, Spot::Drop, Spot::IsHeldAndDrop] {
        let world = World::of(Worth::Refused).await;
        let store = BrittleLock { kept: world.store.clone(), spot: Arc::default() };
        let session = Session::builder(world.grant.clone()).store(store.clone()).clock(VirtualClock::start()).build();
        let client = client(&session, &world.api);
        store.set(spot);
        let result = status(crate::gated_world::get(&client, "a")).await;
        if matches!(spot, Spot::IsHeld | Spot::IsHeldAndDrop) {
            let error = auth_error(result);
            assert!(error.is_transient() && error.retry_after().is_some(), "{spot:?} {error:?}");
            assert_eq!(world.grant.ask.knocks(), 0, "a guard that cannot say that it is held is not");
        } else {
            assert_eq!(result.unwrap(), 200, "{spot:?}");
        }
        assert!(!world.store.is_locked(), "{spot:?}");
        store.set(Spot::Nowhere);
        sleep(REST).await;
        assert_eq!(status(crate::gated_world::get(&client, "next")).await.unwrap(), 200);
        assert_eq!((world.issuer.rotations(), world.issuer.reuses()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_dropped_with_its_flight() {
    for spot in [Spot::Drop, Spot::Release] {
        let world = World::of(Worth::Refused).await;
        let store = BrittleLock { kept: world.store.clone(), spot: Arc::default() };
        let session = Session::builder(world.grant.clone()).store(store.clone()).clock(VirtualClock::start()).build();
        session.access_token().await.unwrap();
        world.grant.ask.hold();
        let (session_there, grant) = (session.clone(), world.grant.clone());
        let there = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let knocks = grant.ask.knocks();
                drop(tokio::spawn(async move { session_there.refresh().await }));
                until("a call to the issuer", || grant.ask.knocks() > knocks).await;
            });
            drop(runtime);
        });
        store.set(spot);
        there.join().unwrap();
        store.set(Spot::Nowhere);
        world.grant.ask.open();
        session.refresh().await.unwrap();
        assert_eq!(world.issuer.rotations(), 1, "{spot:?}");
    }
}

/// A clock that panics for a while.
#[derive(Clone)]
struct BrittleClock {
    clock: VirtualClock,
    panics: Arc<AtomicBool>,
}

impl Clock for BrittleClock {
    fn wall(&self) -> SystemTime {
        if self.panics.load(SeqCst) {
            panic_quietly();
        }
        self.clock.wall()
    }

    fn monotonic(&self) -> Duration {
        if self.panics.load(SeqCst) {
            panic_quietly();
        }
        self.clock.monotonic()
    }
}

#[tokio::test(start_paused = true)]
async fn the_clock() {
    let panics = Arc::new(AtomicBool::new(false));
    let clock = BrittleClock { clock: VirtualClock::start(), panics: Arc::clone(&panics) };
    let world = World::with(Worth::Refused, |session| session.clock(clock)).await;
    world.grant.ask.takes(10);
    // In the middle of a flight, and for every request meanwhile.
    let request = tokio::spawn(status(world.get("a")));
    sleep(Duration::from_millis(5)).await;
    panics.store(true, SeqCst);
    assert_eq!(status(world.get("a")).await.unwrap(), 200);
    assert_eq!(request.await.unwrap().unwrap(), 200);
    assert_eq!(status(world.get("a")).await.unwrap(), 200);
    panics.store(false, SeqCst);
    assert_eq!(status(world.get("a")).await.unwrap(), 200);
    assert_eq!((world.issuer.rotations(), world.issuer.reuses()), (1, 0));
    world.assert_logged_in("a").await;
}
