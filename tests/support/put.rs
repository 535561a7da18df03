//! Writing to a store as a test does: whatever is there, and by reading before.

use reqwest_auth_refresh::{LockRequest, Record, SessionId, StoreError, Swap, TokenStore, Version};

/// Puts this record in the place of whatever is stored.
pub async fn put<S: TokenStore + ?Sized>(store: &S, id: &SessionId, record: &Record) -> Result<(), StoreError> {
    let mut expected = None;
    while let Swap::Found(found) = store.swap(id, expected, record).await? {
        expected = found.as_ref().map(Record::version);
    }
    Ok(())
}

/// What a swap finds that expects something else; `None` where it may write. Reading and writing are two steps, which is
/// enough for a store that one session at a time writes to.
pub async fn found_instead<S: TokenStore + ?Sized>(
    store: &S,
    id: &SessionId,
    expected: Option<Version>,
) -> Result<Option<Swap>, StoreError> {
    let found = match store.load(id).await {
        Err(error) if error.is_unreadable() => None,
        found => found?,
    };
    let other = found.as_ref().map(Record::version) != expected;
    Ok(other.then_some(Swap::Found(found)))
}

/// A request for a lock that is waited for this long, and held for no longer than any test runs.
pub fn lock_within(wait: std::time::Duration) -> LockRequest {
    LockRequest::new(wait, std::time::Duration::from_secs(60))
}
