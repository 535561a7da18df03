//! Laws of a store that several processes see.

use std::time::Duration;

use crate::platform;
use crate::store::conformance::holder::{held, held_soon, is_busy};
use crate::store::conformance::part::count;
use crate::store::conformance::process::Process;
use crate::store::conformance::records::is_whole;
use crate::store::conformance::sample::{assert_is, id, put, tokens};
use crate::store::conformance::subject::Subject;
use crate::store::conformance::swaps::is_done;
use crate::store::conformance::trial::Outcome;
use crate::store::contract::LockReach;

/// For how long another process asks for the lock. Its lease, where it is one, is waited for when it died.
const ASKED: u64 = 1000;

/// The lock, if it is free.
const LOCK_NOW: &str = "lock 0 1000";

fn lock_soon(subject: &Subject) -> String {
    format!("lock {} {ASKED}", subject.bound().as_millis())
}

/// A lock that we hold is busy for another process, which reads, swaps and removes meanwhile; and the other way round.
pub async fn a_lock_excludes_another_process(subject: &Subject) -> Outcome {
    let (store, mut other) = (subject.store(), Process::start(subject)?);
    let guard = held(subject, store, &id()).await?;
    assert_eq!(other.ask(LOCK_NOW).await?, "busy", "while we hold it");
    assert_eq!(other.ask("put 1").await?, "put", "writing needs no lock");
    assert_eq!(other.ask("swap 1 2").await?, "done", "nor does swapping");
    assert_eq!(other.ask("remove").await?, "removed", "nor does removing");
    assert_eq!(other.ask(LOCK_NOW).await?, "busy", "while we hold it, whatever is written");
    assert!(guard.is_held(), "and it is taken from us by nothing of that");
    guard.release().await;
    assert_eq!(other.ask(&lock_soon(subject)).await?, "held", "after we have released it");
    assert!(is_busy(store, &id()).await? && is_busy(&*subject.another(), &id()).await?, "while the other has it");
    put(store, &tokens(1, "a")?).await?;
    assert_eq!(other.ask("release").await?, "released");
    held_soon(subject, store, &id()).await.map(drop)
}

/// A process that holds the lock and dies gives it back: it is busy while that process lives, and free afterwards.
pub async fn a_lock_is_free_after_its_holder_died(subject: &Subject) -> Outcome {
    for _life in 0..2 {
        let mut other = Process::start(subject)?;
        assert_eq!(other.ask(&lock_soon(subject)).await?, "held");
        assert!(is_busy(subject.store(), &id()).await?, "while its holder lives");
        other.kill()?;
        let guard = held_soon(subject, subject.store(), &id()).await?;
        if guard.reach() == LockReach::ThisMachine {
            guard.release().await;
            held(subject, &*subject.another(), &id()).await.map(drop)?;
        }
    }
    Ok(())
}

/// What another process writes is read and compared here, and the other way round.
pub async fn what_another_process_writes_is_read_here(subject: &Subject) -> Outcome {
    let (store, mut other) = (subject.store(), Process::start(subject)?);
    put(store, &tokens(1, "ours")?).await?;
    for generation in (1..6).step_by(2) {
        assert_eq!(
            other.ask(&format!("swap {generation} {}", generation + 1)).await?,
            "done",
            "it reads what we wrote"
        );
        let theirs = tokens(generation + 1, "another-process")?;
        assert_is(store.load(&id()).await?.as_ref(), &theirs);
        let ours = tokens(generation + 2, "ours")?;
        assert!(!is_done(store, Some(tokens(generation, "")?.version()), &ours).await?, "it was replaced");
        assert!(is_done(store, Some(theirs.version()), &ours).await?, "we read what it wrote");
    }
    assert_eq!(other.ask("remove").await?, "removed");
    assert!(store.load(&id()).await?.is_none(), "it was removed");
    Ok(())
}

/// Of the swaps of several processes none is lost: each counts once.
pub async fn no_swap_is_lost_between_processes(subject: &Subject) -> Outcome {
    const EACH: u64 = 12;
    let store = subject.store();
    put(store, &tokens(0, "first")?).await?;
    let mut others = [Process::start(subject)?, Process::start(subject)?];
    for other in &mut others {
        assert_eq!(other.ask("count 1").await?, "counted", "it is there");
    }
    for other in &mut others {
        other.tell(&format!("count {EACH}"))?;
    }
    count(store, EACH).await?;
    for other in &mut others {
        assert_eq!(other.hear().await?, "counted");
    }
    let last = store.load(&id()).await?.map(|found| found.version().generation);
    assert_eq!(last, Some(3 * EACH + 2), "each swap counts once");
    Ok(())
}

/// A process that is killed while it writes leaves the old record or the new one, whole.
pub async fn a_killed_writer_leaves_a_whole_record(subject: &Subject) -> Outcome {
    put(subject.store(), &tokens(0, "first")?).await?;
    for life in 0..5 {
        let mut writer = Process::start(subject)?;
        writer.tell("write")?;
        for _write in 0..3 {
            assert_eq!(writer.hear().await?, "writing");
        }
        // In the midst of that write, or of one of the next.
        platform::sleep(Duration::from_millis(life * 15)).await;
        writer.kill()?;
        let found = subject.another().load(&id()).await?;
        assert!(found.as_ref().is_some_and(is_whole), "neither a half nor nothing");
        put(subject.store(), &tokens(0, "again")?).await?;
    }
    Ok(())
}
