//! How an HTTP client is made to look for its cookies in those of sessions.

use std::sync::Arc;

use http::HeaderValue;
use reqwest::cookie::CookieStore;
use reqwest::{ClientBuilder, Url};

use crate::cookies::sent::Sent;
use crate::cookies::session_cookies::Cookies;

/// The cookies of all sessions whose doors a client has. A request carries those of its own session.
struct Provider(Vec<Arc<Cookies>>);

impl Provider {
    /// The session that a request belongs to if nobody says so: the only one that answers for the place.
    fn only(&self, url: &Url) -> Option<&Arc<Cookies>> {
        let mut answering = self.0.iter().filter(|cookies| cookies.answers_for(url));
        answering.next().filter(|_| answering.next().is_none())
    }
}

impl CookieStore for Provider {
    fn set_cookies(&self, headers: &mut dyn Iterator<Item = &HeaderValue>, url: &Url) {
        match (Sent::current(), self.only(url)) {
            (Some(sent), _) => sent.take(&headers.collect::<Vec<_>>(), url),
            (None, Some(cookies)) => _ = cookies.take(headers, url, None),
            (None, None) => {}
        }
    }

    fn cookies(&self, url: &Url) -> Option<HeaderValue> {
        match Sent::current() {
            Some(sent) => sent.header(url),
            None => self.only(url)?.header(url, None),
        }
    }
}

/// A client that looks for its cookies there, and nowhere else.
pub(crate) fn provide(builder: ClientBuilder, cookies: Vec<Arc<Cookies>>) -> ClientBuilder {
    if cookies.is_empty() { builder } else { builder.cookie_provider(Arc::new(Provider(cookies))) }
}
