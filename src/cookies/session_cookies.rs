//! The cookies of one session, apart from everybody else's.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::{Request, Url};

use crate::cookies::closing::Closing;
use crate::cookies::csrf::{CookieView, Csrf};
use crate::cookies::jar::{CookiePlace, Jar};
use crate::platform::Panicked;
use crate::policy::origins::{Origins, same};
use crate::policy::paths::ExcludedPaths;

/// The cookies of one session: shared by the program's client, which [`guard`](crate::AuthRefresh::guard) connects to
/// them, and the session's refresher.
///
/// They answer for the session's origins and the refresher's endpoints and for no other place, by scheme, host and port:
/// cookies themselves know no ports. At a logout they are emptied. Until the requests that were sent before the logout have
/// ended, nothing but the answer to a login is taken, so that a late `Set-Cookie` does not undo it.
///
/// They are kept in memory and are gone when the program ends. To bring one over, [`get`](Self::get) it at the end and
/// [`add`](Self::add) it at the start.
///
/// # Limits
///
/// Requests are known to be under way while [`AuthRefresh`](crate::AuthRefresh) sees them: send all of the session's requests
/// through it, also those that are unsigned. An answer to a request of the old login that comes after the *next* login can
/// still land.
pub struct Cookies {
    state: RwLock<State>,
}

struct State {
    jar: Jar,
    /// What was in the jar at the last logout, for telling the server.
    ended: Option<Jar>,
    closing: Closing,
    /// What the login path answered with last, until it is known whether that was a login.
    brought: Option<(Vec<HeaderValue>, Url)>,
    origins: Vec<Origins>,
    endpoints: Vec<Url>,
    login: ExcludedPaths,
    csrf: Option<Csrf>,
}

impl Cookies {
    /// No cookies yet, and of places only the refresher's endpoints.
    pub(crate) fn new(endpoints: Vec<Url>) -> Arc<Self> {
        let (jar, ended, closing, brought, csrf) = (Jar::default(), None, Closing::default(), None, None);
        let (origins, login) = (Vec::new(), ExcludedPaths::default());
        Arc::new(Self { state: RwLock::new(State { jar, ended, closing, brought, origins, endpoints, login, csrf }) })
    }

    /// Puts a cookie in, written as in a `Set-Cookie` header that `url` answered with. It is dropped when these cookies
    /// do not answer for that place.
    pub fn add(&self, set_cookie: &str, url: &Url) {
        if let Ok(header) = HeaderValue::try_from(set_cookie) {
            self.take(&mut std::iter::once(&header), url);
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

    /// Whether this is where people log in, so that a 401 from there is about a password.
    pub(crate) fn is_login_path(&self, url: &Url) -> bool {
        self.read().is_login_path(url)
    }

    /// Whether this request logs somebody in if it succeeds: it sends something to the login path.
    pub(crate) fn is_login(&self, request: &Request) -> bool {
        let asks_only = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
        !asks_only && self.is_login_path(request.url())
    }

    /// A request is sent; it has ended when what this returns is dropped.
    pub(crate) fn under_way(self: &Arc<Self>) -> UnderWay {
        UnderWay { cookies: Arc::clone(self), sent: self.write().closing.send() }
    }

    /// Somebody logged in. The cookies that the login brought are there, whatever came between.
    pub(crate) fn log_in(&self) {
        let mut state = self.write();
        state.closing.log_in();
        if let Some((cookies, url)) = state.brought.take() {
            state.jar.take(&mut cookies.iter(), &url);
        }
    }

    /// What the login path answered was no login after all.
    pub(crate) fn log_in_failed(&self) {
        self.write().brought = None;
    }

    /// Somebody logged out: empty at once, and closed to what is late.
    pub(crate) fn log_out(&self) {
        let mut state = self.write();
        state.closing.log_out();
        state.ended = Some(std::mem::take(&mut state.jar));
    }

    /// Which logins and logouts there were so far, for [`accept`](Self::accept).
    pub(crate) fn epoch(&self) -> u64 {
        self.read().closing.epoch()
    }

    /// Takes the cookies of an answer to the refresher, unless somebody logged in or out since it asked.
    pub(crate) fn accept(&self, headers: &HeaderMap, url: &Url, epoch: u64) {
        let state = self.write();
        if state.closing.epoch() == epoch {
            state.jar.take(&mut headers.get_all(SET_COOKIE).iter(), url);
        }
    }

    /// The CSRF header for a request to `url`, read anew. The program's function runs outside the lock.
    pub(crate) fn csrf(&self, url: &Url) -> Result<Option<(HeaderName, HeaderValue)>, Panicked> {
        let (csrf, jar) = {
            let state = self.read();
            (state.csrf.clone(), state.jar.clone())
        };
        csrf.map_or(Ok(None), |csrf| csrf.header(&jar, url))
    }

    /// Every header by which a request to `url` shows whose it is.
    pub(crate) fn headers(&self, url: &Url) -> Result<HeaderMap, Panicked> {
        let jar = self.read().jar.clone();
        self.headers_of(&jar, url)
    }

    /// The same by what was there before the last logout, for telling the server; `None` when that was done before.
    pub(crate) fn take_ended(&self, url: &Url) -> Result<Option<HeaderMap>, Panicked> {
        let Some(jar) = self.write().ended.take() else { return Ok(None) };
        self.headers_of(&jar, url).map(Some)
    }

    fn headers_of(&self, jar: &Jar, url: &Url) -> Result<HeaderMap, Panicked> {
        let csrf = self.read().csrf.clone().map_or(Ok(None), |csrf| csrf.header(jar, url))?;
        let cookies = jar.header(url).map(|header| (COOKIE, header));
        Ok(cookies.into_iter().chain(csrf).collect())
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

    fn is_login_path(&self, url: &Url) -> bool {
        self.answers_for(url) && self.login.contains(url)
    }
}

impl CookiePlace for Cookies {
    fn take(&self, set_cookies: &mut dyn Iterator<Item = &HeaderValue>, url: &Url) {
        // Under the same lock as a logout, which comes before all of this or after it.
        let mut state = self.write();
        if state.is_login_path(url) {
            // An answer to the login before it may still land until this one is known to be a login.
            let cookies: Vec<_> = set_cookies.cloned().collect();
            state.jar.take(&mut cookies.iter(), url);
            state.brought = Some((cookies, url.clone()));
        } else if state.answers_for(url) && !state.closing.is_closed() {
            state.jar.take(set_cookies, url);
        }
    }

    fn header(&self, url: &Url) -> Option<HeaderValue> {
        let state = self.read();
        if state.answers_for(url) { state.jar.header(url) } else { None }
    }
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.read();
        let csrf = state.csrf.as_ref().map(|csrf| &csrf.name);
        f.debug_struct("Cookies").field("login", &state.login).field("csrf", &csrf).finish_non_exhaustive()
    }
}

/// One request under way.
#[derive(Debug)]
pub(crate) struct UnderWay {
    cookies: Arc<Cookies>,
    sent: u64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.cookies.write().closing.end(self.sent);
    }
}
