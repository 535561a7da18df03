//! Where cookies lie: in `reqwest`'s own jar, or nowhere where that is not to be had.

#[cfg(all(feature = "cookie-refresh", not(target_arch = "wasm32")))]
mod target {
    use std::fmt;
    use std::sync::Arc;

    use http::HeaderValue;
    use reqwest::Url;
    use reqwest::cookie::{CookieStore, Jar as ReqwestJar};

    /// Whether cookies are ours to keep.
    pub(crate) const OURS: bool = true;

    /// Cookies by domain and path, as RFC 6265 has it. Clones are the same jar.
    #[derive(Clone, Default)]
    pub(crate) struct Jar(Arc<ReqwestJar>);

    impl Jar {
        /// Takes these `Set-Cookie` values, which `url` answered with.
        pub(crate) fn take(&self, set_cookies: &mut dyn Iterator<Item = &HeaderValue>, url: &Url) {
            self.0.set_cookies(set_cookies, url);
        }

        /// The `Cookie` header for a request to `url`.
        pub(crate) fn header(&self, url: &Url) -> Option<HeaderValue> {
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
}

#[cfg(not(all(feature = "cookie-refresh", not(target_arch = "wasm32"))))]
mod target {
    use http::HeaderValue;
    use reqwest::Url;

    pub(crate) const OURS: bool = false;

    /// A browser keeps its cookies to itself; and without the feature there is no session that lives in them.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Jar {}

    #[expect(clippy::unused_self, reason = "the other half has something to look into")]
    impl Jar {
        pub(crate) fn take(&self, _set_cookies: &mut dyn Iterator<Item = &HeaderValue>, _url: &Url) {}

        pub(crate) fn header(&self, _url: &Url) -> Option<HeaderValue> {
            None
        }
    }
}

pub(crate) use target::{Jar, OURS};
