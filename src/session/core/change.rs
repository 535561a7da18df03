//! What a program does to a session: login, logout, doubt.

use std::sync::Arc;

use secrecy::SecretString;

use crate::clock::Now;
use crate::event::{Ending, Event};
use crate::id::{LoginId, Version};
use crate::refresh::contract::Start;
use crate::session::core::chance::Chance;
use crate::session::core::flight::{Flight, FlightId, Outcome, Purpose};
use crate::session::core::memory::{Ended, Memory, Unsaved};
use crate::session::core::state::Core;
use crate::tokens::Tokens;

/// What a change leads to.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) tell: Vec<Event>,
    /// The flight that saves the change; to be launched.
    pub(crate) save: FlightId,
    /// The flight that it supersedes: everyone who waits for it is to look again.
    pub(crate) superseded: Option<(FlightId, Outcome)>,
    /// The tokens that a logout ended.
    pub(crate) ended: Option<Arc<Tokens>>,
}

impl Core {
    /// Somebody logged in: true at once, whatever is under way. Only the write is queued.
    pub(crate) fn log_in(&mut self, now: Now, chance: Chance, tokens: Tokens) -> Changed {
        let unsaved = self.replacing(true);
        let superseded = self.supersede(false);
        let held = self.hold(Version::new(chance.login, 0), tokens.settled(now.wall), chance.jitter);
        self.begin_anew();
        let mut tell = Vec::new();
        self.install(Memory::Tokens(held), Some(unsaved), &mut tell);
        Changed { tell, save: self.board(Purpose::Save), superseded, ended: None }
    }

    /// Somebody logged out: true at once, whatever is under way. `None` when nobody was logged in.
    pub(crate) fn log_out(&mut self, now: Now, chance: Chance) -> Option<Changed> {
        let (version, ended) = match &self.memory {
            Memory::Nobody if self.rules.start == Start::NeedsLogin => return None,
            Memory::Ended(Ended { ending: Ending::LoggedOut, .. }) => return None,
            Memory::Unread | Memory::Nobody => (Version::new(chance.login, 0), None),
            Memory::Tokens(held) => (held.version.next(), Some(Arc::clone(&held.tokens))),
            Memory::Ended(ended) => (ended.version.next(), None),
        };
        // A dirty login goes on replacing what it replaced; a logout is written over what is found at first.
        let held = self.held().map(|held| held.version);
        let unsaved = Unsaved { withheld: false, ended: held, ..self.replacing(false) };
        let superseded = self.supersede(true);
        self.begin_anew();
        let mut tell = Vec::new();
        let tombstone = Memory::Ended(Ended { version, ending: Ending::LoggedOut, since: now.wall.time() });
        self.install(tombstone, Some(unsaved), &mut tell);
        Some(Changed { tell, save: self.board(Purpose::Save), superseded, ended })
    }

    /// The program doubts this access token: whoever needs it next gets a new one first. False when it is not the current
    /// one.
    pub(crate) fn doubt(&mut self, token: &SecretString) -> bool {
        let doubted = self.held().is_some_and(|held| held.tokens.is_access_token(token));
        self.refused |= doubted;
        doubted
    }

    /// Whether what memory holds is to be saved now; then the flight to launch for it.
    pub(crate) fn save_now(&mut self) -> Option<FlightId> {
        (self.unsaved.is_some() && self.flight.is_none()).then(|| self.board(Purpose::Save))
    }

    pub(super) fn board(&mut self, purpose: Purpose) -> FlightId {
        self.flights += 1;
        let id = FlightId(self.flights);
        self.flight = Some(Box::new(Flight::new(id, purpose)));
        id
    }

    /// What a change replaces: the login in memory, and what that one still replaces.
    fn replacing(&self, login: bool) -> Unsaved {
        let mut replaced: Vec<LoginId> = self.unsaved.as_ref().map_or_else(Vec::new, |old| old.replaced.clone());
        // A logout keeps its login's id.
        replaced.extend(self.login().filter(|_| login));
        // A first login that nobody was told of yet may be on its way into the store at this moment.
        let landing = self.flight.as_ref().and_then(|flight| flight.candidate.as_ref()?.version());
        replaced.extend(landing.map(|version| version.login).filter(|landing| self.login() != Some(*landing)));
        let unread = matches!(self.memory, Memory::Unread) || self.unsaved.as_ref().is_some_and(|old| old.unread);
        Unsaved { replaced, first_reading: true, unread, ended: None, withheld: login }
    }

    fn supersede(&mut self, logged_out: bool) -> Option<(FlightId, Outcome)> {
        let mut flight = self.flight.take()?;
        let outcome = match (flight.outcome.take(), flight.purpose) {
            // A failure is told as it was.
            (Some(failed @ (Outcome::Failed(_) | Outcome::NotSaved(_))), _) => failed,
            // Whoever waits for tokens began before the change, also where nobody knew yet under which login; and what was
            // found before the change is not lent after it.
            (_, Purpose::Load | Purpose::Refresh(_)) => Outcome::Failed(self.logged_out()),
            // Whoever waits for a look began under no login.
            (_, Purpose::Save | Purpose::Look) => Outcome::Look,
        };
        flight.logged_out = logged_out;
        let id = flight.id;
        self.ghosts.push(*flight);
        Some((id, outcome))
    }

    fn begin_anew(&mut self) {
        self.recover();
        self.failed_saves = 0;
        self.excess = crate::policy::excess::Window::default();
        self.refused = false;
    }
}
