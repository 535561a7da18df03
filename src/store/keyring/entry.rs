//! The keyring's entry for one key.

use keyring_core::{CredentialStore, Entry, Error};
use zeroize::Zeroizing;

use crate::store::error::StoreError;
use crate::store::keyring::turns::of;
use crate::store::sealed::key::SealingKey;

/// So many random bytes are a key, and half of them an id.
const LENGTH: usize = 32;

/// Reads the key with this id.
pub(crate) fn read(keyring: &CredentialStore, service: &str, id: &str) -> Result<SealingKey, StoreError> {
    let bytes = Zeroizing::new(entry(keyring, service, id)?.get_secret().map_err(|error| of(&error))?);
    SealingKey::new(id, &bytes).map_err(StoreError::unavailable)
}

/// Makes a key, under an id that no entry has had before, and keeps it; reads it back, since not every keyring that says so
/// has kept something.
pub(crate) fn make(keyring: &CredentialStore, service: &str) -> Result<SealingKey, StoreError> {
    let mut bytes = Zeroizing::new([0; LENGTH]);
    let mut id = [0; LENGTH / 2];
    getrandom::fill(&mut *bytes).and_then(|()| getrandom::fill(&mut id)).map_err(StoreError::unavailable)?;
    let id = format!("{:032x}", u128::from_be_bytes(id));
    let new = entry(keyring, service, &id)?;
    new.set_secret(&*bytes).map_err(|error| of(&error))?;
    let kept = entry(keyring, service, &id)?.get_secret().map(Zeroizing::new);
    if kept.as_ref().is_ok_and(|kept| **kept == *bytes) {
        return SealingKey::new(id, &*bytes).map_err(StoreError::unavailable);
    }
    let _best_effort = new.delete_credential();
    Err(kept.map_or_else(|error| of(&error), |_other| StoreError::unavailable("the keyring gives back another key")))
}

/// Forgets a key that nothing was sealed with.
pub(crate) fn forget(keyring: &CredentialStore, service: &str, id: &str) -> Result<(), StoreError> {
    match entry(keyring, service, id)?.delete_credential() {
        Ok(()) | Err(Error::NoEntry) => Ok(()),
        Err(error) => Err(of(&error)),
    }
}

fn entry(keyring: &CredentialStore, service: &str, id: &str) -> Result<Entry, StoreError> {
    // The id comes from a file, and must not lead to an entry of another kind.
    if id.len() != LENGTH || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(StoreError::unavailable("the record is sealed with a key that is none of the keyring's"));
    }
    keyring.build(service, &format!("session key {id}"), None).map_err(|error| of(&error))
}
