//! What a program does to a session: login, logout, doubt.

use std::sync::Arc;

use secrecy::SecretString;

use crate::clock::Now;
use crate::event::{Ending, Event};
use crate::id::{LoginId, Version};
use crate::refresh::info::FirstLogin;
use crate::session::core::chance::Chance;
use crate::session::core::flight::{Flight, FlightId, Outcome, Purpose};
use crate::session::core::memory::{Ended, Memory, Undo, Unsaved};
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
        let mut tell = Vec::new();
        let superseded = self.supersede(false, &mut tell);
        let held = self.hold(Version::new(chance.login, 0), tokens.settled(now.wall), chance.jitter);
        self.replace(Memory::Tokens(held), unsaved, true, &mut tell);
        Changed { tell, save: self.board(Purpose::Save), superseded, ended: None }
    }

    /// Somebody logged out: true at once, whatever is under way. `None` when nobody was logged in.
    pub(crate) fn log_out(&mut self, now: Now, chance: Chance) -> Option<Changed> {
        let (version, ended) = match &self.memory {
            Memory::Nobody if self.rules.first_login == FirstLogin::Interactive => return None,
            Memory::Ended(Ended { ending: Ending::LoggedOut, .. }) => return None,
            Memory::Unread | Memory::Nobody => (Version::new(chance.login, 0), None),
            Memory::Tokens(held) => (held.version.next(), Some(Arc::clone(&held.tokens))),
            Memory::Ended(ended) => (ended.version.next(), None),
        };
        // A dirty login goes on replacing what it replaced; a logout is written over what is found at first.
        let held = self.held().map(|held| held.version);
        let unsaved = Unsaved { ended: held, ..self.replacing(false) };
        let mut tell = Vec::new();
        let superseded = self.supersede(true, &mut tell);
        let tombstone = Memory::Ended(Ended { version, ending: Ending::LoggedOut, since: now.wall.time() });
        // Tokens that were here are gone, whatever the store holds.
        let can_be_undone = matches!(self.memory, Memory::Unread | Memory::Nobody);
        self.replace(tombstone, unsaved, can_be_undone, &mut tell);
        Some(Changed { tell, save: self.board(Purpose::Save), superseded, ended })
    }

    /// The program doubts this access token: whoever needs it next gets a new one first. False when it is not the current
    /// one.
    pub(crate) fn doubt(&mut self, token: &SecretString) -> bool {
        let doubted = self.held().is_some_and(|held| held.tokens.is_access_token(token));
        self.refused |= doubted;
        doubted
    }

    /// Forgets what memory holds, and has the store forget what it holds, whatever that is.
    pub(crate) fn forget_stored(&mut self) -> Changed {
        let mut tell = Vec::new();
        let superseded = self.supersede(false, &mut tell);
        self.ghosts.forget();
        if self.held().is_some() {
            tell.push(Event::LoggedOut);
        }
        self.begin_anew();
        // Requests wait until it is removed, and read what is there then.
        self.install(Memory::Unread, None, &mut tell);
        self.unknown = None;
        Changed { tell, save: self.board(Purpose::Forget), superseded, ended: None }
    }

    /// Makes this the memory at once. What was there is kept for as long as it may have to be put back.
    fn replace(&mut self, memory: Memory, mut unsaved: Unsaved, can_be_undone: bool, tell: &mut Vec<Event>) {
        // What did not stand yet is not what is put back.
        let earlier = self.unsaved.as_mut().and_then(|unsaved| unsaved.undo.take());
        let undo = match earlier {
            Some(earlier) => Some(Undo { was_told: true, ..*earlier }),
            None if can_be_undone => Some(Undo {
                memory: self.memory.clone(),
                unsaved: self.unsaved.take(),
                refused: self.refused,
                unknown: self.unknown.clone(),
                untold: Vec::new(),
                was_told: false,
            }),
            None => None,
        };
        self.begin_anew();
        self.unknown = None;
        let mut untold = Vec::new();
        self.install(memory, None, &mut untold);
        match undo {
            Some(undo) => unsaved.undo = Some(Box::new(Undo { untold, ..undo })),
            None => tell.append(&mut untold),
        }
        self.unsaved = Some(Box::new(unsaved));
    }

    /// Tells of a login or a logout that now stands.
    pub(super) fn tell_of_change(&mut self, tell: &mut Vec<Event>) {
        if let Some(undo) = self.unsaved.as_mut().and_then(|unsaved| unsaved.undo.as_mut()) {
            tell.append(&mut undo.untold);
        }
    }

    /// Whether what memory holds is to be saved now; then the flight to launch for it.
    pub(crate) fn save_now(&mut self) -> Option<FlightId> {
        (self.is_to_be_saved() && self.flight.is_none()).then(|| self.board(Purpose::Save))
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
        // And so may what was superseded by a forgetting.
        let forgotten = self.ghosts.iter().filter(|ghost| ghost.late.remove).filter_map(|ghost| ghost.writes);
        replaced.extend(forgotten);
        let unread = matches!(self.memory, Memory::Unread) || self.unsaved.as_ref().is_some_and(|old| old.unread);
        Unsaved { replaced, first_reading: true, unread, ended: None, undo: None, foreign: false }
    }

    fn supersede(&mut self, logged_out: bool, tell: &mut Vec<Event>) -> Option<(FlightId, Outcome)> {
        self.tell_of_change(tell);
        let mut flight = self.flight.take()?;
        let outcome = match (flight.outcome.take(), flight.purpose) {
            // A failure is told as it was.
            (Some(failed @ (Outcome::Failed(_) | Outcome::NotSaved(_))), _) => failed,
            // Whoever waits for tokens began before the change, also where nobody knew yet under which login; and what was
            // found before the change is not lent after it.
            (_, Purpose::Load | Purpose::Refresh(_)) => Outcome::Failed(self.logged_out()),
            // Whoever waits for a look began under no login.
            (_, Purpose::Save | Purpose::Look | Purpose::Forget) => Outcome::Look,
        };
        flight.late.revoke = logged_out;
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
