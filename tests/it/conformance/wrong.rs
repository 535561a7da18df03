//! Stores that are wrong in ways that stores are wrong in, each caught by the law that forbids it.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use reqwest_auth_refresh::async_trait;
use reqwest_auth_refresh::conformance::{self, Outcome, Subject};
use reqwest_auth_refresh::{
    Lock, LockGuard, LockReach, LockRequest, Record, SessionId, StoreError, Swap, TokenStore, Version,
};

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// None: the control of the controls.
    None,
    /// Ids that differ in case are one, as in a file system that knows no case.
    KnowsNoCase,
    /// Nothing is longer than 2,560 bytes, as in a credential manager.
    CutsOff,
    /// Only tokens come back, as from a table with a column for each field.
    ForgetsTheUnknown,
    /// A record is written in two halves.
    Tears,
    /// Reads, thinks, and writes.
    SwapsInThreeSteps,
    /// Says nothing of what it found.
    SwapsBlindly,
    /// Everyone gets the lock.
    LocksNobodyOut,
    /// Writers wait for whoever refreshes.
    WritesUnderTheLock,
    /// A lock stays locked when its guard is only dropped.
    LocksForGood,
    /// Shows what it holds.
    Shows,
    /// A record that is not there is an error.
    MissesWhatIsGone,
}

/// A record, in two halves.
type Halves = (Vec<u8>, Vec<u8>);

#[derive(Clone)]
struct Wrong {
    fault: Fault,
    halves: Arc<Mutex<HashMap<SessionId, Halves>>>,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let halves = self.halves.lock().unwrap();
        let held: Vec<_> = halves.values().map(|(front, back)| [&front[..], &back[..]].concat()).collect();
        let held = held.iter().map(|bytes| String::from_utf8_lossy(bytes));
        if self.fault == Fault::Shows { f.debug_list().entries(held).finish() } else { f.write_str("Wrong") }
    }
}

impl Wrong {
    fn new(fault: Fault) -> Self {
        Self { fault, halves: Arc::default(), lock: Arc::default() }
    }

    fn id(&self, id: &SessionId) -> SessionId {
        if self.fault == Fault::KnowsNoCase { id.as_str().to_lowercase().into() } else { id.clone() }
    }

    async fn write(&self, id: &SessionId, record: &Record) -> Result<(), StoreError> {
        let mut bytes = record.to_bytes().to_vec();
        if self.fault == Fault::CutsOff {
            bytes.truncate(2560);
        }
        if self.fault == Fault::ForgetsTheUnknown
            && let Some(tokens) = record.tokens()
        {
            bytes = Record::of_tokens(record.session().clone(), record.version(), tokens.clone()).to_bytes().to_vec();
        }
        if self.fault == Fault::Tears {
            let (front, back) = bytes.split_at(bytes.len() / 2);
            self.halves.lock().unwrap().entry(id.clone()).or_default().0 = front.to_vec();
            tokio::task::yield_now().await;
            self.halves.lock().unwrap().entry(id.clone()).or_default().1 = back.to_vec();
            return Ok(());
        }
        self.halves.lock().unwrap().insert(id.clone(), (bytes, Vec::new()));
        Ok(())
    }

    fn read(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        let halves = self.halves.lock().unwrap();
        let Some((front, back)) = halves.get(id) else { return Ok(None) };
        Record::from_bytes(&[&front[..], back].concat()).map(Some)
    }
}

struct Guard(Fault, Option<tokio::sync::OwnedMutexGuard<()>>);

#[async_trait]
impl LockGuard for Guard {
    fn is_held(&self) -> bool {
        true
    }

    fn reach(&self) -> LockReach {
        LockReach::ThisMachine
    }

    async fn release(mut self: Box<Self>) {
        drop(self.1.take());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0 == Fault::LocksForGood {
            std::mem::forget(self.1.take());
        }
    }
}

#[async_trait]
impl TokenStore for Wrong {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        self.read(&self.id(id))
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        let was_there = self.halves.lock().unwrap().remove(&self.id(id)).is_some();
        if was_there || self.fault != Fault::MissesWhatIsGone {
            Ok(())
        } else {
            Err(StoreError::unavailable("no such row"))
        }
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        let _turn = if self.fault == Fault::WritesUnderTheLock { Some(self.lock.lock().await) } else { None };
        let id = self.id(id);
        if self.fault == Fault::SwapsInThreeSteps {
            let found = self.read(&id)?;
            tokio::task::yield_now().await;
            if found.as_ref().map(Record::version) != expected {
                return Ok(Swap::Found(found));
            }
            self.write(&id, new).await?;
            return Ok(Swap::Done);
        }
        let found = self.read(&id)?;
        if found.as_ref().map(Record::version) != expected {
            return Ok(Swap::Found(if self.fault == Fault::SwapsBlindly { None } else { found }));
        }
        self.write(&id, new).await?;
        Ok(Swap::Done)
    }

    async fn lock(&self, _: &SessionId, wanted: LockRequest) -> Result<Lock, StoreError> {
        if self.fault == Fault::LocksNobodyOut {
            return Ok(Lock::Held(Box::new(Guard(self.fault, None))));
        }
        let lock = Arc::clone(&self.lock).lock_owned();
        Ok(match tokio::time::timeout(wanted.wait(), lock).await {
            Ok(guard) => Lock::Held(Box::new(Guard(self.fault, Some(guard)))),
            Err(_) => Lock::Busy,
        })
    }
}

/// Whether a store with this fault breaks the law.
fn breaks<L: AsyncFnOnce(&Subject) -> Outcome>(fault: Fault, law: L) -> bool {
    let store = Wrong::new(fault);
    let subject = async {
        let same = store.clone();
        Subject::new(store).reopened_by(move || same.clone())
    };
    // Nothing here is outside this thread, so what is waited for in vain takes no time.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let held = || runtime.block_on(async { law(&subject.await).await });
    catch_unwind(AssertUnwindSafe(|| held().is_err())).unwrap_or(true)
}

/// A test for each fault: its law is broken by it, and kept by the same store without it.
macro_rules! caught {
    ($($name:ident: $fault:ident by $law:ident,)+) => {$(
        #[test]
        fn $name() {
            assert!(!breaks(Fault::None, conformance::$law), "kept without the fault");
            assert!(breaks(Fault::$fault, conformance::$law), "broken by it");
        }
    )+};
}

caught! {
    one_that_knows_no_case: KnowsNoCase by odd_ids_stay_apart,
    one_that_cuts_off: CutsOff by tokens_may_be_64_kib_long,
    one_that_forgets_the_unknown: ForgetsTheUnknown by unknown_members_survive,
    one_that_tears: Tears by concurrent_saves_leave_one_whole_record,
    one_that_swaps_in_three_steps: SwapsInThreeSteps by concurrent_swaps_have_one_winner,
    one_whose_versions_go_back: SwapsInThreeSteps by versions_never_go_back_through_swap,
    one_that_swaps_blindly: SwapsBlindly by a_swap_compares_and_says_what_it_found,
    one_that_locks_nobody_out: LocksNobodyOut by a_lock_excludes,
    one_that_writes_under_the_lock: WritesUnderTheLock by reading_and_writing_go_on_while_another_holds_the_lock,
    one_that_locks_for_good: LocksForGood by a_lock_is_free_after_drop,
    one_that_shows: Shows by debug_shows_no_secret,
    one_that_misses_what_is_gone: MissesWhatIsGone by removing_twice_is_no_error,
}
