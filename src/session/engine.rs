//! One session at work: its state behind the single-flight lock, and what every request may read without it.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use secrecy::SecretString;

use crate::clock::{Now, Wall};
use crate::error::{AuthError, Kind};
use crate::event::{Event, State};
use crate::flight::Waiter;
use crate::id::{LoginId, SessionId};
use crate::platform;
use crate::session::core::{Answer, Chance, Core, FlightId, Heard, Leg, Lent, Need, Outcome, Step};
use crate::session::credential::{Credential, Free};
use crate::session::guarded::Guarded;
use crate::session::lending::{Change, Idle, Lending, Told};
use crate::session::outbox::{Numbered, Outbox};
use crate::session::shared::Shared;
use crate::store::contract::LockGuard;
use crate::tokens::Tokens;

pub(crate) struct Engine {
    pub(crate) id: SessionId,
    pub(crate) shared: Arc<Shared>,
    /// When it was last asked for by name, in milliseconds since 1970.
    pub(crate) used_at: AtomicU64,
    /// Its tasks that are not over yet.
    tasks: AtomicU32,
    /// What a request with good tokens reads, and nothing else.
    published: RwLock<Option<Free>>,
    /// The state: to look whether there are newer tokens and to board a flight is one step under this lock. It is held for
    /// microseconds, and nothing is awaited while it is.
    guarded: Mutex<Guarded>,
    outbox: Outbox,
}

impl Engine {
    /// `told`: the login whose need of a new one was told, if the session was known before.
    pub(crate) fn new(id: SessionId, shared: Arc<Shared>, told: Option<LoginId>) -> Self {
        let mut core = Core::new(id.clone(), Arc::clone(&shared.rules));
        if let Some(told) = told {
            core.was_told(told);
        }
        if shared.is_closed() {
            core.close();
        }
        Self {
            id,
            shared,
            used_at: AtomicU64::new(0),
            tasks: AtomicU32::new(0),
            published: RwLock::new(None),
            guarded: Mutex::new(Guarded { core, arrival: None, prepared: None, kept: None, saver: false, changes: 0 }),
            outbox: Outbox::default(),
        }
    }

    pub(crate) fn wall(&self) -> Wall {
        self.shared.wall()
    }

    pub(crate) fn now(&self) -> Now {
        self.shared.now()
    }

    /// The tokens that anyone may have without asking. This is all that a request with good tokens does here.
    #[inline]
    pub(crate) fn free(&self, now: SystemTime) -> Option<Arc<Credential>> {
        let published = self.published.read().unwrap_or_else(PoisonError::into_inner);
        published
            .as_ref()
            .filter(|free| free.until.is_none_or(|until| now < until))
            .map(|free| Arc::clone(&free.credential))
    }

    /// What a request gets; and the flight to launch because nobody was left to save.
    pub(crate) fn need(&self, need: Need, begun: Option<LoginId>) -> (Lending, Option<FlightId>) {
        if let Some(what) = self.shared.refusal {
            return (Lending::Fail(AuthError::new(Kind::Misconfigured, &self.id, what)), None);
        }
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

    /// A flight was dropped with its runtime, and held this lock. Hands back the lock that is to be released.
    #[must_use]
    pub(crate) fn died(
        &self,
        flight: FlightId,
        lock: Option<Box<dyn LockGuard>>,
    ) -> (Option<Box<dyn LockGuard>>, Told) {
        let mut guarded = self.guard();
        let step = guarded.core.died(chance(), flight);
        // What is not stored yet goes on being guarded, before any waiter is woken who would wait for the lock in vain.
        let left = match (lock, &step.leg) {
            (Some(lock), Leg::Unlock { keep: true }) => guarded.kept.replace(lock),
            (lock, _) => lock,
        };
        let (_, told) = self.carry_out(guarded, flight, step);
        (left, told)
    }

    fn carry_out(&self, mut guarded: MutexGuard<'_, Guarded>, flight: FlightId, step: Step) -> (Leg, Told) {
        self.outbox.push(&self.shared, step.tell);
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
        self.outbox.push(&self.shared, [event]);
        drop(guarded);
        self.deliver();
    }

    /// Hands out events. To be called with no lock held.
    pub(crate) fn deliver(&self) {
        self.outbox.deliver(&self.id, &self.shared);
    }

    pub(crate) fn log_in(&self, tokens: Tokens) -> Change {
        let now = self.now();
        let mut guarded = self.guard();
        let changed = guarded.core.log_in(now, chance(), tokens);
        guarded.changes = guarded.changes.wrapping_add(1);
        if let Some(cookies) = self.shared.info.cookies() {
            cookies.log_in();
        }
        self.change(guarded, changed)
    }

    /// How many logins and logouts there were, for a logout that is asked for now and cannot happen at once.
    pub(crate) fn changes(&self) -> u32 {
        self.guard().changes
    }

    /// `None` when there is nothing to log out from: nobody was logged in, or another login or logout came after so many,
    /// which this one does not mean.
    pub(crate) fn log_out(&self, after: u32) -> Option<Change> {
        let now = self.now();
        let mut guarded = self.guard();
        if guarded.changes != after {
            return None;
        }
        let changed = guarded.core.log_out(now, chance());
        match (self.shared.info.cookies(), &changed) {
            (Some(cookies), Some(_)) => cookies.log_out(),
            (Some(cookies), None) => cookies.empty(),
            (None, _) => {}
        }
        let changed = changed?;
        guarded.changes = guarded.changes.wrapping_add(1);
        Some(self.change(guarded, changed))
    }

    /// Forgets everything, and boards the flight that has the store forget it too.
    pub(crate) fn forget_stored(&self) -> Change {
        let mut guarded = self.guard();
        let changed = guarded.core.forget_stored();
        if let Some(cookies) = self.shared.info.cookies() {
            cookies.log_out();
        }
        self.change(guarded, changed)
    }

    fn change(&self, mut guarded: MutexGuard<'_, Guarded>, changed: crate::session::core::Changed) -> Change {
        self.outbox.push(&self.shared, changed.tell);
        let superseded = changed.superseded.and_then(|(flight, outcome)| Some((guarded.leave(flight)?, outcome)));
        let saved = guarded.waiter(changed.save);
        let version = guarded.core.held().map(|held| held.version);
        let number = guarded.changes;
        self.publish(&mut guarded);
        drop(guarded);
        if let Some((arrival, outcome)) = superseded {
            arrival.announce(outcome);
        }
        Change { save: changed.save, saved, version, ended: changed.ended, number }
    }

    /// Whether this is the current access token, which is doubted from now on.
    pub(crate) fn doubt(&self, token: &SecretString) -> bool {
        let mut guarded = self.guard();
        let doubted = guarded.core.doubt(token);
        self.publish(&mut guarded);
        doubted
    }

    /// Where to wait until it is known who is logged in, also where that was in another program, and what to launch for it;
    /// `None` when it is.
    pub(crate) fn catch_up(&self) -> Option<(Waiter<Outcome>, Option<FlightId>)> {
        let now = self.now();
        let mut guarded = self.guard();
        let (flight, launch) = guarded.core.load(now).or_else(|| guarded.core.look_now(now))?;
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

    /// Whether a flight may still remove what is stored.
    pub(crate) fn may_remove(&self, flight: FlightId) -> bool {
        self.guard().core.may_remove(flight)
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

    pub(crate) fn nobody(&self) -> AuthError {
        AuthError::new(Kind::NeedsLogin, &self.id, "nobody is logged in")
    }

    pub(crate) fn take_kept(&self) -> Option<Box<dyn LockGuard>> {
        self.guard().kept.take()
    }

    /// Keeps this flight's refresh lock while tokens are not stored, if that is still so. Hands back what is to be released:
    /// the lock that was kept before, or this one.
    #[must_use]
    pub(crate) fn keep(&self, flight: FlightId, lock: Box<dyn LockGuard>) -> Option<Box<dyn LockGuard>> {
        let mut guarded = self.guard();
        if guarded.core.may_keep(flight) { guarded.kept.replace(lock) } else { Some(lock) }
    }

    /// Whether nothing would be lost if this were forgotten; then the login whose need of a new one was told.
    pub(crate) fn idle(&self) -> Option<Idle> {
        let now = self.now();
        let guarded = self.guard();
        // One that was shut down alone would begin anew; where all were, the next one is closed as well.
        let reopens = guarded.core.is_closed() && !self.shared.is_closed();
        let idle = guarded.core.is_idle(now) && !reopens && !guarded.saver && guarded.kept.is_none();
        idle.then(|| Idle { told: guarded.core.told() })
    }

    /// Whether a change is not stored yet.
    pub(crate) fn has_unsaved(&self) -> bool {
        self.guard().core.has_unsaved()
    }

    /// Begins nothing new from now on.
    pub(crate) fn close(&self) {
        self.guard().core.close();
        self.shared.closing.notify_waiters();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.guard().core.is_closed()
    }

    /// One more task works for this session, until what this returns is dropped.
    pub(crate) fn working(self: &Arc<Self>) -> Working {
        self.tasks.fetch_add(1, Ordering::AcqRel);
        Working(Arc::clone(self))
    }

    /// Waits until no task works for this session.
    pub(crate) async fn quiet(&self) {
        loop {
            let quiet = self.shared.quiet.notified();
            let mut quiet = std::pin::pin!(quiet);
            quiet.as_mut().enable();
            if self.tasks.load(Ordering::Acquire) == 0 {
                return;
            }
            quiet.await;
        }
    }

    fn publish(&self, guarded: &mut Guarded) {
        // While nobody is left to save, the next request has to come by.
        let watched = !guarded.core.is_to_be_saved() || guarded.saver;
        let free = guarded.core.free().filter(|_| watched && self.shared.refusal.is_none());
        let free = free.map(|held| (held.version, Arc::clone(&held.tokens), held.freshness.due_at));
        let free = free.map(|(version, tokens, until)| Free {
            credential: guarded.credential(version, &tokens),
            until: until.if_ever(),
        });
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = free;
    }

    fn guard(&self) -> MutexGuard<'_, Guarded> {
        // What is done under it does not panic half-way through a change.
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task that works for a session.
pub(crate) struct Working(Arc<Engine>);

impl Drop for Working {
    fn drop(&mut self) {
        if self.0.tasks.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.shared.quiet.notify_waiters();
        }
    }
}

fn chance() -> Chance {
    Chance { jitter: platform::jitter(), login: LoginId::from_bits(platform::random()) }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.id).field("state", &self.state()).finish_non_exhaustive()
    }
}
