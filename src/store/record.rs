//! What is kept in a store: tokens or a tombstone, with the version, as opaque bytes.

use std::fmt;
use std::time::SystemTime;

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::clock::Wall;
use crate::event::{Ending, NeedsLogin};
use crate::id::{LoginId, Version};
use crate::store::error::StoreError;
use crate::store::sealed_content::SealedContent;
use crate::tokens::Tokens;

/// The form that this version of the crate writes. A reader knows every minor form of its major one, and keeps the
/// members it does not know.
const MAJOR: u32 = 1;

/// The parser goes 127 levels deep, three of which are the record's own.
const DEEPEST: usize = 124;

/// What is kept for one session: its tokens, or a tombstone that says how the login ended, and the version of either.
///
/// A store treats it as bytes: [`to_bytes`](Self::to_bytes), [`from_bytes`](Self::from_bytes). They hold secrets.
#[derive(Clone)]
pub struct Record {
    version: Version,
    content: Content,
    unknown: Map<String, Value>,
}

/// Tokens, or how their login ended; or either of them, sealed.
#[derive(Clone)]
pub(crate) enum Content {
    Tokens(Box<Tokens>),
    Tombstone { ending: Ending, since: SystemTime },
    Sealed(SealedContent),
}

impl Record {
    pub(crate) fn new(version: Version, content: Content) -> Self {
        Self { version, content, unknown: Map::new() }
    }

    /// A record of these tokens under this version, for trying a store out or for moving tokens into one. Their expiry is
    /// kept if it is known [as a moment](Tokens::expires_at); a lifetime alone is not.
    #[must_use]
    pub fn of_tokens(version: Version, tokens: Tokens) -> Self {
        Self::new(version, Content::Tokens(Box::new(tokens)))
    }

    /// With the members that `older` had and this version of the crate does not know.
    pub(crate) fn keeping_unknown_of(mut self, unknown: &Map<String, Value>) -> Self {
        self.unknown.clone_from(unknown);
        self
    }

    pub(crate) fn unknown(&self) -> &Map<String, Value> {
        &self.unknown
    }

    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    /// Which tokens these are, or were. This is what [`swap`](crate::TokenStore::swap) compares.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The tokens, unless this is a tombstone.
    #[must_use]
    pub fn tokens(&self) -> Option<&Tokens> {
        match &self.content {
            Content::Tokens(tokens) => Some(tokens),
            Content::Tombstone { .. } | Content::Sealed(_) => None,
        }
    }

    /// How the login ended, if this is a tombstone.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        match &self.content {
            Content::Tokens(_) | Content::Sealed(_) => None,
            Content::Tombstone { ending, .. } => Some(ending),
        }
    }

    /// The record as bytes, to be kept as they are. They are wiped when dropped.
    ///
    /// Whatever [`Tokens::extra`] nests more than 124 levels deep is left out, since it could not be read again.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut form = Form {
            major: MAJOR,
            login: self.version.login.to_hexadecimal(),
            generation: self.version.generation,
            unknown: self.unknown.clone(),
            ..Form::default()
        };
        match &self.content {
            Content::Tokens(tokens) => form.tokens = Some(TokensForm::of(tokens)),
            Content::Tombstone { ending, since } => form.tombstone = Some(TombstoneForm::of(ending, *since)),
            Content::Sealed(sealed) => form.sealed = Some(sealed.clone()),
        }
        Zeroizing::new(serde_json::to_vec(&form).unwrap_or_default())
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
        let form: Form = serde_json::from_slice(bytes).map_err(|_quoting| broken())?;
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
        Ok(Self { version: Version::new(login, form.generation), content, unknown: form.unknown })
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Record");
        debug.field("version", &self.version);
        match &self.content {
            Content::Tokens(tokens) => debug.field("tokens", tokens),
            Content::Tombstone { ending, since } => debug.field("ending", ending).field("since", since),
            Content::Sealed(sealed) => debug.field("sealed", sealed),
        };
        debug.finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Head {
    major: u32,
}

#[derive(Serialize, Deserialize, Default)]
struct Form {
    major: u32,
    login: String,
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<TokensForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tombstone: Option<TombstoneForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<SealedContent>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct TokensForm {
    access_token: Option<Zeroizing<String>>,
    token_type: Option<String>,
    /// Milliseconds since 1970.
    expires_at: Option<u64>,
    issued_at: Option<u64>,
    refresh_token: Option<Zeroizing<String>>,
    scope: Option<String>,
    #[serde(default)]
    extra: Map<String, Value>,
}

impl TokensForm {
    fn of(tokens: &Tokens) -> Self {
        let text = |secret: &secrecy::SecretString| Zeroizing::new(secret.expose_secret().to_owned());
        Self {
            access_token: tokens.access_token().map(text),
            token_type: tokens.token_type().map(str::to_owned),
            expires_at: tokens.expires_at().map(|time| Wall::of(time).0),
            issued_at: tokens.issued_at().map(|time| Wall::of(time).0),
            refresh_token: tokens.refresh_token().map(text),
            scope: tokens.scope().map(str::to_owned),
            extra: readable(tokens.extra()).map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }

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

#[derive(Serialize, Deserialize)]
struct TombstoneForm {
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    since: u64,
}

impl TombstoneForm {
    fn of(ending: &Ending, since: SystemTime) -> Self {
        let (why, code) = match ending {
            Ending::LoggedOut => ("logged_out", None),
            Ending::NeedsLogin(NeedsLogin::Rejected(code)) => ("rejected", Some(code.to_string())),
            Ending::NeedsLogin(NeedsLogin::RecordUnreadable) => ("record_unreadable", None),
        };
        Self { why: why.to_owned(), code, since: Wall::of(since).0 }
    }

    fn into_content(self) -> Option<Content> {
        let ending = match self.why.as_str() {
            "logged_out" => Ending::LoggedOut,
            "record_unreadable" => Ending::NeedsLogin(NeedsLogin::RecordUnreadable),
            "rejected" => Ending::NeedsLogin(NeedsLogin::Rejected(self.code.unwrap_or_default().into())),
            _ => return None,
        };
        Some(Content::Tombstone { ending, since: Wall(self.since).time() })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::json;

    use super::*;

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

    fn tombstone(ending: Ending, since: SystemTime) -> Record {
        Record::new(version(), Content::Tombstone { ending, since })
    }

    fn rejected(code: &str) -> Ending {
        Ending::NeedsLogin(NeedsLogin::Rejected(code.into()))
    }

    /// Everything that a record says.
    fn all(record: &Record) -> impl PartialEq + fmt::Debug + use<> {
        let text = |secret: &secrecy::SecretString| secret.expose_secret().to_owned();
        let tokens = record.tokens().map(|tokens| {
            let texts = [tokens.access_token().map(text), tokens.refresh_token().map(text)];
            let names = [tokens.token_type().map(str::to_owned), tokens.scope().map(str::to_owned)];
            (texts, names, tokens.expires_at(), tokens.issued_at(), tokens.extra().clone())
        });
        let ending = match record.content() {
            Content::Tokens(_) | Content::Sealed(_) => None,
            Content::Tombstone { ending, since } => Some((ending.clone(), *since)),
        };
        (record.version(), tokens, ending, record.unknown().clone())
    }

    #[test]
    fn what_was_written_is_read() {
        let of = |tokens| Record::of_tokens(version(), tokens);
        let numbered = |bits, generation| Record::of_tokens(Version::new(LoginId::from_bits(bits), generation), full());
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
            of(full()).keeping_unknown_of(&object(json!({"later": [1, {"a": null}], "x": null}))),
            tombstone(Ending::LoggedOut, at(1)).keeping_unknown_of(&object(json!({"later": "canary"}))),
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
        let lifetime = Record::of_tokens(version(), Tokens::unseen().with_expires_in(nanosecond)).to_bytes();
        assert_eq!(Record::from_bytes(&lifetime).unwrap().tokens().unwrap().expires_at(), None, "no moment, no expiry");
        for (time, read) in [(at(5) + nanosecond, at(5)), (UNIX_EPOCH - nanosecond, UNIX_EPOCH), (last, last)] {
            let tokens = Tokens::unseen().with_expires_at(time).with_issued_at(time);
            let record = Record::from_bytes(&Record::of_tokens(version(), tokens).to_bytes()).unwrap();
            let tokens = record.tokens().unwrap();
            assert_eq!((tokens.expires_at(), tokens.issued_at()), (Some(read), Some(read)));
        }
    }

    fn read(content: &str) -> Record {
        Record::from_bytes(format!(r#"{{"major":1,"login":"cafe","generation":7,{content}}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn a_later_minor_form_is_read_and_its_members_are_kept() {
        let later = read(r#""minor":9,"key":{"a":["canary"]},"tokens":{"access_token":"a","later":1}"#);
        assert_eq!(later.tokens().unwrap().access_token().unwrap().expose_secret(), "a");
        assert!(!format!("{later:?}").contains("canary"));
        let new = Record::of_tokens(version().next(), full()).keeping_unknown_of(later.unknown());
        let written: Value = serde_json::from_slice(&new.to_bytes()).unwrap();
        assert_eq!((&written["minor"], &written["key"]), (&json!(9), &json!({"a": ["canary"]})));
    }

    #[test]
    fn what_is_left_out_is_not_there() {
        let empty = read(r#""tokens":{"refresh_token":"","scope":null}"#);
        assert_eq!(all(&empty), all(&Record::of_tokens(version(), Tokens::unseen())));
        assert_eq!(read(r#""tombstone":{"why":"rejected","since":1}"#).ending(), Some(&rejected("")));
    }

    #[test]
    fn whatever_an_issuer_nests_can_be_read_again() {
        for depth in [1, 64, 100, 124, 125, 126] {
            let nested = format!(r#"{{"id":1,"deep":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
            let tokens = Tokens::new("a").unwrap().with_extra(serde_json::from_str(&nested).unwrap());
            let record = Record::from_bytes(&Record::of_tokens(version(), tokens).to_bytes()).unwrap();
            let extra = record.tokens().unwrap().extra();
            assert_eq!((&extra["id"], extra.contains_key("deep")), (&json!(1), depth <= DEEPEST), "{depth}");
        }
    }
}
