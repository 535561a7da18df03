//! The part of a flight's program that writes: what it brought, or what memory holds, over what was found.

use std::sync::Arc;

use crate::clock::Now;
use crate::event::{Ending, Event};
use crate::session::core::chance::Chance;
use crate::session::core::flight::{Flight, Leg, Outcome, Purpose, Step, SwapHeard};
use crate::session::core::memory::{Memory, Unsaved};
use crate::session::core::state::Core;
use crate::store::error::StoreError;
use crate::store::record::Record;
use crate::tokens::Tokens;

/// So many swaps in one flight may find something else; then the store changes too fast to be written.
const MOST_ROUNDS: u8 = 4;

impl Core {
    /// Writes what the flight brought, or else what memory holds, over what was found.
    pub(super) fn write(&mut self, now: Now, chance: Chance, flight: &mut Flight) -> Step {
        flight.rounds += 1;
        if flight.rounds > MOST_ROUNDS {
            let error = StoreError::unavailable("the session's record kept changing while it was being written");
            return self.swapped(now, chance, flight, SwapHeard::Failed(error));
        }
        let ours = flight.candidate.as_mut().unwrap_or(&mut self.memory);
        if let (Memory::Ended(ended), Some(found)) = (&mut *ours, flight.expected)
            && ended.ending == Ending::LoggedOut
            && found.login == ended.version.login
        {
            // A logout has to be seen by whoever still expects what it replaces.
            ended.version.generation = ended.version.generation.max(found.next().generation);
        }
        let ours = flight.candidate.as_ref().unwrap_or(&self.memory);
        match self.record(ours) {
            Some(record) => {
                flight.writes = Some(record.version().login);
                Step::to(Leg::Swap { expected: flight.expected, record: Box::new(record) })
            }
            None => self.arrive(flight, Outcome::Look),
        }
    }

    pub(super) fn swapped(&mut self, now: Now, chance: Chance, flight: &mut Flight, heard: SwapHeard) -> Step {
        match heard {
            SwapHeard::Done => self.stored(now, chance, flight),
            SwapHeard::Found(Some(found)) if self.is_foreign(&found) => self.foreign(now, chance, flight, &found),
            SwapHeard::Found(found) => {
                flight.expected = found.as_deref().map(Record::version);
                self.found(now, chance, flight, found.as_deref())
            }
            SwapHeard::Failed(error) => self.swap_failed(now, flight, &error),
            SwapHeard::Skipped => self.arrive(flight, Outcome::Look),
        }
    }

    pub(super) fn stored(&mut self, now: Now, chance: Chance, flight: &mut Flight) -> Step {
        self.saved_at_last();
        if let Some(candidate) = flight.candidate.take() {
            let mut tell = Vec::new();
            self.install(candidate, None, &mut tell);
            self.recover();
            let outcome = self.outcome();
            return self.arrive(flight, outcome).telling(tell);
        }
        if let Some(tokens) = flight.replaced.take() {
            // The logout is written, and whoever waits for that need not wait for the issuer.
            return self.leave_to_revoke(flight, tokens);
        }
        flight.expected = self.memory.version();
        match (flight.purpose, &self.memory) {
            (Purpose::Refresh(_), _) if flight.busy => self.busy(now, chance, flight),
            (Purpose::Refresh(reason), Memory::Tokens(_)) => self.depart(now, flight, reason),
            _ => self.arrive(flight, Outcome::Look),
        }
    }

    /// What the flight is left to do is to tell the issuer, which concerns nobody here.
    fn leave_to_revoke(&mut self, flight: &Flight, tokens: Arc<Tokens>) -> Step {
        let mut ghost = Flight::new(flight.id, flight.purpose);
        ghost.late.revoke = true;
        self.ghosts.push(ghost);
        Step { wake: Some(Outcome::Look), ..Step::to(Leg::Revoke { tokens }) }
    }

    /// What could not be stored is used all the same, and stays to be saved.
    pub(super) fn swap_failed(&mut self, now: Now, flight: &mut Flight, error: &StoreError) -> Step {
        let failed = self.store_error(error);
        let mut tell = vec![Event::StoreFailed(failed)];
        if let Some(candidate) = flight.candidate.take() {
            let unsaved = Unsaved { undo: None, ..self.unsaved.as_deref().cloned().unwrap_or_default() };
            self.install(candidate, Some(unsaved), &mut tell);
            self.recover();
            self.failed_saves = self.failed_saves.saturating_add(1);
            let outcome = self.outcome();
            return self.arrive(flight, outcome).telling(tell);
        }
        match (flight.purpose, &self.memory) {
            (Purpose::Refresh(reason), Memory::Tokens(_)) if !flight.busy => {
                self.dirty();
                flight.expected = self.memory.version();
                self.depart(now, flight, reason).telling(tell)
            }
            _ => self.not_saved(flight, error),
        }
    }

    /// A change of this program stands, but is not stored.
    pub(super) fn not_saved(&mut self, flight: &mut Flight, error: &StoreError) -> Step {
        let error = self.store_error(error);
        self.dirty();
        self.failed_saves = self.failed_saves.saturating_add(1);
        self.arrive(flight, Outcome::NotSaved(error.clone())).telling(vec![Event::StoreFailed(error)])
    }

    pub(super) fn dirty(&mut self) {
        self.unsaved.get_or_insert_default();
    }

    pub(super) fn saved_at_last(&mut self) {
        self.unsaved = None;
        self.failed_saves = 0;
        if self.ghosts.iter().any(|ghost| ghost.removes) {
            // It may be removed again by a forgetting that came before it.
            self.dirty();
        }
    }
}
