//! A lock that is a file, which is never written to and never deleted.

use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use crate::store::contract::{LockGuard, LockReach};
use crate::store::file::folder::Folder;
use crate::store::file::trouble::Trouble;

/// So often a lock file may vanish while it is being locked.
const TRIES: u32 = 16;

/// A lock that is ours. Dropping it, or the death of the process, gives it back.
#[derive(Debug)]
pub(crate) struct Held {
    folder: Arc<Folder>,
    name: String,
    file: File,
}

impl Held {
    /// Locks the file of this name, unless somebody else has locked it: another process, or another descriptor of this one.
    ///
    /// `proven` is set once it was seen that locks exclude here, which some file systems only pretend.
    pub(crate) fn attempt(folder: &Arc<Folder>, name: &str, proven: &AtomicBool) -> Result<Option<Self>, Trouble> {
        let failed = |error| Trouble::new("lock", &folder.path_of(name), error);
        for _try in 0..TRIES {
            let file = folder.open_lock(name)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            let held = Self { folder: Arc::clone(folder), name: name.to_owned(), file };
            if !held.is_in_place() {
                // Unlinked in between. Whoever comes next locks another file, and so must we.
                continue;
            }
            if !proven.load(Ordering::Relaxed) {
                let second = folder.open_lock(name)?;
                if !excludes(&second).map_err(failed)? {
                    if !folder.leads_to(name, &second) || !held.is_in_place() {
                        continue;
                    }
                    let why = "locks exclude nobody on this file system; keep tokens on a local disk";
                    return Err(Trouble::refused(&folder.path_of(name), why));
                }
                proven.store(true, Ordering::Relaxed);
            }
            return Ok(Some(held));
        }
        Err(Trouble::refused(&folder.path_of(name), "the lock file is unlinked again and again"))
    }

    fn is_in_place(&self) -> bool {
        self.folder.leads_to(&self.name, &self.file)
    }
}

/// Whether a lock that is held keeps this second descriptor out.
fn excludes(second: &File) -> std::io::Result<bool> {
    match second.try_lock() {
        Ok(()) => second.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing would do, were there not a child that is just being started and has a copy of the descriptor.
        let _closed_anyway = self.file.unlock();
    }
}

#[async_trait]
impl LockGuard for Held {
    /// No longer when the lock file was unlinked, or its folder removed: then somebody else may hold another one. Two
    /// short questions to the file system, without waiting.
    fn is_held(&self) -> bool {
        self.folder.is_at_its_path() && self.is_in_place()
    }

    fn reach(&self) -> LockReach {
        LockReach::ThisMachine
    }

    async fn release(self: Box<Self>) {
        drop(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_lets_a_second_one_in_is_noticed() {
        let path = std::env::temp_dir().join(format!("reqwest-auth-refresh-lock-{}", std::process::id()));
        let first = File::create(&path).unwrap();
        first.lock().unwrap();
        assert!(excludes(&File::open(&path).unwrap()).unwrap());
        // A copy of the descriptor shares its lock, as every descriptor does where locks only pretend.
        assert!(!excludes(&first.try_clone().unwrap()).unwrap());
        std::fs::remove_file(&path).unwrap();
    }
}
