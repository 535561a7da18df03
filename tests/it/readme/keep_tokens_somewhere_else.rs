use reqwest_auth_refresh::{Record, SessionId, StoreError, Swap, TokenStore, Version, async_trait};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

#[derive(Default)]
struct Shelf(Mutex<HashMap<SessionId, Record>>);

#[async_trait]
impl TokenStore for Shelf {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned())
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = records.get(id).cloned();
        if found.as_ref().map(Record::version) != expected {
            return Ok(Swap::Found(found));
        }
        records.insert(id.clone(), new.clone());
        Ok(Swap::Done)
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        Ok(())
    }
}
