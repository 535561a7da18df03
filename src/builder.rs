//! How a session is made; the only place that knows the defaults.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::event::NeedsLogin;
use crate::id::SessionId;
use crate::policy::freshness::AHEAD;
use crate::refresh::contract::Refresher;
use crate::session::{Bounds, Engine, OnNeedsLogin, Outbox, Rules, Session};
use crate::store::contract::TokenStore;
use crate::store::memory::MemoryStore;

/// Makes a [`Session`]; from [`Session::builder`].
#[must_use = "a builder does nothing by itself; finish it with `build`"]
pub struct SessionBuilder {
    id: SessionId,
    refresher: Arc<dyn Refresher>,
    store: Arc<dyn TokenStore>,
    clock: Arc<dyn Clock>,
    on_needs_login: Option<OnNeedsLogin>,
    bounds: Bounds,
    ahead: Duration,
    without_lock: bool,
}

impl Session {
    /// A session that gets new tokens from this refresher, keeps them in memory, and has every default.
    #[must_use]
    pub fn new(refresher: impl Refresher) -> Self {
        Self::builder(refresher).build()
    }

    /// Makes a session that gets new tokens from this refresher.
    pub fn builder(refresher: impl Refresher) -> SessionBuilder {
        SessionBuilder {
            id: SessionId::default(),
            refresher: Arc::new(refresher),
            store: Arc::new(MemoryStore::default()),
            clock: Arc::new(SystemClock),
            on_needs_login: None,
            bounds: Bounds::default(),
            ahead: AHEAD,
            without_lock: false,
        }
    }
}

impl SessionBuilder {
    /// The session's name, under which it is stored; `"default"` by default.
    pub fn id(mut self, id: impl Into<SessionId>) -> Self {
        self.id = id.into();
        self
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

    /// Called when somebody has to log in again, exactly once for each login and process; nothing by default.
    ///
    /// It runs outside every lock and may use the session. It should return soon, since later events wait for it. If it
    /// panics, the panic is caught and told as [`Event::CallbackFailed`](crate::Event::CallbackFailed).
    pub fn on_needs_login(mut self, callback: impl Fn(&NeedsLogin) + Send + Sync + 'static) -> Self {
        self.on_needs_login = Some(Box::new(callback));
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

    /// How long to wait for another process that is refreshing; 30 seconds by default.
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

    /// The session. Needs no runtime, and starts nothing.
    #[must_use]
    pub fn build(self) -> Session {
        let rules = Rules {
            start: self.refresher.start(),
            ahead: self.ahead,
            without_lock: self.without_lock,
            resubmit: self.refresher.resubmits(),
        };
        let outbox = Outbox::new(self.on_needs_login);
        Session::of(Arc::new(Engine::new(self.id, rules, self.bounds, self.store, self.refresher, self.clock, outbox)))
    }
}

impl fmt::Debug for SessionBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBuilder").field("id", &self.id).field("bounds", &self.bounds).finish_non_exhaustive()
    }
}
