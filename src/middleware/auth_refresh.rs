//! The middleware as a program sees it: made from a session and the origins that its tokens may be sent to.

use std::sync::Arc;
use std::time::Duration;

use crate::cookies::Cookies;
use crate::middleware::guarded::Guarded;
use crate::middleware::judge::OfBodies;
use crate::middleware::special::Special;
use crate::policy::origins::Origins;
use crate::policy::paths::ExcludedPaths;
use crate::policy::placement::Placement;
use crate::policy::response_head::ResponseHead;
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
    pub(crate) guarded: Guarded,
    pub(crate) special: Option<Box<Special>>,
}

impl AuthRefresh {
    /// Signs requests to these origins with the tokens of this session.
    #[must_use]
    pub fn new(session: &Session, origins: Origins) -> Self {
        let excluded = ExcludedPaths::default().and_endpoints(session.engine().refresher.endpoints(), &origins);
        let special = session.engine().cookies.clone().map(|cookies| {
            cookies.answer_for(&origins);
            Box::new(Special { cookies: Some(cookies), ..Special::default() })
        });
        Self {
            session: session.clone(),
            origins,
            excluded,
            require_login: false,
            early_wait: Duration::from_secs(2),
            guarded: Guarded::default(),
            special,
        }
    }

    /// Leaves requests alone whose path begins with these whole segments, on any of the origins: `/login` means `/login`
    /// and `/login/code`, and not `/logins`. None by default.
    #[must_use]
    pub fn exclude(mut self, path: &str) -> Self {
        self.excluded = self.excluded.exclude(path);
        self
    }

    /// Writes the tokens like this on each request; by default in the standard bearer header.
    #[must_use]
    pub fn placement(mut self, placement: Placement) -> Self {
        self.special.get_or_insert_default().placement = placement;
        self
    }

    /// Takes a client that did not go through [`guard`](Self::guard), although tokens are placed where redirects do not
    /// take them off: whoever can make the API redirect a request gets its token. For a client that follows no redirects
    /// (`redirect::Policy::none()`), or follows them by a policy of the program's own. Off by default.
    #[must_use]
    pub fn dangerous_unguarded(mut self) -> Self {
        self.guarded = Guarded::dangerously();
        self
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
        self.special.get_or_insert_default().judge.of_head = Some(Arc::new(judge));
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
        self.special.get_or_insert_default().judge.of_body = Some(of_body);
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

    /// The cookies that the session lives in, if it does.
    pub(crate) fn cookies(&self) -> Option<&Arc<Cookies>> {
        self.special.as_ref()?.cookies.as_ref()
    }
}
