//! The cookies of one session, apart from everybody else's.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;

use crate::cookies::csrf::{CookieView, Csrf};
use crate::cookies::jar::Jar;
use crate::platform::Panicked;
use crate::policy::origins::{Origins, same};
use crate::policy::paths::ExcludedPaths;

/// The cookies of one session: shared by the program's client, which
/// [`AuthRefresh::client`](crate::AuthRefresh::client) connects to them, and the session's refresher.
///
/// They answer for the session's origins and the refresher's endpoints and for no other place, by scheme, host and port:
/// cookies themselves know no ports. They go with every request of their door to those places, also with one that is
/// [unsigned](crate::RequestBuilderExt::unsigned), as a browser's would.
///
/// At a logout they are emptied. What an answer brings is taken only if nobody has logged in or out since its request was sent,
/// so that no late `Set-Cookie` undoes either. (The answer to a login is taken after another login: the last one wins.)
///
/// They are kept in memory and are gone when the program ends. To bring one over, [`get`](Self::get) it at the end and
/// [`add`](Self::add) it at the start.
///
/// # Limits
///
/// An answer is known to belong to a request while [`AuthRefresh`](crate::AuthRefresh) sees it, in the task that sends it.
/// What the same client sends without it, or by a middleware further in that spawns its sending, carries the cookies where
/// just one session of the client answers for the place, and what it brings is not taken between a logout and the next login.
pub struct Cookies {
    state: RwLock<State>,
}

struct State {
    jar: Jar,
    /// What was in the jar at the last logout, for telling the server.
    ended: Option<Jar>,
    epoch: Epoch,
    logged_out: bool,
    /// What a login brought that is about to be told.
    brought: Option<(Vec<HeaderValue>, Url)>,
    origins: Vec<Origins>,
    endpoints: Vec<Url>,
    login: ExcludedPaths,
    csrf: Option<Csrf>,
}

/// How many logins and logouts there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Epoch {
    logins: u64,
    logouts: u64,
}

impl Epoch {
    /// Whether no logout came between the two.
    pub(crate) fn is_logged_out_as(self, other: Self) -> bool {
        self.logouts == other.logouts
    }
}

impl Cookies {
    /// No cookies yet, and of places only the refresher's endpoints.
    pub(crate) fn new(endpoints: Vec<Url>) -> Arc<Self> {
        Arc::new(Self {
            state: RwLock::new(State {
                jar: Jar::default(),
                ended: None,
                epoch: Epoch::default(),
                logged_out: false,
                brought: None,
                origins: Vec::new(),
                endpoints,
                login: ExcludedPaths::default(),
                csrf: None,
            }),
        })
    }

    /// Puts a cookie in, written as in a `Set-Cookie` header that `url` answered with. It is dropped when these cookies
    /// do not answer for that place.
    pub fn add(&self, set_cookie: &str, url: &Url) {
        let state = self.write();
        if let Ok(header) = HeaderValue::try_from(set_cookie)
            && state.answers_for(url)
        {
            state.jar.take(&mut std::iter::once(&header), url);
        }
    }

    /// The value of the cookie of this name that a request to `url` would carry.
    #[must_use]
    pub fn get(&self, name: &str, url: &Url) -> Option<String> {
        let state = self.read();
        if state.answers_for(url) { CookieView::new(&state.jar, url).get(name) } else { None }
    }

    pub(crate) fn answer_for(&self, origins: &Origins) {
        let mut state = self.write();
        if !state.origins.contains(origins) {
            state.origins.push(origins.clone());
        }
    }

    pub(crate) fn answer_for_endpoint(&self, endpoint: &Url) {
        self.write().endpoints.push(endpoint.clone());
    }

    pub(crate) fn set_login(&self, path: &str) {
        let mut state = self.write();
        state.login = std::mem::take(&mut state.login).exclude(path);
    }

    pub(crate) fn set_csrf(
        &self,
        name: HeaderName,
        read: impl Fn(&CookieView<'_>) -> Option<String> + Send + Sync + 'static,
    ) {
        self.write().csrf = Some(Csrf { name, read: Arc::new(read) });
    }

    /// Whether they go with requests to this place.
    pub(crate) fn answers_for(&self, url: &Url) -> bool {
        self.read().answers_for(url)
    }

    /// Whether this is where people log in, so that a 401 from there is about a password.
    pub(crate) fn is_login_path(&self, url: &Url) -> bool {
        let state = self.read();
        state.answers_for(url) && state.login.contains(url)
    }

    /// Somebody logged in. The cookies that the login brought are there, whatever came between.
    pub(crate) fn log_in(&self) {
        let mut state = self.write();
        state.epoch.logins += 1;
        state.logged_out = false;
        if let Some((cookies, url)) = state.brought.take() {
            state.jar.take(&mut cookies.iter(), &url);
        }
    }

    /// A login brought these, and is told next.
    pub(crate) fn bring(&self, cookies: Vec<HeaderValue>, url: &Url) {
        self.write().brought = Some((cookies, url.clone()));
    }

    /// Somebody logged out: empty at once.
    pub(crate) fn log_out(&self) {
        let mut state = self.write();
        state.epoch.logouts += 1;
        state.logged_out = true;
        state.brought = None;
        state.ended = Some(std::mem::take(&mut state.jar));
    }

    /// Nobody is logged in, and what was put in since is not wanted either.
    pub(crate) fn empty(&self) {
        self.write().jar = Jar::default();
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.read().epoch
    }

    /// The `Cookie` header for a request to `url` that began in this epoch. One that began before a login or a logout
    /// carries nothing: these cookies are somebody else's.
    #[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "a browser keeps its cookies to itself"))]
    pub(crate) fn header(&self, url: &Url, sent: Option<Epoch>) -> Option<HeaderValue> {
        let state = self.read();
        let may = state.answers_for(url) && sent.is_none_or(|sent| sent == state.epoch);
        if may { state.jar.header(url) } else { None }
    }

    /// Takes what `url` answered to a request that began in this epoch; a login may have come between if that is one itself.
    /// Where nobody knows when the request began, not between a logout and the next login.
    pub(crate) fn take(
        &self,
        set_cookies: &mut dyn Iterator<Item = &HeaderValue>,
        url: &Url,
        sent: Option<(Epoch, bool)>,
    ) -> bool {
        // Under the same lock as a login or a logout, which comes before all of this or after it.
        let state = self.write();
        let in_time = match sent {
            Some((sent, true)) => sent.is_logged_out_as(state.epoch),
            Some((sent, false)) => sent == state.epoch,
            None => !state.logged_out,
        };
        let takes = in_time && state.answers_for(url);
        if takes {
            state.jar.take(set_cookies, url);
        }
        takes
    }

    /// Takes the cookies of an answer to the refresher, which asked in this epoch.
    pub(crate) fn accept(&self, headers: &HeaderMap, url: &Url, epoch: Epoch) {
        self.take(&mut headers.get_all(SET_COOKIE).iter(), url, Some((epoch, false)));
    }

    /// The CSRF header for a request to `url`, read anew. The program's function runs outside the lock.
    pub(crate) fn csrf(&self, url: &Url) -> Result<Option<(HeaderName, HeaderValue)>, Panicked> {
        let jar = self.read().jar.clone();
        self.csrf_of(&jar, url)
    }

    /// Every header by which a request to `url` shows whose it is.
    pub(crate) fn headers(&self, url: &Url) -> Result<HeaderMap, Panicked> {
        let jar = self.read().jar.clone();
        self.headers_of(&jar, url)
    }

    /// The same by what was there before the last logout, for telling the server; `None` when that was done before.
    pub(crate) fn take_ended(&self, url: &Url) -> Result<Option<HeaderMap>, Panicked> {
        let ended = self.write().ended.take();
        let Some(jar) = ended else { return Ok(None) };
        self.headers_of(&jar, url).map(Some)
    }

    fn headers_of(&self, jar: &Jar, url: &Url) -> Result<HeaderMap, Panicked> {
        let csrf = self.csrf_of(jar, url)?;
        let cookies = jar.header(url).map(|header| (COOKIE, header));
        Ok(cookies.into_iter().chain(csrf).collect())
    }

    fn csrf_of(&self, jar: &Jar, url: &Url) -> Result<Option<(HeaderName, HeaderValue)>, Panicked> {
        // A statement of its own, so that the lock is let go: the program's function may ask these cookies for anything.
        let csrf = self.read().csrf.clone();
        csrf.map_or(Ok(None), |csrf| csrf.header(jar, url))
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn answers_for(&self, url: &Url) -> bool {
        self.origins.iter().any(|origins| origins.allows(url))
            || self.endpoints.iter().any(|endpoint| same(endpoint, url))
    }
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.read();
        let csrf = state.csrf.as_ref().map(|csrf| &csrf.name);
        f.debug_struct("Cookies").field("login", &state.login).field("csrf", &csrf).finish_non_exhaustive()
    }
}
