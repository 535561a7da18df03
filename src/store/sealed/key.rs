//! One key that seals records, and its id.

use std::fmt;
use std::sync::Arc;

use chacha20poly1305::{KeyInit, XChaCha20Poly1305};

/// A key that seals records: 32 bytes, and an id that is written in the clear beside what it seals.
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
    id: Arc<str>,
    /// Wipes the bytes when it is dropped, and does not show them.
    cipher: Arc<XChaCha20Poly1305>,
}

impl SealingKey {
    /// The key with these bytes, under this id. One id is one key for ever: give another key another id.
    ///
    /// # Errors
    ///
    /// When there are not exactly 32 bytes.
    pub fn new(id: impl Into<Arc<str>>, bytes: &[u8]) -> Result<Self, InvalidKey> {
        let cipher = XChaCha20Poly1305::new_from_slice(bytes).map_err(|_length| InvalidKey { length: bytes.len() })?;
        Ok(Self { id: id.into(), cipher: Arc::new(cipher) })
    }

    /// The id, which is no secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn cipher(&self) -> &XChaCha20Poly1305 {
        &self.cipher
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SealingKey").field(&self.id).finish()
    }
}

/// These bytes are no key, since a key has 32 of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a sealing key has 32 bytes, not {length}")]
pub struct InvalidKey {
    length: usize,
}
