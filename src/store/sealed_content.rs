//! What a sealed record holds in place of tokens: a text that says nothing, and the id of the key that opens it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A record's content, sealed. The version stays outside, where the store below can compare it.
///
/// Known without the feature `sealed` too, so that a program without it leaves such a record alone.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SealedContent {
    /// Which key opens it.
    pub(crate) key: String,
    /// Nonce, sealed bytes and tag, in base 64.
    pub(crate) text: String,
}

impl fmt::Debug for SealedContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedContent").field("key", &self.key).finish_non_exhaustive()
    }
}
