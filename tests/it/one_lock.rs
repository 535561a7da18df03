//! One lock for each session in every store, and each step looks again before it acts: also beside runtimes that stand still.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use futures_util::FutureExt;
use reqwest_auth_refresh::{
    Lock, LockGuard, LockReach, LockRequest, MemoryStore, Record, RefreshError, RefreshRequest, Refresher, Revocation,
    Session, SessionId, Sessions, State, StoreError, Swap, TokenStore, Tokens, Version, async_trait,
};
use secrecy::ExposeSecret;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, watch};

use crate::support::{PATIENCE, bounded, lock_within, until, until_blocking};
use crate::virtual_issuer::Issuer;
use crate::virtual_world::VirtualClock;

fn frozen() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn two_sessions_over_one_memory_refresh_once() {
    let (issuer, store) = (Issuer::new(), MemoryStore::default());
    let sessions = [(); 2]
        .map(|()| Session::builder(issuer.refresher()).store(store.clone()).clock(VirtualClock::start()).build());
    sessions[0].login(issuer.tokens()).await.unwrap();
    let token = sessions[1].access_token().await.unwrap();
    for generation in 1..=20 {
        let waiting: Vec<_> = (0..20)
            .map(|nth| {
                let session = sessions[nth % 2].clone();
                tokio::spawn(async move { session.refresh().await })
            })
            .collect();
        for waiting in waiting {
            waiting.await.unwrap().unwrap();
        }
        assert_eq!((issuer.calls(), issuer.reuses()), (generation, 0), "once for both");
        tokio::time::sleep(Duration::from_secs(120)).await;
    }
    assert!(!sessions[1].invalidate(&token));
}

/// The lock of one session is nothing to another one, and goes with its last user.
#[tokio::test(start_paused = true)]
async fn locks_of_a_memory_store_are_for_each_session_and_go_again() {
    let store = MemoryStore::default();
    let mut held = Vec::new();
    for nth in 0..64 {
        let lock = store.lock(&format!("user-{nth}").into(), lock_within(Duration::ZERO)).await.unwrap();
        let Lock::Held(guard) = lock else { panic!("{nth} is free") };
        assert!(guard.is_held() && guard.reach() == LockReach::ThisProcess);
        held.push(guard);
    }
    assert!(matches!(store.lock(&"user-7".into(), lock_within(Duration::from_secs(1))).await.unwrap(), Lock::Busy));
    drop(held);
    assert!(matches!(store.lock(&"user-7".into(), lock_within(Duration::ZERO)).await.unwrap(), Lock::Held(_)));
}

/// A login through one is a login of both.
#[tokio::test(start_paused = true)]
async fn two_sessions_over_one_memory_share_a_login() {
    let (issuer, store) = (Issuer::new(), MemoryStore::default());
    let session = || Session::builder(issuer.refresher()).store(store.clone()).clock(VirtualClock::start()).build();
    let (one, other) = (session(), session());
    assert!(other.access_token().await.unwrap_err().needs_login());
    one.login(issuer.tokens()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    other.access_token().await.unwrap();
    one.logout().await.unwrap();
    other.refresh().await.unwrap_err();
    assert!(matches!(other.state(), State::LoggedOut { .. }));
}

/// While one cannot save what a refresh brought, the other one spends nothing that is stored.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_saved_is_guarded_in_one_process_too() {
    let (issuer, kept) = (Issuer::new(), MemoryStore::default());
    let full = Arc::new(AtomicBool::new(false));
    let session = || {
        let store = Filling(kept.clone(), Arc::clone(&full));
        Session::builder(issuer.refresher()).store(store).clock(VirtualClock::start()).build()
    };
    let (one, other) = (session(), session());
    one.login(issuer.tokens()).await.unwrap();
    other.access_token().await.unwrap();
    full.store(true, SeqCst);
    one.refresh().await.unwrap();
    assert!(matches!(one.state(), State::LoggedIn { saved: false, .. }));
    assert!(other.refresh().await.unwrap_err().is_transient(), "and not with the old refresh token");
    full.store(false, SeqCst);
    tokio::time::sleep(Duration::from_secs(60)).await;
    other.refresh().await.unwrap();
    assert_eq!(issuer.reuses(), 0);
}

/// A memory that is full while this says so.
struct Filling(MemoryStore, Arc<AtomicBool>);

#[async_trait]
impl TokenStore for Filling {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        self.0.load(id).await
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        if self.1.load(SeqCst) { Err(StoreError::unavailable("full")) } else { self.0.swap(id, expected, new).await }
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.0.remove(id).await
    }

    async fn lock(&self, id: &SessionId, wanted: LockRequest) -> Result<Lock, StoreError> {
        self.0.lock(id, wanted).await
    }
}

/// Eight sessions wait for a lock on runtimes that stand still; when it is released, the ninth has it at once.
#[test]
fn waiters_that_stand_still_keep_nobody_from_the_lock_of_a_memory() {
    let store = MemoryStore::default();
    let id = SessionId::default();
    let here = Builder::new_current_thread().enable_all().build().unwrap();
    let held = here.block_on(store.lock(&id, lock_within(Duration::ZERO))).unwrap();
    let left: Vec<_> = (0..8)
        .map(|_| {
            let (there, store, id) = (frozen(), store.clone(), id.clone());
            there.block_on(async {
                drop(tokio::spawn(async move { store.lock(&id, lock_within(PATIENCE)).await.map(drop) }));
                tokio::task::yield_now().await;
            });
            there
        })
        .collect();
    drop(held);
    let issuer = Issuer::new();
    here.block_on(async {
        let session = Session::builder(issuer.refresher()).store(store).build();
        session.login(issuer.tokens()).await.unwrap();
        bounded(|| "a refresh of the ninth", session.refresh()).await.unwrap();
    });
    println!("figure: frozen_memory_waiters_blocked = {} sessions", issuer.calls().abs_diff(1));
    assert_eq!((issuer.calls(), left.len()), (1, 8));
}

/// A login on a runtime that stands still in the midst of its write, and another login after it, which is saved.
#[test]
fn a_login_whose_write_stands_still_keeps_no_other_from_being_saved() {
    let store = Yielding(MemoryStore::default());
    let never = |_: RefreshRequest| async { Err(RefreshError::unavailable("nobody asks")) };
    let session = Session::builder(never).store(store).build();
    let there = frozen();
    for _turns in 0..3 {
        there.block_on(async {
            let login = session.login(Tokens::new("left").unwrap());
            assert!(login.now_or_never().is_none());
            tokio::task::yield_now().await;
        });
        let here = frozen();
        here.block_on(async {
            bounded(|| "a login", session.login(Tokens::new("current").unwrap())).await.unwrap();
            assert!(matches!(session.state(), State::LoggedIn { saved: true, .. }));
            bounded(|| "a flush", session.flush()).await.unwrap();
        });
    }
}

/// Takes its time, a turn of the runtime for each call.
struct Yielding(MemoryStore);

#[async_trait]
impl TokenStore for Yielding {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        tokio::task::yield_now().await;
        self.0.load(id).await
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        tokio::task::yield_now().await;
        self.0.swap(id, expected, new).await
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.0.remove(id).await
    }

    async fn lock(&self, id: &SessionId, wanted: LockRequest) -> Result<Lock, StoreError> {
        self.0.lock(id, wanted).await
    }
}

/// Notes what it is asked, and answers when it is let.
#[derive(Clone, Default)]
struct Desk(Arc<Asked>);

#[derive(Default)]
struct Asked {
    log: Mutex<Vec<String>>,
    open: watch::Sender<bool>,
}

impl Desk {
    fn log(&self) -> Vec<String> {
        self.0.log.lock().unwrap().clone()
    }

    fn note(&self, what: &str, request: &RefreshRequest) {
        let token = request.refresh_token().map(|token| token.expose_secret().to_owned()).unwrap_or_default();
        self.0.log.lock().unwrap().push(format!("{what} {} {token}", request.session().as_str()));
    }
}

#[async_trait]
impl Refresher for Desk {
    async fn refresh(&self, request: RefreshRequest) -> Result<Tokens, RefreshError> {
        self.note("refresh", &request);
        drop(self.0.open.subscribe().wait_for(|open| *open).await);
        Ok(Tokens::new("new").unwrap())
    }

    async fn revoke(&self, request: RefreshRequest) -> Result<Revocation, RefreshError> {
        self.note("revoke", &request);
        Ok(Revocation::Revoked)
    }
}

fn tokens(user: &str) -> Tokens {
    Tokens::new(format!("access-{user}")).unwrap().with_refresh_token(user)
}

/// A refresh that waits for its place among the calls to the issuer is not sent once its login has ended.
#[tokio::test(start_paused = true)]
async fn what_was_revoked_while_it_waited_for_its_place_is_not_spent() {
    for ended_by_logout in [true, false] {
        let desk = Desk::default();
        let sessions = Sessions::builder(desk.clone()).most_refreshes_at_once(1).clock(VirtualClock::start()).build();
        let (a, b) = (sessions.session("a"), sessions.session("b"));
        a.login(tokens("a1")).await.unwrap();
        b.login(tokens("b1")).await.unwrap();
        let first = tokio::spawn({
            let a = a.clone();
            async move { a.refresh().await }
        });
        until("the first call", || desk.log().len() == 1).await;
        let second = tokio::spawn({
            let b = b.clone();
            async move { b.refresh().await }
        });
        // It waits for its place, and nothing else is left to do.
        tokio::time::sleep(Duration::from_secs(1)).await;
        if ended_by_logout {
            b.logout().await.unwrap();
        } else {
            b.login(tokens("b2")).await.unwrap();
        }
        desk.0.open.send_replace(true);
        first.await.unwrap().unwrap();
        assert!(second.await.unwrap().unwrap_err().is_logged_out());
        tokio::time::sleep(Duration::from_secs(20)).await;
        let expected = if ended_by_logout { vec!["refresh a a1", "revoke b b1"] } else { vec!["refresh a a1"] };
        assert_eq!(desk.log(), expected);
    }
}

/// A place among the calls to the issuer that is handed to a runtime that stands still is taken by the next that can run.
#[test]
fn a_place_handed_to_a_waiter_that_stands_still_is_taken_by_another() {
    let desk = Desk::default();
    let sessions = Sessions::builder(desk.clone()).most_refreshes_at_once(1).build();
    let (here, there) = (frozen(), frozen());
    let refresh = |name: &str| {
        let session = sessions.session(name);
        async move { session.refresh().await }
    };
    here.block_on(async {
        for user in ["a", "b", "c"] {
            sessions.session(user).login(tokens(user)).await.unwrap();
        }
        let first = tokio::spawn(refresh("a"));
        until("the first call", || desk.log().len() == 1).await;
        std::thread::scope(|scope| {
            // It has come to wait for its place once nothing is left to do there.
            let parked = scope.spawn(|| {
                there.block_on(async {
                    drop(tokio::spawn(refresh("b")));
                    for _turn in 0..200 {
                        tokio::task::yield_now().await;
                    }
                });
            });
            parked.join().unwrap();
        });
        let third = tokio::spawn(refresh("c"));
        for _turn in 0..200 {
            tokio::task::yield_now().await;
        }
        desk.0.open.send_replace(true);
        bounded(|| "the first", first).await.unwrap().unwrap();
        bounded(|| "the third, whose turn it is", third).await.unwrap().unwrap();
    });
    assert_eq!(desk.log(), ["refresh a a", "refresh c c"]);
}

/// A store whose guards are slow to say that they are held, and which saves nothing while that is wanted.
#[derive(Clone)]
struct SlowGuards(Arc<Slow>);

struct Slow {
    kept: MemoryStore,
    saves: AtomicBool,
    asked: AtomicUsize,
    let_go: Mutex<mpsc::Receiver<()>>,
    held: AtomicUsize,
    released: Notify,
}

#[async_trait]
impl TokenStore for SlowGuards {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        self.0.kept.load(id).await
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        if !self.0.saves.load(SeqCst) {
            return Err(StoreError::unavailable("full"));
        }
        self.0.kept.swap(id, expected, new).await
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.0.kept.remove(id).await
    }

    async fn lock(&self, _: &SessionId, _: LockRequest) -> Result<Lock, StoreError> {
        if self.0.held.fetch_add(1, SeqCst) > 0 {
            self.0.held.fetch_sub(1, SeqCst);
            return Ok(Lock::Busy);
        }
        Ok(Lock::Held(Box::new(SlowGuard(Arc::clone(&self.0)))))
    }
}

struct SlowGuard(Arc<Slow>);

#[async_trait]
impl LockGuard for SlowGuard {
    fn is_held(&self) -> bool {
        // Before the call, and then before it is decided to keep the lock.
        if self.0.asked.fetch_add(1, SeqCst) == 1 {
            self.0.let_go.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
        true
    }

    fn reach(&self) -> LockReach {
        LockReach::ThisMachine
    }

    async fn release(self: Box<Self>) {}
}

impl Drop for SlowGuard {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, SeqCst);
        self.0.released.notify_one();
    }
}

/// A refresh that could not be saved wants to keep the lock; a login is saved while it makes sure that it still has it.
#[test]
fn a_lock_is_not_kept_for_what_has_been_stored_meanwhile() {
    let (let_go, waits) = mpsc::channel();
    let slow = Slow {
        kept: MemoryStore::default(),
        saves: AtomicBool::new(true),
        asked: AtomicUsize::new(0),
        let_go: Mutex::new(waits),
        held: AtomicUsize::new(0),
        released: Notify::new(),
    };
    let store = SlowGuards(Arc::new(slow));
    let refresher = |_: RefreshRequest| async { Tokens::new("new").map_err(RefreshError::unavailable) };
    let session = Session::builder(refresher).store(store.clone()).build();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(session.login(tokens("a"))).unwrap();
    store.0.saves.store(false, SeqCst);
    let refreshing = runtime.spawn({
        let session = session.clone();
        async move { session.refresh().await }
    });
    until_blocking(PATIENCE, "the question whether the lock is held", || {
        (store.0.asked.load(SeqCst) == 2).then_some(())
    });
    store.0.saves.store(true, SeqCst);
    let here = frozen();
    here.block_on(bounded(|| "a login", session.login(tokens("b")))).unwrap();
    assert!(matches!(session.state(), State::LoggedIn { saved: true, .. }));
    let_go.send(()).unwrap();
    here.block_on(bounded(|| "the release of the lock", store.0.released.notified()));
    drop(here.block_on(bounded(|| "the refresh", refreshing)));
    assert_eq!(store.0.held.load(SeqCst), 0, "and every other program can refresh");
}
