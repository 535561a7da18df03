//! What turns old tokens into new ones.

pub(crate) mod contract;
pub(crate) mod error;
mod func;
