//! Another registration's record in the store: it is left alone, and nothing changes here.
//!
//! Its tokens belong to another client or to another issuer. So it is neither taken over, written over nor set aside; a
//! login or a logout that met it is undone; no lock is kept and no save retried, since the record will not go away by
//! itself. New tokens of our own that a refresh has just brought are used from memory.

use crate::clock::Now;
use crate::error::{AuthError, Kind};
use crate::event::{Ending, Event};
use crate::session::core::chance::Chance;
use crate::session::core::flight::{Flight, Leg, LockHeard, Outcome, Purpose, Step};
use crate::session::core::memory::{Memory, Undo, Unsaved};
use crate::session::core::state::Core;
use crate::store::error::StoreError;
use crate::store::record::Record;

/// So much of a registration is shown.
const MOST_SHOWN: usize = 200;

impl Core {
    pub(super) fn is_foreign(&self, found: &Record) -> bool {
        !self.rules.registration.owns(found.registration())
    }

    pub(super) fn foreign(&mut self, now: Now, chance: Chance, flight: &mut Flight, found: &Record) -> Step {
        self.failures = self.failures.saturating_add(1);
        let failed = self.resting_for(now, chance, self.foreign_error(found));
        let mut tell = vec![Event::StoreFailed(failed.clone())];
        if let Some(candidate) = flight.candidate.take() {
            let unsaved = self.unsaved.as_deref().cloned().unwrap_or_default();
            self.install(candidate, Some(Unsaved { undo: None, foreign: true, ..unsaved }), &mut tell);
            self.recover();
            let outcome = self.outcome();
            return self.arrive(flight, outcome).telling(tell);
        }
        let undo = self.unsaved.as_mut().and_then(|unsaved| unsaved.undo.take());
        let undone = undo.is_some();
        if let Some(undo) = undo {
            self.undo(*undo, &mut tell);
        }
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.foreign = true;
        }
        let needs_login = matches!(&self.memory, Memory::Ended(ended) if ended.ending != Ending::LoggedOut);
        if self.held().is_none() && self.unsaved.is_none() && !needs_login {
            // All that is known is what the store holds.
            self.memory = Memory::Unread;
        }
        let outcome = match flight.purpose {
            Purpose::Save | Purpose::Forget if !undone => Outcome::NotSaved(failed),
            Purpose::Look if needs_login => Outcome::Look,
            Purpose::Load | Purpose::Refresh(_) | Purpose::Save | Purpose::Look | Purpose::Forget => {
                Outcome::Failed(failed)
            }
        };
        self.arrive(flight, outcome).telling(tell)
    }

    /// Puts back what a login or a logout replaced.
    fn undo(&mut self, undo: Undo, tell: &mut Vec<Event>) {
        (self.memory, self.unsaved, self.refused) = (undo.memory, undo.unsaved, undo.refused);
        self.unknown = undo.unknown;
        if undo.untold.is_empty() || undo.was_told {
            // It was told already, when the store was read, and the record came after that.
            tell.push(Event::Now(self.state()));
        }
    }

    fn foreign_error(&self, found: &Record) -> AuthError {
        fn named(registration: Option<&str>) -> String {
            let shown = |name: &str| name.escape_debug().take(MOST_SHOWN).collect::<String>();
            registration.map_or_else(|| "none".to_owned(), |name| format!("`{}`", shown(name)))
        }
        let (theirs, ours) = (named(found.registration()), named(self.rules.registration.current.as_deref()));
        let what = format!(
            "the store holds a record of another registration under this session id: {theirs}, where this session's is {ours}; \
             it is left alone. Give each its own session id with `.id(..)`, or say `.registration_was(..)` if it is yours, or \
             remove it with `forget_stored()`"
        );
        AuthError::new(Kind::Misconfigured, &self.id, what)
    }

    /// The lock is ours, or there is none: what is stored can go.
    pub(super) fn forgets(&mut self, flight: &mut Flight, heard: LockHeard) -> Step {
        match heard {
            LockHeard::NotShared | LockHeard::Held => Step::to(Leg::Remove),
            LockHeard::Failed(_) if self.rules.without_lock => Step::to(Leg::Remove),
            LockHeard::Busy => {
                let busy = StoreError::unavailable(
                    "another refresh of this session, here or in another process, holds its lock",
                );
                self.not_forgotten(flight, &busy)
            }
            LockHeard::Failed(error) => self.not_forgotten(flight, &error),
        }
    }

    pub(super) fn not_forgotten(&mut self, flight: &mut Flight, error: &StoreError) -> Step {
        let failed = self.store_error(error);
        self.arrive(flight, Outcome::NotSaved(failed.clone())).telling(vec![Event::StoreFailed(failed)])
    }
}
