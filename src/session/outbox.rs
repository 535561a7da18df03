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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::broadcast::error::TryRecvError;

    use super::*;

    fn reason() -> NeedsLogin {
        NeedsLogin::Rejected("invalid_grant".into())
    }

    /// What is there to be read, by number and name.
    fn read(receiver: &mut broadcast::Receiver<Numbered>) -> Vec<(u64, String)> {
        std::iter::from_fn(|| receiver.try_recv().ok())
            .map(|(number, event)| (number, format!("{event:?}").split('(').next().unwrap_or_default().to_owned()))
            .collect()
    }

    fn named(events: &[(u64, &str)]) -> Vec<(u64, String)> {
        events.iter().map(|(number, name)| (*number, (*name).to_owned())).collect()
    }

    #[test]
    fn events_come_in_order_to_those_who_listen_and_only_when_delivered() {
        let outbox = Outbox::default();
        outbox.push([Event::LoggedOut]);
        outbox.deliver();
        let (last, mut receiver) = outbox.subscribe();
        assert_eq!(last, 1, "what came before is told by number, not again");
        outbox.push([Event::LoggedOut, Event::CallbackFailed]);
        outbox.push([Event::Missed(1)]);
        assert_eq!(read(&mut receiver), []);
        outbox.deliver();
        outbox.deliver();
        assert_eq!(read(&mut receiver), named(&[(2, "LoggedOut"), (3, "CallbackFailed"), (4, "Missed")]));
    }

    #[test]
    fn who_was_subscribed_between_pushing_and_delivering_can_tell_what_is_old() {
        let outbox = Outbox::default();
        outbox.push([Event::LoggedOut]);
        let (last, mut receiver) = outbox.subscribe();
        outbox.push([Event::CallbackFailed]);
        outbox.deliver();
        let new: Vec<_> = read(&mut receiver).into_iter().filter(|(number, _)| *number > last).collect();
        assert_eq!(new, named(&[(2, "CallbackFailed")]));
    }

    #[test]
    fn a_slow_reader_learns_how_many_it_missed() {
        let outbox = Outbox::default();
        let (_, mut receiver) = outbox.subscribe();
        for _ in 0..BUFFER + 3 {
            outbox.push([Event::LoggedOut]);
        }
        outbox.deliver();
        assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Lagged(3));
        assert_eq!(read(&mut receiver).len(), BUFFER);
    }

    #[test]
    fn a_callback_that_panics_is_told_of_and_called_again() {
        let called = Arc::new(AtomicUsize::new(0));
        let calls = Arc::clone(&called);
        let outbox = Outbox::new(Some(Box::new(move |seen| {
            assert_eq!(*seen, reason());
            calls.fetch_add(1, Ordering::Relaxed);
            std::panic::resume_unwind(Box::new("as a panic, but without its message"));
        })));
        let (_, mut receiver) = outbox.subscribe();
        outbox.push([Event::NeedsLogin(reason()), Event::LoggedOut, Event::NeedsLogin(reason())]);
        outbox.deliver();
        assert_eq!(called.load(Ordering::Relaxed), 2);
        let expected =
            [(1, "NeedsLogin"), (1, "CallbackFailed"), (2, "LoggedOut"), (3, "NeedsLogin"), (3, "CallbackFailed")];
        assert_eq!(read(&mut receiver), named(&expected));
    }

    #[test]
    fn what_a_callback_brings_about_is_told_after_it() {
        let outbox = Arc::new_cyclic(|weak: &std::sync::Weak<Outbox>| {
            let weak = std::sync::Weak::clone(weak);
            Outbox::new(Some(Box::new(move |_| {
                let outbox = weak.upgrade().expect("it is being delivered from");
                outbox.push([Event::LoggedOut]);
                // Somebody is at it already, so this returns at once.
                outbox.deliver();
            })))
        });
        let (_, mut receiver) = outbox.subscribe();
        outbox.push([Event::NeedsLogin(reason()), Event::CallbackFailed]);
        outbox.deliver();
        assert_eq!(read(&mut receiver), named(&[(1, "NeedsLogin"), (2, "CallbackFailed"), (3, "LoggedOut")]));
    }
}
