//! Placement: how tokens are written on a request.

use std::fmt;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Request;
use secrecy::ExposeSecret;

use crate::tokens::Tokens;

/// How tokens are written on a request; a bearer header by default.
///
/// ```
/// use reqwest_auth_refresh::Placement;
///
/// // Authorization: Bearer … (RFC 6750 section 2.1)
/// let standard = Placement::bearer();
/// // X-Shopify-Access-Token: …
/// let named = Placement::header("X-Shopify-Access-Token", "")?;
/// # Ok::<(), reqwest_auth_refresh::InvalidPlacement>(())
/// ```
///
/// # Redirects
///
/// When a redirect leads to another origin, `reqwest` takes `Authorization` off, and no other header. So a placement is only
/// for clients that [`AuthRefresh::client`](crate::AuthRefresh::client) built. For another scheme in `Authorization`,
/// such as `Authorization: Token …`, use [`AuthRefresh::scheme`](crate::AuthRefresh::scheme), which goes with any client.
///
/// # No query parameter
///
/// There is none to choose. A token in a URL is shown by errors, logs, `response.url()`, histories and `Referer` headers
/// (RFC 9700 section 4.3.2), and this crate keeps tokens out of all of them. For an API that takes nothing else,
/// [`function`](Self::function) shows how, and what it costs.
#[derive(Clone, Default)]
pub struct Placement(How);

#[derive(Clone, Default)]
enum How {
    #[default]
    Bearer,
    Header {
        name: HeaderName,
        prefix: Arc<str>,
    },
    Function(Arc<Function>),
}

type Function = dyn Fn(&mut Request, &Tokens) + Send + Sync;

/// What is to be done to place tokens on a request.
pub(crate) enum Place<'a> {
    /// A header with this name, and as its value this text and the access token.
    Header(&'a HeaderName, &'a Arc<str>),
    /// Whatever the program's own function does.
    Function(&'a Function),
}

impl Placement {
    /// `Authorization: Bearer` and the access token (RFC 6750 section 2.1). The default.
    #[must_use]
    pub fn bearer() -> Self {
        Self::default()
    }

    /// A header of this name; its value is `prefix` and then the access token. A space that belongs between them is part
    /// of the prefix.
    ///
    /// A request that has such a header already is left alone.
    ///
    /// # Errors
    ///
    /// When the name is no header's name, or the prefix cannot stand in one.
    pub fn header(name: &str, prefix: &str) -> Result<Self, InvalidPlacement> {
        let name = HeaderName::try_from(name).map_err(|_quoting| InvalidPlacement::Name)?;
        if !prefix.bytes().all(|byte| matches!(byte, 0x20..=0x7E)) {
            return Err(InvalidPlacement::Prefix);
        }
        Ok(Self(How::Header { name, prefix: prefix.into() }))
    }

    /// `Authorization` with this scheme and the access token; with the access token alone where the scheme is empty.
    pub(crate) fn scheme(scheme: &str) -> Result<Self, InvalidPlacement> {
        // The `token` of RFC 9110 section 5.6.2.
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !scheme.bytes().all(is_token) {
            return Err(InvalidPlacement::Scheme);
        }
        let prefix = if scheme.is_empty() { String::new() } else { format!("{scheme} ") };
        Ok(Self(How::Header { name: AUTHORIZATION, prefix: prefix.into() }))
    }

    /// Whatever this function does with a request that is about to be sent, and the tokens that it is to carry.
    ///
    /// It is called for each sending, on a request without tokens, outside every lock. A header that holds the access token
    /// afterwards is marked sensitive, so that `Debug` does not show it. A panic in it is caught and ends
    /// the request with an error that [`is_misconfigured`](crate::AuthError::is_misconfigured).
    ///
    /// For an API that takes the token as a query parameter and in no other way:
    ///
    /// ```
    /// use reqwest_auth_refresh::{ExposeSecret, Placement};
    ///
    /// let in_query = Placement::function(|request, tokens| {
    ///     if let Some(token) = tokens.access_token() {
    ///         request.url_mut().query_pairs_mut().append_pair("access_token", token.expose_secret());
    ///     }
    /// });
    /// # drop(in_query);
    /// ```
    ///
    /// What that costs: the token is then in `response.url()`, in every `reqwest::Error` of such a request, in what tracing
    /// layers log, in the server's logs, and in a browser's history. None of the promises about leaks holds for it. Whatever
    /// shows an error of such a request has to take the URL off first (`reqwest::Error::without_url`).
    #[must_use]
    pub fn function(place: impl Fn(&mut Request, &Tokens) + Send + Sync + 'static) -> Self {
        Self(How::Function(Arc::new(place)))
    }

    /// What to do where it is not the standard header.
    #[inline]
    pub(crate) fn place(&self) -> Option<Place<'_>> {
        match &self.0 {
            How::Bearer => None,
            How::Header { name, prefix } => Some(Place::Header(name, prefix)),
            How::Function(function) => Some(Place::Function(&**function)),
        }
    }

    /// The header that it writes, if it is one that is known.
    pub(crate) fn own_header(&self) -> Option<&HeaderName> {
        match &self.0 {
            How::Header { name, .. } => Some(name),
            How::Bearer | How::Function(_) => None,
        }
    }
}

impl fmt::Debug for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            How::Bearer => f.write_str("Placement(Authorization: Bearer …)"),
            How::Header { name, prefix } => write!(f, "Placement({name}: {prefix}…)"),
            How::Function(_) => f.write_str("Placement(a function)"),
        }
    }
}

/// Why this cannot be a placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPlacement {
    /// Not the name of a header.
    #[error("that is not the name of a header")]
    Name,
    /// The prefix holds something that cannot stand in a header's value: only ASCII letters, digits, signs and spaces can.
    #[error("the prefix cannot stand in a header")]
    Prefix,
    /// The scheme is not one word. What else stands before a token is a prefix: see [`Placement::header`].
    #[error("the scheme is not one word: leave out spaces and what follows them")]
    Scheme,
}

/// The value of a header that carries the access token behind `prefix`, prepared once for all requests that will; `None`
/// for tokens that cannot be seen.
///
/// It is marked sensitive: `Debug` does not show it, and HTTP/2 does not index it.
pub(crate) fn prepared(prefix: &str, tokens: &Tokens) -> Option<HeaderValue> {
    let token = tokens.access_token()?.expose_secret().as_bytes();
    // One buffer of exact size: growing would leave copies of the token in freed memory.
    let mut text = Vec::with_capacity(prefix.len() + token.len());
    text.extend_from_slice(prefix.as_bytes());
    text.extend_from_slice(token);
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    // The first clone of a value made from a buffer allocates a count of its owners; later ones raise it. So the first
    // clone is made here and not by a request.
    Some(value.clone())
}

/// Marks every header that holds the access token as sensitive, whoever wrote it.
pub(crate) fn hide(tokens: &Tokens, headers: &mut HeaderMap) {
    let Some(token) = tokens.access_token().map(|token| token.expose_secret().as_bytes()) else { return };
    for value in headers.values_mut() {
        if value.as_bytes().windows(token.len()).any(|window| window == token) {
            value.set_sensitive(true);
        }
    }
}

/// The prefix of the standard header.
pub(crate) const BEARER: &str = "Bearer ";

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(tokens: &Tokens) -> Option<HeaderValue> {
        prepared(BEARER, tokens)
    }

    #[test]
    fn the_token_follows_the_prefix() {
        for token in ["a", "!", "~", "mF_9.B5f-4.1JqM", "a.b+c/d==", &"x".repeat(65_536)] {
            for prefix in [BEARER, "", "Token token="] {
                let value = prepared(prefix, &Tokens::new(token).unwrap()).unwrap();
                assert_eq!(value.as_bytes(), format!("{prefix}{token}").as_bytes());
            }
        }
    }

    #[test]
    fn every_byte_that_a_token_may_hold_is_sent_as_it_is() {
        let token: String = (0x21..=0x7E_u8).map(char::from).collect();
        assert_eq!(bearer(&Tokens::new(token.clone()).unwrap()).unwrap(), format!("Bearer {token}"));
    }

    #[test]
    fn what_cannot_be_seen_is_not_placed() {
        assert_eq!(bearer(&Tokens::unseen()), None);
        assert_eq!(bearer(&Tokens::unseen().with_refresh_token("refresh")), None);
    }

    #[test]
    fn it_and_its_clones_are_sensitive() {
        let value = bearer(&Tokens::new("canary").unwrap()).unwrap();
        assert!(value.is_sensitive() && value.clone().is_sensitive());
        assert!(!format!("{value:?}").contains("canary"));
    }

    #[test]
    fn clones_share_one_buffer() {
        let value = bearer(&Tokens::new("shared").unwrap()).unwrap();
        assert_eq!(value.clone().as_bytes().as_ptr(), value.as_bytes().as_ptr());
    }

    #[test]
    fn only_what_can_be_a_header_is_a_placement() {
        use InvalidPlacement::{Name, Prefix};
        let cases = [
            ("X-Token", "", None),
            ("x-token", "Token ", None),
            ("Authorization", "Token token=", None),
            ("", "", Some(Name)),
            ("x token", "", Some(Name)),
            ("x-token:", "", Some(Name)),
            ("x-tökén", "", Some(Name)),
            ("x-token", "a\r\nb", Some(Prefix)),
            ("x-token", "a\tb", Some(Prefix)),
            ("x-token", "é", Some(Prefix)),
        ];
        for (name, prefix, wrong) in cases {
            assert_eq!(Placement::header(name, prefix).err(), wrong, "{name:?} {prefix:?}");
        }
    }

    #[test]
    fn a_scheme_is_one_word_in_authorization() {
        for (scheme, shown) in [
            ("Token", "Placement(authorization: Token …)"),
            ("Zoho-oauthtoken", "Placement(authorization: Zoho-oauthtoken …)"),
            ("", "Placement(authorization: …)"),
        ] {
            assert_eq!(format!("{:?}", Placement::scheme(scheme).unwrap()), shown);
        }
        for wrong in ["Token ", " Token", "Token token=", "a\r\nb", "é", "a:b", "Token,"] {
            assert_eq!(Placement::scheme(wrong).unwrap_err(), InvalidPlacement::Scheme, "{wrong:?}");
        }
    }
}
