//! The store that lasts as long as the program.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::id::{SessionId, Version};
use crate::store::contract::{Swap, TokenStore};
use crate::store::error::StoreError;
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
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<HashMap<SessionId, Record>>>);

impl MemoryStore {
    fn records(&self) -> MutexGuard<'_, HashMap<SessionId, Record>> {
        // Nothing in here can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl TokenStore for MemoryStore {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        Ok(self.records().get(id).cloned())
    }

    async fn save(&self, id: &SessionId, record: &Record) -> Result<(), StoreError> {
        self.records().insert(id.clone(), record.clone());
        Ok(())
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.records().remove(id);
        Ok(())
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        let mut records = self.records();
        let found = records.get(id);
        if found.map(Record::version) != expected {
            return Ok(Swap::Found(found.cloned()));
        }
        records.insert(id.clone(), new.clone());
        Ok(Swap::Done)
    }
}
