//! A refresh where the tokens live in cookies that the program need not see.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, StatusCode};
use reqwest::{ClientBuilder, Url};
use secrecy::SecretString;
use serde_json::Value;

use crate::cookies::{CookieView, Cookies};
use crate::platform::{self, Panicked};
use crate::refresh::answer::{Expect, HOME_GROWN};
use crate::refresh::client::TokenClient;
use crate::refresh::contract::{RefreshRequest, Refresher, Revocation};
use crate::refresh::dialect::Dialect;
use crate::refresh::endpoint::Endpoint;
use crate::refresh::error::RefreshError;
use crate::refresh::failure::Failure;
use crate::refresh::info::{FirstLogin, RefresherInfo};
use crate::refresh::json_request::{JsonRequest, Place};
use crate::refresh::setup::SetupError;
use crate::tokens::Tokens;

/// A session that lives in cookies: asks an endpoint for new ones, which then go with the session's requests by themselves.
///
/// The session keeps its [`Cookies`] apart from everybody else's. The program's client gets them by
/// [`AuthRefresh::client`](crate::AuthRefresh::client), and a client without them is refused. The session is assumed to be logged
/// in until a refresh is rejected; a login that succeeds at the [login path](Self::login_path) begins anew.
///
/// ```
/// use reqwest_auth_refresh::{AuthRefresh, CookieRefresh, Dialect, Origins, Session};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let refresh = CookieRefresh::post("https://api.example.com/api/web/refresh_token")?
///     .csrf("X-CSRF", |cookies| cookies.get("csrf"))?
///     .login_path("/api/web/login")
///     .logout("https://api.example.com/api/web/logout")?
///     .dialect(Dialect::new().success_when(|answer| answer.member("status").is_some_and(|it| it == "success")));
/// let session = Session::new(refresh);
/// let auth = AuthRefresh::new(&session, Origins::new("https://api.example.com")?);
/// let client = auth.client(reqwest::Client::builder())?;
/// # drop(client);
/// # Ok(())
/// # }
/// ```
///
/// # What an answer means
///
/// - A 2xx without an error member, and no page of HTML: it worked. The dialect may say more precisely when.
/// - 401, 403, and the codes `invalid_grant` and `bad_refresh_token`: the session is over. Not where the answer is a page of
///   HTML, which is what a firewall sends. The dialect may say otherwise here too.
/// - Anything else: nothing is known about the session, and it stays.
///
/// The cookies of the answer are taken as soon as its head is there, whatever it says, unless somebody logged in or out since
/// it was asked for. If the answer says when the new cookies expire (`expires_in`), they are replaced before that.
///
/// # In a browser
///
/// Its cookies are its own: they go along and are kept by themselves, the view for the CSRF header is empty (read
/// `document.cookie` instead), and nothing can be emptied at a logout.
pub struct CookieRefresh {
    endpoint: Endpoint,
    logout: Option<Endpoint>,
    endpoints: Vec<Url>,
    request: JsonRequest,
    dialect: Dialect,
    never_resubmit: bool,
    /// `http` on any host was asked for by its dangerous name.
    dangerous: bool,
    http: TokenClient,
    cookies: Arc<Cookies>,
}

impl CookieRefresh {
    /// Asks for new cookies by a POST without a body to this endpoint, which must be `https`, or `http` on a loopback host.
    ///
    /// # Errors
    ///
    /// When the endpoint is no such URL, has a fragment or user information, or the HTTP client cannot be built.
    pub fn post(endpoint: impl AsRef<str>) -> Result<Self, SetupError> {
        Self::at(Endpoint::new(endpoint.as_ref())?, false)
    }

    /// As [`post`](Self::post), but with `http` on any host: everyone on the way can read the cookies, and use them.
    ///
    /// # Errors
    ///
    /// As [`post`](Self::post).
    pub fn dangerous_http(endpoint: impl AsRef<str>) -> Result<Self, SetupError> {
        Self::at(Endpoint::dangerous_http(endpoint.as_ref())?, true)
    }

    fn at(endpoint: Endpoint, dangerous: bool) -> Result<Self, SetupError> {
        let endpoints = vec![endpoint.url().clone()];
        Ok(Self {
            endpoint,
            logout: None,
            cookies: Cookies::new(endpoints.clone()),
            endpoints,
            request: JsonRequest::new(true, Place::Nowhere),
            dialect: Dialect::new(),
            never_resubmit: false,
            dangerous,
            http: TokenClient::finish(ClientBuilder::new())?,
        })
    }

    /// Sends this member in a body of JSON with each refresh; by default there is no body. `path` is written as in
    /// [`MemberPaths`](crate::MemberPaths).
    ///
    /// # Errors
    ///
    /// When something is at that place already.
    pub fn member(mut self, path: impl AsRef<str>, value: impl Into<Value>) -> Result<Self, SetupError> {
        self.request = self.request.with_member(path.as_ref(), value.into())?;
        Ok(self)
    }

    /// Sends this header with each refresh and logout; none by default.
    ///
    /// # Errors
    ///
    /// When it cannot be a header, or was added before.
    pub fn header(mut self, name: impl AsRef<str>, value: impl Into<SecretString>) -> Result<Self, SetupError> {
        self.request = self.request.with_header(name.as_ref(), value.into())?;
        Ok(self)
    }

    /// Sends a header whose value is read from the cookies anew for each sending: with the session's requests, each retry,
    /// each refresh, the login and the logout. Not with requests that are left alone: excluded ones and
    /// [unsigned](crate::RequestBuilderExt::unsigned) ones. None by default. For servers that want to see that a request was
    /// made by somebody who can read its cookies.
    ///
    /// A request that has this header already keeps its own. A panic in `read` is caught, and ends the request that it was
    /// called for.
    ///
    /// # Errors
    ///
    /// When `name` is not the name of a header.
    pub fn csrf(
        self,
        name: impl AsRef<str>,
        read: impl Fn(&CookieView<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Result<Self, SetupError> {
        let name = HeaderName::try_from(name.as_ref()).map_err(|_quoting| SetupError::Header)?;
        self.cookies.set_csrf(name, read);
        Ok(self)
    }

    /// Takes a 2xx that answers a request to this path, on one of the origins, for a new login; none by default. May be
    /// called for several paths. Such requests are never signed, and their 401 means a wrong password.
    ///
    /// A path is matched by whole segments, as in [`AuthRefresh::exclude`](crate::AuthRefresh::exclude). A GET is no login,
    /// and neither is an answer that came after a redirect. Where a 2xx may also mean that the login failed, or that another
    /// step follows, leave this out, [exclude](crate::AuthRefresh::exclude) the path, and call
    /// [`Session::logged_in`](crate::Session::logged_in) when it has worked.
    #[must_use]
    pub fn login_path(self, path: impl AsRef<str>) -> Self {
        self.cookies.set_login(path.as_ref());
        self
    }

    /// Tells this endpoint about a logout, by a POST with the cookies as they were; none by default.
    ///
    /// # Errors
    ///
    /// As [`post`](Self::post); `http` on any host will do after [`dangerous_http`](Self::dangerous_http).
    pub fn logout(mut self, endpoint: impl AsRef<str>) -> Result<Self, SetupError> {
        let read = if self.dangerous { Endpoint::dangerous_http } else { Endpoint::new };
        let at = read(endpoint.as_ref())?;
        self.cookies.answer_for_endpoint(at.url());
        self.endpoints.push(at.url().clone());
        self.logout = Some(at);
        Ok(self)
    }

    /// How this endpoint's answers are read; see [what an answer means](Self#what-an-answer-means) by default.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// For a server that ends a session when a refresh cookie comes twice: an answer that got lost is not asked for again at
    /// once, as it is by default.
    #[must_use]
    pub fn never_resubmit(mut self) -> Self {
        self.never_resubmit = true;
        self
    }

    /// Sends with a client of your making, finished as in [`RefreshGrant::http`](crate::RefreshGrant::http). A cookie store
    /// of its own is not asked.
    ///
    /// # Errors
    ///
    /// When the client cannot be built.
    pub fn http(mut self, builder: ClientBuilder) -> Result<Self, SetupError> {
        self.http = TokenClient::finish(builder)?;
        Ok(self)
    }

    /// The session's cookies, to look at or to fill.
    #[must_use]
    pub fn cookies(&self) -> &Arc<Cookies> {
        &self.cookies
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl Refresher for CookieRefresh {
    async fn refresh(&self, request: RefreshRequest) -> Result<Tokens, RefreshError> {
        drop(request);
        let url = self.endpoint.url();
        let epoch = self.cookies.epoch();
        let cookies = self.cookies.headers(url).map_err(csrf_panicked)?;
        let values = values_of(&cookies);
        let secrets = self.request.secrets(None).and_perhaps(&values);
        let (headers, body) = self.request.write(None)?;
        let post = self.http.post_with_credentials(&self.endpoint).headers(headers).headers(cookies);
        let post = if let Some(body) = body { post.body(body) } else { post };
        // The new cookies are in the head, and a body that is cut off does not make the old ones good again.
        let hear = |head: &HeaderMap| self.cookies.accept(head, url, epoch);
        let answer = self.http.send_hearing(post, &self.endpoint, hear).await.map_err(Failure::into_error)?;
        answer.judge(&self.dialect, Expect::Nothing, &HOME_GROWN, &secrets, platform::wall())
    }

    fn info(&self) -> RefresherInfo {
        let info = RefresherInfo::default()
            .with_first_login(FirstLogin::Assumed)
            .with_endpoints(self.endpoints.iter().cloned())
            .with_registration(format!("cookies {}", self.endpoint.name()))
            .with_cookies(Arc::clone(&self.cookies));
        if self.never_resubmit { info.with_never_resubmit() } else { info }
    }

    async fn revoke(&self, request: RefreshRequest) -> Result<Revocation, RefreshError> {
        drop(request);
        let Some(logout) = &self.logout else { return Ok(Revocation::NotConfigured) };
        // Told once: what a refresh brings after the logout was never taken, so nobody has it.
        let Some(cookies) = self.cookies.take_ended(logout.url()).map_err(csrf_panicked)? else {
            return Ok(Revocation::NotConfigured);
        };
        let post = self.http.post_with_credentials(logout).headers(self.request.fixed_headers()).headers(cookies);
        let answer = self.http.send(post, logout).await.map_err(Failure::into_error)?;
        // Many answer by leading a browser to a page, and one that knows the session no longer has nothing left to end.
        let status = answer.status;
        if status.is_success() || status.is_redirection() || status == StatusCode::UNAUTHORIZED {
            return Ok(Revocation::Revoked);
        }
        Err(RefreshError::unavailable(Failure::Refused { endpoint: answer.endpoint, status, code: None }))
    }
}

/// What must not come back in a message: the values of cookies, and of the header read from them.
fn values_of(headers: &HeaderMap) -> Vec<SecretString> {
    let texts = headers.values().filter_map(|header| header.to_str().ok()).flat_map(|text| text.split("; "));
    texts.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value).into()).collect()
}

fn csrf_panicked(_panicked: Panicked) -> RefreshError {
    RefreshError::unavailable("the program's own function for the CSRF header panicked")
}

impl fmt::Debug for CookieRefresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieRefresh")
            .field("endpoint", &self.endpoint.name())
            .field("logout", &self.logout.as_ref().map(Endpoint::name))
            .field("fixed", &self.request.fixed_names())
            .field("dialect", &self.dialect)
            .field("never_resubmit", &self.never_resubmit)
            .field("cookies", &self.cookies)
            .finish_non_exhaustive()
    }
}
