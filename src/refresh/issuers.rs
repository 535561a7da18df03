//! What real issuers and usual gateways answer, and what each answer means by the dialect for it.

use std::error::Error;
use std::time::UNIX_EPOCH;

use http::{HeaderName, StatusCode};
use zeroize::Zeroizing;

use crate::clock::Wall;
use crate::refresh::answer::{Answer, Expect, HOME_GROWN};
use crate::refresh::dialect::Dialect;
use crate::refresh::error::Verdict;
use crate::refresh::refresh_answer::RefreshAnswer;
use crate::refresh::wire::Sent;

const JSON: &str = "application/json; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const FORM: &str = "application/x-www-form-urlencoded";
const TEXT: &str = "text/plain";
/// A firewall's page, with all that an answer might hold.
const PAGE: &str = "<!DOCTYPE html><p>{\"error\":\"invalid_grant\"} &error=invalid_grant& {\"access_token\":\"at\"}";
const NOTHING: &str = "unavailable: 200 OK, and nothing that can be used";

/// Status, content type, body, meaning.
type Row<'a> = (u16, &'a str, &'a str, &'a str);

/// What an answer means, in one line.
fn meaning(dialect: &Dialect, expect: Expect, dead: &[StatusCode], (status, kind, body, _): &Row<'_>) -> String {
    let kind = Some(kind).filter(|kind| !kind.is_empty());
    let answer = Answer {
        endpoint: "it".into(),
        status: StatusCode::from_u16(*status).unwrap(),
        headers: kind.iter().map(|kind| (HeaderName::from_static("content-type"), kind.parse().unwrap())).collect(),
        body: Zeroizing::new(body.as_bytes().to_vec()),
    };
    let error = match answer.judge(dialect, expect, dead, &Sent::default(), UNIX_EPOCH) {
        Ok(tokens) => {
            let [access, refresh] = tokens.texts().map(|text| text.unwrap_or("-").to_owned());
            let extra = serde_json::to_string(tokens.extra()).unwrap();
            let end = tokens.settled(Wall(0)).expires_at();
            let end = end.map_or("?".to_owned(), |end| end.duration_since(UNIX_EPOCH).unwrap().as_secs().to_string());
            return format!("{access} {refresh} {end} s {extra}");
        }
        Err(error) => error,
    };
    let cause = error.source().unwrap().to_string().replace("it answered ", "");
    match error.verdict() {
        Verdict::Rejected { code } => format!("rejected {code}: {cause}"),
        Verdict::Misconfigured { code } => format!("misconfigured {code}: {cause}"),
        Verdict::Unavailable { .. } => format!("unavailable: {cause}"),
    }
}

fn grants(dialect: &Dialect, rows: &[Row<'_>]) {
    for row in rows {
        assert_eq!(meaning(dialect, Expect::Tokens, &[], row), row.3, "{row:?}");
    }
}

fn gateways(dialect: &Dialect, rows: &[Row<'_>]) {
    for row in rows {
        assert_eq!(meaning(dialect, Expect::Tokens, &HOME_GROWN, row), row.3, "{row:?}");
    }
}

fn cookies(dialect: &Dialect, rows: &[Row<'_>]) {
    for row in rows {
        assert_eq!(meaning(dialect, Expect::Nothing, &HOME_GROWN, row), row.3, "{row:?}");
    }
}

fn envelope() -> Dialect {
    let dialect = Dialect::new().access_token("data.access_token").refresh_token("data.refresh_token");
    dialect.expires_in("data.expires_in").error_code(["error", "data.error_code"])
}

fn camel() -> Dialect {
    let dialect = Dialect::new().access_token("accessToken").refresh_token("refreshToken");
    dialect.expires_in("expiresIn").token_type("tokenType")
}

#[test]
fn tokens_in_an_envelope() {
    let tiktok = envelope().rejected_code("10010");
    grants(
        &tiktok,
        &[
            (
                200,
                JSON,
                r#"{"data":{"access_token":"at","refresh_token":"rt","expires_in":86400,"error_code":0,"open_id":"o"},"message":"success"}"#,
                r#"at rt 86400 s {"data":{"open_id":"o"},"message":"success"}"#,
            ),
            (200, JSON, r#"{"data":{"error_code":10010},"message":"error"}"#, "rejected 10010: 200 OK (10010)"),
            (200, JSON, r#"{"data":{"error_code":10001},"message":"error"}"#, "unavailable: 200 OK (10001)"),
            (200, JSON, r#"{"error":"invalid_grant","data":null}"#, "rejected invalid_grant: 200 OK (invalid_grant)"),
            (200, JSON, r#"{"access_token":"at"}"#, NOTHING),
            (200, JSON, r#"{"data":[{"access_token":"at"}]}"#, NOTHING),
            (200, JSON, r#"{"data":{"access_token":"at"},"data":{"access_token":"other"}}"#, NOTHING),
            (200, JSON, r#"{"data":{"access_token":"at","access_token":"other"}}"#, NOTHING),
        ],
    );
    let slack_user = Dialect::new().access_token("authed_user.access_token").refresh_token("authed_user.refresh_token");
    grants(
        &slack_user.expires_in("authed_user.expires_in").any_token_type(),
        &[(
            200,
            JSON,
            r#"{"ok":true,"authed_user":{"id":"U1","access_token":"at","refresh_token":"rt","expires_in":43200},"token_type":"bot"}"#,
            r#"at rt 43200 s {"authed_user":{"id":"U1"},"ok":true}"#,
        )],
    );
    let dotted = Dialect::new().access_token("/urn:x~1y/access.token").refresh_token("tokens.1").expires_at("tokens.2");
    grants(
        &dotted,
        &[(
            200,
            JSON,
            r#"{"urn:x/y":{"access.token":"at"},"tokens":["id","rt",1900000000000]}"#,
            r#"at rt 1900000000 s {"tokens":["id",null,null],"urn:x/y":{}}"#,
        )],
    );
}

#[test]
fn names_and_units_of_their_own() {
    grants(
        &camel(),
        &[(
            200,
            JSON,
            r#"{"accessToken":"at","refreshToken":"rt","tokenType":"Bearer","expiresIn":86400}"#,
            "at rt 86400 s {}",
        )],
    );
    gateways(
        &camel().milliseconds(),
        &[
            (200, JSON, r#"{"accessToken":"at","expiresIn":900000}"#, "at - 900 s {}"),
            (200, JSON, r#"{"accessToken":"at","expiresIn":"900999"}"#, "at - 900 s {}"),
            (200, JSON, r#"{"accessToken":"at","expiresIn":999}"#, "at - ? s {}"),
        ],
    );
    // ASP.NET with its own names or the RFC's
    let either = Dialect::new().access_token(["accessToken", "access_token"]);
    let either = either.refresh_token(["refreshToken", "refresh_token"]).expires_at("expiration");
    gateways(
        &either,
        &[
            (200, JSON, r#"{"accessToken":"at","refreshToken":"rt"}"#, "at rt ? s {}"),
            (200, JSON, r#"{"accessToken":null,"access_token":"at","refresh_token":"rt"}"#, "at rt ? s {}"),
            // what is not taken is no secret left behind
            (200, JSON, r#"{"accessToken":"at","access_token":"other"}"#, "at - ? s {}"),
            (
                200,
                JSON,
                r#"{"accessToken":"at","expiration":"2030-03-17T17:46:40Z"}"#,
                r#"at - ? s {"expiration":"2030-03-17T17:46:40Z"}"#,
            ),
            (400, JSON, r#""Invalid client request""#, "unavailable: 400 Bad Request"),
        ],
    );
    // PayPal, Mailchimp, Salesforce, Strava
    grants(
        &Dialect::new(),
        &[
            (200, JSON, r#"{"access_token":"at","expires_in":"32400"}"#, "at - 32400 s {}"),
            (200, JSON, r#"{"access_token":"at","expires_in":0,"scope":null}"#, "at - ? s {}"),
            (200, JSON, r#"{"access_token":"at","instance_url":"u"}"#, r#"at - ? s {"instance_url":"u"}"#),
            (
                200,
                JSON,
                r#"{"access_token":"at","expires_at":1900000000,"expires_in":21600,"refresh_token":"rt"}"#,
                "at rt 21600 s {}",
            ),
        ],
    );
    let facebook = Dialect::new().expires_in(["expires_in", "expires"]);
    grants(&facebook, &[(200, TEXT, "access_token=at&expires=5183999", "at - 5183999 s {}")]);
    let ebay = (200, JSON, r#"{"access_token":"at","token_type":"User Access Token"}"#, NOTHING);
    grants(&Dialect::new(), &[ebay]);
    grants(&Dialect::new().any_token_type(), &[(ebay.0, ebay.1, ebay.2, "at - ? s {}")]);
}

#[test]
fn errors_of_their_own() {
    let fitbit = Dialect::new().error_code("errors.0.errorType");
    grants(
        &fitbit,
        &[
            (
                400,
                JSON,
                r#"{"errors":[{"errorType":"invalid_grant","message":"x"}],"success":false}"#,
                "rejected invalid_grant: 400 Bad Request (invalid_grant)",
            ),
            (
                401,
                JSON,
                r#"{"errors":[{"errorType":"invalid_client"}]}"#,
                "misconfigured invalid_client: 401 Unauthorized (invalid_client)",
            ),
            (400, JSON, r#"{"errors":[]}"#, "unavailable: 400 Bad Request"),
            (
                400,
                JSON,
                r#"{"errors":[{"errorType":"x","errorType":"invalid_grant"}]}"#,
                "unavailable: 400 Bad Request",
            ),
        ],
    );
    let slack = Dialect::new().rejected_code("token_revoked").rejected_code("invalid_refresh_token");
    let slack = slack.misconfigured_code("bad_client_secret");
    grants(
        &slack,
        &[
            (200, JSON, r#"{"ok":false,"error":"token_revoked"}"#, "rejected token_revoked: 200 OK (token_revoked)"),
            (
                200,
                JSON,
                r#"{"ok":false,"error":"bad_client_secret"}"#,
                "misconfigured bad_client_secret: 200 OK (bad_client_secret)",
            ),
            (200, JSON, r#"{"ok":false,"error":"ratelimited"}"#, "unavailable: 200 OK (ratelimited)"),
            (200, JSON, r#"{"ok":true,"access_token":"at"}"#, r#"at - ? s {"ok":true}"#),
        ],
    );
    let hubspot = [(
        400,
        JSON,
        r#"{"status":"BAD_REFRESH_TOKEN"}"#,
        "rejected BAD_REFRESH_TOKEN: 400 Bad Request (BAD_REFRESH_TOKEN)",
    )];
    grants(&Dialect::new().error_code(["error", "status"]).rejected_code("BAD_REFRESH_TOKEN"), &hubspot);
    grants(&Dialect::new(), &[(400, JSON, hubspot[0].2, "unavailable: 400 Bad Request")]);
    let lost_race = r#"{"type":"error","error":{"type":"not_found_error","message":"x"}}"#;
    let claude = Dialect::new().error_code("error.type");
    grants(&claude, &[(404, JSON, lost_race, "unavailable: 404 Not Found (not_found_error)")]);
    grants(
        &claude.rejected_code("not_found_error"),
        &[
            (404, JSON, lost_race, "rejected not_found_error: 404 Not Found (not_found_error)"),
            (404, HTML, PAGE, "unavailable: 404 Not Found"),
        ],
    );
    grants(
        &Dialect::new(),
        &[
            // GitHub
            (200, FORM, "access_token=at&refresh_token=rt&expires_in=28800&scope=", "at rt 28800 s {}"),
            (200, FORM, "error=bad_refresh_token&x=1", "rejected bad_refresh_token: 200 OK (bad_refresh_token)"),
            // Zoho, overrun
            (200, TEXT, "Access Denied", NOTHING),
            (200, HTML, "Access Denied", NOTHING),
            // Facebook
            (400, JSON, r#"{"error":{"code":190}}"#, "unavailable: 400 Bad Request"),
            // Atlassian
            (
                403,
                JSON,
                r#"{"error":"unauthorized_client"}"#,
                "misconfigured unauthorized_client: 403 Forbidden (unauthorized_client)",
            ),
            (403, JSON, r#"{"message":"refresh token is invalid"}"#, "unavailable: 403 Forbidden"),
        ],
    );
    grants(
        &Dialect::new().rejected_status(StatusCode::FORBIDDEN).rejected_code("unauthorized_client"),
        &[
            (
                403,
                JSON,
                r#"{"error":"unauthorized_client"}"#,
                "rejected unauthorized_client: 403 Forbidden (unauthorized_client)",
            ),
            (403, JSON, r#"{"message":"refresh token is invalid"}"#, "rejected http_403: 403 Forbidden"),
            (403, HTML, PAGE, "unavailable: 403 Forbidden"),
            (401, JSON, "{}", "unavailable: 401 Unauthorized"),
            (400, JSON, r#"{"error":"invalid_grant"}"#, "rejected invalid_grant: 400 Bad Request (invalid_grant)"),
        ],
    );
    let facebook = Dialect::new().error_code("error.code").rejected_code("190");
    grants(&facebook, &[(400, JSON, r#"{"error":{"code":190}}"#, "rejected 190: 400 Bad Request (190)")]);
}

#[test]
fn gateways_say_it_by_status_and_firewalls_say_nothing() {
    let common: &[Row<'_>] = &[
        (401, "", "", "rejected http_401: 401 Unauthorized"),
        (403, "", "", "rejected http_403: 403 Forbidden"),
        (401, TEXT, "Unauthorized", "rejected http_401: 401 Unauthorized"),
        (401, JSON, r#"{"error":"session_ended"}"#, "rejected session_ended: 401 Unauthorized (session_ended)"),
        (401, HTML, r#"{"error":"session_ended"}"#, "rejected session_ended: 401 Unauthorized (session_ended)"),
        (401, JSON, r#"{"error":"a","error":"b"}"#, "rejected http_401: 401 Unauthorized"),
        (400, JSON, r#"{"error":"invalid_grant"}"#, "rejected invalid_grant: 400 Bad Request (invalid_grant)"),
        (401, JSON, r#"{"error":"invalid_client"}"#, "misconfigured invalid_client: 401 Unauthorized (invalid_client)"),
        (403, HTML, PAGE, "unavailable: 403 Forbidden"),
        (401, HTML, PAGE, "unavailable: 401 Unauthorized"),
        (401, "Text/HTML", "", "unavailable: 401 Unauthorized"),
        (403, "application/xhtml+xml", "<p>", "unavailable: 403 Forbidden"),
        (403, "", "\n <HTML><p>no", "unavailable: 403 Forbidden"),
        (403, JSON, PAGE, "unavailable: 403 Forbidden"),
        (404, JSON, "{}", "unavailable: 404 Not Found"),
        (419, JSON, "{}", "unavailable: 419 <unknown status code>"),
        (503, HTML, PAGE, "unavailable: 503 Service Unavailable"),
        (302, "", "", "unavailable: 302 Found"),
    ];
    gateways(&Dialect::new(), common);
    cookies(&Dialect::new(), common);
    gateways(&Dialect::new(), &[(200, HTML, PAGE, NOTHING), (200, "", "", NOTHING), (200, JSON, "[]", NOTHING)]);
    cookies(
        &Dialect::new(),
        &[
            (200, HTML, PAGE, "unavailable: 200 OK"),
            (200, JSON, r#"{"error":"x"}"#, "unavailable: 200 OK (x)"),
            (200, JSON, r#"{"error":null,"error":"x"}"#, NOTHING),
            (200, JSON, r#"{"status":"success","access_token":"at"}"#, "- - ? s {}"),
            (200, JSON, r#"{"expires_in":900}"#, "- - 900 s {}"),
            (200, JSON, "[]", "- - ? s {}"),
            (200, TEXT, "all is well", "- - ? s {}"),
            (204, "", "", "- - ? s {}"),
        ],
    );
}

#[test]
fn predicates_take_the_place_of_what_is_usual() {
    let says =
        |word: &'static str| move |answer: &RefreshAnswer<'_>| answer.member("status").is_some_and(|said| said == word);
    let recipe = Dialect::new().success_when(says("success"));
    let rows: &[Row<'_>] = &[
        (200, JSON, r#"{"status":"failure"}"#, "unavailable: 200 OK"),
        (200, JSON, "{}", "unavailable: 200 OK"),
        (200, "", "", "unavailable: 200 OK"),
        (200, HTML, PAGE, "unavailable: 200 OK"),
        (401, JSON, "{}", "rejected http_401: 401 Unauthorized"),
    ];
    gateways(&recipe, rows);
    cookies(&recipe, rows);
    cookies(&recipe, &[(200, JSON, r#"{"status":"success"}"#, "- - ? s {}")]);
    gateways(
        &recipe,
        &[
            (200, JSON, r#"{"status":"success"}"#, NOTHING),
            (200, JSON, r#"{"status":"success","access_token":"at"}"#, r#"at - ? s {"status":"success"}"#),
            // the program's word stands against a status and an error member
            (
                500,
                JSON,
                r#"{"status":"success","access_token":"at","error":"none"}"#,
                r#"at - ? s {"status":"success"}"#,
            ),
        ],
    );
    let ended = Dialect::new().rejected_when(says("ended")).rejected_code("gone");
    gateways(
        &ended,
        &[
            (200, JSON, r#"{"status":"ended"}"#, "rejected http_200: 200 OK"),
            (500, JSON, r#"{"status":"ended","error":"e"}"#, "rejected e: 500 Internal Server Error (e)"),
            (401, JSON, r#"{"status":"busy"}"#, "unavailable: 401 Unauthorized"),
            (400, JSON, r#"{"error":"invalid_grant"}"#, "unavailable: 400 Bad Request (invalid_grant)"),
            (400, JSON, r#"{"error":"gone"}"#, "rejected gone: 400 Bad Request (gone)"),
        ],
    );
    let header =
        Dialect::new().rejected_when(|answer| answer.is_html() && answer.headers().contains_key("content-type"));
    gateways(
        &header,
        &[(200, HTML, "<p>", "rejected http_200: 200 OK"), (401, "", "", "unavailable: 401 Unauthorized")],
    );
    // A predicate is shown what there is, and its Debug no body.
    let shown = Dialect::new().rejected_when(|answer| {
        assert_eq!(answer.member("data.list.1").and_then(serde_json::Value::as_u64), Some(7));
        assert_eq!((answer.code(), answer.status().as_u16(), answer.member("none")), (Some("canary"), 418, None));
        assert_eq!(format!("{answer:?}"), "RefreshAnswer { status: 418, html: false, .. }");
        false
    });
    gateways(
        &shown,
        &[(418, JSON, r#"{"error":"canary","data":{"list":[0,7]}}"#, "unavailable: 418 I'm a teapot (canary)")],
    );
    assert!(!format!("{shown:?}").contains("closure"));
}
