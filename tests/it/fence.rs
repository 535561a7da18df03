//! Logout wins, and so does login: what the program says last stands, whatever was on its way to or from the store.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Extensions, StatusCode};
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use reqwest::{Request, Response, ResponseBuilderExt};
use reqwest_auth_refresh::{
    AuthError, FirstLogin, MemoryStore, Record, RefreshError, RefreshRequest, Refresher, RefresherInfo, Session,
    SessionId, State, StoreError, Swap, TokenStore, Tokens, Version, async_trait,
};

use reqwest_middleware::{Middleware, Next};

use crate::virtual_world::{API, Canned, VirtualClock, client};

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
    fn info(&self) -> RefresherInfo {
        RefresherInfo::default().with_first_login(FirstLogin::Unattended)
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

/// Somebody logs out the moment the new tokens are stored, before those who wait for them have a turn.
struct ThenLogout(MemoryStore, Arc<OnceLock<Session>>);

#[async_trait]
impl TokenStore for ThenLogout {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        self.0.load(id).await
    }
    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.0.remove(id).await
    }
    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        let swapped = self.0.swap(id, expected, new).await;
        if let (Some(session), 1) = (self.1.get().cloned(), new.version().generation) {
            tokio::spawn(async move { session.logout().await });
        }
        swapped
    }
}

#[tokio::test(start_paused = true)]
async fn a_logout_before_a_waiter_has_its_turn_ends_its_request() {
    let this = Arc::new(OnceLock::new());
    let refresher = |_: RefreshRequest| async { Tokens::new("new").map_err(RefreshError::unavailable) };
    let store = ThenLogout(MemoryStore::default(), Arc::clone(&this));
    let session = Session::builder(refresher).store(store).clock(VirtualClock::start()).build();
    session.login(Tokens::new("old").unwrap()).await.unwrap();
    drop(this.set(session.clone()));
    let (api, sent) = Canned::new(|token: Option<String>| async move {
        if token.as_deref() == Some("old") { StatusCode::UNAUTHORIZED } else { StatusCode::OK }
    });
    let error = client(&session, api).get(API).send().await.unwrap_err();
    assert!(AuthError::find(&error).unwrap().is_logged_out(), "{error:?}");
    assert_eq!(sent.load(Ordering::Relaxed), 1);
}

/// Refuses what is not new, with a body that takes its time to come.
struct Slowly(Arc<AtomicUsize>);

#[async_trait]
impl Middleware for Slowly {
    async fn handle(&self, request: Request, _: &mut Extensions, _: Next<'_>) -> reqwest_middleware::Result<Response> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let frames = futures_util::stream::once(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"refused")))
        });
        let body = reqwest::Body::wrap(StreamBody::new(frames));
        let response = http::Response::builder().status(401).url(request.url().clone()).body(body);
        Ok(response.unwrap().into())
    }
}

#[tokio::test(start_paused = true)]
async fn a_logout_while_the_first_response_is_drained_ends_the_request() {
    let refresher = |_: RefreshRequest| async { Tokens::new("new").map_err(RefreshError::unavailable) };
    let session = Session::builder(refresher).clock(VirtualClock::start()).build();
    session.login(Tokens::new("old").unwrap()).await.unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let request = tokio::spawn(client(&session, Slowly(Arc::clone(&sent))).get(API).send());
    tokio::time::sleep(Duration::from_millis(25)).await;
    session.logout().await.unwrap();
    let error = request.await.unwrap().unwrap_err();
    let error = AuthError::find(&error).unwrap();
    assert!(error.is_logged_out() && error.status() == Some(StatusCode::UNAUTHORIZED), "{error:?}");
    assert_eq!(sent.load(Ordering::Relaxed), 1);
}
