//! A store behind a pointer is a store.

use std::sync::Arc;

use async_trait::async_trait;

use crate::id::{SessionId, Version};
use crate::store::contract::{Lock, LockRequest, Swap, TokenStore};
use crate::store::error::StoreError;
use crate::store::record::Record;

/// Hands every method on, the provided one too: a pointer that kept it would take a store's lock away.
macro_rules! forward {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        #[cfg_attr(not(target_arch = "wasm32"), async_trait)]
        #[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
        impl<T: TokenStore + ?Sized> TokenStore for $pointer<T> {
            async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
                (**self).load(id).await
            }

            async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
                (**self).remove(id).await
            }

            async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
                (**self).swap(id, expected, new).await
            }

            async fn lock(&self, id: &SessionId, wanted: LockRequest) -> Result<Lock, StoreError> {
                (**self).lock(id, wanted).await
            }
        }
    };
}

forward!(Arc);
forward!(Box);
