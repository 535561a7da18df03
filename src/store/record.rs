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
use crate::tokens::Tokens;

/// The form that this version of the crate writes. A reader knows every minor form of its major one, and keeps the
/// members it does not know.
const MAJOR: u32 = 1;

/// What is kept for one session: its tokens, or a tombstone that says how the login ended, and the version of either.
///
/// A store treats it as bytes: [`to_bytes`](Self::to_bytes), [`from_bytes`](Self::from_bytes). They hold secrets.
#[derive(Clone)]
pub struct Record {
    version: Version,
    content: Content,
    unknown: Map<String, Value>,
}

/// Tokens, or how their login ended.
#[derive(Clone)]
pub(crate) enum Content {
    Tokens(Box<Tokens>),
    Tombstone { ending: Ending, since: SystemTime },
}

impl Record {
    pub(crate) fn new(version: Version, content: Content) -> Self {
        Self { version, content, unknown: Map::new() }
    }

    /// A record of these tokens under this version, for trying a store out or for moving tokens into one.
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
            Content::Tombstone { .. } => None,
        }
    }

    /// How the login ended, if this is a tombstone.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        match &self.content {
            Content::Tokens(_) => None,
            Content::Tombstone { ending, .. } => Some(ending),
        }
    }

    /// The record as bytes, to be kept as they are. They are wiped when dropped.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut form = Form {
            major: MAJOR,
            login: format!("{:032x}", self.version.login.to_bits()),
            generation: self.version.generation,
            unknown: self.unknown.clone(),
            ..Form::default()
        };
        match &self.content {
            Content::Tokens(tokens) => form.tokens = Some(TokensForm::of(tokens)),
            Content::Tombstone { ending, since } => form.tombstone = Some(TombstoneForm::of(ending, *since)),
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
        let login = u128::from_str_radix(&form.login, 16).map_err(|_quoting| broken())?;
        let content = match (form.tokens, form.tombstone) {
            (Some(tokens), None) => Content::Tokens(Box::new(tokens.into_tokens().ok_or_else(broken)?)),
            (None, Some(tombstone)) => tombstone.into_content().ok_or_else(broken)?,
            (Some(_), Some(_)) | (None, None) => return Err(broken()),
        };
        Ok(Self { version: Version::new(LoginId::from_bits(login), form.generation), content, unknown: form.unknown })
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Record");
        debug.field("version", &self.version);
        match &self.content {
            Content::Tokens(tokens) => debug.field("tokens", tokens),
            Content::Tombstone { ending, since } => debug.field("ending", ending).field("since", since),
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
            extra: tokens.extra().clone(),
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
