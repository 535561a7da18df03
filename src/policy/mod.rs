//! Judgement: pure functions from values to verdicts. No I/O, no clock, no chance, and no session.

pub(crate) mod challenge;
pub(crate) mod demand;
pub(crate) mod excess;
pub(crate) mod freshness;
pub(crate) mod origins;
pub(crate) mod paths;
pub(crate) mod placement;
#[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "a browser follows redirects in its own way"))]
pub(crate) mod redirect;
pub(crate) mod refused;
pub(crate) mod response_head;
pub(crate) mod rest;
pub(crate) mod unauthorized;
