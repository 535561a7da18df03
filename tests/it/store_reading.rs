//! What is read in a store is judged like what was in memory all along, and a store that is wrong about itself does no harm.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use reqwest_auth_refresh::{
    Clock, LoginId, MemoryStore, Record, RefreshError, RefreshRequest, RequestBuilderExt, Session, SessionId, State,
    StoreError, Swap, TokenStore, Tokens, Version,
};
use secrecy::ExposeSecret;

use crate::support::found_instead;
use crate::support::put;
use crate::virtual_world::{API, Canned, VirtualClock, client};

/// A session over a store that holds tokens this old, of a life of an hour; and how often it was refreshed.
async fn session(age: Duration) -> (Session, Arc<AtomicUsize>) {
    let clock = VirtualClock::start();
    let stored = Tokens::new("stored").unwrap().with_expires_in(Duration::from_secs(3600));
    let stored =
        Record::of_tokens("default", Version::new(LoginId::from_bits(1), 0), stored.with_issued_at(clock.wall() - age));
    let store = MemoryStore::default();
    put(&store, &SessionId::default(), &stored).await.unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let refresher = move |_: RefreshRequest| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Tokens::new("new").map_err(RefreshError::unavailable) }
    };
    (Session::builder(refresher).store(store).clock(clock).build(), calls)
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_refreshed_before_anyone_gets_it() {
    for (age, expected, refreshed) in [(0, "stored", 0), (3600, "new", 1), (36_000, "new", 1)] {
        let age = Duration::from_secs(age);
        let (own, calls) = session(age).await;
        assert_eq!(own.access_token().await.unwrap().expose_secret(), expected);
        assert_eq!(calls.load(Ordering::Relaxed), refreshed);

        let (own, calls) = session(age).await;
        let (api, sent) = Canned::new(move |token: Option<String>| {
            std::future::ready(if token.as_deref() == Some(expected) {
                StatusCode::OK
            } else {
                StatusCode::UNAUTHORIZED
            })
        });
        assert_eq!(client(&own, api).get(API).send().await.unwrap().status(), StatusCode::OK);
        assert_eq!(
            (sent.load(Ordering::Relaxed), calls.load(Ordering::Relaxed)),
            (1, refreshed),
            "none is sent in vain"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn new_tokens_are_got_when_they_are_asked_for_first() {
    let (own, calls) = session(Duration::ZERO).await;
    own.refresh().await.unwrap();
    assert_eq!((own.access_token().await.unwrap().expose_secret(), calls.load(Ordering::Relaxed)), ("new", 1));

    let (own, calls) = session(Duration::ZERO).await;
    let (api, _) = Canned::new(|token: Option<String>| {
        assert_eq!(token.as_deref(), Some("new"));
        std::future::ready(StatusCode::OK)
    });
    client(&own, api).get(API).refresh_first().send().await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

/// A store of three methods that keeps what it cannot read.
#[derive(Clone, Default)]
struct Stubborn(Arc<Mutex<Vec<u8>>>);

#[async_trait]
impl TokenStore for Stubborn {
    async fn load(&self, _: &SessionId) -> Result<Option<Record>, StoreError> {
        Record::from_bytes(&self.0.lock().unwrap()).map(Some)
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        if let Some(found) = found_instead(self, id, expected).await? {
            return Ok(found);
        }
        *self.0.lock().unwrap() = new.to_bytes().to_vec();
        Ok(Swap::Done)
    }

    async fn remove(&self, _: &SessionId) -> Result<(), StoreError> {
        Err(StoreError::unavailable("a session never calls this"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_heals_a_store_that_holds_no_record() {
    let store = Stubborn::default();
    let never = |_: RefreshRequest| async { Err(RefreshError::unavailable("nobody asks")) };
    let own = Session::builder(never).store(store.clone()).build();
    assert!(own.access_token().await.unwrap_err().needs_login());
    own.login(Tokens::new("again").unwrap()).await.unwrap();
    assert!(matches!(own.state(), State::LoggedIn { saved: true, .. }));
    assert!(store.load(own.id()).await.is_ok_and(|record| record.is_some()));
}

/// A store that cannot read its record, and holds it all the same when it is to be replaced.
struct Contradictory {
    kept: MemoryStore,
    loads: Arc<AtomicUsize>,
}

#[async_trait]
impl TokenStore for Contradictory {
    async fn load(&self, _: &SessionId) -> Result<Option<Record>, StoreError> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        Err(StoreError::unreadable("no idea"))
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.kept.remove(id).await
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        self.kept.swap(id, expected, new).await
    }
}

/// In paused time a loop that never waits would go on for ever, past every bound.
#[tokio::test(start_paused = true)]
async fn a_store_that_contradicts_itself_is_not_asked_without_end() {
    let kept = MemoryStore::default();
    let stored = Record::of_tokens("default", Version::new(LoginId::from_bits(1), 0), Tokens::new("stored").unwrap());
    put(&kept, &SessionId::default(), &stored).await.unwrap();
    let loads = Arc::new(AtomicUsize::new(0));
    let store = Contradictory { kept, loads: Arc::clone(&loads) };
    let refresher = |_: RefreshRequest| async { Tokens::new("new").map_err(RefreshError::unavailable) };
    let own = Session::builder(refresher).store(store).clock(VirtualClock::start()).build();
    let (api, sent) = Canned::new(|token: Option<String>| {
        let good = token.as_deref() == Some("new");
        std::future::ready(if good { StatusCode::OK } else { StatusCode::UNAUTHORIZED })
    });
    assert_eq!(client(&own, api).get(API).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!((sent.load(Ordering::Relaxed), loads.load(Ordering::Relaxed)), (2, 2), "the first load, the refresh");
}

/// A store whose first answer to a write is lost, though it wrote.
struct LosesAnswers {
    kept: MemoryStore,
    lost: AtomicUsize,
}

#[async_trait]
impl TokenStore for LosesAnswers {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        self.kept.load(id).await
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.kept.remove(id).await
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        let done = self.kept.swap(id, expected, new).await;
        if self.lost.fetch_add(1, Ordering::Relaxed) == 0 { Err(StoreError::unavailable("no answer")) } else { done }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_stored_after_all_is_refreshed_when_that_is_asked_for() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let refresher = move |_: RefreshRequest| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Tokens::new("new").map_err(RefreshError::unavailable) }
    };
    let store = LosesAnswers { kept: MemoryStore::default(), lost: AtomicUsize::new(0) };
    let own = Session::builder(refresher).store(store).clock(VirtualClock::start()).build();
    assert!(own.login(Tokens::new("old").unwrap()).await.unwrap_err().is_store());
    own.refresh().await.unwrap();
    assert_eq!((own.access_token().await.unwrap().expose_secret(), calls.load(Ordering::Relaxed)), ("new", 1));
}
