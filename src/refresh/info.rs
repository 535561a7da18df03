//! What a session has to know of a refresher before it calls it.

use std::fmt;
use std::sync::Arc;

use reqwest::Url;

use crate::cookies::Cookies;

/// What a session has to know of a [`Refresher`](crate::Refresher) before it calls it.
///
/// A refresher that wraps another one starts from the other's:
///
/// ```
/// use reqwest_auth_refresh::{FirstLogin, RefresherInfo};
///
/// let info = RefresherInfo::default()
///     .with_first_login(FirstLogin::Unattended)
///     .with_registration("vault https://vault.example/token my-service orders");
/// assert_eq!(info.registration(), Some("vault https://vault.example/token my-service orders"));
/// ```
#[derive(Clone, Default)]
pub struct RefresherInfo {
    first_login: FirstLogin,
    endpoints: Vec<Url>,
    registration: Option<Arc<str>>,
    never_resubmit: bool,
    cookies: Option<Arc<Cookies>>,
}

/// How the first tokens of a session come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum FirstLogin {
    /// A person logs in, and the program hands the tokens over.
    #[default]
    Interactive,
    /// The refresher gets the first tokens by itself, as with client credentials.
    Unattended,
    /// The session is assumed to be logged in, with tokens that the program cannot see, as with cookies.
    Assumed,
}

impl RefresherInfo {
    /// How the first tokens come; [`FirstLogin::Interactive`] by default.
    #[must_use]
    pub fn with_first_login(mut self, first_login: FirstLogin) -> Self {
        self.first_login = first_login;
        self
    }

    /// The addresses that the refresher calls, in place of those named before. Requests to them are never signed and never
    /// refreshed, also when the program sends them itself. None by default.
    #[must_use]
    pub fn with_endpoints(mut self, endpoints: impl IntoIterator<Item = Url>) -> Self {
        self.endpoints = endpoints.into_iter().collect();
        self
    }

    /// What the session's records belong to: the client as it is registered at one issuer. None by default.
    ///
    /// It is written into each record, in clear, so that a session never uses, overwrites or ends the record of another
    /// registration that a store holds under the same session id. Name the kind of refresher, the issuer or its endpoint, the
    /// client id, and for tokens that come without a login also what they are for (scope, audience, resource, subject). Never
    /// put a secret into it.
    #[must_use]
    pub fn with_registration(mut self, registration: impl Into<Arc<str>>) -> Self {
        self.registration = Some(registration.into());
        self
    }

    /// Says that a refresh whose response was lost must not be sent again with the same refresh token. By default it is sent
    /// once more at once, since many issuers answer a repeated request with the same tokens for a while; some end the grant
    /// when a refresh token comes twice.
    #[must_use]
    pub fn with_never_resubmit(mut self) -> Self {
        self.never_resubmit = true;
        self
    }

    /// The cookies that the refresher and the requests of its session share, where a session lives in cookies. None by
    /// default.
    #[must_use]
    pub fn with_cookies(mut self, cookies: Arc<Cookies>) -> Self {
        self.cookies = Some(cookies);
        self
    }

    /// How the first tokens come.
    #[must_use]
    pub fn first_login(&self) -> FirstLogin {
        self.first_login
    }

    /// The addresses that the refresher calls.
    #[must_use]
    pub fn endpoints(&self) -> &[Url] {
        &self.endpoints
    }

    /// What the session's records belong to.
    #[must_use]
    pub fn registration(&self) -> Option<&str> {
        self.registration.as_deref()
    }

    /// Whether a refresh whose response was lost must not be sent again.
    #[must_use]
    pub fn never_resubmit(&self) -> bool {
        self.never_resubmit
    }

    /// The cookies that the refresher and the requests of its session share.
    #[must_use]
    pub fn cookies(&self) -> Option<&Arc<Cookies>> {
        self.cookies.as_ref()
    }
}

/// Shows the addresses without their queries, which may hold a secret.
impl fmt::Debug for RefresherInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints =
            self.endpoints.iter().map(|url| format!("{}{}", url.origin().ascii_serialization(), url.path()));
        f.debug_struct("RefresherInfo")
            .field("first_login", &self.first_login)
            .field("endpoints", &endpoints.collect::<Vec<_>>())
            .field("registration", &self.registration)
            .field("never_resubmit", &self.never_resubmit)
            .field("cookies", &self.cookies)
            .finish()
    }
}
