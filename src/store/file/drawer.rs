//! All that is done for one session, without waiting.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::id::SessionId;
use crate::store::contract::Swap;
use crate::store::error::StoreError;
use crate::store::file::folder::Folder;
use crate::store::file::lock_file::Held;
use crate::store::file::place::Place;
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
    /// Reads the record. Needs no lock, since it is replaced whole.
    pub(crate) fn read(&self) -> Result<Option<Record>, StoreError> {
        match self.place.open()? {
            Some(folder) => self.file(&folder, &self.name()).read(),
            None => Ok(None),
        }
    }

    /// Carries out a change under the write lock, unless somebody else holds that, or nobody wants it any longer once it is
    /// ours: the caller may have gone on to something else, which this must not undo.
    pub(crate) fn try_change(&self, change: &Change, is_wanted: &dyn Fn() -> bool) -> Result<Option<Swap>, StoreError> {
        let (folder, name) = (self.place.open_or_make()?, self.name());
        match Held::attempt(&folder, &format!("{name}.write-lock"), &self.proven)? {
            Some(_held) if is_wanted() => {
                let writes = matches!(change, Change::Swap(..));
                if writes && folder.read(&name, 0)?.is_none() {
                    // Made with the first record, so that it is there to be locked when the disk becomes read-only.
                    drop(folder.open_lock(&self.refresh_lock())?);
                }
                self.file(&folder, &name).change(change).map(Some)
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Takes the right to refresh, unless somebody else has it.
    pub(crate) fn try_lock(&self) -> Result<Option<Held>, StoreError> {
        let folder = self.place.open_or_make()?;
        if self.place.is_one_file() {
            self.file(&folder, &self.name()).refuse_another()?;
        }
        Ok(Held::attempt(&folder, &self.refresh_lock(), &self.proven)?)
    }

    fn refresh_lock(&self) -> String {
        format!("{}.refresh-lock", self.name())
    }

    fn name(&self) -> String {
        self.place.name_of(&self.id)
    }

    fn file<'a>(&'a self, folder: &'a Folder, name: &'a str) -> RecordFile<'a> {
        RecordFile { folder, name, id: &self.id, named: self.place.is_one_file() }
    }
}
