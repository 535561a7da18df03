//! The part that another process plays in a law.

use std::error::Error;
use std::future::Future;
use std::io::Write;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;

use crate::store::conformance::sample::{id, put, tokens, version};
use crate::store::conformance::subject::{PLACE, Subject};
use crate::store::conformance::swaps::is_done;
use crate::store::contract::{Lock, LockGuard, LockRequest, TokenStore};
use crate::store::error::StoreError;

/// Stands before all that the other process says, since the test harness speaks too.
pub(crate) const SAYS: &str = "the other process says: ";

/// Plays the other process of a law: opens the store at the place of the law's subject, and does what it is told. Does
/// nothing where no law has started it.
///
/// # Errors
///
/// When it cannot run, or the law has ended.
pub fn another_process(subject: impl Future<Output = Subject>) -> Result<(), Box<dyn Error>> {
    if std::env::var_os(PLACE).is_none() {
        return Ok(());
    }
    // Heard on a thread of its own, so that a lease is renewed meanwhile.
    let (sender, mut lines) = unbounded_channel();
    let _ends_with_the_law = std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (subject, mut guard) = (subject.await, None);
        while let Some(line) = lines.recv().await {
            let done = play(subject.store(), &line, &mut guard).await;
            say(&done.unwrap_or_else(|error| format!("{error:?}")))?;
        }
        Ok(())
    })
}

fn say(what: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    // In one piece, and on a line of its own whatever the harness has begun to say.
    out.write_all(format!("\n{SAYS}{what}\n").as_bytes())?;
    out.flush()
}

async fn play(
    store: &dyn TokenStore,
    line: &str,
    guard: &mut Option<Box<dyn LockGuard>>,
) -> Result<String, StoreError> {
    let mut words = line.split(' ');
    let task = words.next().unwrap_or_default();
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or_default();
    let said = match task {
        "lock" => {
            let (wait, hold) = (Duration::from_millis(number()), Duration::from_millis(number()));
            match store.lock(&id(), LockRequest::new(wait, hold)).await? {
                Lock::Held(taken) => {
                    *guard = Some(taken);
                    "held"
                }
                Lock::Busy => "busy",
                Lock::NotShared => "not shared",
            }
        }
        "release" => {
            if let Some(held) = guard.take() {
                held.release().await;
            }
            "released"
        }
        "put" => {
            put(store, &tokens(number(), "another-process")?).await?;
            "put"
        }
        "swap" => {
            let (expected, new) = (number(), number());
            let done = is_done(store, Some(version(expected)), &tokens(new, "another-process")?).await?;
            if done { "done" } else { "found" }
        }
        "remove" => {
            store.remove(&id()).await?;
            "removed"
        }
        "count" => {
            count(store, number()).await?;
            "counted"
        }
        "write" => write_on(store).await?,
        _ => "not understood",
    };
    Ok(said.to_owned())
}

/// Replaces what is there by its next version, this often.
pub(crate) async fn count(store: &dyn TokenStore, times: u64) -> Result<(), StoreError> {
    for _time in 0..times {
        loop {
            let now = store.load(&id()).await?.map_or(0, |found| found.version().generation);
            if is_done(store, Some(version(now)), &tokens(now + 1, "counted")?).await? {
                break;
            }
        }
    }
    Ok(())
}

/// Writes records of all lengths until it is killed, and says so each time.
async fn write_on(store: &dyn TokenStore) -> Result<&'static str, StoreError> {
    for round in 0_u16.. {
        let record = tokens(u64::from(round), &"x".repeat(1 + usize::from(round % 7) * 3000))?;
        say("writing").map_err(StoreError::unavailable)?;
        put(store, &record).await?;
    }
    Ok("written")
}
