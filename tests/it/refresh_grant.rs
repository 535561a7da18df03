//! The refresh token goes to one endpoint, once, with one client authentication, and whatever comes back is new tokens
//! or a typed error that shows no secret.

use std::io::ErrorKind;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect;
use reqwest_auth_refresh::{RefreshError, RefreshGrant, RefreshReason, RefreshRequest, Refresher, SetupError, Tokens};
use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::error_texts::{is_marked, told};
use crate::support::{PATIENCE, bounded};

const GOOD: &str = r#"{"access_token":"new-at","refresh_token":"new-rt","expires_in":"60"}"#;

/// One request as it came over the wire.
#[derive(Clone)]
struct Seen {
    line: String,
    headers: Vec<(String, String)>,
    form: String,
}

impl Seen {
    fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(header, _)| header == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// A token endpoint that says the same bytes to everyone, and writes down what it was asked.
struct Issuer {
    address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
}

impl Issuer {
    /// Says `reply` after each request. Keeps the connection open if `stay`.
    async fn start(reply: Vec<u8>, stay: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (seen, connections) = (Arc::default(), Arc::default());
        let issuer = Self { address, seen: Arc::clone(&seen), connections: Arc::clone(&connections) };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                *connections.lock().unwrap() += 1;
                let (reply, seen) = (reply.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    while let Some(request) = read_request(&mut stream).await {
                        seen.lock().unwrap().push(request);
                        // A client that has heard enough hangs up.
                        if stream.write_all(&reply).await.is_err() || !stay {
                            break;
                        }
                    }
                });
            }
        });
        issuer
    }

    async fn saying(status: &str, content_type: &str, body: &[u8]) -> Self {
        Self::start(reply(status, content_type, body), true).await
    }

    fn endpoint(&self) -> String {
        format!("{}/a/token?key=canary-query", self.address)
    }

    fn grant(&self) -> RefreshGrant {
        RefreshGrant::new(self.endpoint(), "my app").unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn reply(status: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let mut lines = head.split("\r\n").map(str::to_owned);
            let line = lines.next().unwrap();
            let split =
                |line: String| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
            let mut seen = Seen { line, headers: lines.filter_map(split).collect(), form: String::new() };
            let length: usize = seen.all("content-length").first()?.parse().unwrap();
            if bytes.len() >= end + 4 + length {
                seen.form = String::from_utf8(bytes[end + 4..].to_vec()).unwrap();
                return Some(seen);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// Asks `grant` for new tokens in place of ones with this refresh token.
async fn refresh(grant: &RefreshGrant, refresh_token: &str) -> Result<Tokens, RefreshError> {
    let old = Tokens::new("canary-access").unwrap().with_refresh_token(refresh_token);
    let request = RefreshRequest::new("alice".into(), Some(Arc::new(old)), RefreshReason::Expired, PATIENCE);
    bounded(|| "the refresh", grant.refresh(request)).await
}

#[tokio::test]
async fn a_refresh_is_one_post_with_exactly_one_client_authentication() {
    const FORM: &str = "grant_type=refresh_token&refresh_token=r%2F%25%2B+t%C3%A9";
    type Way = fn(RefreshGrant) -> RefreshGrant;
    let ways: [(Way, &str, Option<&str>); 5] = [
        (|grant| grant, "&client_id=my+app", None),
        (|grant| grant.post("p:%+ é"), "&client_id=my+app&client_secret=p%3A%25%2B+%C3%A9", None),
        (|grant| grant.basic("p:%+ é"), "", Some("Basic bXkrYXBwOnAlM0ElMjUlMkIrJUMzJUE5")),
        (|grant| grant.basic_raw("p:%+ é"), "", Some("Basic bXkgYXBwOnA6JSsgw6k=")),
        (|grant| grant.basic("x").post("p"), "&client_id=my+app&client_secret=p", None),
    ];
    for (way, rest, authorization) in ways {
        let issuer = Issuer::saying("200 OK", "application/json", GOOD.as_bytes()).await;
        let tokens = refresh(&way(issuer.grant()), "r/%+ té").await.unwrap();

        assert_eq!(tokens.access_token().unwrap().expose_secret(), "new-at");
        assert_eq!(tokens.refresh_token().unwrap().expose_secret(), "new-rt");
        let seen = issuer.seen();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].line, "POST /a/token?key=canary-query HTTP/1.1");
        assert_eq!(seen[0].form, format!("{FORM}{rest}"));
        assert_eq!(seen[0].all("authorization"), Vec::from_iter(authorization));
        assert_eq!(seen[0].all("accept"), ["application/json"]);
        assert_eq!(seen[0].all("content-type"), ["application/x-www-form-urlencoded"]);
        assert_eq!((seen[0].all("accept-encoding").len(), seen[0].all("referer").len()), (0, 0));
    }
}

#[tokio::test]
async fn scope_and_parameters_are_sent_as_asked() {
    let issuer = Issuer::saying("200 OK", "application/json", GOOD.as_bytes()).await;
    let grant = issuer.grant().scope("a b").parameter("audience", "é&").unwrap();
    let grant = grant.parameter("resource", "https://a.example/").unwrap().parameter("empty", "").unwrap();
    let grant = grant.parameter("resource", "urn:b").unwrap();
    refresh(&grant, "rt").await.unwrap();

    let form = "grant_type=refresh_token&refresh_token=rt&client_id=my+app&scope=a+b&audience=%C3%A9%26\
                &resource=https%3A%2F%2Fa.example%2F&resource=urn%3Ab";
    assert_eq!(issuer.seen()[0].form, form);
    assert_eq!(grant.info().endpoints(), [issuer.endpoint().parse().unwrap()]);
}

#[test]
fn a_parameter_that_would_come_twice_is_refused() {
    let grant = || RefreshGrant::new("https://issuer.example/token", "my-app").unwrap();
    let reserved = ["", "grant_type", "refresh_token", "client_id", "client_secret", "client_assertion", "scope"];
    for name in reserved {
        assert!(matches!(grant().parameter(name, "x"), Err(SetupError::Reserved(refused)) if refused == name));
    }
    let twice = grant().parameter("audience", "a").unwrap().parameter("audience", "a");
    assert!(matches!(twice, Err(SetupError::Repeated(name)) if name == "audience"));
    for resource in ["", "/api", "https://a.example/#f"] {
        assert!(matches!(grant().parameter("resource", resource), Err(SetupError::Resource)), "{resource}");
    }
}

#[test]
fn no_secret_is_shown() {
    let grant = RefreshGrant::new("https://issuer.example/token?key=canary", "canary-id").unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("x-key", HeaderValue::from_static("canary-header"));
    let grant = grant.parameter("x", "canary-value").unwrap();
    let grant = grant.http(reqwest::Client::builder().default_headers(headers)).unwrap();
    for grant in [grant.clone().basic("canary"), grant.clone().basic_raw("canary"), grant.post("canary")] {
        let shown = format!("{grant:?} {grant:#?}");
        assert!(!shown.contains("canary") && shown.contains("https://issuer.example/token"), "{shown}");
    }
    for wrong in ["http://canary.example/", "https://canary@a.example/", "https://a.example/#canary", "canary"] {
        let error = RefreshGrant::new(wrong, "my-app").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn without_a_refresh_token_nobody_is_asked() {
    let issuer = Issuer::saying("200 OK", "application/json", GOOD.as_bytes()).await;
    let error = refresh(&issuer.grant(), "").await.unwrap_err();
    assert!(error.is_rejected());
    assert_eq!((error.code(), issuer.seen().len()), (Some("no_refresh_token"), 0));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_nothing_reaches_where_it_points() {
    for status in [301, 302, 303, 307, 308] {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        other.set_nonblocking(true).unwrap();
        let to = other.local_addr().unwrap();
        let head = format!("HTTP/1.1 {status} Go\r\nlocation: http://{to}/canary\r\ncontent-length: 0\r\n\r\n");
        let issuer = Issuer::start(head.into_bytes(), true).await;
        let eager = reqwest::Client::builder().redirect(redirect::Policy::limited(10));
        for grant in [issuer.grant().post("canary"), issuer.grant().basic("canary").http(eager).unwrap()] {
            let error = refresh(&grant, "canary-rt").await.unwrap_err();
            assert!(error.is_unavailable() && told(&error).contains(&format!("answered {status}")));
        }
        assert_eq!(issuer.seen().len(), 2, "{status}");
        assert_eq!(other.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "{status}: nobody knocked");
    }
}

#[tokio::test]
async fn a_client_of_the_users_is_used_and_finished() {
    let issuer = Issuer::saying("200 OK", "application/json", GOOD.as_bytes()).await;
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer default"));
    let theirs = reqwest::Client::builder().user_agent("mine/1").default_headers(headers).pool_max_idle_per_host(9);
    let grant = issuer.grant().basic("s").http(theirs).unwrap();
    refresh(&grant, "rt").await.unwrap();
    refresh(&grant, "rt").await.unwrap();

    let seen = issuer.seen();
    assert_eq!((seen.len(), *issuer.connections.lock().unwrap()), (2, 2), "no connection is kept for later");
    for request in seen {
        assert_eq!(request.all("user-agent"), ["mine/1"]);
        assert_eq!(request.all("authorization"), ["Basic bXkrYXBwOnM="]);
    }
}

#[tokio::test]
async fn a_form_is_an_answer_too() {
    let body = b"access_token=a%2Bt&refresh_token=r%2F+t&token_type=bearer&scope=";
    let issuer = Issuer::saying("200 OK", "application/x-www-form-urlencoded; charset=utf-8", body).await;
    let tokens = refresh(&issuer.grant(), "rt").await.unwrap();
    assert_eq!(tokens.access_token().unwrap().expose_secret(), "a+t");
    assert_eq!(tokens.refresh_token().unwrap().expose_secret(), "r/ t");
}

#[tokio::test]
async fn a_hostile_answer_is_a_typed_error_that_shows_no_secret() {
    let json = |body: &str| reply("200 OK", "application/json", body.as_bytes());
    let big = format!(r#"{{"access_token":"canary","x":"{}"}}"#, "x".repeat(10 << 20));
    let chunk = format!("{:x}\r\n{big}\r\n0\r\n\r\n", big.len());
    let chunked = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}").into_bytes();
    let failed_big = format!("HTTP/1.1 503 Busy\r\nretry-after: 7\r\ntransfer-encoding: chunked\r\n\r\n{chunk}");
    let deep = format!(r#"{{"access_token":"canary","x":{}"#, "[".repeat(200_000));
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"access_token\":\"canary\"".to_vec();
    let failed_cut = b"HTTP/1.1 400 No\r\ncontent-length: 900\r\n\r\nerror=invalid_grant".to_vec();
    let page = b"<html>&access_token=canary&error=invalid_grant&</html>";
    let canary_code = r#"{"error":"canary-rt"}"#;
    // what the issuer says; what is told; whether it may have spent the refresh token
    let cases: Vec<(&str, Vec<u8>, &str, bool)> = vec![
        ("10 MiB, announced", json(&big), "answered 200 OK, and too much to read", false),
        ("10 MiB, not announced", chunked, "answered 200 OK, and too much to read", false),
        ("10 MiB with a 503", failed_big.into_bytes(), "answered 503 Service Unavailable", false),
        ("deep", json(&deep), "nothing that can be used", false),
        ("HTML", reply("200 OK", "text/html", page), "nothing that can be used", false),
        ("empty", json(""), "nothing that can be used", false),
        ("members twice", json(r#"{"access_token":"canary","access_token":"canary"}"#), "a member twice", false),
        ("a number", json(r#"{"access_token":1,"x":"canary"}"#), "nothing that can be used", false),
        ("unsendable", json(r#"{"access_token":"canary\r\nx: y"}"#), "cannot be sent in a header", false),
        ("an echo", reply("400 No", "application/json", canary_code.as_bytes()), "answered 400", false),
        ("cut short", cut, "its answer was lost", true),
        ("an error, cut short", failed_cut, "answered 400", false),
        ("no HTTP", b"canary canary\r\n\r\n".to_vec(), "its answer was lost", true),
        ("nothing", Vec::new(), "its answer was lost", true),
    ];
    for (name, reply, expected, maybe_processed) in cases {
        let issuer = Issuer::start(reply, false).await;
        let error = refresh(&issuer.grant().post("canary-secret"), "canary-rt").await.unwrap_err();
        assert!(error.is_unavailable(), "{name}: {error:?}");
        assert!(told(&error).contains(expected), "{name}: {error:?}");
        assert_eq!(is_marked(&error, "maybe_processed"), maybe_processed, "{name}");
        assert_eq!(issuer.seen().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn refused_lost_and_answered_are_told_apart() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let grant = RefreshGrant::new(format!("http://{address}/token?key=canary"), "my-app").unwrap();
    let refused = refresh(&grant, "canary-rt").await.unwrap_err();
    assert!(told(&refused).contains(&format!("http://{address}/token could not be reached")));
    assert!(is_marked(&refused, "every_session") && !is_marked(&refused, "maybe_processed"));

    let silent = Issuer::start(Vec::new(), false).await;
    let lost = refresh(&silent.grant(), "canary-rt").await.unwrap_err();
    assert!(told(&lost).contains("/a/token was asked, and its answer was lost"));
    assert!(is_marked(&lost, "maybe_processed") && !is_marked(&lost, "every_session"));
    let strict = refresh(&silent.grant().never_resubmit(), "canary-rt").await.unwrap_err();
    assert!(strict.is_unavailable() && is_marked(&strict, "maybe_processed"));
    assert!(!silent.grant().info().never_resubmit() && silent.grant().never_resubmit().info().never_resubmit());
    assert_eq!(silent.seen().len(), 2);

    let busy = Issuer::start(b"HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n".to_vec(), true).await;
    let answered = refresh(&busy.grant(), "canary-rt").await.unwrap_err();
    assert!(told(&answered).contains("retry_after: Some(7s)"));
    assert!(is_marked(&answered, "every_session") && !is_marked(&answered, "maybe_processed"));

    let body = br#"{"error":"invalid_grant","error_description":"canary"}"#;
    for status in ["400 Bad Request", "200 OK"] {
        let dead = Issuer::saying(status, "application/json", body).await;
        let rejected = refresh(&dead.grant(), "canary-rt").await.unwrap_err();
        assert!(rejected.is_rejected() && told(&rejected).contains(status));
        assert_eq!((rejected.code(), dead.seen().len()), (Some("invalid_grant"), 1));
    }
}

/// A session bounds an attempt by dropping it. Nothing must go on behind its back, however slowly the issuer talks.
#[tokio::test]
async fn dropping_a_refresh_ends_its_connection() {
    let drip = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{";
    for said in [drip.as_slice(), b""] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grant = RefreshGrant::new(format!("http://{}/token", listener.local_addr().unwrap()), "my-app").unwrap();
        let (asked, was_asked) = oneshot::channel();
        let issuer = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await.unwrap();
            stream.write_all(said).await.unwrap();
            asked.send(()).unwrap();
            // The end of the stream, or a reset: either way the client is gone.
            stream.read(&mut [0; 1]).await.unwrap_or_default()
        });
        {
            let mut refresh = pin!(refresh(&grant, "rt"));
            tokio::select! {
                outcome = &mut refresh => panic!("{outcome:?}"),
                asked = was_asked => asked.unwrap(),
            }
        }
        let more = bounded(|| "the client to hang up", issuer).await;
        assert_eq!(more.unwrap(), 0);
    }
}
