//! One key that seals records, and its name.

use std::fmt::{self, Write};
use std::sync::Arc;

use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use sha2::{Digest, Sha256};

use crate::store::sealed_content::KeyName;

/// Said before the bytes, so that no other program's hash of them is the same.
const PURPOSE: &[u8] = b"reqwest-auth-refresh key fingerprint 1\0";

/// So many bytes of the hash are a fingerprint: two keys with one fingerprint cannot be found.
const FINGERPRINT: usize = 16;

/// A key that seals records: 32 bytes, and an id that is written in the clear beside what it seals.
///
/// A fingerprint of the bytes (half of a SHA-256 hash) is written beside the id, so that two keys which were given the same
/// id by mistake are still two keys.
///
/// The bytes must come from a source of randomness for secrets, or from a function that makes keys out of passwords; a
/// password is no key. Cloning is cheap. The bytes are never shown and are wiped when the last clone is dropped.
///
/// ```
/// use reqwest_auth_refresh::SealingKey;
///
/// # let from_the_environment = [7; 32];
/// let key = SealingKey::new("2026-01", &from_the_environment)?;
/// assert_eq!(key.id(), "2026-01");
/// assert_eq!(format!("{key:?}"), r#"SealingKey("2026-01")"#);
///
/// assert_eq!(SealingKey::new("short", b"secret").unwrap_err().to_string(), "a sealing key has 32 bytes, not 6");
/// # Ok::<(), reqwest_auth_refresh::InvalidKey>(())
/// ```
#[derive(Clone)]
pub struct SealingKey {
    name: Arc<KeyName>,
    /// Wipes the bytes when it is dropped, and does not show them.
    cipher: Arc<XChaCha20Poly1305>,
}

impl SealingKey {
    /// The key with these bytes, under this id. One id is one key for ever: give another key another id.
    ///
    /// # Errors
    ///
    /// When there are not exactly 32 bytes.
    pub fn new(id: impl Into<String>, bytes: &[u8]) -> Result<Self, InvalidKey> {
        let cipher = XChaCha20Poly1305::new_from_slice(bytes).map_err(|_length| InvalidKey::of_length(bytes.len()))?;
        let name = KeyName { id: id.into(), fingerprint: fingerprint(bytes) };
        Ok(Self { name: Arc::new(name), cipher: Arc::new(cipher) })
    }

    /// The id, which is no secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.name.id
    }

    pub(crate) fn name(&self) -> &KeyName {
        &self.name
    }

    pub(crate) fn cipher(&self) -> &XChaCha20Poly1305 {
        &self.cipher
    }
}

fn fingerprint(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * FINGERPRINT);
    for byte in &Sha256::new_with_prefix(PURPOSE).chain_update(bytes).finalize()[..FINGERPRINT] {
        // Writing to a string does not fail.
        let _ok = write!(text, "{byte:02x}");
    }
    text
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SealingKey").field(&self.id()).finish()
    }
}

/// Why keys cannot be used: one has not 32 bytes, or two of them have one id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct InvalidKey(Reason);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("a sealing key has 32 bytes, not {0}")]
    Length(usize),
    #[error("two sealing keys with different bytes have the id {0:?}; give one of them another id")]
    SameId(String),
}

impl InvalidKey {
    fn of_length(length: usize) -> Self {
        Self(Reason::Length(length))
    }

    pub(crate) fn of_same_id(id: &str) -> Self {
        Self(Reason::SameId(id.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fingerprint that changed would make every stored record one of an unknown key.
    #[test]
    fn fingerprints_stay_what_they_are() {
        let of = |byte: u8| SealingKey::new("any", &[byte; 32]).unwrap().name().fingerprint.clone();
        assert_eq!(of(7), "4cb01558f224b194e0ef9e7660a20abc");
        assert_ne!(of(7), of(8));
    }
}
