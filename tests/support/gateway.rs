//! A home-grown gateway on loopback whose sessions live in cookies.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Bytes;
use hyper::header::{COOKIE, SET_COOKIE};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::answer::{self, Answer, Body};
use super::arrived::body_hash;
use super::gate::Gate;
use super::server::Server;

/// What everything lies below.
const BASE: &str = "/api/web/";

/// A gateway as many programs meet one: `POST login`, `POST refresh_token` and `POST logout`, each answering
/// `{"status":"success"}` or `{"status":"failure"}`, and everything else for whoever is logged in, all below `/api/web/`.
///
/// `GET login` is the page with the form.
///
/// It sets three cookies: `session` and `refresh`, which are `HttpOnly`, the second for `/api/web/refresh_token` alone; and
/// `csrf`, whose value has to stand in the header `x-csrf` of everything but a GET or a login. Each refresh makes all three
/// anew. A refresh cookie works once, and its second use ends the session.
///
/// It stops when it is dropped.
pub struct Gateway {
    desk: Arc<Desk>,
    server: Server,
    url: String,
}

struct Desk {
    at_login: Gate,
    at_arrival: Gate,
    at_refusal: Gate,
    at_refresh: Gate,
    at_refreshed: Gate,
    at_answer: Gate,
    ledger: Mutex<Ledger>,
}

struct Ledger {
    password: String,
    /// The number in the cookies of the one session, and whether its session cookie is taken.
    current: Option<(u64, bool)>,
    last: u64,
    sliding: bool,
    refresh_answer: Option<(StatusCode, &'static str, Bytes)>,
    counts: GatewayCounts,
}

/// What a gateway counted; see [`Gateway::counts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GatewayCounts {
    /// Logins that succeeded.
    pub logins: usize,
    /// Logins with a wrong password.
    pub wrong_passwords: usize,
    /// Requests for new cookies, whatever became of them.
    pub refresh_calls: usize,
    /// Those that got them.
    pub refreshed: usize,
    /// Those that sent a refresh cookie a second time.
    pub reuse: usize,
    /// Logouts that named the session.
    pub logouts: usize,
    /// Other requests that were answered with 200.
    pub ok: usize,
    /// Those that were answered with 401.
    pub refused: usize,
    /// Those whose CSRF header did not fit their cookies, answered with 403.
    pub forged: usize,
}

impl Gateway {
    /// Starts a gateway that knows one user, with this password.
    ///
    /// # Errors
    ///
    /// When there is no port to be had on loopback.
    pub async fn start(password: &str) -> io::Result<Self> {
        let ledger = Ledger {
            password: password.to_owned(),
            current: None,
            last: 0,
            sliding: false,
            refresh_answer: None,
            counts: GatewayCounts::default(),
        };
        let desk = Arc::new(Desk {
            at_login: Gate::opened("the logins at the gateway"),
            at_arrival: Gate::opened("the requests to the gateway"),
            at_refusal: Gate::opened("the refusals of the gateway"),
            at_refresh: Gate::opened("the refreshes at the gateway"),
            at_refreshed: Gate::opened("the answers to refreshes of the gateway"),
            at_answer: Gate::opened("the answers of the gateway"),
            ledger: Mutex::new(ledger),
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

    /// The address of something below `/api/web/`.
    pub fn at(&self, path: &str) -> String {
        format!("{}{BASE}{path}", self.url)
    }

    /// Every login passes here before it is answered. Open by default.
    pub fn at_login(&self) -> &Gate {
        &self.desk.at_login
    }

    /// Every request that is no login, refresh or logout passes here before its cookies are looked at. Open by default.
    pub fn at_arrival(&self) -> &Gate {
        &self.desk.at_arrival
    }

    /// Every such request that was refused passes here before its 401 is sent. Open by default.
    pub fn at_refusal(&self) -> &Gate {
        &self.desk.at_refusal
    }

    /// Every refresh passes here before it is looked at. Open by default.
    pub fn at_refresh(&self) -> &Gate {
        &self.desk.at_refresh
    }

    /// Every refresh passes here before it is answered. Open by default.
    pub fn at_refreshed(&self) -> &Gate {
        &self.desk.at_refreshed
    }

    /// Every request that was granted passes here before its 200 is sent. Open by default.
    pub fn at_answer(&self) -> &Gate {
        &self.desk.at_answer
    }

    /// The session cookie is no longer taken; a refresh makes a new one.
    pub fn expire(&self) {
        if let Some((_, taken)) = &mut self.desk.ledger().current {
            *taken = false;
        }
    }

    /// The session is over, and no refresh helps.
    pub fn end(&self) {
        self.desk.ledger().current = None;
    }

    /// Whether each granted answer sets the session cookie again, as gateways with sliding sessions do. By default it does
    /// not.
    pub fn set_sliding(&self, sliding: bool) {
        self.desk.ledger().sliding = sliding;
    }

    /// What a refresh is answered with, whatever it brings: a status, a content type and a body. By default it is looked at.
    pub fn set_refresh_answer(&self, answer: Option<(StatusCode, &'static str, &str)>) {
        let answer = answer.map(|(status, kind, body)| (status, kind, Bytes::copy_from_slice(body.as_bytes())));
        self.desk.ledger().refresh_answer = answer;
    }

    /// What was counted so far.
    pub fn counts(&self) -> GatewayCounts {
        self.desk.ledger().counts
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

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Desk {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self: Arc<Self>, request: Request<Bytes>) -> Answer {
        let path = request.uri().path().strip_prefix(BASE).unwrap_or_default();
        Some(match path {
            // The page with the form, which sets a cookie as such pages do.
            "login" if request.method() == Method::GET => {
                answer::with_header(success(), SET_COOKIE, "page=seen; Path=/")
            }
            "login" => {
                let answer = self.ledger().login(&request);
                self.at_login.pass().await;
                answer
            }
            "refresh_token" => {
                self.ledger().counts.refresh_calls += 1;
                self.at_refresh.pass().await;
                let answer = self.ledger().refresh(&request);
                self.at_refreshed.pass().await;
                answer
            }
            "logout" => self.ledger().logout(&request),
            _ => self.other(&request).await,
        })
    }

    async fn other(&self, request: &Request<Bytes>) -> Response<Body> {
        self.at_arrival.pass().await;
        let verdict = self.ledger().check(request);
        match verdict {
            Ok(number) => {
                self.at_answer.pass().await;
                let echo = answer::json(StatusCode::OK, &echo(request, number));
                if self.ledger().sliding { with_session(echo, number) } else { echo }
            }
            Err(StatusCode::UNAUTHORIZED) => {
                self.at_refusal.pass().await;
                failure(StatusCode::UNAUTHORIZED)
            }
            Err(status) => failure(status),
        }
    }
}

impl Ledger {
    fn login(&mut self, request: &Request<Bytes>) -> Response<Body> {
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        if body["password"] != self.password.as_str() {
            self.counts.wrong_passwords += 1;
            return failure(StatusCode::UNAUTHORIZED);
        }
        self.counts.logins += 1;
        self.anew()
    }

    fn refresh(&mut self, request: &Request<Bytes>) -> Response<Body> {
        if let Some((status, kind, body)) = &self.refresh_answer {
            return answer::plain(*status, kind, body.clone());
        }
        let brought = cookie(request, "refresh").and_then(|value| value.strip_prefix("refresh-")?.parse().ok());
        match self.current {
            Some((number, _)) if brought == Some(number) && is_csrf(request, number) => {
                self.counts.refreshed += 1;
                self.anew()
            }
            _ => {
                if brought.is_some_and(|brought| self.current.is_some_and(|(number, _)| brought < number)) {
                    self.counts.reuse += 1;
                    self.current = None;
                }
                failure(StatusCode::UNAUTHORIZED)
            }
        }
    }

    fn logout(&mut self, request: &Request<Bytes>) -> Response<Body> {
        if self.session(request).is_some() {
            self.counts.logouts += 1;
            self.current = None;
        }
        let gone = ["session=; Path=/; Max-Age=0", "csrf=; Path=/; Max-Age=0"];
        gone.iter().fold(success(), |answer, cookie| answer::with_header(answer, SET_COOKIE, *cookie))
    }

    /// The number of the session that this request belongs to, or what it is answered with.
    fn check(&mut self, request: &Request<Bytes>) -> Result<u64, StatusCode> {
        match self.session(request) {
            Some(number) if request.method() == Method::GET || is_csrf(request, number) => {
                self.counts.ok += 1;
                Ok(number)
            }
            Some(_) => {
                self.counts.forged += 1;
                Err(StatusCode::FORBIDDEN)
            }
            None => {
                self.counts.refused += 1;
                Err(StatusCode::UNAUTHORIZED)
            }
        }
    }

    fn session(&self, request: &Request<Bytes>) -> Option<u64> {
        let brought: u64 = cookie(request, "session")?.strip_prefix("session-")?.parse().ok()?;
        self.current.filter(|(number, taken)| *taken && *number == brought).map(|(number, _)| number)
    }

    /// New cookies, in place of all that were.
    fn anew(&mut self) -> Response<Body> {
        self.last += 1;
        let number = self.last;
        self.current = Some((number, true));
        let refresh = format!("refresh-{number}");
        let cookies =
            [format!("refresh={refresh}; Path={BASE}refresh_token; HttpOnly"), format!("csrf=csrf-{number}; Path=/")];
        cookies.iter().fold(with_session(success(), number), |answer, cookie| {
            answer::with_header(answer, SET_COOKIE, cookie.as_str())
        })
    }
}

fn success() -> Response<Body> {
    answer::json(StatusCode::OK, &json!({ "status": "success" }))
}

fn failure(status: StatusCode) -> Response<Body> {
    answer::json(status, &json!({ "status": "failure" }))
}

fn with_session(answer: Response<Body>, number: u64) -> Response<Body> {
    answer::with_header(answer, SET_COOKIE, format!("session=session-{number}; Path=/; HttpOnly").as_str())
}

fn cookie<'a>(request: &'a Request<Bytes>, name: &str) -> Option<&'a str> {
    let pairs = request.headers().get(COOKIE)?.to_str().ok()?.split("; ").filter_map(|pair| pair.split_once('='));
    pairs.filter(|(named, _)| *named == name).map(|(_, value)| value).next()
}

/// Whether the header is the one that belongs to this session.
fn is_csrf(request: &Request<Bytes>, number: u64) -> bool {
    request.headers().get("x-csrf").is_some_and(|value| *value == format!("csrf-{number}"))
}

/// The request, for whoever sent it.
fn echo(request: &Request<Bytes>, number: u64) -> Value {
    json!({
        "session": number,
        "method": request.method().as_str(),
        "path": request.uri().to_string(),
        "csrf": request.headers().get("x-csrf").and_then(|value| value.to_str().ok()),
        "length": request.body().len(),
        "hash": body_hash(request.body()),
    })
}
