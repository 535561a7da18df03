//! The header that shows a server that a request was made by whoever can read its cookies.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use reqwest::{Request, Url};

use crate::cookies::jar::{CookiePlace, Jar};
use crate::platform::{Panicked, caught};

/// The cookies that go with a request, to be read by name.
///
/// What a [`Cookies`](crate::Cookies) holds for one address, also cookies that are `HttpOnly`.
#[derive(Debug)]
pub struct CookieView<'a> {
    jar: &'a Jar,
    url: &'a Url,
}

impl<'a> CookieView<'a> {
    pub(super) fn new(jar: &'a Jar, url: &'a Url) -> Self {
        Self { jar, url }
    }

    /// The value of the cookie of this name, as it would be sent now; `None` when there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        let header = self.jar.header(self.url)?;
        let pairs = header.to_str().ok()?.split("; ").filter_map(|pair| pair.split_once('='));
        pairs.filter(|(named, _)| *named == name).map(|(_, value)| value.to_owned()).next()
    }

    /// The address of the request.
    #[must_use]
    pub fn url(&self) -> &Url {
        self.url
    }
}

/// Which header, and how its value is read from the cookies.
#[derive(Clone)]
pub(super) struct Csrf {
    pub(super) name: HeaderName,
    pub(super) read: Arc<dyn Fn(&CookieView<'_>) -> Option<String> + Send + Sync>,
}

impl Csrf {
    /// Writes the header, unless the request has one already.
    pub(super) fn write(&self, request: &mut Request, jar: &Jar) -> Result<(), Panicked> {
        if request.headers().contains_key(&self.name) {
            return Ok(());
        }
        let value = caught(|| (self.read)(&CookieView::new(jar, request.url())))?;
        if let Some(mut value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            value.set_sensitive(true);
            let _vacant = request.headers_mut().insert(self.name.clone(), value);
        }
        Ok(())
    }
}
