//! What a record says that this version of the crate does not know, kept as it was written.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of a record, and of the tokens in it.
const OF_RECORD: [&str; 8] =
    ["major", "session", "registration", "login", "generation", "tokens", "tombstone", "sealed"];
const OF_TOKENS: [&str; 7] =
    ["access_token", "token_type", "expires_at", "issued_at", "refresh_token", "scope", "extra"];

/// Members that this version of the crate does not know, as they were written: a number keeps all its digits.
pub(crate) type Members = BTreeMap<String, Box<RawValue>>;

/// What a record and its tokens say that this version of the crate does not know.
#[derive(Clone, Default)]
pub(crate) struct Unknown {
    pub(crate) record: Members,
    pub(crate) tokens: Members,
}

impl Unknown {
    /// What is unknown in the bytes of a record.
    pub(crate) fn in_record(bytes: &[u8]) -> serde_json::Result<Self> {
        InRecord.deserialize(&mut serde_json::Deserializer::from_slice(bytes))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.record.is_empty() && self.tokens.is_empty()
    }
}

/// Shows no values, which may be secrets.
impl fmt::Debug for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unknown").finish_non_exhaustive()
    }
}

/// Reads the members that are not among these.
struct MembersBut(&'static [&'static str]);

/// Reads what is unknown in a record.
struct InRecord;

impl<'de> DeserializeSeed<'de> for MembersBut {
    type Value = Members;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Members, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MembersBut {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or null")
    }

    fn visit_unit<E>(self) -> Result<Members, E> {
        Ok(Members::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::new();
        while let Some(name) = map.next_key::<String>()? {
            if self.0.contains(&name.as_str()) {
                let _known = map.next_value::<IgnoredAny>()?;
            } else {
                let _earlier = members.insert(name, map.next_value()?);
            }
        }
        Ok(members)
    }
}

impl<'de> DeserializeSeed<'de> for InRecord {
    type Value = Unknown;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Unknown, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for InRecord {
    type Value = Unknown;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unknown, A::Error> {
        let mut unknown = Unknown::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == "tokens" {
                unknown.tokens = map.next_value_seed(MembersBut(&OF_TOKENS))?;
            } else if OF_RECORD.contains(&name.as_str()) {
                let _known = map.next_value::<IgnoredAny>()?;
            } else {
                let _earlier = unknown.record.insert(name, map.next_value()?);
            }
        }
        Ok(unknown)
    }
}
