//! Waiting that ends.

#![allow(clippy::panic, reason = "who waits in vain stops there")]

use std::fmt::Display;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// The longest that a test waits for anything. Whatever works takes a small part of it, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for `future`; after [`PATIENCE`] it panics and says `what` it waited for.
///
/// Time is the machine's, kept by a runtime of its own: a paused clock jumps ahead while a test waits for
/// a socket or a thread.
pub async fn bounded<T, W: Display>(what: impl FnOnce() -> W, future: impl Future<Output = T>) -> T {
    static CLOCK: LazyLock<Runtime> = LazyLock::new(|| {
        let clock = Builder::new_multi_thread().worker_threads(1).enable_time().thread_name("patience").build();
        clock.unwrap_or_else(|error| panic!("a runtime for the clock of the tests: {error}"))
    });
    let mut patience = JoinSet::new();
    drop(patience.spawn_on(tokio::time::sleep(PATIENCE), CLOCK.handle()));
    tokio::select! {
        biased;
        value = future => value,
        _ended = patience.join_next() => panic!("waited {} s for {}", PATIENCE.as_secs(), what()),
    }
}

/// The same for `work` that blocks its thread, which is one of its own; with a patience of its own, too.
pub fn bounded_thread<T, W>(patience: Duration, what: &str, work: W) -> T
where
    T: Send + 'static,
    W: FnOnce() -> T + Send + 'static,
{
    let thread = std::thread::spawn(work);
    until_blocking(patience, what, || thread.is_finished().then_some(()));
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Looks again and again, on a thread that has nothing else to do, until there is something.
pub fn until_blocking<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < patience, "waited {} s for {what}", patience.as_secs());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Lets other tasks run until this holds.
pub async fn until<W: Display>(what: W, mut holds: impl FnMut() -> bool) {
    let turns = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    bounded(|| what, turns).await;
}
