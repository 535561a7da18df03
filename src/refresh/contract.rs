//! The second socket: what turns old tokens into new ones.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::id::SessionId;
use crate::refresh::error::RefreshError;
use crate::refresh::info::RefresherInfo;
use crate::tokens::Tokens;

/// What turns old tokens into new ones.
///
/// A session calls it once for everybody who needs new tokens, in a task of its own, with a bound, and saves what comes
/// back before anyone sees it. A panic is caught and becomes an error for those who wait.
///
/// A closure is a refresher:
///
/// ```
/// use reqwest_auth_refresh::{RefreshError, RefreshRequest, Session, Tokens};
///
/// let session = Session::new(|request: RefreshRequest| async move {
///     let Some(_refresh_token) = request.refresh_token() else {
///         return Err(RefreshError::rejected("no_refresh_token"));
///     };
///     Tokens::new("fresh").map_err(RefreshError::unavailable)
/// });
/// # drop(session);
/// ```
///
/// It must not send its request through the client that it serves: asking for the same session's tokens from within a
/// refresh fails at once, with an error that says so.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub trait Refresher: Send + Sync + 'static {
    /// Gets new tokens for the session.
    ///
    /// A refresh token left out of what is returned stays as it was (RFC 6749 section 6).
    ///
    /// # Errors
    ///
    /// [`RefreshError`] says whether the grant is dead or the tokens must be kept.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped when its [bound](RefreshRequest::deadline) has passed, or when its runtime ends; never because
    /// a caller went away.
    async fn refresh(&self, request: RefreshRequest) -> Result<Tokens, RefreshError>;

    /// What a session has to know of this refresher before it calls it: how the first tokens come, which addresses it calls,
    /// what the records belong to. Asked once, when the session is built. [`RefresherInfo::default`] by default.
    fn info(&self) -> RefresherInfo {
        RefresherInfo::default()
    }

    /// Tells the issuer that the grant is no longer wanted, at a logout (RFC 7009). Does nothing by default.
    ///
    /// # Errors
    ///
    /// When the issuer may still honour the tokens. The logout stands all the same.
    async fn revoke(&self, request: RefreshRequest) -> Result<Revocation, RefreshError> {
        drop(request);
        Ok(Revocation::NotConfigured)
    }
}

/// What came of [`Refresher::revoke`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Revocation {
    /// This refresher has nowhere to say it.
    NotConfigured,
    /// The issuer was told.
    Revoked,
    /// The issuer was told, and says that it does not revoke such tokens: they are good until they expire.
    Unsupported,
}

/// What a refresher is asked: whose tokens, which ones, why, and how long it may take.
#[derive(Debug, Clone)]
pub struct RefreshRequest {
    session: SessionId,
    tokens: Option<Arc<Tokens>>,
    reason: RefreshReason,
    deadline: Duration,
}

impl RefreshRequest {
    /// A request as a session makes it, for trying a refresher out by itself.
    #[must_use]
    pub fn new(session: SessionId, tokens: Option<Arc<Tokens>>, reason: RefreshReason, deadline: Duration) -> Self {
        Self { session, tokens, reason, deadline }
    }

    /// Whose tokens.
    #[must_use]
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// The tokens to replace; `None` only where the first tokens come [without a login](crate::FirstLogin::Unattended), the first time.
    #[must_use]
    pub fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_deref()
    }

    /// The refresh token to spend, if there is one.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&secrecy::SecretString> {
        self.tokens()?.refresh_token()
    }

    /// Why new tokens are needed.
    #[must_use]
    pub fn reason(&self) -> RefreshReason {
        self.reason
    }

    /// How long this attempt may take, counted from the call; then its future is dropped.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }
}

/// Why new tokens are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefreshReason {
    /// A response said that the tokens are no longer good.
    Unauthorized,
    /// The access token has expired.
    Expired,
    /// The access token expires soon.
    Due,
    /// The program asked for it.
    Forced,
    /// The session has no tokens, and the refresher gets the first ones by itself.
    FirstLogin,
    /// The session was logged out, and the grant is to be revoked.
    LoggedOut,
}

impl RefreshReason {
    /// The reason in a word, as logs show it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Expired => "expired",
            Self::Due => "due",
            Self::Forced => "forced",
            Self::FirstLogin => "first login",
            Self::LoggedOut => "logged out",
        }
    }
}
