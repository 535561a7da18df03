//! Work that blocks, kept off the runtime.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::platform::caught;
use crate::store::error::StoreError;

/// So many pieces of work are under way at once. More than a disk can use, and few enough when it hangs.
const AT_ONCE: usize = 8;

type Job = Box<dyn FnOnce() + Send>;

/// Does pieces of work on threads of its own, so that a disk that hangs holds up neither a worker of the runtime nor its
/// end: the runtime waits for its own threads when it is dropped, and not for these. What waits for its turn is the work
/// and not its caller, so that a caller whose runtime stands still keeps no thread from the others.
#[derive(Clone, Default)]
pub(crate) struct Threads(Arc<Mutex<Work>>);

#[derive(Default)]
struct Work {
    waiting: VecDeque<Job>,
    threads: usize,
}

impl std::fmt::Debug for Threads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").finish_non_exhaustive()
    }
}

impl Threads {
    /// Does this on one of the threads, and waits for it. Work that nothing waits for any longer is not begun.
    pub(crate) async fn run<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce() -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.start(move || {
            if !answer.is_closed() {
                let _unheard = answer.send(work());
            }
        });
        answered.await.unwrap_or_else(|_died| Err(died()))
    }

    /// Does this on one of the threads; drops it if there is none to be had.
    pub(crate) fn start(&self, job: impl FnOnce() + Send + 'static) {
        let mut work = self.work();
        work.waiting.push_back(Box::new(job));
        if work.threads == AT_ONCE {
            return;
        }
        let this = self.clone();
        let started = std::thread::Builder::new().name("token store".to_owned()).spawn(move || this.work_off());
        match started {
            Ok(_detached) => work.threads += 1,
            // Dropped when the lock is given back, since a job may start another one when it is dropped.
            Err(_error) if work.threads == 0 => {
                let never_done = std::mem::take(&mut work.waiting);
                drop(work);
                drop(never_done);
            }
            Err(_error) => {}
        }
    }

    fn work_off(&self) {
        loop {
            let job = {
                let mut work = self.work();
                let job = work.waiting.pop_front();
                if job.is_none() {
                    work.threads -= 1;
                }
                job
            };
            let Some(job) = job else { return };
            let _panicked = caught(job);
        }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        // Nothing in here can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a caller hears whose work was dropped.
pub(crate) fn died() -> StoreError {
    StoreError::unavailable("there was no thread to do it, or it died")
}
