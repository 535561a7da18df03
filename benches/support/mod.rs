//! What the benches share: the ways to sign a request that are compared, each as a client that ends in a canned answer.

#![allow(dead_code, reason = "each bench uses a part of it")]

mod canned;
mod variant;

pub(crate) use canned::{API, Canned};
pub(crate) use variant::Variant;
