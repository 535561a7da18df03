//! What the sessions of one refresher have in common: where their tokens come from and go to, and how long things may take.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use tokio::sync::{Notify, broadcast};

use crate::clock::{Clock, Now, SystemClock, Wall};
use crate::event::{Event, NeedsLogin};
use crate::id::SessionId;
use crate::platform;
use crate::refresh::contract::Refresher;
use crate::refresh::info::RefresherInfo;
use crate::session::admission::Admission;
use crate::session::bounds::Bounds;
use crate::session::core::Rules;
use crate::store::contract::TokenStore;

/// So many events wait for a slow reader of what happens to all sessions.
const BUFFER: usize = 1_024;

/// What the program asked to be called with.
pub(crate) type OnNeedsLogin = Box<dyn Fn(&SessionId, &NeedsLogin) + Send + Sync>;

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

pub(crate) struct Shared {
    pub(crate) rules: Arc<Rules>,
    pub(crate) bounds: Bounds,
    pub(crate) store: Arc<dyn TokenStore>,
    pub(crate) refresher: Arc<dyn Refresher>,
    /// What it says of itself.
    pub(crate) info: RefresherInfo,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) on_needs_login: Option<OnNeedsLogin>,
    /// Who may call the issuer now.
    pub(crate) admission: Arc<Admission>,
    /// Who listens to all sessions; made at the first subscription.
    pub(crate) listeners: OnceLock<broadcast::Sender<(SessionId, Event)>>,
    /// Why none of these sessions can be had at all.
    pub(crate) refusal: Option<&'static str>,
    /// All of them are shut down.
    pub(crate) closed: AtomicBool,
    /// Told when a session is shut down, to those who would save later.
    pub(crate) closing: Notify,
    /// Told when the last task of a session has ended.
    pub(crate) quiet: Notify,
}

impl Shared {
    pub(crate) fn time(&self) -> SystemTime {
        self.ask_clock(Clock::wall)
    }

    pub(crate) fn wall(&self) -> Wall {
        Wall::of(self.time())
    }

    pub(crate) fn now(&self) -> Now {
        self.ask_clock(Now::read)
    }

    /// A clock may be the program's own, and panic where that would be the end of a flight.
    fn ask_clock<T>(&self, ask: impl Fn(&dyn Clock) -> T) -> T {
        catch_unwind(AssertUnwindSafe(|| ask(&*self.clock))).unwrap_or_else(|panic| {
            platform::drop_quietly(panic);
            ask(&SystemClock)
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Listens to all sessions from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<(SessionId, Event)> {
        self.listeners.get_or_init(|| broadcast::channel(BUFFER).0).subscribe()
    }

    /// Whether anybody would learn of this event beside those who listen to the one session.
    pub(crate) fn is_interested(&self, event: &Event) -> bool {
        self.listeners.get().is_some() || self.on_needs_login.is_some() && matches!(event, Event::NeedsLogin(_))
    }

    pub(crate) fn broadcast(&self, id: &SessionId, event: Event) {
        if let Some(listeners) = self.listeners.get() {
            // An error means that nobody listens at the moment.
            drop(listeners.send((id.clone(), event)));
        }
    }
}
