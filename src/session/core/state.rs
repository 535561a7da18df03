//! The state of one session, and how what it remembers is replaced.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Now, Wall};
use crate::event::{Ending, Event, State};
use crate::id::{LoginId, SessionId, Version};
use crate::policy::excess::Window;
use crate::policy::freshness::Freshness;
use crate::refresh::info::FirstLogin;
use crate::session::core::flight::{Flight, Ghosts};
use crate::session::core::memory::{Ended, Held, Memory, Rest, Unsaved};
use crate::session::core::registration::Registration;
use crate::store::record::{Content, Record};
use crate::store::unknown::Unknown;
use crate::tokens::Tokens;

/// The state of one session. What is seldom there is in boxes: a program may have a million of these.
#[derive(Debug, Clone)]
pub(crate) struct Core {
    pub(super) id: SessionId,
    pub(super) rules: Arc<Rules>,
    pub(super) memory: Memory,
    /// Set while what memory holds is not stored ("dirty").
    pub(super) unsaved: Option<Box<Unsaved>>,
    /// A response called the tokens in memory no good.
    pub(super) refused: bool,
    pub(super) flight: Option<Box<Flight>>,
    /// Flights that a login or a logout superseded: what they bring is dropped.
    pub(super) ghosts: Ghosts,
    pub(super) flights: u64,
    pub(super) rest: Option<Box<Rest>>,
    /// Refreshes and readings that failed in a row.
    pub(super) failures: u32,
    /// Savings that failed in a row.
    pub(super) failed_saves: u32,
    pub(super) excess: Window,
    /// The store was said to be nobody else's.
    pub(super) alone: bool,
    /// The store is not looked at for somebody else's login before this moment, in tenths of a second of the monotonic clock.
    pub(super) look_at: u32,
    /// The login whose need of a new one was told: it is told once.
    pub(super) told: Option<Box<LoginId>>,
    /// Members of the stored record that this version of the crate does not know.
    pub(super) unknown: Option<Box<Unknown>>,
    /// The program has shut the session down: nothing new is begun.
    pub(super) closed: bool,
}

/// What does not change in a session's life.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) registration: Registration,
    pub(crate) first_login: FirstLogin,
    /// How long before its expiry a long-lived token is due.
    pub(crate) ahead: Duration,
    /// Whether to refresh although a store that is shared cannot be locked or read.
    pub(crate) without_lock: bool,
    /// Whether a refresh whose response was lost is not sent again.
    pub(crate) never_resubmit: bool,
}

impl Core {
    pub(crate) fn new(id: SessionId, rules: impl Into<Arc<Rules>>) -> Self {
        Self {
            id,
            rules: rules.into(),
            memory: Memory::Unread,
            unsaved: None,
            refused: false,
            flight: None,
            ghosts: Ghosts::default(),
            flights: 0,
            rest: None,
            failures: 0,
            failed_saves: 0,
            excess: Window::default(),
            alone: false,
            look_at: 0,
            told: None,
            unknown: None,
            closed: false,
        }
    }

    /// The tokens that any request may have at once, until the moment they are due; `None` when it has to ask.
    pub(crate) fn free(&self) -> Option<&Held> {
        let Memory::Tokens(held) = &self.memory else { return None };
        (!self.is_withheld() && self.flight.is_none() && !self.refused).then_some(held)
    }

    /// Whether the store was never read.
    pub(crate) fn is_unread(&self) -> bool {
        matches!(self.memory, Memory::Unread)
    }

    /// A login whose first save has neither ended nor failed: no request gets its tokens yet.
    pub(super) fn is_withheld(&self) -> bool {
        self.unsaved.as_ref().is_some_and(|unsaved| unsaved.undo.is_some())
    }

    /// Whether what memory holds is still to be saved, and can be.
    pub(crate) fn is_to_be_saved(&self) -> bool {
        self.unsaved.as_ref().is_some_and(|unsaved| !unsaved.foreign)
    }

    pub(crate) fn state(&self) -> State {
        match &self.memory {
            Memory::Unread => State::NotLoaded,
            Memory::Nobody => State::Nobody,
            Memory::Tokens(held) => State::LoggedIn {
                version: held.version,
                expires_at: held.tokens.expires_at(),
                saved: self.unsaved.is_none(),
            },
            Memory::Ended(Ended { ending: Ending::LoggedOut, since, .. }) => State::LoggedOut { since: *since },
            Memory::Ended(Ended { ending: Ending::NeedsLogin(reason), since, .. }) => {
                State::NeedsLogin { reason: reason.clone(), since: *since }
            }
        }
    }

    /// The current tokens and their version, whatever they are worth.
    pub(crate) fn held(&self) -> Option<&Held> {
        match &self.memory {
            Memory::Tokens(held) => Some(held),
            Memory::Unread | Memory::Nobody | Memory::Ended(_) => None,
        }
    }

    pub(super) fn login(&self) -> Option<LoginId> {
        self.memory.version().map(|version| version.login)
    }

    pub(super) fn rests(&self, now: Now) -> Option<&Rest> {
        self.rest.as_deref().filter(|rest| now.monotonic < rest.until)
    }

    /// Takes over what the store holds.
    pub(super) fn adopt(&mut self, record: &Record, jitter: u32, tell: &mut Vec<Event>) {
        self.keep_unknown(record);
        let memory = match record.content() {
            Content::Tokens(tokens) => Memory::Tokens(self.hold(record.version(), (**tokens).clone(), jitter)),
            Content::Tombstone { ending, since } => {
                Memory::Ended(Ended { version: record.version(), ending: ending.clone(), since: *since })
            }
            // Heard as a store that is unavailable, so never met here.
            Content::Sealed(_) => return,
        };
        self.install(memory, None, tell);
    }

    pub(super) fn hold(&self, version: Version, tokens: Tokens, jitter: u32) -> Held {
        let tokens = match tokens.issued_at() {
            Some(_) => tokens,
            None => tokens.settled(Wall(0)),
        };
        let freshness = Freshness::of(&tokens, self.rules.ahead, jitter);
        Held { version, tokens: Arc::new(tokens), freshness, presumed: false }
    }

    /// Makes this the memory, and tells what changed by it.
    pub(super) fn install(&mut self, memory: Memory, unsaved: Option<Unsaved>, tell: &mut Vec<Event>) {
        let before = self.memory.version();
        let was_ended = matches!(self.memory, Memory::Ended(_));
        self.unsaved = unsaved.map(Box::new);
        match &memory {
            Memory::Tokens(held) => {
                if before.map(|version| version.login) != Some(held.version.login) || was_ended {
                    tell.push(Event::LoggedIn(held.version));
                } else if before != Some(held.version) {
                    tell.push(Event::Refreshed(held.version));
                }
            }
            Memory::Ended(Ended { version, ending: Ending::NeedsLogin(reason), .. }) => {
                if self.told.replace(Box::new(version.login)).as_deref() != Some(&version.login) {
                    tell.push(Event::NeedsLogin(reason.clone()));
                }
            }
            Memory::Ended(Ended { ending: Ending::LoggedOut, .. }) => tell.push(Event::LoggedOut),
            Memory::Unread | Memory::Nobody => {}
        }
        self.refused &= memory.version() == before && matches!(memory, Memory::Tokens(_));
        self.memory = memory;
    }

    /// What is to be stored.
    pub(super) fn record(&self, memory: &Memory) -> Option<Record> {
        let content = match memory {
            Memory::Tokens(held) => Content::Tokens(Box::new((*held.tokens).clone())),
            Memory::Ended(ended) => Content::Tombstone { ending: ended.ending.clone(), since: ended.since },
            Memory::Unread | Memory::Nobody => return None,
        };
        let unknown = match memory {
            Memory::Tokens(_) => self.unknown.as_deref().cloned().unwrap_or_default(),
            // It may be a secret, and goes with the tokens.
            Memory::Ended(_) | Memory::Unread | Memory::Nobody => Unknown::default(),
        };
        let record = Record::new(self.id.clone(), memory.version()?, content).with_unknown(unknown);
        Some(record.belonging_to(self.rules.registration.current.clone()))
    }

    pub(super) fn keep_unknown(&mut self, record: &Record) {
        let unknown = record.unknown();
        self.unknown = (!unknown.is_empty()).then(|| Box::new(unknown.clone()));
    }

    /// Whether nothing would be lost if this were forgotten and read again from the store.
    pub(crate) fn is_idle(&self, now: Now) -> bool {
        let at_rest = self.flight.is_none() && self.ghosts.is_empty() && self.unsaved.is_none();
        at_rest && !self.refused && self.rests(now).is_none() && self.excess.is_empty(now.monotonic)
    }

    /// The login whose need of a new one was told, for who remembers it while this is forgotten.
    pub(crate) fn told(&self) -> Option<LoginId> {
        let told = self.told.as_deref().copied();
        told.filter(|told| {
            matches!(&self.memory, Memory::Ended(Ended { ending: Ending::NeedsLogin(_), version, .. }) if version.login == *told)
        })
    }

    /// This was told before, when the session was known already and then forgotten.
    pub(crate) fn was_told(&mut self, login: LoginId) {
        self.told = Some(Box::new(login));
    }

    /// Whether memory holds what the store does not.
    pub(crate) fn has_unsaved(&self) -> bool {
        self.unsaved.is_some()
    }

    /// Nothing new is begun from now on; what is under way, and saving, goes on.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
}
