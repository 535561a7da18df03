//! Whose request is being sent, for whoever looks for its cookies: an HTTP client is told nothing of that.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;
use reqwest::Url;

use crate::cookies::session_cookies::{Cookies, Epoch};

tokio::task_local! {
    // Not the task-local map that carries the ambient session: that one's swap would hide it.
    static SENDING: Sent;
}

/// A request of a session that lives in cookies, from its beginning to its end.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) cookies: Arc<Cookies>,
    pub(crate) epoch: Epoch,
    login: Option<Arc<Login>>,
}

/// What is known of a login until it is told.
#[derive(Debug, Default)]
struct Login {
    /// The cookies that its answer brought and that were taken.
    brought: Mutex<Vec<HeaderValue>>,
    /// It was led elsewhere: nobody knows whether that is how a login succeeds, or how it fails.
    redirected: AtomicBool,
}

impl Sent {
    /// A request that begins now.
    pub(crate) fn new(cookies: &Arc<Cookies>, is_login: bool) -> Self {
        Self { cookies: Arc::clone(cookies), epoch: cookies.epoch(), login: is_login.then(Arc::default) }
    }

    /// The request that this task is sending.
    pub(crate) fn current() -> Option<Self> {
        SENDING.try_with(Clone::clone).ok()
    }

    /// Sends it.
    pub(crate) async fn scope<T>(self, sending: impl Future<Output = T>) -> T {
        SENDING.scope(self, sending).await
    }

    #[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "a browser keeps its cookies to itself"))]
    pub(crate) fn header(&self, url: &Url) -> Option<HeaderValue> {
        // A login may follow another one at once, and is nobody's yet.
        let epoch = if self.login.is_some() { None } else { Some(self.epoch) };
        self.cookies.header(url, epoch)
    }

    #[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "a browser keeps its cookies to itself"))]
    pub(crate) fn take(&self, set_cookies: &[&HeaderValue], url: &Url) {
        let taken = self.cookies.take(&mut set_cookies.iter().copied(), url, Some((self.epoch, self.login.is_some())));
        if let Some(login) = self.login.as_ref().filter(|_| taken) {
            let brought = set_cookies.iter().map(|cookie| (*cookie).clone());
            login.brought.lock().unwrap_or_else(PoisonError::into_inner).extend(brought);
        }
    }

    /// It is led to another address.
    #[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "a browser does not say"))]
    pub(crate) fn redirected(&self) {
        if let Some(login) = &self.login {
            login.redirected.store(true, Ordering::Relaxed);
        }
    }

    /// This was a login, and `url` has answered with success: what it brought is that of whoever is logged in next. False when
    /// it is no login, was redirected, or a logout came since it was sent.
    pub(crate) fn logs_in(&self, url: &Url) -> bool {
        let Some(login) = &self.login else { return false };
        let is_one = !login.redirected.load(Ordering::Relaxed) && self.cookies.epoch().is_logged_out_as(self.epoch);
        if is_one {
            let mut brought = login.brought.lock().unwrap_or_else(PoisonError::into_inner);
            self.cookies.bring(std::mem::take(&mut *brought), url);
        }
        is_one
    }
}
