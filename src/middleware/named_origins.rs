//! Origins that a session's tokens name, believed only within bounds that the program has set.

use std::fmt;
use std::sync::Arc;

use reqwest::Url;

use crate::platform::{Panicked, caught};
use crate::policy::origins::{Origins, same};
use crate::tokens::Tokens;

/// The origin that tokens name.
type Named = dyn Fn(&Tokens) -> Option<String> + Send + Sync;

#[derive(Clone)]
pub(crate) struct NamedOrigins {
    pub(crate) within: Origins,
    origin: Arc<Named>,
}

impl NamedOrigins {
    pub(crate) fn new(within: Origins, origin: impl Fn(&Tokens) -> Option<String> + Send + Sync + 'static) -> Self {
        Self { within, origin: Arc::new(origin) }
    }

    /// Whether tokens may be sent to this place within the bounds, since it is where they say that their API is.
    pub(crate) fn allows(&self, url: &Url, tokens: &Tokens) -> Result<bool, Panicked> {
        let named = caught(|| (self.origin)(tokens))?;
        let named = named.and_then(|named| Url::parse(&named).ok());
        Ok(self.within.allows(url) && named.is_some_and(|named| same(&named, url)))
    }
}

impl fmt::Debug for NamedOrigins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedOrigins").field("within", &self.within).finish_non_exhaustive()
    }
}
