//! What a challenge asks for, in a form that a test can write down.

use http::header::{HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use reqwest_auth_refresh::Demand;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// For new tokens, if for anything.
    Tokens,
    Scope(Vec<String>),
    StepUp(Vec<String>, Option<u64>),
    Claims(Option<String>),
    Nonce(Option<String>),
    Proof,
    Request,
    Scheme(String, Option<String>),
}

impl Asked {
    /// As the crate reads it.
    pub(crate) fn by(headers: &HeaderMap) -> Self {
        match Demand::of(headers) {
            None => Self::Tokens,
            Some(Demand::Scope { scopes, .. }) => Self::Scope(scopes),
            Some(Demand::StepUp { acr_values, max_age, .. }) => {
                Self::StepUp(acr_values, max_age.map(|age| age.as_secs()))
            }
            Some(Demand::Claims { claims, .. }) => Self::Claims(claims),
            Some(Demand::DpopNonce { nonce, .. }) => Self::Nonce(nonce),
            Some(Demand::DpopProof) => Self::Proof,
            Some(Demand::ValidRequest) => Self::Request,
            Some(Demand::OtherScheme { scheme, realm, .. }) => Self::Scheme(scheme, realm),
            Some(unknown) => panic!("a demand that these tests do not know: {unknown:?}"),
        }
    }
}

/// Lines with the name of another header in front are that header, all others are challenges.
pub(crate) fn headers(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let named = ["DPoP-Nonce", "Proxy-Authenticate"].iter().find_map(|name| {
            let value = line.strip_prefix(name)?.strip_prefix(": ")?;
            Some((name.parse::<HeaderName>().unwrap(), value))
        });
        let (name, value) = named.unwrap_or((WWW_AUTHENTICATE, line));
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}
