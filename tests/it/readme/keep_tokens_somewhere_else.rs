use reqwest_auth_refresh::{Record, SessionId, StoreError, TokenStore, async_trait};
use std::{collections::HashMap, sync::Mutex};

#[derive(Default)]
struct Shelf(Mutex<HashMap<SessionId, Record>>);

#[async_trait]
impl TokenStore for Shelf {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        let records = self.0.lock().map_err(|_| StoreError::unavailable("the shelf fell down"))?;
        Ok(records.get(id).cloned())
    }

    async fn save(&self, id: &SessionId, record: &Record) -> Result<(), StoreError> {
        let mut records = self.0.lock().map_err(|_| StoreError::unavailable("the shelf fell down"))?;
        records.insert(id.clone(), record.clone());
        Ok(())
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        let mut records = self.0.lock().map_err(|_| StoreError::unavailable("the shelf fell down"))?;
        records.remove(id);
        Ok(())
    }
}
