//! Laws of a store that lasts longer than the program.

use crate::id::SessionId;
use crate::store::conformance::sample::{self, assert_is, put, tokens};
use crate::store::conformance::subject::Subject;
use crate::store::conformance::suite::Outcome;
use crate::store::contract::Swap;

fn id() -> SessionId {
    SessionId::default()
}

/// The next run of the program finds what this one saved.
pub async fn a_reopened_store_still_has_it(subject: &Subject) -> Outcome {
    let mut records = vec![tokens(1, "a")?, sample::full()?, sample::unknown()?];
    records.extend(sample::tombstones()?);
    for record in records {
        put(subject.store(), &id(), &record).await?;
        assert_is(subject.reopened().load(&id()).await?.as_ref(), &record);
    }
    subject.store().remove(&id()).await?;
    assert!(subject.reopened().load(&id()).await?.is_none(), "it was removed");
    Ok(())
}

/// Nothing is kept back in a handle: what another one wrote is read, and compared, at once.
pub async fn what_one_handle_writes_the_other_reads(subject: &Subject) -> Outcome {
    let (one, other) = (subject.reopened(), subject.reopened());
    for generation in 0..5 {
        let (first, second) = (tokens(2 * generation, "first")?, tokens(2 * generation + 1, "second")?);
        put(&*one, &id(), &first).await?;
        assert_is(other.load(&id()).await?.as_ref(), &first);
        let swapped = other.swap(&id(), Some(first.version()), &second).await?;
        assert!(matches!(swapped, Swap::Done), "{swapped:?}");
        let found = one.swap(&id(), Some(first.version()), &first).await?;
        assert!(matches!(found, Swap::Found(Some(_))), "{found:?}");
        assert_is(one.load(&id()).await?.as_ref(), &second);
    }
    Ok(())
}
