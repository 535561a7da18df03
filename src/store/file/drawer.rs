//! All that is done for one session, without waiting.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::id::SessionId;
use crate::store::contract::Swap;
use crate::store::error::StoreError;
use crate::store::file::folder::Folder;
use crate::store::file::lock_file::{LockFile, OsLock};
use crate::store::file::place::{Names, Place};
use crate::store::file::record_file::{Change, RecordFile};
use crate::store::record::Record;

/// The files of one session: its record and its two locks.
#[derive(Debug, Clone)]
pub(crate) struct Drawer {
    pub(crate) place: Arc<Place>,
    /// Whether locks were seen to exclude.
    pub(crate) proven: Arc<AtomicBool>,
    pub(crate) id: SessionId,
}

impl Drawer {
    /// Where the record is, which names the session among all that the program keeps in files.
    pub(crate) fn path(&self) -> PathBuf {
        self.place.path_of(&self.id)
    }

    /// Reads the record. Needs no lock, since it is replaced whole.
    pub(crate) fn read(&self) -> Result<Option<Record>, StoreError> {
        match self.place.open()? {
            Some(folder) => self.file(&folder, &self.names()).read(),
            None => Ok(None),
        }
    }

    /// The lock of those who write, for as long as one write takes. There is none where there is nothing to be changed.
    pub(crate) fn write_lock(&self, change: &Change) -> Result<Option<LockFile>, StoreError> {
        let folder = if change.begins() { Some(self.place.open_or_make()?) } else { self.place.open()? };
        folder.map(|folder| self.lock(folder, Names::write_lock)).transpose()
    }

    /// Carries out a change under the write lock.
    pub(crate) fn change(&self, change: &Change, write_lock: &OsLock) -> Result<Swap, StoreError> {
        let folder = write_lock.folder();
        let swapped = self.file(folder, &self.names()).change(change)?;
        if matches!(change, Change::Remove) && folder.holds(&self.names().refresh_lock())? {
            // Released at once, and so removed. Where it is held it goes with its holder.
            drop(self.lock(Arc::clone(folder), Names::refresh_lock)?.try_lock()?);
        }
        Ok(swapped)
    }

    /// The lock of the one who refreshes.
    pub(crate) fn refresh_lock(&self) -> Result<LockFile, StoreError> {
        self.lock(self.place.open_or_make()?, Names::refresh_lock)
    }

    fn lock(&self, folder: Arc<Folder>, name: fn(&Names) -> String) -> Result<LockFile, StoreError> {
        let names = self.names();
        self.file(&folder, &names).refuse_another()?;
        Ok(LockFile { folder, name: name(&names), record: names.record, proven: Arc::clone(&self.proven) })
    }

    fn names(&self) -> Names {
        self.place.names_of(&self.id)
    }

    fn file<'a>(&'a self, folder: &'a Folder, names: &'a Names) -> RecordFile<'a> {
        RecordFile { folder, names, id: &self.id }
    }
}
