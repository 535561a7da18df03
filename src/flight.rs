//! The place where everyone who needs an outcome waits for it.

use tokio::sync::watch;

/// The side that knows the outcome one day. When it is dropped without having said it, those who wait learn that too.
#[derive(Debug)]
pub(crate) struct Arrival<T>(watch::Sender<Option<T>>);

/// The side of one who waits.
#[derive(Debug, Clone)]
pub(crate) struct Waiter<T>(watch::Receiver<Option<T>>);

impl<T: Clone> Arrival<T> {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    pub(crate) fn waiter(&self) -> Waiter<T> {
        Waiter(self.0.subscribe())
    }

    /// How many wait.
    pub(crate) fn waiters(&self) -> usize {
        self.0.receiver_count()
    }

    pub(crate) fn announce(self, outcome: T) {
        self.0.send_replace(Some(outcome));
    }
}

impl<T: Clone + Send + Sync> Waiter<T> {
    /// The outcome; `None` when it will never be known.
    ///
    /// # Cancel safety
    ///
    /// Safe: whoever waits has no part in what brings the outcome about.
    pub(crate) async fn outcome(&mut self) -> Option<T> {
        self.0.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone())
    }
}
