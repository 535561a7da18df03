//! Logout wins, and so does login: what the program says last stands, whatever was on its way to or from the store.

use std::time::Duration;

use reqwest_auth_refresh::{
    MemoryStore, Record, RefreshError, RefreshRequest, Refresher, Session, SessionId, Start, State, StoreError, Swap,
    TokenStore, Tokens, Version, async_trait,
};

use crate::virtual_world::VirtualClock;

/// Reads and writes only after a while.
#[derive(Default)]
struct Slow {
    records: MemoryStore,
    to_read: Duration,
    to_write: Duration,
}

#[async_trait]
impl TokenStore for Slow {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        tokio::time::sleep(self.to_read).await;
        self.records.load(id).await
    }
    async fn save(&self, id: &SessionId, record: &Record) -> Result<(), StoreError> {
        tokio::time::sleep(self.to_write).await;
        self.records.save(id, record).await
    }
    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.records.remove(id).await
    }
    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        tokio::time::sleep(self.to_write).await;
        self.records.swap(id, expected, new).await
    }
}

/// Gets the first tokens by itself.
struct Alone;

#[async_trait]
impl Refresher for Alone {
    async fn refresh(&self, _: RefreshRequest) -> Result<Tokens, RefreshError> {
        Ok(Tokens::new("alone").unwrap())
    }
    fn start(&self) -> Start {
        Start::LogsInAlone
    }
}

#[tokio::test(start_paused = true)]
async fn a_logout_during_the_save_of_the_first_login_stands() {
    let store = Slow { to_write: Duration::from_millis(50), ..Slow::default() };
    let session = Session::builder(Alone).store(store).clock(VirtualClock::start()).build();
    let other = session.clone();
    let first = tokio::spawn(async move { other.access_token().await });
    tokio::time::sleep(Duration::from_millis(25)).await;
    session.logout().await.unwrap();
    drop(first.await);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(matches!(session.state(), State::LoggedOut { .. }), "{:?}", session.state());
}

#[tokio::test(start_paused = true)]
async fn a_login_during_the_save_of_the_first_login_stands() {
    let store = Slow { to_write: Duration::from_millis(50), ..Slow::default() };
    let session = Session::builder(Alone).store(store).clock(VirtualClock::start()).build();
    let other = session.clone();
    let first = tokio::spawn(async move { other.access_token().await });
    tokio::time::sleep(Duration::from_millis(25)).await;
    session.login(Tokens::new("mine").unwrap()).await.unwrap();
    drop(first.await);
    assert!(session.invalidate(&"mine".into()));
}

#[tokio::test(start_paused = true)]
async fn a_logout_that_still_reads_the_store_does_not_end_a_later_login() {
    let store = Slow { to_read: Duration::from_millis(100), ..Slow::default() };
    let never = |_: RefreshRequest| async { Err(RefreshError::unavailable("not asked")) };
    let session = Session::builder(never).store(store).clock(VirtualClock::start()).build();
    let other = session.clone();
    let out = tokio::spawn(async move { other.logout().await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    session.login(Tokens::new("later").unwrap()).await.unwrap();
    out.await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(matches!(session.state(), State::LoggedIn { .. }), "{:?}", session.state());
}
