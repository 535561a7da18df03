//! The middleware as a program sees it: made from a session and the origins that its tokens may be sent to.

use std::time::Duration;

use crate::policy::origins::Origins;
use crate::policy::paths::ExcludedPaths;
use crate::session::Session;

/// Keeps a client logged in: signs each request with the session's access token, and when a response says that it is no
/// longer good, has it refreshed and sends the request once more.
///
/// ```no_run
/// use reqwest_auth_refresh::{AuthRefresh, Origins, RefreshGrant, Session};
/// use reqwest_middleware::ClientBuilder;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let session = Session::new(RefreshGrant::new("https://issuer.example/token", "my-app")?);
/// let origins = Origins::new("https://api.example.com")?;
/// let client = ClientBuilder::new(reqwest::Client::new()).with(AuthRefresh::new(&session, origins)).build();
/// # drop(client);
/// # Ok(())
/// # }
/// ```
///
/// Put retry layers outside it and tracing layers where you like; what it does to one request counts as one try.
///
/// A request passes untouched, and so does its response, when its address is not within the origins, when it has an
/// `Authorization` header of its own, when its path is excluded, when it goes to the refresher's own endpoint, or when it
/// [asked to](crate::RequestBuilderExt::unsigned). A debug event of `tracing` says which of them it was.
#[derive(Debug, Clone)]
pub struct AuthRefresh {
    pub(crate) session: Session,
    pub(crate) origins: Origins,
    pub(crate) excluded: ExcludedPaths,
    pub(crate) require_login: bool,
    pub(crate) early_wait: Duration,
}

impl AuthRefresh {
    /// Signs requests to these origins with the tokens of this session.
    #[must_use]
    pub fn new(session: &Session, origins: Origins) -> Self {
        let excluded = ExcludedPaths::default().and_endpoints(session.engine().refresher.endpoints(), &origins);
        let early_wait = Duration::from_secs(2);
        Self { session: session.clone(), origins, excluded, require_login: false, early_wait }
    }

    /// Leaves requests alone whose path begins with these whole segments, on any of the origins: `/login` means `/login`
    /// and `/login/code`, and not `/logins`. None by default.
    #[must_use]
    pub fn exclude(mut self, path: &str) -> Self {
        self.excluded = self.excluded.exclude(path);
        self
    }

    /// Fails with [`needs_login`](crate::AuthError::needs_login) when nobody is logged in. By default such a request goes
    /// out unsigned, since it may be the login itself.
    #[must_use]
    pub fn require_login(mut self) -> Self {
        self.require_login = true;
        self
    }

    /// How long the response of a request that began an early refresh is held back until the new tokens are saved; 2
    /// seconds by default, and never more than a quarter of the request's own timeout. A program that sends one request and
    /// ends would otherwise end between rotation and save. A service that goes on running may say zero.
    #[must_use]
    pub fn early_wait(mut self, wait: Duration) -> Self {
        self.early_wait = wait;
        self
    }
}
