//! What may be wrong with the store in memory.

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Is not empty at first.
    RememberedALogin,
    /// Ids that differ in case are one, as in a file system that knows no case.
    KnowsNoCase,
    /// Nothing is longer than 2,560 bytes, as in a credential manager.
    CutsOff,
    /// A shorter record leaves the end of a longer one behind, as in a file that is not truncated.
    LeavesATail,
    /// A column was forgotten.
    ForgetsTheExpiry,
    /// Only tokens come back, as from a table with a column for each field.
    ForgetsTheUnknown,
    ForgetsTheRegistration,
    /// A record without tokens counts as none.
    KeepsNoTombstones,
    /// Takes what is neither tokens nor a tombstone for broken.
    ReadsWhatItKeeps,
    /// Has no column for the session.
    KeepsOneSession,
    /// A record is written in two halves.
    Tears,
    /// Shows what it holds.
    Shows,
    /// A record that is not there is an error.
    MissesWhatIsGone,
    /// Reads, thinks, and writes.
    SwapsInThreeSteps,
    /// Says nothing of what it found.
    SwapsBlindly,
    ComparesHalfALogin,
    ComparesHalfAGeneration,
    /// Keeps generations as numbers of JavaScript.
    ComparesFloats,
    /// Compares, and writes later, also when nobody waits for it any longer.
    LandsLate,
    /// Each handle keeps what it has read.
    KeepsACopy,
    /// Each handle has a table of its own.
    EndsWithItsHandle,
    NothingWhenItFails,
    DoneWhenItFails,
    RemovedWhenItFails,
    NotSharedWhenItFails,
    /// What it cannot read counts as nothing, also what is newer.
    OverwritesTheNewer,
    /// What it cannot read is broken, also what is newer.
    SetsTheNewerAside,
    /// Sets nothing aside.
    SaysBrokenForEver,
    /// What cannot be read cannot be replaced either.
    KeepsTheBrokenFromLogins,
    /// What cannot be read is replaced whatever is expected.
    FindsVersionsInTheBroken,
    /// What cannot be read cannot be removed either.
    RemovesRecordsOnly,
    /// Everyone gets the lock.
    LocksNobodyOut,
    /// A handle has its lock as often as it asks.
    IsItsOwnFriend,
    NeverWaits,
    /// Does not look at how long it is to wait.
    WaitsForEver,
    /// Only a drop releases.
    ReleasesNothing,
    /// A lock stays locked when its guard is only dropped.
    LocksForGood,
    /// A lock is handed to its first waiter, also when that one is gone.
    QueuesTheGone,
    /// The lock is taken one step before there is a guard.
    LocksBeforeItSays,
    /// Writers wait for whoever refreshes.
    WritesUnderTheLock,
    ReleasedBySwaps,
    ReleasedByRemovals,
    /// Sessions share locks by a hash of their ids.
    SixteenLocks,
    OneLock,
    /// A lease that nobody renews.
    LeaseRunsOut,
    /// A guard that always says that it is held.
    NeverLooks,
    SaysItIsALease,
    /// The provided lock, over a place that others see.
    SaysItIsNotShared,
}
