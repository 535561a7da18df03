//! Where tokens are kept between two runs of a program.

#[cfg(feature = "conformance")]
pub mod conformance;
pub(crate) mod contract;
pub(crate) mod error;
#[cfg(all(feature = "file-store", not(target_arch = "wasm32")))]
pub(crate) mod file;
pub(crate) mod forward;
#[cfg(all(feature = "keyring", not(target_arch = "wasm32")))]
pub(crate) mod keyring;
pub(crate) mod local_locks;
pub(crate) mod memory;
pub(crate) mod record;
pub(crate) mod record_form;
#[cfg(feature = "sealed")]
pub(crate) mod sealed;
pub(crate) mod sealed_content;
mod tombstone_form;
pub(crate) mod unknown;

pub use contract::{Lock, LockGuard, LockReach, LockRequest, Swap, TokenStore};
pub use error::StoreError;
#[cfg(all(feature = "file-store", not(target_arch = "wasm32")))]
pub use file::{FileStore, NoAppFolder};
#[cfg(all(feature = "keyring", not(target_arch = "wasm32")))]
pub use keyring::{KeyringOrFile, KeyringStore};
pub use memory::MemoryStore;
pub use record::Record;
#[cfg(feature = "sealed")]
pub use sealed::{InvalidKey, Sealed, SealingKey, SealingKeys};
