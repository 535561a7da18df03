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
//!     lasts: no,
//!     lock: this_process,
//!     content: records,
//!     fails: no,
//! }
//! ```
//!
//! A store that other processes open is made at a place that they can be told. For the laws of several processes, the
//! test program starts itself again, as often as a law needs:
//!
//! ```
//! # #[cfg(all(test, feature = "file-store"))]
//! reqwest_auth_refresh::store_conformance! {
//!     files,
//!     subject: Subject::at(temporary_folder, |folder| {
//!         Subject::opened_by(move || FileStore::new(&folder))
//!             .corrupted_by(..)
//!             .failing_by(..)
//!             .lock_is_lost_by(..)
//!     }),
//!     sessions: many,
//!     lasts: yes,
//!     lock: this_machine,
//!     content: bytes,
//!     fails: yes,
//! }
//! ```
//!
//! What a store need not have is said by these words, none of which may be left out, so that no law is passed over unseen:
//!
//! | word | says | needs |
//! |---|---|---|
//! | `sessions: many` or `one` | whether one store keeps several sessions | |
//! | `lasts: yes` or `no` | whether a store that is opened again, as by the next run of the program, finds what was saved | [`Subject::reopened_by`] |
//! | `lock: not_shared`, `this_process`, `this_machine` or `lease` | how far the lock reaches, as its guard's [`reach`](crate::LockGuard::reach) says | the last two: [`Subject::at`], [`Subject::lock_is_lost_by`] |
//! | `content: bytes` or `records` | whether the place can hold what is no record, or the store keeps [`Record`](crate::Record)s as they are, in memory | `bytes`: [`Subject::corrupted_by`] |
//! | `fails: yes` or `no` | whether the place can be out of reach, as all are but memory | `yes`: [`Subject::failing_by`] |
//! | `one_program: yes` | that no other process can open the place, as in a browser's tab of its own or an embedded database that is locked | may be left out |
//!
//! Where the place lasts, and so is seen by the program that is started while this one runs, a lock that does not reach that
//! program makes both refresh at once. It is refused, unless `one_program: yes` is said:
//!
//! ```compile_fail
//! reqwest_auth_refresh::store_conformance! {
//!     wrong,
//!     subject: Subject::new(reqwest_auth_refresh::MemoryStore::default()),
//!     sessions: many, lasts: yes, lock: this_process, content: records, fails: no,
//! }
//! ```
//!
//! ```
//! reqwest_auth_refresh::store_conformance! {
//!     of_one_program,
//!     subject: Subject::new(reqwest_auth_refresh::MemoryStore::default()),
//!     sessions: many, lasts: yes, lock: this_process, content: records, fails: no, one_program: yes,
//! }
//! ```
//!
//! No law is kept or broken by chance as far as a store that is right is concerned: nothing depends on how fast it is, but
//! for [`Subject::patience`]. The laws run in real time, on a runtime of several threads, each over a subject of its own; one
//! takes three seconds, unless there is [`Subject::time_passes_by`].
//!
//! # In a browser
//!
//! On `wasm32` the tests are those of the crate `wasm-bindgen-test`, which the program must have among its
//! `dev-dependencies`. All laws run there but those of several processes: `a_lock_excludes_another_process`,
//! `a_lock_is_free_after_its_holder_died`, `what_another_process_writes_is_read_here`, `no_swap_is_lost_between_processes` and
//! `a_killed_writer_leaves_a_whole_record`. What runs side by side does so on one thread.
#![allow(
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    reason = "a law that is broken panics, and a store's error ends it, as with any test"
)]
#![allow(clippy::future_not_send, reason = "a law stays on the thread of its test")]

mod content;
mod failing;
mod holder;
mod lasting;
mod leases;
mod locks;
#[cfg(not(target_arch = "wasm32"))]
mod part;
#[cfg(not(target_arch = "wasm32"))]
mod process;
#[cfg(not(target_arch = "wasm32"))]
mod processes;
mod records;
mod sample;
mod sessions;
mod subject;
mod suite;
mod swaps;
mod trial;

pub use content::{
    a_login_replaces_content_that_is_no_record, a_newer_record_is_left_alone, content_that_is_no_record_has_no_version,
    content_that_is_no_record_is_said_once, whatever_is_there_can_be_removed,
};
pub use failing::{
    a_load_that_fails_does_not_say_nothing, a_lock_that_fails_is_not_had, a_removal_that_fails_says_so,
    a_swap_that_fails_is_not_done,
};
pub use lasting::{a_reopened_store_still_has_it, what_one_handle_writes_the_other_reads};
pub use leases::{
    a_guard_whose_lock_was_taken_away_says_so, a_lease_says_so, a_lock_is_held_for_as_long_as_its_guard_lives,
    a_lock_of_this_machine_says_so, a_lock_of_this_process_says_so,
};
pub use locks::{
    a_busy_lock_says_so_after_the_wait, a_dropped_acquisition_takes_no_lock, a_dropped_wait_takes_no_lock,
    a_lock_excludes, a_lock_is_free_after_drop, a_lock_is_free_after_release,
    a_lock_is_had_by_its_waiter_once_it_is_released, a_lock_that_is_not_shared_says_so, a_removal_leaves_the_lock_held,
    a_swap_leaves_the_lock_held, reading_and_writing_need_no_lock,
};
#[cfg(not(target_arch = "wasm32"))]
pub use part::another_process;
#[cfg(not(target_arch = "wasm32"))]
pub use processes::{
    a_killed_writer_leaves_a_whole_record, a_lock_excludes_another_process, a_lock_is_free_after_its_holder_died,
    no_swap_is_lost_between_processes, what_another_process_writes_is_read_here,
};
pub use records::{
    debug_shows_no_secret, every_field_survives, readers_find_whole_records, registrations_survive,
    removing_twice_is_no_error, returns_what_was_saved, sealed_content_survives, starts_empty,
    the_last_record_replaces_the_one_before, tokens_may_be_64_kib_long, tombstones_survive, unknown_members_survive,
};
pub use sessions::{odd_ids_stay_apart, sessions_do_not_mix, the_lock_of_one_session_leaves_all_others_free};
pub use subject::Subject;
pub use swaps::{
    a_dropped_swap_happens_at_once_or_never, a_swap_replaces_what_it_expected, a_swap_says_what_it_found,
    concurrent_swaps_have_one_winner, every_bit_of_a_version_counts, versions_never_go_back_through_swap,
};
pub use trial::{Law, Outcome, hold};
