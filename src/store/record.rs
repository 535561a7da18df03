//! What is kept in a store: tokens or a tombstone, with whose they are, what they belong to and their version.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::event::Ending;
use crate::id::{SessionId, Version};
use crate::store::sealed_content::SealedContent;
use crate::store::unknown::Unknown;
use crate::tokens::Tokens;

/// What is kept for one session: its tokens, or a tombstone that says how the login ended; whose they are, what
/// registration they belong to, and the version of either.
///
/// A store treats it as bytes: [`to_bytes`](Self::to_bytes), [`from_bytes`](Self::from_bytes). They hold secrets.
#[derive(Clone)]
pub struct Record {
    session: SessionId,
    registration: Option<Arc<str>>,
    version: Version,
    content: Content,
    unknown: Unknown,
}

/// Tokens, or how their login ended; or either of them, sealed.
#[derive(Clone)]
pub(crate) enum Content {
    Tokens(Box<Tokens>),
    Tombstone { ending: Ending, since: SystemTime },
    Sealed(SealedContent),
}

impl Record {
    pub(crate) fn new(session: SessionId, version: Version, content: Content) -> Self {
        Self { session, registration: None, version, content, unknown: Unknown::default() }
    }

    /// A record of these tokens of this session under this version, for trying a store out or for moving tokens into one. Their
    /// expiry is kept if it is known [as a moment](Tokens::expires_at); a lifetime alone is not.
    #[must_use]
    pub fn of_tokens(session: impl Into<SessionId>, version: Version, tokens: Tokens) -> Self {
        Self::new(session.into(), version, Content::Tokens(Box::new(tokens)))
    }

    /// The same record, belonging to this [registration](Self::registration); by default to none.
    #[must_use]
    pub fn with_registration(self, registration: impl Into<Arc<str>>) -> Self {
        self.belonging_to(Some(registration.into()))
    }

    pub(crate) fn belonging_to(mut self, registration: Option<Arc<str>>) -> Self {
        self.registration = registration;
        self
    }

    /// With what an earlier record said that this version of the crate does not know.
    pub(crate) fn with_unknown(mut self, unknown: Unknown) -> Self {
        self.unknown = unknown;
        self
    }

    pub(crate) fn unknown(&self) -> &Unknown {
        &self.unknown
    }

    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    /// Whose tokens these are, or were.
    #[must_use]
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// What they belong to: the client as it is registered at one issuer; see
    /// [`RefresherInfo::with_registration`](crate::RefresherInfo::with_registration). A session leaves a record alone that
    /// belongs to another registration than its own.
    #[must_use]
    pub fn registration(&self) -> Option<&str> {
        self.registration.as_deref()
    }

    /// Which tokens these are, or were. This is what [`swap`](crate::TokenStore::swap) compares.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The tokens, unless this is a tombstone.
    #[must_use]
    pub fn tokens(&self) -> Option<&Tokens> {
        match &self.content {
            Content::Tokens(tokens) => Some(tokens),
            Content::Tombstone { .. } | Content::Sealed(_) => None,
        }
    }

    /// How the login ended, if this is a tombstone.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        match &self.content {
            Content::Tokens(_) | Content::Sealed(_) => None,
            Content::Tombstone { ending, .. } => Some(ending),
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Record");
        debug.field("session", &self.session).field("registration", &self.registration).field("version", &self.version);
        match &self.content {
            Content::Tokens(tokens) => debug.field("tokens", tokens),
            Content::Tombstone { ending, since } => debug.field("ending", ending).field("since", since),
            Content::Sealed(sealed) => debug.field("sealed", sealed),
        };
        debug.finish_non_exhaustive()
    }
}
