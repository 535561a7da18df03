//! Refreshing at a home-grown endpoint that takes and gives JSON.

use std::fmt;

use async_trait::async_trait;
use reqwest::{ClientBuilder, Method};
use secrecy::SecretString;
use serde_json::Value;

use crate::platform;
use crate::refresh::answer::{Expect, HOME_GROWN};
use crate::refresh::client::TokenClient;
use crate::refresh::contract::{RefreshRequest, Refresher};
use crate::refresh::dialect::Dialect;
use crate::refresh::endpoint::Endpoint;
use crate::refresh::error::RefreshError;
use crate::refresh::failure::Failure;
use crate::refresh::info::RefresherInfo;
use crate::refresh::json_request::{JsonRequest, Place};
use crate::refresh::setup::SetupError;
use crate::tokens::Tokens;

/// A home-grown endpoint that takes the refresh token in JSON or a header, and gives new tokens in JSON: a gateway's
/// `/auth/refresh`, and not an OAuth token endpoint, which wants a `RefreshGrant`.
///
/// ```
/// use reqwest_auth_refresh::{Dialect, JsonRefresh, SetupError};
///
/// // {"auth": {"refreshToken": ".."}, "deviceId": "d-17"}
/// // {"status": "success", "data": {"accessToken": "..", "refreshToken": "..", "expiresIn": 900000}}
/// let answers = Dialect::new()
///     .access_token("data.accessToken")
///     .refresh_token("data.refreshToken")
///     .expires_in("data.expiresIn")
///     .milliseconds()
///     .success_when(|answer| answer.member("status").is_some_and(|status| status == "success"));
/// let gateway = JsonRefresh::post("https://api.example.com/auth/refresh")?
///     .refresh_token_member("auth.refreshToken")?
///     .member("deviceId", "d-17")?
///     .dialect(answers);
///
/// // ASP.NET: {"accessToken": "..", "refreshToken": ".."}, both ways
/// let asp_net = JsonRefresh::post("https://api.example.com/refresh")?
///     .access_token_member("accessToken")?
///     .refresh_token_member("refreshToken")?
///     .dialect(Dialect::new().access_token("accessToken").refresh_token("refreshToken").expires_in("expiresIn"));
///
/// // POST with `Authorization: Bearer <the refresh token>` and no body
/// let header = JsonRefresh::post("https://api.example.com/refresh")?.refresh_token_header("authorization", "Bearer ")?;
/// # drop((gateway, asp_net, header));
/// # Ok::<(), SetupError>(())
/// ```
///
/// # What an answer means
///
/// - A 2xx with an access token and without an error: the new tokens.
/// - 401, 403, or the code `invalid_grant`: the grant is dead. A page of HTML is none of these: a firewall or a proxy speaks.
/// - A code of RFC 6749 that blames the program, such as `invalid_client`: the program is set up wrongly; the tokens are kept.
/// - Anything else, so also a redirect, another 4xx, a 5xx or more than 1 MiB: no tokens now. They are kept.
/// - No answer: no tokens now. If the request may have been sent, the session sends it once more; see
///   [`never_resubmit`](Self::never_resubmit).
///
/// A [`Dialect`] says where things stand in the answer, and changes each of these lines. It also
/// [reads](Dialect::tokens) what the program's own login got from such an endpoint.
///
/// # Limits
///
/// Bounds an attempt only by its five seconds for a connection; the session bounds the whole. In a browser, `fetch`
/// follows redirects by itself, a 307 with the refresh token in it, and an answer is measured after it was read.
#[derive(Clone)]
pub struct JsonRefresh {
    endpoint: Endpoint,
    method: Method,
    request: JsonRequest,
    dialect: Dialect,
    never_resubmit: bool,
    http: TokenClient,
}

impl JsonRefresh {
    /// A POST to this endpoint, with the refresh token in the member `refresh_token` unless it is said otherwise. The
    /// endpoint must be `https`, or `http` on a loopback host (`localhost`, `127.0.0.0/8`, `::1`). Its query is kept.
    ///
    /// # Errors
    ///
    /// When the endpoint is no such URL, has a fragment or user information, or the HTTP client cannot be built.
    pub fn post(endpoint: impl AsRef<str>) -> Result<Self, SetupError> {
        Self::at(Method::POST, Endpoint::new(endpoint.as_ref())?)
    }

    /// As [`post`](Self::post), but with a PUT.
    ///
    /// # Errors
    ///
    /// As [`post`](Self::post).
    pub fn put(endpoint: impl AsRef<str>) -> Result<Self, SetupError> {
        Self::at(Method::PUT, Endpoint::new(endpoint.as_ref())?)
    }

    /// As [`post`](Self::post), but with a GET. It has no body: the refresh token is sent in the header
    /// `Authorization: Bearer` unless it is said otherwise, and there are no members.
    ///
    /// # Errors
    ///
    /// As [`post`](Self::post).
    pub fn get(endpoint: impl AsRef<str>) -> Result<Self, SetupError> {
        Self::at(Method::GET, Endpoint::new(endpoint.as_ref())?)
    }

    /// As [`post`](Self::post), [`put`](Self::put) or [`get`](Self::get), but with `http` on any host: everyone on the way
    /// can read the tokens, and keep them. For a network of containers that nobody else is on.
    ///
    /// # Errors
    ///
    /// As [`post`](Self::post), and when the method is another one.
    pub fn dangerous_http(method: Method, endpoint: impl AsRef<str>) -> Result<Self, SetupError> {
        if ![Method::GET, Method::POST, Method::PUT].contains(&method) {
            return Err(SetupError::Method);
        }
        Self::at(method, Endpoint::dangerous_http(endpoint.as_ref())?)
    }

    fn at(method: Method, endpoint: Endpoint) -> Result<Self, SetupError> {
        let request = if method == Method::GET {
            JsonRequest::new(false, Place::header("authorization", "Bearer ".to_owned())?)
        } else {
            JsonRequest::new(true, Place::member("refresh_token"))
        };
        let http = TokenClient::finish(ClientBuilder::new())?;
        Ok(Self { endpoint, method, request, dialect: Dialect::new(), never_resubmit: false, http })
    }

    /// Writes the refresh token into this member of the body; `refresh_token` by default. The path is written as in
    /// [`MemberPaths`](crate::MemberPaths): `auth.refreshToken` makes `{"auth": {"refreshToken": ".."}}`, and a number makes
    /// a member of that name. A session without a refresh token then [needs a login](RefreshError::rejected), with the code
    /// `no_refresh_token`, and nothing is sent.
    ///
    /// # Errors
    ///
    /// When the member is taken, or the request is a GET.
    pub fn refresh_token_member(mut self, path: impl AsRef<str>) -> Result<Self, SetupError> {
        self.request.refresh_token = Place::member(path.as_ref());
        self.checked()
    }

    /// Sends the refresh token in this header, after this prefix, and not in the body. The prefix of a bearer token is
    /// `"Bearer "`, with the space; a cookie's is `"refresh_token="`.
    ///
    /// # Errors
    ///
    /// When the header is taken, or cannot be sent.
    pub fn refresh_token_header(
        mut self,
        name: impl AsRef<str>,
        prefix: impl Into<String>,
    ) -> Result<Self, SetupError> {
        self.request.refresh_token = Place::header(name.as_ref(), prefix.into())?;
        self.checked()
    }

    /// Sends no refresh token, for an endpoint that takes the old access token, or nothing but a key. By default one is sent.
    #[must_use]
    pub fn without_refresh_token(mut self) -> Self {
        self.request.refresh_token = Place::Nowhere;
        self
    }

    /// Writes the access token, however old, into this member of the body too; it is not sent by default. A session whose
    /// access token cannot be seen then needs a login, with the code `no_access_token`.
    ///
    /// # Errors
    ///
    /// As [`refresh_token_member`](Self::refresh_token_member).
    pub fn access_token_member(mut self, path: impl AsRef<str>) -> Result<Self, SetupError> {
        self.request.access_token = Place::member(path.as_ref());
        self.checked()
    }

    /// Sends the access token, however old, in this header too, after this prefix; it is not sent by default.
    ///
    /// # Errors
    ///
    /// As [`refresh_token_header`](Self::refresh_token_header).
    pub fn access_token_header(mut self, name: impl AsRef<str>, prefix: impl Into<String>) -> Result<Self, SetupError> {
        self.request.access_token = Place::header(name.as_ref(), prefix.into())?;
        self.checked()
    }

    /// Sends this member too, the same each time, such as a device's id. None by default. The path is written as in
    /// [`refresh_token_member`](Self::refresh_token_member), and the value may be anything that JSON can say. A text is kept
    /// like a secret.
    ///
    /// # Errors
    ///
    /// When the member is taken, or the request is a GET.
    pub fn member(mut self, path: impl AsRef<str>, value: impl Into<Value>) -> Result<Self, SetupError> {
        self.request = self.request.with_member(path.as_ref(), value.into())?;
        Ok(self)
    }

    /// Sends this header too, the same each time, such as an API key. By default there are `Accept` and, with a body,
    /// `Content-Type`, both `application/json`, which may be said otherwise so.
    ///
    /// # Errors
    ///
    /// When the header is taken, or cannot be sent.
    pub fn header(mut self, name: impl AsRef<str>, value: impl Into<SecretString>) -> Result<Self, SetupError> {
        self.request = self.request.with_header(name.as_ref(), value.into())?;
        Ok(self)
    }

    /// Reads the endpoint's answers by this dialect; by default tokens stand where RFC 6749 has them.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// For an endpoint that ends a grant when a refresh token comes twice: an answer that got lost is not asked for at once
    /// with the same refresh token, as it is by default.
    #[must_use]
    pub fn never_resubmit(mut self) -> Self {
        self.never_resubmit = true;
        self
    }

    /// Sends with a client of your making: a proxy, a certificate authority, a client certificate, a `User-Agent`.
    ///
    /// It is finished here, whatever was set before: it follows no redirects, sends nothing twice, sends no `Referer`,
    /// decompresses nothing, keeps no connection for later, and gives a connection five seconds.
    ///
    /// # Errors
    ///
    /// When the client cannot be built.
    pub fn http(mut self, builder: ClientBuilder) -> Result<Self, SetupError> {
        self.http = TokenClient::finish(builder)?;
        Ok(self)
    }

    fn checked(mut self) -> Result<Self, SetupError> {
        self.request = self.request.checked()?;
        Ok(self)
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl Refresher for JsonRefresh {
    async fn refresh(&self, request: RefreshRequest) -> Result<Tokens, RefreshError> {
        let (headers, body) = self.request.write(request.tokens())?;
        let mut call = self.http.request(self.method.clone(), &self.endpoint).headers(headers);
        if let Some(body) = body {
            call = call.body(body);
        }
        let answer = self.http.send(call, &self.endpoint).await.map_err(Failure::into_error)?;
        let secrets = self.request.secrets(request.tokens());
        answer.judge(&self.dialect, Expect::Tokens, &HOME_GROWN, &secrets, platform::wall())
    }

    fn info(&self) -> RefresherInfo {
        let info = RefresherInfo::default()
            .with_endpoints([self.endpoint.url().clone()])
            .with_registration(format!("json {}", self.endpoint.name()));
        if self.never_resubmit { info.with_never_resubmit() } else { info }
    }
}

/// Shows the names of what is sent, and no value.
impl fmt::Debug for JsonRefresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonRefresh")
            .field("method", &self.method)
            .field("endpoint", &self.endpoint.name())
            .field("refresh_token", &self.request.refresh_token)
            .field("access_token", &self.request.access_token)
            .field("fixed", &self.request.fixed_names())
            .field("dialect", &self.dialect)
            .field("never_resubmit", &self.never_resubmit)
            .finish_non_exhaustive()
    }
}
