//! The challenge: what a response says it is about.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use http_auth::{ChallengeParser, ChallengeRef, ParamValue};

use crate::policy::refused::Refused;

/// A challenge that asks for something else than new tokens, and speaks for the whole response.
///
/// Whether a response is about its tokens, and what it asks for if not, are both read from here: there is one such
/// challenge, or the tokens are meant.
#[derive(Debug)]
pub(crate) struct Challenge<'h> {
    pub(crate) matter: Matter,
    text: Text<'h>,
}

/// What a challenge is about that new tokens of the same grant would not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matter {
    /// Another scheme than those of tokens.
    Scheme,
    /// RFC 6750: this request is malformed.
    Request,
    /// RFC 6750: these tokens may not do that.
    Scope,
    /// RFC 9449: the proof beside the token is wrong.
    Proof,
    /// RFC 9449: the proof lacks the server's nonce.
    Nonce,
    /// RFC 9470: the person must authenticate more strongly or more recently.
    Authentication,
    /// Microsoft Entra: the issuer must be asked with the claims in this challenge.
    Claims,
}

/// Headers that are read; the rest is ignored.
const MOST_HEADERS: usize = 32;

/// Bytes of a header that are read; the rest is ignored. With the linear parser this bounds the work.
const MOST_BYTES: usize = 8 * 1024;

/// Error codes that say why good tokens do not help.
const OTHER_CODES: [(&str, Matter); 6] = [
    ("invalid_request", Matter::Request),
    ("insufficient_scope", Matter::Scope),
    ("invalid_dpop_proof", Matter::Proof),
    ("use_dpop_nonce", Matter::Nonce),
    ("insufficient_user_authentication", Matter::Authentication),
    ("insufficient_claims", Matter::Claims),
];

impl<'h> Challenge<'h> {
    /// None if the tokens are meant. So does no header at all say, a `Bearer` or `DPoP` challenge without an error code, and
    /// one with `invalid_token` or a code that is not known here.
    pub(crate) fn read(headers: &'h HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().take(MOST_HEADERS);
        let all = values.filter_map(|value| weigh(front(value.as_bytes())));
        match loudest(all)? {
            Weighed { said: Said::NoCode | Said::InvalidToken, .. } => None,
            Weighed { said: Said::Other(matter), text } => Some(Self { matter, text }),
        }
    }

    /// The scheme, as it is written.
    pub(crate) fn scheme(&self) -> Cow<'h, str> {
        match &self.text {
            Text::Parsed(challenge) => challenge.scheme.into(),
            Text::Refused(header) => String::from_utf8_lossy(header.words().next().unwrap_or_default()),
        }
    }

    /// The parameter of this name. One that is empty says nothing, and of several the first is meant.
    pub(crate) fn param(&self, name: &str) -> Option<String> {
        let value = match &self.text {
            Text::Parsed(challenge) => named(challenge, name).next()?.to_unescaped(),
            Text::Refused(header) => String::from_utf8_lossy(&header.param(name)?).into_owned(),
        };
        (!value.is_empty()).then_some(value)
    }
}

/// One challenge, and what it says.
struct Weighed<'h> {
    said: Said,
    text: Text<'h>,
}

#[derive(Debug)]
enum Text<'h> {
    Parsed(ChallengeRef<'h>),
    Refused(Refused<'h>),
}

#[derive(Debug, Clone, Copy)]
enum Said {
    NoCode,
    InvalidToken,
    Other(Matter),
}

impl Said {
    /// The first in this order speaks for all. An error code is about the tokens that were sent, a challenge without one only
    /// lists what else is accepted; and where the tokens are said to be invalid as well, they come first.
    fn rank(self) -> u8 {
        match self {
            Self::InvalidToken => 0,
            Self::Other(Matter::Scheme) => 3,
            Self::Other(_) => 1,
            Self::NoCode => 2,
        }
    }
}

/// Of equals the first.
fn loudest<'h>(all: impl IntoIterator<Item = Weighed<'h>>) -> Option<Weighed<'h>> {
    all.into_iter().min_by_key(|weighed| weighed.said.rank())
}

/// The part of a header that is read. It ends where a comma does, so that no parameter is cut in two.
fn front(value: &[u8]) -> &[u8] {
    if value.len() <= MOST_BYTES {
        return value.trim_ascii();
    }
    let front = &value[..MOST_BYTES];
    let comma = front.iter().rposition(|byte| *byte == b',');
    front[..comma.unwrap_or(MOST_BYTES)].trim_ascii()
}

/// What one header says; `None` if it is empty.
fn weigh(value: &[u8]) -> Option<Weighed<'_>> {
    let text = std::str::from_utf8(value).ok();
    text.and_then(parse).or_else(|| scan(value))
}

/// Strictly, by the grammar; `None` if the header does not follow it to its end.
fn parse(text: &str) -> Option<Weighed<'_>> {
    let challenges: Option<Vec<_>> = ChallengeParser::new(text).map(|challenge| Some(of(challenge.ok()?))).collect();
    loudest(challenges?)
}

fn of(challenge: ChallengeRef<'_>) -> Weighed<'_> {
    let said = if is_token_scheme(challenge.scheme.as_bytes()) {
        let codes = named(&challenge, "error").map(|code| of_code(code.to_unescaped().as_bytes()));
        codes.min_by_key(|said| said.rank()).unwrap_or(Said::NoCode)
    } else {
        Said::Other(Matter::Scheme)
    };
    Weighed { said, text: Text::Parsed(challenge) }
}

/// A header that the grammar refuses. Its first word is the scheme; after `Bearer` and `DPoP`, a known error code counts
/// wherever it stands.
fn scan(value: &[u8]) -> Option<Weighed<'_>> {
    let header = Refused(value);
    let mut words = header.words();
    let said = if is_token_scheme(words.next()?) {
        words.map(of_code).min_by_key(|said| said.rank()).unwrap_or(Said::NoCode)
    } else {
        Said::Other(Matter::Scheme)
    };
    Some(Weighed { said, text: Text::Refused(header) })
}

fn named<'h>(challenge: &ChallengeRef<'h>, name: &str) -> impl Iterator<Item = ParamValue<'h>> {
    challenge.params.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

fn is_token_scheme(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"bearer") || word.eq_ignore_ascii_case(b"dpop")
}

/// A code that is not known counts as none: one refresh too many is bounded, a session that never refreshes is not.
fn of_code(code: &[u8]) -> Said {
    if code.eq_ignore_ascii_case(b"invalid_token") {
        return Said::InvalidToken;
    }
    let other = OTHER_CODES.iter().find(|(other, _)| code.eq_ignore_ascii_case(other.as_bytes()));
    other.map_or(Said::NoCode, |(_, matter)| Said::Other(*matter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    /// What the response is about, if not about its tokens.
    fn read(values: &[&[u8]]) -> Option<Matter> {
        let named = |value: &&[u8]| (WWW_AUTHENTICATE, HeaderValue::from_bytes(value).unwrap());
        Challenge::read(&values.iter().map(named).collect()).map(|challenge| challenge.matter)
    }

    #[test]
    fn the_greatest_speaks_for_all() {
        let schemes: &[u8] = b"Basic realm=\"x\"";
        let listed: &[u8] = b"Bearer realm=\"x\"";
        let scope: &[u8] = b"Bearer error=\"insufficient_scope\"";
        let nonce: &[u8] = b"DPoP error=\"use_dpop_nonce\"";
        let invalid: &[u8] = b"Bearer error=\"invalid_token\"";
        let ladder = [(schemes, Some(Matter::Scheme)), (listed, None), (scope, Some(Matter::Scope)), (invalid, None)];
        for (at, (greater, matter)) in ladder.into_iter().enumerate() {
            for (lesser, _) in ladder.into_iter().take(at + 1) {
                for pair in [[lesser, greater], [greater, lesser]] {
                    assert_eq!(read(&pair), matter, "{pair:?}");
                    assert_eq!(read(&[&pair.join(b", ".as_slice())]), matter, "{pair:?} in one header");
                }
            }
        }
        assert_eq!(read(&[scope, nonce]), Some(Matter::Scope), "of equals the first");
        assert_eq!(read(&[nonce, scope]), Some(Matter::Nonce), "of equals the first");
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn bytes_outside_ascii() {
        assert_eq!(read(&["Bearer realm=\"Zugänge\", error=\"invalid_token\"".as_bytes()]), None);
        assert_eq!(read(&["Bearer realm=\"Zugänge\", error=\"insufficient_scope\"".as_bytes()]), Some(Matter::Scope));
        assert_eq!(read(&[b"Bearer realm=\"Zug\xE4nge\""]), None);
        assert_eq!(read(&[b"Basic realm=\"Zug\xE4nge\""]), Some(Matter::Scheme));
        assert_eq!(read(&[b"\xFF\xFE"]), None);
    }

    #[test]
    fn blanks_around_a_header_are_no_part_of_it() {
        let text = "\t Basic realm=\"x\", Bearer error=\"insufficient_scope\" \t";
        assert_eq!(read(&[text.as_bytes()]), Some(Matter::Scope));
    }

    #[test]
    fn only_the_front_of_a_header_is_read() {
        let late = |padding: usize| format!("Bearer realm=\"{}\", error=\"insufficient_scope\"", "x".repeat(padding));
        assert_eq!(read(&[late(MOST_BYTES - 100).as_bytes()]), Some(Matter::Scope));
        assert_eq!(read(&[late(MOST_BYTES).as_bytes()]), None);
    }

    #[test]
    fn no_parameter_is_cut_in_two() {
        for (open, close) in [("", ""), ("\"", "\"")] {
            let scope = |length: usize| {
                let text = format!("Bearer error=insufficient_scope, scope={open}{}{close}", "x".repeat(length));
                let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_str(&text).unwrap())]);
                let challenge = Challenge::read(&headers).unwrap();
                (challenge.matter, challenge.param("scope").map(|scope| scope.len()))
            };
            assert_eq!(scope(8000), (Matter::Scope, Some(8000)));
            assert_eq!(scope(MOST_BYTES), (Matter::Scope, None));
        }
    }

    #[test]
    fn only_the_first_headers_are_read() {
        let mut values = vec![b"Basic".as_slice(); MOST_HEADERS];
        values[MOST_HEADERS - 1] = b"Bearer";
        assert_eq!(read(&values), None);
        values.insert(0, b"Basic");
        assert_eq!(read(&values), Some(Matter::Scheme));
    }

    #[test]
    fn a_huge_header_gets_the_verdict_of_its_front() {
        for unit in ["a,", "a=b,", "Bearer a=\"\\\"\",", "\"", ",", "Bearer "] {
            let huge = unit.repeat(4 * 1024 * 1024 / unit.len());
            let front = &huge.as_bytes()[..MOST_BYTES];
            assert_eq!(read(&[huge.as_bytes()]), read(&[front]), "{unit:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_get_a_verdict(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4)) {
            let values = values.iter().filter_map(|value| HeaderValue::from_bytes(value).ok());
            Challenge::read(&values.map(|value| (WWW_AUTHENTICATE, value)).collect());
        }

        #[test]
        fn anything_that_looks_like_a_challenge_gets_a_verdict(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "Bearer", "DPoP", "Basic", " ", "  ", ",", "=", "\"", "\\", "error", "realm", "invalid_token",
                    "insufficient_scope", "\u{e4}", "\t", "=\"x\"", "==",
                ]),
                0..24,
            )
        ) {
            read(&[parts.concat().as_bytes()]);
        }
    }
}
