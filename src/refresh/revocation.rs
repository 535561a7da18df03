//! Telling an issuer that tokens are no longer wanted (RFC 7009).

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE};
use reqwest::Method;
use secrecy::SecretString;

use crate::platform;
use crate::refresh::answer::Answer;
use crate::refresh::client::TokenClient;
use crate::refresh::contract::{RefreshRequest, Revocation};
use crate::refresh::endpoint::Endpoint;
use crate::refresh::error::RefreshError;
use crate::refresh::failure::Failure;
use crate::refresh::wire::{ClientIdentity, Sent, revocation_form};

/// A longer pause than this is not waited for: whoever logs out waits too.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Revokes the refresh token, and with it what was issued for it; where there is none, the access token (section 2.1).
///
/// An issuer that asks for a short pause is asked once more after it (section 2.2.1).
pub(crate) async fn revoke(
    request: &RefreshRequest,
    endpoint: &Endpoint,
    client: &ClientIdentity,
    http: &TokenClient,
) -> Result<Revocation, RefreshError> {
    let tokens = request.tokens();
    let refresh_token = tokens.and_then(|tokens| tokens.refresh_token()).map(|token| (token, "refresh_token"));
    let access_token = || tokens?.access_token().map(|token| (token, "access_token"));
    let Some((token, hint)) = refresh_token.or_else(access_token) else { return Ok(Revocation::NotConfigured) };
    match ask(token, hint, endpoint, client, http).await? {
        Said::Done(revocation) => Ok(revocation),
        Said::Later { pause: Some(pause), .. } if pause <= LONGEST_PAUSE.min(request.deadline() / 2) => {
            platform::sleep(pause).await;
            match ask(token, hint, endpoint, client, http).await? {
                Said::Done(revocation) => Ok(revocation),
                Said::Later { error, .. } => Err(error),
            }
        }
        Said::Later { error, .. } => Err(error),
    }
}

/// What an issuer says to a revocation.
enum Said {
    Done(Revocation),
    /// The tokens still exist.
    Later {
        pause: Option<Duration>,
        error: RefreshError,
    },
}

async fn ask(
    token: &SecretString,
    hint: &str,
    endpoint: &Endpoint,
    client: &ClientIdentity,
    http: &TokenClient,
) -> Result<Said, RefreshError> {
    let mut post = http.request(Method::POST, endpoint).header(ACCEPT, "application/json");
    post = post.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(revocation_form(token, hint, client));
    if let Some((user, password)) = client.basic() {
        post = post.basic_auth(&*user, Some(&*password));
    }
    let answer = http.send(post, endpoint).await.map_err(Failure::into_error)?;
    Ok(said(&answer, &Sent::new([token].into_iter().chain(client.secret()))))
}

/// The body of a good answer says nothing (section 2.2).
fn said(answer: &Answer, sent: &Sent<'_>) -> Said {
    if answer.status.is_success() {
        return Said::Done(Revocation::Revoked);
    }
    let code = answer.code(sent);
    match code.as_deref() {
        // Not what this issuer revokes (section 2.2.1): there is nothing that could be done about it.
        Some("unsupported_token_type") => Said::Done(Revocation::Unsupported),
        // Against section 2.2, but plain enough: there is nothing left to revoke.
        Some("invalid_token" | "invalid_grant") => Said::Done(Revocation::Revoked),
        _ => {
            let pause = answer.retry_after().filter(|_| answer.status == StatusCode::SERVICE_UNAVAILABLE);
            let is_set_up =
                !matches!(code.as_deref(), Some("invalid_client" | "unauthorized_client" | "invalid_request"));
            let word = code.clone().unwrap_or_default();
            let refused = Failure::Refused { endpoint: Arc::clone(&answer.endpoint), status: answer.status, code };
            let error = if is_set_up {
                let error = RefreshError::unavailable(refused);
                answer.retry_after().into_iter().fold(error, RefreshError::retry_after)
            } else {
                RefreshError::misconfigured(word).because(refused)
            };
            Said::Later { pause, error }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn what_an_issuer_says() {
        const JSON: &str = "application/json";
        // status, Retry-After, body, meaning
        let cases = [
            (200, None, "", "Revoked"),
            (200, None, r#"{"error":"invalid_client"}"#, "Revoked"),
            (204, None, "", "Revoked"),
            (400, None, r#"{"error":"unsupported_token_type"}"#, "Unsupported"),
            (503, None, r#"{"error":"unsupported_token_type"}"#, "Unsupported"),
            (400, None, r#"{"error":"invalid_token"}"#, "Revoked"),
            (400, None, r#"{"error":"invalid_request"}"#, "misconfigured, no pause"),
            (401, None, r#"{"error":"invalid_client"}"#, "misconfigured, no pause"),
            (503, Some("3"), "", "unavailable, 3 s"),
            (503, None, "", "unavailable, no pause"),
            (429, Some("3"), "", "unavailable, no pause"),
            (302, None, "", "unavailable, no pause"),
            (404, None, "<html>", "unavailable, no pause"),
            (500, None, r#"{"error":"canary-token"}"#, "unavailable, no pause"),
        ];
        for (status, pause, body, expected) in cases {
            let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, JSON.parse().unwrap())]);
            headers.extend(pause.map(|pause| (http::header::RETRY_AFTER, pause.parse().unwrap())));
            let answer = Answer {
                endpoint: "https://issuer.example/revoke".into(),
                status: StatusCode::from_u16(status).unwrap(),
                headers,
                body: Zeroizing::new(body.as_bytes().to_vec()),
            };
            let token = SecretString::from("canary-token");
            let found = match said(&answer, &Sent::new([&token])) {
                Said::Done(revocation) => format!("{revocation:?}"),
                Said::Later { pause, error } => {
                    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
                    let pause = pause.map_or_else(|| "no pause".to_owned(), |pause| format!("{} s", pause.as_secs()));
                    format!("{}, {pause}", if error.is_misconfigured() { "misconfigured" } else { "unavailable" })
                }
            };
            assert_eq!(found, expected, "{status} {body}");
        }
    }
}
