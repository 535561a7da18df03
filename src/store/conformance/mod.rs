//! The laws that every [`TokenStore`](crate::TokenStore) must keep, as tests.
//!
//! Behind the feature `conformance`, and **not part of the stable interface**: laws may be added in any version, since a store
//! that breaks one loses somebody's login.
//!
//! Each law is a function over a [`Subject`], named as the sentence that it holds.
//! [`store_conformance!`](crate::store_conformance) makes a test of each that applies:
//!
//! ```
//! # #[cfg(test)]
//! reqwest_auth_refresh::store_conformance! {
//!     memory,
//!     subject: Subject::new(reqwest_auth_refresh::MemoryStore::default()),
//!     sessions: many,
//!     swap: atomic,
//!     lasts: no,
//!     lock: not_shared,
//! }
//! ```
//!
//! What a store need not have is said by these words, none of which may be left out, so that no law is passed over unseen:
//!
//! | word | says |
//! |---|---|
//! | `sessions: many` or `one` | whether one store keeps several sessions |
//! | `swap: atomic` or `provided` | whether several may write at once, or the store keeps the provided `swap` |
//! | `lasts: yes` or `no` | whether a store that is opened again, as by the next run of the program or by another process, finds what was saved; needs [`Subject::reopened_by`] |
//! | `lock: excludes` or `not_shared` | whether processes share one refresh by the store's lock; `excludes` needs [`Subject::holder_dies_by`] |
//!
//! The laws run in real time, on a runtime of several threads, each over a subject of its own.
#![allow(
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    reason = "a law that is broken panics, and a store's error ends it, as with any test"
)]

mod lasting;
mod locks;
mod records;
mod sample;
mod sessions;
mod subject;
mod suite;
mod swaps;

pub use lasting::{a_reopened_store_still_has_it, what_one_handle_writes_the_other_reads};
pub use locks::{
    a_busy_lock_is_busy_after_the_wait_and_not_before, a_dropped_wait_takes_no_lock, a_lock_excludes,
    a_lock_is_free_after_drop, a_lock_is_free_after_its_holder_died, a_lock_is_free_after_release,
    a_lock_of_one_session_leaves_the_others_free, a_lock_that_nobody_shares_says_so,
    reading_and_writing_go_on_while_another_holds_the_lock,
};
pub use records::{
    a_dropped_save_happens_at_once_or_never, concurrent_saves_leave_one_whole_record, debug_shows_no_secret,
    every_field_survives, removing_twice_is_no_error, returns_what_was_saved, starts_empty, the_last_save_wins,
    tokens_may_be_64_kib_long, tombstones_are_kept, unknown_members_survive,
};
pub use sessions::{odd_ids_stay_apart, sessions_do_not_mix};
pub use subject::Subject;
pub use suite::{Outcome, hold};
pub use swaps::{
    a_swap_compares_and_says_what_it_found, a_swap_replaces_what_it_expected, concurrent_swaps_have_one_winner,
    versions_never_go_back_through_swap,
};
