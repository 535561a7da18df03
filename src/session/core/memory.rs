//! What a session remembers: tokens or a tombstone, and whether it is stored.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::AuthError;
use crate::event::{Ending, Event};
use crate::id::{LoginId, Version};
use crate::policy::freshness::Freshness;
use crate::store::unknown::Unknown;
use crate::tokens::Tokens;

#[derive(Debug, Clone)]
pub(super) enum Memory {
    /// The store was never read.
    Unread,
    /// It was, and nobody is logged in.
    Nobody,
    Tokens(Held),
    Ended(Ended),
}

/// Tokens in memory.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) version: Version,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) freshness: Freshness,
    /// Assumed because nothing was stored, and so stored nowhere.
    pub(crate) presumed: bool,
}

/// A tombstone in memory.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) version: Version,
    pub(super) ending: Ending,
    pub(super) since: SystemTime,
}

/// What is remembered about tokens or a tombstone until they are stored.
#[derive(Debug, Clone, Default)]
pub(super) struct Unsaved {
    /// The logins that ours replaced: what the store holds of them was there before.
    pub(super) replaced: Vec<LoginId>,
    /// The store was not read since the change, so whatever is read first was there before.
    pub(super) first_reading: bool,
    /// It was never read before the change either.
    pub(super) unread: bool,
    /// The tokens that a logout ended; whoever logged out revokes them.
    pub(super) ended: Option<Version>,
    /// What the change replaced, until its first save has ended or failed: it is put back if the store turns out to hold
    /// another registration's record. A login's tokens are lent to no request as long.
    pub(super) undo: Option<Box<Undo>>,
    /// The store holds another registration's record: saving is not tried again, and no lock is kept for it.
    pub(super) foreign: bool,
}

/// What was there before a login or a logout, and what is to be told once that stands.
#[derive(Debug, Clone)]
pub(super) struct Undo {
    pub(super) memory: Memory,
    pub(super) unsaved: Option<Box<Unsaved>>,
    pub(super) refused: bool,
    pub(super) unknown: Option<Box<Unknown>>,
    pub(super) untold: Vec<Event>,
    /// An earlier change was told that is put back, too.
    pub(super) was_told: bool,
}

/// A pause, and the error that led to it.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    /// By the monotonic clock.
    pub(super) until: Duration,
    pub(super) error: AuthError,
}

/// Tokens as lent to one request.
#[derive(Debug, Clone)]
pub(crate) struct Lent {
    pub(crate) version: Version,
    pub(crate) tokens: Arc<Tokens>,
}

impl Memory {
    pub(super) fn version(&self) -> Option<Version> {
        match self {
            Self::Tokens(held) => Some(held.version),
            Self::Ended(ended) => Some(ended.version),
            Self::Unread | Self::Nobody => None,
        }
    }
}

impl From<&Held> for Lent {
    fn from(held: &Held) -> Self {
        Self { version: held.version, tokens: Arc::clone(&held.tokens) }
    }
}
