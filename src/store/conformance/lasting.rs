//! Laws of a store that lasts longer than the program.

use crate::store::conformance::sample::{self, assert_is, id, put, tokens};
use crate::store::conformance::subject::Subject;
use crate::store::conformance::swaps::is_done;
use crate::store::conformance::trial::Outcome;

/// The next run of the program finds what this one saved.
pub async fn a_reopened_store_still_has_it(subject: &Subject) -> Outcome {
    let mut records = vec![tokens(1, "a")?, sample::full()?, sample::sealed()];
    records.extend(sample::tombstones()?);
    records.extend(sample::unknown()?);
    for record in records {
        put(subject.store(), &record).await?;
        assert_is(subject.reopened().load(&id()).await?.as_ref(), &record);
    }
    subject.store().remove(&id()).await?;
    assert!(subject.reopened().load(&id()).await?.is_none(), "it was removed");
    Ok(())
}

/// Nothing is kept back in a handle: what another one writes is read, and compared, at once.
pub async fn what_one_handle_writes_the_other_reads(subject: &Subject) -> Outcome {
    let (one, other) = (subject.reopened(), subject.reopened());
    for generation in 0..5 {
        let (first, second) = (tokens(2 * generation, "first")?, tokens(2 * generation + 1, "second")?);
        put(&*one, &first).await?;
        assert_is(other.load(&id()).await?.as_ref(), &first);
        assert!(is_done(&*other, Some(first.version()), &second).await?, "the first record is there");
        assert!(!is_done(&*one, Some(first.version()), &first).await?, "the first record is there no longer");
        assert_is(one.load(&id()).await?.as_ref(), &second);
    }
    Ok(())
}
