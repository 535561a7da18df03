//! Tokens: what one login or one refresh yields.

use std::fmt;
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use crate::clock::Wall;

/// What one login or one refresh yields: an access token, when it expires, and what is needed for the next one.
///
/// Made by [`Tokens::from_json`] from a token endpoint's answer, or by hand:
///
/// ```
/// use std::time::Duration;
/// use reqwest_auth_refresh::Tokens;
///
/// let tokens = Tokens::new("access")?.with_refresh_token("refresh").with_expires_in(Duration::from_secs(3600));
/// assert_eq!(format!("{tokens:?}").contains("access\""), false);
/// # Ok::<(), reqwest_auth_refresh::InvalidToken>(())
/// ```
///
/// The token texts are kept in [`SecretString`]s: wiped when dropped, and never shown by `Debug`. The other
/// members of an answer are not shown either, but are not wiped.
#[derive(Clone)]
pub struct Tokens {
    access_token: Option<SecretString>,
    token_type: Option<String>,
    expiry: Expiry,
    issued_at: Option<SystemTime>,
    refresh_token: Option<SecretString>,
    scope: Option<String>,
    extra: Map<String, Value>,
}

/// When an access token expires, as far as it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expiry {
    Unknown,
    In(Duration),
    At(SystemTime),
}

/// The longest lifetime believed: that of `i32::MAX` seconds, 68 years.
const LONGEST_LIFE: Duration = Duration::from_secs(i32::MAX as u64);

impl Tokens {
    /// Tokens with this access token, and nothing else known about them.
    ///
    /// # Errors
    ///
    /// When the token is empty, or holds a byte outside `0x21..=0x7E`: it could not be sent in a header as it is
    /// (RFC 6749 appendix A.12, RFC 6750 section 2.1).
    pub fn new(access_token: impl Into<String>) -> Result<Self, InvalidToken> {
        let access_token = SecretString::from(access_token.into());
        check(&access_token)?;
        Ok(Self { access_token: Some(access_token), ..Self::unseen() })
    }

    /// Tokens that this program cannot see, as in a session that lives in cookies: there is nothing to place on a
    /// request, but there is something to refresh.
    #[must_use]
    pub fn unseen() -> Self {
        Self {
            access_token: None,
            token_type: None,
            expiry: Expiry::Unknown,
            issued_at: None,
            refresh_token: None,
            scope: None,
            extra: Map::new(),
        }
    }

    /// The access token; `None` where the program cannot see it.
    #[must_use]
    pub fn access_token(&self) -> Option<&SecretString> {
        self.access_token.as_ref()
    }

    /// The token type as the issuer wrote it (`Bearer`), if it did.
    #[must_use]
    pub fn token_type(&self) -> Option<&str> {
        self.token_type.as_deref()
    }

    /// When the access token expires, if that is known as a moment. [`with_expires_in`](Self::with_expires_in) alone
    /// leaves it open until a session takes the tokens and counts from the moment it does.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        match self.expiry {
            Expiry::At(time) => Some(time),
            Expiry::In(life) => self.issued_at.and_then(|from| from.checked_add(life)),
            Expiry::Unknown => None,
        }
    }

    /// When the issuer made these tokens, or when they were received; `None` until a session takes them.
    #[must_use]
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.issued_at
    }

    /// The refresh token, if there is one.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&SecretString> {
        self.refresh_token.as_ref()
    }

    /// The scope that the issuer named, if it did (RFC 6749 section 5.1).
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// The other members of the issuer's answer, such as `id_token` or `instance_url`. They may be secret.
    #[must_use]
    pub fn extra(&self) -> &Map<String, Value> {
        &self.extra
    }

    /// With this token type.
    #[must_use]
    pub fn with_token_type(mut self, token_type: impl Into<String>) -> Self {
        self.token_type = Some(token_type.into());
        self
    }

    /// With this lifetime, counted from the moment a session takes the tokens unless
    /// [`with_issued_at`](Self::with_issued_at) says otherwise. Zero means that nothing is known; more than 68 years
    /// means 68 years.
    #[must_use]
    pub fn with_expires_in(mut self, life: Duration) -> Self {
        self.expiry = if life.is_zero() { Expiry::Unknown } else { Expiry::In(life.min(LONGEST_LIFE)) };
        self
    }

    /// With this moment of expiry.
    #[must_use]
    pub fn with_expires_at(mut self, time: SystemTime) -> Self {
        self.expiry = Expiry::At(time);
        self
    }

    /// With the moment at which these tokens were issued or received: a lifetime counts from it.
    #[must_use]
    pub fn with_issued_at(mut self, time: SystemTime) -> Self {
        self.issued_at = Some(time);
        self
    }

    /// With this refresh token; an empty one counts as none.
    #[must_use]
    pub fn with_refresh_token(mut self, refresh_token: impl Into<String>) -> Self {
        let refresh_token = refresh_token.into();
        self.refresh_token = (!refresh_token.is_empty()).then(|| SecretString::from(refresh_token));
        self
    }

    /// With this scope.
    #[must_use]
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// With these other members.
    #[must_use]
    pub fn with_extra(mut self, extra: Map<String, Value>) -> Self {
        self.extra = extra;
        self
    }

    /// The same tokens with their expiry as a moment: `now` counts as the moment of issue where none was said.
    pub(crate) fn settled(mut self, now: Wall) -> Self {
        let issued = *self.issued_at.get_or_insert(now.time());
        if let Expiry::In(life) = self.expiry {
            self.expiry = issued.checked_add(life).map_or(Expiry::Unknown, Expiry::At);
        }
        self
    }

    /// What a refresh of `old` yielded, completed by what the issuer left out because it stays as it was: the refresh
    /// token (RFC 6749 section 6), the scope (section 5.1), the type.
    pub(crate) fn completed_by(mut self, old: &Self) -> Self {
        self.refresh_token = self.refresh_token.or_else(|| old.refresh_token.clone());
        self.scope = self.scope.or_else(|| old.scope.clone());
        self.token_type = self.token_type.or_else(|| old.token_type.clone());
        self
    }

    /// Whether both hold the same access token that can be seen. Takes the same time wherever two texts differ.
    pub(crate) fn has_access_token_of(&self, other: &Self) -> bool {
        other.access_token.as_ref().is_some_and(|token| self.is_access_token(token))
    }

    /// Whether `token` is this access token. Takes the same time wherever the two differ.
    pub(crate) fn is_access_token(&self, token: &SecretString) -> bool {
        let same = |own: &SecretString| own.expose_secret().as_bytes().ct_eq(token.expose_secret().as_bytes()).into();
        self.access_token.as_ref().is_some_and(same)
    }
}

#[cfg(test)]
impl Tokens {
    /// The access token's and the refresh token's text.
    pub(crate) fn texts(&self) -> [Option<&str>; 2] {
        [&self.access_token, &self.refresh_token].map(|token| token.as_ref().map(ExposeSecret::expose_secret))
    }
}

/// Only what can be sent in a header as it is.
fn check(access_token: &SecretString) -> Result<(), InvalidToken> {
    let bytes = access_token.expose_secret().as_bytes();
    if bytes.is_empty() {
        return Err(InvalidToken::Empty);
    }
    if bytes.iter().all(|byte| (0x21..=0x7E).contains(byte)) { Ok(()) } else { Err(InvalidToken::Unsendable) }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("access_token", &self.access_token)
            .field("token_type", &self.token_type)
            .field("expiry", &self.expiry)
            .field("issued_at", &self.issued_at)
            .field("refresh_token", &self.refresh_token)
            .field("scope", &self.scope)
            .field("extra", &self.extra.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// Why a text is no access token that can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// It is empty.
    #[error("the access token is empty")]
    Empty,
    /// It holds a space, a control character, or one outside ASCII.
    #[error("the access token holds a character that cannot be sent in a header")]
    Unsendable,
    /// The answer that should hold it is no token answer.
    #[error("the text is no token answer: expected a JSON object or a form with an access_token")]
    NoAnswer,
    /// The answer names a token type that is not understood (RFC 6749 section 7.1).
    #[error("the answer's token_type is not understood")]
    TokenType,
    /// The answer says one thing twice (RFC 6749 section 3.2).
    #[error("the answer has a member twice")]
    Repeated,
    /// The answer reports an error (RFC 6749 section 5.2), whatever else it holds.
    #[error("the answer reports an error in place of tokens")]
    ErrorAnswer,
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde_json::json;

    use super::*;

    const NOW: Wall = Wall(1_800_000_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    fn access() -> Tokens {
        Tokens::new("access").unwrap()
    }

    /// The last moment that this platform can tell.
    fn last_moment() -> SystemTime {
        let seconds = (0..64).rev().map(|bit| Duration::from_secs(1 << bit));
        seconds.fold(UNIX_EPOCH, |time, more| time.checked_add(more).unwrap_or(time))
    }

    #[test]
    fn an_access_token_is_of_bytes_that_a_header_carries_as_they_are() {
        assert_eq!(Tokens::new("").err(), Some(InvalidToken::Empty));
        for byte in 0..=u8::MAX {
            let fits = (0x21..=0x7E).contains(&byte);
            let character = char::from(byte);
            for text in [format!("{character}ab"), format!("a{character}b"), format!("ab{character}")] {
                let expected = if fits { None } else { Some(InvalidToken::Unsendable) };
                assert_eq!(Tokens::new(text.as_str()).err(), expected, "{text:?}");
            }
        }
    }

    #[test]
    fn a_lifetime_becomes_a_moment_when_somebody_takes_the_tokens() {
        let now = NOW.time();
        let issued = now - 10 * MINUTE;
        let last = last_moment();
        // the tokens, their expiry before and after, their issue after
        let cases = [
            (access(), None, None, now),
            (access().with_issued_at(issued), None, None, issued),
            (access().with_expires_in(MINUTE), None, Some(now + MINUTE), now),
            (
                access().with_expires_in(MINUTE).with_issued_at(issued),
                Some(issued + MINUTE),
                Some(issued + MINUTE),
                issued,
            ),
            (access().with_expires_at(issued), Some(issued), Some(issued), now),
            (access().with_expires_at(UNIX_EPOCH).with_issued_at(now), Some(UNIX_EPOCH), Some(UNIX_EPOCH), now),
            (access().with_expires_at(last), Some(last), Some(last), now),
            // the last word counts
            (access().with_expires_at(issued).with_expires_in(MINUTE), None, Some(now + MINUTE), now),
            (access().with_expires_in(MINUTE).with_expires_at(issued), Some(issued), Some(issued), now),
            // what cannot be is unknown, or as long as can be believed
            (access().with_expires_in(Duration::ZERO), None, None, now),
            (access().with_expires_at(issued).with_expires_in(Duration::ZERO), None, None, now),
            (access().with_expires_in(Duration::MAX), None, Some(now + LONGEST_LIFE), now),
            (access().with_expires_in(MINUTE).with_issued_at(last), None, None, last),
            (Tokens::unseen().with_expires_in(MINUTE), None, Some(now + MINUTE), now),
        ];
        for (tokens, before, after, issue) in cases {
            let name = format!("{tokens:?}");
            assert_eq!(tokens.expires_at(), before, "{name}");
            let settled = tokens.settled(NOW);
            assert_eq!((settled.expires_at(), settled.issued_at()), (after, Some(issue)), "{name}");
            let again = settled.settled(Wall(u64::MAX));
            assert_eq!((again.expires_at(), again.issued_at()), (after, Some(issue)), "once is enough: {name}");
        }
    }

    #[test]
    fn a_refresh_keeps_what_the_issuer_left_out() {
        let old = || access().with_refresh_token("old").with_scope("old").with_token_type("old");
        let texts = |tokens: &Tokens| {
            let refresh_token = tokens.refresh_token().map(|token| token.expose_secret().to_owned());
            [refresh_token, tokens.scope().map(str::to_owned), tokens.token_type().map(str::to_owned)]
        };
        let [none, old_text, new_text] = [None, Some("old".to_owned()), Some("new".to_owned())];
        // what is new says all three, what is old says all three
        for (from_new, from_old, expected) in
            [(true, true, &new_text), (true, false, &new_text), (false, true, &old_text), (false, false, &none)]
        {
            let new = Tokens::new("fresh").unwrap();
            let new = if from_new {
                new.with_refresh_token("new").with_scope("new").with_token_type("new")
            } else {
                new.with_refresh_token("")
            };
            let completed = new.completed_by(&if from_old { old() } else { access() });
            assert_eq!(texts(&completed), [(); 3].map(|()| expected.clone()));
        }

        let dated = old().with_expires_in(MINUTE).with_issued_at(UNIX_EPOCH);
        let dated = dated.with_extra(Map::from_iter([("id_token".to_owned(), json!("old"))]));
        let completed = Tokens::new("fresh").unwrap().completed_by(&dated);
        assert_eq!((completed.expires_at(), completed.issued_at(), completed.extra().len()), (None, None, 0));
        assert_eq!(completed.access_token().unwrap().expose_secret(), "fresh");
    }

    /// That it takes the same time wherever two texts differ is what `subtle` is for, and is not measured here.
    #[test]
    fn only_the_very_same_access_token_is_the_same() {
        let own = access();
        let others = ["", "Access", "acCess", "accesS", "acces", "access ", "accessaccess", "\u{e1}ccess"];
        for other in others {
            assert!(!own.is_access_token(&other.into()), "{other:?}");
            assert!(!Tokens::new(other).is_ok_and(|other| own.has_access_token_of(&other)), "{other:?}");
        }
        assert!(own.is_access_token(&"access".into()));
        assert!(own.has_access_token_of(&access().with_refresh_token("another").with_scope("another")));
        // What cannot be seen is not known to be the same.
        let unseen = Tokens::unseen();
        assert!(!unseen.is_access_token(&"".into()) && !unseen.is_access_token(&"access".into()));
        assert!(!own.has_access_token_of(&unseen) && !unseen.has_access_token_of(&own));
        assert!(!unseen.has_access_token_of(&unseen));
    }

    #[test]
    fn debug_shows_what_there_is_and_no_secret() {
        let extra =
            Map::from_iter([("id_token".to_owned(), json!("canary")), ("x".to_owned(), json!({"y": "canary"}))]);
        let tokens = Tokens::new("canary").unwrap().with_refresh_token("canary").with_extra(extra).with_scope("read");
        for shown in [format!("{tokens:?}"), format!("{tokens:#?}")] {
            assert!(!shown.contains("canary"), "{shown}");
            assert!(shown.contains("id_token") && shown.contains("read") && shown.contains("REDACTED"), "{shown}");
        }
    }
}
