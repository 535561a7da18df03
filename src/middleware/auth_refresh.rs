//! The middleware as a program sees it: made from a session and the origins that its tokens may be sent to.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next, Result};

use crate::middleware::any_client::{AnyClient, OwnClient};
use crate::middleware::judge::{Judge, OfBodies};
use crate::middleware::serving::Serving;
use crate::middleware::signer::Signer;
use crate::platform::BoxFuture;
use crate::policy::origins::Origins;
use crate::policy::placement::{InvalidPlacement, Placement};
use crate::policy::response_head::ResponseHead;

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
///
/// # Which clients
///
/// [`client`](Self::client) builds a client that is fit for it, and is the recommended way; with tokens in `Authorization`
/// it also goes into any other client, as above. The type says which: `AuthRefresh` alone is `AuthRefresh<AnyClient>`, and
/// is a [`Middleware`]; what [`placement`](Self::placement) makes of it is `AuthRefresh<OwnClient>`, which is none.
#[derive(Debug, Clone)]
pub struct AuthRefresh<C = AnyClient> {
    pub(crate) signer: Signer,
    fits: PhantomData<C>,
}

impl AuthRefresh {
    /// Signs requests to these origins: with the tokens of `&session`, or with those of the one of `&sessions` that the request
    /// names.
    ///
    /// Which session a request acts for is said by [the request](crate::RequestBuilderExt::acting_for), or else by
    /// [what is around it](crate::acting_for()), or else by the middleware that it goes through. One for one session refuses
    /// a request that names another one; one for many refuses a request that names none; and a session that is named is never
    /// replaced by another, nor by none at all: if it is logged out, nothing is sent. Each of these is an error.
    ///
    /// A middleware for each session over one shared `reqwest::Client` is the first choice for many users: it shares the pool, goes
    /// into tasks by itself, and cannot be forgotten by a client that drops extensions.
    #[must_use]
    pub fn new(serving: impl Into<Serving>, origins: Origins) -> Self {
        Self::of(Signer::new(serving.into(), origins))
    }

    /// Writes the tokens in `Authorization` behind another scheme than `Bearer`; an empty one writes the access token
    /// alone.
    ///
    /// ```
    /// # use reqwest_auth_refresh::{AuthRefresh, InvalidPlacement};
    /// # fn set_up(auth: AuthRefresh) -> Result<AuthRefresh, InvalidPlacement> {
    /// // Authorization: Zoho-oauthtoken …
    /// let auth = auth.scheme("Zoho-oauthtoken")?;
    /// # Ok(auth)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// When the scheme is not one word (RFC 9110 section 11.1).
    pub fn scheme(mut self, scheme: &str) -> std::result::Result<Self, InvalidPlacement> {
        self.signer.special.get_or_insert_default().placement = Placement::scheme(scheme)?;
        Ok(self)
    }
}

impl AuthRefresh<OwnClient> {
    /// Goes into any client, although the tokens stand where a redirect does not take them off: whatever makes the API
    /// redirect a request gets its token. For a client that follows no redirects (`redirect::Policy::none()`) or follows them
    /// by a policy of the program's own, and for browsers. It opens nothing for a session that lives in cookies.
    #[must_use]
    pub fn dangerous_over_any_client(self) -> AuthRefresh {
        AuthRefresh::of(self.signer)
    }
}

impl<C> AuthRefresh<C> {
    /// Leaves requests alone whose path begins with these whole segments, on any of the origins: `/login` means `/login`
    /// and `/login/code`, and not `/logins`. None by default.
    #[must_use]
    pub fn exclude(mut self, path: &str) -> Self {
        self.signer.excluded = self.signer.excluded.exclude(path);
        self
    }

    /// Writes the tokens like this on each request; by default in the standard bearer header. For another scheme in
    /// `Authorization`, [`scheme`](AuthRefresh::scheme) is enough.
    ///
    /// `reqwest` takes no other header than `Authorization` off a request that a redirect leads to another origin. So what
    /// this makes goes only into a client that follows no redirect with it: build that by [`client`](Self::client) or
    /// [`client_builder`](Self::client_builder).
    #[must_use]
    pub fn placement(mut self, placement: Placement) -> AuthRefresh<OwnClient> {
        self.signer.special.get_or_insert_default().placement = placement;
        AuthRefresh::of(self.signer)
    }

    /// Asks this function whether a response says that the tokens of its request are no longer good, in place of the
    /// default: a 401 that is not about something else.
    ///
    /// It is asked about the first response to each request that was signed and answered by the request's own origin. For
    /// an API that says so by another status:
    ///
    /// ```
    /// # use reqwest_auth_refresh::AuthRefresh;
    /// # fn set_up(auth: AuthRefresh) -> AuthRefresh {
    /// auth.unauthorized_when(|head| head.is_unauthorized() || head.status() == 419)
    /// # }
    /// ```
    ///
    /// Think twice about a 403: where it says that this user may not do this, new tokens change nothing, and an API that is
    /// asked for much that is forbidden meets the bound of five such refreshes a minute.
    ///
    /// A panic in it is caught, and ends the request with an error that
    /// [`is_misconfigured`](crate::AuthError::is_misconfigured).
    #[must_use]
    pub fn unauthorized_when(mut self, judge: impl Fn(&ResponseHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.judge().of_head = Some(Arc::new(judge));
        self
    }

    /// Looks into the body of those responses that `which` picks, and asks `judge` about it; by default into none. For an
    /// API that says `200` and means that the tokens have expired:
    ///
    /// ```
    /// # use reqwest_auth_refresh::AuthRefresh;
    /// # fn set_up(auth: AuthRefresh) -> AuthRefresh {
    /// auth.unauthorized_when_body(
    ///     |head| head.status() == 200 && head.headers().get("content-type").is_some_and(|kind| kind == "application/json"),
    ///     |_head, body| body.starts_with(br#"{"ok":false,"error":"token_expired""#),
    /// )
    /// # }
    /// ```
    ///
    /// `judge` sees the first 64 KiB of the body, or what of them has come within five seconds; the response is handed on
    /// with its body whole. A response that is judged unauthorized by its head is not looked into. Pick narrowly: a response
    /// that is looked into is handed on later, and a stream of events would be held back for those five seconds. In a browser
    /// a body cannot be looked into, and `judge` sees an empty one.
    #[must_use]
    pub fn unauthorized_when_body(
        mut self,
        which: impl Fn(&ResponseHead<'_>) -> bool + Send + Sync + 'static,
        judge: impl Fn(&ResponseHead<'_>, &[u8]) -> bool + Send + Sync + 'static,
    ) -> Self {
        let of_body = OfBodies { which: Arc::new(which), how: Arc::new(judge) };
        self.judge().of_body = Some(of_body);
        self
    }

    /// Fails with [`needs_login`](crate::AuthError::needs_login) when nobody is logged in. By default such a request goes
    /// out unsigned, since it may be the login itself.
    #[must_use]
    pub fn require_login(mut self) -> Self {
        self.signer.require_login = true;
        self
    }

    /// How long the response of a request that began an early refresh is held back until the new tokens are saved; 2
    /// seconds by default, and never more than a quarter of the request's own timeout. A program that sends one request and
    /// ends would otherwise end between rotation and save. A service that goes on running may say zero.
    #[must_use]
    pub fn early_wait(mut self, wait: Duration) -> Self {
        self.signer.early_wait = wait;
        self
    }

    fn of(signer: Signer) -> Self {
        Self { signer, fits: PhantomData }
    }

    fn judge(&mut self) -> &mut Judge {
        &mut self.signer.special.get_or_insert_default().judge
    }
}

impl Middleware for AuthRefresh {
    // What `async_trait` would make of it would be one box more.
    fn handle<'a, 'b, 'c, 'trip>(
        &'a self,
        request: Request,
        extensions: &'b mut Extensions,
        next: Next<'c>,
    ) -> BoxFuture<'trip, Result<Response>>
    where
        'a: 'trip,
        'b: 'trip,
        'c: 'trip,
        Self: 'trip,
    {
        self.signer.handle(request, extensions, next)
    }
}
