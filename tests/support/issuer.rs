//! An issuer on loopback.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use hyper::body::Bytes;
use hyper::header::{HOST, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::Value;
use tokio::sync::watch;

use super::answer::{self, Answer, Body};
use super::client::Client;
use super::counters::IssuerCounts;
use super::devices;
use super::devices::Devices;
use super::faults::{Fault, Outage};
use super::gate::Gate;
use super::grants::{Grants, Issued, Refused};
use super::server::Server;

/// The path of the device authorization endpoint.
const DEVICE: &str = "/device_authorization";

/// How long access tokens live if nobody says otherwise.
const HOUR: Duration = Duration::from_secs(3600);

/// An issuer on loopback: a token, a revocation and a device authorization endpoint over [`Grants`].
///
/// It stops when it is dropped. It serves on the runtime that started it; a test that stops or drops its own runtime
/// gives it another.
///
/// A call to the token endpoint goes this way, and once it has arrived it goes on even if its caller has left:
/// counted → outage or fault taken → gate [`at_arrival`](Self::at_arrival) → client and form checked → refresh token spent
/// → gate [`at_answer`](Self::at_answer) → answered.
pub struct Issuer {
    desk: Arc<Desk>,
    server: Server,
    token_url: String,
    revocation_url: String,
    /// Ends calls that nobody waits for any more.
    _life: watch::Sender<()>,
}

struct Desk {
    grants: Grants,
    devices: Devices,
    clock: Clock,
    at_arrival: Gate,
    at_answer: Gate,
    mood: Mutex<Mood>,
    ended: watch::Receiver<()>,
}

pub(super) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

#[derive(Default)]
struct Mood {
    client: Option<Client>,
    /// What every call meets while there is an outage.
    outage: Option<Fault>,
    faults: VecDeque<Fault>,
    last_call: Option<TokenCall>,
    redemptions: Vec<Redemption>,
    token_calls: usize,
    turned_away: usize,
    revocation_calls: usize,
}

/// A call as it arrived at the token endpoint.
#[derive(Debug, Clone)]
pub struct TokenCall {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its form, in order.
    pub form: Vec<(String, String)>,
}

/// A refresh token as it was used; see [`Issuer::redemptions`].
#[derive(Debug, Clone)]
pub struct Redemption {
    /// The `client_id` that the call named in its form.
    pub client: Option<String>,
    /// What was used.
    pub refresh_token: String,
    /// When.
    pub at: SystemTime,
    /// Why it yielded nothing; `None` where it yielded tokens.
    pub refused: Option<Refused>,
}

impl TokenCall {
    /// The first value of this form field.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Issuer {
    /// Starts an issuer with strict rotation, access tokens of one hour, and the clock of the machine.
    ///
    /// # Errors
    ///
    /// When there is no port to be had on loopback.
    pub async fn start() -> io::Result<Self> {
        Self::start_over(Grants::new(HOUR), SystemTime::now).await
    }

    /// Starts an issuer over these grants and this clock.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_over(
        grants: Grants,
        clock: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let (life, ended) = watch::channel(());
        let desk = Arc::new(Desk {
            grants,
            devices: Devices::default(),
            clock: Arc::new(clock),
            at_arrival: Gate::opened("the calls to the issuer"),
            at_answer: Gate::opened("the answers of the issuer"),
            mood: Mutex::default(),
            ended,
        });
        let door = Arc::clone(&desk);
        let server = Server::start(Arc::new(move |request| Box::pin(Arc::clone(&door).serve(request)))).await?;
        let base = format!("http://{}", server.address());
        Ok(Self {
            desk,
            server,
            token_url: format!("{base}/token"),
            revocation_url: format!("{base}/revoke"),
            _life: life,
        })
    }

    /// The token endpoint.
    pub fn token_url(&self) -> &str {
        &self.token_url
    }

    /// The revocation endpoint (RFC 7009): ends the grant of the token it is told.
    pub fn revocation_url(&self) -> &str {
        &self.revocation_url
    }

    /// The grants, to change their rules and to look at them.
    pub fn grants(&self) -> &Grants {
        &self.desk.grants
    }

    /// Logs `user` in: a new grant, as the answer of a token endpoint.
    pub fn login(&self, user: &str) -> Value {
        self.desk.grants.login(user, (self.desk.clock)()).to_json()
    }

    /// Ends every grant of `user`, access tokens included. Returns how many there were.
    pub fn revoke_grants(&self, user: &str) -> usize {
        self.desk.grants.revoke_grants(user)
    }

    /// Revokes the access tokens of `user` that were issued so far; the grants live on.
    pub fn revoke_access(&self, user: &str) {
        self.desk.grants.revoke_access(user);
    }

    /// Access tokens issued from now on live this long.
    pub fn set_access_life(&self, life: Duration) {
        self.desk.grants.set_access_life(life);
    }

    /// Only this client may call from now on; `None`, the default, lets everyone.
    pub fn set_client(&self, client: impl Into<Option<Client>>) {
        self.desk.mood().client = client.into();
    }

    /// The next `count` calls of the token endpoint meet this fault, after those that were announced before. An outage
    /// uses none up.
    pub fn next_calls(&self, count: usize, fault: &Fault) {
        self.desk.mood().faults.extend(std::iter::repeat_n(fault, count).cloned());
    }

    /// The token endpoint is out of order from the moment this returns.
    pub async fn down(&self, outage: Outage) {
        match outage {
            Outage::Unavailable(retry_after) => {
                self.desk.mood().outage = Some(Fault::Status(StatusCode::SERVICE_UNAVAILABLE, retry_after));
            }
            Outage::Refused => self.server.close().await,
        }
    }

    /// The end of an outage.
    ///
    /// # Errors
    ///
    /// When somebody else has got the port meanwhile.
    pub fn up(&self) -> io::Result<()> {
        self.desk.mood().outage = None;
        self.server.reopen()
    }

    /// Every call of the token endpoint passes here before its grant is looked at. Open by default.
    pub fn at_arrival(&self) -> &Gate {
        &self.desk.at_arrival
    }

    /// Every call whose grant was looked at passes here before it is answered. Open by default.
    pub fn at_answer(&self) -> &Gate {
        &self.desk.at_answer
    }

    /// The device authorization endpoint (RFC 8628).
    pub fn device_authorization_url(&self) -> String {
        self.token_url.replace("/token", DEVICE)
    }

    /// The user enters the code that their device shows, and allows it. False for a code that no device shows.
    pub fn approve(&self, user_code: &str, user: &str) -> bool {
        self.desk.devices.approve(user_code, user)
    }

    /// Every use of a refresh token so far, in order.
    pub fn redemptions(&self) -> Vec<Redemption> {
        self.desk.mood().redemptions.clone()
    }

    /// The call that arrived last at the token endpoint.
    pub fn last_call(&self) -> Option<TokenCall> {
        self.desk.mood().last_call.clone()
    }

    /// What was counted so far.
    pub fn counts(&self) -> IssuerCounts {
        let grants = self.desk.grants.counts();
        let mood = self.desk.mood();
        IssuerCounts {
            token_calls: mood.token_calls,
            accepted: grants.accepted,
            repeated: grants.repeated,
            rejected: grants.rejected,
            turned_away: mood.turned_away,
            reuse: grants.reuse,
            revocation_calls: mood.revocation_calls,
            logins: grants.logins,
            live_grants: grants.live_grants,
        }
    }

    pub(super) fn clock(&self) -> Clock {
        Arc::clone(&self.desk.clock)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("token_url", &self.token_url).finish_non_exhaustive()
    }
}

impl Desk {
    fn mood(&self) -> MutexGuard<'_, Mood> {
        self.mood.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self: Arc<Self>, request: Request<Bytes>) -> Answer {
        match request.uri().path() {
            "/token" | "/revoke" | DEVICE if request.method() != Method::POST => {
                Some(answer::empty(StatusCode::METHOD_NOT_ALLOWED, None))
            }
            "/token" => self.token(request).await,
            "/revoke" => Some(self.revoke(&call(request))),
            DEVICE => Some(answer::json(StatusCode::OK, &self.devices.begin(&host(&request)))),
            _ => Some(answer::empty(StatusCode::NOT_FOUND, None)),
        }
    }

    /// The rest of the call is a task of its own: it goes on when its connection ends.
    async fn token(self: Arc<Self>, request: Request<Bytes>) -> Answer {
        let call = call(request);
        if call.param("grant_type") == Some(devices::GRANT) {
            return Some(self.device(&call));
        }
        let fault = self.arrive(&call);
        let mut ended = self.ended.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                answer = self.decide(fault, &call) => answer,
                _ = ended.changed() => None,
            }
        });
        task.await.ok().flatten()
    }

    fn arrive(&self, call: &TokenCall) -> Option<Fault> {
        let mut mood = self.mood();
        mood.token_calls += 1;
        mood.last_call = Some(call.clone());
        mood.outage.clone().or_else(|| mood.faults.pop_front())
    }

    async fn decide(&self, fault: Option<Fault>, call: &TokenCall) -> Answer {
        self.at_arrival.pass().await;
        match fault {
            None => self.refresh(call, None).await,
            Some(Fault::DropBefore) => {
                self.mood().turned_away += 1;
                None
            }
            Some(Fault::Never) => {
                self.mood().turned_away += 1;
                std::future::pending().await
            }
            Some(Fault::Hold(gate)) => {
                gate.pass().await;
                self.refresh(call, None).await
            }
            Some(Fault::Status(status, retry_after)) => Some(self.turn_away(answer::empty(status, retry_after))),
            Some(Fault::Error(status, code)) => Some(self.turn_away(answer::error(status, code))),
            Some(Fault::Html) => Some(self.turn_away(answer::html())),
            Some(Fault::Body(bytes)) => Some(self.turn_away(answer::plain(StatusCode::OK, "application/json", bytes))),
            Some(late @ (Fault::DropAfter | Fault::HalfAnswer | Fault::Drip(_) | Fault::HoldAnswer(_))) => {
                self.refresh(call, Some(late)).await
            }
        }
    }

    fn turn_away(&self, answer: Response<Body>) -> Response<Body> {
        self.mood().turned_away += 1;
        answer
    }

    /// Spends the refresh token; a fault may still spoil the answer.
    async fn refresh(&self, call: &TokenCall, fault: Option<Fault>) -> Answer {
        if let Some(objection) = self.objection(call) {
            return Some(self.turn_away(objection));
        }
        let spent = call.param("refresh_token").unwrap_or_default();
        let at = (self.clock)();
        let outcome = self.grants.redeem(spent, at);
        let (client, refused) = (call.param("client_id").map(str::to_owned), outcome.as_ref().err().copied());
        self.mood().redemptions.push(Redemption { client, refresh_token: spent.to_owned(), at, refused });
        self.at_answer.pass().await;
        let (status, value) = match outcome.as_ref().map(Issued::to_json) {
            Ok(tokens) => (StatusCode::OK, tokens),
            Err(_refused) => (StatusCode::BAD_REQUEST, serde_json::json!({ "error": "invalid_grant" })),
        };
        match fault {
            Some(Fault::DropAfter) => return None,
            Some(Fault::HalfAnswer) => return Some(answer::half(&value)),
            Some(Fault::Drip(pause)) => return Some(answer::dripping(&value, pause)),
            Some(Fault::HoldAnswer(gate)) => gate.pass().await,
            _ => {}
        }
        Some(answer::json(status, &value))
    }

    /// A device asks whether its user has said yes. No refresh, so neither counted nor faulty.
    fn device(&self, call: &TokenCall) -> Response<Body> {
        match self.devices.redeem(call.param("device_code").unwrap_or_default()) {
            Ok(user) => answer::json(StatusCode::OK, &self.grants.login(&user, (self.clock)()).to_json()),
            Err(code) => answer::error(StatusCode::BAD_REQUEST, code),
        }
    }

    /// What is wrong with the client or its form.
    fn objection(&self, call: &TokenCall) -> Option<Response<Body>> {
        let client = self.mood().client.clone();
        if client.is_some_and(|client| !client.is_authenticated(&call.headers, &call.form)) {
            let answer = answer::error(StatusCode::UNAUTHORIZED, "invalid_client");
            return Some(answer::with_header(answer, WWW_AUTHENTICATE, r#"Basic realm="issuer""#));
        }
        let twice = |(name, _): &(String, String)| call.form.iter().filter(|(other, _)| other == name).count() > 1;
        let code = match (call.param("grant_type"), call.param("refresh_token")) {
            (Some("refresh_token"), Some(_)) if !call.form.iter().any(twice) => return None,
            (Some("refresh_token") | None, _) => "invalid_request",
            (Some(_), _) => "unsupported_grant_type",
        };
        Some(answer::error(StatusCode::BAD_REQUEST, code))
    }

    fn revoke(&self, call: &TokenCall) -> Response<Body> {
        self.mood().revocation_calls += 1;
        self.grants.revoke_token(call.param("token").unwrap_or_default());
        // RFC 7009 section 2.2: an unknown token is as good as revoked.
        answer::empty(StatusCode::OK, None)
    }
}

/// The address that the request was sent to.
fn host(request: &Request<Bytes>) -> String {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    format!("http://{}", host.unwrap_or_default())
}

fn call(request: Request<Bytes>) -> TokenCall {
    let (head, body) = request.into_parts();
    TokenCall { headers: head.headers, form: form_urlencoded::parse(&body).into_owned().collect() }
}
