//! One change of a record, from being asked for to its answer.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::store::contract::Swap;
use crate::store::error::StoreError;
use crate::store::file::drawer::Drawer;
use crate::store::file::keeper::{self, Waiter};
use crate::store::file::lock_file::OsLock;
use crate::store::file::record_file::Change;
use crate::store::file::threads::{Threads, died};
use crate::store::file::trouble::Trouble;
use crate::store::file::turn::Turn;

/// How long a change waits for other processes to write. Each of them takes as long as the disk needs for one small file.
const WAIT: Duration = Duration::from_secs(4);

/// What other processes that wait for the write lock get to take it.
const BREATH: Duration = Duration::from_millis(1);

/// A change that goes from thread to thread until it is done. None of its steps is its caller's, whose runtime may stand
/// still; a caller that has gone is noticed before anything is written.
struct Writing {
    drawer: Drawer,
    change: Change,
    threads: Threads,
    answer: oneshot::Sender<Result<Swap, StoreError>>,
    until: Instant,
}

/// Carries out the change when its turn has come, and answers.
pub(crate) async fn write(threads: &Threads, drawer: Drawer, change: Change) -> Result<Swap, StoreError> {
    let (answer, answered) = oneshot::channel();
    let (record, until) = (drawer.path(), Instant::now() + WAIT);
    let writing = Writing { drawer, change, threads: threads.clone(), answer, until };
    Turn::ask(record, move |turn| {
        let threads = writing.threads.clone();
        threads.start(move || writing.attempt(turn));
    });
    answered.await.unwrap_or_else(|_died| Err(died()))
}

impl Writing {
    fn attempt(self, turn: Turn) {
        if self.answer.is_closed() {
            return;
        }
        let lock = match self.drawer.write_lock(&self.change) {
            Ok(Some(lock)) => lock,
            Ok(None) => return self.say(Ok(Swap::Found(None)), turn),
            Err(error) => return self.say(Err(error), turn),
        };
        match lock.try_lock() {
            Ok(Some(locked)) => self.carry_out(locked, turn),
            Ok(None) if Instant::now() < self.until => {
                keeper::wait_for(lock, self.until, Box::new(Waiting { writing: self, turn }));
            }
            Ok(None) => self.give_up(turn),
            Err(trouble) => self.say(Err(trouble.into()), turn),
        }
    }

    fn carry_out(self, locked: OsLock, turn: Turn) {
        if self.answer.is_closed() {
            return;
        }
        let changed = self.drawer.change(&self.change, &locked);
        drop(locked);
        self.say(changed, turn);
    }

    fn give_up(self, turn: Turn) {
        self.say(Err(StoreError::unavailable("another process has been writing for too long")), turn);
    }

    fn say(self, answer: Result<Swap, StoreError>, turn: Turn) {
        let _unheard = self.answer.send(answer);
        if turn.is_wanted() {
            std::thread::sleep(BREATH);
        }
        drop(turn);
    }
}

/// A change whose turn has come in this process, and that waits for another one.
struct Waiting {
    writing: Writing,
    turn: Turn,
}

impl Waiter for Waiting {
    fn is_wanted(&self) -> bool {
        !self.writing.answer.is_closed()
    }

    fn end(self: Box<Self>, locked: Result<Option<OsLock>, Trouble>) {
        let Self { writing, turn } = *self;
        let threads = writing.threads.clone();
        threads.start(move || match locked {
            Ok(Some(locked)) => writing.carry_out(locked, turn),
            Ok(None) => writing.give_up(turn),
            Err(trouble) => writing.say(Err(trouble.into()), turn),
        });
    }
}
