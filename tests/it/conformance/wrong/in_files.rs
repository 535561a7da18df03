//! A store of one session in a folder, as many would write it: right, or with a fault that only another process notices.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::future::ready;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use reqwest_auth_refresh::conformance::{self, Subject};
use reqwest_auth_refresh::{
    Lock, LockGuard, LockReach, LockRequest, Record, SessionId, StoreError, Swap, TokenStore, Version, async_trait,
};
use tokio::time::{Instant, sleep};

use crate::scratch::Scratch;

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// The lock is a mutex of the process.
    LocksWithinTheProcess,
    /// What makes a swap one step is a mutex of the process.
    SwapsWithinTheProcess,
    /// The record is written over the one before.
    WritesInPlace,
    /// The lock is a file that is there, also when its maker is not.
    OutlivesItsHolder,
    /// What was read once is read for ever.
    KeepsACopy,
    /// Whoever writes makes the lock file anew.
    ReleasedBySwaps,
}

const ALL: [Fault; 7] = [
    Fault::None,
    Fault::LocksWithinTheProcess,
    Fault::SwapsWithinTheProcess,
    Fault::WritesInPlace,
    Fault::OutlivesItsHolder,
    Fault::KeepsACopy,
    Fault::ReleasedBySwaps,
];

/// Locks of this process, by the path of their files.
static LOCKED: LazyLock<Mutex<BTreeSet<PathBuf>>> = LazyLock::new(Mutex::default);
static SWAPPING: Mutex<()> = Mutex::new(());

/// A place that says what is wrong with its store, so that another process knows it too.
struct Place(Scratch, PathBuf);

impl Place {
    fn of(fault: Fault) -> Self {
        let scratch = Scratch::in_memory();
        let path = scratch.join(format!("{fault:?}"));
        fs::create_dir(&path).unwrap();
        Self(scratch, path)
    }
}

impl AsRef<Path> for Place {
    fn as_ref(&self) -> &Path {
        debug_assert!(self.0.path().is_absolute());
        &self.1
    }
}

/// The store with this fault, as a subject.
pub(crate) fn subject(fault: Fault) -> Subject {
    let subject = Subject::at(
        move || Place::of(fault),
        |path| {
            let of = |name: &str| path.join(name);
            let (record, lock, away) = (of("record"), of("lock"), path.with_extension("away"));
            let open = path.clone();
            Subject::opened_by(move || Store::open(&open))
                .corrupted_by(move |_, bytes| {
                    fs::write(&record, bytes).unwrap();
                    ready(())
                })
                .failing_by(move |fails| {
                    let (from, to) = if fails { (&path, &away) } else { (&away, &path) };
                    fs::rename(from, to).unwrap();
                    ready(())
                })
                .lock_is_lost_by(move |_| {
                    fs::remove_file(&lock).unwrap();
                    ready(())
                })
                .time_passes_by(|_: Duration| ready(()))
        },
    );
    subject.other_process_is(concat!(module_path!(), "::another_process"))
}

#[test]
#[ignore = "needs a law that starts it as another process"]
fn another_process() {
    // The place says which fault it is.
    conformance::another_process(async { subject(Fault::None) }).unwrap();
}

#[derive(Debug, Clone)]
struct Store {
    fault: Fault,
    folder: PathBuf,
    copy: Arc<Mutex<Option<Vec<u8>>>>,
}

fn failed(error: std::io::Error) -> StoreError {
    StoreError::unavailable(error)
}

impl Store {
    fn open(folder: &Path) -> Self {
        let fault = ALL.into_iter().find(|fault| folder.ends_with(format!("{fault:?}"))).unwrap();
        Self { fault, folder: folder.to_owned(), copy: Arc::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn file(&self, name: &str) -> Result<File, StoreError> {
        OpenOptions::new().create(true).truncate(false).write(true).open(self.path(name)).map_err(failed)
    }

    fn bytes(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let mut copy = self.copy.lock().unwrap();
        if self.fault == Fault::KeepsACopy && copy.is_some() {
            return Ok(copy.clone());
        }
        fs::metadata(&self.folder).map_err(failed)?;
        match fs::read(self.path("record")) {
            Ok(bytes) => {
                *copy = Some(bytes);
                Ok(copy.clone())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        if self.fault == Fault::WritesInPlace {
            let (front, back) = bytes.split_at(bytes.len() / 2);
            let mut file = File::create(self.path("record"))?;
            file.write_all(front)?;
            // As a disk does now and then.
            std::thread::sleep(Duration::from_millis(400));
            return file.write_all(back);
        }
        fs::write(self.path("new"), bytes)?;
        fs::rename(self.path("new"), self.path("record"))
    }

    fn try_lock(&self) -> Result<Option<Guard>, StoreError> {
        let path = self.path("lock");
        let guard = |file| Guard { fault: self.fault, path: path.clone(), file };
        match self.fault {
            Fault::LocksWithinTheProcess => {
                let _there = self.file("lock")?;
                Ok(LOCKED.lock().unwrap().insert(path.clone()).then(|| guard(None)))
            }
            Fault::OutlivesItsHolder => match OpenOptions::new().create_new(true).write(true).open(&path) {
                Ok(file) => Ok(Some(guard(Some(file)))),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(None),
                Err(error) => Err(failed(error)),
            },
            _ => {
                let file = self.file("lock")?;
                match file.try_lock() {
                    Ok(()) => Ok(Some(guard(Some(file)))),
                    Err(TryLockError::WouldBlock) => Ok(None),
                    Err(TryLockError::Error(error)) => Err(failed(error)),
                }
            }
        }
    }
}

struct Guard {
    fault: Fault,
    path: PathBuf,
    file: Option<File>,
}

#[async_trait]
impl LockGuard for Guard {
    fn is_held(&self) -> bool {
        let at_its_path = fs::metadata(&self.path).ok().map(|metadata| metadata.ino());
        let ours = self.file.as_ref().map(|file| file.metadata().unwrap().ino());
        at_its_path.is_some() && (ours.is_none() || ours == at_its_path)
    }

    fn reach(&self) -> LockReach {
        LockReach::ThisMachine
    }

    async fn release(self: Box<Self>) {
        drop(self);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        match self.fault {
            Fault::LocksWithinTheProcess => drop(LOCKED.lock().unwrap().remove(&self.path)),
            Fault::OutlivesItsHolder => drop(fs::remove_file(&self.path)),
            _ => {}
        }
    }
}

#[async_trait]
impl TokenStore for Store {
    async fn load(&self, _: &SessionId) -> Result<Option<Record>, StoreError> {
        let found = self.bytes()?.map(|bytes| Record::from_bytes(&bytes)).transpose();
        if found.as_ref().is_err_and(StoreError::is_unreadable) {
            fs::rename(self.path("record"), self.path("broken")).map_err(failed)?;
        }
        found
    }

    async fn swap(&self, _: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        let write_lock = self.file("writing")?;
        let _turn = SWAPPING.lock().unwrap();
        if self.fault != Fault::SwapsWithinTheProcess {
            write_lock.lock().map_err(failed)?;
        }
        let found = match self.bytes()?.map(|bytes| Record::from_bytes(&bytes)).transpose() {
            Err(error) if error.is_unreadable() => None,
            found => found?,
        };
        if found.as_ref().map(Record::version) != expected {
            return Ok(Swap::Found(found));
        }
        match self.fault {
            // Time enough for another process to write.
            Fault::SwapsWithinTheProcess => std::thread::sleep(Duration::from_millis(20)),
            Fault::ReleasedBySwaps => drop(fs::remove_file(self.path("lock"))),
            _ => {}
        }
        self.write(&new.to_bytes()).map_err(failed)?;
        *self.copy.lock().unwrap() = Some(new.to_bytes().to_vec());
        Ok(Swap::Done)
    }

    async fn remove(&self, _: &SessionId) -> Result<(), StoreError> {
        fs::metadata(&self.folder).map_err(failed)?;
        *self.copy.lock().unwrap() = None;
        match fs::remove_file(self.path("record")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    async fn lock(&self, _: &SessionId, wanted: LockRequest) -> Result<Lock, StoreError> {
        let until = Instant::now() + wanted.wait();
        loop {
            if let Some(guard) = self.try_lock()? {
                return Ok(Lock::Held(Box::new(guard)));
            }
            if Instant::now() >= until {
                return Ok(Lock::Busy);
            }
            sleep(Duration::from_millis(2)).await;
        }
    }
}
