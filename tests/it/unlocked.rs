//! A store whose lock keeps nobody out: as another machine would see it that has no lock in common.

use reqwest_auth_refresh::{Lock, LockRequest, Record, SessionId, StoreError, Swap, TokenStore, Version, async_trait};

/// What the other store keeps, and nothing that says who refreshes.
#[derive(Debug, Clone)]
pub(crate) struct Unlocked<S>(pub(crate) S);

#[async_trait]
impl<S: TokenStore> TokenStore for Unlocked<S> {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        self.0.load(id).await
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        self.0.swap(id, expected, new).await
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.0.remove(id).await
    }

    async fn lock(&self, _: &SessionId, _: LockRequest) -> Result<Lock, StoreError> {
        Ok(Lock::NotShared)
    }
}
