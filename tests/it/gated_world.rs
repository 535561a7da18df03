//! A virtual world in which every call that leaves a session passes a gate, and the strict issuer stands at its end.

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime};

use http::{Extensions, StatusCode};
use reqwest::{Request, Response};
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, Lock, LockGuard, LockReach, LockRequest, LoginId, MemoryStore, Origins, Record,
    RefreshError, RefreshRequest, Refresher, Revocation, Session, SessionBuilder, SessionId, State, StoreError, Swap,
    TokenStore, Tokens, Version, async_trait,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next, RequestBuilder};
use secrecy::ExposeSecret;
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{bounded, put};
use crate::virtual_issuer::{Issuer, user_of};
use crate::virtual_world::{API, VirtualClock, bearer, response};

/// What a call meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Ok,
    Err,
    Slow,
    Never,
    Panic,
}

impl Gate {
    pub(crate) const ALL: [Self; 5] = [Self::Ok, Self::Err, Self::Slow, Self::Never, Self::Panic];

    pub(crate) fn lets_pass(self) -> bool {
        matches!(self, Self::Ok | Self::Slow)
    }
}

/// A gate in the way of one kind of call.
#[derive(Debug)]
pub(crate) struct Door {
    gate: Mutex<(Gate, Duration)>,
    held: watch::Sender<bool>,
    knocks: AtomicUsize,
}

/// The gate is shut.
#[derive(Debug, thiserror::Error)]
#[error("the gate is shut")]
pub(crate) struct Shut;

impl Default for Door {
    fn default() -> Self {
        let gate = Mutex::new((Gate::Ok, Duration::from_secs(1)));
        Self { gate, held: watch::Sender::new(false), knocks: AtomicUsize::new(0) }
    }
}

impl Door {
    pub(crate) fn set(&self, gate: Gate) {
        self.gate.lock().unwrap().0 = gate;
    }

    /// From now on it takes so long to pass.
    pub(crate) fn takes(&self, milliseconds: u64) {
        *self.gate.lock().unwrap() = (Gate::Slow, Duration::from_millis(milliseconds));
    }

    /// Whoever comes waits until it is opened.
    pub(crate) fn hold(&self) {
        self.held.send_replace(true);
    }

    pub(crate) fn open(&self) {
        self.held.send_replace(false);
    }

    /// How many have come so far.
    pub(crate) fn knocks(&self) -> usize {
        self.knocks.load(SeqCst)
    }

    async fn pass(&self) -> Result<(), Shut> {
        self.knocks.fetch_add(1, SeqCst);
        let mut held = self.held.subscribe();
        if *held.borrow() {
            drop(bounded(|| "a door to open", held.wait_for(|held| !held)).await);
        }
        let (gate, takes) = *self.gate.lock().unwrap();
        match gate {
            Gate::Ok => {}
            Gate::Err => return Err(Shut),
            Gate::Slow => sleep(takes).await,
            Gate::Never => pending().await,
            // Without a word from the panic hook: there are thousands of these.
            Gate::Panic => resume_unwind(Box::new("the gate panics")),
        }
        Ok(())
    }
}

/// A store in memory whose every call passes a gate, with a lock that really excludes. Clones are one store.
#[derive(Clone, Default)]
pub(crate) struct GatedStore(Arc<Gated>);

#[derive(Default)]
pub(crate) struct Gated {
    pub(crate) kept: MemoryStore,
    pub(crate) load: Door,
    pub(crate) save: Door,
    pub(crate) lock: Door,
    /// What a shut gate says; unavailable unless it is set.
    pub(crate) says: Mutex<Option<StoreError>>,
    /// A gate that does not let a save pass does so only after it was written.
    pub(crate) writes_all_the_same: AtomicBool,
    /// Nobody else can see the store.
    pub(crate) private: AtomicBool,
    /// The leases of the first so many locks have run out.
    pub(crate) run_out: AtomicUsize,
    saved: AtomicUsize,
    locked: AtomicUsize,
    released: AtomicUsize,
    holder: Arc<tokio::sync::Mutex<()>>,
}

impl std::ops::Deref for GatedStore {
    type Target = Gated;

    fn deref(&self) -> &Gated {
        &self.0
    }
}

impl Gated {
    fn shut(&self) -> StoreError {
        self.says.lock().unwrap().clone().unwrap_or_else(|| StoreError::unavailable(Shut))
    }

    /// What is stored, past every gate.
    pub(crate) async fn record(&self) -> Option<Record> {
        self.kept.load(&SessionId::default()).await.unwrap()
    }

    /// Puts something into the store, past every gate.
    pub(crate) async fn put(&self, version: Version, tokens: Tokens) {
        put(&self.kept, &SessionId::default(), &Record::of_tokens("default", version, tokens)).await.unwrap();
    }

    /// Removes what is stored, past every gate.
    pub(crate) async fn forget(&self) {
        self.kept.remove(&SessionId::default()).await.unwrap();
    }

    /// Whether somebody has the lock.
    pub(crate) fn is_locked(&self) -> bool {
        self.holder.try_lock().is_err()
    }

    /// Somebody else takes the lock.
    pub(crate) fn lock_from_outside(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.holder).try_lock_owned().expect("nobody has it")
    }

    pub(crate) fn saved(&self) -> usize {
        self.saved.load(SeqCst)
    }

    /// How often the lock was taken, and given back.
    pub(crate) fn locked_and_released(&self) -> (usize, usize) {
        (self.locked.load(SeqCst), self.released.load(SeqCst))
    }
}

#[async_trait]
impl TokenStore for GatedStore {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        self.load.pass().await.map_err(|Shut| self.shut())?;
        self.kept.load(id).await
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.kept.remove(id).await
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        let early = self.writes_all_the_same.load(SeqCst);
        let written = if early { Some(self.kept.swap(id, expected, new).await?) } else { None };
        self.save.pass().await.map_err(|Shut| self.shut())?;
        let swap = match written {
            Some(swap) => swap,
            None => self.kept.swap(id, expected, new).await?,
        };
        self.saved.fetch_add(usize::from(matches!(swap, Swap::Done)), SeqCst);
        Ok(swap)
    }

    async fn lock(&self, _id: &SessionId, wanted: LockRequest) -> Result<Lock, StoreError> {
        self.lock.pass().await.map_err(|Shut| self.shut())?;
        if self.private.load(SeqCst) {
            return Ok(Lock::NotShared);
        }
        let Ok(holder) = timeout(wanted.wait(), Arc::clone(&self.holder).lock_owned()).await else {
            return Ok(Lock::Busy);
        };
        let lease = self.locked.fetch_add(1, SeqCst);
        Ok(Lock::Held(Box::new(Guard { store: self.clone(), lease, _holder: holder })))
    }
}

struct Guard {
    store: GatedStore,
    lease: usize,
    _holder: OwnedMutexGuard<()>,
}

#[async_trait]
impl LockGuard for Guard {
    fn is_held(&self) -> bool {
        self.lease >= self.store.run_out.load(SeqCst)
    }

    fn reach(&self) -> LockReach {
        LockReach::ThisMachine
    }

    async fn release(self: Box<Self>) {
        self.store.released.fetch_add(1, SeqCst);
    }
}

/// The grant with the strict issuer. Clones are one.
#[derive(Clone, Default)]
pub(crate) struct Grant(Arc<Asked>);

#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) issuer: Issuer,
    /// On the way to the issuer.
    pub(crate) ask: Door,
    /// On the way back, when it has rotated.
    pub(crate) answer: Door,
    pub(crate) revoke: Door,
}

impl std::ops::Deref for Grant {
    type Target = Asked;

    fn deref(&self) -> &Asked {
        &self.0
    }
}

impl Grant {
    fn of(issuer: &Issuer) -> Self {
        Self(Arc::new(Asked { issuer: issuer.clone(), ..Asked::default() }))
    }
}

#[async_trait]
impl Refresher for Grant {
    async fn refresh(&self, request: RefreshRequest) -> Result<Tokens, RefreshError> {
        self.ask.pass().await.map_err(RefreshError::unavailable)?;
        let tokens = self.issuer.rotate(&request)?;
        self.answer.pass().await.map_err(RefreshError::unavailable)?;
        Ok(tokens)
    }

    async fn revoke(&self, request: RefreshRequest) -> Result<Revocation, RefreshError> {
        self.revoke.pass().await.map_err(RefreshError::unavailable)?;
        self.issuer.revoke(&request);
        Ok(Revocation::Revoked)
    }
}

/// The API at the end of the chain. Clones are one.
#[derive(Clone, Default)]
pub(crate) struct Api(Arc<Served>);

#[derive(Default)]
pub(crate) struct Served {
    issuer: Issuer,
    pub(crate) send: Door,
    log: Mutex<Vec<Sent>>,
}

/// One sending.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// What the request said of itself, see [`World::get`].
    pub(crate) tag: String,
    pub(crate) token: Option<String>,
    pub(crate) began: Instant,
    pub(crate) ended: Option<Instant>,
    pub(crate) status: Option<StatusCode>,
}

/// The user's HTTP client gives up after so long, unless the request says otherwise.
pub(crate) const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);

const TAG: &str = "x-tag";

impl Api {
    pub(crate) fn of(issuer: &Issuer) -> Self {
        Self(Arc::new(Served { issuer: issuer.clone(), ..Served::default() }))
    }

    /// Everything that was sent so far.
    pub(crate) fn log(&self) -> Vec<Sent> {
        self.0.log.lock().unwrap().clone()
    }
}

impl std::ops::Deref for Api {
    type Target = Served;

    fn deref(&self) -> &Served {
        &self.0
    }
}

#[async_trait]
impl Middleware for Api {
    async fn handle(&self, request: Request, _: &mut Extensions, _: Next<'_>) -> reqwest_middleware::Result<Response> {
        let tag = request.headers().get(TAG).map(|tag| tag.to_str().unwrap().to_owned()).unwrap_or_default();
        let token = bearer(&request);
        let number = {
            let mut log = self.log.lock().unwrap();
            log.push(Sent { tag, token: token.clone(), began: Instant::now(), ended: None, status: None });
            log.len() - 1
        };
        let bound = request.timeout().copied().unwrap_or(CLIENT_TIMEOUT);
        let passed = timeout(bound, self.send.pass()).await.unwrap_or(Err(Shut));
        let good = self.issuer.accepts(token.as_deref());
        let status = if good { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        let sent = &mut self.log.lock().unwrap()[number];
        sent.ended = Some(Instant::now());
        passed.map_err(reqwest_middleware::Error::middleware)?;
        sent.status = Some(status);
        Ok(response(&request, status))
    }
}

/// What the tokens are worth that the world begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    Good,
    /// The API refuses them, and nothing else tells.
    Refused,
    /// They say themselves that they have expired.
    Expired,
    /// They are good for another 20 seconds of their hour.
    Due,
}

/// One session, its client, and everything around it.
pub(crate) struct World {
    pub(crate) issuer: Issuer,
    pub(crate) grant: Grant,
    pub(crate) store: GatedStore,
    pub(crate) api: Api,
    pub(crate) session: Session,
    pub(crate) client: ClientWithMiddleware,
}

/// The version of the tokens that are stored at first.
pub(crate) const FIRST: Version = Version::new(LoginId::from_bits(1), 0);

impl World {
    /// A world whose store holds tokens of the user `a`, which nobody has read yet.
    pub(crate) async fn of(worth: Worth) -> Self {
        Self::with(worth, |session| session).await
    }

    pub(crate) async fn with(worth: Worth, set: impl FnOnce(SessionBuilder) -> SessionBuilder) -> Self {
        let world = Self::empty(set);
        world.store.put(FIRST, world.tokens("a", worth)).await;
        world
    }

    /// A world in which nobody has ever logged in.
    pub(crate) fn empty(set: impl FnOnce(SessionBuilder) -> SessionBuilder) -> Self {
        let issuer = Issuer::new().with_one_access_token();
        let grant = Grant::of(&issuer);
        let store = GatedStore::default();
        let session = Session::builder(grant.clone()).store(store.clone()).clock(VirtualClock::start());
        let session = set(session).build();
        let api = Api::of(&issuer);
        let client = client(&session, &api);
        Self { issuer, grant, store, api, session, client }
    }

    /// Tokens of a new login of this user.
    pub(crate) fn tokens(&self, user: &'static str, worth: Worth) -> Tokens {
        let tokens = self.issuer.login(user);
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let expiring = |tokens: Tokens, seconds: u64| {
            let expires = start + Duration::from_secs(seconds);
            tokens.with_expires_at(expires).with_issued_at(expires - Duration::from_secs(3600))
        };
        match worth {
            Worth::Good => expiring(tokens, 3600),
            Worth::Refused => {
                self.issuer.end_access_tokens_of(user);
                tokens.with_expires_in(Duration::ZERO)
            }
            Worth::Expired => {
                self.issuer.end_access_tokens_of(user);
                expiring(tokens, 0)
            }
            Worth::Due => expiring(tokens, 20),
        }
    }

    /// The session and the store hold the newest tokens of this user, and nothing is left to save.
    pub(crate) async fn assert_logged_in(&self, user: &str) {
        let record = self.store.record().await.unwrap();
        let tokens = record.tokens().unwrap_or_else(|| panic!("{record:?}"));
        assert_eq!(user_of(tokens.refresh_token().unwrap().expose_secret()), user);
        assert!(self.issuer.is_newest(tokens));
        let State::LoggedIn { version, saved, .. } = self.session.state() else { panic!("{:?}", self.session.state()) };
        assert_eq!((version, saved), (record.version(), true));
    }

    /// A request that says this of itself.
    pub(crate) fn get(&self, tag: &str) -> RequestBuilder {
        get(&self.client, tag)
    }

    /// A run of the program after this one: another session over the same store.
    pub(crate) fn next_run(&self) -> Self {
        let session =
            Session::builder(self.grant.clone()).store(self.store.clone()).clock(VirtualClock::start()).build();
        let client = client(&session, &self.api);
        let (issuer, grant) = (self.issuer.clone(), self.grant.clone());
        Self { issuer, grant, store: self.store.clone(), api: self.api.clone(), session, client }
    }
}

pub(crate) fn get(client: &ClientWithMiddleware, tag: &str) -> RequestBuilder {
    client.get(format!("{API}/me")).header(TAG, tag)
}

/// A client of this session whose requests end at this API.
pub(crate) fn client(session: &Session, api: &Api) -> ClientWithMiddleware {
    client_with(AuthRefresh::new(session, Origins::new(API).unwrap()), api)
}

/// A client with this middleware whose requests end at this API.
pub(crate) fn client_with(middleware: impl Middleware, api: &Api) -> ClientWithMiddleware {
    // What is made once is made of nothing that belongs to a runtime: no request ever reaches it.
    static HTTP: LazyLock<reqwest::Client> = LazyLock::new(reqwest::Client::new);
    ClientBuilder::new(HTTP.clone()).with(middleware).with(api.clone()).build()
}

/// Our error in what the client returned.
pub(crate) fn auth_error<T: std::fmt::Debug>(result: reqwest_middleware::Result<T>) -> AuthError {
    AuthError::find(&result.unwrap_err()).expect("an error of this crate").clone()
}

/// The status of the response, or the error.
pub(crate) async fn status(request: RequestBuilder) -> reqwest_middleware::Result<u16> {
    Ok(request.send().await?.status().as_u16())
}
