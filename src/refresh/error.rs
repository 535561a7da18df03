//! What a refresher says when no new tokens came.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why a refresh yielded no tokens.
///
/// It answers the one question that a session asks: is the grant dead, or must the tokens be kept? Only
/// [`rejected`](Self::rejected) ends a session. When in doubt it is [`unavailable`](Self::unavailable): a session kept too
/// long costs one more call, a session ended too early costs a login.
///
/// Never put a token, a response body or a URL with its query into a code or a source.
#[derive(Clone)]
pub struct RefreshError {
    verdict: Verdict,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What follows for the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Rejected { code: Arc<str> },
    Misconfigured { code: Arc<str> },
    Unavailable { retry_after: Option<Duration>, maybe_processed: bool, every_session: bool },
}

impl RefreshError {
    /// The issuer says that this grant is dead, as with `invalid_grant`: somebody has to log in again.
    #[must_use]
    pub fn rejected(code: impl Into<Arc<str>>) -> Self {
        Self { verdict: Verdict::Rejected { code: code.into() }, source: None }
    }

    /// No new tokens now, for a reason that says nothing about the grant: an outage, a timeout, an answer that makes no
    /// sense.
    #[must_use]
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let verdict = Verdict::Unavailable { retry_after: None, maybe_processed: false, every_session: false };
        Self { verdict, source: Some(Arc::from(source.into())) }
    }

    /// The program is set up wrongly, as with `invalid_client`: trying again does not help, and neither does a login.
    #[must_use]
    pub fn misconfigured(code: impl Into<Arc<str>>) -> Self {
        Self { verdict: Verdict::Misconfigured { code: code.into() }, source: None }
    }

    /// The issuer asked for this pause. Believed up to one hour. Says nothing about an error that is not
    /// [`unavailable`](Self::unavailable).
    #[must_use]
    pub fn retry_after(mut self, pause: Duration) -> Self {
        if let Verdict::Unavailable { retry_after, .. } = &mut self.verdict {
            *retry_after = Some(pause);
        }
        self
    }

    /// The request was sent and no answer was heard, so the issuer may have spent the refresh token. The session sends it
    /// once more within 20 seconds, since many issuers answer a repeated request with the same tokens for a while.
    #[must_use]
    pub fn maybe_processed(mut self) -> Self {
        if let Verdict::Unavailable { maybe_processed, .. } = &mut self.verdict {
            *maybe_processed = true;
        }
        self
    }

    /// The failure is the issuer's, not this grant's: every session of this refresher would meet it, and all of them rest. When
    /// the rest ends, one of them finds out how it is, and the others follow. Says nothing about an error that is not
    /// [`unavailable`](Self::unavailable).
    #[must_use]
    pub fn for_every_session(mut self) -> Self {
        if let Verdict::Unavailable { every_session, .. } = &mut self.verdict {
            *every_session = true;
        }
        self
    }

    /// The failure is this session's alone, whatever was said before: for a refresher that hands on the errors of several
    /// issuers, where one's outage is nothing to the sessions of another.
    #[must_use]
    pub fn for_this_session(mut self) -> Self {
        if let Verdict::Unavailable { every_session, .. } = &mut self.verdict {
            *every_session = false;
        }
        self
    }

    /// With the error that led to this one.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Whether the grant is dead.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        matches!(self.verdict, Verdict::Rejected { .. })
    }

    /// Whether trying later may help.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self.verdict, Verdict::Unavailable { .. })
    }

    /// Whether the program is set up wrongly.
    #[must_use]
    pub fn is_misconfigured(&self) -> bool {
        matches!(self.verdict, Verdict::Misconfigured { .. })
    }

    /// The issuer's error code, such as `invalid_grant`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Rejected { code } | Verdict::Misconfigured { code } => Some(code),
            Verdict::Unavailable { .. } => None,
        }
    }

    /// The pause that was asked for.
    pub(crate) fn pause(&self) -> Option<Duration> {
        if let Verdict::Unavailable { retry_after, .. } = &self.verdict { *retry_after } else { None }
    }

    pub(crate) fn verdict(&self) -> &Verdict {
        &self.verdict
    }
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::Rejected { code } => write!(f, "the issuer rejected the grant ({code})"),
            Verdict::Misconfigured { code } => write!(f, "the issuer refuses this client's set-up ({code})"),
            Verdict::Unavailable { .. } => f.write_str("no new tokens can be had now"),
        }
    }
}

impl fmt::Debug for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshError").field("verdict", &self.verdict).field("source", &self.source).finish()
    }
}

impl Error for RefreshError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
