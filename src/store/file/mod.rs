//! The store whose records are files.

pub(crate) mod app_folder;
pub(crate) mod drawer;
pub(crate) mod envelope;
pub(crate) mod file_store;
pub(crate) mod folder;
pub(crate) mod keeper;
pub(crate) mod lock_file;
pub(crate) mod locking;
pub(crate) mod name;
pub(crate) mod place;
pub(crate) mod record_file;
pub(crate) mod threads;
pub(crate) mod trouble;
pub(crate) mod turn;
#[cfg(feature = "keyring")]
pub(crate) mod use_lock;
#[cfg(feature = "keyring")]
pub(crate) mod whole_folder;
pub(crate) mod writing;

pub use app_folder::NoAppFolder;
pub use file_store::FileStore;
