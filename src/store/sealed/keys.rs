//! Several keys by id: the newest seals, all of them open.

use async_trait::async_trait;

use crate::store::error::StoreError;
use crate::store::sealed::key::{InvalidKey, SealingKey};
use crate::store::sealed::key_source::KeySource;
use crate::store::sealed_content::KeyName;

/// Keys by id. The newest seals; a record is opened by the key that it names by its id and a fingerprint of its bytes.
///
/// To change the key without logging anyone out, make the new one the newest and keep the old one for
/// [opening](Self::opening). Each record is sealed anew at its session's next refresh; the old key can go when the last
/// session has had one. Where several programs share a store, let all of them know the new key before the first one seals
/// with it: to those that do not, its records are unavailable.
///
/// A new key needs a new id. A program that was given other bytes under a known id leaves the records alone that the right
/// bytes have sealed, as it does with those of any unknown key, and can use them when it has got the right ones.
///
/// ```
/// use reqwest_auth_refresh::{SealingKey, SealingKeys};
///
/// # fn main() -> Result<(), reqwest_auth_refresh::InvalidKey> {
/// # let (new, old) = ([1; 32], [2; 32]);
/// let keys = SealingKeys::new(SealingKey::new("2026", &new)?).opening(SealingKey::new("2025", &old)?)?;
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

    /// Opens what names this key, too.
    ///
    /// # Errors
    ///
    /// When a key with this id and other bytes is among them already. The same key twice is harmless, and so are the same
    /// bytes under two ids.
    pub fn opening(mut self, key: SealingKey) -> Result<Self, InvalidKey> {
        if self.all().any(|known| known.id() == key.id() && known.name() != key.name()) {
            return Err(InvalidKey::of_same_id(key.id()));
        }
        self.older.push(key);
        Ok(self)
    }

    fn all(&self) -> impl Iterator<Item = &SealingKey> {
        std::iter::once(&self.newest).chain(&self.older)
    }
}

impl From<SealingKey> for SealingKeys {
    fn from(newest: SealingKey) -> Self {
        Self::new(newest)
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl KeySource for SealingKeys {
    async fn newest(&self) -> Result<SealingKey, StoreError> {
        Ok(self.newest.clone())
    }

    async fn named(&self, name: &KeyName) -> Result<SealingKey, StoreError> {
        self.all().find(|key| key.name() == name).cloned().ok_or_else(|| {
            let why =
                if self.all().any(|key| key.id() == name.id) { "has other bytes here" } else { "is not given here" };
            StoreError::unavailable(format!("the record is sealed with the key {:?}, which {why}", name.id))
        })
    }

    async fn accepts_unsealed(&self) -> Result<bool, StoreError> {
        Ok(false)
    }
}
