//! Many sessions in one process keep apart: nobody gets another's tokens, nobody waits for another, and what is forgotten is
//! not missed.

mod ambience;
mod apart;
mod doors;
mod ending;
mod forgetting;
mod listening;
mod logged_out;
mod named_api;
mod resting;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::{Extensions, StatusCode};
use reqwest::{Request, Response};
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, Origins, RefreshError, RefreshRequest, Refresher, RequestBuilderExt, Revocation,
    SessionBuilder, Sessions, Tokens,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};

use crate::virtual_issuer::{Issuer, user_of};
use crate::virtual_world::{API, VirtualClock, bearer, response};

const LATENCY: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);

/// Whom a request is for, as it says itself.
const TAG: &str = "x-tag";

/// The issuer as a refresher that can revoke too.
#[derive(Clone)]
struct Grant(Issuer);

#[async_trait]
impl Refresher for Grant {
    async fn refresh(&self, request: RefreshRequest) -> Result<Tokens, RefreshError> {
        self.0.clone().refresh(request).await
    }

    async fn revoke(&self, request: RefreshRequest) -> Result<Revocation, RefreshError> {
        self.0.revoke(&request);
        Ok(Revocation::Revoked)
    }
}

/// An API that sees whose token each request carries, and for whom it says that it is.
#[derive(Clone)]
struct Echo {
    issuer: Issuer,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    sent: AtomicUsize,
    /// Somebody else's token.
    mixups: AtomicUsize,
    unsigned: AtomicUsize,
}

impl Echo {
    fn new(issuer: &Issuer) -> Self {
        Self { issuer: issuer.clone(), seen: Arc::default() }
    }

    fn sent(&self) -> usize {
        self.seen.sent.load(Ordering::Relaxed)
    }

    fn mixups(&self) -> usize {
        self.seen.mixups.load(Ordering::Relaxed)
    }

    fn unsigned(&self) -> usize {
        self.seen.unsigned.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Middleware for Echo {
    async fn handle(&self, request: Request, _: &mut Extensions, _: Next<'_>) -> reqwest_middleware::Result<Response> {
        let tag = request.headers().get(TAG).map(|tag| tag.to_str().unwrap());
        let token = bearer(&request);
        self.seen.sent.fetch_add(1, Ordering::Relaxed);
        match &token {
            None => self.seen.unsigned.fetch_add(1, Ordering::Relaxed),
            Some(token) => self.seen.mixups.fetch_add(usize::from(Some(user_of(token)) != tag), Ordering::Relaxed),
        };
        let good = self.issuer.accepts(token.as_deref());
        tokio::time::sleep(LATENCY).await;
        Ok(response(&request, if good { StatusCode::OK } else { StatusCode::UNAUTHORIZED }))
    }
}

/// Many sessions, a door for them, and everything around it.
struct World {
    issuer: Issuer,
    sessions: Sessions,
    api: Echo,
    client: ClientWithMiddleware,
}

impl World {
    fn new(issuer: Issuer) -> Self {
        Self::with(issuer, |sessions| sessions)
    }

    fn with(issuer: Issuer, set: impl FnOnce(SessionBuilder<Sessions>) -> SessionBuilder<Sessions>) -> Self {
        let sessions = set(Sessions::builder(Grant(issuer.clone())).clock(VirtualClock::start())).build();
        let api = Echo::new(&issuer);
        let client = client(&sessions, api.clone());
        Self { issuer, sessions, api, client }
    }

    async fn login(&self, user: &str) {
        self.sessions.session(user).login(self.issuer.login(user)).await.unwrap();
    }

    /// A request for this user.
    async fn get(&self, user: &str) -> Result<u16, AuthError> {
        get(&self.client, user).await
    }
}

async fn get(client: &ClientWithMiddleware, user: &str) -> Result<u16, AuthError> {
    let sent = client.get(format!("{API}/me")).header(TAG, user).acting_for(user).send().await;
    sent.map(|response| response.status().as_u16()).map_err(|error| ours(&error))
}

fn ours(error: &reqwest_middleware::Error) -> AuthError {
    AuthError::find(error).expect("an error of ours").clone()
}

fn client(sessions: &Sessions, last: impl Middleware) -> ClientWithMiddleware {
    let auth = AuthRefresh::new(sessions, Origins::new(API).unwrap());
    ClientBuilder::new(reqwest::Client::new()).with(auth).with(last).build()
}
