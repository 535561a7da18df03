//! Nobody is logged in here, and the store can be seen by others: somebody may have logged in elsewhere.
//!
//! A request that finds nobody logged in has the store read again, at a bounded rate, before it is told so. Nothing is sent
//! for it and no record is written; the lock that tells whether there are others may be a file. Only a login, or the end of another one, is news: what was logged out of here stays so.

use std::time::Duration;

use crate::clock::Now;
use crate::event::{Ending, Event};
use crate::policy::rest;
use crate::refresh::info::FirstLogin;
use crate::session::core::board::{self, Found};
use crate::session::core::chance::Chance;
use crate::session::core::flight::{Flight, FlightId, Leg, LockHeard, Outcome, Purpose, Step};
use crate::session::core::memory::{Ended, Memory};
use crate::session::core::need::Answer;
use crate::session::core::state::Core;
use crate::store::error::StoreError;
use crate::store::record::Record;

/// So long what was read last is believed.
pub(super) const EVERY: Duration = Duration::from_secs(1);

impl Core {
    /// The look to wait for, if there is to be one now.
    pub(super) fn look(&mut self, now: Now) -> Option<Answer> {
        // What a cookie session is logged in by is in no store.
        if self.alone || self.unsaved.is_some() || self.rules.first_login == FirstLogin::Assumed {
            return None;
        }
        if let Some(up) = &self.flight {
            return (up.purpose == Purpose::Look).then_some(Answer::Wait { flight: up.id, launch: false });
        }
        if self.has_looked(now) || self.rests(now).is_some() {
            return None;
        }
        // At once, so that nobody looks without end where there is no runtime to look on.
        self.look_again_in(now, EVERY);
        Some(Answer::Wait { flight: self.board(Purpose::Look), launch: true })
    }

    /// The look that a logout takes first, whenever the last one was: whom it is to log out may be in the store only.
    pub(crate) fn look_now(&mut self, now: Now) -> Option<(FlightId, bool)> {
        let nobody = matches!(&self.memory, Memory::Nobody | Memory::Ended(Ended { ending: Ending::LoggedOut, .. }));
        if !nobody || self.closed {
            return None;
        }
        self.look_at = 0;
        match self.look(now)? {
            Answer::Wait { flight, launch } => Some((flight, launch)),
            Answer::Go(_) | Answer::GoEarly(..) | Answer::Nobody | Answer::Fail(_) => None,
        }
    }

    /// Whether what was read last is believed still.
    pub(super) fn has_looked(&self, now: Now) -> bool {
        tenths(now.monotonic) < self.look_at
    }

    pub(super) fn look_again_in(&mut self, now: Now, pause: Duration) {
        self.look_at = tenths(now.monotonic.saturating_add(pause));
    }

    /// The lock is asked for to learn whether anybody else can see the store, not to be had.
    pub(super) fn looks_for_others(
        &mut self,
        now: Now,
        chance: Chance,
        flight: &mut Flight,
        heard: &LockHeard,
    ) -> Step {
        match heard {
            LockHeard::NotShared => self.arrive(flight, Outcome::Look),
            LockHeard::Held | LockHeard::Busy => Step::to(Leg::Read),
            LockHeard::Failed(error) => self.look_failed(now, chance, flight, error),
        }
    }

    pub(super) fn looked(&mut self, now: Now, chance: Chance, flight: &mut Flight, found: Option<&Record>) -> Step {
        self.failures = 0;
        self.look_again_in(now, EVERY);
        let mut tell = Vec::new();
        if let Some(news) = found.filter(|found| self.is_news(found)) {
            self.adopt(news, chance.jitter, &mut tell);
        }
        // Whoever waits asks again, as somebody who begins now.
        self.arrive(flight, Outcome::Look).telling(tell)
    }

    fn is_news(&self, found: &Record) -> bool {
        let gone = matches!(&self.memory, Memory::Ended(Ended { ending: Ending::LoggedOut, version, .. })
            if version.login == found.version().login);
        !gone && board::judge(&self.memory, None, Some(found)) == Found::Adopt
    }

    /// Whoever waits is told what would have been said without looking; and the store is left alone for a while.
    pub(super) fn look_failed(&mut self, now: Now, chance: Chance, flight: &mut Flight, error: &StoreError) -> Step {
        self.failures = self.failures.saturating_add(1);
        self.look_again_in(now, rest::pause(self.failures, chance.jitter, None).max(EVERY));
        let failed = self.store_error(error);
        self.arrive(flight, Outcome::Look).telling(vec![Event::StoreFailed(failed)])
    }
}

/// Coarse, so that there is room for it in every session; enough for a program that runs for thirteen years.
fn tenths(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / 100).unwrap_or(u32::MAX)
}
