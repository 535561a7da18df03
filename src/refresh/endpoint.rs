//! The address of an endpoint, checked once.

use std::sync::Arc;

use reqwest::Url;

use crate::policy::origins::is_loopback;
use crate::refresh::setup::SetupError;

/// Where a refresher sends its requests. The query that it was configured with is sent along (RFC 6749 section 3.2).
///
/// Not `Debug`: that would show the query.
#[derive(Clone)]
pub(crate) struct Endpoint {
    url: Url,
    /// The address without its query, which may hold a secret, for messages.
    name: Arc<str>,
}

impl Endpoint {
    /// An `https` address, or an `http` one on a loopback host.
    pub(crate) fn new(text: &str) -> Result<Self, SetupError> {
        let endpoint = Self::dangerous_http(text)?;
        let plain = endpoint.url.scheme() != "https";
        if plain && !is_loopback(&endpoint.url) { Err(SetupError::NotHttps) } else { Ok(endpoint) }
    }

    /// An `https` or `http` address on any host.
    pub(crate) fn dangerous_http(text: &str) -> Result<Self, SetupError> {
        let url = Url::parse(text).map_err(|_quoting| SetupError::NotUrl)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(SetupError::NotHttps);
        }
        if url.fragment().is_some() {
            return Err(SetupError::Fragment);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(SetupError::Userinfo);
        }
        let mut name = url.clone();
        name.set_query(None);
        Ok(Self { name: Arc::from(name.as_str()), url })
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The address without its query.
    pub(crate) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine_unless_it_is_called_dangerous() {
        // the address, whether it will do, and whether it will by the dangerous name
        let cases = [
            ("https://issuer.example/token", Ok(()), true),
            ("https://issuer.example:8443/token?tenant=a", Ok(()), true),
            ("http://localhost:8080/token", Ok(()), true),
            ("http://LOCALHOST/token", Ok(()), true),
            ("http://127.0.0.1/token", Ok(()), true),
            ("http://127.255.255.254/token", Ok(()), true),
            ("http://[::1]:80/token", Ok(()), true),
            ("http://issuer.example/token", Err("NotHttps"), true),
            ("http://localhost.issuer.example/token", Err("NotHttps"), true),
            ("http://127.0.0.1.issuer.example/token", Err("NotHttps"), true),
            ("http://128.0.0.1/token", Err("NotHttps"), true),
            ("http://[::2]/token", Err("NotHttps"), true),
            ("http://0.0.0.0/token", Err("NotHttps"), true),
            ("ftp://localhost/token", Err("NotHttps"), false),
            ("data:,token", Err("NotHttps"), false),
            ("https://issuer.example/token#f", Err("Fragment"), false),
            ("https://issuer.example/token#", Err("Fragment"), false),
            ("https://me@issuer.example/token", Err("Userinfo"), false),
            ("https://:secret@issuer.example/token", Err("Userinfo"), false),
            ("/token", Err("NotUrl"), false),
            ("issuer.example/token", Err("NotUrl"), false),
            ("", Err("NotUrl"), false),
            ("https://", Err("NotUrl"), false),
        ];
        for (text, expected, dangerous) in cases {
            let found = Endpoint::new(text).map(|_| ()).map_err(|error| format!("{error:?}"));
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
            assert_eq!(Endpoint::dangerous_http(text).is_ok(), dangerous, "{text}");
        }
    }

    #[test]
    fn the_query_is_kept_and_never_shown() {
        let endpoint = Endpoint::new("https://issuer.example:8443/a/token?key=canary").unwrap();
        assert_eq!(endpoint.url().query(), Some("key=canary"));
        assert_eq!(&*endpoint.name(), "https://issuer.example:8443/a/token");
    }
}
