//! What makes two states of the world the same: everything that can make a difference, with numbers of flights and moments
//! counted from now.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::request::At;
use super::store;
use super::world::World;
use crate::session::core::flight::{Flight, Leg, Outcome, Purpose};
use crate::session::core::memory::{Memory, Unsaved};

impl World {
    pub(super) fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let h = &mut hasher;
        let core = &self.core;
        memory(&core.memory, h);
        core.unsaved.iter().for_each(|unsaved| unsaved_key(unsaved, h));
        core.refused.hash(h);
        core.flight.iter().for_each(|up| self.flight_key(up, h));
        core.ghosts.iter().for_each(|ghost| self.flight_key(ghost, h));
        core.rests(self.now()).is_some().hash(h);
        core.excess.hash(h);
        core.told.hash(h);
        (core.alone, core.has_looked(self.now())).hash(h);
        for air in &self.air {
            (core.flights - air.id.0, leg(&air.leg), &air.answer, air.writing).hash(h);
        }
        let mut requests = self.requests.clone();
        for request in &mut requests {
            if let At::Waits { flight, .. } = &mut request.at {
                flight.0 = core.flights - flight.0;
            }
        }
        requests.sort_unstable();
        requests.hash(h);
        self.store.as_ref().map(|record| (record.version(), store::kind(record), self.stored_pair())).hash(h);
        self.grants.hash(h);
        (self.tick, self.saver, self.left, self.logged_out.clone(), self.saved.clone(), self.reported.clone()).hash(h);
        (self.blind, &self.foreign, self.store_was_lost, &self.alone, &self.alone_before).hash(h);
        hasher.finish()
    }

    fn flight_key(&self, flight: &Flight, h: &mut DefaultHasher) {
        (self.core.flights - flight.id.0, flight.purpose, flight.expected, flight.shared, flight.busy).hash(h);
        (
            (flight.sent_at, flight.spent.is_some()),
            flight.attempts,
            flight.rounds,
            flight.writes,
            flight.late,
            flight.removes,
            flight.replaced.is_some(),
        )
            .hash(h);
        flight.candidate.iter().for_each(|candidate| memory(candidate, h));
        flight.outcome.as_ref().map(outcome).hash(h);
    }
}

fn unsaved_key(unsaved: &Unsaved, h: &mut DefaultHasher) {
    (&unsaved.replaced, unsaved.first_reading, unsaved.unread, unsaved.ended, unsaved.foreign).hash(h);
    if let Some(undo) = &unsaved.undo {
        memory(&undo.memory, h);
        undo.unsaved.iter().for_each(|before| unsaved_key(before, h));
        (undo.refused, undo.untold.len()).hash(h);
    }
}

fn memory(memory: &Memory, h: &mut DefaultHasher) {
    match memory {
        Memory::Unread => 0_u8.hash(h),
        Memory::Nobody => 1_u8.hash(h),
        Memory::Tokens(held) => (2_u8, held.version, super::issuer::Pair::of(&held.tokens)).hash(h),
        Memory::Ended(ended) => (3_u8, ended.version, ended.ending.clone()).hash(h),
    }
}

fn outcome(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Look => 0,
        Outcome::Lent(_) => 1,
        Outcome::Failed(error) => 2 + u8::from(error.needs_login()),
        Outcome::NotSaved(_) => 4,
    }
}

fn leg(leg: &Leg) -> (u8, Option<crate::id::Version>) {
    match leg {
        Leg::Lock { wait } => (u8::from(*wait) * 8, None),
        Leg::Read => (1, None),
        Leg::Refresh { .. } => (2, None),
        Leg::Swap { expected, .. } => (3, *expected),
        Leg::Revoke { .. } => (4, None),
        Leg::Unlock { keep } => (5 + u8::from(*keep), None),
        Leg::Over => (7, None),
        Leg::Remove => (9, None),
    }
}

/// What a flight is for, so that rows can be named.
pub(super) fn is_refresh(flight: &Flight) -> bool {
    matches!(flight.purpose, Purpose::Refresh(_))
}
