//! Who may call the token endpoint.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

/// The client that an issuer knows, and how it has to say who it is (RFC 6749 section 2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Client {
    /// It says its id in the form, and has no secret.
    Public(&'static str),
    /// Its id and secret stand in the `Authorization` header, form-encoded before Base64.
    Basic(&'static str, &'static str),
    /// Its id and secret stand in the form.
    Post(&'static str, &'static str),
}

impl Client {
    pub(super) fn is_authenticated(&self, headers: &HeaderMap, form: &[(String, String)]) -> bool {
        let param = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let basic = headers.get(AUTHORIZATION).and_then(|value| basic(value.to_str().ok()?));
        let post = param("client_id").map(|id| (id, param("client_secret")));
        match self {
            Self::Public(id) => basic.is_none() && post == Some((id, None)),
            Self::Post(id, secret) => basic.is_none() && post == Some((id, Some(secret))),
            Self::Basic(id, secret) => {
                param("client_secret").is_none() && basic.is_some_and(|pair| pair == ((*id).into(), (*secret).into()))
            }
        }
    }
}

fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    let pair = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    scheme.eq_ignore_ascii_case("basic").then(|| Some((form_decoded(id)?, form_decoded(secret)?)))?
}

/// One name without value, as in a form; `None` for a text that was not form-encoded.
fn form_decoded(text: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(text.as_bytes());
    match (pairs.next(), pairs.next()) {
        (None, None) => Some(String::new()),
        (Some((name, value)), None) if value.is_empty() => Some(name.into_owned()),
        _ => None,
    }
}
