//! The client that `openapi-generator` makes of `orders.yaml`, as it comes; see `generate`.
//!
//! This file stands in for the `lib.rs` that would make it a crate of its own. Its modules name each other from the root of
//! their crate, so whoever declares this one also says `use orders_api::{apis, models};` there.

#![allow(warnings, clippy::all, clippy::pedantic, clippy::restriction, reason = "generated, and left as it was")]

#[path = "orders_api/src/apis/mod.rs"]
#[rustfmt::skip]
pub(crate) mod apis;
#[path = "orders_api/src/models/mod.rs"]
#[rustfmt::skip]
pub(crate) mod models;
