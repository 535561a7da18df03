//! The core, enumerated: a small world around it in which everything that can happen happens in every order, searched
//! breadth first to a fixpoint, with the promises as invariants and ten mistakes that must be noticed. A flight that stands still is one whose task the search leaves for last.
#![allow(
    clippy::pedantic,
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a world of small numbers, which stops where it goes wrong and prints its figures"
)]

mod explore;
mod histories;
mod invariants;
mod issuer;
mod key;
mod request;
mod rows;
mod store;
mod world;
