//! A lock for each key among the tasks of this process.

use std::collections::HashMap;
use std::hash::Hash;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedMutexGuard};

use crate::platform;

/// The locks that are held or waited for. Clones share them.
#[derive(Debug)]
pub(crate) struct LocalLocks<K>(Arc<Mutex<HashMap<K, Arc<LocalLock>>>>);

#[derive(Debug, Default)]
struct LocalLock {
    /// Never queued for: a queue would hand it to its first waiter even when that waiter's runtime stands still.
    mutex: Arc<tokio::sync::Mutex<()>>,
    /// Told at each release, to all who wait.
    released: Notify,
}

impl LocalLock {
    fn attempt(&self) -> Option<OwnedMutexGuard<()>> {
        Arc::clone(&self.mutex).try_lock_owned().ok()
    }

    async fn wait(&self) -> OwnedMutexGuard<()> {
        loop {
            let mut released = pin!(self.released.notified());
            // Before looking: a release after that is heard of.
            released.as_mut().enable();
            if let Some(held) = self.attempt() {
                return held;
            }
            released.await;
        }
    }
}

impl<K> Clone for LocalLocks<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> Default for LocalLocks<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Clone + Eq + Hash + Send + Sync> LocalLocks<K> {
    /// Takes the lock of this key; `None` when another task had it for the whole wait.
    pub(crate) async fn lock(&self, key: K, wait: Duration) -> Option<LocalGuard<K>> {
        let lock = Arc::clone(self.all().entry(key.clone()).or_default());
        let user = User { locks: self.clone(), key, lock };
        let held = match user.lock.attempt() {
            None if !wait.is_zero() => platform::within(wait, user.lock.wait()).await.ok()?,
            held => held?,
        };
        Some(LocalGuard { user, held: Some(held) })
    }
}

impl<K> LocalLocks<K> {
    fn all(&self) -> MutexGuard<'_, HashMap<K, Arc<LocalLock>>> {
        // Nothing in here can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A holder of a lock, or a task that waits for it. The lock goes with its last user.
#[derive(Debug)]
struct User<K: Eq + Hash> {
    locks: LocalLocks<K>,
    key: K,
    lock: Arc<LocalLock>,
}

impl<K: Eq + Hash> Drop for User<K> {
    fn drop(&mut self) {
        let mut all = self.locks.all();
        // Given back before it is counted, so that of two users that leave together one is the last.
        drop(std::mem::take(&mut self.lock));
        if all.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            all.remove(&self.key);
        }
    }
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub(crate) struct LocalGuard<K: Eq + Hash> {
    user: User<K>,
    held: Option<OwnedMutexGuard<()>>,
}

impl<K: Eq + Hash> Drop for LocalGuard<K> {
    fn drop(&mut self) {
        drop(self.held.take());
        self.user.lock.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_lock_excludes_and_goes_with_its_last_user() {
        let locks = LocalLocks::<&str>::default();
        let held = locks.lock("a", Duration::ZERO).await.unwrap();
        assert!(locks.lock("a", Duration::ZERO).await.is_none());
        assert!(locks.lock("b", Duration::ZERO).await.is_some());
        let mut second = Box::pin(locks.lock("a", LONG));
        assert!((&mut second).now_or_never().is_none());
        drop(held);
        assert!(second.await.is_some());
        assert!(locks.all().is_empty());
    }

    /// A waiter that is not polled any longer keeps nobody from the lock.
    #[tokio::test]
    async fn a_waiter_that_stands_still_is_passed_over() {
        let locks = LocalLocks::<&str>::default();
        let held = locks.lock("a", Duration::ZERO).await.unwrap();
        let mut still = Box::pin(locks.lock("a", LONG));
        assert!((&mut still).now_or_never().is_none());
        drop(held);
        assert!(locks.lock("a", Duration::ZERO).await.is_some());
    }
}
