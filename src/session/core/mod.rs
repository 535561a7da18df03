//! What a session does on each event, as a function of its state and of time: no I/O, no clock, no chance, no runtime.
//!
//! The engine reports what happened ([`hear`](Core::hear), [`login`](Core::login), …) and carries out what comes back.
//! Because nothing else decides, this folder can be enumerated state by state, which `tests/model` does.

mod board;
mod change;
mod failure;
mod flight;
mod landing;
mod memory;
#[cfg(test)]
pub(crate) mod mutants;
mod need;
mod program;

#[cfg(test)]
#[path = "../../../tests/model/mod.rs"]
mod model;

pub(crate) use change::Changed;
pub(crate) use flight::{FlightId, Heard, Leg, LockHeard, Outcome, Step, SwapHeard};
pub(crate) use memory::{Core, Rules};
pub(crate) use need::{Answer, Need};

/// Whether this mutant is switched on: never, outside the model that must catch it.
#[cfg(not(test))]
macro_rules! mutant {
    ($name:ident) => {
        false
    };
}
#[cfg(test)]
macro_rules! mutant {
    ($name:ident) => {
        crate::session::core::mutants::is_on(crate::session::core::mutants::Mutant::$name)
    };
}
use mutant;

/// What a step may not draw by itself: chance, drawn by the engine for each report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chance {
    /// Spreads pauses and early refreshes.
    pub(crate) jitter: u32,
    /// The id of a login, should this step begin one.
    pub(crate) login: crate::id::LoginId,
}
