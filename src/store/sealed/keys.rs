//! Several keys by id: the newest seals, all of them open.

use async_trait::async_trait;

use crate::id::SessionId;
use crate::store::error::StoreError;
use crate::store::sealed::key::SealingKey;
use crate::store::sealed::through::Keys;

/// Keys by id. The newest seals; a record is opened by the key whose id it names.
///
/// To change the key without logging anyone out, make the new one the newest and keep the old one for
/// [opening](Self::opening). Each record is sealed anew at its session's next refresh; the old key can go when the last
/// session has had one. Where several programs share a store, let all of them know the new key before the first one seals
/// with it: to those that do not, its records are unavailable.
///
/// ```
/// use reqwest_auth_refresh::{SealingKey, SealingKeys};
///
/// # fn main() -> Result<(), reqwest_auth_refresh::InvalidKey> {
/// # let (new, old) = ([1; 32], [2; 32]);
/// let keys = SealingKeys::new(SealingKey::new("2026", &new)?).opening(SealingKey::new("2025", &old)?);
/// # drop(keys);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SealingKeys {
    newest: SealingKey,
    older: Vec<SealingKey>,
}

impl SealingKeys {
    /// Seals with this key, and opens what names it.
    #[must_use]
    pub fn new(newest: SealingKey) -> Self {
        Self { newest, older: Vec::new() }
    }

    /// Opens what names this key, too. Of two keys with one id, the first given counts.
    #[must_use]
    pub fn opening(mut self, key: SealingKey) -> Self {
        self.older.push(key);
        self
    }
}

impl From<SealingKey> for SealingKeys {
    fn from(newest: SealingKey) -> Self {
        Self::new(newest)
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl Keys for SealingKeys {
    async fn newest(&self, _: &SessionId) -> Result<SealingKey, StoreError> {
        Ok(self.newest.clone())
    }

    async fn named(&self, id: &str) -> Result<SealingKey, StoreError> {
        let mut keys = std::iter::once(&self.newest).chain(&self.older);
        keys.find(|key| key.id() == id)
            .cloned()
            .ok_or_else(|| StoreError::unavailable("the record names an unknown key"))
    }
}
