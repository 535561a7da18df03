//! The store that lasts as long as the program.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::id::{SessionId, Version};
use crate::store::contract::{Lock, LockGuard, LockReach, LockRequest, Swap, TokenStore};
use crate::store::error::StoreError;
use crate::store::local_locks::{LocalGuard, LocalLocks};
use crate::store::record::Record;

/// Keeps tokens for as long as the program runs; the default store.
///
/// Clones share what they keep, so that a test can end one session and begin another over the same store:
///
/// ```
/// use reqwest_auth_refresh::{MemoryStore, RefreshError, RefreshRequest, Session, State, Tokens};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::default();
/// let never = |_: RefreshRequest| async { Err(RefreshError::unavailable("not asked in this example")) };
///
/// let session = Session::builder(never).store(store.clone()).build();
/// session.login(Tokens::new("access")?).await?;
/// drop(session);
///
/// let again = Session::builder(never).store(store).build();
/// again.access_token().await?;
/// assert!(matches!(again.state(), State::LoggedIn { .. }));
/// # Ok(())
/// # }
/// ```
///
/// Sessions of one id and one registration over one such store are one login, and refresh once between them.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    records: Arc<Mutex<HashMap<SessionId, Record>>>,
    locks: LocalLocks<SessionId>,
}

impl MemoryStore {
    fn records(&self) -> MutexGuard<'_, HashMap<SessionId, Record>> {
        // Nothing in here can panic half-way through a change.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's lock that is ours.
struct Held {
    _guard: LocalGuard<SessionId>,
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl LockGuard for Held {
    fn is_held(&self) -> bool {
        true
    }

    fn reach(&self) -> LockReach {
        LockReach::ThisProcess
    }

    async fn release(self: Box<Self>) {
        drop(self);
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
#[deny(clippy::missing_trait_methods)]
impl TokenStore for MemoryStore {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        Ok(self.records().get(id).cloned())
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        let records = &mut self.records();
        let found = records.get(id);
        if found.map(Record::version) != expected {
            return Ok(Swap::Found(found.cloned()));
        }
        records.insert(id.clone(), new.clone());
        Ok(Swap::Done)
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.records().remove(id);
        Ok(())
    }

    async fn lock(&self, id: &SessionId, wanted: LockRequest) -> Result<Lock, StoreError> {
        let held = self.locks.lock(id.clone(), wanted.wait()).await;
        Ok(held.map_or(Lock::Busy, |guard| Lock::Held(Box::new(Held { _guard: guard }))))
    }
}
