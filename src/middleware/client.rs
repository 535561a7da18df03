//! Clients that are built for their middleware: they follow no redirect with its tokens, and share its session's cookies.

use std::fmt;
use std::sync::Arc;

use reqwest::redirect::Policy;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware};

use crate::cookies::{Cookies, Sent, provide};
use crate::middleware::auth_refresh::AuthRefresh;
use crate::middleware::signer::Signer;
use crate::policy::origins::Origins;
use crate::policy::redirect::may_follow;
use crate::refresh::SetupError;

impl<C> AuthRefresh<C> {
    /// Builds a client with this middleware in it: the recommended way, and the only one for tokens outside
    /// `Authorization` and for sessions that live in cookies.
    ///
    /// ```
    /// use reqwest_auth_refresh::{AuthRefresh, Origins, Placement, RefreshGrant, Session};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let session = Session::new(RefreshGrant::new("https://issuer.example/token", "my-app")?);
    /// let auth = AuthRefresh::new(&session, Origins::new("https://api.example.com")?)
    ///     .placement(Placement::header("X-Access-Token", "")?);
    /// let client = auth.client(reqwest::Client::builder())?;
    /// # drop(client);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The client holds the middleware as it is now. Whatever is done with this value or a clone of it later, such as
    /// another placement, changes no client that it has built.
    ///
    /// # What becomes of a redirect
    ///
    /// From one of the origins to another place, it is not followed, and the caller gets the 3xx response, also for a
    /// request that was sent unsigned. Any other redirect is followed, ten times at the most. Between the origins of one
    /// middleware a header other than `Authorization` travels along. No `Referer` is sent.
    ///
    /// # Limits
    ///
    /// The redirect policy and the `referer` setting of `builder` are replaced, and where the session lives in cookies, its
    /// cookie store too. Everything else of `builder` stays: timeouts, TLS, proxies, default headers.
    ///
    /// Each client has connections of its own. Many middlewares over one pool of connections are plain ones, for tokens in
    /// `Authorization`: `ClientBuilder::new(http.clone()).with(auth)`. In a browser this function is missing, since `fetch`
    /// follows redirects in its own way.
    ///
    /// # Errors
    ///
    /// [`SetupError::Http`] when `reqwest` cannot build the client.
    pub fn client(&self, builder: reqwest::ClientBuilder) -> Result<ClientWithMiddleware, SetupError> {
        self.client_builder(builder).build()
    }

    /// As [`client`](Self::client), for a client that has more in it: other middleware around this one, and another
    /// `AuthRefresh`.
    pub fn client_builder(&self, builder: reqwest::ClientBuilder) -> AuthClientBuilder {
        AuthClientBuilder { http: builder, signers: vec![self.signer.clone()], outside: Vec::new(), inside: Vec::new() }
    }
}

/// A client that is about to be built for one [`AuthRefresh`] or several. Made by
/// [`AuthRefresh::client_builder`].
///
/// ```
/// # use reqwest_auth_refresh::{AuthRefresh, SetupError};
/// # use reqwest_middleware::{ClientWithMiddleware, Middleware};
/// # fn build(
/// #     orders: &AuthRefresh, billing: &AuthRefresh, retry: impl Middleware, tracing: impl Middleware,
/// # ) -> Result<ClientWithMiddleware, SetupError> {
/// let client = orders
///     .client_builder(reqwest::Client::builder())
///     .outside(retry)
///     .inside(tracing)
///     .also(billing)
///     .build()?;
/// # Ok(client)
/// # }
/// ```
#[must_use = "it does nothing until it is built"]
pub struct AuthClientBuilder {
    http: reqwest::ClientBuilder,
    signers: Vec<Signer>,
    outside: Vec<Arc<dyn Middleware>>,
    inside: Vec<Arc<dyn Middleware>>,
}

impl AuthClientBuilder {
    /// Puts a middleware around every `AuthRefresh` of this client: it sees a request before it is signed, and one trip
    /// where a request is sent twice. The place for retry layers. The first one is the outermost.
    pub fn outside(mut self, middleware: impl Middleware) -> Self {
        self.outside.push(Arc::new(middleware));
        self
    }

    /// Puts a middleware within every `AuthRefresh` of this client: it sees each sending with its tokens. The place for
    /// layers that trace or count sendings. The last one is the innermost.
    pub fn inside(mut self, middleware: impl Middleware) -> Self {
        self.inside.push(Arc::new(middleware));
        self
    }

    /// Puts another `AuthRefresh` into the same client: a second API, or a second session.
    ///
    /// Each signs requests to its own origins, and a request that began at an origin of one of them is not led away from its
    /// origins. Where several list one origin, the first of those that write to `Authorization` signs there, each that writes
    /// to another header signs as well, and a redirect from there has to please all of them. Where several sessions live in cookies, a request carries those of the session that signs it.
    pub fn also<C>(mut self, auth: &AuthRefresh<C>) -> Self {
        self.signers.push(auth.signer.clone());
        self
    }

    /// Builds the client.
    ///
    /// # Errors
    ///
    /// [`SetupError::Http`] when `reqwest` cannot build the client.
    pub fn build(self) -> Result<ClientWithMiddleware, SetupError> {
        let cookies = self.signers.iter().filter_map(Signer::cookies).cloned().collect();
        let origins = self.signers.iter().map(|signer| signer.origins.clone()).collect();
        let http = keeping_within(self.http, origins, cookies).build().map_err(SetupError::Http)?;
        let client = self.outside.into_iter().fold(ClientBuilder::new(http), ClientBuilder::with_arc);
        let client = self.signers.into_iter().map(Signer::tied).fold(client, ClientBuilder::with);
        Ok(self.inside.into_iter().fold(client, ClientBuilder::with_arc).build())
    }
}

/// Keeps what is sent to the origins of one middleware within them, and gives the client these cookies.
fn keeping_within(
    http: reqwest::ClientBuilder,
    origins: Vec<Origins>,
    cookies: Vec<Arc<Cookies>>,
) -> reqwest::ClientBuilder {
    let policy = Policy::custom(move |attempt| {
        let first = attempt.previous().first().unwrap_or_else(|| attempt.url());
        if !may_follow(&origins, first, attempt.url()) {
            return attempt.stop();
        }
        if let Some(sent) = Sent::current() {
            sent.redirected();
        }
        Policy::default().redirect(attempt)
    });
    provide(http.redirect(policy).referer(false), cookies)
}

/// Without the HTTP client's settings, which may hold a secret among the default headers.
impl fmt::Debug for AuthClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthClientBuilder")
            .field("signers", &self.signers)
            .field("outside", &self.outside.len())
            .field("inside", &self.inside.len())
            .finish_non_exhaustive()
    }
}
