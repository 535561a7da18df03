//! The lock of one session, from being asked for to its release.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::store::contract::{Lock, LockGuard, LockReach, LockRequest};
use crate::store::error::StoreError;
use crate::store::file::drawer::Drawer;
use crate::store::file::keeper::{self, Waiter};
use crate::store::file::lock_file::OsLock;
use crate::store::file::threads::{Threads, died};
use crate::store::file::trouble::Trouble;
use crate::store::local_locks::{LocalGuard, LocalLocks};

/// For so long a lock is there for a caller to take it. A caller whose runtime stands still comes too late: the lock is
/// released, so that others can have it, and asked for again when the caller moves.
const GRACE: Duration = Duration::from_secs(1);

/// The sessions that this process holds or wants the locks of, each by the path of its record: all stores for one path share
/// them, and only one at a time asks the system.
static LOCAL: LazyLock<LocalLocks<PathBuf>> = LazyLock::new(LocalLocks::default);

/// What this process holds, by the same paths, to see whether it still does.
static HOLDERS: LazyLock<Mutex<HashMap<PathBuf, Weak<Holding>>>> = LazyLock::new(Mutex::default);

/// The system's lock comes first, so that it is released before the next one in this process asks.
#[derive(Debug)]
struct Holding {
    locked: OsLock,
    /// None when the lock was lost, and the next one in this process may ask.
    local: Mutex<Option<LocalGuard<PathBuf>>>,
    path: PathBuf,
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut holders = whole(&HOLDERS);
        if holders.get(&self.path).is_some_and(|holder| holder.strong_count() == 0) {
            holders.remove(&self.path);
        }
    }
}

/// A session's lock that is ours.
#[derive(Debug)]
struct Held(Arc<Holding>);

#[async_trait]
impl LockGuard for Held {
    fn is_held(&self) -> bool {
        self.0.locked.is_held()
    }

    fn reach(&self) -> LockReach {
        LockReach::ThisMachine
    }

    async fn release(self: Box<Self>) {
        drop(self);
    }
}

/// Lets the next one ask when the lock file of the one who holds it was unlinked, or its folder removed.
fn release_what_was_lost(path: &Path) {
    let holder = whole(&HOLDERS).get(path).and_then(Weak::upgrade);
    if let Some(holding) = holder.filter(|holding| !holding.locked.is_held()) {
        drop(whole(&holding.local).take());
    }
}

/// A lock that is there for the taking, for a while.
type Offer = Arc<Mutex<Option<Held>>>;

/// What a caller hears: nothing when another process has the lock.
type Heard = Result<Option<Offer>, StoreError>;

/// Takes the lock of the session, unless others had it for the whole wait.
pub(crate) async fn lock(threads: &Threads, drawer: Drawer, wanted: LockRequest) -> Result<Lock, StoreError> {
    let (path, began) = (drawer.path(), Instant::now());
    loop {
        let left = || wanted.wait().saturating_sub(began.elapsed());
        release_what_was_lost(&path);
        let Some(local) = LOCAL.lock(path.clone(), left()).await else { return Ok(Lock::Busy) };
        let (answer, answered) = oneshot::channel();
        let until = Instant::now() + left();
        let locking = Locking { drawer: drawer.clone(), local, answer, until };
        threads.start(move || locking.attempt());
        match answered.await.unwrap_or_else(|_died| Err(died()))? {
            None => return Ok(Lock::Busy),
            Some(offer) => {
                if let Some(held) = take(&offer) {
                    return Ok(Lock::Held(Box::new(held)));
                }
            }
        }
    }
}

/// A call that has the lock as far as this process goes, on its way to have it altogether. None of its steps is its caller's,
/// whose runtime may stand still.
struct Locking {
    drawer: Drawer,
    local: LocalGuard<PathBuf>,
    answer: oneshot::Sender<Heard>,
    until: Instant,
}

impl Locking {
    fn attempt(self) {
        if self.answer.is_closed() {
            return;
        }
        let lock = match self.drawer.refresh_lock() {
            Ok(lock) => lock,
            Err(error) => return self.fail(error),
        };
        match lock.try_lock() {
            Ok(None) if Instant::now() < self.until => keeper::wait_for(lock, self.until, Box::new(self)),
            locked => self.say(locked),
        }
    }

    fn say(self, locked: Result<Option<OsLock>, Trouble>) {
        match locked {
            Ok(Some(locked)) => {
                let path = self.drawer.path();
                let held = Arc::new(Holding { locked, local: Mutex::new(Some(self.local)), path: path.clone() });
                whole(&HOLDERS).insert(path, Arc::downgrade(&held));
                let offer: Offer = Arc::new(Mutex::new(Some(Held(held))));
                let open = Arc::downgrade(&offer);
                if self.answer.send(Ok(Some(offer))).is_ok() {
                    keeper::later(Instant::now() + GRACE, move || drop(open.upgrade().map(|offer| take(&offer))));
                }
            }
            Ok(None) => {
                drop(self.local);
                let _unheard = self.answer.send(Ok(None));
            }
            Err(trouble) => self.fail(trouble.into()),
        }
    }

    fn fail(self, error: StoreError) {
        drop(self.local);
        let _unheard = self.answer.send(Err(error));
    }
}

impl Waiter for Locking {
    fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }

    fn end(self: Box<Self>, locked: Result<Option<OsLock>, Trouble>) {
        self.say(locked);
    }
}

fn take(offer: &Offer) -> Option<Held> {
    whole(offer).take()
}

fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here can panic half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
