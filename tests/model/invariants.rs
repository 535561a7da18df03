//! What must hold in every state and across every step.

use super::issuer::Pair;
use super::request::At;
use super::store;
use super::world::{World, short};
use crate::event::Ending;
use crate::session::core::memory::Memory;

/// Checks a step; what is wrong is left in the world that came of it.
pub(super) fn check(before: &World, after: &mut World) {
    let wrong = after.violation.take().or_else(|| waits_for_nothing(after)).or_else(|| spent_too_often(after));
    let wrong = wrong.or_else(|| lost(after)).or_else(|| undone(before, after)).or_else(|| resurrected(after));
    let wrong = wrong.or_else(|| ended_without_right(before, after)).or_else(|| went_back(before, after));
    after.violation = wrong.or_else(|| touched(before, after)).or_else(|| guarded_in_vain(after));
}

/// Every request ends: who waits, waits for a flight that is up and on its way.
fn waits_for_nothing(world: &World) -> Option<String> {
    world.requests.iter().find_map(|request| {
        let At::Waits { flight, .. } = request.at else { return None };
        let up = world.core.flight.as_ref().is_some_and(|up| up.id == flight);
        let airborne = world.air.iter().any(|air| air.id == flight);
        (!up || !airborne).then(|| format!("somebody waits for {flight:?}, which is up: {up}, airborne: {airborne}"))
    })
}

/// A refresh token is processed once, and once more for each answer that was lost.
fn spent_too_often(world: &World) -> Option<String> {
    // What a superseded flight brought is dropped, and another process may spend what the store still holds of it.
    let (_, pair) = world.held()?;
    let spent = !world.store_was_lost && world.grants[usize::from(pair.login)].spent_too_often();
    spent.then(|| "a refresh token was spent twice".into())
}

/// The newest tokens of whoever is logged in are somewhere, or can be had again for the answer that was lost.
fn lost(world: &World) -> Option<String> {
    let (version, held) = world.held()?;
    let login = held.login;
    let grant = &world.grants[usize::from(login)];
    if !grant.alive || world.store_was_lost {
        return None;
    }
    let candidates = world.core.flight.iter().map(AsRef::as_ref).chain(world.core.ghosts.iter()).filter_map(|up| {
        match &up.candidate {
            Some(Memory::Tokens(held)) => Some(Pair::of(&held.tokens)),
            _ => None,
        }
    });
    let airborne = world.air.iter().filter_map(|air| air.answer.flatten());
    let known = [held].into_iter().chain(world.stored_pair()).chain(candidates).chain(airborne);
    let good = |pair: Pair| {
        let number = usize::from(pair.number);
        let once_more = grant.processed[number] < grant.allowed[number];
        pair.login == login && (pair.number == grant.current || pair.number + 1 == grant.current && once_more)
    };
    (!known.into_iter().any(good)).then(|| format!("the newest tokens of {version:?} are nowhere"))
}

/// A login is never undone by what was stored before it: logins are numbered in the order in which they were made.
fn undone(before: &World, after: &World) -> Option<String> {
    let login = |world: &World| world.core.memory.version().map(|version| short(version).0);
    let (was, is) = (login(before)?, login(after)?);
    if taken_back(before, after) {
        return None;
    }
    if after.blind && after.foreign.contains(&is) {
        // The store could not be read at the login, so nobody can know which of the two came first; a login that nobody here
        // has seen wins.
        return None;
    }
    (is < was && is < after.program_login && is < 90).then(|| format!("the login {was} was undone by {is}"))
}

/// A login that met another registration's record in the store is taken back, before anything was sent with it.
fn taken_back(before: &World, after: &World) -> bool {
    before.core.is_withheld() && after.store.as_ref().is_some_and(store::is_foreign)
}

/// Nothing of a login comes back after its logout.
fn resurrected(world: &World) -> Option<String> {
    let held = world.held().map(|(version, _)| short(version).0);
    let over = |login: &u8| world.logged_out.contains(login) || world.alone_before.contains(login);
    if let Some(login) = held.filter(over) {
        return Some(format!("{login} is back in memory after what the program said"));
    }
    let quiet = world.air.is_empty() && world.core.unsaved.is_none();
    let stored = world.store.as_ref().filter(|record| record.tokens().is_some());
    let login = stored.map(|record| short(record.version()).0).filter(|login| quiet && over(login));
    login.map(|login| format!("{login} is back in the store after what the program said"))
}

/// Tokens leave memory for a reason: a logout, another login, a dead grant, or word from another process about these very
/// tokens or later ones.
fn ended_without_right(before: &World, after: &World) -> Option<String> {
    let (version, held) = before.held()?;
    if after.core.memory.version().is_some_and(|now| now.login == version.login)
        && !matches!(&after.core.memory, Memory::Ended(ended) if ended.ending != Ending::LoggedOut)
    {
        return None;
    }
    let login = usize::from(held.login);
    let later_login = after.core.memory.version().is_some_and(|now| now.login != version.login);
    let right = later_login
        || taken_back(before, after)
        || !after.grants[login].alive
        || after.logged_out.contains(&held.login)
        || after.ended_elsewhere[login].is_some_and(|generation| generation >= version.generation);
    (!right).then(|| format!("{version:?} left memory for no reason"))
}

/// What another registration has stored is neither written over, removed nor taken over.
fn touched(before: &World, after: &World) -> Option<String> {
    let theirs = before.store.as_ref().filter(|record| store::is_foreign(record) && !after.rolled_back)?;
    let left = after.store.as_ref().is_some_and(|record| record.version() == theirs.version());
    let taken = after.core.memory.version() == Some(theirs.version());
    (!left || taken).then(|| format!("another registration's record was touched: left {left}, taken over {taken}"))
}

/// No lock is kept for what cannot be saved, and nobody waits to save it again.
fn guarded_in_vain(world: &World) -> Option<String> {
    let met = world.core.unsaved.as_ref().is_some_and(|unsaved| unsaved.foreign);
    (met && world.air.is_empty() && world.kept).then(|| "a lock is kept beside another registration's record".into())
}

/// The stored generation of a login never falls.
fn went_back(before: &World, after: &World) -> Option<String> {
    let (was, is) = (before.store.as_ref()?.version(), after.store.as_ref()?.version());
    (!after.rolled_back && was.login == is.login && is.generation < was.generation)
        .then(|| format!("the store went from {was:?} to {is:?}"))
}
