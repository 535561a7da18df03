//! The laws as tests, each with its own name.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::store::conformance::subject::Subject;
use crate::store::contract::TokenStore;
use crate::store::error::StoreError;

/// What a law comes to: a broken one panics, and the store's own error ends it.
pub type Outcome = Result<(), StoreError>;

/// Holds one law against a subject, on a runtime of its own.
pub fn hold<L>(subject: impl Future<Output = Subject>, law: L) -> Result<(), Box<dyn Error>>
where
    L: AsyncFnOnce(&Subject) -> Outcome,
{
    let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
    runtime.block_on(async { law(&subject.await).await })?;
    Ok(())
}

/// Does this with each handle at the same time.
pub(crate) async fn side_by_side<F>(
    handles: Vec<Arc<dyn TokenStore>>,
    each: impl Fn(usize, Arc<dyn TokenStore>) -> F,
) -> Outcome
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let mut tasks: JoinSet<Outcome> = handles.into_iter().enumerate().map(|(nth, store)| each(nth, store)).collect();
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(outcome) => outcome?,
            Err(broken) if broken.is_panic() => std::panic::resume_unwind(broken.into_panic()),
            Err(cancelled) => return Err(StoreError::unavailable(cancelled)),
        }
    }
    Ok(())
}

/// Makes a test of each law that applies to a store, in a module of this name.
///
/// See [`conformance`](crate::conformance) for what the words say; none may be left out. `subject` is evaluated anew for
/// each test, with [`Subject`] in scope, on a runtime, and may `.await`.
#[macro_export]
macro_rules! store_conformance {
    (
        $name:ident, subject: $subject:expr, sessions: $sessions:ident, swap: $swap:ident, lasts: $lasts:ident,
        lock: $lock:ident $(,)?
    ) => {
        #[allow(non_snake_case, unused_imports)]
        mod $name {
            use super::*;
            use $crate::conformance::Subject;

            async fn subject() -> Subject {
                $subject
            }

            $crate::store_conformance!(@laws
                starts_empty returns_what_was_saved the_last_save_wins removing_twice_is_no_error tokens_may_be_64_kib_long
                every_field_survives unknown_members_survive tombstones_are_kept concurrent_saves_leave_one_whole_record
                a_dropped_save_happens_at_once_or_never debug_shows_no_secret a_swap_replaces_what_it_expected
                a_swap_compares_and_says_what_it_found
            );
            $crate::store_conformance!(@sessions $sessions);
            $crate::store_conformance!(@swap $swap);
            $crate::store_conformance!(@lasts $lasts);
            $crate::store_conformance!(@lock $lock $sessions);
        }
    };

    (@sessions one) => {};
    (@sessions many) => { $crate::store_conformance!(@laws sessions_do_not_mix odd_ids_stay_apart); };

    (@swap provided) => {};
    (@swap atomic) => {
        $crate::store_conformance!(@laws concurrent_swaps_have_one_winner versions_never_go_back_through_swap);
    };

    (@lasts no) => {};
    (@lasts yes) => {
        $crate::store_conformance!(@laws a_reopened_store_still_has_it what_one_handle_writes_the_other_reads);
    };

    (@lock not_shared $sessions:ident) => { $crate::store_conformance!(@laws a_lock_that_nobody_shares_says_so); };
    (@lock excludes many) => {
        $crate::store_conformance!(@lock excludes one);
        $crate::store_conformance!(@laws a_lock_of_one_session_leaves_the_others_free);
    };
    (@lock excludes one) => {
        $crate::store_conformance!(@laws
            a_lock_excludes a_busy_lock_is_busy_after_the_wait_and_not_before a_lock_is_free_after_release
            a_lock_is_free_after_drop a_lock_is_free_after_its_holder_died a_dropped_wait_takes_no_lock
            reading_and_writing_go_on_while_another_holds_the_lock
        );
    };

    (@laws $($law:ident)+) => {
        $(
            #[test]
            fn $law() -> ::std::result::Result<(), ::std::boxed::Box<dyn ::std::error::Error>> {
                $crate::conformance::hold(subject(), $crate::conformance::$law)
            }
        )+
    };
}
