//! What a store says when it cannot do what was asked.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Why a store could not do what was asked.
///
/// There are three kinds, because a session acts differently on each: what is [unavailable](StoreError::unavailable) may
/// be there in a moment, what is [unreadable](StoreError::unreadable) is lost, and what is [newer](StoreError::newer)
/// belongs to a newer version of the program and must be left alone. That nothing is stored is no error at all.
///
/// Say in the source what was tried and where, and never put tokens into it.
#[derive(Clone)]
pub struct StoreError {
    kind: Kind,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unavailable,
    Unreadable,
    Newer,
}

impl StoreError {
    /// The store cannot be reached, is locked, full or read-only: nothing is known about what it holds.
    #[must_use]
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind: Kind::Unavailable, source: Some(Arc::from(source.into())) }
    }

    /// Something is stored, and it is no record: cut short, or not ours.
    ///
    /// A store that says so should see to it that the next [`load`](crate::TokenStore::load) finds nothing. Whether or not it
    /// can, a [`swap`](crate::TokenStore::swap) that expects nothing replaces it. What is kept of the broken content may hold
    /// a token, and must be gone with the next tombstone.
    #[must_use]
    pub fn unreadable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind: Kind::Unreadable, source: Some(Arc::from(source.into())) }
    }

    /// The record was written by a newer version of this crate, in a form that this one does not know.
    #[must_use]
    pub fn newer() -> Self {
        Self { kind: Kind::Newer, source: None }
    }

    /// Whether nothing is known about what is stored.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.kind == Kind::Unavailable
    }

    /// Whether what was stored is lost.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.kind == Kind::Unreadable
    }

    /// Whether what is stored is in a form of the future.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        self.kind == Kind::Newer
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Unavailable => "the token store is unavailable",
            Kind::Unreadable => "the stored record cannot be read, and what it held is lost",
            Kind::Newer => "the stored record was written by a newer version of this program; it is left alone",
        })
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreError").field("kind", &self.kind).field("source", &self.source).finish()
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
