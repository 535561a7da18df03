//! Stores that are wrong in ways that stores are wrong in, each caught by the law that forbids it. The same store without
//! the fault keeps every law, so that none is caught for another reason.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;

use reqwest_auth_refresh::conformance::{self, hold};
use reqwest_auth_refresh::store_conformance;

#[allow(clippy::wildcard_enum_match_arm, reason = "each step is spoilt by the faults it names, and by no other")]
mod in_files;
#[allow(clippy::wildcard_enum_match_arm, reason = "each step is spoilt by the faults it names, and by no other")]
mod in_memory;

store_conformance! {
    right_in_memory,
    subject: in_memory::subject(in_memory::Fault::None),
    sessions: many, lasts: yes, lock: this_process, content: bytes, fails: yes, one_program: yes,
}

store_conformance! {
    right_in_files,
    subject: in_files::subject(in_files::Fault::None),
    sessions: one, lasts: yes, lock: this_machine, content: bytes, fails: yes,
}

/// A wrong store, the law that it breaks, and whether that is held with its fault and without.
struct Case {
    fault: String,
    law: &'static str,
    is_kept: Box<dyn Fn(bool) -> bool + Send>,
}

macro_rules! cases {
    ($kind:ident: $($fault:ident breaks $law:ident,)+) => {
        [$(Case {
            fault: format!("{}::{:?}", stringify!($kind), $kind::Fault::$fault),
            law: stringify!($law),
            is_kept: Box::new(|wrong| {
                let subject = async {
                    let subject = $kind::subject(if wrong { $kind::Fault::$fault } else { $kind::Fault::None });
                    // A right one gets all the time that a busy machine needs.
                    if wrong { subject.patience(Duration::from_secs(2)) } else { subject }
                };
                catch_unwind(AssertUnwindSafe(|| hold(subject, conformance::$law).is_ok())).unwrap_or(false)
            }),
        }),+]
    };
}

fn cases() -> Vec<Case> {
    let in_memory = cases! { in_memory:
        RememberedALogin breaks starts_empty,
        KnowsNoCase breaks odd_ids_stay_apart,
        CutsOff breaks tokens_may_be_64_kib_long,
        LeavesATail breaks the_last_record_replaces_the_one_before,
        ForgetsTheExpiry breaks every_field_survives,
        ForgetsTheUnknown breaks unknown_members_survive,
        ForgetsTheRegistration breaks registrations_survive,
        KeepsNoTombstones breaks tombstones_survive,
        ReadsWhatItKeeps breaks sealed_content_survives,
        KeepsOneSession breaks sessions_do_not_mix,
        Tears breaks readers_find_whole_records,
        Shows breaks debug_shows_no_secret,
        MissesWhatIsGone breaks removing_twice_is_no_error,
        SwapsInThreeSteps breaks concurrent_swaps_have_one_winner,
        SwapsInThreeSteps breaks versions_never_go_back_through_swap,
        SwapsBlindly breaks a_swap_says_what_it_found,
        ComparesHalfALogin breaks every_bit_of_a_version_counts,
        ComparesHalfAGeneration breaks every_bit_of_a_version_counts,
        ComparesFloats breaks every_bit_of_a_version_counts,
        LandsLate breaks a_dropped_swap_happens_at_once_or_never,
        KeepsACopy breaks what_one_handle_writes_the_other_reads,
        EndsWithItsHandle breaks a_reopened_store_still_has_it,
        NothingWhenItFails breaks a_load_that_fails_does_not_say_nothing,
        DoneWhenItFails breaks a_swap_that_fails_is_not_done,
        RemovedWhenItFails breaks a_removal_that_fails_says_so,
        NotSharedWhenItFails breaks a_lock_that_fails_is_not_had,
        OverwritesTheNewer breaks a_newer_record_is_left_alone,
        SetsTheNewerAside breaks a_newer_record_is_left_alone,
        SaysBrokenForEver breaks content_that_is_no_record_is_said_once,
        KeepsTheBrokenFromLogins breaks a_login_replaces_content_that_is_no_record,
        FindsVersionsInTheBroken breaks content_that_is_no_record_has_no_version,
        RemovesRecordsOnly breaks whatever_is_there_can_be_removed,
        LocksNobodyOut breaks a_lock_excludes,
        IsItsOwnFriend breaks a_busy_lock_says_so_after_the_wait,
        NeverWaits breaks a_lock_is_had_by_its_waiter_once_it_is_released,
        WaitsForEver breaks a_busy_lock_says_so_after_the_wait,
        ReleasesNothing breaks a_lock_is_free_after_release,
        LocksForGood breaks a_lock_is_free_after_drop,
        QueuesTheGone breaks a_dropped_wait_takes_no_lock,
        LocksBeforeItSays breaks a_dropped_acquisition_takes_no_lock,
        WritesUnderTheLock breaks reading_and_writing_need_no_lock,
        ReleasedBySwaps breaks a_swap_leaves_the_lock_held,
        ReleasedByRemovals breaks a_removal_leaves_the_lock_held,
        SixteenLocks breaks the_lock_of_one_session_leaves_all_others_free,
        OneLock breaks the_lock_of_one_session_leaves_all_others_free,
        LeaseRunsOut breaks a_lock_is_held_for_as_long_as_its_guard_lives,
        NeverLooks breaks a_guard_whose_lock_was_taken_away_says_so,
        SaysItIsALease breaks a_lock_of_this_process_says_so,
        SaysItIsNotShared breaks a_lock_excludes,
    };
    let in_files = cases! { in_files:
        LocksWithinTheProcess breaks a_lock_excludes_another_process,
        SwapsWithinTheProcess breaks no_swap_is_lost_between_processes,
        WritesInPlace breaks a_killed_writer_leaves_a_whole_record,
        OutlivesItsHolder breaks a_lock_is_free_after_its_holder_died,
        KeepsACopy breaks what_another_process_writes_is_read_here,
        ReleasedBySwaps breaks a_lock_excludes_another_process,
    };
    in_memory.into_iter().chain(in_files).collect()
}

#[test]
fn every_wrong_store_is_caught_by_the_law_that_it_breaks() {
    let cases = cases();
    let stores: BTreeSet<String> = cases.iter().map(|case| case.fault.clone()).collect();
    let (left, missed) = (Mutex::new(cases), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _thread in 0..4 {
            scope.spawn(|| {
                while let Some(case) = { left.lock().unwrap().pop() } {
                    for (wrong, must_keep) in [(false, true), (true, false)] {
                        if (case.is_kept)(wrong) != must_keep {
                            let how = if wrong { "is kept by" } else { "is broken without the fault" };
                            missed.lock().unwrap().push(format!("{} {how} {}", case.law, case.fault));
                        }
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "{missed:#?}");
    println!("figure: wrong_stores_caught = {} stores", stores.len());
    assert!(stores.len() >= 25, "{stores:?}");
}
