//! A flight as the core sees it: which leg it is on, what it was told, what it wakes its waiters with.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Wall;
use crate::error::AuthError;
use crate::event::Event;
use crate::id::{LoginId, Version};
use crate::refresh::contract::RefreshReason;
use crate::refresh::error::RefreshError;
use crate::session::core::memory::{Lent, Memory};
use crate::store::error::StoreError;
use crate::store::record::Record;
use crate::tokens::Tokens;

/// The number of a flight; never used again within its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FlightId(pub(crate) u64);

/// The one running refresh, first load or save of a session.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub(super) id: FlightId,
    pub(super) purpose: Purpose,
    /// The version that the last reading found, which the next swap expects.
    pub(super) expected: Option<Version>,
    /// Whether others can see the store, once the lock has said so.
    pub(super) shared: bool,
    /// Somebody else held the lock for the whole wait.
    pub(super) busy: bool,
    /// When the refresh token was sent first, by the monotonic clock.
    pub(super) sent_at: Option<Duration>,
    pub(super) attempts: u8,
    /// The tokens that it sent to be replaced.
    pub(super) spent: Option<Arc<Tokens>>,
    /// Swaps that found something else.
    pub(super) rounds: u8,
    /// The login whose record it has asked the store to write.
    pub(super) writes: Option<LoginId>,
    /// What the refresh yielded, until it is stored.
    pub(super) candidate: Option<Memory>,
    /// Decided, and only to be told to the waiters.
    pub(super) outcome: Option<Outcome>,
    /// Tokens that a logout found in the store and is about to replace: nobody else will revoke them.
    pub(super) replaced: Option<Arc<Tokens>>,
    /// It removes what is stored, and has not said that it has.
    pub(super) removes: bool,
    /// What is to become of what it brings although it was superseded.
    pub(super) late: Late,
}

/// What is to become of what a superseded flight brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Late {
    /// A logout superseded it: tokens are revoked.
    pub(super) revoke: bool,
    /// The session was forgotten meanwhile: what it writes is removed again.
    pub(super) remove: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// Read the store for the first time.
    Load,
    Refresh(RefreshReason),
    /// Store what memory holds.
    Save,
    /// Nobody is logged in here: see whether somebody has logged in elsewhere.
    Look,
    /// Have the store forget the session.
    Forget,
}

/// What the engine is to do next for a flight, each within its bound.
#[derive(Debug, Clone)]
pub(crate) enum Leg {
    Lock {
        /// Whether to wait while somebody else holds it.
        wait: bool,
    },
    Read,
    Refresh {
        tokens: Option<Arc<Tokens>>,
        reason: RefreshReason,
    },
    Swap {
        expected: Option<Version>,
        record: Box<Record>,
    },
    /// Remove what is stored.
    Remove,
    /// Best effort: the issuer is told that these are no longer wanted.
    Revoke {
        tokens: Arc<Tokens>,
    },
    /// Give the lock back, or keep it for as long as memory is not stored.
    Unlock {
        keep: bool,
    },
    /// Nothing: the flight is over.
    Over,
}

/// What the engine met on a leg.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The flight's task has begun.
    Boarded {
        holds_lock: bool,
    },
    Lock(LockHeard),
    Read(Result<Option<Record>, StoreError>),
    /// The lock was lost before the refresh token was sent.
    LockLost,
    /// `asked_at`: right before the request was sent.
    Refreshed {
        result: Box<Result<Tokens, RefreshError>>,
        asked_at: Wall,
    },
    Swapped(SwapHeard),
    Removed(Result<(), StoreError>),
    Revoked,
    Unlocked,
}

#[derive(Debug)]
pub(crate) enum LockHeard {
    NotShared,
    Held,
    Busy,
    Failed(StoreError),
}

#[derive(Debug)]
pub(crate) enum SwapHeard {
    Done,
    Found(Option<Box<Record>>),
    Failed(StoreError),
    /// The flight had been superseded before its turn to write came.
    Skipped,
}

/// What a step leads to.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) leg: Leg,
    pub(crate) tell: Vec<Event>,
    /// Set when the flight has left its place: for everyone who waits for it.
    pub(crate) wake: Option<Outcome>,
    /// Try to save again after this pause.
    pub(crate) save_in: Option<Duration>,
    /// The failure concerns every session of this refresher.
    pub(crate) for_everyone: bool,
}

/// What waiters are woken with.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// Something changed: ask again.
    Look,
    Lent(Lent),
    Failed(AuthError),
    /// The change stands, but is not stored yet.
    NotSaved(AuthError),
}

impl Step {
    pub(super) fn to(leg: Leg) -> Self {
        Self { leg, tell: Vec::new(), wake: None, save_in: None, for_everyone: false }
    }

    pub(super) fn telling(mut self, mut tell: Vec<Event>) -> Self {
        tell.append(&mut self.tell);
        self.tell = tell;
        self
    }
}

/// Flights that were superseded and are not over yet. In a box, since hardly any session has some.
#[derive(Debug, Clone, Default)]
#[expect(clippy::box_collection, reason = "a third of the room while it is empty, and there may be a million")]
pub(super) struct Ghosts(Option<Box<Vec<Flight>>>);

impl Ghosts {
    pub(super) fn push(&mut self, flight: Flight) {
        self.0.get_or_insert_default().push(flight);
    }

    pub(super) fn remove(&mut self, id: FlightId) {
        if let Some(ghosts) = &mut self.0 {
            ghosts.retain(|ghost| ghost.id != id);
        }
        self.0.take_if(|ghosts| ghosts.is_empty());
    }

    pub(super) fn get_mut(&mut self, id: FlightId) -> Option<&mut Flight> {
        self.0.as_mut()?.iter_mut().find(|ghost| ghost.id == id)
    }

    pub(super) fn forget(&mut self) {
        self.0.iter_mut().flat_map(|ghosts| ghosts.iter_mut()).for_each(|ghost| ghost.late.remove = true);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Flight> {
        self.0.iter().flat_map(|ghosts| ghosts.iter())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Flight {
    pub(super) fn new(id: FlightId, purpose: Purpose) -> Self {
        Self {
            id,
            purpose,
            expected: None,
            shared: false,
            busy: false,
            sent_at: None,
            attempts: 0,
            spent: None,
            rounds: 0,
            writes: None,
            candidate: None,
            outcome: None,
            replaced: None,
            removes: purpose == Purpose::Forget,
            late: Late::default(),
        }
    }
}
