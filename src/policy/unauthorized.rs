//! Unauthorized: whether a response says that the tokens of its request are no longer good.

use http::{HeaderMap, StatusCode};
use reqwest::Url;

use crate::policy::challenge::Challenge;
use crate::policy::origins::same;

/// The default judgement on the response to a request that carried tokens: a 401 from the request's own scheme, host and
/// port that is not about something else.
///
/// `signed` is the URL that the tokens were sent to, `answered` the one that the response came from. They differ after a
/// redirect; on the way to another origin the tokens were taken off, so that a 401 from there is not about them.
pub(crate) fn is_unauthorized(signed: &Url, status: StatusCode, answered: &Url, headers: &HeaderMap) -> bool {
    status == StatusCode::UNAUTHORIZED && same(signed, answered) && Challenge::read(headers).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::demand::Demand;
    use http::header::{HeaderName, HeaderValue, PROXY_AUTHENTICATE, WWW_AUTHENTICATE};

    const SIGNED: &str = "https://api.example.com/orders?page=2";
    const API: &str = "https://api.example.com/orders?page=2";
    const YES: bool = true;
    const NO: bool = false;

    type Headers = &'static [(HeaderName, &'static str)];
    const INVALID: Headers = &[(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")];

    const TABLE: &[(u16, &str, Headers, bool)] = &[
        // A 401 from where the request went.
        (401, API, &[], YES),
        (401, API, INVALID, YES),
        (401, API, &[(WWW_AUTHENTICATE, "Bearer")], YES),
        (401, API, &[(WWW_AUTHENTICATE, "Bearer realm=\"api\"")], YES),
        (401, API, &[(WWW_AUTHENTICATE, "bearer error=invalid_token")], YES),
        (401, API, &[(WWW_AUTHENTICATE, "DPoP algs=\"ES256\"")], YES),
        (401, API, &[(WWW_AUTHENTICATE, "DPoP error=\"invalid_token\"")], YES),
        (401, API, &[(WWW_AUTHENTICATE, "Bearer error=\"token_expired\"")], YES),
        (401, API, &[(WWW_AUTHENTICATE, "Basic realm=\"x\""), (WWW_AUTHENTICATE, "Bearer")], YES),
        (401, API, &[(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\", DPoP algs=\"ES256\"")], YES),
        (401, API, &[(WWW_AUTHENTICATE, "Bearer realm=\"never closed")], YES),
        (401, API, &[(WWW_AUTHENTICATE, "")], YES),
        (401, API, &[(PROXY_AUTHENTICATE, "Basic realm=\"proxy\"")], YES),
        // It is about something else.
        (401, API, &[(WWW_AUTHENTICATE, "Bearer error=\"insufficient_scope\"")], NO),
        (401, API, &[(WWW_AUTHENTICATE, "Bearer error=\"insufficient_user_authentication\"")], NO),
        (401, API, &[(WWW_AUTHENTICATE, "Bearer error=\"insufficient_claims\", claims=\"e30=\"")], NO),
        (401, API, &[(WWW_AUTHENTICATE, "Bearer error=\"invalid_request\"")], NO),
        (401, API, &[(WWW_AUTHENTICATE, "DPoP error=\"use_dpop_nonce\"")], NO),
        (401, API, &[(WWW_AUTHENTICATE, "DPoP error=\"invalid_dpop_proof\"")], NO),
        (401, API, &[(WWW_AUTHENTICATE, "Basic realm=\"x\"")], NO),
        (401, API, &[(WWW_AUTHENTICATE, "Digest realm=\"x\", nonce=\"y\"")], NO),
        (401, API, &[(WWW_AUTHENTICATE, "Negotiate"), (WWW_AUTHENTICATE, "NTLM")], NO),
        (401, API, &[(WWW_AUTHENTICATE, "Basic realm=\"never closed")], NO),
        (401, API, &[(WWW_AUTHENTICATE, "OAuth realm=\"x\"")], NO),
        // A redirect within the origin.
        (401, "https://api.example.com/", INVALID, YES),
        (401, "https://api.example.com/v2/orders", INVALID, YES),
        (401, "https://api.example.com:443/orders#x", INVALID, YES),
        (401, "https://user:secret@api.example.com/orders", INVALID, YES),
        (401, "HTTPS://API.EXAMPLE.COM/orders", INVALID, YES),
        // A redirect to another origin.
        (401, "http://api.example.com/orders", INVALID, NO),
        (401, "http://api.example.com:443/orders", INVALID, NO),
        (401, "https://api.example.com:8443/orders", INVALID, NO),
        (401, "https://api.example.com./orders", INVALID, NO),
        (401, "https://other.example.com/orders", INVALID, NO),
        (401, "https://example.com/orders", INVALID, NO),
        (401, "https://v2.api.example.com/orders", INVALID, NO),
        (401, "https://api.example.com.evil.example/orders", INVALID, NO),
        (401, "https://api.example.com@evil.example/orders", INVALID, NO),
        (401, "https://login.example.com/", &[], NO),
        // The URL that a response gets when nobody gave it one.
        (401, "http://no.url.provided.local/", INVALID, NO),
        // Other statuses, whatever they say.
        (200, API, INVALID, NO),
        (204, API, &[], NO),
        (302, API, INVALID, NO),
        (400, API, INVALID, NO),
        (402, API, &[], NO),
        (403, API, INVALID, NO),
        (403, API, &[], NO),
        (404, API, INVALID, NO),
        (407, API, &[(PROXY_AUTHENTICATE, "Bearer error=\"invalid_token\"")], NO),
        (407, API, INVALID, NO),
        (419, API, &[], NO),
        (429, API, INVALID, NO),
        (440, API, &[], NO),
        (498, API, INVALID, NO),
        (500, API, INVALID, NO),
        (503, API, &[], NO),
    ];

    #[test]
    fn table() {
        assert!(TABLE.len() >= 40, "{} shapes", TABLE.len());
        let signed = Url::parse(SIGNED).unwrap();
        for (status, answered, headers, verdict) in TABLE {
            let named = |(name, value): &(HeaderName, &'static str)| (name.clone(), HeaderValue::from_static(value));
            let headers = headers.iter().map(named).collect();
            let (status, answered) = (StatusCode::from_u16(*status).unwrap(), Url::parse(answered).unwrap());
            let found = is_unauthorized(&signed, status, &answered, &headers);
            assert_eq!(found, *verdict, "{status} from {answered} with {headers:?}");
            assert!(!found || Demand::of(&headers).is_none(), "a refresh for {headers:?}");
        }
    }
}
