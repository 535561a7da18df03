//! The laws as tests, each with its own name.

/// Makes a test of each law that applies to a store, in a module of this name.
///
/// See [`conformance`](crate::conformance) for what the words say. `subject` is evaluated anew for each test, with
/// [`Subject`](crate::conformance::Subject) in scope, on a runtime, and may `.await`. Beside the tests, the module has them as
/// `LAWS` and `LAWS_OF_PROCESSES`, by name, for a program that wants to hold them more often.
#[macro_export]
macro_rules! store_conformance {
    (
        $name:ident, subject: $subject:expr, sessions: $sessions:ident, lasts: $lasts:ident, lock: $lock:ident,
        content: $content:ident, fails: $fails:ident $(, one_program: $one:ident)? $(,)?
    ) => {
        $crate::store_conformance!(@refuse $lasts $lock $($one)?);

        #[allow(unused_imports)]
        mod $name {
            use super::*;
            use $crate::conformance::Subject;

            #[allow(dead_code)]
            async fn subject() -> Subject {
                let subject: Subject = $subject;
                subject.other_process_is(concat!(module_path!(), "::another_process"))
            }

            $crate::store_conformance!(@gather [
                starts_empty returns_what_was_saved the_last_record_replaces_the_one_before removing_twice_is_no_error
                tokens_may_be_64_kib_long every_field_survives unknown_members_survive tombstones_survive
                sealed_content_survives registrations_survive readers_find_whole_records debug_shows_no_secret
                a_swap_replaces_what_it_expected a_swap_says_what_it_found every_bit_of_a_version_counts
                concurrent_swaps_have_one_winner versions_never_go_back_through_swap
                a_dropped_swap_happens_at_once_or_never
            ] [] [sessions $sessions] [lasts $lasts] [lock $lock $sessions $fails] [content $content] [fails $fails]);
        }
    };

    (@refuse yes not_shared) => {
        compile_error!("a place that lasts is seen by the next program while this one runs: give the store a lock, or say \
            `one_program: yes` if nothing else can open it");
    };
    (@refuse yes this_process) => {
        compile_error!("a place that lasts is seen by the next program while this one runs: give the store a lock that \
            reaches other processes, or say `one_program: yes` if nothing else can open it");
    };
    (@refuse no this_machine $($one:ident)?) => {
        compile_error!("a lock that other processes see is of use only where they see the records: `lasts: yes`");
    };
    (@refuse no lease $($one:ident)?) => {
        compile_error!("a lock that other machines see is of use only where they see the records: `lasts: yes`");
    };
    (@refuse $lasts:ident $lock:ident $($one:ident)?) => {};

    // Takes the words one after the other, each with the laws that it adds and those of several processes.
    (@gather $laws:tt $of_processes:tt [sessions one] $($rest:tt)*) => {
        $crate::store_conformance!(@gather $laws $of_processes $($rest)*);
    };
    (@gather $laws:tt $of_processes:tt [sessions many] $($rest:tt)*) => {
        $crate::store_conformance!(@add $laws $of_processes [sessions_do_not_mix odd_ids_stay_apart] [] $($rest)*);
    };
    (@gather $laws:tt $of_processes:tt [lasts no] $($rest:tt)*) => {
        $crate::store_conformance!(@gather $laws $of_processes $($rest)*);
    };
    (@gather $laws:tt $of_processes:tt [lasts yes] $($rest:tt)*) => {
        $crate::store_conformance!(@add $laws $of_processes
            [a_reopened_store_still_has_it what_one_handle_writes_the_other_reads] [] $($rest)*
        );
    };
    (@gather $laws:tt $of_processes:tt [lock not_shared $sessions:ident $fails:ident] $($rest:tt)*) => {
        $crate::store_conformance!(@add $laws $of_processes [a_lock_that_is_not_shared_says_so] [] $($rest)*);
    };
    (@gather $laws:tt $of_processes:tt [lock this_process $sessions:ident $fails:ident] $($rest:tt)*) => {
        $crate::store_conformance!(@add $laws $of_processes
            [a_lock_of_this_process_says_so] [] [excludes] [locks $sessions] [locking_fails $fails] $($rest)*
        );
    };
    (@gather $laws:tt $of_processes:tt [lock this_machine $sessions:ident $fails:ident] $($rest:tt)*) => {
        $crate::store_conformance!(@add $laws $of_processes
            [a_lock_of_this_machine_says_so] [] [shared] [excludes] [locks $sessions] [locking_fails $fails] $($rest)*
        );
    };
    (@gather $laws:tt $of_processes:tt [lock lease $sessions:ident $fails:ident] $($rest:tt)*) => {
        $crate::store_conformance!(@add $laws $of_processes
            [a_lease_says_so] [] [shared] [excludes] [locks $sessions] [locking_fails $fails] $($rest)*
        );
    };
    (@gather $laws:tt $of_processes:tt [excludes] $($rest:tt)*) => {
        $crate::store_conformance!(@add $laws $of_processes [
            a_lock_excludes a_busy_lock_says_so_after_the_wait a_lock_is_had_by_its_waiter_once_it_is_released
            a_lock_is_free_after_release a_lock_is_free_after_drop a_dropped_wait_takes_no_lock
            a_dropped_acquisition_takes_no_lock reading_and_writing_need_no_lock a_swap_leaves_the_lock_held
            a_removal_leaves_the_lock_held a_lock_is_held_for_as_long_as_its_guard_lives
        ] [] $($rest)*);
    };
    (@gather $laws:tt $of_processes:tt [shared] $($rest:tt)*) => {
        $crate::store_conformance!(@add $laws $of_processes [a_guard_whose_lock_was_taken_away_says_so] [
            a_lock_excludes_another_process a_lock_is_free_after_its_holder_died
            what_another_process_writes_is_read_here no_swap_is_lost_between_processes
            a_killed_writer_leaves_a_whole_record
        ] $($rest)*);
    };
    (@gather $laws:tt $of_processes:tt [locks one] $($rest:tt)*) => {
        $crate::store_conformance!(@gather $laws $of_processes $($rest)*);
    };
    (@gather $laws:tt $of_processes:tt [locks many] $($rest:tt)*) => {
        $crate::store_conformance!(@add $laws $of_processes [the_lock_of_one_session_leaves_all_others_free] [] $($rest)*);
    };
    (@gather $laws:tt $of_processes:tt [content records] $($rest:tt)*) => {
        $crate::store_conformance!(@gather $laws $of_processes $($rest)*);
    };
    (@gather $laws:tt $of_processes:tt [content bytes] $($rest:tt)*) => {
        $crate::store_conformance!(@add $laws $of_processes [
            a_newer_record_is_left_alone content_that_is_no_record_is_said_once
            a_login_replaces_content_that_is_no_record content_that_is_no_record_has_no_version
            whatever_is_there_can_be_removed
        ] [] $($rest)*);
    };
    (@gather $laws:tt $of_processes:tt [fails no] $($rest:tt)*) => {
        $crate::store_conformance!(@gather $laws $of_processes $($rest)*);
    };
    (@gather $laws:tt $of_processes:tt [fails yes] $($rest:tt)*) => {
        $crate::store_conformance!(@add $laws $of_processes [
            a_load_that_fails_does_not_say_nothing a_swap_that_fails_is_not_done a_removal_that_fails_says_so
        ] [] $($rest)*);
    };
    (@gather $laws:tt $of_processes:tt [locking_fails no] $($rest:tt)*) => {
        $crate::store_conformance!(@gather $laws $of_processes $($rest)*);
    };
    (@gather $laws:tt $of_processes:tt [locking_fails yes] $($rest:tt)*) => {
        $crate::store_conformance!(@add $laws $of_processes [a_lock_that_fails_is_not_had] [] $($rest)*);
    };
    (@gather $laws:tt $of_processes:tt) => {
        $crate::__store_laws!($laws $of_processes);
    };

    (@add [$($laws:ident)*] [$($of_processes:ident)*] [$($more:ident)*] [$($more_of:ident)*] $($rest:tt)*) => {
        $crate::store_conformance!(@gather [$($laws)* $($more)*] [$($of_processes)* $($more_of)*] $($rest)*);
    };
}

/// The laws as tests of the harness that comes with Rust.
#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __store_laws {
    ([$($law:ident)*] [$($of_processes:ident)*]) => {
        $(
            #[test]
            fn $law() -> ::std::result::Result<(), ::std::boxed::Box<dyn ::std::error::Error>> {
                $crate::conformance::hold(subject(), $crate::conformance::$law)
            }
        )*
        $(
            #[test]
            fn $of_processes() -> ::std::result::Result<(), ::std::boxed::Box<dyn ::std::error::Error>> {
                $crate::conformance::hold(subject(), $crate::conformance::$of_processes)
            }
        )*

        #[test]
        #[ignore = "needs a law that starts it as another process"]
        fn another_process() -> ::std::result::Result<(), ::std::boxed::Box<dyn ::std::error::Error>> {
            $crate::conformance::another_process(subject())
        }

        #[cfg(test)]
        #[allow(dead_code)]
        pub(super) const LAWS: &[$crate::conformance::Law] = &[$((stringify!($law), $law)),*];

        #[cfg(test)]
        #[allow(dead_code)]
        pub(super) const LAWS_OF_PROCESSES: &[$crate::conformance::Law] =
            &[$((stringify!($of_processes), $of_processes)),*];
    };
}

/// The laws as tests of `wasm-bindgen-test`, without those of several processes.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
#[macro_export]
macro_rules! __store_laws {
    ([$($law:ident)*] [$($of_processes:ident)*]) => {
        $(
            #[::wasm_bindgen_test::wasm_bindgen_test]
            async fn $law() {
                $crate::conformance::hold(subject(), $crate::conformance::$law).await;
            }
        )*
    };
}
