//! The demand: what an API asks for that new tokens of the same grant would not give.

use std::fmt;
use std::time::Duration;

use http::HeaderMap;
use http::header::HeaderName;

use crate::policy::challenge::{Challenge, Matter};

/// What an API asks for that a refresh cannot give: another scope, a stronger login, another scheme.
///
/// Such a response comes back as it is, without a refresh, whatever its status: `insufficient_scope` is a 403 by the
/// standard, and a 401 with many APIs. Its challenges, the headers `WWW-Authenticate`, say what would help.
///
/// ```
/// use std::time::Duration;
///
/// use reqwest_auth_refresh::Demand;
/// # use reqwest_auth_refresh::{AuthRefresh, Origins, RefreshError, RefreshRequest, Session, Tokens};
/// # use reqwest_middleware::ClientBuilder;
/// # use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let api = MockServer::start().await;
/// # let challenge = r#"Bearer error="insufficient_user_authentication", acr_values="phr mfa", max_age="300""#;
/// # let answer = ResponseTemplate::new(401).insert_header("www-authenticate", challenge);
/// # Mock::given(any()).respond_with(answer).expect(1).mount(&api).await;
/// # let session = Session::new(|_: RefreshRequest| async { Err(RefreshError::rejected("nobody asks")) });
/// # let auth = AuthRefresh::new(&session, Origins::new(api.uri())?);
/// # let client = ClientBuilder::new(reqwest::Client::new()).with(auth).build();
/// # session.login(Tokens::new("token")?).await?;
/// # let payments = format!("{}/payments", api.uri());
/// let response = client.post(&payments).send().await?;
/// match Demand::of(response.headers()) {
///     // The person logs in once more, as the API wants it. Ask first.
///     Some(Demand::StepUp { acr_values, max_age, .. }) => {
///         assert_eq!(acr_values, ["phr", "mfa"]);
///         assert_eq!(max_age, Some(Duration::from_secs(300)));
///     }
///     // The person is asked to grant more.
///     Some(Demand::Scope { scopes, .. }) => println!("this needs {}", scopes.join(" ")),
///     Some(other) => println!("refused: {other:?}"),
///     None => println!("{}", response.status()),
/// }
/// # assert_eq!(response.status(), 401);
/// # Ok(())
/// # }
/// ```
///
/// # Do not trust it
///
/// All of this comes from outside. An API that has been broken into can ask for anything, so a demand is a reason to ask
/// the person, never to open a browser unasked, and never to do it again and again (RFC 9470 section 9). Ask your issuer
/// for scopes, levels and claims that your program knows. Escape the texts where you show them. Nothing is fetched because
/// a challenge says so: `resource_metadata` (RFC 9728) is not followed, and not read.
///
/// # What is read
///
/// At most 32 headers, and of each at most 8 KiB. Names of schemes, parameters and error codes are compared without regard
/// to case. A parameter that is empty counts as left out; of two with one name, the first is meant. A header that the
/// grammar of RFC 9110 section 11.6.1 refuses is read for what can still be told: its first word is the scheme, a known
/// error code counts wherever it stands, and so does a parameter whose value has an end. Of several demands in one
/// response, those of the schemes `Bearer` and `DPoP` come first, then the order of the headers.
///
/// `Proxy-Authenticate` is not read: a proxy's demands are not about these tokens.
///
/// # Shown
///
/// `Debug` shows the values, except for nonce and claims, which are for the issuer and the API to read.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Demand {
    /// The grant does not reach so far: `insufficient_scope` (RFC 6750 section 3.1). A refresh cannot widen it; a new
    /// authorization can.
    #[non_exhaustive]
    Scope {
        /// The scopes that the request needs. Empty if the API does not say.
        scopes: Vec<String>,
    },
    /// The person must log in again, more strongly or more recently: `insufficient_user_authentication` (RFC 9470). A
    /// refresh does not change how and when somebody logged in.
    #[non_exhaustive]
    StepUp {
        /// The levels of authentication that would do, the best first; joined by blanks they are the parameter `acr_values`
        /// of the authorization request. Empty if the API does not say.
        acr_values: Vec<String>,
        /// How long ago the login may be, in whole seconds, at most `u32::MAX` of them; more, or what is no number, counts
        /// as left out. Zero means: now.
        max_age: Option<Duration>,
    },
    /// The issuer must be asked with these claims: `insufficient_claims`, the claims challenge of Microsoft Entra.
    #[non_exhaustive]
    Claims {
        /// The claims as they were sent, which is JSON in Base64, not decoded.
        claims: Option<String>,
    },
    /// The proof that goes with a `DPoP` token must hold the server's nonce: `use_dpop_nonce` (RFC 9449 section 9).
    #[non_exhaustive]
    DpopNonce {
        /// The nonce, from the header `DPoP-Nonce`. None if there is none or it cannot be one (RFC 9449 section 8.1).
        nonce: Option<String>,
    },
    /// The proof that goes with a `DPoP` token is wrong: `invalid_dpop_proof` (RFC 9449). A clock that is not set
    /// is a common reason.
    DpopProof,
    /// The request itself must change: `invalid_request` (RFC 6750 section 3.1). A token that is sent twice is a common
    /// reason.
    ValidRequest,
    /// Only other schemes than `Bearer` and `DPoP` are accepted: `Basic`, `Digest`, `Negotiate`, `NTLM` and the like.
    /// Perhaps this is not the API, but something in front of it.
    #[non_exhaustive]
    OtherScheme {
        /// The first scheme that is offered, as it is written.
        scheme: String,
        /// Its realm, the part of the server that the credentials are for (RFC 9110 section 11.5).
        realm: Option<String>,
    },
}

const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// No longer nonce is handed on.
const LONGEST_NONCE: usize = 8 * 1024;

impl Demand {
    /// The demand of the response with these headers. None if it has no challenge, or one that only says that the tokens
    /// are no longer good: then a 401 leads to a refresh, and the same 401 with a demand to none.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let challenge = Challenge::read(headers)?;
        let param = |name| challenge.param(name);
        Some(match challenge.matter {
            Matter::Scheme => Self::OtherScheme { scheme: challenge.scheme().into_owned(), realm: param("realm") },
            Matter::Request => Self::ValidRequest,
            Matter::Scope => Self::Scope { scopes: list(param("scope")) },
            Matter::Proof => Self::DpopProof,
            Matter::Nonce => Self::DpopNonce { nonce: nonce(headers) },
            Matter::Authentication => Self::StepUp {
                acr_values: list(param("acr_values")),
                max_age: param("max_age").as_deref().and_then(seconds),
            },
            Matter::Claims => Self::Claims { claims: param("claims") },
        })
    }
}

fn list(text: Option<String>) -> Vec<String> {
    text.unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect()
}

/// Bounded, so that no clock overflows by it.
fn seconds(text: &str) -> Option<Duration> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse::<u32>().ok()).flatten().map(|seconds| Duration::from_secs(seconds.into()))
}

fn nonce(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(DPOP_NONCE)?.to_str().ok()?;
    let is_nonce = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
    (is_nonce && (1..=LONGEST_NONCE).contains(&text.len())).then(|| text.to_owned())
}

impl fmt::Debug for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unshown = |value: &Option<String>| value.as_ref().map(|_unshown| format_args!("[...]"));
        match self {
            Self::Scope { scopes } => f.debug_struct("Scope").field("scopes", scopes).finish(),
            Self::StepUp { acr_values, max_age } => {
                f.debug_struct("StepUp").field("acr_values", acr_values).field("max_age", max_age).finish()
            }
            Self::Claims { claims } => f.debug_struct("Claims").field("claims", &unshown(claims)).finish(),
            Self::DpopNonce { nonce } => f.debug_struct("DpopNonce").field("nonce", &unshown(nonce)).finish(),
            Self::DpopProof => f.write_str("DpopProof"),
            Self::ValidRequest => f.write_str("ValidRequest"),
            Self::OtherScheme { scheme, realm } => {
                f.debug_struct("OtherScheme").field("scheme", scheme).field("realm", realm).finish()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::{PROXY_AUTHENTICATE, WWW_AUTHENTICATE};
    use proptest::prelude::*;

    fn demand(challenge: &str) -> Option<Demand> {
        Demand::of(&HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_str(challenge).unwrap())]))
    }

    #[test]
    fn an_age_is_a_number_that_no_clock_overflows_by() {
        let cases = [
            ("0", Some(0)),
            ("300", Some(300)),
            ("0060", Some(60)),
            ("4294967295", Some(4_294_967_295)),
            ("4294967296", None),
            ("99999999999999999999999999", None),
            ("", None),
            ("-5", None),
            ("+5", None),
            (" 5", None),
            ("1.5", None),
            ("soon", None),
        ];
        for (written, seconds) in cases {
            let text = format!("Bearer error=\"insufficient_user_authentication\", max_age=\"{written}\"");
            let expected = Demand::StepUp { acr_values: Vec::new(), max_age: seconds.map(Duration::from_secs) };
            assert_eq!(demand(&text), Some(expected), "{written:?}");
        }
    }

    #[test]
    fn a_nonce_is_handed_on_if_it_is_one() {
        let (long, longer) = ("x".repeat(LONGEST_NONCE), "x".repeat(LONGEST_NONCE + 1));
        let cases: [(&[u8], bool); 9] = [
            (b"eyJ7S_zG.eyJH0-Z.HX4w-7v", true),
            (b"!#~[]'", true),
            (long.as_bytes(), true),
            (longer.as_bytes(), false),
            (b"", false),
            (b"a b", false),
            (b"a\"b", false),
            (b"a\\b", false),
            (b"\xE4", false),
        ];
        for (written, is_nonce) in cases {
            let headers = HeaderMap::from_iter([
                (WWW_AUTHENTICATE, HeaderValue::from_static("DPoP error=\"use_dpop_nonce\"")),
                (DPOP_NONCE, HeaderValue::from_bytes(written).unwrap()),
            ]);
            let nonce = is_nonce.then(|| String::from_utf8(written.to_vec()).unwrap());
            assert_eq!(Demand::of(&headers), Some(Demand::DpopNonce { nonce }), "{:?}", written.escape_ascii());
        }
    }

    #[test]
    fn a_nonce_alone_and_a_proxy_demand_nothing() {
        let challenge = HeaderValue::from_static("Bearer error=\"insufficient_scope\"");
        let headers = HeaderMap::from_iter([(PROXY_AUTHENTICATE, challenge), (DPOP_NONCE, "x".parse().unwrap())]);
        assert_eq!(Demand::of(&headers), None);
    }

    #[test]
    fn what_is_for_others_to_read_is_not_shown() {
        let cases = [
            ("Bearer error=insufficient_scope, scope=\"a b\"", r#"Scope { scopes: ["a", "b"] }"#),
            ("Bearer error=insufficient_claims, claims=opaque", "Claims { claims: Some([...]) }"),
            ("Bearer error=insufficient_claims", "Claims { claims: None }"),
            ("DPoP error=use_dpop_nonce", "DpopNonce { nonce: None }"),
            ("DPoP error=invalid_dpop_proof", "DpopProof"),
            ("Bearer error=invalid_request", "ValidRequest"),
            ("Basic realm=\"a\\\"b\"", r#"OtherScheme { scheme: "Basic", realm: Some("a\"b") }"#),
            (
                "Bearer error=insufficient_user_authentication, acr_values=mfa, max_age=5",
                r#"StepUp { acr_values: ["mfa"], max_age: Some(5s) }"#,
            ),
        ];
        for (challenge, shown) in cases {
            assert_eq!(format!("{:?}", demand(challenge).unwrap()), shown);
        }
        let nonce = Demand::DpopNonce { nonce: Some("opaque".to_owned()) };
        assert_eq!(format!("{nonce:?}"), "DpopNonce { nonce: Some([...]) }");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_read(
            challenges in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..4),
            code in prop::sample::select(vec!["insufficient_scope", "insufficient_claims", "use_dpop_nonce", "x"]),
            nonce in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let front = format!("Bearer error={code}, ").into_bytes();
            let challenges = challenges.into_iter().map(|rest| (WWW_AUTHENTICATE, [front.as_slice(), &rest].concat()));
            let values = challenges.chain([(DPOP_NONCE, nonce)]);
            let headers: HeaderMap =
                values.filter_map(|(name, value)| Some((name, HeaderValue::from_bytes(&value).ok()?))).collect();
            let is_read = Demand::of(&headers).is_some();
            prop_assert_eq!(is_read, Challenge::read(&headers).is_some());
        }
    }
}
