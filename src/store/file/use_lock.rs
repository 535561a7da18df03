//! A lock that says what a folder is in use for, which many may hold at once.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::sync::Arc;

use crate::store::file::folder::Folder;
use crate::store::file::trouble::Trouble;

/// So often the lock file may vanish while it is being locked.
const TRIES: u32 = 16;

/// Who else may hold the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// All who share it.
    Shared,
    /// No other holder.
    Alone,
}

/// A lock on the use of a folder. Dropping it, or the death of the process, gives it back.
#[derive(Debug)]
pub(crate) struct UseLock {
    folder: Arc<Folder>,
    name: &'static str,
    file: File,
}

impl UseLock {
    /// Locks the file of this name, unless another holder keeps it from that.
    pub(crate) fn attempt(folder: &Arc<Folder>, name: &'static str, wanted: Use) -> Result<Option<Self>, Trouble> {
        for _try in 0..TRIES {
            let file = folder.open_lock(name)?;
            let locked = match wanted {
                Use::Shared => file.try_lock_shared(),
                Use::Alone => file.try_lock(),
            };
            match locked {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => continue,
                Err(TryLockError::Error(error)) => return Err(Trouble::new("lock", &folder.path_of(name), error)),
            }
            let held = Self { folder: Arc::clone(folder), name, file };
            if held.is_held() {
                return Ok(Some(held));
            }
        }
        Err(Trouble::refused(&folder.path_of(name), "the lock file is unlinked again and again"))
    }

    /// No longer when the lock file was unlinked, or its folder removed.
    pub(crate) fn is_held(&self) -> bool {
        self.folder.is_at_its_path() && self.folder.leads_to(self.name, &self.file)
    }
}

impl Drop for UseLock {
    fn drop(&mut self) {
        // Closing would do, were there not a child that is just being started and has a copy of the descriptor.
        let _closed_anyway = self.file.unlock();
    }
}
