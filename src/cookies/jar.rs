//! Where cookies lie, and how an HTTP client is made to look there: `reqwest`'s own jar, or nothing where that is not to be
//! had.

use http::HeaderValue;
use reqwest::Url;

/// What takes cookies from answers, and gives them to requests.
pub(crate) trait CookiePlace: Send + Sync + 'static {
    /// Takes these `Set-Cookie` values, which `url` answered with.
    fn take(&self, set_cookies: &mut dyn Iterator<Item = &HeaderValue>, url: &Url);

    /// The `Cookie` header for a request to `url`.
    fn header(&self, url: &Url) -> Option<HeaderValue>;
}

#[cfg(all(feature = "cookie-refresh", not(target_arch = "wasm32")))]
mod target {
    use std::fmt;
    use std::sync::Arc;

    use super::{CookiePlace, HeaderValue, Url};
    use reqwest::ClientBuilder;
    use reqwest::cookie::{CookieStore, Jar as ReqwestJar};

    /// Whether cookies are ours to keep.
    pub(crate) const OURS: bool = true;

    /// Cookies by domain and path, as RFC 6265 has it. Clones are the same jar.
    #[derive(Clone, Default)]
    pub(crate) struct Jar(Arc<ReqwestJar>);

    impl CookiePlace for Jar {
        fn take(&self, set_cookies: &mut dyn Iterator<Item = &HeaderValue>, url: &Url) {
            self.0.set_cookies(set_cookies, url);
        }

        fn header(&self, url: &Url) -> Option<HeaderValue> {
            let mut header = self.0.cookies(url)?;
            header.set_sensitive(true);
            Some(header)
        }
    }

    /// Without the cookies.
    impl fmt::Debug for Jar {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Jar").finish_non_exhaustive()
        }
    }

    struct Provider(Vec<Arc<dyn CookiePlace>>);

    impl CookieStore for Provider {
        fn set_cookies(&self, headers: &mut dyn Iterator<Item = &HeaderValue>, url: &Url) {
            let headers: Vec<_> = headers.collect();
            for place in &self.0 {
                place.take(&mut headers.iter().copied(), url);
            }
        }

        fn cookies(&self, url: &Url) -> Option<HeaderValue> {
            self.0.iter().find_map(|place| place.header(url))
        }
    }

    /// A client that looks for its cookies in these places, and nowhere else.
    pub(crate) fn provide(builder: ClientBuilder, places: Vec<Arc<dyn CookiePlace>>) -> ClientBuilder {
        if places.is_empty() { builder } else { builder.cookie_provider(Arc::new(Provider(places))) }
    }
}

#[cfg(not(all(feature = "cookie-refresh", not(target_arch = "wasm32"))))]
mod target {
    use super::{CookiePlace, HeaderValue, Url};

    pub(crate) const OURS: bool = false;

    /// A browser keeps its cookies to itself; and without the feature there is no session that lives in them.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Jar {}

    impl CookiePlace for Jar {
        fn take(&self, _set_cookies: &mut dyn Iterator<Item = &HeaderValue>, _url: &Url) {}

        fn header(&self, _url: &Url) -> Option<HeaderValue> {
            None
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn provide(
        builder: reqwest::ClientBuilder,
        _places: Vec<std::sync::Arc<dyn CookiePlace>>,
    ) -> reqwest::ClientBuilder {
        builder
    }
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use target::provide;
pub(crate) use target::{Jar, OURS};
