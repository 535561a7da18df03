//! A lock that is an empty file. It is there for as long as the record is, or somebody holds it.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::file::folder::Folder;
use crate::store::file::trouble::Trouble;

/// So often a lock file may vanish while it is being locked, before it counts as taken.
const TRIES: u32 = 16;

/// One of a session's two locks.
#[derive(Debug, Clone)]
pub(crate) struct LockFile {
    pub(crate) folder: Arc<Folder>,
    pub(crate) name: String,
    /// The name of the session's record: without it, the lock file goes when it is released.
    pub(crate) record: String,
    /// Whether locks were seen to exclude, which some file systems only pretend.
    pub(crate) proven: Arc<AtomicBool>,
}

/// A lock file that is locked. Dropping it, or the death of the process, unlocks it.
#[derive(Debug)]
pub(crate) struct OsLock {
    lock: LockFile,
    /// Taken when this is dropped.
    file: Option<File>,
}

impl LockFile {
    /// Locks the file, unless it is locked already: by another process, or by another descriptor of this one.
    pub(crate) fn try_lock(&self) -> Result<Option<OsLock>, Trouble> {
        for _try in 0..TRIES {
            match self.attempt(try_lock)? {
                Attempt::Vanished => {}
                Attempt::Taken => return Ok(None),
                Attempt::Locked(locked) => return Ok(Some(locked)),
            }
        }
        Ok(None)
    }

    /// Locks the file, and blocks the thread until it can. The system lets those who wait in one after the other.
    pub(crate) fn lock(&self) -> Result<OsLock, Trouble> {
        loop {
            if let Attempt::Locked(locked) = self.attempt(|file| uninterrupted(|| file.lock()).map(|()| true))? {
                return Ok(locked);
            }
        }
    }

    fn attempt(&self, lock: impl Fn(&File) -> io::Result<bool>) -> Result<Attempt, Trouble> {
        let failed = |error| Trouble::new("lock", &self.folder.path_of(&self.name), error);
        let file = self.folder.open_lock(&self.name)?;
        if !lock(&file).map_err(failed)? {
            return Ok(Attempt::Taken);
        }
        let locked = OsLock { lock: self.clone(), file: Some(file) };
        if !locked.is_in_place() {
            // Unlinked in between. The next one to come locks another file, and so must we.
            return Ok(Attempt::Vanished);
        }
        if !self.proven.load(Ordering::Relaxed) {
            let second = self.folder.open_lock(&self.name)?;
            if !excludes(&second).map_err(failed)? {
                if !self.folder.leads_to(&self.name, &second) || !locked.is_in_place() {
                    return Ok(Attempt::Vanished);
                }
                let why = "locks exclude nobody on this file system; keep tokens on a local disk";
                return Err(Trouble::refused(&self.folder.path_of(&self.name), why));
            }
            self.proven.store(true, Ordering::Relaxed);
        }
        Ok(Attempt::Locked(locked))
    }
}

/// What came of locking a file.
enum Attempt {
    Locked(OsLock),
    Taken,
    /// Unlinked by the one who had locked it, or from outside.
    Vanished,
}

impl OsLock {
    /// The folder that the lock file is in.
    pub(crate) fn folder(&self) -> &Arc<Folder> {
        &self.lock.folder
    }

    /// No longer when the lock file was unlinked, or its folder removed: then somebody else may hold another one. Two
    /// short questions to the file system, without waiting.
    pub(crate) fn is_held(&self) -> bool {
        self.lock.folder.is_at_its_path() && self.is_in_place()
    }

    fn is_in_place(&self) -> bool {
        self.file.as_ref().is_some_and(|file| self.lock.folder.leads_to(&self.lock.name, file))
    }
}

impl Drop for OsLock {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        let LockFile { folder, name, record, .. } = &self.lock;
        let is_stored = || folder.holds(record).unwrap_or(true);
        if is_stored() {
            // Closing would do, were there not a child that is just being started and has a copy of the descriptor.
            let _closed_anyway = file.unlock();
            return;
        }
        folder.remove_lock(name, file);
        if is_stored() {
            // Stored in between, and to be locked also when the disk becomes read-only.
            drop(folder.open_lock(name));
        }
    }
}

/// Whether a lock that is held keeps this second descriptor out.
fn excludes(second: &File) -> io::Result<bool> {
    if try_lock(second)? { second.unlock().map(|()| false) } else { Ok(true) }
}

fn try_lock(file: &File) -> io::Result<bool> {
    uninterrupted(|| match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    })
}

fn uninterrupted<T>(call: impl Fn() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
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
