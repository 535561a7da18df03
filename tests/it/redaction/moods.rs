//! An issuer that says back whatever it was sent, in every place where an answer has room for it.

use serde_json::json;

use super::canaries::{ID_TOKEN, QUERY};
use crate::raw_server::{Asked, Reply};

/// Everything that was sent, as text.
fn echo(asked: &Asked) -> String {
    let authorization = asked.header("authorization").unwrap_or_default();
    let refresh_token = sent(asked);
    let secret = asked.form("client_secret").unwrap_or_default();
    let body = String::from_utf8_lossy(&asked.body);
    let cookie = asked.header("cookie").unwrap_or_default();
    let [authorization, cookie] = [authorization, cookie].map(|header| String::from_utf8_lossy(&header).into_owned());
    format!("{refresh_token} {secret} {body} {authorization} {cookie} {}", ID_TOKEN.secret(0))
}

/// The refresh token, from a form or from JSON.
fn sent(asked: &Asked) -> String {
    let of_json = || {
        let body: serde_json::Value = serde_json::from_slice(&asked.body).ok()?;
        Some(body["refresh_token"].as_str()?.to_owned())
    };
    asked.form("refresh_token").or_else(of_json).unwrap_or_default()
}

fn json(status: &str, body: &serde_json::Value) -> Reply {
    Reply::whole(status, "application/json", body.to_string().as_bytes())
}

pub(crate) type Mood = fn(&Asked) -> Reply;

/// The moods in which no tokens come.
pub(crate) const MOODS: &[(&str, Mood)] = &[
    ("rejected", |asked| {
        json(
            "400 Bad Request",
            &json!({ "error": "invalid_grant", "error_description": echo(asked), "x": sent(asked) }),
        )
    }),
    ("rejected with 200", |asked| json("200 OK", &json!({ "error": "invalid_grant", "access_token": sent(asked) }))),
    ("misconfigured", |asked| {
        json("401 Unauthorized", &json!({ "error": "invalid_client", "error_description": echo(asked) }))
    }),
    ("a code that is the refresh token", |asked| json("400 Bad Request", &json!({ "error": sent(asked) }))),
    ("a code that holds all that was sent", |asked| json("400 Bad Request", &json!({ "error": echo(asked) }))),
    ("a code that is an object", |asked| json("400 Bad Request", &json!({ "error": { "message": echo(asked) } }))),
    ("unavailable", |asked| {
        let (body, length) = (echo(asked), echo(asked).len());
        let head =
            format!("HTTP/1.1 503 {body}\r\nretry-after: 1\r\nx-echo: {body}\r\ncontent-length: {length}\r\n\r\n");
        Reply::saying(head + &body)
    }),
    ("too many", |asked| Reply::whole("429 Too Many Requests", "text/plain", echo(asked).as_bytes())),
    ("a page", |asked| Reply::whole("200 OK", "text/html", format!("<html>{}", echo(asked)).as_bytes())),
    ("a page with 500", |asked| Reply::whole("500 Oops", "text/html", echo(asked).as_bytes())),
    ("a content type that echoes", |asked| Reply::whole("200 OK", &sent(asked), echo(asked).as_bytes())),
    ("JSON cut short", |asked| {
        let whole = json!({ "access_token": sent(asked), "x": echo(asked) }).to_string();
        Reply::whole("200 OK", "application/json", &whole.as_bytes()[..whole.len() - 2])
    }),
    ("an object for a token", |asked| json("200 OK", &json!({ "access_token": { "x": echo(asked) } }))),
    ("a token that cannot be sent", |asked| json("200 OK", &json!({ "access_token": echo(asked) }))),
    ("a type that echoes", |asked| {
        json("200 OK", &json!({ "access_token": sent(asked), "token_type": echo(asked), "expires_in": echo(asked) }))
    }),
    ("a token twice", |asked| {
        let token = sent(asked);
        let body = format!(r#"{{"access_token":"{token}","access_token":"{token}"}}"#);
        Reply::whole("200 OK", "application/json", body.as_bytes())
    }),
    ("elsewhere", |asked| {
        let to = format!("http://127.0.0.1:9/{}?secret={}", sent(asked), QUERY.secret(0));
        Reply::saying(format!("HTTP/1.1 307 Go\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"))
    }),
    ("no HTTP", |asked| Reply::saying(format!("{}\r\n\r\n", echo(asked))).closing()),
    ("a header that is none", |asked| {
        Reply::saying(format!("HTTP/1.1 200 OK\r\n{}\x01: {}\r\n\r\n", sent(asked), echo(asked))).closing()
    }),
    ("a length that is none", |asked| {
        Reply::saying(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", sent(asked))).closing()
    }),
    ("cut short", |asked| {
        Reply::saying(format!("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{}", echo(asked))).closing()
    }),
    ("silence", |_| Reply::in_pieces(std::iter::empty()).hanging()),
];
