//! How a flight ends: it has arrived, gives the lock back, leaves its place, and wakes those who waited. In this order.

use crate::error::{AuthError, Kind};
use crate::event::Event;
use crate::policy::rest;
use crate::session::core::chance::Chance;
use crate::session::core::flight::{Flight, FlightId, Leg, Outcome, Purpose, Step};
use crate::session::core::memory::Unsaved;
use crate::session::core::mutants::mutant;
use crate::session::core::state::Core;
use crate::store::error::StoreError;

impl Core {
    /// The outcome is decided; what is left is to give the lock back.
    pub(super) fn arrive(&self, flight: &mut Flight, outcome: Outcome) -> Step {
        let outcome = flight.outcome.insert(outcome);
        let woken = mutant!(WakeBeforeClear).then(|| outcome.clone());
        Step { wake: woken, ..self.unlock() }
    }

    /// The lock stays ours while what memory holds is not stored, so that nobody spends the refresh token in the store.
    pub(super) fn unlock(&self) -> Step {
        Step::to(Leg::Unlock { keep: self.is_to_be_saved() })
    }

    /// Whether this flight may keep the lock: nothing has superseded it, and what it was kept for is still not stored.
    pub(crate) fn may_keep(&self, id: FlightId) -> bool {
        self.may_write(id) && self.is_to_be_saved()
    }

    /// The flight leaves its place first, so that whoever it wakes can begin another.
    pub(super) fn land(&mut self, chance: Chance, flight: Flight) -> Step {
        let mut step = Step::to(Leg::Over);
        if !mutant!(WakeBeforeClear) {
            step.wake = Some(match flight.outcome {
                // A request that did not wait was quicker than the lock, and learned that these are no good either.
                Some(Outcome::Lent(lent)) if self.refused && self.memory.version() == Some(lent.version) => {
                    Outcome::Look
                }
                outcome => outcome.unwrap_or(Outcome::Look),
            });
        }
        step.save_in = self.save_again(chance);
        step
    }

    fn save_again(&mut self, chance: Chance) -> Option<std::time::Duration> {
        self.unsaved.as_mut()?.undo = None;
        self.is_to_be_saved().then(|| rest::pause(self.failed_saves, chance.jitter, None))
    }

    /// A flight was dropped together with its runtime. What it had brought is not lost; everyone who waits is told, and
    /// the next to need a flight begins one.
    pub(crate) fn died(&mut self, chance: Chance, id: FlightId) -> Step {
        self.ghosts.remove(id);
        let mut step = Step::to(Leg::Unlock { keep: false });
        let Some(flight) = self.flight.take_if(|flight| flight.id == id) else { return step };
        let what = "the runtime that this session's refresh ran on has ended";
        let ended = AuthError::new(Kind::TryLater, &self.id, what);
        let unsaved = self.store_error(&StoreError::unavailable(what));
        step.wake = Some(flight.outcome.unwrap_or_else(|| match flight.purpose {
            Purpose::Save | Purpose::Forget => Outcome::NotSaved(unsaved.clone()),
            Purpose::Load | Purpose::Refresh(_) => Outcome::Failed(ended),
            Purpose::Look => Outcome::Look,
        }));
        self.tell_of_change(&mut step.tell);
        if flight.candidate.is_some() || self.is_withheld() {
            // They are about to be used without being saved.
            step.tell.push(Event::StoreFailed(unsaved));
        }
        if let Some(candidate) = flight.candidate {
            let unsaved = self.unsaved.as_deref().cloned().unwrap_or_default();
            self.install(candidate, Some(Unsaved { undo: None, ..unsaved }), &mut step.tell);
        }
        step.save_in = self.save_again(chance);
        step.leg = Leg::Unlock { keep: self.is_to_be_saved() };
        step
    }

    /// Whether a flight may still act on anything outside: false once it was superseded.
    pub(crate) fn may_write(&self, id: FlightId) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.id == id)
    }
}
