//! The form of a tombstone in a record.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::clock::Wall;
use crate::event::{Ending, NeedsLogin};
use crate::store::record::Content;

#[derive(Serialize, Deserialize)]
pub(crate) struct TombstoneForm {
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    since: u64,
}

impl TombstoneForm {
    pub(crate) fn of(ending: &Ending, since: SystemTime) -> Self {
        let (why, code) = match ending {
            Ending::LoggedOut => ("logged_out", None),
            Ending::NeedsLogin(NeedsLogin::Rejected(code)) => ("rejected", Some(code.to_string())),
            Ending::NeedsLogin(NeedsLogin::RecordUnreadable) => ("record_unreadable", None),
        };
        Self { why: why.to_owned(), code, since: Wall::of(since).0 }
    }

    pub(crate) fn into_content(self) -> Option<Content> {
        let ending = match self.why.as_str() {
            "logged_out" => Ending::LoggedOut,
            "record_unreadable" => Ending::NeedsLogin(NeedsLogin::RecordUnreadable),
            "rejected" => Ending::NeedsLogin(NeedsLogin::Rejected(self.code.unwrap_or_default().into())),
            _ => return None,
        };
        Some(Content::Tombstone { ending, since: Wall(self.since).time() })
    }
}
