//! The core, enumerated: a small world around it in which everything that can happen happens in every order, searched
//! breadth first to a fixpoint, with the promises as invariants and ten mistakes that must be noticed.

mod explore;
mod histories;
mod invariants;
mod issuer;
mod key;
mod request;
mod rows;
mod store;
mod world;
