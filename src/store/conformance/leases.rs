//! Laws of what a guard knows of its lock: whether it is still held, and how far it reaches.

use std::time::Duration;

use crate::store::conformance::holder::{held, is_busy};
use crate::store::conformance::sample::id;
use crate::store::conformance::subject::Subject;
use crate::store::conformance::trial::Outcome;
use crate::store::contract::{Lock, LockReach, LockRequest};
use crate::store::error::StoreError;

/// For how long the lock is asked for, and for how much longer it is held.
const ASKED: Duration = Duration::from_secs(1);
const HELD: Duration = Duration::from_secs(3);

/// A lock that is held for longer than was asked is still held, or its guard says that it is not: never do two hold it.
pub async fn a_lock_is_held_for_as_long_as_its_guard_lives(subject: &Subject) -> Outcome {
    let lock = subject.store().lock(&id(), LockRequest::new(subject.bound(), ASKED)).await?;
    let Lock::Held(guard) = lock else {
        return Err(StoreError::unavailable(format!("{lock:?} instead of a lock that is held")));
    };
    subject.let_pass(HELD).await;
    let busy = is_busy(&*subject.another(), &id()).await?;
    // Asked afterwards: whoever has the lock now had it before this one could be told.
    assert!(busy || !guard.is_held(), "a second one has the lock after {HELD:?}, and the first does not know");
    Ok(())
}

/// A guard whose lock was taken away says so: at once, or where it is a lease, by the time that it would be renewed.
pub async fn a_guard_whose_lock_was_taken_away_says_so(subject: &Subject) -> Outcome {
    let lock = subject.store().lock(&id(), LockRequest::new(subject.bound(), ASKED)).await?;
    let Lock::Held(guard) = lock else {
        return Err(StoreError::unavailable(format!("{lock:?} instead of a lock that is held")));
    };
    assert!(guard.is_held(), "nobody has taken it yet");
    subject.lose_lock(&id()).await;
    if guard.reach() == LockReach::Lease {
        subject.let_pass(HELD).await;
    }
    assert!(!guard.is_held(), "it was taken away");
    guard.release().await;
    held(subject, &*subject.another(), &id()).await.map(drop)
}

async fn reaches(subject: &Subject, reach: LockReach) -> Outcome {
    let guard = held(subject, subject.store(), &id()).await?;
    assert_eq!(guard.reach(), reach, "what the guard says of its lock");
    guard.release().await;
    Ok(())
}

/// A lock that other processes do not see says that it reaches this one.
pub async fn a_lock_of_this_process_says_so(subject: &Subject) -> Outcome {
    reaches(subject, LockReach::ThisProcess).await
}

/// A lock that the processes of one machine see says so.
pub async fn a_lock_of_this_machine_says_so(subject: &Subject) -> Outcome {
    reaches(subject, LockReach::ThisMachine).await
}

/// A lease says so.
pub async fn a_lease_says_so(subject: &Subject) -> Outcome {
    reaches(subject, LockReach::Lease).await
}
