//! Events on their way out: queued in the order of the state's changes, delivered outside every lock.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use crate::event::Event;
use crate::id::SessionId;
use crate::platform::drop_quietly;
use crate::session::shared::Shared;

/// So many events wait for a slow reader.
pub(crate) const BUFFER: usize = 16;

/// An event and its place in the order of all.
pub(crate) type Numbered = (u64, Event);

/// Empty, and without anything that would take room, until somebody is to be told of something.
#[derive(Default)]
pub(crate) struct Outbox(Mutex<Option<Box<Queue>>>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Numbered>,
    last: u64,
    /// Somebody is delivering: whoever comes leaves their events and goes.
    delivering: bool,
    /// Made at the first subscription.
    subscribers: Option<broadcast::Sender<Numbered>>,
}

impl Outbox {
    /// Queues events. Called under the session's lock, which is what orders them.
    pub(crate) fn push(&self, shared: &Shared, events: impl IntoIterator<Item = Event>) {
        let mut queue = self.queue();
        for event in events {
            let subscribed = queue.as_ref().is_some_and(|queue| queue.subscribers.is_some());
            if subscribed || shared.is_interested(&event) {
                let queue = queue.get_or_insert_default();
                queue.last += 1;
                let numbered = (queue.last, event);
                queue.waiting.push_back(numbered);
            }
        }
    }

    /// Listens from now on; the number is that of the last event before.
    pub(crate) fn subscribe(&self) -> (u64, broadcast::Receiver<Numbered>) {
        let mut queue = self.queue();
        let queue = queue.get_or_insert_default();
        let subscribers = queue.subscribers.get_or_insert_with(|| broadcast::channel(BUFFER).0);
        (queue.last, subscribers.subscribe())
    }

    /// Hands out what is queued, unless somebody is at it already. Called outside every lock: what it calls may do anything.
    pub(crate) fn deliver(&self, id: &SessionId, shared: &Shared) {
        let mut next = self.next(true);
        while let Some(((number, event), subscribers)) = next {
            let reason = if let Event::NeedsLogin(reason) = &event { Some(reason.clone()) } else { None };
            hand_out(id, shared, subscribers.as_ref(), number, event);
            if let (Some(reason), Some(callback)) = (reason, &shared.on_needs_login)
                && let Err(panic) = catch_unwind(AssertUnwindSafe(|| callback(id, &reason)))
            {
                drop_quietly(panic);
                hand_out(id, shared, subscribers.as_ref(), number, Event::CallbackFailed);
            }
            next = self.next(false);
        }
    }

    /// The next event to be told; when there is none, nobody is delivering any more. `begins`: whoever asks has not been
    /// delivering so far, and leaves it to whoever has.
    fn next(&self, begins: bool) -> Option<(Numbered, Option<broadcast::Sender<Numbered>>)> {
        let mut place = self.queue();
        let queue = place.as_mut().filter(|queue| !(begins && queue.delivering))?;
        let next = queue.waiting.pop_front();
        queue.delivering = next.is_some();
        let next = next.map(|next| (next, queue.subscribers.clone()));
        if next.is_none() && queue.subscribers.is_none() {
            *place = None;
        }
        next
    }

    fn queue(&self) -> MutexGuard<'_, Option<Box<Queue>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hand_out(
    id: &SessionId,
    shared: &Shared,
    subscribers: Option<&broadcast::Sender<Numbered>>,
    number: u64,
    event: Event,
) {
    shared.broadcast(id, event.clone());
    if let Some(subscribers) = subscribers {
        // An error means that nobody listens at the moment.
        drop(subscribers.send((number, event)));
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
    use crate::clock::SystemClock;
    use crate::event::NeedsLogin;
    use crate::refresh::contract::RefreshRequest;
    use crate::refresh::error::RefreshError;
    use crate::refresh::info::{FirstLogin, RefresherInfo};
    use crate::session::admission::Admission;
    use crate::session::bounds::Bounds;
    use crate::session::core::{Registration, Rules};
    use crate::session::shared::OnNeedsLogin;
    use crate::store::memory::MemoryStore;

    /// An outbox, and what it has in common with others.
    struct Post {
        outbox: Outbox,
        shared: Shared,
    }

    impl Post {
        fn new(on_needs_login: Option<OnNeedsLogin>) -> Self {
            let rules = Rules {
                registration: Registration::default(),
                first_login: FirstLogin::Interactive,
                ahead: std::time::Duration::ZERO,
                without_lock: false,
                never_resubmit: false,
            };
            let bounds = Bounds::default();
            let shared = Shared {
                rules: Arc::new(rules),
                bounds,
                store: Arc::new(MemoryStore::default()),
                refresher: Arc::new(|_: RefreshRequest| async { Err(RefreshError::rejected("unasked")) }),
                info: RefresherInfo::default(),
                clock: Arc::new(SystemClock),
                on_needs_login,
                admission: Arc::new(Admission::new(1, bounds.attempt)),
                listeners: std::sync::OnceLock::new(),
                refusal: None,
                closed: std::sync::atomic::AtomicBool::new(false),
                closing: tokio::sync::Notify::new(),
                quiet: tokio::sync::Notify::new(),
            };
            Self { outbox: Outbox::default(), shared }
        }

        fn push(&self, events: impl IntoIterator<Item = Event>) {
            self.outbox.push(&self.shared, events);
        }

        fn deliver(&self) {
            self.outbox.deliver(&SessionId::default(), &self.shared);
        }

        fn subscribe(&self) -> (u64, broadcast::Receiver<Numbered>) {
            self.outbox.subscribe()
        }
    }

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
        let outbox = Post::new(None);
        outbox.push([Event::LoggedOut]);
        outbox.deliver();
        let (last, mut receiver) = outbox.subscribe();
        assert_eq!(last, 0, "what nobody listened to is not even counted");
        outbox.push([Event::LoggedOut, Event::CallbackFailed]);
        outbox.push([Event::Missed(1)]);
        assert_eq!(read(&mut receiver), []);
        outbox.deliver();
        outbox.deliver();
        assert_eq!(read(&mut receiver), named(&[(1, "LoggedOut"), (2, "CallbackFailed"), (3, "Missed")]));
    }

    #[test]
    fn who_was_subscribed_between_pushing_and_delivering_can_tell_what_is_old() {
        let outbox = Post::new(None);
        let (_, _first) = outbox.subscribe();
        outbox.push([Event::LoggedOut]);
        let (last, mut receiver) = outbox.subscribe();
        assert_eq!(last, 1);
        outbox.push([Event::CallbackFailed]);
        outbox.deliver();
        let new: Vec<_> = read(&mut receiver).into_iter().filter(|(number, _)| *number > last).collect();
        assert_eq!(new, named(&[(2, "CallbackFailed")]));
    }

    #[test]
    fn a_slow_reader_learns_how_many_it_missed() {
        let outbox = Post::new(None);
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
        let outbox = Post::new(Some(Box::new(move |_, seen| {
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
        let outbox = Arc::new_cyclic(|weak: &std::sync::Weak<Post>| {
            let weak = std::sync::Weak::clone(weak);
            Post::new(Some(Box::new(move |_, _| {
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
