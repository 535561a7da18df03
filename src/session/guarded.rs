//! What a session's lock guards: its state, and those who wait for what comes of it.

use std::sync::Arc;

use crate::flight::{Arrival, Waiter};
use crate::id::Version;
use crate::session::core::{Core, FlightId, Outcome};
use crate::session::credential::Credential;
use crate::store::contract::LockGuard;
use crate::tokens::Tokens;

pub(crate) struct Guarded {
    pub(crate) core: Core,
    /// Where those wait who need the flight that is up.
    pub(crate) arrival: Option<(FlightId, Arrival<Outcome>)>,
    /// The tokens at hand as they are lent, so that their headers are prepared once.
    pub(crate) prepared: Option<Arc<Credential>>,
    /// The refresh lock, kept while what memory holds is not stored.
    pub(crate) kept: Option<Box<dyn LockGuard>>,
    /// Whether a task is waiting to save again.
    pub(crate) saver: bool,
    /// Logins and logouts of this program so far.
    pub(crate) changes: u32,
}

impl Guarded {
    /// A place to wait for this flight, which is up.
    pub(crate) fn waiter(&mut self, flight: FlightId) -> Waiter<Outcome> {
        match &self.arrival {
            Some((up, arrival)) if *up == flight => arrival.waiter(),
            _ => self.arrival.insert((flight, Arrival::new())).1.waiter(),
        }
    }

    /// The flight to launch for what is not saved, unless one is up.
    pub(crate) fn save_now(&mut self) -> Option<FlightId> {
        let flight = self.core.save_now()?;
        drop(self.waiter(flight));
        Some(flight)
    }

    pub(crate) fn leave(&mut self, flight: FlightId) -> Option<Arrival<Outcome>> {
        self.arrival.take_if(|(up, _)| *up == flight).map(|(_, arrival)| arrival)
    }

    pub(crate) fn credential(&mut self, version: Version, tokens: &Arc<Tokens>) -> Arc<Credential> {
        match &self.prepared {
            // Not by their version: another process may have stored other tokens under the same one.
            Some(prepared) if Arc::ptr_eq(&prepared.tokens, tokens) => Arc::clone(prepared),
            _ => Arc::clone(self.prepared.insert(Arc::new(Credential::new(version, tokens)))),
        }
    }
}
