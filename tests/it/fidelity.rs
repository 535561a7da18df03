//! The second sending is the request that was asked for: the server gets the same bytes twice, but for the token.

use futures_util::stream;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, COOKIE};
use http::{Method, StatusCode, Version};
use reqwest::Body;
use reqwest_auth_refresh::{AuthRefresh, NotRetryable, Origins, RequestBuilderExt, Retried};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, RequestBuilder};
use serde_json::json;

use crate::support::{Api, Arrived, Issuer, body_hash};
use crate::wire_world::{self, Wire, answered, unauthorized_at};

const LARGE: usize = 5 * 1024 * 1024;

/// A form as a program frames it, made anew for each sending.
fn form() -> Body {
    let parts = ["--b\r\ncontent-disposition: form-data; name=\"title\"\r\n\r\n", "a picture", "\r\n--b--\r\n"];
    Body::wrap_stream(stream::iter(parts.map(Ok::<_, std::io::Error>)))
}

/// A request for the path `/shelf/7?page=2&q=%20a%2Fb`.
type Ask = fn(&ClientWithMiddleware, &str) -> RequestBuilder;

const CASES: [(&str, Ask); 10] = [
    ("GET", |client, url| client.get(url).header(ACCEPT, "text/plain").header(COOKIE, "the=caller's")),
    ("POST json", |client, url| client.post(url).json(&json!({ "title": "a b", "pages": [1, 2] }))),
    ("POST form", |client, url| {
        client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body("title=a+b&page=%C3%A4")
    }),
    ("POST multipart", |client, url| {
        let form_type = "multipart/form-data; boundary=b";
        client.post(url).header(CONTENT_TYPE, form_type).body(form()).resend_with(form)
    }),
    ("POST 5 MiB", |client, url| client.post(url).body(wire_world::body(LARGE))),
    ("POST 5 MiB, made anew", |client, url| {
        let body = || Body::wrap_stream(stream::iter([Ok::<_, std::io::Error>(wire_world::body(LARGE))]));
        client.post(url).header(CONTENT_LENGTH, LARGE).body(body()).resend_with(body)
    }),
    ("HEAD", |client, url| client.head(url)),
    ("DELETE with a body", |client, url| client.delete(url).body("all of it")),
    ("PUT", |client, url| client.put(url).header("if-match", "\"etag\"").body("")),
    ("PATCH with headers", |client, url| {
        let request = client.request(Method::PATCH, url).header("idempotency-key", "42").header("x-twice", "one");
        let request = request.header("x-between", "\u{e4}").header("x-twice", "two").header("x-empty", "");
        request.header("x-twice", "one").version(Version::HTTP_11).body("some bytes")
    }),
];

/// What differs between two sendings, in words; nothing should.
fn differences(first: &Arrived, second: &Arrived) -> Vec<String> {
    let mut found = Vec::new();
    let signed = |arrived: &Arrived| match arrived.header("authorization")[..] {
        [header] if header.starts_with("Bearer ") => header.to_owned(),
        _ => format!("not signed once: {arrived:?}"),
    };
    if signed(first) == signed(second) {
        found.push(format!("the same token twice: {}", signed(first)));
    }
    // In its place among the others, and nothing else.
    let unsigned = |arrived: &Arrived| {
        let mut headers = arrived.headers.clone();
        headers.iter_mut().filter(|(name, _)| name == "authorization").for_each(|(_, value)| value.clear());
        Arrived { ok: true, connection: 0, headers, ..arrived.clone() }
    };
    if unsigned(first) != unsigned(second) {
        found.push(format!("{first:?}\nis not\n{second:?}"));
    }
    found
}

#[tokio::test]
async fn the_server_gets_the_same_request_twice() {
    let mut compared = 0;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for (what, ask) in CASES {
            let wire = Wire::unauthorized().await;
            let http = reqwest::Client::builder();
            let http = if version == Version::HTTP_2 { http.http2_prior_knowledge() } else { http };
            let client = wire.client_over(http.build().unwrap());
            let response = ask(&client, &wire.api.at("/shelf/7?page=2&q=%20a%2Fb")).send().await.unwrap();
            assert!(response.extensions().get::<Retried>().is_some(), "{what}");
            assert_eq!((response.status(), response.version()), (StatusCode::OK, version), "{what}");

            let [first, second] = <[Arrived; 2]>::try_from(wire.api.take_arrived()).unwrap();
            assert_eq!((first.ok, second.ok, first.version), (false, true, version), "{what}");
            assert!(first.target.ends_with("/shelf/7?page=2&q=%20a%2Fb"), "{what}: {}", first.target);
            let found = differences(&first, &second);
            assert!(found.is_empty(), "{what}: {found:?}");
            if what.contains("5 MiB") {
                assert_eq!((second.length, second.hash), (LARGE, body_hash(&wire_world::body(LARGE))), "{what}");
            }
            if what.starts_with("PATCH") {
                assert_eq!(second.header("x-twice"), ["one", "two", "one"]);
                assert_eq!(second.header("idempotency-key"), ["42"]);
            }
            assert_eq!(wire.counts(), (1, answered(1, 1)), "{what}");
            compared += 1;
        }
    }
    println!("figure: requests_compared = {compared} requests");
    assert_eq!(compared, 2 * CASES.len());
}

/// The control: what a retry by hand commonly forgets is seen.
#[tokio::test]
async fn control_what_differs_is_found() {
    let wire = Wire::unauthorized().await;
    let http = reqwest::Client::new();
    let send = |token: &str, header: &str, body: &'static str, query: &str| {
        let request = http.post(wire.api.at(&format!("/shelf{query}"))).bearer_auth(token);
        request.header("x-own", header).body(body).send()
    };
    let forgotten = [
        ("old", "own", "body", "?page=1"),
        ("new", "own", "", "?page=1"),
        ("new", "own", "ydob", "?page=1"),
        ("new", "other", "body", "?page=1"),
        ("new", "own", "body", ""),
    ];
    for (token, header, body, query) in forgotten {
        send("old", "own", "body", "?page=1").await.unwrap();
        send(token, header, body, query).await.unwrap();
        let [first, second] = <[Arrived; 2]>::try_from(wire.api.take_arrived()).unwrap();
        assert_eq!(differences(&first, &second).len(), 1, "{token} {header} {body} {query}");
    }
    http.post(wire.api.at("/shelf")).bearer_auth("old").send().await.unwrap();
    http.post(wire.api.at("/shelf")).bearer_auth("new").bearer_auth("newer").send().await.unwrap();
    let [first, second] = <[Arrived; 2]>::try_from(wire.api.take_arrived()).unwrap();
    assert!(!differences(&first, &second).is_empty(), "signed twice");
}

#[tokio::test]
async fn a_body_that_streams_is_sent_once_and_the_refusal_is_marked() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let wire = Wire::unauthorized().await;
        let http = reqwest::Client::builder();
        let http = if version == Version::HTTP_2 { http.http2_prior_knowledge() } else { http };
        let client = wire.client_over(http.build().unwrap());
        let response = client.post(wire.api.at("/shelf")).body(form()).send().await.unwrap();
        assert_eq!((response.status(), response.version()), (StatusCode::UNAUTHORIZED, version));
        assert_eq!(response.extensions().get(), Some(&NotRetryable::Body));
        assert_eq!(response.text().await.unwrap(), r#"{"error":"unauthorized"}"#);
        assert_eq!(wire.counts(), (1, answered(0, 1)), "sent once, and the refresh happened");
        assert!(client.post(wire.api.at("/shelf")).body(form()).send().await.unwrap().status().is_success());
        assert_eq!(wire.counts(), (1, answered(1, 1)));
    }
}

const SEQUENCE: usize = 10;

#[tokio::test]
async fn a_refusal_of_64_kib_costs_no_connection() {
    let issuer = Issuer::start().await.unwrap();
    let api = Api::start(&issuer).await.unwrap();
    api.set_refusal_body(vec![b'x'; 64 * 1024]);
    let http = reqwest::Client::new();
    for _ in 0..SEQUENCE {
        // One session would be taken for an API that refuses every token.
        let session = unauthorized_at(&issuer).await;
        let auth = AuthRefresh::new(&session, Origins::new(api.url()).unwrap());
        let client = ClientBuilder::new(http.clone()).with(auth).build();
        let response = client.get(api.at("/me")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.bytes().await.unwrap();
    }
    println!("figure: drained_connections = {} connections", api.connections());
    assert_eq!((issuer.counts().token_calls, api.counts().all), (SEQUENCE, answered(SEQUENCE, SEQUENCE)));
    // Each moment in which a busy machine stands still may cost one.
    assert!(api.connections() <= SEQUENCE / 2, "{}", api.connections());
}

#[tokio::test]
async fn control_refusals_that_are_dropped_cost_one_each() {
    let issuer = Issuer::start().await.unwrap();
    let api = Api::start(&issuer).await.unwrap();
    api.set_refusal_body(vec![b'x'; 64 * 1024]);
    let http = reqwest::Client::new();
    for _ in 0..SEQUENCE {
        let login = issuer.login("alice");
        let refused = http.get(api.at("/me")).bearer_auth("old").send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        drop(refused);
        let token = login["access_token"].as_str().unwrap();
        let response = http.get(api.at("/me")).bearer_auth(token).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.bytes().await.unwrap();
    }
    println!("figure: undrained_connections = {} connections", api.connections());
    assert!(api.connections() >= 8, "{}", api.connections());
}
