//! How long each thing may take.

use std::time::Duration;

/// The bound of each leg of a flight, and of those who wait for one. Together the legs fit into one wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// One call of the refresher.
    pub(crate) attempt: Duration,
    /// Waiting for another process that refreshes.
    pub(crate) lock: Duration,
    /// Reading the store, and giving its lock back.
    pub(crate) load: Duration,
    /// Writing to the store.
    pub(crate) save: Duration,
    /// Waiting for a flight.
    pub(crate) wait: Duration,
}

impl Bounds {
    /// For how long a flight may need the lock: the time from its reading to its save, with a response that was lost and
    /// asked for again, and with a turn to wait for before each call.
    pub(crate) fn hold(&self) -> Duration {
        let calls = self.attempt.saturating_mul(4);
        self.load.saturating_mul(2).saturating_add(calls).saturating_add(self.save)
    }
}

impl Default for Bounds {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { attempt: seconds(10), lock: seconds(30), load: seconds(5), save: seconds(10), wait: seconds(75) }
    }
}
