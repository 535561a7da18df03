//! A flight under way: a task of its own that carries out each leg within its bound and reports what it met.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tracing::{Instrument, Span, field, info_span};

use crate::platform::{self, MaybeSend, caught, drop_quietly};
use crate::refresh::contract::{RefreshReason, RefreshRequest, Revocation};
use crate::refresh::error::RefreshError;
use crate::session::core::{FlightId, Heard, Leg, LockHeard, Outcome, SwapHeard};
use crate::session::engine::{Engine, Working};
use crate::session::lending::Told;
use crate::session::{admission, reentrance};
use crate::store::contract::{Lock, LockGuard, LockRequest, Swap};
use crate::store::error::StoreError;
use crate::store::record::{Content, Record};
use crate::tokens::Tokens;

/// Starts a flight that has been boarded. Without a runtime it ends at once, and everyone who waits for it is told.
pub(crate) fn launch(engine: &Arc<Engine>, id: FlightId) {
    let flight = Airborne { engine: Arc::clone(engine), id, lock: None, span: None, _working: engine.working() };
    // A task that cannot be spawned is dropped, and the flight with it.
    let _spawned = platform::spawn(flight.fly());
}

/// Starts the task that saves again after a pause.
fn save_later(engine: &Arc<Engine>, pause: Duration) {
    let saver = Saver(Some(Arc::clone(engine)), engine.working());
    let _spawned = platform::spawn(async move {
        saver.pause(pause).await;
        saver.save();
    });
}

/// A flight and what it holds. Dropped before it is over, it takes its leave from the session all the same.
struct Airborne {
    engine: Arc<Engine>,
    id: FlightId,
    lock: Option<Box<dyn LockGuard>>,
    span: Option<Span>,
    /// Dropped last: then the flight is over.
    _working: Working,
}

/// Why a leg yielded nothing.
enum Trouble {
    Elapsed,
    Panicked,
}

impl Airborne {
    async fn fly(mut self) {
        let purpose = self.engine.purpose(self.id);
        let span = info_span!(
            "flight",
            session = %self.engine.id.fingerprint(),
            purpose,
            lock = field::Empty,
            outcome = field::Empty,
            waiters = field::Empty,
            rests_everyone = field::Empty,
            milliseconds = field::Empty,
        );
        self.span = Some(span.clone());
        let engine = Arc::clone(&self.engine);
        let began = engine.now().monotonic;
        reentrance::marked(&engine, self.legs()).instrument(span.clone()).await;
        let took = engine.now().monotonic.saturating_sub(began);
        span.record("milliseconds", u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        // Events are told when this is dropped, outside the mark and the locks: callbacks may ask for whatever they like.
        drop(self);
    }

    async fn legs(&mut self) {
        self.lock = self.engine.take_kept();
        if !self.holds_lock() {
            // A lease that has run out is asked for anew.
            let_go(self.lock.take());
        }
        let mut heard = Heard::Boarded { holds_lock: self.lock.is_some() };
        loop {
            let (leg, told) = self.engine.hear(self.id, heard);
            self.told(&told);
            heard = match leg {
                Leg::Lock { wait } => Heard::Lock(self.take_lock(wait).await),
                Leg::Read => Heard::Read(self.read().await),
                Leg::Refresh { tokens, reason } => self.refresh(tokens, reason).await,
                Leg::Swap { expected, record } => Heard::Swapped(self.swap(expected, &record).await),
                Leg::Remove => Heard::Removed(self.remove().await),
                Leg::Revoke { tokens } => {
                    drop(revoke(&self.engine, tokens).await);
                    Heard::Revoked
                }
                Leg::Unlock { keep } => {
                    self.unlock(keep).await;
                    Heard::Unlocked
                }
                Leg::Over => return,
            };
        }
    }

    async fn take_lock(&mut self, wait: bool) -> LockHeard {
        let engine = Arc::clone(&self.engine);
        let wait = if wait { engine.shared.bounds.lock } else { Duration::ZERO };
        let wanted = LockRequest::new(wait, engine.shared.bounds.hold());
        // The store keeps to the wait by itself; the rest is for one that does not.
        let bound = wait.saturating_add(engine.shared.bounds.load);
        match bounded(bound, async { engine.shared.store.lock(&engine.id, wanted).await }).await {
            Ok(Ok(Lock::NotShared)) => LockHeard::NotShared,
            Ok(Ok(Lock::Held(guard))) => {
                if let (Some(span), Ok(reach)) = (&self.span, caught(|| guard.reach())) {
                    span.record("lock", field::debug(reach));
                }
                self.lock = Some(guard);
                LockHeard::Held
            }
            Ok(Ok(Lock::Busy)) => LockHeard::Busy,
            Ok(Err(error)) => LockHeard::Failed(error),
            Err(trouble) => LockHeard::Failed(trouble.of_store("taking its lock")),
        }
    }

    async fn read(&self) -> Result<Option<Record>, StoreError> {
        let engine = &self.engine;
        let found = bounded(engine.shared.bounds.load, async { engine.shared.store.load(&engine.id).await })
            .await
            .unwrap_or_else(|trouble| Err(trouble.of_store("reading it")));
        found?.map(|record| self.own(record)).transpose()
    }

    async fn refresh(&self, tokens: Option<Arc<Tokens>>, reason: RefreshReason) -> Heard {
        let engine = &self.engine;
        let asked_at = engine.wall();
        let monotonic = || engine.now().monotonic;
        let pass = match admission::enter(&engine.shared.admission, engine.shared.bounds.attempt, monotonic).await {
            Ok(pass) => pass,
            Err(error) => return Heard::Refreshed { result: Box::new(Err(error)), asked_at },
        };
        // The pass may have taken a while: a logout or a login since then has the last word, and a lease may have run out.
        if !self.holds_lock() || !engine.may_write(self.id) {
            return Heard::LockLost;
        }
        let request = RefreshRequest::new(engine.id.clone(), tokens, reason, engine.shared.bounds.attempt);
        let asked_at = engine.wall();
        let result = bounded(engine.shared.bounds.attempt, async { engine.shared.refresher.refresh(request).await })
            .await
            .unwrap_or_else(|trouble| Err(trouble.of_refresher()));
        let result = pass.landed(result, engine.now().monotonic, platform::jitter());
        Heard::Refreshed { result: Box::new(result), asked_at }
    }

    async fn swap(&self, expected: Option<crate::id::Version>, record: &Record) -> SwapHeard {
        let engine = &self.engine;
        let write = async {
            if !engine.may_write(self.id) {
                return Ok(None);
            }
            engine.shared.store.swap(&engine.id, expected, record).await.map(Some)
        };
        match bounded(engine.shared.bounds.save, write).await {
            Ok(Ok(Some(Swap::Done))) => SwapHeard::Done,
            Ok(Ok(Some(Swap::Found(found)))) => match found.map(|record| self.own(record)).transpose() {
                Ok(found) => SwapHeard::Found(found.map(Box::new)),
                Err(sealed) => SwapHeard::Failed(sealed),
            },
            Ok(Ok(None)) => SwapHeard::Skipped,
            Ok(Err(error)) => SwapHeard::Failed(error),
            Err(trouble) => SwapHeard::Failed(trouble.of_store("writing to it")),
        }
    }

    async fn remove(&self) -> Result<(), StoreError> {
        let engine = &self.engine;
        let remove = async {
            if !engine.may_remove(self.id) {
                return Ok(());
            }
            engine.shared.store.remove(&engine.id).await
        };
        bounded(engine.shared.bounds.save, remove)
            .await
            .unwrap_or_else(|trouble| Err(trouble.of_store("removing from it")))
    }

    /// The record, unless it is sealed, so that the key is elsewhere, or another session's, so that the store mixed them up.
    fn own(&self, record: Record) -> Result<Record, StoreError> {
        if *record.session() != self.engine.id {
            return Err(StoreError::unavailable("the store holds the record of another session under this id"));
        }
        match record.content() {
            Content::Tokens(_) | Content::Tombstone { .. } => Ok(record),
            Content::Sealed(_) => Err(StoreError::unavailable("the record is sealed, and this store has no keys")),
        }
    }

    /// Whether the lock is still ours, if there is one. A guard that panics does not say so.
    fn holds_lock(&self) -> bool {
        self.lock.as_ref().is_none_or(|lock| caught(|| lock.is_held()).unwrap_or(false))
    }

    async fn unlock(&mut self, keep: bool) {
        let keep = keep && self.holds_lock();
        let Some(lock) = self.lock.take() else { return };
        // Whether to keep it was decided before, and is looked at again: another change may have been stored since.
        let left = if keep { self.engine.keep(self.id, lock) } else { Some(lock) };
        if let Some(lock) = left {
            // A guard that does not come back within the bound is dropped, which releases it too.
            let _released = bounded(self.engine.shared.bounds.load, async { lock.release().await }).await;
        }
    }

    fn told(&self, told: &Told) {
        if let Some(pause) = told.save_in {
            save_later(&self.engine, pause);
        }
        let Some(span) = &self.span else { return };
        if told.for_everyone {
            span.record("rests_everyone", true);
        }
        if let Some(outcome) = &told.outcome {
            span.record("waiters", told.waiters.unwrap_or_default());
            match outcome {
                Outcome::Lent(lent) => span.record("outcome", field::debug(lent.version)),
                Outcome::Look => span.record("outcome", "done"),
                Outcome::Failed(error) | Outcome::NotSaved(error) => span.record("outcome", field::display(error)),
            };
        }
    }
}

impl Drop for Airborne {
    fn drop(&mut self) {
        if !self.holds_lock() {
            let_go(self.lock.take());
        }
        let (left, told) = self.engine.died(self.id, self.lock.take());
        let_go(left);
        self.told(&told);
        self.engine.deliver();
    }
}

/// A task that waits to save again. Dropped with its runtime, it leaves the place free for another.
struct Saver(Option<Arc<Engine>>, #[expect(dead_code, reason = "it counts while it lives")] Working);

impl Saver {
    /// Over at once when the session is shut down.
    async fn pause(&self, pause: Duration) {
        let Some(engine) = &self.0 else { return };
        let closed = async {
            loop {
                let closing = engine.shared.closing.notified();
                let mut closing = std::pin::pin!(closing);
                closing.as_mut().enable();
                if engine.is_closed() {
                    return;
                }
                closing.await;
            }
        };
        let _elapsed = platform::within(pause, closed).await;
    }

    fn save(mut self) {
        // Whoever shuts a session down saves what is left, and does not want to be followed.
        if self.0.as_ref().is_some_and(|engine| engine.is_closed()) {
            return;
        }
        if let Some(engine) = self.0.take()
            && let Some(flight) = engine.save_again(false)
        {
            launch(&engine, flight);
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        if let Some(engine) = &self.0 {
            let _none = engine.save_again(true);
        }
    }
}

impl Trouble {
    fn of_store(self, doing: &str) -> StoreError {
        StoreError::unavailable(match self {
            Self::Elapsed => format!("{doing} took longer than its bound"),
            Self::Panicked => format!("the store panicked on {doing}"),
        })
    }

    fn of_refresher(self) -> RefreshError {
        match self {
            // Whether it was processed is anyone's guess.
            Self::Elapsed => RefreshError::unavailable("the refresher took longer than its bound").maybe_processed(),
            Self::Panicked => RefreshError::unavailable("the refresher panicked"),
        }
    }
}

/// Drops a guard, which may panic as much as anything of other people's.
fn let_go(lock: Option<Box<dyn LockGuard>>) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(lock))) {
        drop_quietly(panic);
    }
}

/// Tells the issuer that these tokens are no longer wanted, within the bound of an attempt.
pub(crate) async fn revoke(engine: &Engine, tokens: Arc<Tokens>) -> Result<Revocation, RefreshError> {
    let bound = engine.shared.bounds.attempt;
    let request = RefreshRequest::new(engine.id.clone(), Some(tokens), RefreshReason::LoggedOut, bound);
    bounded(bound, async { engine.shared.refresher.revoke(request).await })
        .await
        .unwrap_or_else(|trouble| Err(trouble.of_refresher()))
}

/// Other people's code, with a bound on its time, and its panic caught. The panic may come from making the future as well
/// as from driving it, so the future is made within.
async fn bounded<T>(bound: Duration, future: impl Future<Output = T> + MaybeSend) -> Result<T, Trouble> {
    match platform::within(bound, AssertUnwindSafe(future).catch_unwind()).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(panic)) => {
            drop_quietly(panic);
            Err(Trouble::Panicked)
        }
        Err(platform::Elapsed) => Err(Trouble::Elapsed),
    }
}
