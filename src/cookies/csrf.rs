//! The header that shows a server that a request was made by whoever can read its cookies.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use reqwest::Url;

use crate::cookies::jar::Jar;
use crate::platform::{Panicked, caught};

/// The cookies that go with a request, to be read by name.
///
/// What a [`Cookies`](crate::Cookies) holds for one address, also cookies that are `HttpOnly`.
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
        // Byte by byte: another cookie may hold what is no text.
        let value = header
            .as_bytes()
            .split(|byte| *byte == b';')
            .find_map(|pair| pair.trim_ascii_start().strip_prefix(name.as_bytes())?.strip_prefix(b"="));
        String::from_utf8(value?.to_vec()).ok()
    }

    /// The address of the request.
    #[must_use]
    pub fn url(&self) -> &Url {
        self.url
    }
}

/// Without the cookies, and without the address, whose query may hold a secret.
impl fmt::Debug for CookieView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieView").finish_non_exhaustive()
    }
}

/// The program's function that reads a value from the cookies.
pub(super) type Read = dyn Fn(&CookieView<'_>) -> Option<String> + Send + Sync;

/// Which header, and how its value is read from the cookies.
#[derive(Clone)]
pub(super) struct Csrf {
    pub(super) name: HeaderName,
    pub(super) read: Arc<Read>,
}

impl Csrf {
    /// The header for a request to `url`; `None` where the cookies hold nothing for it, or nothing that can be sent.
    pub(super) fn header(&self, jar: &Jar, url: &Url) -> Result<Option<(HeaderName, HeaderValue)>, Panicked> {
        let value = caught(|| (self.read)(&CookieView::new(jar, url)))?;
        let Some(mut value) = value.and_then(|value| HeaderValue::try_from(value).ok()) else { return Ok(None) };
        value.set_sensitive(true);
        Ok(Some((self.name.clone(), value)))
    }
}
