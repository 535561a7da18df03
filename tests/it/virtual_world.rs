//! A session without sockets: paused time, a closure as refresher, canned answers at the end of the chain, and a wall
//! clock that is tied to tokio's. For races, outages and storms.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use http::{Extensions, StatusCode};
use reqwest::{Request, Response, ResponseBuilderExt};
use reqwest_auth_refresh::{AuthRefresh, Clock, Event, Events, Origins, Session};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use tokio::time::Instant;

use crate::support::bounded;

/// The only API in this world.
pub(crate) const API: &str = "https://api.example.com";

/// A clock that goes with tokio's, so that paused time pauses both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VirtualClock(Instant);

impl VirtualClock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for VirtualClock {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + self.0.elapsed()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The API at the end of the chain: a function from the bearer token to a status.
pub(crate) struct Canned<F> {
    answer: F,
    pub(crate) sent: Arc<AtomicUsize>,
}

impl<F> Canned<F> {
    pub(crate) fn new(answer: F) -> (Self, Arc<AtomicUsize>) {
        let sent = Arc::new(AtomicUsize::new(0));
        (Self { answer, sent: Arc::clone(&sent) }, sent)
    }
}

#[async_trait::async_trait]
impl<F, Fut> Middleware for Canned<F>
where
    F: Fn(Option<String>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = StatusCode> + Send,
{
    async fn handle(&self, request: Request, _: &mut Extensions, _: Next<'_>) -> reqwest_middleware::Result<Response> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let status = (self.answer)(bearer(&request)).await;
        Ok(response(&request, status))
    }
}

/// The token on a request.
pub(crate) fn bearer(request: &Request) -> Option<String> {
    let header = request.headers().get("authorization")?.to_str().ok()?;
    header.strip_prefix("Bearer ").map(str::to_owned)
}

/// An empty response that came from where the request went.
pub(crate) fn response(request: &Request, status: StatusCode) -> Response {
    let response = http::Response::builder().status(status).url(request.url().clone()).body(String::new());
    response.expect("a status and a URL make a response").into()
}

/// A client of this session whose requests end in `last`.
pub(crate) fn client(session: &Session, last: impl Middleware) -> ClientWithMiddleware {
    let auth = AuthRefresh::new(session, Origins::new(API).expect("an origin"));
    ClientBuilder::new(reqwest::Client::new()).with(auth).with(last).build()
}

/// The next event.
pub(crate) async fn heard(events: &mut Events) -> Option<Event> {
    bounded(|| "an event", events.next()).await
}

/// Everything told since the last look.
pub(crate) fn told(events: &mut Events) -> Vec<Event> {
    std::iter::from_fn(|| events.next().now_or_never().flatten()).collect()
}
