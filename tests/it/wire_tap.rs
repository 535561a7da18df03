//! What goes over the wire and what a trip leaves behind, written down by middleware that changes nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::{Extensions, HeaderMap, Method};
use reqwest::{Body, Request, Response, Url};
use reqwest_auth_refresh::{Retried, async_trait};
use reqwest_middleware::{Middleware, Next, Result};

/// A request as it was about to be sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sent {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Vec<u8>>,
    /// Whether it carried the flag of a retry.
    pub(crate) flagged: bool,
}

impl Sent {
    /// Whether the text stands in it, anywhere. `Debug` would leave out what is marked as sensitive.
    pub(crate) fn shows(&self, text: &str) -> bool {
        let is_in = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(text);
        is_in(self.url.as_str().as_bytes())
            || self.headers.values().any(|value| is_in(value.as_bytes()))
            || self.body.as_deref().is_some_and(is_in)
    }

    /// The same without what a second sending has of its own, and that: its `Authorization` and its flag.
    pub(crate) fn split(mut self) -> (Self, Option<String>, bool) {
        let signed = self.headers.remove("authorization").and_then(|header| header.to_str().ok().map(str::to_owned));
        let flagged = std::mem::take(&mut self.flagged);
        (self, signed, flagged)
    }
}

/// Stands last, and keeps what was sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct WireTap(Arc<Mutex<Vec<Sent>>>);

impl WireTap {
    /// What was sent since the last look.
    pub(crate) fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics with it"))
    }
}

#[async_trait]
impl Middleware for WireTap {
    async fn handle(&self, request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        let sent = Sent {
            method: request.method().clone(),
            url: request.url().clone(),
            headers: request.headers().clone(),
            body: request.body().and_then(Body::as_bytes).map(<[u8]>::to_vec),
            flagged: extensions.get::<Retried>().is_some(),
        };
        self.0.lock().expect("nobody panics with it").push(sent);
        next.run(request, extensions).await
    }
}

/// Stands first, and counts the trips that leave the flag of a retry behind.
#[derive(Debug, Clone, Default)]
pub(crate) struct LeftBehind(Arc<AtomicUsize>);

impl LeftBehind {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Middleware for LeftBehind {
    async fn handle(&self, request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        let result = next.run(request, extensions).await;
        self.0.fetch_add(usize::from(extensions.get::<Retried>().is_some()), Ordering::Relaxed);
        result
    }
}
