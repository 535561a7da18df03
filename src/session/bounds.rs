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
    /// Writing to the store, the turn to write included.
    pub(crate) save: Duration,
    /// Waiting for a flight.
    pub(crate) wait: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { attempt: seconds(10), lock: seconds(30), load: seconds(5), save: seconds(10), wait: seconds(75) }
    }
}
