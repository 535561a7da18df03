//! Tokens as lent to one request, ready to be written on it.

use std::sync::Arc;

use http::HeaderValue;

use crate::clock::Wall;
use crate::id::Version;
use crate::policy::placement;
use crate::tokens::Tokens;

/// The prepared header, and which tokens it holds; shared by the requests that carry them.
#[derive(Debug)]
pub(crate) struct Credential {
    pub(crate) version: Version,
    /// `None` for tokens that the program cannot see.
    pub(crate) header: Option<HeaderValue>,
}

/// A credential that any request may have until it is due.
#[derive(Debug, Clone)]
pub(crate) struct Free {
    pub(crate) credential: Arc<Credential>,
    pub(crate) until: Wall,
}

impl Credential {
    pub(crate) fn new(version: Version, tokens: &Tokens) -> Self {
        Self { version, header: placement::bearer(tokens) }
    }
}
