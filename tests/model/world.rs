//! The small world and everything that can happen in it next.

use std::collections::BTreeSet;
use std::time::Duration;

use super::invariants;
use super::issuer::{Grant, Pair};
use super::request::{At, Ended, Request, Sent};
use super::rows::{self, row};
use super::store::{self, rejected, tombstone};
use crate::clock::{Now, Wall};
use crate::error::AuthError;
use crate::event::{Ending, Event};
use crate::id::{LoginId, SessionId, Version};
use crate::refresh::contract::RefreshReason;
use crate::refresh::error::RefreshError;
use crate::refresh::info::FirstLogin;
use crate::session::core::change::Changed;
use crate::session::core::flight::Purpose;
use crate::session::core::memory::Memory;
use crate::session::core::{
    Answer, Chance, Core, FlightId, Heard, Leg, LockHeard, Need, Outcome, Registration, Rules, Step, SwapHeard,
};
use crate::store::error::StoreError;
use crate::store::record::Record;

/// A mistake of whoever drives the core, rather than of the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    Right,
    SlotFreedWhenFrozen,
    LookBeforeBoarding,
    RetryDecidedByFlag,
}

/// What may still happen of each kind; everything is finite because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Left {
    pub(super) faults: u8,
    pub(super) logins: u8,
    pub(super) logouts: u8,
    pub(super) revocations: u8,
    pub(super) ticks: u8,
    pub(super) others: u8,
}

/// What kind of world.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene {
    pub(super) shared: bool,
    pub(super) without_lock: bool,
    pub(super) stored: bool,
    pub(super) first_login: FirstLogin,
    pub(super) left: Left,
    pub(super) trips: [u8; 2],
    pub(super) driver: Driver,
    /// So many rotations at the most.
    pub(super) numbers: usize,
    /// Another registration may come to the store under the same session id.
    pub(super) registrations: bool,
}

/// A flight's task: the leg it is on, and what it has met there but not yet reported.
#[derive(Debug, Clone)]
pub(super) struct Air {
    pub(super) id: FlightId,
    pub(super) leg: Leg,
    pub(super) answer: Option<Option<Pair>>,
    pub(super) began: bool,
    /// The store was asked to write, and has not done so yet.
    pub(super) writing: bool,
}

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) scene: Scene,
    pub(super) core: Core,
    pub(super) tick: u8,
    pub(super) store: Option<Record>,
    pub(super) grants: Vec<Grant>,
    pub(super) air: Vec<Air>,
    pub(super) requests: Vec<Request>,
    pub(super) saver: bool,
    pub(super) kept: bool,
    pub(super) left: Left,
    // What the invariants remember.
    pub(super) logged_out: BTreeSet<u8>,
    pub(super) saved: BTreeSet<(u8, u8)>,
    pub(super) reported: BTreeSet<(u8, u8)>,
    pub(super) told: BTreeSet<u8>,
    /// Up to which generation another process said that this login is over.
    pub(super) ended_elsewhere: Vec<Option<u64>>,
    pub(super) program_login: u8,
    /// What was stored is gone by no doing of ours.
    pub(super) store_was_lost: bool,
    /// Logins that the refresher made alone, and those of them that a login or logout of the program came after.
    pub(super) alone: BTreeSet<u8>,
    pub(super) alone_before: BTreeSet<u8>,
    /// Logins made by other processes, and whether a reading failed.
    pub(super) foreign: BTreeSet<u8>,
    pub(super) blind: bool,
    /// The store went back by no doing of ours, just now.
    pub(super) rolled_back: bool,
    pub(super) violation: Option<String>,
}

impl World {
    pub(super) fn new(scene: Scene) -> Self {
        let rules = Rules {
            registration: Registration::default(),
            first_login: scene.first_login,
            ahead: Duration::ZERO,
            without_lock: scene.without_lock,
            never_resubmit: false,
        };
        let mut world = Self {
            scene,
            core: Core::new(SessionId::default(), rules),
            tick: 0,
            store: None,
            grants: vec![Grant::new(scene.numbers)],
            air: Vec::new(),
            requests: scene.trips.iter().filter(|trips| **trips > 0).map(|trips| Request::new(*trips)).collect(),
            saver: false,
            kept: false,
            left: scene.left,
            logged_out: BTreeSet::new(),
            saved: BTreeSet::new(),
            reported: BTreeSet::new(),
            told: BTreeSet::new(),
            ended_elsewhere: vec![None],
            program_login: 0,
            store_was_lost: false,
            alone: BTreeSet::new(),
            alone_before: BTreeSet::new(),
            foreign: BTreeSet::new(),
            blind: false,
            rolled_back: false,
            violation: None,
        };
        if scene.stored {
            let (login, version) = world.grant();
            world.write(Record::of_tokens("default", version, Pair { login, number: 0 }.tokens()));
        }
        world
    }

    /// A new login at the issuer.
    fn grant(&mut self) -> (u8, Version) {
        let login = u8::try_from(self.grants.len()).unwrap();
        self.grants.push(Grant::new(self.scene.numbers));
        self.ended_elsewhere.push(None);
        (login, Version::new(LoginId::from_bits(u128::from(login)), 0))
    }

    pub(super) fn now(&self) -> Now {
        let since = Duration::from_secs(70) * u32::from(self.tick);
        Now { wall: Wall(1_000_000 + u64::try_from(since.as_millis()).unwrap()), monotonic: since }
    }

    /// Ids that the core draws itself begin beyond those of real logins.
    fn chance(login: u8) -> Chance {
        Chance { jitter: 0, login: LoginId::from_bits(u128::from(login)) }
    }

    pub(super) fn stored_pair(&self) -> Option<Pair> {
        self.store.as_ref().and_then(Record::tokens).map(Pair::of)
    }

    fn write(&mut self, record: Record) {
        let version = record.version();
        if record.tokens().is_some() {
            self.saved.insert(short(version));
        }
        self.store = Some(record);
    }

    /// Every world that can come next.
    pub(super) fn successors(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for index in 0..self.requests.len() {
            self.branch(&mut all, |world| world.request(index));
            if matches!(self.requests[index].at, At::Waits { .. }) && self.left.faults > 0 {
                self.branch(&mut all, |world| world.gives_up(index));
            }
        }
        for index in 0..self.air.len() {
            self.flight(index, &mut all);
        }
        if self.saver {
            self.branch(&mut all, |world| {
                world.saver = false;
                if let Some(flight) = world.core.save_now() {
                    world.launch(flight);
                }
            });
        }
        self.program(&mut all);
        self.outside(&mut all);
        all
    }

    fn branch(&self, all: &mut Vec<Self>, happen: impl FnOnce(&mut Self)) {
        let mut world = Self { rolled_back: false, ..self.clone() };
        happen(&mut world);
        invariants::check(self, &mut world);
        all.push(world);
    }

    fn faulty(&self, all: &mut Vec<Self>, happen: impl FnOnce(&mut Self)) {
        if self.left.faults > 0 {
            self.branch(all, |world| {
                world.left.faults -= 1;
                happen(world);
            });
        }
    }

    // Requests.

    fn request(&mut self, index: usize) {
        let request = self.requests[index];
        match request.at {
            At::Asks { second } if self.scene.driver == Driver::LookBeforeBoarding && second.is_some() => {
                let mut look = self.clone();
                look.ask(index, second);
                if look.air.len() > self.air.len() {
                    self.requests[index].at = At::Looked { second };
                } else {
                    self.ask(index, second);
                }
            }
            At::Asks { second } => self.ask(index, second),
            At::Looked { second } => {
                let flight = match &self.core.flight {
                    Some(up) => up.id,
                    None => {
                        let flight = self.core.board(Purpose::Refresh(RefreshReason::Unauthorized));
                        self.launch(flight);
                        flight
                    }
                };
                self.requests[index].at = At::Waits { flight, second };
            }
            At::Sent { with, second } => {
                let accepted = self.grants[usize::from(with.pair.login)].accepts(with.pair.number);
                let by_flag = self.scene.driver == Driver::RetryDecidedByFlag && request.flag;
                if accepted {
                    self.ends(index, Ended::Authorized);
                } else if second || by_flag {
                    if !second {
                        self.violation = Some("a first 401 was returned without asking for newer tokens".into());
                    }
                    row("unauthorized twice: the second response");
                    self.ends(index, Ended::Unauthorized);
                } else {
                    self.requests[index].at = At::Asks { second: Some(with) };
                    self.requests[index].begun = Some(with.login);
                }
            }
            At::Ended(
                Ended::Unauthorized
                | Ended::TryLater
                | Ended::Store
                | Ended::TimedOut
                | Ended::Unsigned
                | Ended::NeedsLogin,
            ) if request.trips > 1 => {
                // The flag is taken down when a trip ends; a door that decided by it would have left it.
                let flag = request.flag && self.scene.driver == Driver::RetryDecidedByFlag;
                self.requests[index] = Request { flag, ..Request::new(request.trips - 1) };
            }
            At::Waits { .. } | At::Ended(_) => {}
        }
    }

    fn ask(&mut self, index: usize, second: Option<Sent>) {
        let begun = self.requests[index].begun;
        let need = second.map_or(Need::Sign { sent_once: false }, |sent| Need::Newer(sent.version()));
        let begun_id = begun.map(|login| LoginId::from_bits(u128::from(login)));
        match self.core.need(self.now(), need, begun_id) {
            Answer::Go(lent) | Answer::GoEarly(lent, _) => {
                if second.is_some() {
                    row("a late 401: sent again with what is current");
                }
                self.sends(index, lent.version, Pair::of(&lent.tokens), second);
            }
            Answer::Wait { flight, launch } => {
                let login = self.core.held().map(|held| short(held.version).0);
                self.requests[index].begun = begun.or(login);
                self.requests[index].at = At::Waits { flight, second };
                if launch {
                    self.launch(flight);
                }
            }
            Answer::Nobody => self.ends(index, Ended::Unsigned),
            Answer::Fail(error) => self.fails(index, &error),
        }
    }

    fn sends(&mut self, index: usize, version: Version, pair: Pair, second: Option<Sent>) {
        let (login, generation) = short(version);
        let with = Sent { login, generation, pair };
        if second.is_some_and(|first| first.pair == pair) {
            return self.ends(index, Ended::SameToken);
        }
        if let Some(first) = second.filter(|first| first.login != login) {
            self.violation = Some(format!("begun under {} and sent again under {login}", first.login));
        }
        let presumed = self.core.held().is_some_and(|held| held.presumed && held.version == version);
        if !presumed && !self.saved.contains(&(login, generation)) && !self.reported.contains(&(login, generation)) {
            self.violation = Some(format!("sent with {version:?}, neither saved nor reported"));
        }
        if self.logged_out.contains(&login) {
            self.violation = Some(format!("sent with {version:?} after its logout"));
        }
        self.requests[index].at = At::Sent { with, second: second.is_some() };
        self.requests[index].flag |= second.is_some();
    }

    fn ends(&mut self, index: usize, how: Ended) {
        rows::ended(how);
        self.requests[index].at = At::Ended(how);
        self.requests[index].begun = None;
    }

    fn fails(&mut self, index: usize, error: &AuthError) {
        let how = match error {
            error if error.needs_login() => Ended::NeedsLogin,
            error if error.is_logged_out() => Ended::LoggedOut,
            error if error.is_store() => Ended::Store,
            error if error.is_misconfigured() => Ended::Misconfigured,
            _ => Ended::TryLater,
        };
        self.ends(index, how);
    }

    fn gives_up(&mut self, index: usize) {
        self.left.faults -= 1;
        if let (Driver::SlotFreedWhenFrozen, At::Waits { flight, .. }) = (self.scene.driver, self.requests[index].at) {
            let step = self.core.died(Self::chance(200), flight);
            self.follow(flight, step);
        }
        self.ends(index, Ended::TimedOut);
    }

    fn wake(&mut self, flight: FlightId, outcome: &Outcome) {
        for index in 0..self.requests.len() {
            let At::Waits { flight: waits_for, second } = self.requests[index].at else { continue };
            if waits_for != flight {
                continue;
            }
            let begun = self.requests[index].begun;
            match outcome {
                Outcome::Lent(lent) if begun.is_none() => {
                    self.requests[index].begun = Some(short(lent.version).0);
                    self.requests[index].at = At::Asks { second };
                }
                Outcome::Lent(lent) if begun.is_none_or(|begun| begun == short(lent.version).0) => {
                    self.sends(index, lent.version, Pair::of(&lent.tokens), second);
                }
                Outcome::Failed(error) => self.fails(index, error),
                Outcome::Lent(_) | Outcome::Look | Outcome::NotSaved(_) => {
                    self.requests[index].at = At::Asks { second };
                }
            }
        }
    }

    // Flights.

    fn launch(&mut self, id: FlightId) {
        self.air.push(Air { id, leg: Leg::Over, answer: None, began: false, writing: false });
    }

    /// What the core says follows; the flight's next leg.
    fn follow(&mut self, id: FlightId, step: Step) -> Leg {
        if step.for_everyone {
            self.violation = Some("a failure of this session's rested the others".into());
        }
        self.tells(&step.tell);
        self.saver |= step.save_in.is_some();
        if let Some(outcome) = &step.wake {
            self.wake(id, outcome);
        }
        step.leg
    }

    fn tells(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::StoreFailed(_) => {
                    self.reported.extend(self.core.held().map(|held| short(held.version)));
                }
                Event::NeedsLogin(_) => {
                    let login = self.core.login().map_or(0, |login| login.to_bits() as u8);
                    if !self.told.insert(login) {
                        self.violation = Some(format!("that {login} needs a login was told twice"));
                    }
                }
                _ => {}
            }
        }
    }

    fn hears(&mut self, index: usize, heard: Heard) {
        let id = self.air[index].id;
        let login = match &heard {
            Heard::Refreshed { result, .. } => result.as_ref().as_ref().ok().map(|tokens| Pair::of(tokens).login),
            _ => None,
        };
        let step = self.core.hear(self.now(), Self::chance(login.unwrap_or(100 + self.tick)), id, heard);
        let leg = self.follow(id, step);
        if matches!(leg, Leg::Over) {
            self.air.remove(index);
        } else {
            let air = &mut self.air[index];
            (air.leg, air.answer, air.began, air.writing) = (leg, None, true, false);
        }
    }

    fn flight(&self, index: usize, all: &mut Vec<Self>) {
        let air = &self.air[index];
        self.faulty(all, |world| world.dies(index));
        if !air.began {
            let holds_lock = self.kept;
            self.branch(all, |world| {
                world.kept = false;
                world.hears(index, Heard::Boarded { holds_lock });
            });
            return;
        }
        let unavailable = || StoreError::unavailable("down");
        match air.leg.clone() {
            Leg::Lock { .. } => {
                let lock = if self.scene.shared { LockHeard::Held } else { LockHeard::NotShared };
                if self.core.flight.as_ref().is_some_and(|up| up.purpose == Purpose::Look) && !self.scene.shared {
                    row("a look at a store of one's own: none");
                }
                self.branch(all, |world| world.hears(index, Heard::Lock(lock)));
                self.faulty(all, |world| {
                    row(if world.scene.without_lock { "lock unavailable, but allowed" } else { "lock unavailable" });
                    world.hears(index, Heard::Lock(LockHeard::Failed(unavailable())));
                });
                if self.scene.shared {
                    self.faulty(all, |world| world.hears(index, Heard::Lock(LockHeard::Busy)));
                }
            }
            Leg::Read => {
                self.branch(all, |world| {
                    if world.store.as_ref().is_some_and(store::is_foreign) {
                        row("another registration: left alone");
                    } else {
                        rows::read(world, index);
                    }
                    world.hears(index, Heard::Read(Ok(world.store.clone())));
                });
                self.faulty(all, |world| {
                    rows::unavailable(world, index);
                    world.blind = true;
                    world.hears(index, Heard::Read(Err(unavailable())));
                });
                if self.store.is_some() && !self.a_superseded_write_is_under_way() {
                    self.faulty(all, |world| {
                        rows::unreadable(world, index);
                        (world.store, world.store_was_lost, world.rolled_back) = (None, true, true);
                        world.hears(index, Heard::Read(Err(StoreError::unreadable("broken"))));
                    });
                }
                if self.store.is_some() {
                    self.faulty(all, |world| {
                        row("a newer major version: as unavailable");
                        world.blind = true;
                        world.hears(index, Heard::Read(Err(StoreError::newer())));
                    });
                }
            }
            Leg::Refresh { tokens, .. } => self.exchange(index, tokens.as_deref().map(Pair::of), all),
            Leg::Swap { expected, record } => self.swap(index, expected, &record, all),
            Leg::Remove => unreachable!("the program forgets nothing here"),
            Leg::Revoke { tokens } => self.branch(all, |world| {
                // A login of another process that a logout found in the store is none of this issuer's.
                if let Some(grant) = world.grants.get_mut(usize::from(Pair::of(&tokens).login)) {
                    grant.alive = false;
                }
                world.hears(index, Heard::Revoked);
            }),
            Leg::Unlock { keep } => self.branch(all, |world| {
                // Decided before, and looked at again.
                world.kept |= keep && world.core.may_keep(world.air[index].id);
                world.hears(index, Heard::Unlocked);
            }),
            Leg::Over => unreachable!(),
        }
    }

    fn exchange(&self, index: usize, spent: Option<Pair>, all: &mut Vec<Self>) {
        let heard = |result| Heard::Refreshed { result: Box::new(result), asked_at: self.now().wall };
        let Some(answer) = self.air[index].answer else {
            self.branch(all, |world| {
                let Some(spent) = spent else { return world.first_login(index) };
                let grant = &mut world.grants[usize::from(spent.login)];
                if grant.accepts(spent.number) {
                    world.violation = Some(format!("{spent:?} was refreshed though nobody had called it no good"));
                }
                let answer = grant.redeem(spent.login, spent.number);
                world.air[index].answer = Some(answer);
            });
            self.faulty(all, |world| {
                row("refresh cannot be done now: try later");
                world.hears(index, heard(Err(RefreshError::unavailable("down"))));
            });
            return;
        };
        self.branch(all, |world| match answer {
            Some(pair) => world.hears(index, heard(Ok(pair.tokens()))),
            None => world.hears(index, heard(Err(RefreshError::rejected("invalid_grant")))),
        });
        self.faulty(all, |world| {
            row("a lost answer");
            if let Some(spent) = spent {
                world.grants[usize::from(spent.login)].allowed[usize::from(spent.number)] += 1;
            }
            world.hears(index, heard(Err(RefreshError::unavailable("lost").maybe_processed())));
        });
    }

    /// The issuer gives a first login to whoever authenticates as the client.
    fn first_login(&mut self, index: usize) {
        let (login, _) = self.grant();
        self.alone.insert(login);
        if !self.core.may_write(self.air[index].id) {
            self.alone_before.insert(login);
        }
        self.air[index].answer = Some(Some(Pair { login, number: 0 }));
    }

    fn swap(&self, index: usize, expected: Option<Version>, record: &Record, all: &mut Vec<Self>) {
        let writing = self.air[index].writing;
        if !writing && !self.core.may_write(self.air[index].id) {
            return self.branch(all, |world| world.hears(index, Heard::Swapped(SwapHeard::Skipped)));
        }
        let found = self.store.as_ref().map(Record::version);
        let lands = |world: &mut Self| {
            if found == expected {
                world.write(record.clone());
            }
        };
        self.branch(all, |world| {
            lands(world);
            let heard = if found == expected {
                SwapHeard::Done
            } else {
                rows::swap_lost(world, index);
                SwapHeard::Found(world.store.clone().map(Box::new))
            };
            world.hears(index, Heard::Swapped(heard));
        });
        let failed = || Heard::Swapped(SwapHeard::Failed(StoreError::unavailable("full")));
        self.faulty(all, |world| {
            row("a save that failed");
            world.hears(index, failed());
        });
        // It ran out of its bound, and happened.
        self.faulty(all, |world| {
            lands(world);
            world.hears(index, failed());
        });
        // It is under way when a login or a logout comes, and may be done before or after what that one reads and writes.
        if !writing && self.left.logouts > 0 && self.core.held().is_some() {
            self.branch(all, |world| {
                world.air[index].writing = true;
                world.logs_out();
            });
        }
        if !writing && self.left.logins > 0 {
            self.branch(all, |world| {
                world.air[index].writing = true;
                world.logs_in();
            });
        }
    }

    /// What is lost from the store meanwhile can come back by such a write, which expects what was there before: no
    /// comparison of versions tells that.
    fn a_superseded_write_is_under_way(&self) -> bool {
        self.air.iter().any(|air| air.writing && !self.core.may_write(air.id))
    }

    fn dies(&mut self, index: usize) {
        let air = self.air.remove(index);
        if let (Leg::Refresh { tokens: Some(tokens), .. }, Some(_)) = (&air.leg, air.answer) {
            let spent = Pair::of(tokens);
            self.grants[usize::from(spent.login)].allowed[usize::from(spent.number)] += 1;
        }
        let step = self.core.died(Self::chance(200), air.id);
        let leg = self.follow(air.id, step);
        self.kept |= air.began && matches!(leg, Leg::Unlock { keep: true });
    }

    // The program.

    fn program(&self, all: &mut Vec<Self>) {
        if self.left.logins > 0 {
            self.branch(all, Self::logs_in);
        }
        if self.left.logouts > 0 {
            self.branch(all, Self::logs_out);
        }
    }

    pub(super) fn logs_in(&mut self) {
        self.left.logins -= 1;
        let (login, _) = self.grant();
        self.program_login = login;
        let tokens = Pair { login, number: 0 }.tokens();
        let changed = self.core.log_in(self.now(), Self::chance(login), tokens);
        self.changes(changed);
    }

    pub(super) fn logs_out(&mut self) {
        self.left.logouts -= 1;
        let login = self.core.held().map(|held| short(held.version).0);
        let Some(changed) = self.core.log_out(self.now(), Self::chance(90)) else { return };
        self.logged_out.extend(login);
        if let Some(tokens) = &changed.ended {
            self.grants[usize::from(Pair::of(tokens).login)].alive = false;
        }
        self.changes(changed);
    }

    fn changes(&mut self, changed: Changed) {
        self.tells(&changed.tell);
        if let Some((flight, outcome)) = changed.superseded {
            self.wake(flight, &outcome);
        }
        self.launch(changed.save);
        self.alone_before.extend(&self.alone);
    }

    // Everybody else, and time.

    fn outside(&self, all: &mut Vec<Self>) {
        if self.left.ticks > 0 {
            self.branch(all, |world| {
                world.left.ticks -= 1;
                world.tick += 1;
            });
        }
        let current = self.core.held().map(|held| Pair::of(&held.tokens));
        if let Some(pair) = current.filter(|_| self.left.revocations > 0) {
            self.branch(all, |world| {
                world.left.revocations -= 1;
                world.grants[usize::from(pair.login)].revoked = pair.number + 1;
            });
            self.faulty(all, |world| {
                world.left.revocations -= 1;
                world.grants[usize::from(pair.login)].alive = false;
            });
        }
        if self.scene.registrations {
            return self.registrations(all);
        }
        if self.store.is_none() && self.scene.shared && self.left.others > 0 {
            self.branch(all, |world| {
                world.left.others -= 1;
                world.logs_in_elsewhere();
            });
        }
        let Some(found) = self.store.clone().filter(|_| self.left.others > 0) else { return };
        let version = found.version();
        let login = usize::from(short(version).0).min(self.grants.len() - 1);
        let newer_than_ours = self.stored_pair() > current;
        let other = |world: &mut Self| {
            world.left.others -= 1;
            // What only the store had goes with whatever is written over it.
            world.store_was_lost |= newer_than_ours;
        };
        if !self.a_superseded_write_is_under_way() {
            self.branch(all, |world| {
                other(world);
                (world.store, world.store_was_lost) = (None, true);
            });
        }
        if !self.scene.shared {
            return;
        }
        if found.tokens().is_some() {
            self.branch(all, |world| {
                other(world);
                world.ended_elsewhere[login] = Some(u64::MAX);
                world.write(tombstone(version.next(), Ending::LoggedOut));
            });
            self.branch(all, |world| {
                other(world);
                world.ended_elsewhere[login] = world.ended_elsewhere[login].max(Some(version.generation));
                world.write(tombstone(version, rejected()));
            });
        }
        self.branch(all, |world| {
            other(world);
            world.store_was_lost = true;
            world.logs_in_elsewhere();
        });
        if let (Some(generation), true) = (version.generation.checked_sub(1), found.tokens().is_some()) {
            // Somebody puts back an old copy; or says that the old tokens are dead, having tried no others.
            let older = Version { generation, ..version };
            let number = self.stored_pair().map_or(0, |pair| pair.number.saturating_sub(1));
            let old = Pair { login: short(version).0, number }.tokens();
            for record in [Record::of_tokens("default", older, old), tombstone(older, rejected())] {
                self.branch(all, |world| {
                    other(world);
                    (world.rolled_back, world.store_was_lost) = (true, true);
                    world.ended_elsewhere[login] = world.ended_elsewhere[login].max(Some(generation));
                    world.write(record);
                });
            }
        }
        let locked = self.kept || self.air.iter().any(|air| air.began);
        if let Some(pair) = self.stored_pair().filter(|_| !locked) {
            self.branch(all, |world| {
                other(world);
                if let Some(new) = world.grants[usize::from(pair.login)].redeem(pair.login, pair.number) {
                    world.write(Record::of_tokens("default", version.next(), new.tokens()));
                }
            });
        }
    }

    /// A program of another registration has what is stored removed and stores its own, and goes again.
    fn registrations(&self, all: &mut Vec<Self>) {
        if self.left.others == 0 || self.a_superseded_write_is_under_way() {
            return;
        }
        self.branch(all, |world| {
            world.left.others -= 1;
            (world.rolled_back, world.store_was_lost) = (true, true);
            world.store = match &world.store {
                Some(found) if store::is_foreign(found) => None,
                Some(_) | None => Some(store::foreign()),
            };
        });
    }

    fn logs_in_elsewhere(&mut self) {
        let (login, version) = self.grant();
        self.foreign.insert(login);
        self.write(Record::of_tokens("default", version, Pair { login, number: 0 }.tokens()));
    }

    /// What memory holds, for those who look in from outside.
    pub(super) fn held(&self) -> Option<(Version, Pair)> {
        match &self.core.memory {
            Memory::Tokens(held) => Some((held.version, Pair::of(&held.tokens))),
            Memory::Unread | Memory::Nobody | Memory::Ended(_) => None,
        }
    }
}

pub(super) fn short(version: Version) -> (u8, u8) {
    (version.login.to_bits() as u8, version.generation as u8)
}
