//! Flights that a login, a logout or a forgetting superseded: each goes on to its next stop, and its tokens nowhere, unless
//! the change that superseded it is undone.

use std::sync::Arc;
use std::time::Duration;

use crate::event::Event;
use crate::session::core::chance::Chance;
use crate::session::core::flight::{Flight, FlightId, Heard, Leg, Step, SwapHeard};
use crate::session::core::memory::{Memory, Unsaved};
use crate::session::core::state::Core;
use crate::tokens::Tokens;

impl Core {
    pub(super) fn hear_ghost(&mut self, chance: Chance, id: FlightId, heard: Heard) -> Step {
        let Some(ghost) = self.ghosts.get_mut(id) else { return Step::to(Leg::Over) };
        let brought = match heard {
            Heard::Refreshed { result, asked_at } => result.ok().map(|tokens| Arc::new(tokens.settled(asked_at))),
            // What is said to have failed may have been written.
            Heard::Swapped(SwapHeard::Done | SwapHeard::Failed(_)) if ghost.late.remove => {
                ghost.removes = true;
                return Step::to(Leg::Remove);
            }
            // Written or not, nothing else has them.
            Heard::Swapped(_) => candidate(ghost),
            Heard::Removed(_) => return self.removed_late(id),
            Heard::Unlocked => {
                self.ghosts.remove(id);
                return Step::to(Leg::Over);
            }
            Heard::Boarded { .. } | Heard::Lock(_) | Heard::Read(_) | Heard::LockLost | Heard::Revoked => None,
        };
        let (late, spent) = (ghost.late, ghost.spent.take());
        match (brought, spent) {
            (Some(tokens), _) if late.revoke => Step::to(Leg::Revoke { tokens }),
            (Some(tokens), Some(spent)) if !late.remove => self.keep_rotation(chance, &spent, &tokens),
            _ => Step::to(Leg::Unlock { keep: false }),
        }
    }

    /// New tokens came in the place of these. Where the login that superseded their refresh is undone, or may be, what it
    /// puts back are the new ones, since the old ones are spent.
    fn keep_rotation(&mut self, chance: Chance, spent: &Arc<Tokens>, new: &Arc<Tokens>) -> Step {
        let mut step = Step::to(Leg::Unlock { keep: false });
        let next_to = |memory: &Memory, core: &Self| match memory {
            Memory::Tokens(held) if Arc::ptr_eq(&held.tokens, spent) => {
                let new = (**new).clone().completed_by(&held.tokens);
                Some(Memory::Tokens(core.hold(held.version.next(), new, chance.jitter)))
            }
            Memory::Tokens(_) | Memory::Unread | Memory::Nobody | Memory::Ended(_) => None,
        };
        if let Some(memory) = next_to(&self.memory, self) {
            let unsaved = self.unsaved.as_deref().cloned().unwrap_or_default();
            let mut tell: Vec<Event> = Vec::new();
            self.install(memory, Some(unsaved), &mut tell);
            step.save_in = Some(Duration::ZERO);
            return step.telling(tell);
        }
        let put_back = self.unsaved.as_ref().and_then(|unsaved| next_to(&unsaved.undo.as_ref()?.memory, self));
        if let (Some(memory), Some(undo)) = (put_back, self.unsaved.as_mut().and_then(|unsaved| unsaved.undo.as_mut()))
        {
            undo.memory = memory;
            undo.unsaved.get_or_insert_with(|| Box::new(Unsaved::default()));
        }
        step
    }

    /// What was stored was removed after a login that came since: that is stored again.
    fn removed_late(&mut self, id: FlightId) -> Step {
        let Some(ghost) = self.ghosts.get_mut(id) else { return Step::to(Leg::Over) };
        ghost.removes = false;
        let mut step = match candidate(ghost).filter(|_| ghost.late.revoke) {
            Some(tokens) => Step::to(Leg::Revoke { tokens }),
            None => Step::to(Leg::Unlock { keep: false }),
        };
        if self.memory.version().is_some() {
            self.dirty();
            step.save_in = Some(Duration::ZERO);
        }
        step
    }

    /// Whether a flight may remove what is stored: the one that is to, and one whose write may have come after that, unless
    /// there was a login since.
    pub(crate) fn may_remove(&self, id: FlightId) -> bool {
        let wrote = |ghost: &Flight| ghost.id == id && ghost.late.remove;
        self.may_write(id) || self.memory.version().is_none() && self.ghosts.iter().any(wrote)
    }
}

/// What it was about to store.
fn candidate(ghost: &mut Flight) -> Option<Arc<Tokens>> {
    match ghost.candidate.take() {
        Some(Memory::Tokens(held)) => Some(held.tokens),
        Some(Memory::Unread | Memory::Nobody | Memory::Ended(_)) | None => None,
    }
}
