//! The program of a flight: what is heard on one leg decides the next.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Now;
use crate::error::{AuthError, Kind};
use crate::event::{Ending, Event, NeedsLogin};
use crate::id::Version;
use crate::policy::freshness::Stage;
use crate::refresh::contract::RefreshReason;
use crate::refresh::error::{RefreshError, Verdict};
use crate::refresh::info::FirstLogin;
use crate::session::core::board::{self, Found};
use crate::session::core::chance::Chance;
use crate::session::core::flight::{Flight, FlightId, Heard, Leg, LockHeard, Outcome, Purpose, Step};
use crate::session::core::look;
use crate::session::core::memory::{Ended, Held, Memory, Unsaved};
use crate::session::core::mutants::mutant;
use crate::session::core::state::Core;
use crate::store::error::StoreError;
use crate::store::record::Record;
use crate::tokens::Tokens;

/// A lost answer is asked for again only so long after the refresh token was first sent: the time for which issuers
/// commonly answer a repeated request with the same tokens.
pub(crate) const RESUBMIT_WITHIN: Duration = Duration::from_secs(20);

impl Core {
    /// Hears what flight `id` met, and says what it does next.
    pub(crate) fn hear(&mut self, now: Now, chance: Chance, id: FlightId, heard: Heard) -> Step {
        let Some(mut flight) = self.flight.take_if(|flight| flight.id == id) else {
            return self.hear_ghost(chance, id, heard);
        };
        let step = match heard {
            Heard::Boarded { holds_lock } => match flight.purpose {
                // Without a lock to wait for it is as if the lock had been asked for and held.
                Purpose::Refresh(_) | Purpose::Forget if !holds_lock => Step::to(Leg::Lock { wait: true }),
                Purpose::Look if !holds_lock => Step::to(Leg::Lock { wait: false }),
                Purpose::Forget => Step::to(Leg::Remove),
                Purpose::Refresh(_) | Purpose::Load | Purpose::Save | Purpose::Look => {
                    flight.shared = holds_lock;
                    Step::to(Leg::Read)
                }
            },
            Heard::Lock(heard) => self.locked(now, chance, &mut flight, heard),
            Heard::Read(read) => self.read(now, chance, &mut flight, read),
            Heard::LockLost => self.busy(now, chance, &mut flight),
            Heard::Refreshed { result, asked_at } => match *result {
                Ok(tokens) => self.refreshed(now, chance, &mut flight, tokens.settled(asked_at)),
                Err(error) => self.not_refreshed(now, chance, &mut flight, error),
            },
            Heard::Swapped(heard) => self.swapped(now, chance, &mut flight, heard),
            Heard::Removed(Ok(())) => self.arrive(&mut flight, Outcome::Look),
            Heard::Removed(Err(error)) => self.not_forgotten(&mut flight, &error),
            Heard::Revoked => self.unlock(),
            Heard::Unlocked => return self.land(chance, *flight),
        };
        if !self.ghosts.iter().any(|ghost| ghost.id == id) {
            self.flight = Some(flight);
        }
        step
    }

    fn locked(&mut self, now: Now, chance: Chance, flight: &mut Flight, heard: LockHeard) -> Step {
        self.alone = matches!(heard, LockHeard::NotShared);
        match flight.purpose {
            Purpose::Look => return self.looks_for_others(now, chance, flight, &heard),
            Purpose::Forget => return self.forgets(flight, heard),
            Purpose::Load | Purpose::Refresh(_) | Purpose::Save => {}
        }
        match heard {
            LockHeard::NotShared => flight.shared = false,
            LockHeard::Held => flight.shared = true,
            LockHeard::Busy => (flight.shared, flight.busy) = (true, true),
            LockHeard::Failed(_) if self.rules.without_lock => flight.shared = true,
            LockHeard::Failed(error) => return self.store_failed(now, chance, flight, &error),
        }
        Step::to(Leg::Read)
    }

    fn read(
        &mut self,
        now: Now,
        chance: Chance,
        flight: &mut Flight,
        read: Result<Option<Record>, StoreError>,
    ) -> Step {
        let known = self.memory.version().is_some();
        self.look_again_in(now, look::EVERY);
        match read {
            Ok(Some(found)) if self.is_foreign(&found) => self.foreign(now, chance, flight, &found),
            Ok(found) if flight.purpose == Purpose::Look => self.looked(now, chance, flight, found.as_ref()),
            Ok(found) => {
                flight.expected = found.as_ref().map(Record::version);
                let mut tell = Vec::new();
                self.tell_of_change(&mut tell);
                let step = self.found(now, chance, flight, found.as_ref());
                self.seen(found.as_ref());
                step.telling(tell)
            }
            Err(error) if error.is_unreadable() => {
                flight.expected = None;
                self.seen(None);
                let mut tell = Vec::new();
                self.tell_of_change(&mut tell);
                tell.push(Event::StoreFailed(self.store_error(&error)));
                if known {
                    self.dirty();
                    return self.write(now, chance, flight).telling(tell);
                }
                self.unreadable(now, chance, flight).telling(tell)
            }
            Err(error) => match flight.purpose {
                Purpose::Save => {
                    if let Some(unsaved) = &mut self.unsaved {
                        unsaved.first_reading &= unsaved.unread;
                    }
                    let mut tell = Vec::new();
                    self.tell_of_change(&mut tell);
                    self.not_saved(flight, &error).telling(tell)
                }
                // What memory holds is all there is, and nobody else can have changed it.
                Purpose::Refresh(reason) if !error.is_newer() && (!flight.shared || self.rules.without_lock) => {
                    flight.expected = self.memory.version();
                    self.depart(now, flight, reason)
                }
                Purpose::Refresh(_) | Purpose::Load => self.store_failed(now, chance, flight, &error),
                Purpose::Look => self.look_failed(now, chance, flight, &error),
                // It reads nothing.
                Purpose::Forget => self.arrive(flight, Outcome::Look),
            },
        }
    }

    /// What the store holds, and then what: the table of [`board`].
    pub(super) fn found(&mut self, now: Now, chance: Chance, flight: &mut Flight, found: Option<&Record>) -> Step {
        let ours = flight.candidate.as_ref().unwrap_or(&self.memory);
        let fresh = Unsaved::default();
        let unsaved = if flight.candidate.is_some() {
            Some(self.unsaved.as_deref().unwrap_or(&fresh))
        } else {
            self.unsaved.as_deref()
        };
        match board::judge(ours, unsaved, found) {
            // Somebody else has written what this flight was about to.
            Found::Same | Found::Stored if flight.candidate.is_some() => {
                self.give_way(now, chance, flight, found, false)
            }
            Found::Same => self.same(now, chance, flight, found),
            Found::Stored => {
                let mut tell = Vec::new();
                if let Some(record) = found {
                    self.adopt(record, chance.jitter, &mut tell);
                }
                self.same(now, chance, flight, found).telling(tell)
            }
            Found::Adopt => self.give_way(now, chance, flight, found, false),
            Found::Yield => self.give_way(now, chance, flight, found, true),
            Found::Overwrite | Found::Lost if flight.busy => self.busy(now, chance, flight),
            Found::Overwrite => {
                if flight.candidate.is_none() {
                    self.dirty();
                    flight.replaced = self.ended_by_logout(found);
                }
                self.write(now, chance, flight)
            }
            Found::Lost => {
                self.dirty();
                let lost = self.store_error(&StoreError::unavailable("the store lost the session's record"));
                self.write(now, chance, flight).telling(vec![Event::StoreFailed(lost)])
            }
        }
    }

    /// The tokens that our logout is written over. Those that memory held at the logout are revoked already.
    fn ended_by_logout(&self, found: Option<&Record>) -> Option<Arc<Tokens>> {
        let logged_out = matches!(&self.memory, Memory::Ended(ended) if ended.ending == Ending::LoggedOut);
        let (unsaved, found) = (self.unsaved.as_ref()?, found?);
        // What another login had stored before is as much ended: nobody will know those tokens any more.
        let login = found.version().login;
        let ours = Some(login) == self.login() || unsaved.first_reading || unsaved.replaced.contains(&login);
        let newer = unsaved.ended != Some(found.version());
        found.tokens().filter(|_| logged_out && ours && newer).map(|tokens| Arc::new(tokens.clone()))
    }

    /// The store holds what memory holds.
    fn same(&mut self, now: Now, chance: Chance, flight: &mut Flight, found: Option<&Record>) -> Step {
        if let Some(found) = found {
            self.keep_unknown(found);
        }
        match (flight.purpose, &self.memory) {
            (Purpose::Refresh(_), _) if flight.busy => self.busy(now, chance, flight),
            (Purpose::Refresh(reason), Memory::Tokens(_)) => self.depart(now, flight, reason),
            (Purpose::Refresh(reason), Memory::Nobody) if self.rules.first_login == FirstLogin::Unattended => {
                self.depart(now, flight, reason)
            }
            (Purpose::Load, Memory::Unread) => {
                self.memory = match self.rules.first_login {
                    FirstLogin::Assumed => {
                        let version = Version::new(chance.login, 0);
                        let held = self.hold(version, Tokens::unseen().settled(now.wall), chance.jitter);
                        Memory::Tokens(Held { presumed: true, ..held })
                    }
                    FirstLogin::Interactive | FirstLogin::Unattended => Memory::Nobody,
                };
                self.arrive(flight, Outcome::Look)
            }
            _ => {
                self.saved_at_last();
                self.arrive(flight, Outcome::Look)
            }
        }
    }

    /// What is stored wins over what memory or the flight holds.
    fn give_way(
        &mut self,
        now: Now,
        chance: Chance,
        flight: &mut Flight,
        found: Option<&Record>,
        revoke: bool,
    ) -> Step {
        let mut tell = Vec::new();
        let dropped = flight.candidate.take().unwrap_or_else(|| self.memory.clone());
        match found {
            Some(record) => self.adopt(record, chance.jitter, &mut tell),
            None => self.install(Memory::Nobody, None, &mut tell),
        }
        self.saved_at_last();
        self.recover();
        // Tokens of somebody else's making may be old, so that they are looked at like any others.
        let good = self.held().is_some_and(|held| held.freshness.at(now.wall) != Stage::Expired);
        flight.outcome = Some(match flight.purpose {
            Purpose::Refresh(_) if good => self.outcome(),
            // Whoever waits looks at them again, as somebody who began under this login.
            Purpose::Load => self.outcome(),
            Purpose::Refresh(_) | Purpose::Save | Purpose::Look | Purpose::Forget => Outcome::Look,
        });
        let leg = match dropped {
            Memory::Tokens(held) if revoke => Leg::Revoke { tokens: held.tokens },
            Memory::Tokens(_) | Memory::Unread | Memory::Nobody | Memory::Ended(_) => Leg::Unlock { keep: false },
        };
        Step::to(leg).telling(tell)
    }

    /// The refresh token goes out.
    pub(super) fn depart(&mut self, now: Now, flight: &mut Flight, reason: RefreshReason) -> Step {
        flight.sent_at.get_or_insert(now.monotonic);
        flight.attempts += 1;
        let tokens = self.held().map(|held| Arc::clone(&held.tokens));
        flight.spent.clone_from(&tokens);
        Step::to(Leg::Refresh { tokens, reason })
    }

    fn refreshed(&mut self, now: Now, chance: Chance, flight: &mut Flight, tokens: Tokens) -> Step {
        let held = match &self.memory {
            Memory::Tokens(old) => {
                let asked = matches!(flight.purpose, Purpose::Refresh(RefreshReason::Unauthorized));
                if asked && old.tokens.has_access_token_of(&tokens) && !self.is_excess(now) {
                    // New tokens did not come of it, so it counts although the old ones were not young.
                    self.excess.count(now.monotonic);
                }
                self.hold(old.version.next(), tokens.completed_by(&old.tokens), chance.jitter)
            }
            Memory::Unread | Memory::Nobody | Memory::Ended(_) => {
                self.hold(Version::new(chance.login, 0), tokens, chance.jitter)
            }
        };
        if mutant!(InstallBeforeSave) {
            self.install(Memory::Tokens(held.clone()), self.unsaved.as_deref().cloned(), &mut Vec::new());
        }
        flight.candidate = Some(Memory::Tokens(held));
        self.write(now, chance, flight)
    }

    fn not_refreshed(&mut self, now: Now, chance: Chance, flight: &mut Flight, error: RefreshError) -> Step {
        match error.verdict() {
            Verdict::Rejected { code } if self.held().is_some() => {
                let reason = NeedsLogin::Rejected(Arc::clone(code));
                flight.candidate = self.memory.version().map(|version| {
                    let ending = Ending::NeedsLogin(reason);
                    Memory::Ended(Ended { version, ending, since: now.wall.time() })
                });
                self.write(now, chance, flight)
            }
            Verdict::Unavailable { maybe_processed: true, .. }
                if flight.attempts == 1
                    && !self.rules.never_resubmit
                    && flight.sent_at.is_some_and(|sent| now.monotonic.saturating_sub(sent) <= RESUBMIT_WITHIN) =>
            {
                match flight.purpose {
                    Purpose::Refresh(reason) => self.depart(now, flight, reason),
                    Purpose::Load | Purpose::Save | Purpose::Look | Purpose::Forget => {
                        self.refresh_failed(now, chance, flight, error)
                    }
                }
            }
            Verdict::Rejected { .. } | Verdict::Unavailable { .. } | Verdict::Misconfigured { .. } => {
                self.refresh_failed(now, chance, flight, error)
            }
        }
    }

    /// What was stored is lost, and memory has nothing to go on from.
    fn unreadable(&mut self, now: Now, chance: Chance, flight: &mut Flight) -> Step {
        match (self.rules.first_login, flight.purpose) {
            (FirstLogin::Interactive, Purpose::Load | Purpose::Look) => {
                let version = Version::new(chance.login, 0);
                let ending = Ending::NeedsLogin(NeedsLogin::RecordUnreadable);
                let mut tell = Vec::new();
                let ended = Memory::Ended(Ended { version, ending, since: now.wall.time() });
                self.install(ended, Some(Unsaved::default()), &mut tell);
                self.write(now, chance, flight).telling(tell)
            }
            // It gets its tokens by itself, so nothing is lost that a login would bring back.
            _ => self.same(now, chance, flight, None),
        }
    }

    pub(super) fn busy(&mut self, now: Now, chance: Chance, flight: &mut Flight) -> Step {
        let error =
            RefreshError::unavailable("another refresh of this session, here or in another process, holds its lock");
        self.refresh_failed(now, chance, flight, error)
    }

    pub(super) fn outcome(&self) -> Outcome {
        match &self.memory {
            Memory::Tokens(held) => Outcome::Lent(held.into()),
            Memory::Unread | Memory::Nobody | Memory::Ended(_) => Outcome::Look,
        }
    }

    /// New tokens, or somebody else's: what failed before is over.
    pub(super) fn recover(&mut self) {
        self.failures = 0;
        self.rest = None;
    }

    /// The store was read: what it holds was there before the change, if this was the first reading since.
    fn seen(&mut self, found: Option<&Record>) {
        let own = self.login();
        let Some(unsaved) = &mut self.unsaved else { return };
        let login = found.map(|found| found.version().login).filter(|login| Some(*login) != own);
        if let Some(login) = login.filter(|login| unsaved.first_reading && !unsaved.replaced.contains(login)) {
            unsaved.replaced.push(login);
        }
        (unsaved.first_reading, unsaved.foreign) = (false, false);
    }

    pub(super) fn store_error(&self, error: &StoreError) -> AuthError {
        AuthError::new(Kind::Store, &self.id, error.to_string()).because(error.clone())
    }
}
