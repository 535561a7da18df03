//! A door that holds whoever comes.

use std::sync::Arc;

use tokio::sync::watch;

use super::bounded::bounded;

/// Holds whoever comes until it is opened, and tells when enough have come.
///
/// Clones are the same gate. It works under paused time as well. No wait at a gate is for ever: after
/// [`PATIENCE`] it panics and says how many came.
///
/// [`PATIENCE`]: super::PATIENCE
#[derive(Debug, Clone)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// What is held here, for who waits in vain.
    name: &'static str,
    door: watch::Sender<Door>,
    /// Apart from the door, so that an arrival wakes the test and not everyone who is held.
    arrivals: watch::Sender<usize>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Door {
    open: bool,
    /// How many of those held may still pass.
    passes: usize,
    /// How many arrivals open the door.
    opens_at: Option<usize>,
}

impl Gate {
    /// An open gate, for what is named so.
    pub fn opened(name: &'static str) -> Self {
        Self::of(name, Door { open: true, ..Door::default() })
    }

    /// A closed gate, for what is named so.
    pub fn closed(name: &'static str) -> Self {
        Self::of(name, Door::default())
    }

    fn of(name: &'static str, door: Door) -> Self {
        Self(Arc::new(Inner { name, door: watch::Sender::new(door), arrivals: watch::Sender::new(0) }))
    }

    /// Lets everyone pass from now on.
    pub fn open(&self) {
        self.0.door.send_replace(Door { open: true, ..Door::default() });
    }

    /// Holds whoever comes from now on; arrivals are counted anew.
    pub fn close(&self) {
        self.shut(Door::default());
    }

    /// Holds whoever comes until `arrivals` have come; then it opens by itself. Arrivals are counted anew.
    pub fn close_until(&self, arrivals: usize) {
        self.shut(Door { opens_at: Some(arrivals), ..Door::default() });
    }

    fn shut(&self, door: Door) {
        self.0.door.send_replace(door);
        self.0.arrivals.send_replace(0);
    }

    /// Lets `count` more pass a closed gate, whoever wakes first.
    pub fn let_through(&self, count: usize) {
        self.0.door.send_modify(|door| door.passes += count);
    }

    /// Waits until `count` have arrived since the gate was closed, held or not.
    pub async fn arrived(&self, count: usize) {
        let mut arrivals = self.0.arrivals.subscribe();
        // It cannot fail: this gate holds the sender.
        drop(bounded(|| self.awaited(count), arrivals.wait_for(|arrivals| *arrivals >= count)).await);
    }

    fn awaited(&self, count: usize) -> String {
        format!("{count} of {}, {} came", self.0.name, self.arrivals())
    }

    /// How many have arrived since the gate was closed.
    pub fn arrivals(&self) -> usize {
        *self.0.arrivals.borrow()
    }

    /// Arrives, and waits until it may pass.
    pub async fn pass(&self) {
        // Subscribed before looking, so that no opening in between is missed.
        let mut door = self.0.door.subscribe();
        self.arrive();
        if self.enter() {
            return;
        }
        let opens_at = door.borrow().opens_at;
        let what =
            || opens_at.map_or_else(|| format!("the gate of {} to open", self.0.name), |count| self.awaited(count));
        let passed = async {
            while !self.enter() {
                if door.changed().await.is_err() {
                    return;
                }
            }
        };
        bounded(what, passed).await;
    }

    fn arrive(&self) {
        let mut arrivals = 0;
        self.0.arrivals.send_modify(|count| {
            *count += 1;
            arrivals = *count;
        });
        self.0.door.send_if_modified(|door| {
            let opens = !door.open && door.opens_at.is_some_and(|needed| arrivals >= needed);
            door.open |= opens;
            opens
        });
    }

    fn enter(&self) -> bool {
        let mut enters = false;
        self.0.door.send_if_modified(|door| {
            enters = door.open || door.passes > 0;
            if !door.open {
                door.passes = door.passes.saturating_sub(1);
            }
            false
        });
        enters
    }
}
