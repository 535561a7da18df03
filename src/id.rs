//! Who is meant: the session's name, one login of it, and one set of tokens within that login.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// The name of a session: one identity whose tokens are kept together.
///
/// Any text will do: a user name, a tenant and a user, a number. Two ids are the same session when they are equal byte
/// by byte. A program with one identity need not name it; [`SessionId::default`] is `"default"`.
///
/// Cloning is cheap. Logs never show the id itself, only its [fingerprint](SessionId::fingerprint), since ids are often
/// mail addresses.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// Names a session.
    #[must_use]
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Eight hexadecimal digits that stand for this id in logs and in `Debug`.
    ///
    /// Good for telling sessions apart in one log, not for keeping an id secret from someone who can guess it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        format!("{:08x}", hasher.finish() >> 32)
    }
}

impl Default for SessionId {
    fn default() -> Self {
        Self::new("default")
    }
}

impl<T: Into<Arc<str>>> From<T> for SessionId {
    fn from(id: T) -> Self {
        Self::new(id)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({})", self.fingerprint())
    }
}

/// A random 128-bit number made at each login, which tells that login from every other one of the same session.
///
/// It is the fence of promise P8: what was begun under one login is never finished under another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LoginId(
    // In two halves, the upper one first: a `u128` would be aligned so widely that a session grows by a quarter.
    [u64; 2],
);

impl LoginId {
    /// The login id with these bits.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "each half by itself")]
        Self([(bits >> 64) as u64, bits as u64])
    }

    /// Its bits, for a store that keeps a record in columns.
    #[must_use]
    pub const fn to_bits(self) -> u128 {
        (self.0[0] as u128) << 64 | self.0[1] as u128
    }

    /// Its bits as they are written in a record.
    pub(crate) fn to_hexadecimal(self) -> String {
        format!("{:032x}", self.to_bits())
    }
}

impl fmt::Debug for LoginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoginId({:08x}…)", self.0[0] >> 32)
    }
}

/// Which tokens: the login they belong to, and their number within it.
///
/// This is what a signed request remembers, what is stored beside the tokens, and what a store compares in
/// [`swap`](crate::TokenStore::swap). Versions of different logins have no order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// The login.
    pub login: LoginId,
    /// Counts the refreshes within that login; it only grows.
    pub generation: u64,
}

impl Version {
    /// The version with this login and generation.
    #[must_use]
    pub const fn new(login: LoginId, generation: u64) -> Self {
        Self { login, generation }
    }

    /// The version that the next refresh of the same login yields.
    #[must_use]
    pub const fn next(self) -> Self {
        Self { login: self.login, generation: self.generation.saturating_add(1) }
    }
}

/// The whole version as a text of 49 characters, for a store that compares versions in a script or in a column: equal
/// versions have equal texts, and within one login the texts are in the order of the generations.
///
/// ```
/// use reqwest_auth_refresh::{LoginId, Version};
///
/// let version = Version::new(LoginId::from_bits(0xcafe), 7);
/// assert_eq!(version.to_string(), "0000000000000000000000000000cafe-0000000000000007");
/// ```
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.login.to_hexadecimal(), self.generation)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}…:{}", self.login.0[0] >> 32, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_compared_byte_by_byte() {
        let ids = ["", "a", "A", "a ", "a/b", "a//b", "..", "default", "\u{e9}", "e\u{301}", "a\0"];
        for (nth, id) in ids.iter().enumerate() {
            for (other_nth, other) in ids.iter().enumerate() {
                assert_eq!(
                    SessionId::from(*id) == SessionId::new(other.to_string()),
                    nth == other_nth,
                    "{id:?} {other:?}"
                );
            }
            assert_eq!(SessionId::from(*id).as_str(), *id);
        }
        assert_eq!(SessionId::default(), SessionId::from("default"));
    }

    #[test]
    fn a_fingerprint_tells_ids_apart_without_showing_them() {
        let ids = ["", "a", "b", "alice@example.com", "bob@example.com"].map(SessionId::from);
        for id in &ids {
            let fingerprint = id.fingerprint();
            assert_eq!(fingerprint.len(), 8);
            assert!(fingerprint.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{fingerprint}");
            assert_eq!(ids.iter().filter(|other| other.fingerprint() == fingerprint).count(), 1);
            assert_eq!(format!("{id:?}"), format!("SessionId({fingerprint})"));
        }
    }

    #[test]
    fn debug_shows_the_front_of_a_login() {
        // the bits, what is shown of the login, and of its seventh tokens
        let cases = [
            (0, "LoginId(00000000…)", "00000000…:7"),
            (1, "LoginId(00000000…)", "00000000…:7"),
            (0xDEAD_BEEF << 96, "LoginId(deadbeef…)", "deadbeef…:7"),
            (u128::MAX, "LoginId(ffffffff…)", "ffffffff…:7"),
        ];
        for (bits, login, version) in cases {
            assert_eq!(format!("{:?}", LoginId::from_bits(bits)), login);
            assert_eq!(format!("{:?}", Version::new(LoginId::from_bits(bits), 7)), version);
            assert_eq!(LoginId::from_bits(bits).to_bits(), bits);
        }
    }

    #[test]
    fn generations_grow_to_the_last_and_stay_there() {
        let login = LoginId::from_bits(1);
        for (generation, next) in [(0, 1), (1, 2), (u64::MAX - 1, u64::MAX), (u64::MAX, u64::MAX)] {
            assert_eq!(Version::new(login, generation).next(), Version::new(login, next));
        }
        assert_ne!(Version::new(login, 1), Version::new(LoginId::from_bits(2), 1));
    }
}
