//! What an endpoint answered, and what it means (RFC 6749 section 5, and what a dialect says). No I/O.

use std::sync::Arc;
use std::time::SystemTime;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use zeroize::Zeroizing;

use crate::refresh::dialect::Dialect;
use crate::refresh::error::RefreshError;
use crate::refresh::failure::Failure;
use crate::refresh::refresh_answer::RefreshAnswer;
use crate::refresh::retry_after::retry_after;
use crate::refresh::wire::Sent;
use crate::token_answer::{Age, TokenAnswer};
use crate::tokens::{InvalidToken, Tokens};

/// The longest error code shown.
const LONGEST_CODE: usize = 64;

/// The statuses by which a home-grown endpoint says that a grant is dead, unless a dialect says otherwise.
pub(crate) const HOME_GROWN: [StatusCode; 2] = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];

/// What a good answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// An access token.
    Tokens,
    /// Nothing that can be seen: the tokens came in cookies. The access token's end is read if it is there.
    Nothing,
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
    /// What the answer to a refresh means. `dead` are the statuses that say, unless the dialect knows better, that the grant
    /// is; `sent` is what must not be shown.
    ///
    /// Only what is known to mean it ends a session or blames the program. For the rest nothing is known about the grant, so
    /// the tokens are to be kept.
    pub(crate) fn judge(
        self,
        dialect: &Dialect,
        expect: Expect,
        dead: &[StatusCode],
        sent: &Sent<'_>,
        now: SystemTime,
    ) -> Result<Tokens, RefreshError> {
        let Self { endpoint, status, headers, body } = self;
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let html = is_html(&body, content_type);
        let answer = TokenAnswer::read(&body, content_type, dialect.shape());
        let members = answer.as_ref().ok();
        let code = members.and_then(TokenAnswer::error);
        let seen = RefreshAnswer { status, headers: &headers, html, code: code.as_deref(), members };
        let shown = seen.code().and_then(|code| shown(code, sent));
        let word = shown.clone().unwrap_or_else(|| format!("http_{}", status.as_str()));
        let refused = Failure::Refused { endpoint: Arc::clone(&endpoint), status, code: shown };

        if dialect.is_rejected(&seen, dead) {
            return Err(RefreshError::rejected(word).because(refused));
        }
        if dialect.blames(&seen) {
            return Err(RefreshError::misconfigured(word).because(refused));
        }
        let by_default = || status.is_success() && seen.code.is_none() && (expect == Expect::Tokens || !html);
        if !dialect.is_success(&seen).unwrap_or_else(by_default) {
            return Err(unavailable(refused, status, &headers, now));
        }
        let tokens = match (expect, answer) {
            (Expect::Tokens, answer) => answer.and_then(|answer| answer.into_tokens(Age::Fresh)),
            (Expect::Nothing, Ok(answer)) => Ok(answer.into_unseen(Age::Fresh)),
            (Expect::Nothing, Err(InvalidToken::Repeated)) => Err(InvalidToken::Repeated),
            (Expect::Nothing, Err(_nothing_to_read)) => Ok(Tokens::unseen()),
        };
        tokens.map_err(|source| unavailable(Failure::Unusable { endpoint, status, source }, status, &headers, now))
    }
}

impl Answer {
    /// The error code, as it may be shown.
    #[cfg_attr(not(feature = "refresh-grant"), allow(dead_code, reason = "for revocations"))]
    pub(crate) fn code(&self, sent: &Sent<'_>) -> Option<String> {
        let content_type = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let dialect = Dialect::new();
        let answer = TokenAnswer::read(&self.body, content_type, dialect.shape()).ok()?;
        answer.error().and_then(|code| shown(&code, sent))
    }

    /// The pause that the issuer asks for.
    #[cfg_attr(not(feature = "refresh-grant"), allow(dead_code, reason = "for revocations"))]
    pub(crate) fn retry_after(&self) -> Option<std::time::Duration> {
        retry_after(&self.headers, crate::platform::wall())
    }
}

/// Whether a page was sent and no answer. A JSON object is none, whatever it is called: PHP calls everything HTML.
fn is_html(body: &[u8], content_type: Option<&str>) -> bool {
    let body = body.trim_ascii_start();
    let begins = |start: &[u8]| body.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start));
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    let called = ["text/html", "application/xhtml+xml"].iter().any(|html| essence.eq_ignore_ascii_case(html));
    !begins(b"{") && (called || begins(b"<!doctype html") || begins(b"<html"))
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
fn shown(code: &str, sent: &Sent<'_>) -> Option<String> {
    let is_code = |byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    let fit = !code.is_empty() && code.len() <= LONGEST_CODE && code.bytes().all(is_code);
    (fit && !sent.is_echoed_in(code)).then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::time::{Duration, UNIX_EPOCH};

    use secrecy::SecretString;

    use super::*;
    use crate::refresh::error::Verdict;

    /// What an answer means, in one line.
    fn meaning(status: u16, head: &[(&'static str, &str)], body: &str) -> String {
        let answer = Answer {
            endpoint: "https://issuer.example/token".into(),
            status: StatusCode::from_u16(status).unwrap(),
            headers: head.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect(),
            body: Zeroizing::new(body.as_bytes().to_vec()),
        };
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let secrets = ["canary-refresh", "canary-secret", ""].map(SecretString::from);
        let error = match answer.judge(&Dialect::new(), Expect::Tokens, &[], &Sent::new(&secrets), now) {
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
