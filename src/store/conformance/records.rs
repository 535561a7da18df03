//! Laws of one record.

use crate::store::conformance::sample::{self, CANARY, assert_is, id, put, tokens};
use crate::store::conformance::subject::Subject;
use crate::store::conformance::trial::{Outcome, side_by_side};
use crate::store::contract::{LockRequest, Swap, TokenStore};
use crate::store::record::Record;

/// Saves, loads, and compares all of it.
async fn survives(store: &dyn TokenStore, record: &Record) -> Outcome {
    put(store, record).await?;
    assert_is(store.load(record.session()).await?.as_ref(), record);
    Ok(())
}

/// A new store holds nothing.
pub async fn starts_empty(subject: &Subject) -> Outcome {
    assert!(subject.store().load(&id()).await?.is_none(), "the subject must be empty");
    Ok(())
}

/// What was saved is what is loaded.
pub async fn returns_what_was_saved(subject: &Subject) -> Outcome {
    survives(subject.store(), &tokens(1, "a")?).await
}

/// The next record replaces the one before, also a shorter one, and one of a lower version.
pub async fn the_last_record_replaces_the_one_before(subject: &Subject) -> Outcome {
    survives(subject.store(), &tokens(1, "a")?).await?;
    survives(subject.store(), &tokens(2, "a-longer-one-than-before")?).await?;
    survives(subject.store(), &tokens(1, "b")?).await
}

/// Removing what is not there is no error, and what was removed is gone.
pub async fn removing_twice_is_no_error(subject: &Subject) -> Outcome {
    let store = subject.store();
    store.remove(&id()).await?;
    put(store, &tokens(1, "a")?).await?;
    store.remove(&id()).await?;
    assert!(store.load(&id()).await?.is_none(), "it was removed");
    store.remove(&id()).await?;
    survives(store, &tokens(2, "b")?).await
}

/// Nothing is cut off: some issuers put a whole directory into a token.
pub async fn tokens_may_be_64_kib_long(subject: &Subject) -> Outcome {
    for length in [2 * 1024, 4 * 1024, 64 * 1024] {
        survives(subject.store(), &tokens(1, &"x".repeat(length))?).await?;
    }
    survives(subject.store(), &tokens(1, "short-again")?).await
}

/// All that this version of the crate knows is kept.
pub async fn every_field_survives(subject: &Subject) -> Outcome {
    survives(subject.store(), &sample::full()?).await
}

/// What a later version of the crate wrote is kept too: in the record, in its tokens and in a tombstone, to the last digit.
pub async fn unknown_members_survive(subject: &Subject) -> Outcome {
    for record in sample::unknown()? {
        survives(subject.store(), &record).await?;
    }
    Ok(())
}

/// How a login ended is kept as its tokens were.
pub async fn tombstones_survive(subject: &Subject) -> Outcome {
    for tombstone in sample::tombstones()? {
        survives(subject.store(), &tokens(1, "a")?).await?;
        survives(subject.store(), &tombstone).await?;
    }
    Ok(())
}

/// What a store above has sealed is kept, though this one cannot read it.
pub async fn sealed_content_survives(subject: &Subject) -> Outcome {
    survives(subject.store(), &sample::sealed()).await
}

/// What a record belongs to is kept: no registration and an empty one are two, and a tombstone has one too.
pub async fn registrations_survive(subject: &Subject) -> Outcome {
    for record in sample::registered()? {
        survives(subject.store(), &record).await?;
        let found = subject.store().load(&id()).await?;
        assert_eq!(found.as_ref().and_then(Record::registration), record.registration());
    }
    Ok(())
}

/// A reader finds what one of many writers wrote, whole.
pub async fn readers_find_whole_records(subject: &Subject) -> Outcome {
    put(subject.store(), &tokens(0, "first")?).await?;
    side_by_side(subject.handles(6), |nth, store| async move {
        for round in 0..4_u64 {
            let text = format!("{nth}-{round}-").repeat(1 + nth * 97);
            put(&*store, &tokens(round, &text)?).await?;
            let found = store.load(&id()).await?;
            assert!(found.as_ref().is_some_and(is_whole), "neither a mixture nor nothing");
        }
        Ok(())
    })
    .await
}

/// Whether every part of a sample is of the same one.
pub(crate) fn is_whole(record: &Record) -> bool {
    let bytes = record.to_bytes();
    let text = String::from_utf8_lossy(&bytes);
    let of = |member: &str| Some(text.split_once(&format!("\"{member}\":\""))?.1.split_once('"')?.0.to_owned());
    let access = of("access_token").and_then(|token| Some(token.strip_prefix(CANARY)?.to_owned()));
    let refresh = of("refresh_token").and_then(|token| Some(token.strip_prefix("canary-refresh")?.to_owned()));
    access.is_some() && access == refresh
}

/// Neither the store, nor what it says, shows a token.
pub async fn debug_shows_no_secret(subject: &Subject) -> Outcome {
    let store = subject.store();
    put(store, &sample::full()?).await?;
    let swapped: Swap = store.swap(&id(), None, &tokens(1, "a")?).await?;
    let lock = store.lock(&id(), LockRequest::new(subject.bound(), subject.bound())).await?;
    let (pointer, found) = (subject.another(), store.load(&id()).await?);
    let shown = format!("{} {swapped:?} {lock:?} {pointer:?} {found:?} {subject:?}", subject.shown());
    assert!(!shown.contains(CANARY), "a token is shown");
    Ok(())
}
