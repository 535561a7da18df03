//! What is stored is forgotten, whatever else is under way, and a login that comes after that stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use reqwest_auth_refresh::{
    Lock, LockRequest, MemoryStore, Record, Session, SessionBuilder, SessionId, State, StoreError, Swap, TokenStore,
    Version, async_trait,
};

use crate::virtual_issuer::Issuer;
use crate::virtual_world::VirtualClock;

/// Takes its time, and says that it failed when it did not.
#[derive(Clone, Default)]
struct Slow(Arc<Inner>);

#[derive(Default)]
struct Inner {
    kept: MemoryStore,
    swap_takes: AtomicU64,
    remove_takes: AtomicU64,
    swap_says_failed: AtomicBool,
    cannot_lock: AtomicBool,
}

impl Slow {
    async fn stored(&self) -> Option<Record> {
        self.0.kept.load(&SessionId::default()).await.unwrap()
    }

    fn builder(&self, issuer: &Issuer) -> SessionBuilder {
        Session::builder(issuer.refresher()).store(self.clone()).clock(VirtualClock::start())
    }
}

async fn takes(seconds: &AtomicU64) {
    tokio::time::sleep(Duration::from_secs(seconds.load(SeqCst))).await;
}

#[async_trait]
impl TokenStore for Slow {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        self.0.kept.load(id).await
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        takes(&self.0.swap_takes).await;
        let swap = self.0.kept.swap(id, expected, new).await;
        if self.0.swap_says_failed.load(SeqCst) { Err(StoreError::unavailable("not synced")) } else { swap }
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        takes(&self.0.remove_takes).await;
        self.0.kept.remove(id).await
    }

    async fn lock(&self, id: &SessionId, wanted: LockRequest) -> Result<Lock, StoreError> {
        if self.0.cannot_lock.load(SeqCst) {
            return Err(StoreError::unavailable("no locks here"));
        }
        self.0.kept.lock(id, wanted).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_while_the_record_is_being_removed_is_stored() {
    let (store, issuer) = (Slow::default(), Issuer::new());
    let session = store.builder(&issuer).build();
    session.login(issuer.tokens()).await.unwrap();
    store.0.remove_takes.store(3, SeqCst);
    let forgetting = tokio::spawn({
        let session = session.clone();
        async move { session.forget_stored().await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    session.login(issuer.tokens()).await.unwrap();
    let State::LoggedIn { version, .. } = session.state() else { panic!("{:?}", session.state()) };
    assert!(forgetting.await.unwrap().unwrap_err().is_logged_out());
    tokio::time::sleep(Duration::from_secs(10)).await;
    session.flush().await.unwrap();
    assert_eq!(store.stored().await.unwrap().version(), version, "whatever the late removal took");
    assert!(matches!(session.state(), State::LoggedIn { saved: true, .. }));
}

/// A write that is said to have failed may have been made.
#[tokio::test(start_paused = true)]
async fn what_was_written_and_said_to_have_failed_is_forgotten_too() {
    let (store, issuer) = (Slow::default(), Issuer::new());
    let session = store.builder(&issuer).build();
    store.0.swap_takes.store(2, SeqCst);
    store.0.swap_says_failed.store(true, SeqCst);
    let login = tokio::spawn({
        let (session, tokens) = (session.clone(), issuer.tokens());
        async move { session.login(tokens).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    session.forget_stored().await.unwrap();
    assert!(login.await.unwrap().unwrap_err().is_logged_out());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(store.stored().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_lock_forgets_where_it_may_refresh_without() {
    let (store, issuer) = (Slow::default(), Issuer::new());
    store.0.cannot_lock.store(true, SeqCst);
    let careful = store.builder(&issuer).build();
    careful.login(issuer.tokens()).await.unwrap();
    assert!(careful.forget_stored().await.unwrap_err().is_store());
    assert!(store.stored().await.is_some());
    store.builder(&issuer).refresh_without_lock().build().forget_stored().await.unwrap();
    assert!(store.stored().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn forgetting_several_times_at_once_is_forgetting() {
    let (store, issuer) = (Slow::default(), Issuer::new());
    let session = store.builder(&issuer).build();
    session.login(issuer.tokens()).await.unwrap();
    store.0.remove_takes.store(1, SeqCst);
    assert!(session.forget_stored().now_or_never().is_none(), "dropped, and goes on all the same");
    for forgotten in join_all((0..5).map(|_| session.forget_stored())).await {
        forgotten.unwrap();
    }
    assert!(store.stored().await.is_none());
}

/// What this version does not know may be a secret of the login: it goes with it.
#[tokio::test(start_paused = true)]
async fn unknown_members_end_with_their_login() {
    for logout in [true, false] {
        let (store, issuer) = (MemoryStore::default(), Issuer::new());
        let later = br#"{"major":1,"session":"default","login":"cafe","generation":7,"jar":"canary",
            "tokens":{"access_token":"a","refresh_token":"r","key":"canary"}}"#;
        let id = SessionId::default();
        let done = store.swap(&id, None, &Record::from_bytes(later).unwrap()).await.unwrap();
        assert!(matches!(done, Swap::Done));
        let session = Session::builder(issuer.refresher()).store(store.clone()).clock(VirtualClock::start()).build();
        session.access_token().await.unwrap();
        if logout {
            session.logout().await.unwrap();
        } else {
            session.login(issuer.tokens()).await.unwrap();
        }
        let bytes = store.load(&id).await.unwrap().unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&bytes).contains("canary"));
    }
}
