//! What a request needs, and what it gets: "is there something newer already?" and boarding a flight, in one step.

use crate::clock::Now;
use crate::error::{AuthError, Kind};
use crate::event::Ending;
use crate::id::{LoginId, Version};
use crate::policy::excess;
use crate::policy::freshness::Stage;
use crate::refresh::contract::RefreshReason;
use crate::refresh::info::FirstLogin;
use crate::session::core::flight::{FlightId, Purpose};
use crate::session::core::memory::{Held, Lent, Memory};
use crate::session::core::mutants::mutant;
use crate::session::core::state::Core;

/// What is asked of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Need {
    /// Tokens to sign a request with. One that can be sent only once had better not meet a rotation.
    Sign { sent_once: bool },
    /// Newer tokens than these, which a response called no good.
    Newer(Version),
    /// Newer tokens than those at hand, because the program says so.
    Forced,
}

/// What is answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Go out with these.
    Go(Lent),
    /// Go out with these; the flight was begun by this very request and is to be launched.
    GoEarly(Lent, FlightId),
    /// Wait for this flight.
    Wait {
        flight: FlightId,
        launch: bool,
    },
    /// Nobody is logged in.
    Nobody,
    Fail(AuthError),
}

impl Core {
    /// Answers one request. `begun`: the login under which it began, if it has begun under one.
    pub(crate) fn need(&mut self, now: Now, need: Need, begun: Option<LoginId>) -> Answer {
        if let Some(begun) = begun
            && self.login() != Some(begun)
            && !mutant!(CompareGenerationWithoutLogin)
        {
            return Answer::Fail(self.logged_out());
        }
        match &self.memory {
            Memory::Unread => self.wait_for(now, Purpose::Load),
            Memory::Nobody if self.rules.first_login == FirstLogin::Unattended => {
                self.wait_for(now, Purpose::Refresh(RefreshReason::FirstLogin))
            }
            // Whoever began under the login that has ended has their answer.
            Memory::Nobody | Memory::Ended(_) if begun.is_none() => {
                let look = self.look(now);
                look.unwrap_or_else(|| self.without_tokens(begun))
            }
            Memory::Nobody | Memory::Ended(_) => self.without_tokens(begun),
            Memory::Tokens(held) => {
                let held = held.clone();
                self.tokens_for(now, need, &held)
            }
        }
    }

    /// What there is to say when nobody is logged in.
    fn without_tokens(&self, begun: Option<LoginId>) -> Answer {
        match &self.memory {
            Memory::Ended(ended) if ended.ending == Ending::LoggedOut && begun.is_none() => Answer::Nobody,
            Memory::Ended(ended) => Answer::Fail(self.ended(ended)),
            Memory::Nobody | Memory::Unread | Memory::Tokens(_) => Answer::Nobody,
        }
    }

    fn tokens_for(&mut self, now: Now, need: Need, held: &Held) -> Answer {
        if let Some(flight) = self.flight.as_ref().filter(|_| self.is_withheld()) {
            return Answer::Wait { flight: flight.id, launch: false };
        }
        let refused = self.refused;
        match need {
            Need::Newer(version) if version.generation >= held.version.generation => self.newer(now, held),
            Need::Forced => self.asked_for(now, held, RefreshReason::Forced),
            Need::Sign { .. } | Need::Newer(_) if refused => self.asked_for(now, held, RefreshReason::Unauthorized),
            Need::Sign { .. } | Need::Newer(_) => {
                let sent_once = need == Need::Sign { sent_once: true };
                // Some issuers end the old access token the moment they make a new one.
                if sent_once && let Some(flight) = self.refreshing() {
                    return Answer::Wait { flight, launch: false };
                }
                match held.freshness.at(now.wall) {
                    Stage::Fresh => Answer::Go(held.into()),
                    Stage::Due => self.due(now, held, sent_once),
                    Stage::Expired => self.wait_for(now, Purpose::Refresh(RefreshReason::Expired)),
                }
            }
        }
    }

    /// A response called these tokens no good. That is remembered, so that nobody else is sent with them, unless new
    /// tokens fare no better: then it does not seem to be the tokens.
    fn newer(&mut self, now: Now, held: &Held) -> Answer {
        if self.flight.is_some() || self.excess.closed_for(now.monotonic).is_none() {
            self.refused = true;
        }
        self.asked_for(now, held, RefreshReason::Unauthorized)
    }

    /// Once closed, the window is closed for tokens of any age: an API that refuses everything would otherwise get new ones
    /// as often as they grow old.
    fn asked_for(&mut self, now: Now, held: &Held, reason: RefreshReason) -> Answer {
        if self.flight.is_none() && self.rests(now).is_none() {
            if let Some(closed_for) = self.excess.closed_for(now.monotonic) {
                return Answer::Fail(self.excessive(closed_for));
            }
            if excess::is_excess(&held.tokens, now.wall) {
                self.excess.count(now.monotonic);
            }
        }
        self.wait_for(now, Purpose::Refresh(reason))
    }

    fn due(&mut self, now: Now, held: &Held, sent_once: bool) -> Answer {
        if self.flight.is_some() || self.closed || self.rests(now).is_some() {
            return Answer::Go(held.into());
        }
        let flight = self.board(Purpose::Refresh(RefreshReason::Due));
        if sent_once { Answer::Wait { flight, launch: true } } else { Answer::GoEarly(held.into(), flight) }
    }

    fn refreshing(&self) -> Option<FlightId> {
        self.flight.as_ref().filter(|flight| matches!(flight.purpose, Purpose::Refresh(_))).map(|flight| flight.id)
    }

    /// The flight that is up is joined before any pause is looked at.
    pub(super) fn wait_for(&mut self, now: Now, purpose: Purpose) -> Answer {
        if let Some(flight) = &self.flight {
            return Answer::Wait { flight: flight.id, launch: false };
        }
        if self.closed {
            let what = "this session was shut down, and gets no new tokens";
            return Answer::Fail(AuthError::new(Kind::Misconfigured, &self.id, what));
        }
        if let Some(error) = self.resting(now) {
            return Answer::Fail(error);
        }
        Answer::Wait { flight: self.board(purpose), launch: true }
    }

    /// The flight that reads the store for the first time; `None` when it was read, or is left alone at the moment.
    pub(crate) fn load(&mut self, now: Now) -> Option<(FlightId, bool)> {
        if !self.is_unread() {
            return None;
        }
        match self.wait_for(now, Purpose::Load) {
            Answer::Wait { flight, launch } => Some((flight, launch)),
            Answer::Go(_) | Answer::GoEarly(..) | Answer::Nobody | Answer::Fail(_) => None,
        }
    }

    /// The flight to wait for until everything is stored; `None` when it is.
    pub(crate) fn flush(&mut self) -> Option<(FlightId, bool)> {
        match &self.flight {
            Some(flight) => Some((flight.id, false)),
            // Also what the store did not take, since it holds another registration's record: to say so.
            None => self.unsaved.is_some().then(|| (self.board(Purpose::Save), true)),
        }
    }

    /// What the flight that is up is for, in a word for the log.
    pub(crate) fn purpose(&self, flight: FlightId) -> &'static str {
        let up = self.flight.as_ref().filter(|up| up.id == flight);
        match up.map(|up| up.purpose) {
            Some(Purpose::Load) => "load",
            Some(Purpose::Save) => "save",
            Some(Purpose::Look) => "look",
            Some(Purpose::Forget) => "forget",
            Some(Purpose::Refresh(reason)) => reason.as_str(),
            None => "superseded",
        }
    }

    pub(super) fn is_excess(&self, now: Now) -> bool {
        self.held().is_some_and(|held| excess::is_excess(&held.tokens, now.wall))
    }
}
