//! Placement: how tokens are written on a request.

use http::HeaderValue;
use secrecy::ExposeSecret;

use crate::tokens::Tokens;

/// The value of an `Authorization` header that carries the access token, prepared once for all requests that will; `None`
/// for tokens that cannot be seen.
///
/// It is marked sensitive: `Debug` does not show it, and HTTP/2 does not index it.
pub(crate) fn bearer(tokens: &Tokens) -> Option<HeaderValue> {
    const SCHEME: &[u8] = b"Bearer ";
    let token = tokens.access_token()?.expose_secret().as_bytes();
    // One buffer of exact size: growing would leave copies of the token in freed memory.
    let mut text = Vec::with_capacity(SCHEME.len() + token.len());
    text.extend_from_slice(SCHEME);
    text.extend_from_slice(token);
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    // The first clone of a value made from a buffer allocates a count of its owners; later ones raise it. So the first
    // clone is made here and not by a request.
    Some(value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_follows_the_scheme() {
        for token in ["a", "!", "~", "mF_9.B5f-4.1JqM", "a.b+c/d==", &"x".repeat(65_536)] {
            let value = bearer(&Tokens::new(token).unwrap()).unwrap();
            assert_eq!(value.as_bytes(), format!("Bearer {token}").as_bytes());
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
}
