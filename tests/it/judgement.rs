//! Which responses say that the tokens are no longer good, where the program judges: by status, by body, and what is left of
//! the body afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream;
use http::Extensions;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use reqwest::{Body, Request, Response, ResponseBuilderExt, Url};
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, Event, Events, Origins, RefreshError, RefreshRequest, ResponseHead, Retried, Session,
    Tokens, async_trait,
};
use reqwest_middleware::{ClientBuilder, Middleware, Next};
use tokio::time::Instant;

use crate::virtual_world::{API, told};

const EXPIRED: &str = r#"{"ok":false,"error":"token_expired"}"#;

/// What the API answers the first token with; the second one gets `200` and `{"ok":true}`.
struct Api<F> {
    answer: F,
    sent: Arc<AtomicUsize>,
}

#[async_trait]
impl<F: Fn(&Url) -> Response + Send + Sync + 'static> Middleware for Api<F> {
    async fn handle(&self, request: Request, _: &mut Extensions, _: Next<'_>) -> reqwest_middleware::Result<Response> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        let first = request.headers().get(AUTHORIZATION).is_some_and(|value| value == "Bearer first");
        Ok(if first { (self.answer)(request.url()) } else { answer(request.url(), 200, r#"{"ok":true}"#) })
    }
}

fn answer(url: &Url, status: u16, body: impl Into<Body>) -> Response {
    let response = http::Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    response.url(url.clone()).body(body.into()).unwrap().into()
}

/// A request as the caller meets it: the result, how often it was sent, and how often new tokens were asked for.
struct Met {
    result: Result<Response, reqwest_middleware::Error>,
    sent: usize,
    refreshes: usize,
    events: Events,
}

async fn ask(
    judging: impl FnOnce(AuthRefresh) -> AuthRefresh,
    answer: impl Fn(&Url) -> Response + Send + Sync + 'static,
) -> Met {
    let (sent, refreshes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&refreshes);
    let session = Session::new(move |_: RefreshRequest| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Tokens::new("second").map_err(RefreshError::unavailable) }
    });
    session.login(Tokens::new("first").unwrap()).await.unwrap();
    let events = session.events();
    let auth = judging(AuthRefresh::new(&session, Origins::new(API).unwrap()));
    let api = Api { answer, sent: Arc::clone(&sent) };
    let result = ClientBuilder::new(reqwest::Client::new()).with(auth).with(api).build().get(API).send().await;
    Met { result, sent: sent.load(Ordering::SeqCst), refreshes: refreshes.load(Ordering::SeqCst), events }
}

fn says_expired(auth: AuthRefresh) -> AuthRefresh {
    let json =
        |head: &ResponseHead<'_>| head.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    auth.unauthorized_when_body(
        move |head| head.status() == 200 && json(head),
        |_, body| serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|body| body["error"] == "token_expired"),
    )
}

#[tokio::test]
async fn statuses_are_judged_as_the_program_says() {
    type Judge = fn(&ResponseHead<'_>) -> bool;
    let also_419: Judge = |head| head.is_unauthorized() || head.status() == 419;
    let forbidden: Judge = |head| head.status() == 403 && !head.headers().contains_key("x-forbidden");
    let never: Judge = |_| false;
    let always: Judge = |_| true;
    let cases: [(Option<Judge>, u16, bool); 16] = [
        (None, 401, true),
        (None, 403, false),
        (None, 419, false),
        (None, 200, false),
        (Some(also_419), 401, true),
        (Some(also_419), 419, true),
        (Some(also_419), 403, false),
        (Some(also_419), 500, false),
        (Some(forbidden), 403, true),
        (Some(forbidden), 401, false),
        (Some(forbidden), 400, false),
        (Some(never), 401, false),
        (Some(never), 419, false),
        (Some(always), 200, true),
        (Some(always), 503, true),
        (Some(always), 204, true),
    ];
    for (judge, status, unauthorized) in cases {
        let judging = move |auth: AuthRefresh| match judge {
            Some(judge) => auth.unauthorized_when(judge),
            None => auth,
        };
        let met = ask(judging, move |url| answer(url, status, "{}")).await;
        let expected = (1 + usize::from(unauthorized), usize::from(unauthorized));
        assert_eq!((met.sent, met.refreshes), expected, "{status}");
        let response = met.result.unwrap();
        assert_eq!(response.status().as_u16(), if unauthorized { 200 } else { status });
        assert_eq!(response.extensions().get::<Retried>().is_some(), unauthorized, "{status}");
    }
}

#[tokio::test]
async fn bodies_are_judged_and_left_whole() {
    let long = format!("{{\"ok\":true,\"pad\":\"{}\"}}", "x".repeat(200_000));
    let late = format!("{{\"pad\":\"{}\",\"error\":\"token_expired\"}}", "x".repeat(70_000));
    let front = format!("{{\"error\":\"token_expired\",\"pad\":\"{}\"}}", "x".repeat(60_000));
    let cases: [(u16, &str, bool); 20] = [
        (200, EXPIRED, true),
        (200, r#" {"error" : "token_expired"}"#, true),
        (200, &front, true),
        (200, r#"{"ok":true}"#, false),
        (200, r#"{"ok":false,"error":"ratelimited"}"#, false),
        (200, r#"{"error":{"code":"token_expired"}}"#, false),
        (200, r#"["token_expired"]"#, false),
        (200, r#"{"error":"token_expired""#, false),
        (200, "token_expired", false),
        (200, "<html>token_expired</html>", false),
        (200, "", false),
        (200, "\0\u{FFFD}", false),
        (200, &long, false),
        // It begins to say so after what is looked at.
        (200, &late, false),
        // Not picked: its body is not looked at.
        (201, EXPIRED, false),
        (400, EXPIRED, false),
        (403, EXPIRED, false),
        (500, EXPIRED, false),
        // By its head alone.
        (401, EXPIRED, true),
        (401, "", true),
    ];
    for (status, body, unauthorized) in cases {
        let text = body.to_owned();
        let met = ask(says_expired, move |url| answer(url, status, text.clone())).await;
        let expected = (1 + usize::from(unauthorized), usize::from(unauthorized));
        let shown: String = body.chars().take(50).collect();
        assert_eq!((met.sent, met.refreshes), expected, "{status} {shown}");
        let response = met.result.unwrap();
        assert_eq!(response.url().as_str(), format!("{API}/"), "its own address, and not a made-up one");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        let expected = if unauthorized { r#"{"ok":true}"# } else { body };
        assert_eq!(response.text().await.unwrap(), expected, "{status} {shown}");
    }
}

/// A body in pieces of this many bytes, and perhaps an end that is none.
fn in_pieces(body: &str, size: usize, breaks: bool) -> Body {
    let frames = body.as_bytes().chunks(size).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))));
    let end = breaks.then(|| Err(std::io::Error::other("cut off on purpose")));
    Body::wrap(StreamBody::new(stream::iter(frames.chain(end).collect::<Vec<_>>())))
}

#[tokio::test]
async fn a_body_that_comes_in_pieces_is_put_together() {
    let long = format!("{{\"ok\":true,\"pad\":\"{}\"}}", "0123456789".repeat(20_000));
    for size in [1, 7, 4096, 65_536, 65_537] {
        let met = ask(says_expired, move |url| answer(url, 200, in_pieces(EXPIRED, size, false))).await;
        assert_eq!((met.sent, met.refreshes), (2, 1), "{size}");
        if size > 1 {
            let text = long.clone();
            let met = ask(says_expired, move |url| answer(url, 200, in_pieces(&text, size, false))).await;
            assert_eq!((met.sent, met.refreshes), (1, 0), "{size}");
            assert_eq!(met.result.unwrap().text().await.unwrap(), long, "{size}");
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_is_handed_on_as_it_breaks() {
    let met = ask(says_expired, |url| answer(url, 200, in_pieces(r#"{"ok":true,"#, 4, true))).await;
    assert_eq!((met.sent, met.refreshes), (1, 0));
    let mut response = met.result.unwrap();
    let mut read = Vec::new();
    let broken = loop {
        match response.chunk().await {
            Ok(Some(piece)) => read.extend_from_slice(&piece),
            Ok(None) => panic!("it has no end"),
            Err(error) => break error,
        }
    };
    assert_eq!(read, br#"{"ok":true,"#);
    assert!(std::error::Error::source(&broken).is_some(), "{broken:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_waited_for_five_seconds() {
    let began = Instant::now();
    let stalls = |url: &Url| {
        let first = stream::iter([Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(br#"{"ok":"#)))]);
        let never = futures_util::StreamExt::chain(first, stream::pending());
        answer(url, 200, Body::wrap(StreamBody::new(never)))
    };
    let met = ask(says_expired, stalls).await;
    assert_eq!((met.sent, met.refreshes), (1, 0));
    assert!(began.elapsed() >= Duration::from_secs(5) && began.elapsed() < Duration::from_secs(6));
    let mut response = met.result.unwrap();
    assert_eq!(&*response.chunk().await.unwrap().unwrap(), br#"{"ok":"#, "what had come is there");
}

#[tokio::test]
async fn length_and_trailers_are_known_as_before() {
    let met = ask(says_expired, |url| answer(url, 200, r#"{"ok":true}"#)).await;
    assert_eq!(met.result.unwrap().content_length(), Some(11));
    let with_trailer = |url: &Url| {
        let data = Frame::data(Bytes::from_static(br#"{"ok":true}"#));
        let trailer = Frame::trailers([(CONTENT_TYPE, "text/late".parse().unwrap())].into_iter().collect());
        answer(url, 200, Body::wrap(StreamBody::new(stream::iter([Ok::<_, std::io::Error>(data), Ok(trailer)]))))
    };
    let met = ask(says_expired, with_trailer).await;
    let mut body = http::Response::<Body>::from(met.result.unwrap()).into_body();
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap()[CONTENT_TYPE], "text/late");
    assert!(body.frame().await.is_none());
}

/// No more of a body is read than is looked at, however much there is.
#[tokio::test]
async fn no_more_is_read_than_is_looked_at() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&pulled);
    let endless = move |url: &Url| {
        let counted = Arc::clone(&counted);
        let frames = stream::repeat_with(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(&[b'x'; 1024])))
        });
        answer(url, 200, Body::wrap(StreamBody::new(frames)))
    };
    let met = ask(says_expired, endless).await;
    assert_eq!((met.sent, met.refreshes, pulled.load(Ordering::SeqCst)), (1, 0, 64));
    drop(met.result.unwrap());
}

/// Whoever judges, another origin's word counts for nothing.
#[tokio::test]
async fn what_another_origin_says_is_not_asked_about() {
    let asked = Arc::new(AtomicUsize::new(0));
    let (head, body) = (Arc::clone(&asked), Arc::clone(&asked));
    let judging = move |auth: AuthRefresh| {
        auth.unauthorized_when(move |_| head.fetch_add(1, Ordering::SeqCst) < usize::MAX)
            .unauthorized_when_body(move |_| body.fetch_add(1, Ordering::SeqCst) < usize::MAX, |_, _| true)
    };
    let elsewhere = |_: &Url| answer(&"https://login.example.com/".parse().unwrap(), 401, EXPIRED);
    let met = ask(judging, elsewhere).await;
    assert_eq!((met.sent, met.refreshes, asked.load(Ordering::SeqCst)), (1, 0, 0));
    assert_eq!(met.result.unwrap().status(), 401);
}

#[tokio::test]
async fn a_panic_in_a_judge_ends_its_request_and_is_told() {
    let judges: [fn(AuthRefresh) -> AuthRefresh; 3] = [
        |auth| auth.unauthorized_when(|_| panic!("on purpose")),
        |auth| auth.unauthorized_when_body(|_| panic!("on purpose"), |_, _| true),
        |auth| auth.unauthorized_when_body(|_| true, |_, _| panic!("on purpose")),
    ];
    for judging in judges {
        let mut met = ask(judging, |url| answer(url, 200, EXPIRED)).await;
        let error = met.result.unwrap_err();
        let error = AuthError::find(&error).unwrap();
        assert!(error.is_misconfigured() && error.to_string().contains("judging a response"), "{error}");
        assert_eq!((met.sent, met.refreshes), (1, 0));
        assert!(matches!(told(&mut met.events)[..], [Event::Now(_), Event::CallbackFailed]));
    }
}

/// The refusal comes back whole when the request cannot be sent again.
#[tokio::test]
async fn a_refusal_by_body_is_returned_whole() {
    let session = Session::new(|_: RefreshRequest| async { Tokens::new("first").map_err(RefreshError::unavailable) });
    session.login(Tokens::new("first").unwrap()).await.unwrap();
    let auth = says_expired(AuthRefresh::new(&session, Origins::new(API).unwrap()));
    let api = Api { answer: |url: &Url| answer(url, 200, EXPIRED), sent: Arc::default() };
    let client = ClientBuilder::new(reqwest::Client::new()).with(auth).with(api).build();
    let response = client.get(API).send().await.unwrap();
    assert!(response.extensions().get::<reqwest_auth_refresh::NotRetryable>().is_some(), "the same token came back");
    assert_eq!(response.text().await.unwrap(), EXPIRED);
}
