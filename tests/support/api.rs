//! An API on loopback.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::answer::{self, Answer, Body};
use super::arrived::Arrived;
use super::counters::ApiCounts;
use super::gate::Gate;
use super::grants::{Denied, Grants, Holder};
use super::issuer::{Clock, Issuer};
use super::server::Server;

/// Requests to paths below this one need no token.
const OPEN: &str = "/open/";

/// The challenge of a 401, if nobody says otherwise (RFC 6750 section 3).
const CHALLENGE: &str = r#"Bearer realm="api", error="invalid_token""#;

/// A resource server on loopback, on a port of its own, that takes the issuer's access tokens.
///
/// Every path answers with 200 and an echo of the request if the token is good, and else with 401. The echo is JSON:
/// `user`, `grant` and `generation` of the token, `method`, `path` with query, `headers` as pairs in order, and of the body
/// its `length` and [`hash`](super::body_hash). Paths below `/open/` take no token and answer everyone.
///
/// A request goes this way: read to its end → counted → gate [`at_arrival`](Self::at_arrival) → token checked → (if
/// refused: gate [`at_refusal`](Self::at_refusal)) → answered.
///
/// It speaks HTTP/1 and, to those who begin with it, HTTP/2. It stops when it is dropped.
pub struct Api {
    desk: Arc<Desk>,
    server: Server,
    url: String,
}

struct Desk {
    grants: Grants,
    clock: Clock,
    at_arrival: Gate,
    at_refusal: Gate,
    mood: Mutex<Mood>,
}

struct Mood {
    refuses_all: bool,
    challenges: Vec<String>,
    refusal_body: Bytes,
    answer: Business,
    counts: ApiCounts,
    arrived: Vec<Arrived>,
}

/// What a user's request is answered with; `None` is the echo.
type Business = Arc<dyn Fn(&str, &Request<Bytes>) -> Option<(StatusCode, Value)> + Send + Sync>;

impl Api {
    /// Starts an API that takes this issuer's tokens and goes by its clock.
    ///
    /// # Errors
    ///
    /// When there is no port to be had on loopback.
    pub async fn start(issuer: &Issuer) -> io::Result<Self> {
        let mood = Mood {
            refuses_all: false,
            challenges: vec![CHALLENGE.to_owned()],
            refusal_body: Bytes::from_static(br#"{"error":"unauthorized"}"#),
            answer: Arc::new(|_, _| None),
            counts: ApiCounts::default(),
            arrived: Vec::new(),
        };
        let desk = Arc::new(Desk {
            grants: issuer.grants().clone(),
            clock: issuer.clock(),
            at_arrival: Gate::opened("the requests to the API"),
            at_refusal: Gate::opened("the refusals of the API"),
            mood: Mutex::new(mood),
        });
        let door = Arc::clone(&desk);
        let server = Server::start(Arc::new(move |request| Box::pin(Arc::clone(&door).serve(request)))).await?;
        let url = format!("http://{}", server.address());
        Ok(Self { desk, server, url })
    }

    /// Its address, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of a path, which begins with a slash.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Every request passes here before its token is looked at. Open by default.
    pub fn at_arrival(&self) -> &Gate {
        &self.desk.at_arrival
    }

    /// Every request that was refused passes here before its 401 is sent. Open by default;
    /// `at_refusal().close_until(n)` makes a storm of `n`.
    pub fn at_refusal(&self) -> &Gate {
        &self.desk.at_refusal
    }

    /// Whether every token is refused, however fresh. Paths below `/open/` answer all the same.
    pub fn set_refuses_all(&self, all: bool) {
        self.desk.mood().refuses_all = all;
    }

    /// The `WWW-Authenticate` lines of a 401; one with `error="invalid_token"` by default.
    pub fn set_challenges(&self, challenges: &[&str]) {
        self.desk.mood().challenges = challenges.iter().map(|&text| text.to_owned()).collect();
    }

    /// The body of a 401; a short JSON text by default.
    pub fn set_refusal_body(&self, body: impl Into<Bytes>) {
        self.desk.mood().refusal_body = body.into();
    }

    /// What a request with a good token is answered with, given its user; the echo for `None`, and by default.
    pub fn set_answer(
        &self,
        answer: impl Fn(&str, &Request<Bytes>) -> Option<(StatusCode, Value)> + Send + Sync + 'static,
    ) {
        self.desk.mood().answer = Arc::new(answer);
    }

    /// What was counted so far.
    pub fn counts(&self) -> ApiCounts {
        self.desk.mood().counts.clone()
    }

    /// Every request that was answered since this was called last, those that were refused too.
    pub fn take_arrived(&self) -> Vec<Arrived> {
        std::mem::take(&mut self.desk.mood().arrived)
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// How many connections may be open together; others wait to be accepted. As many as come by default.
    pub fn set_most_connections(&self, most: usize) {
        self.server.set_most(most);
    }

    /// Refuses connections from the moment this returns; those that were open are cut.
    pub async fn down(&self) {
        self.server.close().await;
    }

    /// Listens again.
    ///
    /// # Errors
    ///
    /// When somebody else has got the port meanwhile.
    pub fn up(&self) -> io::Result<()> {
        self.server.reopen()
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Desk {
    fn mood(&self) -> MutexGuard<'_, Mood> {
        self.mood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self: Arc<Self>, request: Request<Bytes>) -> Answer {
        self.mood().counts.requests += 1;
        self.at_arrival.pass().await;
        let mut arrived = Arrived::of(&request);
        let path = request.uri().path();
        let token = bearer(request.headers());
        let checked = token.map_or(Err(Denied::Unknown), |token| self.grants.check(token, (self.clock)()));
        let welcome = path.starts_with(OPEN) || (checked.is_ok() && !self.mood().refuses_all);
        if !welcome {
            self.at_refusal.pass().await;
        }
        let holder = checked.as_ref().map_or_else(Denied::holder, Some);
        let tokens = holder.map(|holder| (holder.grant, holder.generation));
        arrived.ok = welcome;
        let answer = if welcome { self.welcome(&request, &arrived, checked.as_ref().ok()) } else { self.refusal() };
        let mut mood = self.mood();
        mood.counts.answer(path, tokens, token.is_some(), welcome);
        mood.arrived.push(arrived);
        Some(answer)
    }

    fn welcome(&self, request: &Request<Bytes>, arrived: &Arrived, holder: Option<&Holder>) -> Response<Body> {
        let business = Arc::clone(&self.mood().answer);
        match holder.and_then(|holder| business(&holder.user, request)) {
            Some((status, Value::Null)) => answer::empty(status, None),
            Some((status, value)) => answer::json(status, &value),
            None => echo(arrived, holder),
        }
    }

    fn refusal(&self) -> Response<Body> {
        let mood = self.mood();
        let answer = answer::plain(StatusCode::UNAUTHORIZED, "application/json", mood.refusal_body.clone());
        mood.challenges
            .iter()
            .fold(answer, |answer, challenge| answer::with_header(answer, WWW_AUTHENTICATE, challenge.as_str()))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn echo(arrived: &Arrived, holder: Option<&Holder>) -> Response<Body> {
    let echo: Value = json!({
        "user": holder.map(|holder| &*holder.user),
        "grant": holder.map(|holder| holder.grant),
        "generation": holder.map(|holder| holder.generation),
        "method": arrived.method,
        "path": arrived.target,
        "headers": arrived.headers,
        "length": arrived.length,
        "hash": arrived.hash,
    });
    answer::json(StatusCode::OK, &echo)
}
