//! Laws of one record.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use crate::id::SessionId;
use crate::store::conformance::sample::{self, CANARY, assert_is, put, tokens};
use crate::store::conformance::subject::Subject;
use crate::store::conformance::suite::{Outcome, side_by_side};
use crate::store::contract::{LockRequest, Swap, TokenStore};
use crate::store::record::Record;

fn id() -> SessionId {
    SessionId::default()
}

/// Saves, loads, and compares all of it.
async fn survives(store: &dyn TokenStore, record: &Record) -> Outcome {
    put(store, &id(), record).await?;
    assert_is(store.load(&id()).await?.as_ref(), record);
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

/// A later save replaces an earlier one, also with a lower version: whoever saves knows.
pub async fn the_last_save_wins(subject: &Subject) -> Outcome {
    survives(subject.store(), &tokens(1, "a")?).await?;
    survives(subject.store(), &tokens(2, "a-longer-one-than-before")?).await?;
    survives(subject.store(), &tokens(1, "b")?).await
}

/// Removing what is not there is no error, and what was removed is gone.
pub async fn removing_twice_is_no_error(subject: &Subject) -> Outcome {
    let store = subject.store();
    store.remove(&id()).await?;
    put(store, &id(), &tokens(1, "a")?).await?;
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

/// What a later version of the crate wrote is kept too.
pub async fn unknown_members_survive(subject: &Subject) -> Outcome {
    survives(subject.store(), &sample::unknown()?).await
}

/// How a login ended is kept as its tokens were.
pub async fn tombstones_are_kept(subject: &Subject) -> Outcome {
    for tombstone in sample::tombstones()? {
        survives(subject.store(), &tokens(1, "a")?).await?;
        survives(subject.store(), &tombstone).await?;
    }
    Ok(())
}

/// Whoever reads while others write finds what one of them wrote, whole.
pub async fn concurrent_saves_leave_one_whole_record(subject: &Subject) -> Outcome {
    put(subject.store(), &id(), &tokens(0, "first")?).await?;
    side_by_side(subject.handles(8), |nth, store| async move {
        for round in 0..8_u64 {
            let text = format!("{nth}-{round}-").repeat(1 + nth * 97);
            put(&*store, &id(), &tokens(round, &text)?).await?;
            let found = store.load(&id()).await?.and_then(|found| whole(&found));
            assert!(found.is_some(), "no mixture, and never nothing");
        }
        Ok(())
    })
    .await
}

/// The text of a sample, if every part of the record is of the same one.
fn whole(record: &Record) -> Option<String> {
    let bytes = record.to_bytes();
    let text = String::from_utf8_lossy(&bytes);
    let of = |member: &str| Some(text.split_once(&format!("\"{member}\":\""))?.1.split_once('"')?.0.to_owned());
    let access = of("access_token")?;
    let same = access.strip_prefix(CANARY)? == of("refresh_token")?.strip_prefix("canary-refresh")?;
    same.then_some(access)
}

/// A save whose future is dropped has happened or not; it does not come later, over what was written since.
pub async fn a_dropped_save_happens_at_once_or_never(subject: &Subject) -> Outcome {
    let another = subject.another();
    for round in 0..10 {
        let (dropped, last) = (tokens(round, "dropped")?, tokens(round, "last")?);
        let _maybe = put(subject.store(), &id(), &dropped).now_or_never();
        put(&*another, &id(), &last).await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_is(another.load(&id()).await?.as_ref(), &last);
    }
    Ok(())
}

/// Neither the store, nor what it answers, shows a token.
pub async fn debug_shows_no_secret(subject: &Subject) -> Outcome {
    let store = subject.store();
    put(store, &id(), &sample::full()?).await?;
    let swapped: Swap = store.swap(&id(), None, &tokens(1, "a")?).await?;
    let lock = store.lock(&id(), LockRequest::new(Duration::ZERO, Duration::from_secs(60))).await?;
    let pointer: Arc<dyn TokenStore> = subject.another();
    let shown = format!("{} {swapped:?} {lock:?} {pointer:?} {subject:?}", subject.shown());
    assert!(!shown.contains(CANARY), "{shown}");
    Ok(())
}
