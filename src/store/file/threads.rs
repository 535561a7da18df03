//! Work that blocks, kept off the runtime.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

use crate::store::error::StoreError;

/// So many pieces of work are under way at once. More than a disk can use, and few enough when it hangs.
const AT_ONCE: usize = 8;

/// Runs each piece of work on a thread of its own, so that a disk that hangs holds up neither a worker of the runtime nor
/// its end: the runtime waits for its own threads when it is dropped, and not for these.
#[derive(Debug, Clone)]
pub(crate) struct Threads(Arc<Semaphore>);

impl Default for Threads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Threads {
    /// Does this, and waits for it. The work is told how to ask whether anyone still waits.
    pub(crate) async fn run<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&dyn Fn() -> bool) -> Result<T, StoreError> + Send + 'static,
    {
        let never_closed = |_closed| StoreError::unavailable("the store is closed");
        let permit = Arc::clone(&self.0).acquire_owned().await.map_err(never_closed)?;
        let (answer, answered) = oneshot::channel();
        let thread = std::thread::Builder::new().name("token store".to_owned()).spawn(move || {
            let result = work(&|| !answer.is_closed());
            drop(permit);
            // What nobody waits for any longer is dropped, a lock with it.
            let _unheard = answer.send(result);
        });
        let _detached = thread.map_err(StoreError::unavailable)?;
        answered.await.unwrap_or_else(|_died| Err(StoreError::unavailable("the thread that did it died")))
    }
}
