//! A gateway as many companies have written one: tokens in an envelope, milliseconds, and a word for success.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// How long its access tokens live.
pub(crate) const LIFE: Duration = Duration::from_secs(2);

/// It stops when it is dropped.
pub(crate) struct Gateway {
    server: MockServer,
    desk: Arc<Mutex<Desk>>,
}

/// What it knows, and what it counted.
#[derive(Default)]
pub(crate) struct Desk {
    issued: usize,
    expires: Option<Instant>,
    ended: bool,
    pub(crate) down: bool,
    pub(crate) refresh_calls: usize,
    pub(crate) refreshed: usize,
    pub(crate) ideas_served: usize,
    pub(crate) ideas_refused: usize,
}

type Answer = fn(&mut Desk, &Request) -> ResponseTemplate;

impl Gateway {
    pub(crate) async fn start() -> Self {
        let (server, desk) = (MockServer::start().await, Arc::<Mutex<Desk>>::default());
        let routes: [(&str, &str, Answer); 3] =
            [("POST", "/login", Desk::login), ("POST", "/auth/refresh", Desk::refresh), ("GET", "/ideas", Desk::ideas)];
        for (verb, route, answer) in routes {
            let desk = Arc::clone(&desk);
            let answer = move |request: &Request| answer(&mut locked(&desk), request);
            Mock::given(method(verb)).and(path(route)).respond_with(answer).mount(&server).await;
        }
        Self { server, desk }
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.server.uri())
    }

    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        locked(&self.desk)
    }

    /// Ends the login: the refresh token is worth nothing any more.
    pub(crate) fn end_login(&self) {
        self.desk().ended = true;
    }
}

fn locked(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    fn login(&mut self, _request: &Request) -> ResponseTemplate {
        self.ended = false;
        self.tokens()
    }

    /// Takes each refresh token once.
    fn refresh(&mut self, request: &Request) -> ResponseTemplate {
        self.refresh_calls += 1;
        let body: Value = request.body_json().unwrap_or_default();
        if self.down {
            ResponseTemplate::new(503).insert_header("retry-after", "1")
        } else if self.ended || body["auth"]["refreshToken"] != format!("refresh-{}", self.issued) {
            ResponseTemplate::new(401).set_body_json(json!({"status": "failure", "error": "session_ended"}))
        } else {
            self.refreshed += 1;
            self.tokens()
        }
    }

    fn tokens(&mut self) -> ResponseTemplate {
        self.issued += 1;
        self.expires = Some(Instant::now() + LIFE);
        let [access, refresh] = ["access", "refresh"].map(|kind| format!("{kind}-{}", self.issued));
        let data = json!({"accessToken": access, "refreshToken": refresh, "expiresIn": LIFE.as_millis()});
        ResponseTemplate::new(200).set_body_json(json!({"status": "success", "data": data}))
    }

    fn ideas(&mut self, request: &Request) -> ResponseTemplate {
        let current = format!("Bearer access-{}", self.issued);
        let fresh = self.expires.is_some_and(|end| Instant::now() < end);
        if fresh && request.headers.get("authorization").is_some_and(|held| *held == current) {
            self.ideas_served += 1;
            ResponseTemplate::new(200).set_body_json(json!(["a kettle that waits"]))
        } else {
            self.ideas_refused += 1;
            ResponseTemplate::new(401)
        }
    }
}
