//! A test issuer and a test API on loopback, shared by tests and examples.
//!
//! - [`Grants`]: what an issuer knows, without sockets or clock: logins, one-time rotation, reuse detection, expiry.
//! - [`Issuer`]: its token endpoint, with faults, outages, client authentication, gates and counters.
//! - [`Api`]: a resource server that takes the issuer's access tokens, with gates and counters of its own.
//! - [`Gateway`]: a home-grown gateway whose sessions live in cookies.
//! - [`Orders`]: something for an API to answer with.
//! - [`bounded`], [`until`] and their like: waiting that ends, and says what it waited for.
//! - [`Gate`]: holds whoever comes until it is opened, and tells when enough have come; tests need no sleep.
//!
//! It is as strict as the strictest real issuers: a refresh token works once, and its second use ends the whole grant,
//! access tokens included. It knows nothing of the crate under test.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test and example uses its own part of it")]

mod answer;
mod api;
mod arrived;
mod bounded;
mod client;
mod counters;
mod devices;
mod faults;
mod gate;
mod gateway;
mod grants;
mod issuer;
mod orders;
mod put;
mod server;

pub use api::Api;
pub use arrived::{Arrived, body_hash};
pub use bounded::{PATIENCE, bounded, bounded_thread, until, until_blocking};
pub use client::Client;
pub use counters::{ApiCounts, GrantCounts, IssuerCounts, Tally};
pub use faults::{Fault, Outage};
pub use gate::Gate;
pub use gateway::{Gateway, GatewayCounts};
pub use grants::{Denied, Grants, Holder, Issued, Names, Refused, Rotation};
pub use issuer::{Issuer, Redemption, TokenCall};
pub use orders::Orders;
pub use put::{found_instead, lock_within, put};
