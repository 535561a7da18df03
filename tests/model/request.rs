//! A request of the small world: the door's control flow as data.

use super::issuer::Pair;
use crate::id::{LoginId, Version};
use crate::session::core::FlightId;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum At {
    /// About to ask for tokens.
    Asks {
        second: Option<Sent>,
    },
    /// (Only in the mistake of looking before boarding.) Has looked and is about to board whatever there is.
    Looked {
        second: Option<Sent>,
    },
    Waits {
        flight: FlightId,
        second: Option<Sent>,
    },
    Sent {
        with: Sent,
        second: bool,
    },
    /// Ended: how, in a letter for the key and for the rows.
    Ended(Ended),
}

/// What a request was signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Sent {
    pub(super) login: u8,
    pub(super) generation: u8,
    pub(super) pair: Pair,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Ended {
    Authorized,
    Unauthorized,
    SameToken,
    Unsigned,
    NeedsLogin,
    LoggedOut,
    TryLater,
    Store,
    TimedOut,
    Misconfigured,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Request {
    pub(super) at: At,
    pub(super) begun: Option<u8>,
    /// Trips left, as an outer retry layer makes them with the same extensions.
    pub(super) trips: u8,
    /// The flag in the extensions, which a wrong door would decide by.
    pub(super) flag: bool,
}

impl Request {
    pub(super) fn new(trips: u8) -> Self {
        Self { at: At::Asks { second: None }, begun: None, trips, flag: false }
    }
}

impl Sent {
    pub(super) fn version(self) -> Version {
        Version::new(LoginId::from_bits(u128::from(self.login)), u64::from(self.generation))
    }
}
