//! The form of a record: JSON, in which members that this version of the crate does not know are kept.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::clock::Wall;
use crate::id::{LoginId, SessionId, Version};
use crate::store::error::StoreError;
use crate::store::record::{Content, Record};
use crate::store::sealed_content::SealedContent;
use crate::store::tombstone_form::TombstoneForm;
use crate::store::unknown::{Members, Unknown};
use crate::tokens::Tokens;

/// The form that this version of the crate writes. A reader knows every minor form of its major one, and keeps the
/// members it does not know.
const MAJOR: u32 = 1;

/// The parser goes 127 levels deep, three of which are the record's own.
const DEEPEST: usize = 124;

impl Record {
    /// The record as bytes, to be kept as they are. They are wiped when dropped.
    ///
    /// Whatever [`Tokens::extra`] nests more than 124 levels deep is left out, since it could not be read again.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let form = Written::of(self);
        // Counted first, and never grown, so that no copy is left behind unwiped.
        let mut length = Count(0);
        let counted = serde_json::to_writer(&mut length, &form);
        let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
        // Writing into memory does not fail.
        let _ok = counted.and_then(|()| serde_json::to_writer(&mut *bytes, &form));
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`StoreError::unreadable`] when it is no record, [`StoreError::newer`] when it is one of a newer major form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        // The parser's own error would quote what it stumbled on, which may be a token.
        let broken = || StoreError::unreadable("the bytes are no record");
        let head: Head = serde_json::from_slice(bytes).map_err(|_quoting| broken())?;
        if head.major > MAJOR {
            return Err(StoreError::newer());
        }
        let form: Read = serde_json::from_slice(bytes).map_err(|_quoting| broken())?;
        let login = LoginId::from_bits(u128::from_str_radix(&form.login, 16).map_err(|_quoting| broken())?);
        let content = match (form.tokens, form.tombstone, form.sealed) {
            (Some(tokens), None, None) => Content::Tokens(Box::new(tokens.into_tokens().ok_or_else(broken)?)),
            (None, Some(tombstone), None) => tombstone.into_content().ok_or_else(broken)?,
            // One way to write it only, so that no byte of what is sealed can be another.
            (None, None, Some(sealed)) if (form.major, form.login) == (MAJOR, login.to_hexadecimal()) => {
                Content::Sealed(sealed)
            }
            _ => return Err(broken()),
        };
        let unknown = Unknown::in_record(bytes).map_err(|_quoting| broken())?;
        let version = Version::new(login, form.generation);
        let record = Self::new(SessionId::from(form.session), version, content);
        Ok(record.belonging_to(form.registration.map(Arc::from)).with_unknown(unknown))
    }
}

#[derive(Deserialize)]
struct Head {
    major: u32,
}

#[derive(Serialize)]
struct Written<'a> {
    major: u32,
    session: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration: Option<&'a str>,
    login: String,
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<WrittenTokens<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tombstone: Option<TombstoneForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<&'a SealedContent>,
    #[serde(flatten)]
    unknown: &'a Members,
}

impl<'a> Written<'a> {
    fn of(record: &'a Record) -> Self {
        let mut form = Self {
            major: MAJOR,
            session: record.session().as_str(),
            registration: record.registration(),
            login: record.version().login.to_hexadecimal(),
            generation: record.version().generation,
            tokens: None,
            tombstone: None,
            sealed: None,
            unknown: &record.unknown().record,
        };
        match record.content() {
            Content::Tokens(tokens) => form.tokens = Some(WrittenTokens::of(tokens, &record.unknown().tokens)),
            Content::Tombstone { ending, since } => form.tombstone = Some(TombstoneForm::of(ending, *since)),
            Content::Sealed(sealed) => form.sealed = Some(sealed),
        }
        form
    }
}

#[derive(Deserialize)]
struct Read {
    major: u32,
    session: String,
    registration: Option<String>,
    login: String,
    generation: u64,
    tokens: Option<ReadTokens>,
    tombstone: Option<TombstoneForm>,
    sealed: Option<SealedContent>,
}

#[derive(Serialize)]
struct WrittenTokens<'a> {
    access_token: Option<&'a str>,
    token_type: Option<&'a str>,
    /// Milliseconds since 1970.
    expires_at: Option<u64>,
    issued_at: Option<u64>,
    refresh_token: Option<&'a str>,
    scope: Option<&'a str>,
    extra: BTreeMap<&'a str, &'a Value>,
    #[serde(flatten)]
    unknown: &'a Members,
}

impl<'a> WrittenTokens<'a> {
    fn of(tokens: &'a Tokens, unknown: &'a Members) -> Self {
        fn text(secret: &SecretString) -> &str {
            secret.expose_secret()
        }
        Self {
            access_token: tokens.access_token().map(text),
            token_type: tokens.token_type(),
            expires_at: tokens.expires_at().map(|time| Wall::of(time).0),
            issued_at: tokens.issued_at().map(|time| Wall::of(time).0),
            refresh_token: tokens.refresh_token().map(text),
            scope: tokens.scope(),
            extra: readable(tokens.extra()).map(|(name, value)| (name.as_str(), value)).collect(),
            unknown,
        }
    }
}

#[derive(Deserialize)]
struct ReadTokens {
    access_token: Option<Zeroizing<String>>,
    token_type: Option<String>,
    expires_at: Option<u64>,
    issued_at: Option<u64>,
    refresh_token: Option<Zeroizing<String>>,
    scope: Option<String>,
    #[serde(default)]
    extra: Map<String, Value>,
}

impl ReadTokens {
    fn into_tokens(self) -> Option<Tokens> {
        let mut tokens = match self.access_token {
            Some(text) => Tokens::new(text.as_str()).ok()?,
            None => Tokens::unseen(),
        };
        tokens = tokens.with_extra(self.extra);
        if let Some(kind) = self.token_type {
            tokens = tokens.with_token_type(kind);
        }
        if let Some(millis) = self.expires_at {
            tokens = tokens.with_expires_at(Wall(millis).time());
        }
        if let Some(millis) = self.issued_at {
            tokens = tokens.with_issued_at(Wall(millis).time());
        }
        if let Some(text) = self.refresh_token {
            tokens = tokens.with_refresh_token(text.as_str());
        }
        if let Some(scope) = self.scope {
            tokens = tokens.with_scope(scope);
        }
        Some(tokens)
    }
}

/// What is nested less deeply than the parser goes.
fn readable(members: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    fn depth(value: &Value) -> usize {
        let deepest = match value {
            Value::Array(items) => items.iter().map(depth).max(),
            Value::Object(members) => members.values().map(depth).max(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return 0,
        };
        deepest.unwrap_or_default() + 1
    }
    members.iter().filter(|(_, value)| depth(value) <= DEEPEST)
}

/// Counts what is written to it.
struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use serde_json::json;

    use super::*;
    use crate::event::{Ending, NeedsLogin};

    fn version() -> Version {
        Version::new(LoginId::from_bits(0xCAFE), 7)
    }

    fn at(millis: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(millis)
    }

    fn object(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    fn full() -> Tokens {
        let tokens = Tokens::new("canary!~").unwrap().with_refresh_token("canary \"r\\\u{e9}\n\0");
        let tokens = tokens.with_token_type("Bearer").with_scope("read write");
        let tokens = tokens.with_expires_at(at(1_800_000_000_123)).with_issued_at(at(1_700_000_000_456));
        let extra = json!({"id_token": "canary", "nested": {"a": [1, null, 1.5]}, "": "", "access_token": "x"});
        tokens.with_extra(object(extra))
    }

    /// What a later version said.
    fn said(members: &Value) -> Unknown {
        Unknown::in_record(members.to_string().as_bytes()).unwrap()
    }

    fn tombstone(ending: Ending, since: SystemTime) -> Record {
        Record::new(SessionId::default(), version(), Content::Tombstone { ending, since })
    }

    fn rejected(code: &str) -> Ending {
        Ending::NeedsLogin(NeedsLogin::Rejected(code.into()))
    }

    /// Everything that a record says.
    fn all(record: &Record) -> impl PartialEq + std::fmt::Debug + use<> {
        let text = |secret: &SecretString| secret.expose_secret().to_owned();
        let tokens = record.tokens().map(|tokens| {
            let texts = [tokens.access_token().map(text), tokens.refresh_token().map(text)];
            let names = [tokens.token_type().map(str::to_owned), tokens.scope().map(str::to_owned)];
            (texts, names, tokens.expires_at(), tokens.issued_at(), tokens.extra().clone())
        });
        let ending = match record.content() {
            Content::Tokens(_) | Content::Sealed(_) => None,
            Content::Tombstone { ending, since } => Some((ending.clone(), *since)),
        };
        let of = |members: &Members| {
            members.iter().map(|(name, value)| (name.clone(), value.get().to_owned())).collect::<Vec<_>>()
        };
        let unknown = (of(&record.unknown().record), of(&record.unknown().tokens));
        (record.version(), record.session().clone(), tokens, ending, unknown)
    }

    #[test]
    fn what_was_written_is_read() {
        let of = |tokens| Record::of_tokens("default", version(), tokens);
        let numbered =
            |bits, generation| Record::of_tokens("default", Version::new(LoginId::from_bits(bits), generation), full());
        let access = || Tokens::new("a").unwrap();
        let records = [
            of(full()),
            of(access()),
            of(Tokens::unseen()),
            of(access().with_expires_at(UNIX_EPOCH).with_issued_at(at(1))),
            of(Tokens::new("x".repeat(65_536)).unwrap()),
            numbered(0, 0),
            numbered(u128::MAX, u64::MAX),
            tombstone(Ending::LoggedOut, at(0)),
            tombstone(rejected("invalid_grant"), at(1_800_000_000_123)),
            tombstone(rejected(""), at(1)),
            tombstone(Ending::NeedsLogin(NeedsLogin::RecordUnreadable), at(1)),
            of(full()).with_unknown(said(&json!({"later": [1, {"a": null}], "x": null}))),
            tombstone(Ending::LoggedOut, at(1)).with_unknown(said(&json!({"later": "canary"}))),
        ];
        for record in records {
            let bytes = record.to_bytes();
            let read = Record::from_bytes(&bytes).unwrap();
            assert_eq!(all(&read), all(&record));
            assert_eq!(read.to_bytes(), bytes, "and is written as it was");
            for shown in [format!("{record:?}"), format!("{record:#?}")] {
                assert!(!shown.contains("canary"), "{shown}");
            }
        }
    }

    #[test]
    fn times_are_kept_to_the_millisecond_and_clamped() {
        let nanosecond = Duration::from_nanos(1);
        let last = Wall(u64::MAX).time();
        let lifetime = Record::of_tokens("default", version(), Tokens::unseen().with_expires_in(nanosecond)).to_bytes();
        assert_eq!(Record::from_bytes(&lifetime).unwrap().tokens().unwrap().expires_at(), None, "no moment, no expiry");
        for (time, read) in [(at(5) + nanosecond, at(5)), (UNIX_EPOCH - nanosecond, UNIX_EPOCH), (last, last)] {
            let tokens = Tokens::unseen().with_expires_at(time).with_issued_at(time);
            let record = Record::from_bytes(&Record::of_tokens("default", version(), tokens).to_bytes()).unwrap();
            let tokens = record.tokens().unwrap();
            assert_eq!((tokens.expires_at(), tokens.issued_at()), (Some(read), Some(read)));
        }
    }

    fn read(content: &str) -> Record {
        Record::from_bytes(
            format!(r#"{{"major":1,"session":"default","login":"cafe","generation":7,{content}}}"#).as_bytes(),
        )
        .unwrap()
    }

    #[test]
    fn a_later_minor_form_is_read_and_its_members_are_kept_as_they_were_written() {
        let big = "123456789012345678901234567890.10";
        let later = read(&format!(
            r#""minor":9,"key":{{"a":["canary", {big}]}},"tokens":{{"access_token":"a","later":{big},"x":{{"y":null}}}}"#
        ));
        assert_eq!(later.tokens().unwrap().access_token().unwrap().expose_secret(), "a");
        assert!(!format!("{later:?}").contains("canary"));
        let new = Record::of_tokens("default", version().next(), full()).with_unknown(later.unknown().clone());
        let written = String::from_utf8(new.to_bytes().to_vec()).unwrap();
        let key = format!(r#""key":{{"a":["canary", {big}]}}"#);
        for kept in [key.as_str(), r#""minor":9"#, &format!(r#""later":{big}"#), r#""x":{"y":null}"#] {
            assert!(written.contains(kept), "{kept} is not in {written}");
        }
        let again = Record::from_bytes(written.as_bytes()).unwrap();
        assert_eq!(all(&again), all(&new), "and read again");
    }

    #[test]
    fn bytes_are_never_grown_into_place() {
        for record in [Record::of_tokens("default", version(), full()), tombstone(Ending::LoggedOut, at(1))] {
            let bytes = record.to_bytes();
            assert_eq!(bytes.capacity(), bytes.len());
        }
    }

    #[test]
    fn whose_a_record_is_and_what_it_belongs_to_is_kept() {
        for (session, registration) in
            [("default", None), ("", Some("")), ("a\"b\u{1f980}", Some("oauth https://i.example a"))]
        {
            let record = Record::of_tokens(session, version(), full()).belonging_to(registration.map(Arc::from));
            let read = Record::from_bytes(&record.to_bytes()).unwrap();
            assert_eq!((read.session().as_str(), read.registration()), (session, registration));
        }
        let nobodys = r#"{"major":1,"login":"cafe","generation":7,"tokens":{"access_token":"a"}}"#;
        assert!(Record::from_bytes(nobodys.as_bytes()).is_err_and(|error| error.is_unreadable()));
    }

    #[test]
    fn what_is_left_out_is_not_there() {
        let empty = read(r#""tokens":{"refresh_token":"","scope":null}"#);
        assert_eq!(all(&empty), all(&Record::of_tokens("default", version(), Tokens::unseen())));
        assert_eq!(read(r#""tombstone":{"why":"rejected","since":1}"#).ending(), Some(&rejected("")));
    }

    #[test]
    fn whatever_an_issuer_nests_can_be_read_again() {
        for depth in [1, 64, 100, 124, 125, 126] {
            let nested = format!(r#"{{"id":1,"deep":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
            let tokens = Tokens::new("a").unwrap().with_extra(serde_json::from_str(&nested).unwrap());
            let record = Record::from_bytes(&Record::of_tokens("default", version(), tokens).to_bytes()).unwrap();
            let extra = record.tokens().unwrap().extra();
            assert_eq!((&extra["id"], extra.contains_key("deep")), (&json!(1), depth <= DEEPEST), "{depth}");
        }
    }
}
