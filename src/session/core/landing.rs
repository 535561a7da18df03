//! How a flight ends: it has arrived, gives the lock back, leaves its place, and wakes those who waited. In this order.

use crate::error::{AuthError, Kind};
use crate::event::Event;
use crate::policy::rest;
use crate::session::core::chance::Chance;
use crate::session::core::flight::{Flight, FlightId, Heard, Leg, Outcome, Purpose, Step, SwapHeard};
use crate::session::core::memory::{Memory, Unsaved};
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
        Step::to(Leg::Unlock { keep: self.keeps_lock() })
    }

    /// Whether the lock is kept beyond a flight. In one process there is no need: what is dirty here is in memory there.
    fn keeps_lock(&self) -> bool {
        self.is_to_be_saved() && !self.alone
    }

    /// Whether this flight may keep the lock: nothing has superseded it, and what it was kept for is still not stored.
    pub(crate) fn may_keep(&self, id: FlightId) -> bool {
        self.may_write(id) && self.keeps_lock()
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
        step.leg = Leg::Unlock { keep: self.keeps_lock() };
        step
    }

    /// A flight that a login or a logout superseded goes on to its next stop, and its tokens nowhere.
    pub(super) fn hear_ghost(&mut self, id: FlightId, heard: Heard) -> Step {
        let Some(ghost) = self.ghosts.get_mut(id) else { return Step::to(Leg::Over) };
        let brought = match heard {
            Heard::Refreshed { result, .. } => result.ok().map(std::sync::Arc::new),
            Heard::Swapped(SwapHeard::Done) if ghost.late.remove => return Step::to(Leg::Remove),
            // Written or not, nobody else has them.
            Heard::Swapped(_) | Heard::Removed(_) => match ghost.candidate.take() {
                Some(Memory::Tokens(held)) => Some(held.tokens),
                Some(Memory::Unread | Memory::Nobody | Memory::Ended(_)) | None => None,
            },
            Heard::Unlocked => {
                self.ghosts.remove(id);
                return Step::to(Leg::Over);
            }
            Heard::Boarded { .. } | Heard::Lock(_) | Heard::Read(_) | Heard::LockLost | Heard::Revoked => None,
        };
        match brought {
            Some(tokens) if ghost.late.revoke => Step::to(Leg::Revoke { tokens }),
            _ => Step::to(Leg::Unlock { keep: false }),
        }
    }

    /// Whether a flight may remove what is stored: the one that is to, and one whose write may have come after that, unless
    /// there was a login since.
    pub(crate) fn may_remove(&self, id: FlightId) -> bool {
        let wrote = |ghost: &Flight| ghost.id == id && ghost.late.remove;
        self.may_write(id) || self.memory.version().is_none() && self.ghosts.iter().any(wrote)
    }

    /// Whether a flight may still act on anything outside: false once it was superseded.
    pub(crate) fn may_write(&self, id: FlightId) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.id == id)
    }
}
