//! Laws of a place that is out of reach.

use std::fmt;
use std::time::Duration;

use crate::store::conformance::holder::{HOLD, held_soon};
use crate::store::conformance::sample::{assert_is, id, put, tokens};
use crate::store::conformance::subject::Subject;
use crate::store::conformance::swaps::is_done;
use crate::store::conformance::trial::Outcome;
use crate::store::contract::{Lock, LockRequest, TokenStore};
use crate::store::error::StoreError;

/// Fails unless this is how the store says that it does not know.
#[track_caller]
fn assert_unavailable<T: fmt::Debug>(said: &Result<T, StoreError>) {
    assert!(said.as_ref().is_err_and(StoreError::is_unavailable), "{said:?} instead of `unavailable`");
}

/// What cannot be read is unavailable, never nothing: that would log people out. It is there again when its place is.
pub async fn a_load_that_fails_does_not_say_nothing(subject: &Subject) -> Outcome {
    let (store, kept) = (subject.store(), tokens(1, "kept")?);
    for record in [None, Some(&kept)] {
        if let Some(record) = record {
            put(store, record).await?;
        }
        subject.fail(true).await;
        for handle in [store, &*subject.another()] {
            assert_unavailable(&handle.load(&id()).await);
            assert_unavailable(&handle.load(&id()).await);
        }
        subject.fail(false).await;
        assert_eq!(loaded(store).await?.is_some(), record.is_some(), "as before");
    }
    assert_is(loaded(store).await?.as_ref(), &kept);
    Ok(())
}

/// Reads what is there. A store that was out of reach may say so once more.
async fn loaded(store: &dyn TokenStore) -> Result<Option<crate::store::record::Record>, StoreError> {
    match store.load(&id()).await {
        Err(error) if error.is_unavailable() => store.load(&id()).await,
        loaded => loaded,
    }
}

/// A swap that could not write is neither done nor has it found anything; tokens that were not saved are saved again.
pub async fn a_swap_that_fails_is_not_done(subject: &Subject) -> Outcome {
    let (store, old, new) = (subject.store(), tokens(1, "old")?, tokens(2, "new")?);
    put(store, &old).await?;
    subject.fail(true).await;
    for expected in [None, Some(old.version()), Some(new.version())] {
        assert_unavailable(&store.swap(&id(), expected, &new).await);
    }
    subject.fail(false).await;
    // It may have happened all the same, as when only the answer was lost.
    match loaded(store).await? {
        Some(found) if found.version() == new.version() => assert_is(Some(&found), &new),
        found => {
            assert_is(found.as_ref(), &old);
            assert!(is_done(store, Some(old.version()), &new).await?, "it works when its place does");
        }
    }
    Ok(())
}

/// What may still be there was not removed.
pub async fn a_removal_that_fails_says_so(subject: &Subject) -> Outcome {
    let store = subject.store();
    put(store, &tokens(1, "old")?).await?;
    subject.fail(true).await;
    assert_unavailable(&store.remove(&id()).await);
    subject.fail(false).await;
    let _known_again = loaded(store).await?;
    store.remove(&id()).await?;
    assert!(store.load(&id()).await?.is_none(), "it works when its place does");
    Ok(())
}

/// A lock that cannot be asked for is neither free nor not shared: nobody knows whether another holder refreshes.
pub async fn a_lock_that_fails_is_not_had(subject: &Subject) -> Outcome {
    put(subject.store(), &tokens(1, "a")?).await?;
    subject.fail(true).await;
    for wait in [Duration::ZERO, Duration::from_millis(20)] {
        let lock: Result<Lock, StoreError> = subject.store().lock(&id(), LockRequest::new(wait, HOLD)).await;
        assert_unavailable(&lock);
    }
    subject.fail(false).await;
    let _known_again = loaded(subject.store()).await?;
    held_soon(subject, subject.store(), &id()).await.map(drop)
}
