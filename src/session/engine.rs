//! One session at work: its state behind the single-flight lock, and what every request may read without it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex as Cell, PoisonError, RwLock};

use secrecy::SecretString;
use tokio::sync::{Mutex, MutexGuard};

use crate::clock::{Clock, Now, SystemClock, Wall};
use crate::cookies::Cookies;
use crate::event::{Event, State};
use crate::flight::{Arrival, Waiter};
use crate::id::{LoginId, SessionId, Version};
use crate::platform;
use crate::refresh::contract::Refresher;
use crate::session::bounds::Bounds;
use crate::session::core::{Answer, Chance, Core, FlightId, Heard, Leg, Lent, Need, Outcome, Rules, Step};
use crate::session::credential::{Credential, Free};
use crate::session::outbox::{Numbered, Outbox};
use crate::store::contract::{LockGuard, TokenStore};
use crate::tokens::Tokens;

pub(crate) struct Engine {
    pub(crate) id: SessionId,
    pub(crate) bounds: Bounds,
    pub(crate) store: Arc<dyn TokenStore>,
    pub(crate) refresher: Arc<dyn Refresher>,
    /// Where the session lives in cookies: those.
    pub(crate) cookies: Option<Arc<Cookies>>,
    clock: Arc<dyn Clock>,
    /// What a request with good tokens reads, and nothing else.
    published: RwLock<Option<Free>>,
    /// The single-flight lock: to look whether there are newer tokens and to board a flight is one step under it. Nothing is
    /// awaited while it is held, and nobody queues for it: a queue hands the lock to its first waiter even when that one's
    /// runtime stands still, and everybody behind it would stand still with it.
    guarded: Mutex<Guarded>,
    /// Whose turn it is to write to the store.
    pub(crate) turn: Mutex<()>,
    /// The refresh lock, kept while what memory holds is not stored.
    kept: Cell<Option<Box<dyn LockGuard>>>,
    outbox: Outbox,
}

struct Guarded {
    core: Core,
    /// Where those wait who need the flight that is up.
    arrival: Option<(FlightId, Arrival<Outcome>)>,
    /// The tokens at hand as they are lent, so that their headers are prepared once.
    prepared: Option<Arc<Credential>>,
    /// Whether a task is waiting to save again.
    saver: bool,
    /// Logins and logouts of this program so far.
    changes: u64,
}

/// What a request gets that had to ask.
pub(crate) enum Lending {
    Go(Arc<Credential>),
    /// And it had better see to it that the flight it began has landed.
    GoEarly(Arc<Credential>, FlightId, Waiter<Outcome>),
    Wait {
        waiter: Waiter<Outcome>,
        launch: Option<FlightId>,
        begun: Option<LoginId>,
        /// What comes was stored before, and may be worth nothing.
        unread: bool,
    },
    Nobody,
    Fail(crate::error::AuthError),
}

/// A change by the program, and where to learn whether it was saved.
pub(crate) struct Change {
    pub(crate) save: FlightId,
    pub(crate) saved: Waiter<Outcome>,
    pub(crate) version: Option<Version>,
    pub(crate) ended: Option<Arc<Tokens>>,
}

impl Engine {
    pub(crate) fn new(
        id: SessionId,
        rules: Rules,
        bounds: Bounds,
        store: Arc<dyn TokenStore>,
        refresher: Arc<dyn Refresher>,
        clock: Arc<dyn Clock>,
        outbox: Outbox,
    ) -> Self {
        let core = Core::new(id.clone(), rules);
        let cookies = refresher.cookies();
        Self {
            id,
            bounds,
            store,
            refresher,
            cookies,
            clock,
            published: RwLock::new(None),
            guarded: Mutex::new(Guarded { core, arrival: None, prepared: None, saver: false, changes: 0 }),
            turn: Mutex::new(()),
            kept: Cell::new(None),
            outbox,
        }
    }

    pub(crate) fn wall(&self) -> Wall {
        self.ask_clock(|clock| Wall::of(clock.wall()))
    }

    pub(crate) fn now(&self) -> Now {
        self.ask_clock(Now::read)
    }

    /// A clock may be the program's own, and panic where that would be the end of a flight.
    fn ask_clock<T>(&self, ask: impl Fn(&dyn Clock) -> T) -> T {
        catch_unwind(AssertUnwindSafe(|| ask(&*self.clock))).unwrap_or_else(|panic| {
            platform::drop_quietly(panic);
            ask(&SystemClock)
        })
    }

    /// The tokens that anyone may have without asking. This is all that a request with good tokens does here.
    #[inline]
    pub(crate) fn free(&self) -> Option<Arc<Credential>> {
        let now = self.ask_clock(Clock::wall);
        let published = self.published.read().unwrap_or_else(PoisonError::into_inner);
        let free = published.as_ref().filter(|free| free.until.is_none_or(|until| now < until));
        free.map(|free| Arc::clone(&free.credential))
    }

    /// What a request gets; and the flight to launch because nobody was left to save.
    pub(crate) fn need(&self, need: Need, begun: Option<LoginId>) -> (Lending, Option<FlightId>) {
        let now = self.now();
        let mut guarded = self.guard();
        let unread = guarded.core.is_unread();
        let answer = guarded.core.need(now, need, begun);
        let begun = begun.or_else(|| guarded.core.held().map(|held| held.version.login));
        let lending = match answer {
            Answer::Go(lent) => Lending::Go(guarded.credential(lent.version, &lent.tokens)),
            Answer::GoEarly(lent, flight) => {
                let waiter = guarded.waiter(flight);
                Lending::GoEarly(guarded.credential(lent.version, &lent.tokens), flight, waiter)
            }
            Answer::Wait { flight, launch } => {
                let launch = launch.then_some(flight);
                Lending::Wait { waiter: guarded.waiter(flight), launch, begun, unread }
            }
            Answer::Nobody => Lending::Nobody,
            Answer::Fail(error) => Lending::Fail(error),
        };
        // Whoever was to save again went with their runtime.
        let save = if guarded.saver { None } else { guarded.save_now() };
        self.publish(&mut guarded);
        (lending, save)
    }

    /// The leg that follows on what a flight met. Waiters are woken once the flight has left its place; events wait for
    /// [`deliver`](Self::deliver).
    pub(crate) fn hear(&self, flight: FlightId, heard: Heard) -> (Leg, Told) {
        let now = self.now();
        let mut guarded = self.guard();
        let step = guarded.core.hear(now, chance(), flight, heard);
        self.carry_out(guarded, flight, step)
    }

    /// A flight was dropped with its runtime.
    pub(crate) fn died(&self, flight: FlightId) -> (Leg, Told) {
        let mut guarded = self.guard();
        let step = guarded.core.died(chance(), flight);
        self.carry_out(guarded, flight, step)
    }

    fn carry_out(&self, mut guarded: MutexGuard<'_, Guarded>, flight: FlightId, step: Step) -> (Leg, Told) {
        self.outbox.push(step.tell);
        let mut told = Told { for_everyone: step.for_everyone, ..Told::default() };
        if let Some(pause) = step.save_in
            && !guarded.saver
        {
            guarded.saver = true;
            told.save_in = Some(pause);
        }
        self.publish(&mut guarded);
        let arrival = step.wake.and_then(|outcome| Some((guarded.leave(flight)?, outcome)));
        drop(guarded);
        if let Some((arrival, outcome)) = arrival {
            told.waiters = Some(arrival.waiters());
            told.outcome = Some(outcome.clone());
            arrival.announce(outcome);
        }
        (step.leg, told)
    }

    /// Tells an event that is no change of the state. To be called with no lock held.
    pub(crate) fn tell(&self, event: Event) {
        let guarded = self.guard();
        self.outbox.push([event]);
        drop(guarded);
        self.deliver();
    }

    /// Hands out events. To be called with no lock held.
    pub(crate) fn deliver(&self) {
        self.outbox.deliver();
    }

    pub(crate) fn log_in(&self, tokens: Tokens) -> Change {
        let now = self.now();
        let mut guarded = self.guard();
        let changed = guarded.core.log_in(now, chance(), tokens);
        if let Some(cookies) = &self.cookies {
            cookies.log_in();
        }
        self.change(guarded, changed)
    }

    /// How many logins and logouts there were, for a logout that is asked for now and cannot happen at once.
    pub(crate) fn changes(&self) -> u64 {
        self.guard().changes
    }

    /// `None` when there is nothing to log out from: nobody was logged in, or another login or logout came after so many,
    /// which this one does not mean.
    pub(crate) fn log_out(&self, after: u64) -> Option<Change> {
        let now = self.now();
        let mut guarded = self.guard();
        if guarded.changes != after {
            return None;
        }
        let changed = guarded.core.log_out(now, chance());
        match (&self.cookies, &changed) {
            (Some(cookies), Some(_)) => cookies.log_out(),
            (Some(cookies), None) => cookies.empty(),
            (None, _) => {}
        }
        let changed = changed?;
        Some(self.change(guarded, changed))
    }

    fn change(&self, mut guarded: MutexGuard<'_, Guarded>, changed: crate::session::core::Changed) -> Change {
        guarded.changes += 1;
        self.outbox.push(changed.tell);
        let superseded = changed.superseded.and_then(|(flight, outcome)| Some((guarded.leave(flight)?, outcome)));
        let saved = guarded.waiter(changed.save);
        let version = guarded.core.held().map(|held| held.version);
        self.publish(&mut guarded);
        drop(guarded);
        if let Some((arrival, outcome)) = superseded {
            arrival.announce(outcome);
        }
        Change { save: changed.save, saved, version, ended: changed.ended }
    }

    /// Whether this is the current access token, which is doubted from now on.
    pub(crate) fn doubt(&self, token: &SecretString) -> bool {
        let mut guarded = self.guard();
        let doubted = guarded.core.doubt(token);
        self.publish(&mut guarded);
        doubted
    }

    /// Where to wait until the store was read for the first time, and what to launch for it; `None` when it was read, or is
    /// left alone at the moment.
    pub(crate) fn load(&self) -> Option<(Waiter<Outcome>, Option<FlightId>)> {
        let now = self.now();
        let mut guarded = self.guard();
        let (flight, launch) = guarded.core.load(now)?;
        Some((guarded.waiter(flight), launch.then_some(flight)))
    }

    /// Where to wait until everything is stored, and what to launch for it; `None` when it is.
    pub(crate) fn flush(&self) -> Option<(Waiter<Outcome>, Option<FlightId>)> {
        let mut guarded = self.guard();
        let (flight, launch) = guarded.core.flush()?;
        let waiter = guarded.waiter(flight);
        self.publish(&mut guarded);
        Some((waiter, launch.then_some(flight)))
    }

    /// The saver's pause is over, or it was dropped with its runtime: the flight to launch, if there is something to save.
    pub(crate) fn save_again(&self, dropped: bool) -> Option<FlightId> {
        let mut guarded = self.guard();
        guarded.saver = false;
        let flight = if dropped { None } else { guarded.save_now() };
        self.publish(&mut guarded);
        flight
    }

    /// Whether a flight may still write.
    pub(crate) fn may_write(&self, flight: FlightId) -> bool {
        self.guard().core.may_write(flight)
    }

    pub(crate) fn state(&self) -> State {
        self.guard().core.state()
    }

    pub(crate) fn purpose(&self, flight: FlightId) -> &'static str {
        self.guard().core.purpose(flight)
    }

    /// What a flight brought, ready to be written; `None` when its login is no longer the one whose tokens are lent.
    pub(crate) fn credential(&self, lent: &Lent) -> Option<Arc<Credential>> {
        let mut guarded = self.guard();
        let current = guarded.core.held().is_some_and(|held| held.version.login == lent.version.login);
        current.then(|| guarded.credential(lent.version, &lent.tokens))
    }

    /// Whether this is the login whose tokens are lent.
    pub(crate) fn is_current(&self, login: LoginId) -> bool {
        self.guard().core.held().is_some_and(|held| held.version.login == login)
    }

    /// The state now, and everything that is told after it.
    pub(crate) fn subscribe(&self) -> (Event, u64, tokio::sync::broadcast::Receiver<Numbered>) {
        let guarded = self.guard();
        let (last, receiver) = self.outbox.subscribe();
        (Event::Now(guarded.core.state()), last, receiver)
    }

    pub(crate) fn take_kept(&self) -> Option<Box<dyn LockGuard>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn keep(&self, lock: Option<Box<dyn LockGuard>>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = lock;
    }

    fn publish(&self, guarded: &mut Guarded) {
        // While nobody is left to save, the next request has to come by.
        let free = guarded.core.free().filter(|_| guarded.core.is_saved() || guarded.saver);
        let free = free.map(|held| (held.version, Arc::clone(&held.tokens), held.freshness.fresh_until()));
        let free =
            free.map(|(version, tokens, until)| Free { credential: guarded.credential(version, &tokens), until });
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = free;
    }

    fn guard(&self) -> MutexGuard<'_, Guarded> {
        loop {
            if let Ok(guarded) = self.guarded.try_lock() {
                return guarded;
            }
            std::thread::yield_now();
        }
    }
}

/// What a step led to, for whoever carries the flight out.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) save_in: Option<std::time::Duration>,
    pub(crate) waiters: Option<usize>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) for_everyone: bool,
}

impl Guarded {
    /// A place to wait for this flight, which is up.
    fn waiter(&mut self, flight: FlightId) -> Waiter<Outcome> {
        match &self.arrival {
            Some((up, arrival)) if *up == flight => arrival.waiter(),
            _ => self.arrival.insert((flight, Arrival::new())).1.waiter(),
        }
    }

    /// The flight to launch for what is not saved, unless one is up.
    fn save_now(&mut self) -> Option<FlightId> {
        let flight = self.core.save_now()?;
        drop(self.waiter(flight));
        Some(flight)
    }

    fn leave(&mut self, flight: FlightId) -> Option<Arrival<Outcome>> {
        self.arrival.take_if(|(up, _)| *up == flight).map(|(_, arrival)| arrival)
    }

    fn credential(&mut self, version: Version, tokens: &Arc<Tokens>) -> Arc<Credential> {
        match &self.prepared {
            // Not by their version: another process may have stored other tokens under the same one.
            Some(prepared) if Arc::ptr_eq(&prepared.tokens, tokens) => Arc::clone(prepared),
            _ => Arc::clone(self.prepared.insert(Arc::new(Credential::new(version, tokens)))),
        }
    }
}

fn chance() -> Chance {
    let bits = platform::random();
    #[expect(clippy::cast_possible_truncation, reason = "any 32 of the bits will do")]
    let jitter = (platform::random() >> 64) as u32;
    Chance { jitter, login: LoginId::from_bits(bits) }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.id).field("state", &self.state()).finish_non_exhaustive()
    }
}
