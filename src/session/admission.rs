//! The way to the issuer that all sessions of a refresher share: where they wait for their turn, and learn that all rest.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::platform;
use crate::refresh::error::RefreshError;
use crate::session::core::{CommonRest, Entry, Ticket};

/// How often a waiter looks by itself whether its turn has come.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

pub(crate) struct Admission {
    state: Mutex<CommonRest>,
    changed: Notify,
}

/// The right to call the issuer once; dropped, it is free for the next.
pub(crate) struct Pass {
    admission: Arc<Admission>,
    ticket: Option<Ticket>,
}

impl Admission {
    pub(crate) fn new(most: usize, attempt: Duration) -> Self {
        let bound = attempt.saturating_add(Duration::from_secs(1));
        Self { state: Mutex::new(CommonRest::new(most, bound)), changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, CommonRest> {
        // Nothing in there can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who may ask again, and leaves the others asleep: a thousand of them would wake a thousand times.
    fn wake(&self, now: Duration) {
        match self.state().may_ask(now) {
            None => self.changed.notify_waiters(),
            Some(most) => (0..most).for_each(|_| self.changed.notify_one()),
        }
    }
}

/// Waits for a turn to call the issuer, at most so long: then others have kept it busy for too long, or stand still with their
/// runtimes.
///
/// # Errors
///
/// What all sessions rest for.
pub(crate) async fn enter(
    admission: &Arc<Admission>,
    patience: Duration,
    now: impl Fn() -> Duration + Send + Sync,
) -> Result<Pass, RefreshError> {
    let admitted = platform::within(patience, async {
        loop {
            let changed = admission.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // Before looking: what changes after that is heard of.
            changed.as_mut().enable();
            let moment = now();
            let entry = admission.state().enter(moment);
            match entry {
                Entry::Go(ticket) => return Ok(Pass { admission: Arc::clone(admission), ticket: Some(ticket) }),
                Entry::Rests(error) => return Err(error),
                // A turn may have been handed to a waiter whose runtime stands still, and is then free unheard.
                Entry::Wait => drop(platform::within(LOOK_AGAIN, changed).await),
            }
        }
    });
    let busy = || RefreshError::unavailable("other sessions have kept the issuer busy for as long as a call may take");
    admitted.await.unwrap_or_else(|platform::Elapsed| Err(busy()))
}

impl Pass {
    /// Tells what came of the call. A failure for everybody comes back with the pause in which nobody asks again.
    pub(crate) fn landed<T>(
        mut self,
        result: Result<T, RefreshError>,
        now: Duration,
        jitter: u32,
    ) -> Result<T, RefreshError> {
        let Some(ticket) = self.ticket.take() else { return result };
        let pause = self.admission.state().landed(now, jitter, ticket, result.as_ref().err());
        self.admission.wake(now);
        match pause {
            Some(pause) => result.map_err(|error| error.retry_after(pause)),
            None => result,
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.admission.state().left(ticket);
            self.admission.changed.notify_one();
        }
    }
}
