//! Tokens as lent to one request, ready to be written on it.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use http::HeaderValue;

use crate::id::Version;
use crate::policy::placement;
use crate::tokens::Tokens;

/// Header values, and the text before the token in each.
type Others = Mutex<Vec<(Arc<str>, HeaderValue)>>;

/// Tokens, the headers prepared from them, and which ones they are; shared by the requests that carry them.
pub(crate) struct Credential {
    pub(crate) version: Version,
    pub(crate) tokens: Arc<Tokens>,
    /// The value of the standard header; `None` for tokens that the program cannot see.
    pub(crate) bearer: Option<HeaderValue>,
    /// Values for other headers by their prefixes, each prepared when it is first asked for.
    others: OnceLock<Box<Others>>,
}

/// A credential that any request may have until it is due.
#[derive(Debug, Clone)]
pub(crate) struct Free {
    pub(crate) credential: Arc<Credential>,
    /// `None` where no expiry is known. As the clock tells time, so that a look at it need not be converted.
    pub(crate) until: Option<SystemTime>,
}

impl Credential {
    pub(crate) fn new(version: Version, tokens: &Arc<Tokens>) -> Self {
        let bearer = placement::prepared(placement::BEARER, tokens);
        Self { version, tokens: Arc::clone(tokens), bearer, others: OnceLock::new() }
    }

    /// The value of a header whose text before the token is `prefix`.
    pub(crate) fn behind(&self, prefix: &Arc<str>) -> Option<HeaderValue> {
        let mut others = self.others.get_or_init(Box::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = others.iter().find(|(known, _)| known == prefix) {
            return Some(value.clone());
        }
        let value = placement::prepared(prefix, &self.tokens)?;
        others.push((Arc::clone(prefix), value.clone()));
        Some(value)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("version", &self.version)
            .field("tokens", &self.tokens)
            .finish_non_exhaustive()
    }
}
