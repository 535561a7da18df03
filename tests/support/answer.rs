//! Answers as they go over the wire.

use std::io;
use std::time::Duration;

use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

pub(super) type Body = BoxBody<Bytes, io::Error>;

/// An answer, or `None` for a connection that is closed without one.
pub(super) type Answer = Option<Response<Body>>;

pub(super) fn plain(status: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(bytes.into()).map_err(|never| match never {}).boxed();
    let answer = with_header(Response::new(body), CONTENT_TYPE, content_type);
    with_status(with_header(answer, CACHE_CONTROL, "no-store"), status)
}

pub(super) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    plain(status, "application/json", value.to_string())
}

/// RFC 6749 section 5.2.
pub(super) fn error(status: StatusCode, code: &str) -> Response<Body> {
    json(status, &json!({ "error": code }))
}

pub(super) fn empty(status: StatusCode, retry_after: Option<Duration>) -> Response<Body> {
    let body = Full::default().map_err(|never| match never {}).boxed();
    let mut answer = with_status(Response::new(body), status);
    if let Some(pause) = retry_after {
        answer.headers_mut().insert(RETRY_AFTER, pause.as_secs().into());
    }
    answer
}

pub(super) fn html() -> Response<Body> {
    let page = "<!doctype html><title>Sign in to this network</title><p>Welcome!</p>";
    plain(StatusCode::OK, "text/html; charset=utf-8", page)
}

pub(super) fn with_header(
    mut answer: Response<Body>,
    name: HeaderName,
    value: impl TryInto<HeaderValue>,
) -> Response<Body> {
    if let Ok(value) = value.try_into() {
        answer.headers_mut().append(name, value);
    }
    answer
}

fn with_status(mut answer: Response<Body>, status: StatusCode) -> Response<Body> {
    *answer.status_mut() = status;
    answer
}

/// The same JSON, one byte at a time, with a pause before each.
pub(super) fn dripping(value: &Value, pause: Duration) -> Response<Body> {
    let drops = stream::unfold(Bytes::from(value.to_string()), move |mut rest| async move {
        tokio::time::sleep(pause).await;
        let drop = (!rest.is_empty()).then(|| rest.split_to(1))?;
        Some((Ok(Frame::data(drop)), rest))
    });
    json_of(StreamBody::new(drops).boxed())
}

/// The first half of the same JSON; then the connection is closed.
pub(super) fn half(value: &Value) -> Response<Body> {
    let mut text = Bytes::from(value.to_string());
    let first = text.split_to(text.len() / 2);
    let halves = stream::unfold(Some(first), |first| async move {
        if let Some(first) = first {
            return Some((Ok(Frame::data(first)), None));
        }
        // The first half goes out while this one is waited for.
        tokio::task::yield_now().await;
        Some((Err(io::Error::other("cut off on purpose")), None))
    });
    json_of(StreamBody::new(halves).boxed())
}

fn json_of(body: Body) -> Response<Body> {
    with_header(Response::new(body), CONTENT_TYPE, "application/json")
}
