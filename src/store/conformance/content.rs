//! Laws of content that is no record, and of records of the future.

use crate::store::conformance::sample::{self, assert_is, id, put, tokens};
use crate::store::conformance::subject::Subject;
use crate::store::conformance::swaps::is_done;
use crate::store::conformance::trial::Outcome;
use crate::store::contract::{Swap, TokenStore};
use crate::store::error::StoreError;

/// Puts this in the place of a record that was there.
async fn replace_by(subject: &Subject, bytes: &[u8]) -> Outcome {
    put(subject.store(), &tokens(1, "old")?).await?;
    subject.corrupt(&id(), bytes).await;
    Ok(())
}

fn is_newer<T>(answer: Result<T, StoreError>) -> bool {
    answer.is_err_and(|error| error.is_newer())
}

/// A record of a newer major form is neither read, set aside nor overwritten, also by a login.
pub async fn a_newer_record_is_left_alone(subject: &Subject) -> Outcome {
    let (store, new) = (subject.store(), tokens(2, "new")?);
    for newer in sample::newer() {
        replace_by(subject, newer).await?;
        for handle in [store, &*subject.another()] {
            assert!(is_newer(handle.load(&id()).await), "read by another version of the program");
            assert!(is_newer(handle.swap(&id(), None, &new).await), "overwritten by a login");
            for expected in [tokens(1, "old")?.version(), new.version()] {
                assert!(is_newer(handle.swap(&id(), Some(expected), &new).await), "overwritten");
            }
        }
        assert!(is_newer(store.load(&id()).await), "it is still there");
        store.remove(&id()).await?;
    }
    Ok(())
}

/// Content that is no record is said once, and set aside: the next reader finds nothing, and not an error for ever.
pub async fn content_that_is_no_record_is_said_once(subject: &Subject) -> Outcome {
    for garbage in sample::garbage()? {
        replace_by(subject, &garbage).await?;
        let said = subject.store().load(&id()).await;
        assert!(said.as_ref().is_err_and(StoreError::is_unreadable), "{said:?} of {} bytes", garbage.len());
        for handle in [subject.store(), &*subject.another()] {
            assert!(handle.load(&id()).await?.is_none(), "it was set aside");
        }
    }
    Ok(())
}

/// A login replaces content that is no record: otherwise nobody could log in again.
pub async fn a_login_replaces_content_that_is_no_record(subject: &Subject) -> Outcome {
    let (store, new) = (subject.store(), tokens(2, "new")?);
    for garbage in sample::garbage()? {
        replace_by(subject, &garbage).await?;
        assert!(is_done(store, None, &new).await?, "what is no record counts as nothing");
        assert_is(subject.another().load(&id()).await?.as_ref(), &new);
    }
    Ok(())
}

/// A swap that expects a version does not find it in content that is no record, and writes nothing.
pub async fn content_that_is_no_record_has_no_version(subject: &Subject) -> Outcome {
    let (store, old) = (subject.store(), tokens(1, "old")?);
    for garbage in sample::garbage()? {
        replace_by(subject, &garbage).await?;
        match store.swap(&id(), Some(old.version()), &tokens(2, "new")?).await {
            Ok(swap) => assert!(matches!(swap, Swap::Found(None)), "{swap:?}"),
            Err(error) => assert!(error.is_unreadable(), "{error:?}"),
        }
        let found = store.load(&id()).await;
        assert!(!matches!(found, Ok(Some(_))), "nothing was written: {found:?}");
    }
    Ok(())
}

/// Whatever is there can be removed, and a login follows: the way out for a person.
pub async fn whatever_is_there_can_be_removed(subject: &Subject) -> Outcome {
    let (store, new) = (subject.store(), tokens(2, "new")?);
    let newer = sample::newer().map(<[u8]>::to_vec);
    for bytes in sample::garbage()?.into_iter().chain(newer) {
        replace_by(subject, &bytes).await?;
        store.remove(&id()).await?;
        assert!(store.load(&id()).await?.is_none(), "it was removed");
        assert!(is_done(store, None, &new).await?, "nothing is in its way");
        assert_is(store.load(&id()).await?.as_ref(), &new);
    }
    Ok(())
}
