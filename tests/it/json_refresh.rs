//! A home-grown endpoint gets exactly the request it was built for, once, and what it answers is new tokens, a dead grant or
//! an outage, as its dialect says.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

use http::Method;
use reqwest::redirect;
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, Dialect, ExposeSecret, JsonRefresh, MemoryStore, Origins, RefreshError, RefreshReason,
    RefreshRequest, Refresher, Session, SessionId, SetupError, State, TokenStore, Tokens,
};
use reqwest_middleware::ClientBuilder;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use wiremock::matchers::{header, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::error_texts::{is_marked, told};
use crate::support::{PATIENCE, bounded};

/// A gateway that says the same to everyone.
async fn gateway(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(path("/auth/refresh")).respond_with(answer).mount(&server).await;
    server
}

fn good() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"access_token": "new-at", "refresh_token": "new-rt"}))
}

fn endpoint(server: &MockServer) -> String {
    format!("{}/auth/refresh?key=canary-query", server.uri())
}

fn old(refresh_token: &str) -> Tokens {
    Tokens::new("canary-at").unwrap().with_refresh_token(refresh_token)
}

async fn refresh(refresher: &JsonRefresh, old: Tokens) -> Result<Tokens, RefreshError> {
    let request = RefreshRequest::new("alice".into(), Some(Arc::new(old)), RefreshReason::Expired, PATIENCE);
    bounded(|| "the refresh", refresher.refresh(request)).await
}

fn header_of<'a>(request: &'a Request, name: &str) -> Vec<&'a [u8]> {
    request.headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect()
}

#[tokio::test]
async fn the_request_is_what_was_asked_for_to_the_byte() {
    type Shape = fn(JsonRefresh) -> Result<JsonRefresh, SetupError>;
    // how; the content type and the body; the Authorization header; another header
    type Case<'a> = (Shape, Option<&'a str>, Option<&'a str>, Option<&'a str>);
    let posts: [Case<'_>; 8] = [
        (Ok, Some(r#"{"refresh_token":"r/\"é"}"#), None, None),
        (
            |json| json.refresh_token_member("auth.refreshToken"),
            Some(r#"{"auth":{"refreshToken":"r/\"é"}}"#),
            None,
            None,
        ),
        (
            |json| json.access_token_member("accessToken")?.refresh_token_member("refreshToken"),
            Some(r#"{"refreshToken":"r/\"é","accessToken":"canary-at"}"#),
            None,
            None,
        ),
        (
            |json| json.member("deviceId", "d-17")?.member("remember", true)?.header("x-key", "k"),
            Some(r#"{"refresh_token":"r/\"é","deviceId":"d-17","remember":true}"#),
            None,
            Some("k"),
        ),
        (|json| json.refresh_token_header("Authorization", "Bearer "), None, Some("Bearer r/\"é"), None),
        (
            |json| json.refresh_token_header("x-key", "")?.member("grantType", "refresh"),
            Some(r#"{"grantType":"refresh"}"#),
            None,
            Some("r/\"é"),
        ),
        (
            |json| json.without_refresh_token().access_token_header("authorization", "Bearer "),
            None,
            Some("Bearer canary-at"),
            None,
        ),
        (
            |json| json.access_token_header("authorization", "Token ")?.header("x-key", "k"),
            Some(r#"{"refresh_token":"r/\"é"}"#),
            Some("Token canary-at"),
            Some("k"),
        ),
    ];
    for (shape, body, authorization, key) in posts {
        for method in [Method::POST, Method::PUT] {
            let server = gateway(good()).await;
            let json = if method == Method::POST { JsonRefresh::post } else { JsonRefresh::put };
            let json = shape(json(endpoint(&server)).unwrap()).unwrap();
            let tokens = refresh(&json, old("r/\"é")).await.unwrap();
            assert_eq!(tokens.access_token().unwrap().expose_secret(), "new-at");
            assert_eq!(tokens.refresh_token().unwrap().expose_secret(), "new-rt");
            assert_eq!(json.info().endpoints(), [endpoint(&server).parse().unwrap()]);

            let seen = server.received_requests().await.unwrap();
            assert_eq!(seen.len(), 1);
            let request = &seen[0];
            assert_eq!((&request.method, request.url.query()), (&method, Some("key=canary-query")));
            assert_eq!(String::from_utf8_lossy(&request.body), body.unwrap_or_default());
            let kind: Vec<&[u8]> = body.iter().map(|_| &b"application/json"[..]).collect();
            assert_eq!(header_of(request, "content-type"), kind);
            let length = body.unwrap_or_default().len().to_string();
            assert_eq!(header_of(request, "content-length"), [length.as_bytes()]);
            assert_eq!(header_of(request, "accept"), [b"application/json"]);
            assert_eq!(header_of(request, "authorization"), Vec::from_iter(authorization.map(str::as_bytes)));
            assert_eq!(header_of(request, "x-key"), Vec::from_iter(key.map(str::as_bytes)));
            assert!(header_of(request, "accept-encoding").is_empty() && header_of(request, "referer").is_empty());
        }
    }

    let server = gateway(good()).await;
    refresh(&JsonRefresh::get(endpoint(&server)).unwrap(), old("rt")).await.unwrap();
    let seen = server.received_requests().await.unwrap();
    assert_eq!((seen.len(), &seen[0].method, seen[0].body.len()), (1, &Method::GET, 0));
    assert_eq!(header_of(&seen[0], "authorization"), [b"Bearer rt"]);
    assert!(header_of(&seen[0], "content-type").is_empty() && header_of(&seen[0], "content-length").is_empty());
}

#[test]
fn what_cannot_be_set_up_is_refused_and_no_secret_is_shown() {
    let post = || JsonRefresh::post("https://gateway.example/refresh?key=canary").unwrap();
    let get = || JsonRefresh::get("https://gateway.example/refresh").unwrap();
    let refused = [
        post().member("refresh_token", "canary"),
        post().member("refresh_token.x", "canary"),
        post().member("a", "canary").unwrap().refresh_token_member("a"),
        post().member("a", "canary").unwrap().access_token_member("a.b"),
        post().access_token_member("refresh_token"),
        post().header("x", "canary").unwrap().header("X", "canary"),
        post().header("x", "canary").unwrap().refresh_token_header("x", ""),
        post().refresh_token_header("x", "").unwrap().access_token_header("x", ""),
        post().refresh_token_header("x", "").unwrap().header("x", "canary"),
        post().header("canary\n", "x"),
        post().header("x", "canary\n"),
        post().header("content-length", "canary"),
        get().member("a", "canary"),
        get().refresh_token_member("refresh_token"),
        get().access_token_header("authorization", "Bearer "),
        JsonRefresh::post("http://canary.example/refresh"),
        JsonRefresh::put("https://canary@gateway.example/refresh"),
        JsonRefresh::get("https://gateway.example/#canary"),
        JsonRefresh::dangerous_http(Method::DELETE, "http://canary.example/refresh"),
        JsonRefresh::dangerous_http(Method::POST, "ftp://canary.example/refresh"),
    ];
    for (at, refused) in refused.into_iter().enumerate() {
        let error = refused.map(drop).expect_err(&at.to_string());
        assert!(!format!("{error} {error:?}").contains("canary"), "{at}: {error:?}");
    }
    for method in [Method::GET, Method::POST, Method::PUT] {
        assert!(JsonRefresh::dangerous_http(method, "http://gateway.example/refresh").is_ok());
    }
    let full = post().member("a", "canary").unwrap().member("b", json!({"c": "canary"})).unwrap();
    let full = full.header("x", "canary").unwrap().access_token_header("y", "Bearer ").unwrap();
    let shown = format!("{full:?} {full:#?}");
    assert!(!shown.contains("canary") && shown.contains("https://gateway.example/refresh"), "{shown}");
    assert!(!full.info().never_resubmit() && full.never_resubmit().info().never_resubmit());
}

#[tokio::test]
async fn what_is_needed_and_not_there_is_not_asked_for() {
    let server = gateway(good()).await;
    let json = JsonRefresh::post(endpoint(&server)).unwrap();
    let both = json.clone().access_token_member("accessToken").unwrap();
    let unsendable = json.clone().refresh_token_header("x", "").unwrap();
    let unseen = || Tokens::unseen().with_refresh_token("canary-rt");
    for (json, tokens, code, rejected) in [
        (&json, old(""), "no_refresh_token", true),
        (&both, unseen(), "no_access_token", true),
        (&unsendable, old("canary\n"), "unsendable_refresh_token", false),
    ] {
        let error = refresh(json, tokens).await.unwrap_err();
        assert_eq!((error.code(), error.is_rejected()), (Some(code), rejected), "{}", told(&error));
    }
    assert!(server.received_requests().await.unwrap().is_empty());
    refresh(&json.without_refresh_token(), old("")).await.unwrap();
    refresh(&both, old("rt")).await.unwrap();
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_answer_means_what_the_dialect_says() {
    let page = "<html>&error=invalid_grant&access_token=canary</html>";
    let raw = |status, body: &str, kind| ResponseTemplate::new(status).set_body_raw(body.as_bytes().to_vec(), kind);
    let json = |status, body: &str| raw(status, body, "application/json");
    let big = format!(r#"{{"access_token":"canary","x":"{}"}}"#, "x".repeat(1 << 20));
    // the answer; the code of a rejection; what is told
    let cases = [
        (ResponseTemplate::new(401), Some("http_401"), "answered 401"),
        (ResponseTemplate::new(403), Some("http_403"), "answered 403"),
        (json(401, r#"{"error":"session_ended"}"#), Some("session_ended"), "(session_ended)"),
        (json(401, r#"{"error":"no canary-rt"}"#), Some("http_401"), "answered 401"),
        (json(401, r#"{"error":"canary-at"}"#), Some("http_401"), "answered 401"),
        (json(401, r#"{"error":"canary-key"}"#), Some("http_401"), "answered 401"),
        (json(400, r#"{"error":"invalid_grant"}"#), Some("invalid_grant"), "answered 400"),
        (raw(403, page, "text/html"), None, "answered 403"),
        (raw(401, page, "text/html; charset=utf-8"), None, "answered 401"),
        (raw(200, page, "text/html"), None, "answered 200"),
        (json(200, r#"{"status":"failure","access_token":"canary"}"#), None, "answered 200"),
        (json(200, r#"{"status":"success"}"#), None, "nothing that can be used"),
        (json(200, &big), None, "too much to read"),
        (json(400, "{}"), None, "answered 400"),
        (json(404, r#"{"error":"not_found"}"#), None, "(not_found)"),
        (ResponseTemplate::new(503).insert_header("retry-after", "7"), None, "retry_after: Some(7s)"),
        (ResponseTemplate::new(500), None, "answered 500"),
    ];
    let dialect = Dialect::new().success_when(|answer| answer.member("status").is_some_and(|said| said == "success"));
    for (answer, code, expected) in cases {
        let server = gateway(answer).await;
        let json = JsonRefresh::post(endpoint(&server)).unwrap().header("x-key", "canary-key").unwrap();
        let error = refresh(&json.dialect(dialect.clone()), old("canary-rt")).await.unwrap_err();
        assert_eq!((error.code(), error.is_unavailable()), (code, code.is_none()), "{}", told(&error));
        assert!(told(&error).contains(expected), "{}", told(&error));
        assert!(!is_marked(&error, "maybe_processed"));
        assert_eq!(is_marked(&error, "every_session"), expected.contains("retry_after"));
        assert_eq!(server.received_requests().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_nothing_reaches_where_it_points() {
    let mut knocks = 0;
    for status in [301, 302, 303, 307, 308] {
        let thief = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        thief.set_nonblocking(true).unwrap();
        let to = format!("http://{}/canary", thief.local_addr().unwrap());
        let server = gateway(ResponseTemplate::new(status).insert_header("location", to)).await;
        let eager = reqwest::Client::builder().redirect(redirect::Policy::limited(10));
        let json = JsonRefresh::post(endpoint(&server)).unwrap();
        for json in [json.clone(), json.refresh_token_header("x-rt", "").unwrap().http(eager).unwrap()] {
            let error = refresh(&json, old("canary-rt")).await.unwrap_err();
            assert!(error.is_unavailable() && told(&error).contains(&format!("answered {status}")));
        }
        knocks += usize::from(!thief.accept().is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
        assert_eq!(server.received_requests().await.unwrap().len(), 2);
    }
    println!("figure: json_endpoint_redirects_followed = {knocks} requests");
    assert_eq!(knocks, 0);
}

/// The control: a client that follows redirects takes the refresh token to where they point.
#[tokio::test]
async fn control_a_plain_client_takes_the_refresh_token_along() {
    let thief = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = format!("http://{}/", thief.local_addr().unwrap());
    let server = gateway(ResponseTemplate::new(307).insert_header("location", to)).await;
    let post = reqwest::Client::new().post(endpoint(&server)).json(&json!({"refresh_token": "canary-rt"}));
    let caught = async {
        let (mut stream, _) = thief.accept().await.unwrap();
        let mut bytes = Vec::new();
        while !String::from_utf8_lossy(&bytes).contains("canary-rt") {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the whole request came without it");
        }
        bytes.len()
    };
    let caught = tokio::select! {
        caught = caught => caught,
        answer = post.send() => panic!("{answer:?}"),
    };
    println!("figure: json_endpoint_redirect_leaked_bytes_by_a_plain_client = {caught} bytes");
    assert!(caught > "canary-rt".len());
}

#[tokio::test]
async fn refused_and_lost_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let json = JsonRefresh::post(format!("http://{address}/refresh?key=canary")).unwrap();
    let hang_up = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"}") {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
        }
    };
    let (lost, ()) = tokio::join!(refresh(&json, old("canary-rt")), hang_up);
    let lost = lost.unwrap_err();
    assert!(told(&lost).contains("its answer was lost") && is_marked(&lost, "maybe_processed"));
    assert!(!is_marked(&lost, "every_session"));

    // Bound and not listening: nobody else gets the port.
    let silent = TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = silent.local_addr().unwrap();
    let json = JsonRefresh::post(format!("http://{address}/refresh?key=canary")).unwrap();
    let refused = refresh(&json, old("canary-rt")).await.unwrap_err();
    assert!(told(&refused).contains(&format!("http://{address}/refresh could not be reached")));
    assert!(is_marked(&refused, "every_session") && !is_marked(&refused, "maybe_processed"));
}

fn envelope() -> Dialect {
    let dialect = Dialect::new().access_token("data.accessToken").refresh_token("data.refreshToken");
    dialect.expires_in("data.expiresIn").milliseconds()
}

/// An API that takes `new` and refuses everything else, behind a gateway that answers a refresh so.
async fn world(answer: ResponseTemplate) -> MockServer {
    let server = gateway(answer).await;
    Mock::given(path("/orders"))
        .and(header("authorization", "Bearer new"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    Mock::given(path("/orders")).respond_with(ResponseTemplate::new(401)).mount(&server).await;
    server
}

#[tokio::test]
async fn ten_unauthorized_requests_are_one_refresh_saved_and_sent_again() {
    const CROWD: usize = 10;
    let data = json!({"accessToken": "new", "refreshToken": "rt-2", "expiresIn": 900_000, "userId": 7});
    let server = world(ResponseTemplate::new(200).set_body_json(json!({"status": "success", "data": data}))).await;
    let store = MemoryStore::default();
    let json = JsonRefresh::post(endpoint(&server)).unwrap().refresh_token_member("auth.refreshToken").unwrap();
    let session = Session::builder(json.dialect(envelope())).store(store.clone()).build();
    let auth = AuthRefresh::new(&session, Origins::new(server.uri()).unwrap());
    let client = ClientBuilder::new(reqwest::Client::new()).with(auth).build();
    let login = r#"{"status":"success","data":{"accessToken":"old","refreshToken":"rt-1"}}"#;
    session.login(envelope().tokens(login).unwrap()).await.unwrap();

    let began = SystemTime::now();
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let request = client.post(format!("{}/orders", server.uri())).body("tea");
        crowd.spawn(async move { request.send().await.unwrap().status() });
    }
    let statuses = bounded(|| "the crowd's answers", crowd.join_all()).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");

    let seen = server.received_requests().await.unwrap();
    let refreshes: Vec<_> = seen.iter().filter(|request| request.url.path() == "/auth/refresh").collect();
    assert_eq!(refreshes.len(), 1);
    assert_eq!(refreshes[0].body, br#"{"auth":{"refreshToken":"rt-1"}}"#);
    let orders: Vec<_> = seen.iter().filter(|request| request.url.path() == "/orders").collect();
    let with = |token: &[u8]| orders.iter().filter(|order| header_of(order, "authorization") == [token]).count();
    assert_eq!(with(b"Bearer new"), CROWD);
    assert!((1..=CROWD).contains(&with(b"Bearer old")) && orders.iter().all(|order| order.body == b"tea"));
    println!("figure: json_refresh_calls = {} calls", refreshes.len());

    let saved = store.load(&SessionId::default()).await.unwrap().unwrap();
    let saved = saved.tokens().unwrap();
    assert_eq!(saved.refresh_token().unwrap().expose_secret(), "rt-2");
    assert_eq!(saved.extra()["data"], json!({"userId": 7}), "no token is left behind");
    let (expires, life) = (saved.expires_at().unwrap(), Duration::from_secs(900));
    // It is kept in milliseconds.
    let began = began - Duration::from_millis(1);
    assert!((began + life..=SystemTime::now() + life).contains(&expires), "{expires:?}");
}

#[tokio::test]
async fn an_outage_keeps_the_session_and_a_dead_grant_ends_it() {
    let page = ResponseTemplate::new(403).set_body_raw("<html>no</html>", "text/html");
    let failure = ResponseTemplate::new(200).set_body_json(json!({"status": "failure", "error": {"id": 1}}));
    let kept = [ResponseTemplate::new(503), page, failure, ResponseTemplate::new(307).insert_header("location", "/")];
    let dead = [ResponseTemplate::new(401), ResponseTemplate::new(403)];
    for (answer, ends) in kept.map(|answer| (answer, false)).into_iter().chain(dead.map(|answer| (answer, true))) {
        let server = world(answer).await;
        let session = Session::new(JsonRefresh::post(endpoint(&server)).unwrap());
        let auth = AuthRefresh::new(&session, Origins::new(server.uri()).unwrap());
        let client = ClientBuilder::new(reqwest::Client::new()).with(auth).build();
        session.login(Tokens::new("old").unwrap().with_refresh_token("rt")).await.unwrap();

        for _ in 0..3 {
            let error = client.get(format!("{}/orders", server.uri())).send().await.unwrap_err();
            let error = AuthError::find(&error).unwrap();
            assert_eq!((error.needs_login(), error.is_transient()), (ends, !ends), "{error:?}");
        }
        let refreshes = server.received_requests().await.unwrap();
        assert_eq!(refreshes.iter().filter(|request| request.url.path() == "/auth/refresh").count(), 1);
        assert_eq!(matches!(session.state(), State::NeedsLogin { .. }), ends);
    }
}

#[tokio::test]
async fn a_predicate_that_panics_fails_its_refresh_and_no_more() {
    let server = world(good().set_body_json(json!({"access_token": "new"}))).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let brittle = Dialect::new().success_when(move |_answer| {
        if counted.fetch_add(1, SeqCst) == 0 {
            std::panic::resume_unwind(Box::new("somebody's panic"));
        }
        true
    });
    let session = Session::new(JsonRefresh::post(endpoint(&server)).unwrap().dialect(brittle));
    let auth = AuthRefresh::new(&session, Origins::new(server.uri()).unwrap());
    let client = ClientBuilder::new(reqwest::Client::new()).with(auth).build();
    session.login(Tokens::new("old").unwrap().with_refresh_token("rt")).await.unwrap();
    let error = client.get(format!("{}/orders", server.uri())).send().await.unwrap_err();
    assert!(AuthError::find(&error).unwrap().is_transient(), "{error:?}");
    assert!(matches!(session.state(), State::LoggedIn { .. }), "the old tokens are kept");
    // A login is no reason to rest.
    session.login(Tokens::new("old").unwrap().with_refresh_token("rt")).await.unwrap();
    assert_eq!(client.get(format!("{}/orders", server.uri())).send().await.unwrap().status(), 200);
    assert_eq!(calls.load(SeqCst), 2);
}
