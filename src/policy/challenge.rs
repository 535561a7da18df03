//! The challenge: what a 401 says it is about.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use http_auth::{ChallengeParser, ChallengeRef};

/// What a 401 is about, as its `WWW-Authenticate` headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// The tokens. So does no header at all say, a `Bearer` or `DPoP` challenge without an error code, and one with
    /// `invalid_token` or a code that is not known here.
    Token,
    /// Something that new tokens of the same grant would not change.
    Other,
}

/// Headers that are read; the rest is ignored.
const MOST_HEADERS: usize = 32;

/// Bytes of a header that are read; the rest is ignored. With the linear parser this bounds the work.
const MOST_BYTES: usize = 8 * 1024;

/// Error codes that say why good tokens do not help.
const OTHER_CODES: [&str; 6] = [
    // RFC 6750: this request is malformed; these tokens may not do that.
    "invalid_request",
    "insufficient_scope",
    // RFC 9449: the proof beside the token is wrong, or lacks the server's nonce.
    "invalid_dpop_proof",
    "use_dpop_nonce",
    // RFC 9470: the person must authenticate more strongly or more recently.
    "insufficient_user_authentication",
    // Microsoft Entra: the issuer must be asked with the claims in this challenge.
    "insufficient_claims",
];

/// What one challenge says; the greatest speaks for all. An error code is about the tokens that were sent, a challenge
/// without one only lists what else is accepted; and where the tokens are said to be invalid as well, they come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    OtherScheme,
    NoCode,
    OtherCode,
    InvalidToken,
}

impl Challenge {
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().take(MOST_HEADERS).map(http::HeaderValue::as_bytes);
        match values.filter_map(|value| weigh(value.get(..MOST_BYTES).unwrap_or(value))).max() {
            None | Some(Said::NoCode | Said::InvalidToken) => Self::Token,
            Some(Said::OtherScheme | Said::OtherCode) => Self::Other,
        }
    }
}

/// What one header says; `None` if it is empty.
fn weigh(value: &[u8]) -> Option<Said> {
    let text = std::str::from_utf8(value).ok();
    text.and_then(parse).or_else(|| scan(value))
}

/// Strictly, by the grammar; `None` if the header does not follow it to its end.
fn parse(text: &str) -> Option<Said> {
    ChallengeParser::new(text).try_fold(Said::OtherScheme, |most, challenge| Some(most.max(of(&challenge.ok()?))))
}

fn of(challenge: &ChallengeRef<'_>) -> Said {
    if !is_token_scheme(challenge.scheme.as_bytes()) {
        return Said::OtherScheme;
    }
    let errors = challenge.params.iter().filter(|(name, _)| name.eq_ignore_ascii_case("error"));
    errors.map(|(_, code)| of_code(code.to_unescaped().as_bytes())).max().unwrap_or(Said::NoCode)
}

/// A header that the grammar refuses, and many do: commas left out, quotes that never close, values with bytes that want
/// quotes. Its first word is the scheme; after `Bearer` and `DPoP`, a known error code counts wherever it stands.
fn scan(value: &[u8]) -> Option<Said> {
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let mut words = value.split(|byte| !is_inner(byte)).filter(|word| !word.is_empty());
    if is_token_scheme(words.next()?) {
        words.map(of_code).max().or(Some(Said::NoCode))
    } else {
        Some(Said::OtherScheme)
    }
}

fn is_token_scheme(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"bearer") || word.eq_ignore_ascii_case(b"dpop")
}

/// A code that is not known counts as none: one refresh too many is bounded, a session that never refreshes is not.
fn of_code(code: &[u8]) -> Said {
    if code.eq_ignore_ascii_case(b"invalid_token") {
        Said::InvalidToken
    } else if OTHER_CODES.iter().any(|other| code.eq_ignore_ascii_case(other.as_bytes())) {
        Said::OtherCode
    } else {
        Said::NoCode
    }
}

#[cfg(test)]
mod tests {
    use super::Challenge::{Other, Token};
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn read(values: &[&[u8]]) -> Challenge {
        let named = |value: &&[u8]| (WWW_AUTHENTICATE, HeaderValue::from_bytes(value).unwrap());
        Challenge::read(&values.iter().map(named).collect())
    }

    #[test]
    fn table() {
        let cases: &[(&[&str], Challenge)] = &[
            // Nothing is said.
            (&[], Token),
            (&[""], Token),
            (&[" , ,"], Token),
            // No code.
            (&["Bearer"], Token),
            (&["bEARER"], Token),
            (&["DPoP"], Token),
            (&["Bearer realm=\"api\""], Token),
            (&["Bearer realm=\"api\", scope=\"a b\", resource_metadata=\"https://evil.example/\""], Token),
            (&["Bearer error=\"\""], Token),
            (&["DPoP algs=\"ES256 PS256\""], Token),
            // The token is invalid.
            (&["Bearer error=\"invalid_token\""], Token),
            (&["Bearer realm=\"https://accounts.google.com/\", error=invalid_token"], Token),
            (&["BEARER ERROR=\"Invalid_Token\""], Token),
            (&["Bearer error=\"invalid\\_token\""], Token),
            (&["DPoP error=\"invalid_token\", error_description=\"expired\", algs=\"ES256\""], Token),
            (&["Bearer error = \"invalid_token\" , realm = x"], Token),
            (&["Bearer error=\"invalid_token\", error_description=\"not insufficient_scope\""], Token),
            // A code that is not known.
            (&["Bearer error=\"expired_token\""], Token),
            (&["Bearer error=\"insufficient_scope_x\""], Token),
            // Something else.
            (&["Bearer error=\"insufficient_scope\", scope=\"admin\""], Other),
            (&["Bearer error=insufficient_scope"], Other),
            (&["Bearer error=\"insufficient_user_authentication\", acr_values=\"mfa\", max_age=\"0\""], Other),
            (&["Bearer realm=\"\", error=\"insufficient_claims\", claims=\"eyJhIjp7fX0=\""], Other),
            (&["Bearer error=\"invalid_request\""], Other),
            (&["DPoP error=\"use_dpop_nonce\", error_description=\"needs nonce\""], Other),
            (&["DPoP error=\"invalid_dpop_proof\""], Other),
            // Other schemes.
            (&["Basic realm=\"admin\""], Other),
            (&["Digest realm=\"x\", nonce=\"y\", qop=\"auth\""], Other),
            (&["Negotiate"], Other),
            (&["NTLM"], Other),
            (&["Bearer2 realm=x"], Other),
            (&["Bearer-Token realm=x"], Other),
            (&["Basic realm=x, error=\"invalid_token\""], Other),
            // Several challenges in one header.
            (&["Basic realm=\"a\", Bearer realm=\"b\""], Token),
            (&["Negotiate, Basic realm=\"Bearer\""], Other),
            (&["Bearer, DPoP algs=\"ES256\""], Token),
            (&["Bearer realm=\"api\", error=\"invalid_token\", DPoP algs=\"RS256 ES256\""], Token),
            (&["Bearer error=\"insufficient_scope\", DPoP algs=\"ES256\""], Other),
            (&["Bearer error=\"insufficient_scope\", DPoP error=\"invalid_token\""], Token),
            (&["Basic realm=\"x\", Bearer error=\"insufficient_scope\""], Other),
            (&["Basic realm=\"Bearer error=invalid_token\""], Other),
            // Several headers.
            (&["Basic realm=\"x\"", "Bearer error=\"invalid_token\""], Token),
            (&["Bearer error=\"invalid_token\"", "Basic realm=\"x\""], Token),
            (&["Bearer error=\"insufficient_scope\"", "Bearer realm=\"x\""], Other),
            (&["Negotiate", "NTLM", "Basic realm=\"x\""], Other),
            (&["Bearer realm=\"x\"", "DPoP error=\"use_dpop_nonce\""], Other),
            (&["", "Basic realm=\"x\""], Other),
            (&["Basic oops oops", "Bearer"], Token),
            // One thing said twice.
            (&["Bearer error=\"invalid_token\", error=\"insufficient_scope\""], Token),
            (&["Bearer error=\"insufficient_scope\", error=\"invalid_token\""], Token),
            (&["Bearer error=\"insufficient_scope\", error=\"insufficient_scope\""], Other),
            // Refused by the grammar: the first word decides.
            (&["Bearer realm=\"never closed"], Token),
            (&["Bearer error=\"invalid_token"], Token),
            (&["Bearer realm=https://api.example.com/, error=invalid_token"], Token),
            (&["Bearer scope=\"\" error=\"invalid_token\" error_description=\"the token has expired\""], Token),
            (&["Bearer  realm=\"x\""], Token),
            (&["Bearer: token expired"], Token),
            (&["Bearer token expired"], Token),
            (&[",, dpop = = ="], Token),
            (&["Bearer \"\\"], Token),
            (&["Bearer scope=\"\" error=\"insufficient_scope\""], Other),
            (&["Bearer realm=\"x\" error=\"insufficient_claims\", claims=\"never closed"], Other),
            (&["DPoP  error=\"use_dpop_nonce\""], Other),
            (&["Basic realm=\"never closed, Bearer error=\"invalid_token\""], Other),
            (&["Negotiate YIIFxwYGKwYBBQUCoIIFuzCCBbegMDAuBgkq=="], Other),
            (&["Bearer-Token oops oops"], Other),
            (&["=Basic"], Other),
            (&["token expired: Bearer"], Other),
            (&["\"Bearer"], Token),
        ];
        for (values, verdict) in cases {
            let bytes: Vec<_> = values.iter().map(|value| value.as_bytes()).collect();
            assert_eq!(read(&bytes), *verdict, "{values:?}");
        }
    }

    #[test]
    fn bytes_outside_ascii() {
        assert_eq!(read(&["Bearer realm=\"Zugänge\", error=\"invalid_token\"".as_bytes()]), Token);
        assert_eq!(read(&["Bearer realm=\"Zugänge\", error=\"insufficient_scope\"".as_bytes()]), Other);
        assert_eq!(read(&[b"Bearer realm=\"Zug\xE4nge\""]), Token);
        assert_eq!(read(&[b"Basic realm=\"Zug\xE4nge\""]), Other);
        assert_eq!(read(&[b"\xFF\xFE"]), Token);
    }

    #[test]
    fn only_the_front_of_a_header_is_read() {
        let late = |padding: usize| format!("Bearer realm=\"{}\", error=\"insufficient_scope\"", "x".repeat(padding));
        assert_eq!(read(&[late(MOST_BYTES - 100).as_bytes()]), Other);
        assert_eq!(read(&[late(MOST_BYTES).as_bytes()]), Token);
    }

    #[test]
    fn only_the_first_headers_are_read() {
        let mut values = vec![b"Basic".as_slice(); MOST_HEADERS];
        values[MOST_HEADERS - 1] = b"Bearer";
        assert_eq!(read(&values), Token);
        values.insert(0, b"Basic");
        assert_eq!(read(&values), Other);
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
