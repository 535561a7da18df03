//! How a session is made; the only place that knows the defaults.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{Clock, SystemClock};
use crate::event::NeedsLogin;
use crate::id::SessionId;
use crate::policy::freshness::AHEAD;
use crate::refresh::contract::Refresher;
use crate::session::{
    Admission, Bounds, Engine, OnNeedsLogin, Registration, Registry, Rules, Session, Sessions, Shared,
};
use crate::store::contract::TokenStore;
use crate::store::memory::MemoryStore;

/// An engine is forgotten when it was not asked for in this time.
const IDLE: Duration = Duration::from_secs(10 * 60);
/// So many sessions are kept in memory that nobody uses.
const MOST_IDLE: usize = 10_000;
/// So many calls of the refresher at once.
const MOST_CALLS: usize = 32;

/// Why sessions that live in cookies cannot be many.
const COOKIES_OF_ALL: &str = "a refresher whose session lives in cookies has one place for them, so that it serves one session: \
                              make a `Session` with its own refresher for each user";

/// Makes a [`Session`], from [`Session::builder`]; or [`Sessions`], from [`Sessions::builder`].
#[must_use = "a builder does nothing by itself; finish it with `build`"]
pub struct SessionBuilder<Of = Session> {
    of: PhantomData<fn() -> Of>,
    id: SessionId,
    refresher: Arc<dyn Refresher>,
    store: Arc<dyn TokenStore>,
    clock: Arc<dyn Clock>,
    on_needs_login: Option<OnNeedsLogin>,
    bounds: Bounds,
    ahead: Duration,
    without_lock: bool,
    registration: Option<Arc<str>>,
    registrations_before: Vec<Option<Arc<str>>>,
    idle: Duration,
    most_idle: usize,
    most_calls: usize,
}

impl Session {
    /// A session that gets new tokens from this refresher, keeps them in memory, and has every default.
    #[must_use]
    pub fn new(refresher: impl Refresher) -> Self {
        Self::builder(refresher).build()
    }

    /// Makes a session that gets new tokens from this refresher.
    pub fn builder(refresher: impl Refresher) -> SessionBuilder {
        SessionBuilder::around(refresher)
    }
}

impl Sessions {
    /// Sessions that get new tokens from this refresher, keep them in memory, and have every default.
    #[must_use]
    pub fn new(refresher: impl Refresher) -> Self {
        Self::builder(refresher).build()
    }

    /// Makes sessions that get new tokens from this refresher.
    pub fn builder(refresher: impl Refresher) -> SessionBuilder<Self> {
        SessionBuilder::around(refresher)
    }
}

impl<Of> SessionBuilder<Of> {
    fn around(refresher: impl Refresher) -> Self {
        Self {
            of: PhantomData,
            id: SessionId::default(),
            refresher: Arc::new(refresher),
            store: Arc::new(MemoryStore::default()),
            clock: Arc::new(SystemClock),
            on_needs_login: None,
            bounds: Bounds::default(),
            ahead: AHEAD,
            without_lock: false,
            registration: None,
            registrations_before: Vec::new(),
            idle: IDLE,
            most_idle: MOST_IDLE,
            most_calls: MOST_CALLS,
        }
    }

    /// Where tokens are kept between runs; by default a [`MemoryStore`], which keeps them for this run only.
    pub fn store(mut self, store: impl TokenStore) -> Self {
        self.store = Arc::new(store);
        self
    }

    /// Where the time comes from; by default the machine's [`SystemClock`].
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How long before its expiry an access token is replaced at leisure; 60 seconds by default, and never more than a
    /// fifth of its life. The moment is drawn nearer by up to half, anew for each set of tokens. A twelfth of this before
    /// its expiry, or a twentieth of its life, a token is no longer sent.
    pub fn refresh_ahead(mut self, ahead: Duration) -> Self {
        self.ahead = ahead;
        self
    }

    /// The bound of one call of the refresher; 10 seconds by default.
    pub fn attempt_timeout(mut self, bound: Duration) -> Self {
        self.bounds.attempt = bound;
        self
    }

    /// How long to wait for another refresh of the session, in another process or by another session object over the same store;
    /// 30 seconds by default.
    pub fn lock_timeout(mut self, bound: Duration) -> Self {
        self.bounds.lock = bound;
        self
    }

    /// The bound of reading the store; 5 seconds by default.
    pub fn load_timeout(mut self, bound: Duration) -> Self {
        self.bounds.load = bound;
        self
    }

    /// The bound of writing to the store; 10 seconds by default.
    pub fn save_timeout(mut self, bound: Duration) -> Self {
        self.bounds.save = bound;
        self
    }

    /// How long a request without a timeout of its own waits for new tokens; 75 seconds by default, which is what all
    /// the steps of a refresh may take together.
    pub fn wait_timeout(mut self, bound: Duration) -> Self {
        self.bounds.wait = bound;
        self
    }

    /// Refreshes even when the store is shared and can be neither locked nor read. By default it does not: another process
    /// may be spending the same refresh token.
    pub fn refresh_without_lock(mut self) -> Self {
        self.without_lock = true;
        self
    }

    /// What the session's records belong to, in place of what the refresher says of itself; a closure says nothing, and then
    /// they belong to none. See [`RefresherInfo::with_registration`](crate::RefresherInfo::with_registration) for what to
    /// name.
    ///
    /// A session never uses, overwrites or ends a record of another registration that its store holds under its id: requests
    /// and logins fail with an error that [`is_misconfigured`](crate::AuthError::is_misconfigured) and names both. The ways
    /// out are an [id](SessionBuilder::id) for each, [`registration_was`](Self::registration_was) for a record that is the
    /// session's own, and [`Session::forget_stored`].
    pub fn registration(mut self, registration: impl Into<Arc<str>>) -> Self {
        self.registration = Some(registration.into());
        self
    }

    /// A registration that the session's records had before; may be called more than once. Such a record is the session's own,
    /// and belongs to its current registration from the next write on. For a client or an issuer that got a new name, or for
    /// records that belonged to none: `None::<&str>`.
    #[allow(single_use_lifetimes, reason = "an elided one cannot stand in `impl Into`")]
    pub fn registration_was<'a>(mut self, earlier: impl Into<Option<&'a str>>) -> Self {
        self.registrations_before.push(earlier.into().map(Arc::from));
        self
    }

    fn share(self, refusal: Option<&'static str>) -> Arc<Shared> {
        let info = self.refresher.info();
        let own = info.registration().map(Arc::from);
        let rules = Rules {
            registration: Registration { current: self.registration.or(own), earlier: self.registrations_before },
            first_login: info.first_login(),
            ahead: self.ahead,
            without_lock: self.without_lock,
            never_resubmit: info.never_resubmit(),
        };
        Arc::new(Shared {
            rules: Arc::new(rules),
            bounds: self.bounds,
            store: self.store,
            refresher: self.refresher,
            info,
            clock: self.clock,
            on_needs_login: self.on_needs_login,
            admission: Arc::new(Admission::new(self.most_calls, self.bounds.attempt)),
            listeners: OnceLock::new(),
            refusal,
            closed: AtomicBool::new(false),
            closing: Notify::new(),
            quiet: Notify::new(),
        })
    }
}

impl SessionBuilder {
    /// The session's name, under which it is stored; `"default"` by default. Give each session that a store keeps a name of its
    /// own: two of one name and one registration are one login.
    pub fn id(mut self, id: impl Into<SessionId>) -> Self {
        self.id = id.into();
        self
    }

    /// Called when somebody has to log in again, exactly once for each login and process; nothing by default.
    ///
    /// It runs outside every lock and may use the session. It should return soon, since later events wait for it. If it
    /// panics, the panic is caught and told as [`Event::CallbackFailed`](crate::Event::CallbackFailed).
    pub fn on_needs_login(mut self, callback: impl Fn(&NeedsLogin) + Send + Sync + 'static) -> Self {
        self.on_needs_login = Some(Box::new(move |_id, why| callback(why)));
        self
    }

    /// The session. Needs no runtime, and starts nothing.
    #[must_use]
    pub fn build(self) -> Session {
        let id = self.id.clone();
        Session::of(Arc::new(Engine::new(id, self.share(None), None)))
    }
}

impl SessionBuilder<Sessions> {
    /// Called when somebody has to log in again, and who: exactly once for each login and process; nothing by default.
    ///
    /// It runs outside every lock and may use the sessions. It should return soon, since later events of the same session wait
    /// for it. If it panics, the panic is caught and told as [`Event::CallbackFailed`](crate::Event::CallbackFailed).
    pub fn on_needs_login(mut self, callback: impl Fn(&SessionId, &NeedsLogin) + Send + Sync + 'static) -> Self {
        self.on_needs_login = Some(Box::new(callback));
        self
    }

    /// How long a session is kept in memory after it was last asked for; 10 minutes by default. It is read from the store
    /// again when it is needed.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// How many sessions are kept in memory; 10,000 by default. Beyond that, those that nobody uses are forgotten, first those
    /// that were used longest ago, roughly. Sessions that are in use, or in trouble, are counted and never forgotten: a
    /// program that holds handles to many should allow for more.
    pub fn most_idle(mut self, most: usize) -> Self {
        self.most_idle = most;
        self
    }

    /// How many calls of the refresher may be under way at once; 32 by default, and at least one. Those beyond it wait for
    /// their turn, as long as one call may take. After an outage all sessions want new tokens together, and this is what
    /// spreads them.
    pub fn most_refreshes_at_once(mut self, most: usize) -> Self {
        self.most_calls = most;
        self
    }

    /// The sessions. Needs no runtime, and starts nothing.
    #[must_use]
    pub fn build(self) -> Sessions {
        let (idle, most) = (self.idle, self.most_idle);
        let refusal = self.refresher.info().cookies().map(|_| COOKIES_OF_ALL);
        Sessions::of(Registry::new(self.share(refusal), idle, most))
    }
}

impl<Of> fmt::Debug for SessionBuilder<Of> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBuilder").field("id", &self.id).field("bounds", &self.bounds).finish_non_exhaustive()
    }
}
