//! A refresh as bytes (RFC 6749 sections 5 and 6): what is sent, and what an answer means. No I/O.

use std::sync::Arc;
use std::time::SystemTime;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::refresh::error::RefreshError;
use crate::refresh::failure::Failure;
use crate::refresh::retry_after::retry_after;
use crate::token_answer::{Age, TokenAnswer};
use crate::tokens::Tokens;

/// The codes that say: this grant is dead. The second is GitHub's.
const REJECTED: [&str; 2] = ["invalid_grant", "bad_refresh_token"];

/// The codes that say: this program asks wrongly, whatever the grant (RFC 6749 section 5.2, RFC 8707 section 2).
const MISCONFIGURED: [&str; 6] = [
    "invalid_client",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "unauthorized_client",
    "unsupported_grant_type",
];

/// The longest error code shown.
const LONGEST_CODE: usize = 64;

/// Who asks, and how it proves that.
#[derive(Debug, Clone)]
pub(crate) struct ClientIdentity {
    pub(crate) id: String,
    pub(crate) authentication: Authentication,
}

/// One way of client authentication, never two (RFC 6749 section 2.3).
#[derive(Debug, Clone)]
pub(crate) enum Authentication {
    /// A public client says who it is and proves nothing.
    Public,
    /// In the `Authorization` header, encoded as section 2.3.1 wants it.
    Basic(SecretString),
    /// In the `Authorization` header, as it is.
    BasicRaw(SecretString),
    /// In the form.
    Post(SecretString),
}

impl ClientIdentity {
    /// User name and password for the `Authorization` header, if that is the way.
    pub(crate) fn basic(&self) -> Option<(Zeroizing<String>, Zeroizing<String>)> {
        let (encode, secret): (fn(&str) -> String, _) = match &self.authentication {
            Authentication::Basic(secret) => {
                (|text| form_urlencoded::byte_serialize(text.as_bytes()).collect(), secret)
            }
            Authentication::BasicRaw(secret) => (str::to_owned, secret),
            Authentication::Public | Authentication::Post(_) => return None,
        };
        Some((Zeroizing::new(encode(&self.id)), Zeroizing::new(encode(secret.expose_secret()))))
    }

    fn secret(&self) -> Option<&SecretString> {
        match &self.authentication {
            Authentication::Basic(secret) | Authentication::BasicRaw(secret) | Authentication::Post(secret) => {
                Some(secret)
            }
            Authentication::Public => None,
        }
    }
}

/// The body of a refresh request. What is empty counts as left out (RFC 6749 section 3.2), and is.
pub(crate) fn refresh_form(
    refresh_token: &SecretString,
    client: &ClientIdentity,
    scope: Option<&str>,
    parameters: &[(String, SecretString)],
) -> String {
    let mut pairs = vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())];
    match &client.authentication {
        Authentication::Public => pairs.push(("client_id", &client.id)),
        Authentication::Post(secret) => {
            pairs.extend([("client_id", client.id.as_str()), ("client_secret", secret.expose_secret())]);
        }
        Authentication::Basic(_) | Authentication::BasicRaw(_) => {}
    }
    pairs.extend(scope.map(|scope| ("scope", scope)));
    pairs.extend(parameters.iter().map(|(name, value)| (name.as_str(), value.expose_secret())));
    pairs.retain(|(_, value)| !value.is_empty());
    // Room for the worst case: growing would leave copies of the secrets behind.
    let room = pairs.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    form_urlencoded::Serializer::new(String::with_capacity(room)).extend_pairs(pairs).finish()
}

/// What an endpoint answered. Not `Debug`: it holds secrets.
pub(crate) struct Answer {
    /// The endpoint's name for messages.
    pub(crate) endpoint: Arc<str>,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// What the answer to a refresh means. `refresh_token` and `client` are what was sent.
    ///
    /// Only a code that is known to mean it ends a session or blames the program, with whatever status it comes. For the
    /// rest nothing is known about the grant, so the tokens are to be kept.
    pub(crate) fn into_tokens(
        self,
        refresh_token: &SecretString,
        client: &ClientIdentity,
        now: SystemTime,
    ) -> Result<Tokens, RefreshError> {
        let Self { endpoint, status, headers, body } = self;
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let answer = TokenAnswer::read(&body, content_type);
        let code = answer.as_ref().ok().and_then(TokenAnswer::error);
        let listed = |list: &[&'static str]| list.iter().copied().find(|known| code == Some(*known));
        let shown = code.and_then(|code| shown(code, [Some(refresh_token), client.secret()]));
        let refused = Failure::Refused { endpoint: Arc::clone(&endpoint), status, code: shown };

        if let Some(code) = listed(&REJECTED) {
            return Err(RefreshError::rejected(code).because(refused));
        }
        if let Some(code) = listed(&MISCONFIGURED) {
            return Err(RefreshError::misconfigured(code).because(refused));
        }
        if !status.is_success() || code.is_some() {
            return Err(unavailable(refused, status, &headers, now));
        }
        let unusable = |source| unavailable(Failure::Unusable { endpoint, status, source }, status, &headers, now);
        answer.and_then(|answer| answer.into_tokens(Age::Fresh)).map_err(unusable)
    }
}

fn unavailable(failure: Failure, status: StatusCode, headers: &HeaderMap, now: SystemTime) -> RefreshError {
    let mut error = RefreshError::unavailable(failure);
    let pause = retry_after(headers, now);
    if let Some(pause) = pause {
        error = error.retry_after(pause);
    }
    // One session's failure is no news for the others, unless the issuer is overrun or says that it will be away.
    let away = status == StatusCode::SERVICE_UNAVAILABLE && pause.is_some();
    if away || status == StatusCode::TOO_MANY_REQUESTS { error.for_every_session() } else { error }
}

/// A code as it may stand in a message. It comes from outside: only what is one by RFC 6749 section 5.2, of a sane
/// length, and no echo of the secrets that were sent.
fn shown(code: &str, sent: [Option<&SecretString>; 2]) -> Option<String> {
    let is_code = |byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    let echoes = |secret: &SecretString| !secret.expose_secret().is_empty() && code.contains(secret.expose_secret());
    let fit = !code.is_empty() && code.len() <= LONGEST_CODE && code.bytes().all(is_code);
    (fit && !sent.into_iter().flatten().any(echoes)).then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::refresh::error::Verdict;

    fn client(authentication: Authentication) -> ClientIdentity {
        ClientIdentity { id: "my app".to_owned(), authentication }
    }

    #[test]
    fn exactly_one_client_authentication_is_written() {
        let parameters = [("x".to_owned(), "é".into()), ("empty".to_owned(), "".into())];
        let start = "grant_type=refresh_token&refresh_token=r%2F%25%2B+t";
        // how; the members after the refresh token; user name and password
        let cases = [
            (Authentication::Public, "&client_id=my+app&scope=a+b&x=%C3%A9", None),
            (Authentication::Post("s&=".into()), "&client_id=my+app&client_secret=s%26%3D&scope=a+b&x=%C3%A9", None),
            (Authentication::Post("".into()), "&client_id=my+app&scope=a+b&x=%C3%A9", None),
            (Authentication::Basic("p:%+ é".into()), "&scope=a+b&x=%C3%A9", Some(("my+app", "p%3A%25%2B+%C3%A9"))),
            (Authentication::BasicRaw("p:%+ é".into()), "&scope=a+b&x=%C3%A9", Some(("my app", "p:%+ é"))),
            (Authentication::Basic("".into()), "&scope=a+b&x=%C3%A9", Some(("my+app", ""))),
        ];
        for (authentication, rest, basic) in cases {
            let client = client(authentication);
            assert_eq!(refresh_form(&"r/%+ t".into(), &client, Some("a b"), &parameters), format!("{start}{rest}"));
            let found = client.basic();
            assert_eq!(found.as_ref().map(|(user, password)| (user.as_str(), password.as_str())), basic);
        }
    }

    /// What an answer means, in one line.
    fn meaning(status: u16, head: &[(&'static str, &str)], body: &str) -> String {
        let answer = Answer {
            endpoint: "https://issuer.example/token".into(),
            status: StatusCode::from_u16(status).unwrap(),
            headers: head.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect(),
            body: Zeroizing::new(body.as_bytes().to_vec()),
        };
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let identity = client(Authentication::Post("canary-secret".into()));
        let error = match answer.into_tokens(&"canary-refresh".into(), &identity, now) {
            Ok(tokens) => return format!("tokens {:?}", tokens.texts()),
            Err(error) => error,
        };
        let cause = error.source().unwrap();
        let mut told = format!("{error:?} {error} {cause:?} {cause}");
        told.extend(cause.source().map(|cause| format!("{cause:?} {cause}")));
        assert!(!told.contains("canary"), "{told}");
        let cause = cause.to_string().replace("https://issuer.example/token answered ", "");
        match error.verdict() {
            Verdict::Rejected { code } => format!("rejected {code}: {cause}"),
            Verdict::Misconfigured { code } => format!("misconfigured {code}: {cause}"),
            Verdict::Unavailable { retry_after, maybe_processed, every_session } => {
                assert!(!maybe_processed, "an answer was heard");
                let pause = retry_after.map_or_else(String::new, |pause| format!(" in {} s", pause.as_secs()));
                format!("unavailable{pause}{}: {cause}", if *every_session { " to all" } else { "" })
            }
        }
    }

    #[test]
    fn an_answer_means_one_thing() {
        // status, headers, body, meaning
        type Case<'a> = (u16, &'a [(&'static str, &'a str)], &'a str, &'a str);
        const NOTHING: &str = "unavailable: 200 OK, and nothing that can be used";
        let json: &[_] = &[("content-type", "application/json")];
        let html: &[_] = &[("content-type", "text/html")];
        let pause: &[_] = &[("retry-after", "7")];
        let date: &[_] = &[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")];
        let grant = r#"{"error":"invalid_grant","error_description":"canary"}"#;
        let page = "<html><a href='?a&error=invalid_grant&b'>canary</a></html>";
        let long = format!(r#"{{"error":"{}"}}"#, "x".repeat(65));
        let cases: &[Case<'_>] = &[
            (200, json, r#"{"access_token":"at","refresh_token":"rt"}"#, r#"tokens [Some("at"), Some("rt")]"#),
            (201, &[], r#"{"access_token":"at"}"#, r#"tokens [Some("at"), None]"#),
            (200, html, "access_token=at&expires_in=1", r#"tokens [Some("at"), None]"#),
            // the grant is dead, whatever the status
            (400, json, grant, "rejected invalid_grant: 400 Bad Request (invalid_grant)"),
            (200, json, grant, "rejected invalid_grant: 200 OK (invalid_grant)"),
            (401, html, grant, "rejected invalid_grant: 401 Unauthorized (invalid_grant)"),
            (500, json, grant, "rejected invalid_grant: 500 Internal Server Error (invalid_grant)"),
            (200, &[], "error=bad_refresh_token&x=1", "rejected bad_refresh_token: 200 OK (bad_refresh_token)"),
            // the program is set up wrongly
            (
                401,
                json,
                r#"{"error":"invalid_client"}"#,
                "misconfigured invalid_client: 401 Unauthorized (invalid_client)",
            ),
            (
                400,
                json,
                r#"{"error":"invalid_request"}"#,
                "misconfigured invalid_request: 400 Bad Request (invalid_request)",
            ),
            (400, json, r#"{"error":"invalid_scope"}"#, "misconfigured invalid_scope: 400 Bad Request (invalid_scope)"),
            (
                400,
                json,
                r#"{"error":"invalid_target"}"#,
                "misconfigured invalid_target: 400 Bad Request (invalid_target)",
            ),
            (
                200,
                json,
                r#"{"error":"unauthorized_client"}"#,
                "misconfigured unauthorized_client: 200 OK (unauthorized_client)",
            ),
            (
                400,
                json,
                r#"{"error":"unsupported_grant_type"}"#,
                "misconfigured unsupported_grant_type: 400 Bad Request (unsupported_grant_type)",
            ),
            // nothing is known about the grant
            (400, json, r#"{"error":"Invalid_Grant"}"#, "unavailable: 400 Bad Request (Invalid_Grant)"),
            (
                400,
                json,
                r#"{"error":"temporarily_unavailable"}"#,
                "unavailable: 400 Bad Request (temporarily_unavailable)",
            ),
            (400, json, r#"{"status":"BAD_REFRESH_TOKEN"}"#, "unavailable: 400 Bad Request"),
            (400, json, r#"{"error":{"code":190,"message":"canary"}}"#, "unavailable: 400 Bad Request"),
            (400, json, r#"{"error":"invalid_grant","error":"x"}"#, "unavailable: 400 Bad Request"),
            (400, json, r#"{"access_token":"canary"}"#, "unavailable: 400 Bad Request"),
            (400, html, page, "unavailable: 400 Bad Request"),
            (401, &[], "", "unavailable: 401 Unauthorized"),
            (403, html, page, "unavailable: 403 Forbidden"),
            (404, json, r#"{"error":"not_found_error"}"#, "unavailable: 404 Not Found (not_found_error)"),
            (302, &[("location", "https://other.example/?canary")], "", "unavailable: 302 Found"),
            (307, &[("location", "https://other.example/?canary")], "", "unavailable: 307 Temporary Redirect"),
            (408, &[], "", "unavailable: 408 Request Timeout"),
            (425, &[], "", "unavailable: 425 Too Early"),
            (429, &[], "", "unavailable to all: 429 Too Many Requests"),
            (429, date, "slow down", "unavailable in 60 s to all: 429 Too Many Requests"),
            (500, pause, page, "unavailable in 7 s: 500 Internal Server Error"),
            (502, html, page, "unavailable: 502 Bad Gateway"),
            (503, &[], "", "unavailable: 503 Service Unavailable"),
            (503, pause, "", "unavailable in 7 s to all: 503 Service Unavailable"),
            (503, &[("retry-after", "0")], "", "unavailable: 503 Service Unavailable"),
            (200, json, r#"{"ok":false,"error":"ratelimited"}"#, "unavailable: 200 OK (ratelimited)"),
            (200, &[], "", NOTHING),
            (200, html, page, NOTHING),
            (200, json, "{}", NOTHING),
            (200, json, r#"{"access_token":12345}"#, NOTHING),
            (200, json, r#"{"access_token":"canary ü"}"#, NOTHING),
            (200, json, r#"{"access_token":"canary","token_type":"mac"}"#, NOTHING),
            (200, json, r#"{"access_token":"canary","access_token":"canary"}"#, NOTHING),
            (200, pause, "Access Denied", "unavailable in 7 s: 200 OK, and nothing that can be used"),
            (204, &[], "", "unavailable: 204 No Content, and nothing that can be used"),
            // a code that is none, or that echoes what was sent, is not shown
            (400, json, r#"{"error":"a\nb"}"#, "unavailable: 400 Bad Request"),
            (400, json, r#"{"error":"a\"b"}"#, "unavailable: 400 Bad Request"),
            (400, json, r#"{"error":"é"}"#, "unavailable: 400 Bad Request"),
            (400, json, &long, "unavailable: 400 Bad Request"),
            (400, json, r#"{"error":"bad canary-refresh"}"#, "unavailable: 400 Bad Request"),
            (400, json, r#"{"error":"canary-secret"}"#, "unavailable: 400 Bad Request"),
        ];
        for (status, head, body, expected) in cases {
            assert_eq!(meaning(*status, head, body), *expected, "{status} {body}");
        }
    }
}
