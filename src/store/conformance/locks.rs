//! Laws of the right to refresh.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::id::SessionId;
use crate::store::conformance::sample::{put, tokens};
use crate::store::conformance::subject::Subject;
use crate::store::conformance::suite::{Outcome, side_by_side};
use crate::store::contract::{Lock, LockGuard, LockRequest, Swap, TokenStore};
use crate::store::error::StoreError;

/// Longer than any lease of a holder that died.
const LONG: Duration = Duration::from_secs(60);
/// What a slow machine may take beyond a wait.
const SLACK: Duration = Duration::from_secs(60);

fn id() -> SessionId {
    SessionId::default()
}

/// The lock, which must be had within the wait.
async fn held(store: &dyn TokenStore, wait: Duration) -> Result<Box<dyn LockGuard>, StoreError> {
    match store.lock(&id(), LockRequest::new(wait, LONG)).await? {
        Lock::Held(guard) if guard.is_held() => Ok(guard),
        other @ (Lock::NotShared | Lock::Held(_) | Lock::Busy) => {
            Err(StoreError::unavailable(format!("{other:?} instead of a lock that is held")))
        }
    }
}

async fn is_busy(store: &dyn TokenStore, wait: Duration) -> Result<bool, StoreError> {
    Ok(matches!(store.lock(&id(), LockRequest::new(wait, LONG)).await?, Lock::Busy))
}

/// Between taking the lock and giving it back, nobody else has it; the same handle used twice is two.
pub async fn a_lock_excludes(subject: &Subject) -> Outcome {
    let inside = Arc::new(AtomicUsize::new(0));
    side_by_side(subject.handles(8), |_, store| {
        let inside = Arc::clone(&inside);
        async move {
            for _round in 0..15 {
                let guard = held(&*store, LONG).await?;
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two have the lock");
                tokio::task::yield_now().await;
                assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1, "two have the lock");
                guard.release().await;
            }
            Ok(())
        }
    })
    .await
}

/// Whoever waits in vain waits as long as was said, and then hears so.
pub async fn a_busy_lock_is_busy_after_the_wait_and_not_before(subject: &Subject) -> Outcome {
    let _held = held(subject.store(), LONG).await?;
    for wait in [Duration::ZERO, Duration::from_millis(300)] {
        let began = Instant::now();
        assert!(is_busy(&*subject.another(), wait).await?, "it is held");
        let took = began.elapsed();
        assert!(took >= wait && took < wait + SLACK, "{took:?} for a wait of {wait:?}");
    }
    Ok(())
}

/// A lock that was released can be had at once.
pub async fn a_lock_is_free_after_release(subject: &Subject) -> Outcome {
    for _round in 0..5 {
        held(subject.store(), LONG).await?.release().await;
        held(&*subject.another(), Duration::ZERO).await?.release().await;
    }
    Ok(())
}

/// A guard that is dropped releases its lock, if a little later.
pub async fn a_lock_is_free_after_drop(subject: &Subject) -> Outcome {
    for _round in 0..5 {
        drop(held(subject.store(), LONG).await?);
        drop(held(&*subject.another(), SLACK).await?);
    }
    Ok(())
}

/// The death of a process gives its lock back.
pub async fn a_lock_is_free_after_its_holder_died(subject: &Subject) -> Outcome {
    subject.let_a_holder_die(&id());
    held(subject.store(), LONG).await?.release().await;
    Ok(())
}

/// Whoever gave up waiting does not get the lock afterwards.
pub async fn a_dropped_wait_takes_no_lock(subject: &Subject) -> Outcome {
    for _round in 0..5 {
        let guard = held(subject.store(), LONG).await?;
        let waiting =
            tokio::time::timeout(Duration::from_millis(20), subject.store().lock(&id(), LockRequest::new(LONG, LONG)))
                .await;
        assert!(waiting.is_err(), "it is held");
        guard.release().await;
        held(&*subject.another(), SLACK).await?.release().await;
    }
    Ok(())
}

/// The lock is about refreshing: reading and writing do without, whoever holds it.
pub async fn reading_and_writing_go_on_while_another_holds_the_lock(subject: &Subject) -> Outcome {
    let (held, first, second) = (held(&*subject.another(), LONG).await?, tokens(1, "a")?, tokens(2, "b")?);
    let store = subject.store();
    let calls = async {
        put(&*store, &id(), &first).await?;
        let swapped = store.swap(&id(), Some(first.version()), &second).await?;
        assert!(matches!(swapped, Swap::Done), "{swapped:?}");
        assert!(store.load(&id()).await?.is_some(), "it was saved");
        store.remove(&id()).await
    };
    tokio::time::timeout(SLACK, calls).await.map_err(|_late| StoreError::unavailable("waits for the lock"))??;
    assert!(held.is_held(), "and takes it from nobody");
    Ok(())
}

/// Each session has a lock of its own.
pub async fn a_lock_of_one_session_leaves_the_others_free(subject: &Subject) -> Outcome {
    let _held = held(subject.store(), LONG).await?;
    let other = SessionId::from("another one");
    let free = subject.another().lock(&other, LockRequest::new(Duration::ZERO, LONG)).await?;
    assert!(matches!(free, Lock::Held(_)), "{free:?}");
    Ok(())
}

/// A store that no other process can see says so, and keeps nobody out.
pub async fn a_lock_that_nobody_shares_says_so(subject: &Subject) -> Outcome {
    for _round in 0..2 {
        let lock = subject.store().lock(&id(), LockRequest::new(Duration::ZERO, Duration::from_secs(60))).await?;
        assert!(matches!(lock, Lock::NotShared), "{lock:?}");
    }
    Ok(())
}
