//! What a session does on each event, as a function of its state and of time: no I/O, no clock, no chance, no runtime.
//!
//! The engine reports what happened ([`hear`](Core::hear), [`login`](Core::login), …) and carries out what comes back.
//! Because nothing else decides, this folder can be enumerated state by state, which `tests/model` does.

mod board;
mod chance;
mod change;
mod common_rest;
mod failure;
mod flight;
mod foreign;
mod landing;
mod look;
mod memory;
mod mutants;
mod need;
mod program;
mod registration;
mod state;
mod superseded;
mod writing;

#[cfg(test)]
#[path = "../../../tests/model/mod.rs"]
mod model;

pub(crate) use chance::Chance;
pub(crate) use change::Changed;
pub(crate) use common_rest::{CommonRest, Entry, Ticket};
pub(crate) use flight::{FlightId, Heard, Leg, LockHeard, Outcome, Step, SwapHeard};
pub(crate) use memory::Lent;
pub(crate) use need::{Answer, Need};
pub(crate) use registration::Registration;
pub(crate) use state::{Core, Rules};
