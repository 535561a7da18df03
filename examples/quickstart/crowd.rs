//! Ten tasks that send requests at the same time, and what they see.

use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest_auth_refresh::{AuthError, Retried};
use reqwest_middleware::ClientWithMiddleware;
use tokio::task::JoinSet;

pub(crate) const TASKS: usize = 10;

/// How long a task waits after each request.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Crowd {
    client: ClientWithMiddleware,
    url: String,
    /// Everything that was seen so far.
    pub(crate) seen: Seen,
}

impl Crowd {
    pub(crate) fn new(client: ClientWithMiddleware, url: String) -> Self {
        Self { client, url, seen: Seen::default() }
    }

    /// Ten tasks send `each` requests each. Returns what they saw once all have done so.
    pub(crate) async fn send(&mut self, each: usize) -> Seen {
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            tasks.spawn(work(self.client.clone(), self.url.clone(), task, each));
        }
        let mut seen = Seen::default();
        for part in tasks.join_all().await {
            seen.add(&part);
        }
        self.seen.add(&seen);
        seen
    }
}

/// One task. It knows nothing of tokens.
async fn work(client: ClientWithMiddleware, url: String, task: usize, each: usize) -> Seen {
    let mut seen = Seen::default();
    for request in 0..each {
        match client.get(&url).send().await {
            Ok(response) => seen.response(&response),
            Err(error) => seen.error(&error),
        }
        if request + 1 < each {
            // Out of step with each other, so that tokens expire between any two requests.
            tokio::time::sleep(PAUSE + Duration::from_millis(task as u64)).await;
        }
    }
    seen
}

/// What became of requests.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) requests: usize,
    /// Answered with 200.
    pub(crate) ok: usize,
    /// Of those, how many were sent twice.
    pub(crate) retried: usize,
    /// Answered with 401 because nobody was logged in.
    pub(crate) unsigned: usize,
    /// No tokens can be had now.
    pub(crate) try_later: usize,
    /// Somebody has to log in.
    pub(crate) needs_login: usize,
    /// Of those, how many were sent and refused; the others were not sent at all.
    pub(crate) needs_login_refused: usize,
    /// Anything else; there should be none.
    pub(crate) unexpected: usize,
    /// The longest pause that an error asked for.
    pub(crate) retry_after: Duration,
}

impl Seen {
    fn response(&mut self, response: &reqwest::Response) {
        self.requests += 1;
        let retried = response.extensions().get::<Retried>().is_some();
        match response.status() {
            StatusCode::OK => {
                self.ok += 1;
                self.retried += usize::from(retried);
            }
            StatusCode::UNAUTHORIZED if !retried => self.unsigned += 1,
            _ => self.unexpected += 1,
        }
    }

    fn error(&mut self, error: &reqwest_middleware::Error) {
        self.requests += 1;
        match AuthError::find(error) {
            Some(error) if error.is_transient() => {
                self.try_later += 1;
                self.retry_after = self.retry_after.max(error.retry_after().unwrap_or_default());
            }
            Some(error) if error.needs_login() => {
                self.needs_login += 1;
                self.needs_login_refused += usize::from(error.status().is_some());
            }
            _ => self.unexpected += 1,
        }
    }

    fn add(&mut self, part: &Self) {
        self.requests += part.requests;
        self.ok += part.ok;
        self.retried += part.retried;
        self.unsigned += part.unsigned;
        self.try_later += part.try_later;
        self.needs_login += part.needs_login;
        self.needs_login_refused += part.needs_login_refused;
        self.unexpected += part.unexpected;
        self.retry_after = self.retry_after.max(part.retry_after);
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.ok - self.retried, "ok"),
            (self.retried, "ok at the second sending"),
            (self.unsigned, "answered with 401, since nobody is logged in"),
            (self.try_later, "told to try later"),
            (self.needs_login_refused, "refused, then told to log in"),
            (self.needs_login - self.needs_login_refused, "told to log in, and not sent"),
            (self.unexpected, "UNEXPECTED"),
        ];
        let parts: Vec<_> =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        write!(f, "{} requests: {}", self.requests, parts.join(", "))
    }
}
