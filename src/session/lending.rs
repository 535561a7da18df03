//! What the engine answers to those who ask, change and fly.

use std::sync::Arc;

use crate::error::AuthError;
use crate::flight::Waiter;
use crate::id::{LoginId, Version};
use crate::session::core::{FlightId, Outcome};
use crate::session::credential::Credential;
use crate::tokens::Tokens;

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
    Fail(AuthError),
}

/// A change by the program, and where to learn whether it was saved.
pub(crate) struct Change {
    pub(crate) save: FlightId,
    pub(crate) saved: Waiter<Outcome>,
    pub(crate) version: Option<Version>,
    pub(crate) ended: Option<Arc<Tokens>>,
    /// How many logins and logouts there were by then.
    pub(crate) number: u32,
}

/// What a step led to, for whoever carries the flight out.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) save_in: Option<std::time::Duration>,
    pub(crate) waiters: Option<usize>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) for_everyone: bool,
}

/// Nothing would be lost if the session were forgotten, but for this.
pub(crate) struct Idle {
    /// The login whose need of a new one was told.
    pub(crate) told: Option<LoginId>,
}
