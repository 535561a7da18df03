//! Where tokens are kept between two runs of a program.

pub(crate) mod contract;
pub(crate) mod error;
pub(crate) mod memory;
pub(crate) mod record;

pub use contract::{Lock, LockGuard, Swap, TokenStore};
pub use error::StoreError;
pub use memory::MemoryStore;
pub use record::Record;
