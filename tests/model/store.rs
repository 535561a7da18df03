//! The store of the small world, as another process sees it too.

use std::time::UNIX_EPOCH;

use crate::event::{Ending, NeedsLogin};
use crate::id::{SessionId, Version};
use crate::store::record::{Content, Record};

/// A tombstone as another process writes it.
pub(super) fn tombstone(version: Version, ending: Ending) -> Record {
    Record::new(SessionId::default(), version, Content::Tombstone { ending, since: UNIX_EPOCH })
}

pub(super) fn rejected() -> Ending {
    Ending::NeedsLogin(NeedsLogin::Rejected("dead".into()))
}

/// What kind of record it is, in a number for the key.
pub(super) fn kind(record: &Record) -> u8 {
    match record.ending() {
        None => 0,
        Some(Ending::LoggedOut) => 1,
        Some(Ending::NeedsLogin(_)) => 2,
    }
}
