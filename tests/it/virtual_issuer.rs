//! The issuer of the virtual world: the grants of the test issuer on virtual time, without a wire. It also knows which
//! access tokens an API should take.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::StatusCode;
use reqwest_auth_refresh::{Clock, RefreshError, RefreshRequest, Refresher, Tokens};
use secrecy::ExposeSecret;

use crate::support::{Grants, Holder, Issued, Refused, Rotation};
use crate::virtual_world::VirtualClock;

const HOUR: Duration = Duration::from_secs(3600);

/// Whose grants they are where nobody asks.
const USER: &str = "a";

/// An issuer. Clones are the same.
#[derive(Clone)]
pub(crate) struct Issuer {
    grants: Grants,
    clock: VirtualClock,
    desk: Arc<Mutex<Desk>>,
}

struct Desk {
    /// How long an answer takes.
    takes: Duration,
    calls: usize,
    failure: Option<RefreshError>,
    revoked: Vec<String>,
}

impl Default for Issuer {
    /// Answers after 100 ms, with access tokens that live for an hour.
    fn default() -> Self {
        let grants = Grants::new(HOUR);
        grants.set_names(name);
        let desk = Desk { takes: Duration::from_millis(100), calls: 0, failure: None, revoked: Vec::new() };
        Self { grants, clock: VirtualClock::start(), desk: Arc::new(Mutex::new(desk)) }
    }
}

impl Issuer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn taking(self, takes: Duration) -> Self {
        self.desk().takes = takes;
        self
    }

    pub(crate) fn with_life(self, life: Duration) -> Self {
        self.grants.set_access_life(life);
        self
    }

    /// Access tokens live on and on, and nobody is told how long.
    pub(crate) fn without_expiry(self) -> Self {
        self.grants.set_tells_expiry(false);
        self.with_life(100 * 365 * 24 * HOUR)
    }

    /// A second use of a refresh token is refused, and that is all.
    pub(crate) fn forgiving(self) -> Self {
        self.grants.set_rotation(Rotation::Forgiving);
        self
    }

    /// The old access token dies with the rotation.
    pub(crate) fn with_one_access_token(self) -> Self {
        self.grants.set_one_access_token(true);
        self
    }

    /// Tokens of a new login.
    pub(crate) fn tokens(&self) -> Tokens {
        self.login(USER)
    }

    /// Tokens of a new login of this user.
    pub(crate) fn login(&self, user: &str) -> Tokens {
        tokens(self.grants.login(user, self.clock.wall()))
    }

    pub(crate) fn calls(&self) -> usize {
        self.desk().calls
    }

    /// Refresh tokens that were traded for new tokens.
    pub(crate) fn rotations(&self) -> usize {
        self.grants.counts().accepted
    }

    /// Refresh tokens that came a second time.
    pub(crate) fn reuses(&self) -> usize {
        self.grants.counts().reuse
    }

    /// How many logins have a refresh token that still works.
    pub(crate) fn living(&self) -> usize {
        self.grants.counts().live_grants
    }

    /// The refresh tokens that were revoked, in order.
    pub(crate) fn revoked(&self) -> Vec<String> {
        self.desk().revoked.clone()
    }

    /// Whether these are the newest tokens of a living login.
    pub(crate) fn is_newest(&self, tokens: &Tokens) -> bool {
        tokens.refresh_token().is_some_and(|token| self.grants.is_newest(token.expose_secret()))
    }

    /// From now on the API takes none of the access tokens issued so far.
    pub(crate) fn end_access_tokens(&self) {
        self.end_access_tokens_of(USER);
    }

    pub(crate) fn end_access_tokens_of(&self, user: &str) {
        self.grants.revoke_access(user);
    }

    /// From now on every call ends so.
    pub(crate) fn fail(&self, failure: RefreshError) {
        self.desk().failure = Some(failure);
    }

    pub(crate) fn recover(&self) {
        self.desk().failure = None;
    }

    /// From now on the access token stays the same, whatever is spent for it.
    pub(crate) fn repeat_itself(&self) {
        self.grants.set_repeats_access_token(true);
    }

    /// Whether an API should take this access token.
    pub(crate) fn accepts(&self, access_token: Option<&str>) -> bool {
        access_token.is_some_and(|token| self.grants.check(token, self.clock.wall()).is_ok())
    }

    /// One call of the token endpoint. What it does to the grant is done when it arrives.
    pub(crate) async fn refresh(self, request: RefreshRequest) -> Result<Tokens, RefreshError> {
        let answer = self.rotate(&request);
        let takes = self.desk().takes;
        tokio::time::sleep(takes).await;
        answer
    }

    /// Trades a refresh token for new tokens, at once.
    pub(crate) fn rotate(&self, request: &RefreshRequest) -> Result<Tokens, RefreshError> {
        let mut desk = self.desk();
        desk.calls += 1;
        if let Some(failure) = &desk.failure {
            return Err(failure.clone());
        }
        match self.grants.redeem(refresh_token(request), self.clock.wall()) {
            Ok(issued) => Ok(tokens(issued)),
            Err(Refused::Unknown) => panic!("nobody ever got this refresh token"),
            Err(Refused::Ended | Refused::Reused) => Err(RefreshError::rejected("invalid_grant")),
        }
    }

    /// Ends a login, if this is its newest refresh token.
    pub(crate) fn revoke(&self, request: &RefreshRequest) {
        let unwanted = refresh_token(request);
        self.grants.revoke_token(unwanted);
        self.desk().revoked.push(unwanted.to_owned());
    }

    pub(crate) fn refresher(&self) -> impl Refresher + use<> {
        let issuer = self.clone();
        move |request: RefreshRequest| issuer.clone().refresh(request)
    }

    /// An API that judges a token when it comes, and answers after this time.
    pub(crate) fn api(
        &self,
        latency: Duration,
    ) -> impl Fn(Option<String>) -> BoxFuture<'static, StatusCode> + Send + Sync + use<> {
        let issuer = self.clone();
        move |bearer| {
            let status = if issuer.accepts(bearer.as_deref()) { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            Box::pin(async move {
                tokio::time::sleep(latency).await;
                status
            })
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refresh_token(request: &RefreshRequest) -> &str {
    request.refresh_token().expect("a session with tokens has a refresh token").expose_secret()
}

fn tokens(issued: Issued) -> Tokens {
    let tokens = Tokens::new(issued.access_token).expect("a token that can be sent");
    let tokens = tokens.with_expires_in(issued.expires_in.unwrap_or_default());
    issued.refresh_token.into_iter().fold(tokens, Tokens::with_refresh_token)
}

/// The text of a token; logins and generations count from 0, as a session's generations do.
fn name(kind: &str, holder: &Holder) -> String {
    format!("{kind}.{}.{}.{}", holder.user, holder.grant - 1, holder.generation - 1)
}

/// Whose token this is.
pub(crate) fn user_of(token: &str) -> &str {
    token.split('.').nth(1).unwrap()
}
