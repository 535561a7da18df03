//! Clients as they are written by hand: what a torture must be able to catch. They take the same legs in the same order as a
//! session does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Extensions, StatusCode};
use reqwest::{Request, Response};
use reqwest_auth_refresh::{
    Lock, Record, RefreshReason, RefreshRequest, Refresher, SessionId, StoreError, TokenStore, Tokens, async_trait,
};
use reqwest_middleware::{Error, Middleware, Next, Result};
use secrecy::ExposeSecret;
use tokio::sync::{OnceCell, watch};

use crate::gated_world::{FIRST, GatedStore, Grant, World};
use crate::support::lock_within;
use crate::support::put;

/// What all of them have.
#[derive(Clone)]
struct Ground {
    store: GatedStore,
    grant: Grant,
    tokens: Arc<Mutex<Option<Arc<Tokens>>>>,
}

impl Ground {
    fn of(world: &World) -> Self {
        Self { store: world.store.clone(), grant: world.grant.clone(), tokens: Arc::default() }
    }

    fn tokens(&self) -> Option<Arc<Tokens>> {
        self.tokens.lock().unwrap().clone()
    }

    fn set(&self, tokens: Option<Arc<Tokens>>) {
        *self.tokens.lock().unwrap() = tokens;
    }

    /// What is in memory, or else in the store.
    async fn loaded(&self) -> Result<Option<Arc<Tokens>>> {
        if self.tokens().is_none() {
            let record = self.store.load(&SessionId::default()).await.map_err(store)?;
            if let Some(tokens) = record.as_ref().and_then(Record::tokens) {
                self.set(Some(Arc::new(tokens.clone())));
            }
        }
        Ok(self.tokens())
    }

    /// Takes the lock, reads, refreshes, saves.
    async fn refresh(&self, old: Arc<Tokens>) -> Result<Arc<Tokens>> {
        let id = SessionId::default();
        let lock = self.store.lock(&id, lock_within(Duration::from_secs(30))).await.map_err(store)?;
        let _read = self.store.load(&id).await.map_err(store)?;
        let request = RefreshRequest::new(id.clone(), Some(old), RefreshReason::Unauthorized, Duration::from_secs(10));
        let tokens = self.grant.refresh(request).await.map_err(Error::middleware)?;
        put(&self.store, &id, &Record::of_tokens("default", FIRST.next(), tokens.clone())).await.map_err(store)?;
        if let Lock::Held(guard) = lock {
            guard.release().await;
        }
        Ok(Arc::new(tokens))
    }
}

fn store(error: StoreError) -> Error {
    Error::middleware(error)
}

fn signed(request: &Request, tokens: &Tokens) -> Request {
    let mut request = request.try_clone().unwrap();
    let header = format!("Bearer {}", tokens.access_token().unwrap().expose_secret());
    request.headers_mut().insert("authorization", header.parse().unwrap());
    request
}

/// The refresh is in a `OnceCell`: whoever comes first drives it, and takes it along when it goes.
pub(crate) struct InOnceCell {
    ground: Ground,
    /// Where the successor of the tokens in memory will be.
    next: Mutex<Arc<OnceCell<Arc<Tokens>>>>,
}

impl InOnceCell {
    pub(crate) fn of(world: &World) -> Self {
        Self { ground: Ground::of(world), next: Mutex::default() }
    }

    /// The cell is full: the next refresh needs another.
    fn follow(&self, full: &Arc<OnceCell<Arc<Tokens>>>) {
        let mut current = self.next.lock().unwrap();
        if Arc::ptr_eq(&*current, full) {
            *current = Arc::default();
        }
    }
}

#[async_trait]
impl Middleware for InOnceCell {
    async fn handle(&self, request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        let Some(tokens) = self.ground.loaded().await? else { return next.run(request, extensions).await };
        let response = next.clone().run(signed(&request, &tokens), extensions).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let cell = Arc::clone(&*self.next.lock().unwrap());
        let tokens = cell.get_or_try_init(|| self.ground.refresh(tokens)).await?;
        self.ground.set(Some(Arc::clone(tokens)));
        self.follow(&cell);
        next.run(signed(&request, tokens), extensions).await
    }
}

/// A `Mutex` is held around the refresh: whoever holds it refreshes, and drops the refresh when it goes.
pub(crate) struct UnderMutex {
    ground: Ground,
    refreshing: tokio::sync::Mutex<()>,
}

impl UnderMutex {
    pub(crate) fn of(world: &World) -> Self {
        Self { ground: Ground::of(world), refreshing: tokio::sync::Mutex::default() }
    }
}

#[async_trait]
impl Middleware for UnderMutex {
    async fn handle(&self, request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        let Some(tokens) = self.ground.loaded().await? else { return next.run(request, extensions).await };
        let response = next.clone().run(signed(&request, &tokens), extensions).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let refreshing = self.refreshing.lock().await;
        let current = self.ground.tokens().unwrap();
        let tokens = if Arc::ptr_eq(&current, &tokens) { self.ground.refresh(tokens).await? } else { current };
        self.ground.set(Some(Arc::clone(&tokens)));
        drop(refreshing);
        next.run(signed(&request, &tokens), extensions).await
    }
}

/// One spawned refresh for everybody, as it should be, but nothing that tells one login from another. Clones are one.
#[derive(Clone)]
pub(crate) struct Unfenced {
    ground: Ground,
    flight: Arc<Mutex<Option<watch::Receiver<bool>>>>,
}

impl Unfenced {
    pub(crate) fn of(world: &World) -> Self {
        Self { ground: Ground::of(world), flight: Arc::default() }
    }

    pub(crate) async fn load(&self) {
        self.ground.loaded().await.unwrap();
    }

    pub(crate) async fn login(&self, tokens: Tokens) {
        self.ground.set(Some(Arc::new(tokens.clone())));
        let record = Record::of_tokens("default", FIRST, tokens);
        put(&self.ground.store, &SessionId::default(), &record).await.unwrap();
    }

    pub(crate) async fn logout(&self) {
        self.ground.set(None);
        self.ground.store.remove(&SessionId::default()).await.unwrap();
    }

    pub(crate) fn tokens(&self) -> Option<Arc<Tokens>> {
        self.ground.tokens()
    }

    /// Boards the refresh.
    fn board(&self, tokens: Arc<Tokens>) -> watch::Receiver<bool> {
        let mut flight = self.flight.lock().unwrap();
        if let Some(up) = &*flight {
            return up.clone();
        }
        let (landed, landing) = watch::channel(false);
        *flight = Some(landing.clone());
        drop(flight);
        let this = self.clone();
        tokio::spawn(async move {
            if let Ok(tokens) = this.ground.refresh(tokens).await {
                this.ground.set(Some(tokens));
            }
            *this.flight.lock().unwrap() = None;
            landed.send_replace(true);
        });
        landing
    }
}

#[async_trait]
impl Middleware for Unfenced {
    async fn handle(&self, request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        let Some(tokens) = self.ground.loaded().await? else { return next.run(request, extensions).await };
        let response = next.clone().run(signed(&request, &tokens), extensions).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let mut landing = self.board(tokens);
        drop(landing.wait_for(|landed| *landed).await);
        let Some(tokens) = self.ground.tokens() else { return Ok(response) };
        next.run(signed(&request, &tokens), extensions).await
    }
}
