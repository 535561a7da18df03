//! Events on their way out: queued in the order of the state's changes, delivered outside every lock.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::sync::broadcast;

use crate::event::{Event, NeedsLogin};
use crate::platform::drop_quietly;

/// So many events wait for a slow reader.
pub(crate) const BUFFER: usize = 16;

/// What the program asked to be called with.
pub(crate) type OnNeedsLogin = Box<dyn Fn(&NeedsLogin) + Send + Sync>;

/// An event and its place in the order of all.
pub(crate) type Numbered = (u64, Event);

#[derive(Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    /// Made at the first subscription.
    subscribers: OnceLock<broadcast::Sender<Numbered>>,
    on_needs_login: Option<OnNeedsLogin>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Numbered>,
    last: u64,
    /// Somebody is delivering: whoever comes leaves their events and goes.
    delivering: bool,
}

impl Outbox {
    pub(crate) fn new(on_needs_login: Option<OnNeedsLogin>) -> Self {
        Self { on_needs_login, ..Self::default() }
    }

    /// Queues events. Called under the session's lock, which is what orders them.
    pub(crate) fn push(&self, events: impl IntoIterator<Item = Event>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            queue.last += 1;
            let numbered = (queue.last, event);
            queue.waiting.push_back(numbered);
        }
    }

    /// Listens from now on; the number is that of the last event before.
    pub(crate) fn subscribe(&self) -> (u64, broadcast::Receiver<Numbered>) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let subscribers = self.subscribers.get_or_init(|| broadcast::channel(BUFFER).0);
        (queue.last, subscribers.subscribe())
    }

    /// Hands out what is queued, unless somebody is at it already. Called outside every lock: what it calls may do anything.
    pub(crate) fn deliver(&self) {
        let next = |queue: &mut Queue| {
            let next = queue.waiting.pop_front();
            queue.delivering = next.is_some();
            next
        };
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.delivering {
            return;
        }
        while let Some((number, event)) = next(&mut queue) {
            drop(queue);
            self.hand_out(number, event);
            queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn hand_out(&self, number: u64, event: Event) {
        let reason = if let Event::NeedsLogin(reason) = &event { Some(reason.clone()) } else { None };
        self.broadcast(number, event);
        if let (Some(reason), Some(callback)) = (reason, &self.on_needs_login)
            && let Err(panic) = catch_unwind(AssertUnwindSafe(|| callback(&reason)))
        {
            drop_quietly(panic);
            self.broadcast(number, Event::CallbackFailed);
        }
    }

    fn broadcast(&self, number: u64, event: Event) {
        if let Some(subscribers) = self.subscribers.get() {
            // An error means that nobody listens at the moment.
            drop(subscribers.send((number, event)));
        }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}
