//! The refresh token grant of RFC 6749 section 6.

use std::fmt;

use async_trait::async_trait;
use http::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{ClientBuilder, Method, Url};
use secrecy::SecretString;

use crate::platform;
use crate::refresh::answer::Expect;
use crate::refresh::client::TokenClient;
use crate::refresh::contract::{RefreshRequest, Refresher, Revocation};
use crate::refresh::dialect::Dialect;
use crate::refresh::endpoint::Endpoint;
use crate::refresh::error::RefreshError;
use crate::refresh::failure::Failure;
use crate::refresh::info::RefresherInfo;
use crate::refresh::revocation;
use crate::refresh::setup::SetupError;
use crate::refresh::wire::{self, Authentication, ClientIdentity, Sent};
use crate::tokens::Tokens;

/// What this grant writes by itself, or what would be a second client authentication.
const RESERVED: [&str; 7] =
    ["client_assertion", "client_assertion_type", "client_id", "client_secret", "grant_type", "refresh_token", "scope"];

/// The refresh token grant (RFC 6749 section 6): sends the refresh token to the issuer's token endpoint, and reads the
/// new tokens from its answer.
///
/// ```
/// use reqwest_auth_refresh::{RefreshGrant, SetupError};
///
/// let public = RefreshGrant::new("https://issuer.example/token", "my-app")?;
/// let confidential = RefreshGrant::new("https://issuer.example/token", "my-service")?
///     .basic("its secret")
///     .parameter("audience", "https://api.example.com")?;
///
/// assert!(matches!(RefreshGrant::new("http://issuer.example/token", "my-app"), Err(SetupError::NotHttps)));
/// # Ok::<(), SetupError>(())
/// ```
///
/// # Client authentication
///
/// Without further ado the client is public: its id is sent in the form. [`basic`](Self::basic),
/// [`basic_raw`](Self::basic_raw) and [`post`](Self::post) are the ways to send a secret; the last one called counts, and
/// exactly one is used. The issuer's documentation says which; trying would spend refresh tokens.
///
/// # What an answer means
///
/// - A 2xx with an access token: the new tokens. JSON and forms are read, leniently.
/// - The code `invalid_grant` (or GitHub's `bad_refresh_token`) with any status, also 200: the grant is dead.
/// - `invalid_client`, `invalid_request`, `invalid_scope`, `invalid_target`, `unauthorized_client`,
///   `unsupported_grant_type`: the program is set up wrongly; the tokens are kept.
/// - Anything else, so also a redirect, an unknown 4xx, a page of HTML or more than 1 MiB: no tokens now. They are kept,
///   and the status and the code are in the error.
/// - Where the issuer differs from that, a [`Dialect`] says how.
/// - No answer: no tokens now. If the request may have been sent, the session sends it once more; see
///   [`never_resubmit`](Self::never_resubmit).
///
/// # Limits
///
/// Bounds an attempt only by its five seconds for a connection; the session bounds the whole. In a browser, `fetch`
/// follows redirects by itself, a 307 with the refresh token in it, and an answer is measured after it was read.
#[derive(Clone)]
pub struct RefreshGrant {
    endpoint: Endpoint,
    revocation: Option<Endpoint>,
    client: ClientIdentity,
    scope: Option<String>,
    parameters: Vec<(String, SecretString)>,
    dialect: Dialect,
    never_resubmit: bool,
    http: TokenClient,
}

impl RefreshGrant {
    /// A grant of the client `client_id` at this token endpoint, which must be `https`, or `http` on a loopback host
    /// (`localhost`, `127.0.0.0/8`, `::1`). The endpoint's own query is kept. An empty `client_id` is not sent.
    ///
    /// # Errors
    ///
    /// When the endpoint is no such URL, has a fragment or user information, or the HTTP client cannot be built.
    pub fn new(token_endpoint: impl AsRef<str>, client_id: impl Into<String>) -> Result<Self, SetupError> {
        Self::at(Endpoint::new(token_endpoint.as_ref())?, client_id.into())
    }

    /// As [`new`](Self::new), but with `http` on any host: everyone on the way can read the refresh token and the
    /// client's secret, and keep them. For a network of containers that nobody else is on.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn dangerous_http(token_endpoint: impl AsRef<str>, client_id: impl Into<String>) -> Result<Self, SetupError> {
        Self::at(Endpoint::dangerous_http(token_endpoint.as_ref())?, client_id.into())
    }

    fn at(endpoint: Endpoint, id: String) -> Result<Self, SetupError> {
        Ok(Self {
            endpoint,
            revocation: None,
            client: ClientIdentity { id, authentication: Authentication::Public },
            scope: None,
            parameters: Vec::new(),
            dialect: Dialect::new(),
            never_resubmit: false,
            http: TokenClient::finish(ClientBuilder::new())?,
        })
    }

    /// Sends the client's id and this secret in the `Authorization` header, each form-urlencoded first as RFC 6749
    /// section 2.3.1 has it. Off by default.
    #[must_use]
    pub fn basic(mut self, secret: impl Into<SecretString>) -> Self {
        self.client.authentication = Authentication::Basic(secret.into());
        self
    }

    /// Sends the client's id and this secret in the `Authorization` header as they are, for the many issuers that do not
    /// decode them. It is the same as [`basic`](Self::basic) where both are made of ASCII letters, digits and `*-._`. An
    /// id with a colon cannot be sent this way. Off by default.
    #[must_use]
    pub fn basic_raw(mut self, secret: impl Into<SecretString>) -> Self {
        self.client.authentication = Authentication::BasicRaw(secret.into());
        self
    }

    /// Sends the client's id and this secret in the form. Off by default.
    #[must_use]
    pub fn post(mut self, secret: impl Into<SecretString>) -> Self {
        self.client.authentication = Authentication::Post(secret.into());
        self
    }

    /// Asks for this scope. By default none is named, and the new tokens have the scope of the grant; some issuers refuse
    /// a refresh that names one. A scope can only be narrower than the grant's (RFC 6749 section 6). An empty one counts
    /// as none.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into()).filter(|scope| !scope.is_empty());
        self
    }

    /// Sends this parameter too, such as `audience`. An empty value counts as left out (RFC 6749 section 3.2). Only
    /// `resource` may be added more than once (RFC 8707 section 2).
    ///
    /// # Errors
    ///
    /// When the name is empty, one of the grant's own or of client authentication, or was added before; when a `resource`
    /// is no absolute URI or has a fragment.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Result<Self, SetupError> {
        let (name, value) = (name.into(), value.into());
        if name.is_empty() || RESERVED.contains(&name.as_str()) {
            return Err(SetupError::Reserved(name));
        }
        if name == "resource" {
            if !Url::parse(&value).is_ok_and(|uri| uri.fragment().is_none()) {
                return Err(SetupError::Resource);
            }
        } else if self.parameters.iter().any(|(added, _)| *added == name) {
            return Err(SetupError::Repeated(name));
        }
        self.parameters.push((name, value.into()));
        Ok(self)
    }

    /// Tells this endpoint about a logout (RFC 7009): the refresh token is revoked, or where there is none, the access token; none
    /// by default. The client authenticates as it does at the token endpoint.
    ///
    /// The session is logged out here first, and stays so whatever the issuer says. That is in the
    /// [report](crate::LogoutReport): revoked, also where the issuer knows the token no longer; not supported for such tokens; or
    /// why it could not be told. An issuer that is away for five seconds at the most is asked once more after them. A refresh
    /// token that a refresh brings after the logout is revoked as well.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new). `http` on any host will do if it did there.
    pub fn revocation(mut self, endpoint: impl AsRef<str>) -> Result<Self, SetupError> {
        let plain = self.endpoint.url().scheme() == "http";
        let at = if plain { Endpoint::dangerous_http(endpoint.as_ref())? } else { Endpoint::new(endpoint.as_ref())? };
        self.revocation = Some(at);
        Ok(self)
    }

    /// Reads the issuer's answers by this dialect; by RFC 6749 alone by default.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// For an issuer that ends a grant when a refresh token comes twice: an answer that got lost is not asked for at once
    /// with the same refresh token, as it is by default. The next request that needs tokens will send it again, since
    /// there is no other.
    #[must_use]
    pub fn never_resubmit(mut self) -> Self {
        self.never_resubmit = true;
        self
    }

    /// Sends with a client of your making: a proxy, a certificate authority, a client certificate, a `User-Agent`.
    ///
    /// It is finished here, whatever was set before: it follows no redirects, sends nothing twice, sends no `Referer`,
    /// decompresses nothing, keeps no connection for later, and gives a connection five seconds. A default
    /// `Authorization` header would be a client authentication that this grant does not know of: leave it out.
    ///
    /// # Errors
    ///
    /// When the client cannot be built.
    pub fn http(mut self, builder: ClientBuilder) -> Result<Self, SetupError> {
        self.http = TokenClient::finish(builder)?;
        Ok(self)
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl Refresher for RefreshGrant {
    async fn refresh(&self, request: RefreshRequest) -> Result<Tokens, RefreshError> {
        let Some(refresh_token) = request.refresh_token() else {
            return Err(RefreshError::rejected("no_refresh_token"));
        };
        let form = wire::refresh_form(refresh_token, &self.client, self.scope.as_deref(), &self.parameters);
        let mut post = self.http.request(Method::POST, &self.endpoint).header(ACCEPT, "application/json");
        post = post.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        if let Some((user, password)) = self.client.basic() {
            post = post.basic_auth(&*user, Some(&*password));
        }
        let sent = self.http.send(post, &self.endpoint).await;
        let answer = sent.map_err(Failure::into_error)?;
        let secrets = Sent::new([refresh_token].into_iter().chain(self.client.secret()));
        // Of the statuses none is known to mean that the grant is dead.
        answer.judge(&self.dialect, Expect::Tokens, &[], &secrets, platform::wall())
    }

    fn info(&self) -> RefresherInfo {
        let called = [Some(&self.endpoint), self.revocation.as_ref()].into_iter().flatten();
        let info = RefresherInfo::default()
            .with_endpoints(called.map(|endpoint| endpoint.url().clone()))
            .with_registration(format!("refresh_grant {} {}", self.endpoint.name(), self.client.id));
        if self.never_resubmit { info.with_never_resubmit() } else { info }
    }

    async fn revoke(&self, request: RefreshRequest) -> Result<Revocation, RefreshError> {
        match &self.revocation {
            Some(endpoint) => revocation::revoke(&request, endpoint, &self.client, &self.http).await,
            None => Ok(Revocation::NotConfigured),
        }
    }
}

/// Shows no id and no value: some issuers want a secret as the id, or in a parameter.
impl fmt::Debug for RefreshGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshGrant")
            .field("token_endpoint", &self.endpoint.name())
            .field("revocation_endpoint", &self.revocation.as_ref().map(Endpoint::name))
            .field("authentication", &self.client.authentication)
            .field("scope", &self.scope)
            .field("parameters", &self.parameters.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("dialect", &self.dialect)
            .field("never_resubmit", &self.never_resubmit)
            .finish_non_exhaustive()
    }
}
