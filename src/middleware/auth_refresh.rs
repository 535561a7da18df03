//! The middleware as a program sees it: made from a session and the origins that its tokens may be sent to.

use std::sync::Arc;
use std::time::Duration;

use crate::cookies::Cookies;
use crate::middleware::guarded::Guarded;
use crate::middleware::judge::OfBodies;
use crate::middleware::named_origins::NamedOrigins;
use crate::middleware::serving::{Serving, Whom};
use crate::middleware::special::Special;
use crate::policy::origins::Origins;
use crate::policy::paths::ExcludedPaths;
use crate::policy::placement::Placement;
use crate::policy::response_head::ResponseHead;
use crate::tokens::Tokens;

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
    pub(crate) whom: Whom,
    pub(crate) origins: Origins,
    /// Origins that a session's tokens may name.
    pub(crate) named: Option<NamedOrigins>,
    pub(crate) excluded: ExcludedPaths,
    pub(crate) require_login: bool,
    pub(crate) early_wait: Duration,
    pub(crate) guarded: Guarded,
    pub(crate) special: Option<Box<Special>>,
}

impl AuthRefresh {
    /// Signs requests to these origins: with the tokens of `&session`, or with those of the one of `&sessions` that the request
    /// names.
    ///
    /// Which session a request acts for is said by [the request](crate::RequestBuilderExt::acting_for), or else by
    /// [what is around it](crate::acting_for()), or else by the door that it goes through. A door for one session refuses a
    /// request that names another one; a door for many refuses a request that names none; and a session that is named is never
    /// replaced by another, nor by none at all: if it is logged out, nothing is sent. Each of these is an error.
    ///
    /// A door for each session over one shared `reqwest::Client` is the first choice for many users: it shares the pool, goes
    /// into tasks by itself, and cannot be forgotten by a client that drops extensions.
    #[must_use]
    pub fn new(serving: impl Into<Serving>, origins: Origins) -> Self {
        let Serving(whom) = serving.into();
        let shared = whom.shared();
        let excluded = ExcludedPaths::default().and_endpoints(shared.info.endpoints(), &origins);
        // Sessions that live in cookies are refused where they would be many.
        let cookies = shared.info.cookies().filter(|_| shared.refusal.is_none()).cloned();
        let special = cookies.map(|cookies| {
            cookies.answer_for(&origins);
            Box::new(Special { cookies: Some(cookies), ..Special::default() })
        });
        Self {
            whom,
            origins,
            named: None,
            excluded,
            require_login: false,
            early_wait: Duration::from_secs(2),
            guarded: Guarded::default(),
            special,
        }
    }

    /// Signs requests also to the origin that the session's tokens name, if it is one of `within`; by default to none but those
    /// given at first. For issuers that say with the tokens where each user's API is, such as Salesforce's `instance_url` and
    /// Zoho's `api_domain`:
    ///
    /// ```
    /// # use reqwest_auth_refresh::{AuthRefresh, InvalidOrigin, Origins};
    /// # fn set_up(auth: AuthRefresh) -> Result<AuthRefresh, InvalidOrigin> {
    /// let auth = auth.origins_from(Origins::new("https://*.my.salesforce.com")?, |tokens| {
    ///     Some(tokens.extra().get("instance_url")?.as_str()?.to_owned())
    /// });
    /// # Ok(auth)
    /// # }
    /// ```
    ///
    /// The answer of an issuer is not trusted with this: what is no origin, or not within `within`, adds nothing. A path behind
    /// the origin is overlooked. A request to another place within `within` than the session's own goes out unsigned.
    ///
    /// `origin` is asked for each request to a place within `within`. A panic in it is caught, and ends the request with an
    /// error that [`is_misconfigured`](crate::AuthError::is_misconfigured).
    #[must_use]
    pub fn origins_from(
        mut self,
        within: Origins,
        origin: impl Fn(&Tokens) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.excluded = self.excluded.and_endpoints(self.whom.shared().info.endpoints(), &within);
        self.named = Some(NamedOrigins::new(within, origin));
        self
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
