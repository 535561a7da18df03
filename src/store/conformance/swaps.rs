//! Laws of replacing a record only if it is the expected one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::id::{LoginId, Version};
use crate::store::conformance::sample::{assert_is, id, put, tokens, tokens_of, version};
use crate::store::conformance::subject::Subject;
use crate::store::conformance::trial::{Outcome, polled, side_by_side};
use crate::store::contract::{Swap, TokenStore};
use crate::store::error::StoreError;
use crate::store::record::Record;

pub(crate) async fn is_done(
    store: &dyn TokenStore,
    expected: Option<Version>,
    new: &Record,
) -> Result<bool, StoreError> {
    Ok(matches!(store.swap(new.session(), expected, new).await?, Swap::Done))
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
pub async fn a_swap_says_what_it_found(subject: &Subject) -> Outcome {
    let (store, new) = (subject.store(), tokens(9, "new")?);
    let on_nothing = store.swap(&id(), Some(version(1)), &new).await?;
    assert!(matches!(on_nothing, Swap::Found(None)), "nothing was there: {on_nothing:?}");
    assert!(store.load(&id()).await?.is_none(), "and nothing is");
    let old = tokens(5, "old")?;
    put(store, &old).await?;
    let of_another_login = Version::new(LoginId::from_bits(1), 5);
    for expected in [None, Some(version(4)), Some(version(6)), Some(of_another_login)] {
        let Swap::Found(found) = store.swap(&id(), expected, &new).await? else {
            return Err(StoreError::unavailable(format!("swapped for {expected:?} what was {:?}", old.version())));
        };
        assert_is(found.as_ref(), &old);
        assert_is(store.load(&id()).await?.as_ref(), &old);
    }
    Ok(())
}

/// Two versions that differ in one bit are two: in any of the 128 of the login, and of the 64 of the generation.
pub async fn every_bit_of_a_version_counts(subject: &Subject) -> Outcome {
    let (login, generation) = (0xA5C3_9600_FF5A_3C69_0096_C3A5_695A_3CFF_u128, 0xA5A5_5A5A_FF00_00FF_u64);
    let of = |login, generation| Version::new(LoginId::from_bits(login), generation);
    let (store, stored) = (subject.store(), tokens_of(&id(), of(login, generation), "stored")?);
    assert!(is_done(store, None, &stored).await?, "nothing was there");
    let logins = (0..u128::BITS).map(|bit| of(login ^ (1 << bit), generation));
    let generations = (0..u64::BITS).map(|bit| of(login, generation ^ (1 << bit)));
    let new = tokens_of(&id(), of(1, 1), "new")?;
    for other in logins.chain(generations) {
        assert!(!is_done(store, Some(other), &new).await?, "{other} was taken for {}", stored.version());
    }
    let edges = [0, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, u64::MAX];
    let mut expected = stored.version();
    for version in edges.into_iter().flat_map(|edge| [of(0, edge), of(u128::MAX, edge)]) {
        let new = tokens_of(&id(), version, "edge")?;
        assert!(is_done(store, Some(expected), &new).await?, "{expected} was there");
        assert_is(store.load(&id()).await?.as_ref(), &new);
        expected = version;
    }
    Ok(())
}

/// Of many users who replace the same version at once, one does.
pub async fn concurrent_swaps_have_one_winner(subject: &Subject) -> Outcome {
    for round in 0..5_u64 {
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
        let winner = winner.ok_or_else(|| StoreError::unavailable("no swap has replaced it"))?;
        assert_is(subject.store().load(&id()).await?.as_ref(), &tokens(round, &winner.to_string())?);
    }
    Ok(())
}

/// Where all replace what they read by its next version, readers see versions grow, and no swap is lost.
pub async fn versions_never_go_back_through_swap(subject: &Subject) -> Outcome {
    put(subject.store(), &tokens(0, "first")?).await?;
    let done = Arc::new(AtomicU64::new(0));
    side_by_side(subject.handles(6), |nth, store| {
        let done = Arc::clone(&done);
        async move {
            let mut seen = 0;
            for _round in 0..6 {
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

/// A swap whose future is dropped has happened or not; it does not come later, over what was written or removed since.
pub async fn a_dropped_swap_happens_at_once_or_never(subject: &Subject) -> Outcome {
    let (store, another) = (subject.store(), subject.another());
    let (first, dropped) = (tokens(1, "first")?, tokens(2, "dropped")?);
    let (last, settled) = (tokens(1, "last")?, tokens(3, "settled")?);
    for round in 0..12 {
        // Over a record that has the same version again, and over nothing, so that nothing is compared in vain.
        put(store, &first).await?;
        let _maybe = polled(round % 4, store.swap(&id(), Some(first.version()), &dropped)).await;
        put(&*another, &last).await?;
        // What the handle had still to do is done before its next call, or never.
        assert!(is_done(store, Some(last.version()), &settled).await?, "the last record was overwritten");
        another.remove(&id()).await?;
        let _maybe = polled(round % 4, store.swap(&id(), None, &dropped)).await;
        another.remove(&id()).await?;
        let found = store.swap(&id(), Some(first.version()), &settled).await?;
        assert!(matches!(found, Swap::Found(None)), "what was removed came back: {found:?}");
        tokio::task::yield_now().await;
        assert!(another.load(&id()).await?.is_none(), "what was removed came back");
    }
    Ok(())
}
