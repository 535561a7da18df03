//! What a session tells: its state, how it ended, and each change.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::error::AuthError;
use crate::id::Version;

/// Why somebody has to log in again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NeedsLogin {
    /// The issuer says that the grant is dead; its error code.
    Rejected(Arc<str>),
    /// What was stored could not be read, and memory held nothing to go on from.
    RecordUnreadable,
}

impl fmt::Display for NeedsLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(code) => write!(f, "the issuer rejected the grant ({code})"),
            Self::RecordUnreadable => f.write_str("the stored record could not be read"),
        }
    }
}

/// How a login ended. A tombstone says it, in place of the tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// Somebody has to log in again.
    NeedsLogin(NeedsLogin),
    /// Somebody logged out.
    LoggedOut,
}

/// Where a session stands; see [`Session::state`](crate::Session::state).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// The store has not been read yet.
    NotLoaded,
    /// Nobody is logged in, and nobody was.
    Nobody,
    /// Somebody is logged in.
    LoggedIn {
        /// Which tokens are current.
        version: Version,
        /// When the access token expires, if that is known.
        expires_at: Option<SystemTime>,
        /// Whether they are stored. If not, saving them is tried again.
        saved: bool,
    },
    /// Somebody has to log in again.
    NeedsLogin {
        /// Why.
        reason: NeedsLogin,
        /// Since when.
        since: SystemTime,
    },
    /// Somebody logged out.
    LoggedOut {
        /// When.
        since: SystemTime,
    },
}

/// Something that happened to a session; see [`Session::events`](crate::Session::events).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The state at the moment of subscribing: always the first item.
    Now(State),
    /// A login, here or in another process; also one that is found in the store when that is first read.
    LoggedIn(Version),
    /// New tokens of the same login, from here or from another process.
    Refreshed(Version),
    /// A refresh yielded no tokens; the session keeps the ones it has.
    RefreshFailed(AuthError),
    /// Somebody has to log in again. Said once for each login and process.
    NeedsLogin(NeedsLogin),
    /// A logout, here or in another process.
    LoggedOut,
    /// The store failed to read or to keep this session. Tokens that could not be saved are kept in memory.
    StoreFailed(AuthError),
    /// A callback of the program panicked.
    CallbackFailed,
    /// This reader was too slow and missed so many events.
    Missed(u64),
}
