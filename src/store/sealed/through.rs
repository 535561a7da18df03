//! A store's records, read and written through keys that may take a while to come.

use async_trait::async_trait;

use crate::id::{SessionId, Version};
use crate::store::contract::{Swap, TokenStore};
use crate::store::error::StoreError;
use crate::store::record::{Content, Record};
use crate::store::sealed::cipher;
use crate::store::sealed::key::SealingKey;

/// Where keys come from.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub(crate) trait Keys: Send + Sync {
    /// The key to seal this session's records with.
    async fn newest(&self, id: &SessionId) -> Result<SealingKey, StoreError>;

    /// The key that a record names; unavailable when it is not known.
    async fn named(&self, id: &str) -> Result<SealingKey, StoreError>;
}

/// What a store is read and written through.
pub(crate) struct Through<'a, S, K> {
    pub(crate) store: &'a S,
    pub(crate) keys: &'a K,
    pub(crate) accepts_unsealed: bool,
}

impl<S: TokenStore, K: Keys> Through<'_, S, K> {
    pub(crate) async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        match self.store.load(id).await? {
            Some(found) => self.open(id, found).await.map(Some),
            None => Ok(None),
        }
    }

    pub(crate) async fn swap(
        &self,
        id: &SessionId,
        expected: Option<Version>,
        new: &Record,
    ) -> Result<Swap, StoreError> {
        let sealed = cipher::seal(new, id, &self.keys.newest(id).await?)?;
        let Swap::Found(found) = self.store.swap(id, expected, &sealed).await? else { return Ok(Swap::Done) };
        let Some(found) = found else { return Ok(Swap::Found(None)) };
        let unreadable = found.version();
        match self.open(id, found).await {
            Err(error) if error.is_unreadable() && expected.is_none() => {}
            // What cannot be read counts as nothing, so that a login replaces it.
            Err(error) if error.is_unreadable() => return Ok(Swap::Found(None)),
            opened => return opened.map(|record| Swap::Found(Some(record))),
        }
        match self.store.swap(id, Some(unreadable), &sealed).await? {
            Swap::Done => Ok(Swap::Done),
            Swap::Found(None) => Ok(Swap::Found(None)),
            Swap::Found(Some(since)) => Ok(Swap::Found(Some(self.open(id, since).await?))),
        }
    }

    async fn open(&self, id: &SessionId, found: Record) -> Result<Record, StoreError> {
        match found.content() {
            Content::Sealed(sealed) => {
                let key = self.keys.named(&sealed.key).await?;
                cipher::open(&found, sealed, id, &key)
            }
            Content::Tokens(_) | Content::Tombstone { .. } if self.accepts_unsealed => Ok(found),
            Content::Tokens(_) | Content::Tombstone { .. } => Err(StoreError::unreadable("the record is not sealed")),
        }
    }
}
