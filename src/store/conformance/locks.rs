//! Laws of the single-flight lock: who has it, and who waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::platform;
use crate::store::conformance::holder::{HOLD, held, held_soon, is_busy};
use crate::store::conformance::sample::{assert_is, id, put, tokens};
use crate::store::conformance::subject::Subject;
use crate::store::conformance::swaps::is_done;
use crate::store::conformance::trial::{Outcome, polled, side_by_side, soon};
use crate::store::contract::{Lock, LockRequest};
use crate::store::error::StoreError;

/// Between taking the lock and giving it back, no other user has it; the same handle used twice is two.
pub async fn a_lock_excludes(subject: &Subject) -> Outcome {
    const USERS: usize = 6;
    let (asking, inside) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(1)));
    let (bound, guard) = (subject.bound(), held(subject, subject.store(), &id()).await?);
    let users = side_by_side(subject.handles(USERS), |_, store| {
        let (asking, inside) = (Arc::clone(&asking), Arc::clone(&inside));
        async move {
            for _round in 0..3 {
                asking.fetch_add(1, Ordering::SeqCst);
                let Lock::Held(guard) = store.lock(&id(), LockRequest::new(bound, HOLD)).await? else {
                    return Err(StoreError::unavailable("no lock that is held"));
                };
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two have the lock");
                tokio::task::yield_now().await;
                assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1, "two have the lock");
                guard.release().await;
            }
            Ok(())
        }
    });
    // The first one has it until all others have asked for it.
    let first = async {
        let mut turns = 0;
        while turns < 50 {
            turns += usize::from(asking.load(Ordering::SeqCst) >= USERS);
            tokio::task::yield_now().await;
        }
        inside.fetch_sub(1, Ordering::SeqCst);
        guard.release().await;
        Ok(())
    };
    futures_util::future::try_join(users, first).await.map(drop)
}

/// A lock that is held is busy for every handle, its holder's own too, after the wait and not before; at once without one.
pub async fn a_busy_lock_says_so_after_the_wait(subject: &Subject) -> Outcome {
    let guard = held(subject, subject.store(), &id()).await?;
    for store in [subject.store(), &*subject.another()] {
        for wait in [0, 60].map(Duration::from_millis) {
            let began = platform::monotonic();
            let lock = soon(subject, "the end of the wait", store.lock(&id(), LockRequest::new(wait, HOLD))).await?;
            let took = platform::monotonic().saturating_sub(began);
            assert!(matches!(lock, Lock::Busy), "{lock:?}");
            // The timers of some systems are that much early.
            assert!(took + Duration::from_millis(5) >= wait, "{took:?} for a wait of {wait:?}");
        }
    }
    assert!(guard.is_held(), "and is taken from its holder by nothing of that");
    Ok(())
}

/// Who waits for a lock has it when it is released.
pub async fn a_lock_is_had_by_its_waiter_once_it_is_released(subject: &Subject) -> Outcome {
    let id = id();
    for store in [subject.store(), &*subject.another()] {
        let guard = held(subject, subject.store(), &id).await?;
        let waiter = held_soon(subject, store, &id);
        let holder = async {
            for _turn in 0..20 {
                tokio::task::yield_now().await;
            }
            guard.release().await;
            Ok(())
        };
        let (next, ()) = futures_util::future::try_join(waiter, holder).await?;
        assert!(is_busy(subject.store(), &id).await?, "it is the waiter's now");
        next.release().await;
    }
    Ok(())
}

/// A lock that was released can be had at once.
pub async fn a_lock_is_free_after_release(subject: &Subject) -> Outcome {
    for _round in 0..5 {
        held(subject, subject.store(), &id()).await?.release().await;
        held(subject, &*subject.another(), &id()).await?.release().await;
    }
    Ok(())
}

/// A guard that is dropped releases its lock, perhaps a little later.
pub async fn a_lock_is_free_after_drop(subject: &Subject) -> Outcome {
    for _round in 0..5 {
        drop(held_soon(subject, subject.store(), &id()).await?);
        drop(held_soon(subject, &*subject.another(), &id()).await?);
    }
    Ok(())
}

/// A future that was dropped while it waited does not get the lock afterwards.
pub async fn a_dropped_wait_takes_no_lock(subject: &Subject) -> Outcome {
    for round in 1..9 {
        let guard = held_soon(subject, subject.store(), &id()).await?;
        let waiting = polled(round, subject.store().lock(&id(), LockRequest::new(subject.bound(), HOLD))).await;
        assert!(waiting.is_none(), "it is held");
        guard.release().await;
        held_soon(subject, &*subject.another(), &id()).await?.release().await;
    }
    Ok(())
}

/// A future that was dropped while it took a free lock leaves nothing locked, however far it had come.
pub async fn a_dropped_acquisition_takes_no_lock(subject: &Subject) -> Outcome {
    for round in 0..48 {
        let request = LockRequest::new(subject.bound(), HOLD);
        drop(polled(1 + round % 4, subject.store().lock(&id(), request)).await);
        held_soon(subject, &*subject.another(), &id()).await?.release().await;
    }
    Ok(())
}

/// The lock is about refreshing: reading and writing do without, whoever holds it.
pub async fn reading_and_writing_need_no_lock(subject: &Subject) -> Outcome {
    for (holder, store) in [(subject.store(), &*subject.another()), (subject.store(), subject.store())] {
        let guard = held_soon(subject, holder, &id()).await?;
        let (first, second) = (tokens(1, "a")?, tokens(2, "b")?);
        let calls = async {
            put(store, &first).await?;
            assert!(is_done(store, Some(first.version()), &second).await?, "the first record was there");
            assert_is(store.load(&id()).await?.as_ref(), &second);
            store.remove(&id()).await
        };
        soon(subject, "reading and writing while the lock is held", calls).await?;
        assert!(guard.is_held(), "and takes it from nobody");
        guard.release().await;
    }
    Ok(())
}

/// A swap takes the lock from nobody, whether the holder's own handle or another one swaps.
pub async fn a_swap_leaves_the_lock_held(subject: &Subject) -> Outcome {
    let (store, another) = (subject.store(), subject.another());
    let guard = held(subject, store, &id()).await?;
    for (generation, handle) in (1..).zip([store, &*another]) {
        put(handle, &tokens(generation, "a")?).await?;
        let found = is_done(handle, None, &tokens(9, "b")?).await?;
        assert!(!found && guard.is_held(), "after a swap");
        assert!(is_busy(&*another, &id()).await? && is_busy(store, &id()).await?, "after a swap it is still held");
    }
    guard.release().await;
    held(subject, &*another, &id()).await.map(drop)
}

/// Nor does a removal.
pub async fn a_removal_leaves_the_lock_held(subject: &Subject) -> Outcome {
    let (store, another) = (subject.store(), subject.another());
    put(store, &tokens(1, "a")?).await?;
    let guard = held(subject, store, &id()).await?;
    for handle in [store, &*another] {
        handle.remove(&id()).await?;
        assert!(guard.is_held(), "after a removal");
        assert!(is_busy(&*another, &id()).await? && is_busy(store, &id()).await?, "after a removal it is still held");
    }
    guard.release().await;
    held(subject, &*another, &id()).await.map(drop)
}

/// A store that only one session object uses says so, and keeps nobody out.
pub async fn a_lock_that_is_not_shared_says_so(subject: &Subject) -> Outcome {
    for _round in 0..2 {
        let lock = subject.store().lock(&id(), LockRequest::new(Duration::ZERO, HOLD)).await?;
        assert!(matches!(lock, Lock::NotShared), "{lock:?}");
    }
    Ok(())
}
