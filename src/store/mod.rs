//! Where tokens are kept between two runs of a program.

pub(crate) mod contract;
pub(crate) mod error;
pub(crate) mod record;
