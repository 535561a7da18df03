//! The record that says which key is the newest, kept beside those of the sessions.

use std::time::SystemTime;

use crate::clock::Wall;
use crate::event::Ending;
use crate::id::{LoginId, SessionId, Version};
use crate::platform;
use crate::store::error::StoreError;
use crate::store::record::{Content, Record};
use crate::store::sealed::cipher;
use crate::store::sealed::key::SealingKey;

/// No session has an id that begins so; see [`apart`].
const RESERVED: &str = "\0keyring";

/// Under which id it is stored.
pub(crate) fn reserved() -> SessionId {
    SessionId::new(RESERVED)
}

/// Under which id a session is stored: its own, unless that might be taken for the reserved one.
pub(crate) fn apart(id: &SessionId) -> SessionId {
    if id.as_str().starts_with('\0') { SessionId::new(format!("\0{}", id.as_str())) } else { id.clone() }
}

/// A new record that names this key, and holds something sealed with it.
pub(crate) fn naming(key: &SealingKey) -> Result<Record, StoreError> {
    let version = Version::new(LoginId::from_bits(platform::random()), 0);
    let nobody = Content::Tombstone { ending: Ending::LoggedOut, since: Wall::of(SystemTime::UNIX_EPOCH).time() };
    cipher::seal(&Record::new(reserved(), version, nobody), &reserved(), key)
}

/// The id of the key that a record is sealed with.
pub(crate) fn named_by(record: &Record) -> Option<&str> {
    match record.content() {
        Content::Sealed(sealed) => Some(&sealed.key),
        Content::Tokens(_) | Content::Tombstone { .. } => None,
    }
}

/// Whether this is the very key that the record names, and not only one that is kept under its id.
pub(crate) fn is_named_by(record: &Record, key: &SealingKey) -> bool {
    match record.content() {
        Content::Sealed(sealed) => cipher::open(record, sealed, &reserved(), key).is_ok(),
        Content::Tokens(_) | Content::Tombstone { .. } => false,
    }
}
