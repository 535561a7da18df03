//! What was chosen for a folder, keyring or plain files, kept beside the records of its sessions.
//!
//! | the record | says |
//! |---|---|
//! | a tombstone in the clear | plain files |
//! | sealed, generation 0 | the keyring, from the first day; the newest key is the one that it is sealed with |
//! | sealed, generation 1 | the same, where plain files were chosen before |
//!
//! The seal vouches for the generation, so that only a program that has the key can say that plain records may be found.

use std::time::SystemTime;

use crate::clock::Wall;
use crate::event::Ending;
use crate::id::{LoginId, SessionId, Version};
use crate::platform;
use crate::store::error::StoreError;
use crate::store::record::{Content, Record};
use crate::store::sealed::cipher;
use crate::store::sealed::key::SealingKey;
use crate::store::sealed_content::KeyName;

/// No session has an id that begins so; see [`apart`].
const RESERVED: &str = "\0keyring";

/// What was chosen for a folder.
pub(crate) enum Choice {
    Nothing,
    /// Something, but what it was cannot be read any more.
    Unreadable,
    Files(Record),
    Keyring(Record),
}

impl Choice {
    pub(crate) fn of(found: Result<Option<Record>, StoreError>) -> Result<Self, StoreError> {
        let found = match found {
            Err(error) if error.is_unreadable() => return Ok(Self::Unreadable),
            found => found?,
        };
        let Some(record) = found else { return Ok(Self::Nothing) };
        Ok(match record.content() {
            Content::Sealed(_) => Self::Keyring(record),
            Content::Tombstone { .. } => Self::Files(record),
            Content::Tokens(_) => Self::Unreadable,
        })
    }
}

/// Under which id a choice is stored.
pub(crate) fn reserved() -> SessionId {
    SessionId::new(RESERVED)
}

/// Under which id a session is stored: its own, unless that might be taken for the reserved one.
pub(crate) fn apart(id: &SessionId) -> SessionId {
    if id.as_str().starts_with('\0') { SessionId::new(format!("\0{}", id.as_str())) } else { id.clone() }
}

/// A record that says plain files.
pub(crate) fn files() -> Record {
    saying(0)
}

/// A record that says keyring, and that this key is the newest.
pub(crate) fn keyring(key: &SealingKey, after_files: bool) -> Result<Record, StoreError> {
    cipher::seal(&saying(u64::from(after_files)), &reserved(), key)
}

fn saying(generation: u64) -> Record {
    let version = Version::new(LoginId::from_bits(platform::random()), generation);
    let content = Content::Tombstone { ending: Ending::LoggedOut, since: Wall::of(SystemTime::UNIX_EPOCH).time() };
    Record::new(reserved(), version, content)
}

/// Whether plain files were chosen before, as the key itself says; an error when it has said no such thing.
pub(crate) fn is_after_files(choice: &Record, key: &SealingKey) -> Result<bool, StoreError> {
    let Content::Sealed(sealed) = choice.content() else { return Ok(false) };
    let opened = cipher::open(choice, sealed, &reserved(), key);
    let changed = |_unreadable| {
        StoreError::unavailable("the record that names the newest key was changed; KeyringStore::renew_key mends that")
    };
    Ok(opened.map_err(changed)?.version().generation == 1)
}

/// The key that a record is sealed with.
pub(crate) fn key_of(record: &Record) -> Option<&KeyName> {
    match record.content() {
        Content::Sealed(sealed) => Some(&sealed.key),
        Content::Tokens(_) | Content::Tombstone { .. } => None,
    }
}
