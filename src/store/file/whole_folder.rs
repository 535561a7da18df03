//! What a store that is made of this one asks about all sessions at once.

use std::path::Path;
use std::sync::Arc;

use crate::id::SessionId;
use crate::store::error::StoreError;
use crate::store::file::envelope::{self, LARGEST};
use crate::store::file::file_store::FileStore;
use crate::store::file::use_lock::{Use, UseLock};
use crate::store::record::Record;

/// How the name of each record's file ends.
const RECORD: &str = ".tokens";

impl FileStore {
    /// The session's record. What is unreadable is left in its place.
    pub(crate) async fn peek(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        let drawer = self.drawer(id);
        self.threads.run(move || drawer.read()).await
    }

    /// Shows each record in the folder: whole, or an error that says why it is not, with the path of its file.
    pub(crate) async fn each<F>(&self, mut see: F) -> Result<(), StoreError>
    where
        F: FnMut(&Path, Result<(SessionId, Record), StoreError>) + Send + 'static,
    {
        let place = Arc::clone(&self.place);
        let look = move || {
            let Some(folder) = place.open()? else { return Ok(()) };
            for name in folder.names()?.iter().filter(|name| name.ends_with(RECORD)) {
                let whole = match folder.read(name, LARGEST) {
                    Ok(Some(bytes)) => envelope::opened(&bytes).map(|found| (found.id, found.record)),
                    // Removed since.
                    Ok(None) => continue,
                    Err(trouble) => Err(trouble.into()),
                };
                see(&folder.path_of(name), whole);
            }
            Ok(())
        };
        self.threads.run(look).await
    }

    /// Whether the folder was ever locked for a use that has this name.
    pub(crate) async fn was_locked_for(&self, name: &'static str) -> Result<bool, StoreError> {
        let place = Arc::clone(&self.place);
        let look = move || match place.open()? {
            Some(folder) => Ok(folder.read(name, 0)?.is_some()),
            None => Ok(false),
        };
        self.threads.run(look).await
    }

    /// Locks the folder for a use that has this name, unless another holder keeps it from that.
    pub(crate) async fn lock_for(&self, name: &'static str, wanted: Use) -> Result<Option<UseLock>, StoreError> {
        let place = Arc::clone(&self.place);
        self.threads.run(move || Ok(UseLock::attempt(&place.open_or_make()?, name, wanted)?)).await
    }
}
