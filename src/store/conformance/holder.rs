//! A lock that a law takes.

use std::time::Duration;

use crate::id::SessionId;
use crate::store::conformance::subject::Subject;
use crate::store::contract::{Lock, LockGuard, LockRequest, TokenStore};
use crate::store::error::StoreError;

/// For how long a law may need a lock, unless it is about that.
pub(crate) const HOLD: Duration = Duration::from_secs(60);

/// The lock, which must be free.
pub(crate) async fn held(
    subject: &Subject,
    store: &dyn TokenStore,
    id: &SessionId,
) -> Result<Box<dyn LockGuard>, StoreError> {
    held_within(subject, store, id, Duration::ZERO).await
}

/// The lock, which must become free soon.
pub(crate) async fn held_soon(
    subject: &Subject,
    store: &dyn TokenStore,
    id: &SessionId,
) -> Result<Box<dyn LockGuard>, StoreError> {
    held_within(subject, store, id, subject.bound()).await
}

async fn held_within(
    subject: &Subject,
    store: &dyn TokenStore,
    id: &SessionId,
    wait: Duration,
) -> Result<Box<dyn LockGuard>, StoreError> {
    match store.lock(id, LockRequest::new(wait, HOLD.max(subject.bound()))).await? {
        Lock::Held(guard) if guard.is_held() => Ok(guard),
        other @ (Lock::NotShared | Lock::Held(_) | Lock::Busy) => {
            Err(StoreError::unavailable(format!("{other:?} instead of a lock that is held")))
        }
    }
}

/// Whether another holder has the lock.
pub(crate) async fn is_busy(store: &dyn TokenStore, id: &SessionId) -> Result<bool, StoreError> {
    Ok(matches!(store.lock(id, LockRequest::new(Duration::ZERO, HOLD)).await?, Lock::Busy))
}
