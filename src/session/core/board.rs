//! The table of what is found in the store, and what then: a pure function of what memory holds and what was read.
//!
//! | the store holds | memory was stored once | memory is not stored yet |
//! |---|---|---|
//! | nothing | lost: write ours, and say so; if ours was presumed because nothing was stored, go on | write ours |
//! | the same version | go on | it was stored after all: take it over and go on |
//! | our login, a higher generation | take it over | take it over |
//! | our login, a lower generation | write ours | write ours |
//! | our login's logout | as it says | as it says, and drop ours |
//! | our login's need of a new one, of our generation or a later one | as it says | as it says |
//! | the same, of an earlier generation | write ours | write ours |
//! | a login that ours replaced, or its end | – | write ours |
//! | any other login, or its end | take it over | take it over, and drop ours |
//!
//! Where ours is a logout that is not stored yet, it is written over everything of its own login.

use crate::event::Ending;
use crate::id::Version;
use crate::session::core::memory::{Memory, Unsaved};
use crate::session::core::mutants::mutant;
use crate::store::record::Record;

/// What follows from a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Found {
    /// The store holds what memory holds.
    Same,
    /// What memory thought unsaved is stored after all: take it over, which is no news to those who wait for newer tokens.
    Stored,
    /// Take over what is stored.
    Adopt,
    /// Take over what is stored, and drop ours: it lost against a login that nobody here has seen.
    Yield,
    /// Write ours over it.
    Overwrite,
    /// The store lost what it held: write ours.
    Lost,
}

/// Judges what was found against what memory holds (tokens or a tombstone).
pub(crate) fn judge(memory: &Memory, unsaved: Option<&Unsaved>, found: Option<&Record>) -> Found {
    let Some(ours) = memory.version() else { return found.map_or(Found::Same, |_| Found::Adopt) };
    match unsaved {
        Some(_) if mutant!(AdoptOverDirtyLogin) => saved(memory, ours, found),
        Some(unsaved) => dirty(memory, ours, unsaved, found),
        None => saved(memory, ours, found),
    }
}

/// Ours was stored once.
fn saved(memory: &Memory, ours: Version, found: Option<&Record>) -> Found {
    let Some(found) = found else {
        if matches!(memory, Memory::Tokens(held) if held.presumed) {
            return Found::Same;
        }
        return if mutant!(AbsentMeansLogout) { Found::Adopt } else { Found::Lost };
    };
    let theirs = found.version();
    if theirs.login != ours.login {
        return Found::Adopt;
    }
    match (memory, found.ending()) {
        (Memory::Tokens(_), Some(Ending::NeedsLogin(_))) if theirs.generation < ours.generation => {
            if mutant!(TombstoneIgnoresGeneration) { Found::Adopt } else { Found::Overwrite }
        }
        (Memory::Tokens(_), Some(_)) => Found::Adopt,
        _ if theirs.generation > ours.generation => Found::Adopt,
        _ if theirs.generation < ours.generation => Found::Overwrite,
        _ => Found::Same,
    }
}

/// Ours is not stored yet.
fn dirty(memory: &Memory, ours: Version, unsaved: &Unsaved, found: Option<&Record>) -> Found {
    let Some(found) = found else { return Found::Overwrite };
    let theirs = found.version();
    if unsaved.first_reading && theirs.login != ours.login || unsaved.replaced.contains(&theirs.login) {
        return Found::Overwrite;
    }
    if theirs.login != ours.login {
        return Found::Yield;
    }
    let older = theirs.generation < ours.generation;
    match (own(memory), found.ending()) {
        // Nothing of a login comes back after its logout.
        (Own::LoggedOut, Some(Ending::LoggedOut)) => Found::Same,
        (Own::LoggedOut, _) => Found::Overwrite,
        (Own::Tokens, Some(Ending::LoggedOut)) => Found::Yield,
        (Own::NeedsLogin, Some(Ending::LoggedOut)) => Found::Adopt,
        (Own::Tokens, Some(Ending::NeedsLogin(_))) if older && mutant!(TombstoneIgnoresGeneration) => Found::Adopt,
        (_, _) if older => Found::Overwrite,
        (Own::Tokens, None) if theirs == ours => Found::Stored,
        (Own::NeedsLogin, None) if theirs.generation == ours.generation => Found::Overwrite,
        (Own::NeedsLogin, Some(Ending::NeedsLogin(_))) => Found::Same,
        (Own::Tokens | Own::NeedsLogin, _) => Found::Adopt,
    }
}

/// What ours is.
enum Own {
    Tokens,
    NeedsLogin,
    LoggedOut,
}

fn own(memory: &Memory) -> Own {
    match memory {
        Memory::Ended(ended) if ended.ending == Ending::LoggedOut => Own::LoggedOut,
        Memory::Ended(_) => Own::NeedsLogin,
        Memory::Tokens(_) | Memory::Unread | Memory::Nobody => Own::Tokens,
    }
}
