//! Waits for locks that other processes hold, for the whole program.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::platform::{caught, jitter};
use crate::store::file::lock_file::{LockFile, OsLock};
use crate::store::file::trouble::Trouble;

/// So many threads wait in the system's queues, each for one file. With the keeper's own thread, eight.
const BLOCKED: usize = 7;

/// How often the files are tried for which there was no thread, and waiters looked for that have gone: drawn from once to
/// twice this time, so that processes that wait do not all come at once.
const TICK: Duration = Duration::from_millis(40);

/// A lock file, and the folder that it was found in: there may be another one at the same path later.
type Key = (PathBuf, (u64, u64));

/// Something that waits for a lock of another process.
pub(crate) trait Waiter: Send {
    /// Whether it still does.
    fn is_wanted(&self) -> bool;

    /// Ends the wait: with the lock, with none when it was held for too long, or with an error. Must not block.
    fn end(self: Box<Self>, locked: Result<Option<OsLock>, Trouble>);
}

struct Wait {
    lock: LockFile,
    until: Instant,
    waiter: Box<dyn Waiter>,
}

/// What is to be done at some time.
type Later = Box<dyn FnOnce() + Send>;

struct Kept {
    waits: BTreeMap<Key, Wait>,
    /// What a thread is blocked on; perhaps after its waiter has gone. Then it is there for the next one.
    blocked: BTreeSet<Key>,
    later: Vec<(Instant, Later)>,
    runs: bool,
}

static KEPT: Mutex<Kept> =
    Mutex::new(Kept { waits: BTreeMap::new(), blocked: BTreeSet::new(), later: Vec::new(), runs: false });
static CHANGED: Condvar = Condvar::new();

/// Ends the waiter's wait as soon as the lock can be had, or at this time. There is one wait for a lock at a time.
pub(crate) fn wait_for(lock: LockFile, until: Instant, waiter: Box<dyn Waiter>) {
    let key = (lock.folder.path_of(&lock.name), lock.folder.identity());
    let mut kept = kept();
    let before = kept.waits.insert(key.clone(), Wait { lock, until, waiter });
    block_where_there_is_room(&mut kept);
    let failed = keep(&mut kept).err().and_then(|error| Some((error, kept.waits.remove(&key)?)));
    drop(kept);
    if let Some(before) = before {
        before.waiter.end(Ok(None));
    }
    if let Some((error, wait)) = failed {
        wait.waiter.end(Err(Trouble::new("start a thread to wait for", &key.0, error)));
    }
}

/// Does this at that time, or later. Must not block.
pub(crate) fn later(when: Instant, action: impl FnOnce() + Send + 'static) {
    let mut kept = kept();
    kept.later.push((when, Box::new(action)));
    // Without a thread now, it is done by the next one that there is.
    let _no_thread = keep(&mut kept);
}

/// Has the keeper look at what is new.
fn keep(kept: &mut Kept) -> std::io::Result<()> {
    if kept.runs {
        CHANGED.notify_all();
    } else {
        start(run)?;
        kept.runs = true;
    }
    Ok(())
}

fn run() {
    let mut kept = kept();
    loop {
        let ended = over(&mut kept);
        if !ended.is_empty() {
            drop(kept);
            for action in ended {
                let _panicked = caught(action);
            }
            kept = self::kept();
            continue;
        }
        let now = Instant::now();
        let tick = (!kept.waits.is_empty()).then(|| TICK + TICK * (jitter() % 1024) / 1024);
        let next = kept.later.iter().map(|(when, _)| when.saturating_duration_since(now)).chain(tick).min();
        let Some(pause) = next else {
            kept.runs = false;
            return;
        };
        kept = CHANGED.wait_timeout(kept, pause).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Takes out what has come to its end.
fn over(kept: &mut Kept) -> Vec<Later> {
    block_where_there_is_room(kept);
    let (now, mut ended) = (Instant::now(), Vec::<Later>::new());
    let Kept { waits, blocked, later, .. } = kept;
    ended.extend(later.extract_if(.., |(when, _)| *when <= now).map(|(_, action)| action));
    let mut done = Vec::new();
    for (key, wait) in &*waits {
        let locked = if wait.until <= now || !wait.waiter.is_wanted() {
            Ok(None)
        } else if blocked.contains(key) {
            continue;
        } else {
            match wait.lock.try_lock() {
                Ok(None) => continue,
                locked => locked,
            }
        };
        done.push((key.clone(), locked));
    }
    for (key, locked) in done {
        if let Some(wait) = waits.remove(&key) {
            ended.push(Box::new(move || wait.waiter.end(locked)));
        }
    }
    ended
}

/// Has a thread wait for each file for which none does yet, as long as there are threads.
fn block_where_there_is_room(kept: &mut Kept) {
    while kept.blocked.len() < BLOCKED {
        let Some((key, lock)) = unattended(kept) else { return };
        let blocked = key.clone();
        if start(move || block(key, lock)).is_err() {
            // The keeper tries by itself.
            kept.blocked.remove(&blocked);
            return;
        }
    }
}

/// A lock that no thread is blocked on, which is the caller's from now on.
fn unattended(kept: &mut Kept) -> Option<(Key, LockFile)> {
    let Kept { waits, blocked, .. } = kept;
    let (key, wait) = waits.iter().find(|(key, _)| !blocked.contains(*key))?;
    blocked.insert(key.clone());
    Some((key.clone(), wait.lock.clone()))
}

fn block(key: Key, lock: LockFile) {
    let mut next = Some((key, lock));
    while let Some((key, lock)) = next {
        let locked = lock.lock();
        let mut kept = kept();
        kept.blocked.remove(&key);
        let wait = kept.waits.remove(&key);
        next = unattended(&mut kept);
        drop(kept);
        // Who comes too late releases: without a waiter, the lock is dropped.
        if let Some(wait) = wait {
            let _panicked = caught(|| wait.waiter.end(locked.map(Some)));
        }
    }
}

fn start(work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name("token locks".to_owned()).spawn(work).map(drop)
}

fn kept() -> MutexGuard<'static, Kept> {
    // Nothing in here can panic half-way through a change.
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}
