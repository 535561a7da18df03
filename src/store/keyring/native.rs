//! The keyring that comes with the system.

use std::sync::Arc;

use keyring_core::{CredentialStore, Result};

/// A new connection to it.
#[cfg(all(unix, not(any(target_vendor = "apple", target_os = "android"))))]
pub(crate) fn native() -> Result<Arc<CredentialStore>> {
    let store = zbus_secret_service_keyring_store::Store::new()?;
    Ok(store)
}

/// A new connection to it.
#[cfg(target_os = "macos")]
pub(crate) fn native() -> Result<Arc<CredentialStore>> {
    let store = apple_native_keyring_store::keychain::Store::new()?;
    Ok(store)
}

/// A new connection to it.
#[cfg(windows)]
pub(crate) fn native() -> Result<Arc<CredentialStore>> {
    let store = windows_native_keyring_store::Store::new()?;
    Ok(store)
}

/// The one that the program has made the default of `keyring_core`, since which one is to be used is not for us to say.
#[cfg(not(any(all(unix, not(any(target_vendor = "apple", target_os = "android"))), target_os = "macos", windows)))]
pub(crate) fn native() -> Result<Arc<CredentialStore>> {
    keyring_core::get_default_store().ok_or(keyring_core::Error::NoDefaultStore)
}
