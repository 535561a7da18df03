//! Records in files, sealed with a key that the system's keyring keeps.

pub(crate) mod entry;
pub(crate) mod key_record;
pub(crate) mod keyring_keys;
pub(crate) mod keyring_store;
pub(crate) mod native;
pub(crate) mod turns;

pub use keyring_store::KeyringStore;
