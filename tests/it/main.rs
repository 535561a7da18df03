//! What the crate promises, held from outside, in one binary: a module for each promise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on stops there, and prints its figures"
)]

mod architecture;
mod freshness;
#[cfg(feature = "refresh-grant")]
mod hero;
mod origins;
mod outage;
#[cfg(feature = "refresh-grant")]
mod refresh_grant;
mod retry;
mod storms;
#[path = "../support/mod.rs"]
mod support;
mod test_issuer;
mod virtual_issuer;
mod virtual_world;
#[cfg(feature = "refresh-grant")]
mod wire_storm;
