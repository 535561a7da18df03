//! Records in files, sealed with a key that the system's keyring keeps.

pub(crate) mod choice;
pub(crate) mod chooser;
pub(crate) mod entry;
pub(crate) mod keyring_keys;
pub(crate) mod keyring_or_file;
pub(crate) mod keyring_store;
pub(crate) mod native;
pub(crate) mod turns;

pub use keyring_or_file::KeyringOrFile;
pub use keyring_store::KeyringStore;
