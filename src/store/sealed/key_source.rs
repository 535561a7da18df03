//! Where the keys of a store come from.

use async_trait::async_trait;

use crate::store::error::StoreError;
use crate::store::sealed::key::SealingKey;
use crate::store::sealed_content::KeyName;

/// Where keys come from, which may take a while.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub(crate) trait KeySource: Send + Sync + 'static {
    /// The key to seal with.
    async fn newest(&self) -> Result<SealingKey, StoreError>;

    /// The very key that a record names; unavailable when it is not known.
    async fn named(&self, name: &KeyName) -> Result<SealingKey, StoreError>;

    /// Whether records that are not sealed are those of the time before there was a key.
    async fn accepts_unsealed(&self) -> Result<bool, StoreError>;
}
