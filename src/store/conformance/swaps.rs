//! Laws of replacing a record only if it is the expected one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::id::{SessionId, Version};
use crate::store::conformance::sample::{assert_is, put, tokens, version};
use crate::store::conformance::subject::Subject;
use crate::store::conformance::suite::{Outcome, side_by_side};
use crate::store::contract::{Swap, TokenStore};
use crate::store::error::StoreError;
use crate::store::record::Record;

fn id() -> SessionId {
    SessionId::default()
}

async fn is_done(store: &dyn TokenStore, expected: Option<Version>, new: &Record) -> Result<bool, StoreError> {
    Ok(matches!(store.swap(&id(), expected, new).await?, Swap::Done))
}

/// What is expected is replaced: nothing by a first record, and a version by any other.
pub async fn a_swap_replaces_what_it_expected(subject: &Subject) -> Outcome {
    let store = subject.store();
    for (expected, new) in [(None, 1), (Some(1), 2), (Some(2), 9), (Some(9), 3)] {
        let new = tokens(new, "a")?;
        assert!(is_done(store, expected.map(version), &new).await?, "{expected:?} was there");
        assert_is(store.load(&id()).await?.as_ref(), &new);
    }
    Ok(())
}

/// What is not expected stays, and is what the swap returns.
pub async fn a_swap_compares_and_says_what_it_found(subject: &Subject) -> Outcome {
    let (store, new) = (subject.store(), tokens(9, "new")?);
    let on_nothing = store.swap(&id(), Some(version(1)), &new).await?;
    assert!(matches!(on_nothing, Swap::Found(None)), "nothing was there: {on_nothing:?}");
    assert!(store.load(&id()).await?.is_none(), "and nothing is");
    let old = tokens(5, "old")?;
    put(store, &id(), &old).await?;
    let other_login = Version { generation: 5, ..tokens(5, "")?.version().next() };
    let other_login = Version::new(crate::id::LoginId::from_bits(1), other_login.generation);
    for expected in [None, Some(version(4)), Some(version(6)), Some(other_login)] {
        let Swap::Found(found) = store.swap(&id(), expected, &new).await? else {
            return Err(StoreError::unavailable(format!("swapped for {expected:?} what was {:?}", old.version())));
        };
        assert_is(found.as_ref(), &old);
        assert_is(store.load(&id()).await?.as_ref(), &old);
    }
    Ok(())
}

/// Of many who replace the same version at once, one does.
pub async fn concurrent_swaps_have_one_winner(subject: &Subject) -> Outcome {
    for round in 0..20_u64 {
        let winner = Arc::new(AtomicU64::new(0));
        side_by_side(subject.handles(8), |nth, store| {
            let winner = Arc::clone(&winner);
            async move {
                let expected = round.checked_sub(1).map(version);
                if is_done(&*store, expected, &tokens(round, &nth.to_string())?).await? {
                    let before = winner.fetch_add(1 + nth as u64, Ordering::SeqCst);
                    assert_eq!(before, 0, "a second one has replaced the same version in round {round}");
                }
                Ok(())
            }
        })
        .await?;
        let winner = winner.load(Ordering::SeqCst).checked_sub(1);
        let winner = winner.ok_or_else(|| StoreError::unavailable("nobody has replaced it"))?;
        assert_is(subject.store().load(&id()).await?.as_ref(), &tokens(round, &winner.to_string())?);
    }
    Ok(())
}

/// Where everyone replaces what they read by its next version, readers see versions grow, and none is lost.
pub async fn versions_never_go_back_through_swap(subject: &Subject) -> Outcome {
    put(subject.store(), &id(), &tokens(0, "first")?).await?;
    let done = Arc::new(AtomicU64::new(0));
    side_by_side(subject.handles(6), |nth, store| {
        let done = Arc::clone(&done);
        async move {
            let mut seen = 0;
            for _round in 0..20 {
                let now = store.load(&id()).await?.map_or(0, |found| found.version().generation);
                assert!(now >= seen, "{now} after {seen}");
                seen = now;
                let swapped = is_done(&*store, Some(version(now)), &tokens(now + 1, &nth.to_string())?).await?;
                done.fetch_add(u64::from(swapped), Ordering::SeqCst);
            }
            Ok(())
        }
    })
    .await?;
    let last = subject.store().load(&id()).await?.map(|found| found.version().generation);
    assert_eq!(last, Some(done.load(Ordering::SeqCst)), "each swap counts once");
    Ok(())
}
