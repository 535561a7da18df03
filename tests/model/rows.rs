//! The rows of the tables, by name: each is to be a transition taken.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::key::is_refresh;
use super::request::Ended;
use super::world::World;
use crate::event::Ending;
use crate::session::core::board::{self, Found};
use crate::session::core::flight::Purpose;
use crate::session::core::memory::Memory;

/// Each row of the tables that the core decides; "saved" and "dirty" are what memory is, then what the store holds.
pub(super) const ALL: &[&str] = &[
    "saved: same, tokens: Same",
    "saved: higher, tokens: Adopt",
    "saved: another login, tokens: Adopt",
    "saved: lower, tokens: Overwrite",
    "saved: higher, logged out: Adopt",
    "saved: same, needs login: Adopt",
    "saved: lower, needs login: Overwrite",
    "saved: absent, nothing: Lost",
    "saved: absent, nothing: Same",
    "unreadable: saved in its place",
    "unreadable: a tombstone",
    "a newer major version: as unavailable",
    "unavailable, shared: no refresh",
    "unavailable, shared, but allowed: refresh",
    "unavailable, not shared: refresh",
    "unavailable at a first load or a save",
    "lock unavailable",
    "lock unavailable, but allowed",
    "lock busy: adopted",
    "lock busy: try later",
    "dirty: absent, nothing: Overwrite",
    "dirty: lower, tokens: Overwrite",
    "dirty: lower, needs login: Overwrite",
    "dirty: another login, tokens: Overwrite",
    "dirty: another login, logged out: Overwrite",
    "dirty: another login, needs login: Overwrite",
    "dirty: another login, tokens: Yield",
    "dirty: higher, logged out: Yield",
    "dirty: same, tokens: Stored",
    "look: nothing, nothing",
    "look: nothing, tokens",
    "look: nothing, logged out",
    "look: needs login, tokens",
    "look: needs login, needs login",
    "look: logged out, tokens",
    "look: logged out, logged out",
    "a look that failed",
    "a look at a store of one's own: none",
    "swap lost to the same login",
    "swap lost to another login",
    "a save that failed",
    "a lost answer",
    "a late 401: sent again with what is current",
    "refresh cannot be done now: try later",
    "unauthorized twice: the second response",
    "another registration: left alone",
    "first load: nothing",
    "first load: tokens",
    "first load: needs login",
    "first load: logged out",
    "the caller got: Authorized",
    "the caller got: Unauthorized",
    "the caller got: SameToken",
    "the caller got: Unsigned",
    "the caller got: NeedsLogin",
    "the caller got: LoggedOut",
    "the caller got: TryLater",
    "the caller got: Store",
    "the caller got: TimedOut",
];

thread_local!(static TAKEN: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) });

pub(super) fn row(name: impl Into<String>) {
    TAKEN.with_borrow_mut(|taken| {
        let name = name.into();
        if !taken.contains(&name) {
            taken.insert(name);
        }
    });
}

pub(super) fn taken() -> BTreeSet<String> {
    TAKEN.with_borrow(Clone::clone)
}

/// What a caller got.
pub(super) fn ended(how: Ended) {
    row(format!("the caller got: {how:?}"));
}

/// A reading, in the words of the table.
pub(super) fn read(world: &World, index: usize) {
    let Some(up) = world.core.flight.as_ref().filter(|up| up.id == world.air[index].id) else { return };
    if up.purpose == Purpose::Look {
        let ours = match &world.core.memory {
            Memory::Ended(ended) if ended.ending == Ending::LoggedOut => "logged out",
            Memory::Ended(_) => "needs login",
            Memory::Unread | Memory::Nobody | Memory::Tokens(_) => "nothing",
        };
        return row(format!("look: {ours}, {}", what(world)));
    }
    let dirty = if world.core.unsaved.is_some() { "dirty" } else { "saved" };
    let Some(ours) = world.core.memory.version() else {
        return row(format!("first load: {}", what(world)));
    };
    let relation = match world.store.as_ref().map(crate::store::record::Record::version) {
        None => "absent",
        Some(theirs) if theirs.login != ours.login => "another login",
        Some(theirs) if theirs.generation > ours.generation => "higher",
        Some(theirs) if theirs.generation < ours.generation => "lower",
        Some(_) => "same",
    };
    let then = board::judge(&world.core.memory, world.core.unsaved.as_deref(), world.store.as_ref());
    row(format!("{dirty}: {relation}, {}: {then:?}", what(world)));
    if up.busy {
        let adopted = matches!(then, Found::Adopt | Found::Yield);
        row(if adopted { "lock busy: adopted" } else { "lock busy: try later" });
    }
}

pub(super) fn unavailable(world: &World, index: usize) {
    let Some(up) = world.core.flight.as_ref().filter(|up| up.id == world.air[index].id) else { return };
    if up.purpose == Purpose::Look {
        return row("a look that failed");
    }
    row(match (is_refresh(up), up.shared, world.scene.without_lock) {
        (true, true, false) => "unavailable, shared: no refresh",
        (true, true, true) => "unavailable, shared, but allowed: refresh",
        (true, false, _) => "unavailable, not shared: refresh",
        (false, ..) => "unavailable at a first load or a save",
    });
}

pub(super) fn unreadable(world: &World, index: usize) {
    if world.core.flight.as_ref().is_some_and(|up| up.id == world.air[index].id) {
        let known = world.core.memory.version().is_some();
        row(if known { "unreadable: saved in its place" } else { "unreadable: a tombstone" });
    }
}

pub(super) fn swap_lost(world: &World, index: usize) {
    let Some(up) = world.core.flight.as_ref().filter(|up| up.id == world.air[index].id) else { return };
    let (Some(candidate), Some(found)) = (&up.candidate, &world.store) else { return };
    let same = candidate.version().map(|version| version.login) == Some(found.version().login);
    row(if same { "swap lost to the same login" } else { "swap lost to another login" });
}

fn what(world: &World) -> &'static str {
    match world.store.as_ref().map(crate::store::record::Record::ending) {
        None => "nothing",
        Some(None) => "tokens",
        Some(Some(Ending::LoggedOut)) => "logged out",
        Some(Some(Ending::NeedsLogin(_))) => "needs login",
    }
}
