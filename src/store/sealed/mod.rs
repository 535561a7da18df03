//! Records that only those read who have the key: a store in a store, the keys, and how a record is sealed.

pub(crate) mod cipher;
pub(crate) mod key;
pub(crate) mod key_source;
pub(crate) mod keys;
pub(crate) mod store;

pub use key::{InvalidKey, SealingKey};
pub use keys::SealingKeys;
pub use store::Sealed;
