//! What a sealed record holds in place of tokens: a text that says nothing, and the name of the key that opens it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A record's content, sealed. What a store compares stays outside.
///
/// Known without the feature `sealed` too, so that a program without it leaves such a record alone.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SealedContent {
    /// Which key opens it.
    pub(crate) key: KeyName,
    /// Nonce, sealed bytes and tag, in base 64.
    pub(crate) text: String,
}

/// Which key, to the bit: the same id with other bytes is another key, which neither opens this record nor says that it is
/// broken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct KeyName {
    /// What people call it.
    pub(crate) id: String,
    /// A hash of its bytes, in hexadecimal.
    pub(crate) fingerprint: String,
}

impl fmt::Debug for SealedContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedContent").field("key", &self.key.id).finish_non_exhaustive()
    }
}
