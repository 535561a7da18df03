//! A subscription to what happens to a session.

use std::sync::Arc;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::event::Event;
use crate::session::engine::Engine;
use crate::session::outbox::Numbered;

/// What happens to a session, from the state at the moment of subscribing on; see [`Session::events`](crate::Session::events).
///
/// A reader that falls more than 16 events behind gets [`Event::Missed`] with the number of those it missed, and goes on
/// from there; it slows nobody down.
#[derive(Debug)]
pub struct Events {
    /// A session that somebody listens to stays.
    _engine: Arc<Engine>,
    first: Option<Event>,
    /// Events up to this one are part of the first item.
    since: u64,
    receiver: Receiver<Numbered>,
}

impl Events {
    pub(crate) fn new(engine: &Arc<Engine>) -> Self {
        let (first, since, receiver) = engine.subscribe();
        Self { _engine: Arc::clone(engine), first: Some(first), since, receiver }
    }

    /// The next event; waits until there is one. Never `None` while this is alive, since it keeps the session; the option
    /// is there for `while let`.
    ///
    /// # Cancel safety
    ///
    /// Safe: an event is not lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            match self.receiver.recv().await {
                Ok((number, event)) if number > self.since => return Some(event),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => return Some(Event::Missed(missed)),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
