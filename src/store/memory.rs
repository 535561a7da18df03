//! The store that lasts as long as the program.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, OwnedMutexGuard};

use crate::id::{SessionId, Version};
use crate::platform;
use crate::store::contract::{Lock, LockGuard, LockReach, LockRequest, Swap, TokenStore};
use crate::store::error::StoreError;
use crate::store::record::Record;

/// Keeps tokens for as long as the program runs; the default store.
///
/// Clones share what they keep, so that a test can end one session and begin another over the same store:
///
/// ```
/// use reqwest_auth_refresh::{MemoryStore, RefreshError, RefreshRequest, Session, State, Tokens};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::default();
/// let never = |_: RefreshRequest| async { Err(RefreshError::unavailable("not asked in this example")) };
///
/// let session = Session::builder(never).store(store.clone()).build();
/// session.login(Tokens::new("access")?).await?;
/// drop(session);
///
/// let again = Session::builder(never).store(store).build();
/// again.access_token().await?;
/// assert!(matches!(again.state(), State::LoggedIn { .. }));
/// # Ok(())
/// # }
/// ```
///
/// Sessions of one id and one registration over one such store are one login, and refresh once between them.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    records: HashMap<SessionId, Record>,
    /// The locks that are held or waited for.
    locks: HashMap<SessionId, Arc<SessionLock>>,
}

/// The single-flight lock of one session.
#[derive(Debug, Default)]
struct SessionLock {
    /// Never queued for: a queue would hand it to its first waiter even when that waiter's runtime stands still.
    mutex: Arc<tokio::sync::Mutex<()>>,
    /// Told at each release, to all who wait.
    released: Notify,
}

impl MemoryStore {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing in here can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn user(&self, id: &SessionId) -> User {
        let lock = Arc::clone(self.kept().locks.entry(id.clone()).or_default());
        User { store: self.clone(), id: id.clone(), lock }
    }
}

/// A holder of a session's lock, or one that waits for it. The lock goes with its last user.
#[derive(Debug)]
struct User {
    store: MemoryStore,
    id: SessionId,
    lock: Arc<SessionLock>,
}

impl User {
    fn attempt(&self) -> Option<OwnedMutexGuard<()>> {
        Arc::clone(&self.lock.mutex).try_lock_owned().ok()
    }

    async fn wait(&self) -> OwnedMutexGuard<()> {
        loop {
            let mut released = pin!(self.lock.released.notified());
            // Before looking: a release after that is heard of.
            released.as_mut().enable();
            if let Some(held) = self.attempt() {
                return held;
            }
            released.await;
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let mut kept = self.store.kept();
        // The map's and this one.
        if Arc::strong_count(&self.lock) == 2 {
            kept.locks.remove(&self.id);
        }
    }
}

/// A session's lock that is ours.
struct Held {
    user: User,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.guard.take());
        self.user.lock.released.notify_waiters();
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl LockGuard for Held {
    fn is_held(&self) -> bool {
        self.guard.is_some()
    }

    fn reach(&self) -> LockReach {
        LockReach::ThisProcess
    }

    async fn release(self: Box<Self>) {
        drop(self);
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
#[deny(clippy::missing_trait_methods)]
impl TokenStore for MemoryStore {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        Ok(self.kept().records.get(id).cloned())
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        let records = &mut self.kept().records;
        let found = records.get(id);
        if found.map(Record::version) != expected {
            return Ok(Swap::Found(found.cloned()));
        }
        records.insert(id.clone(), new.clone());
        Ok(Swap::Done)
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.kept().records.remove(id);
        Ok(())
    }

    async fn lock(&self, id: &SessionId, wanted: LockRequest) -> Result<Lock, StoreError> {
        let user = self.user(id);
        let held = match user.attempt() {
            None if !wanted.wait().is_zero() => platform::within(wanted.wait(), user.wait()).await.ok(),
            held => held,
        };
        Ok(match held {
            Some(guard) => Lock::Held(Box::new(Held { user, guard: Some(guard) })),
            None => Lock::Busy,
        })
    }
}
