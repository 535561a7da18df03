//! The one error that callers meet.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::id::SessionId;

/// Why a request could not be sent with good tokens, or a session could not do what was asked.
///
/// What comes out of a client with middleware is a `reqwest_middleware::Error` with this one somewhere inside, whatever
/// layers it went through; [`AuthError::find`] gets it out:
///
/// ```
/// # use reqwest_auth_refresh::AuthError;
/// # fn redirect_to_login() {}
/// # fn check(error: &reqwest_middleware::Error) {
/// if AuthError::find(error).is_some_and(AuthError::needs_login) {
///     redirect_to_login();
/// }
/// # }
/// ```
///
/// # Design
///
/// One opaque type that is cheap to clone, because a thousand requests may wait for one refresh and all get its outcome.
/// Ask it questions; each question is what a program would do something about. A dead session is an error and not a 401,
/// so that it can be mistaken neither for an outage nor for a request that was refused.
#[derive(Clone)]
pub struct AuthError(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: Kind,
    session: SessionId,
    /// What was tried, in words without secrets.
    what: Arc<str>,
    retry_after: Option<Duration>,
    status: Option<StatusCode>,
    code: Option<Arc<str>>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What a program can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    NeedsLogin,
    LoggedOut,
    TryLater,
    Timeout,
    Misconfigured,
    Store,
    Reentrant,
}

impl AuthError {
    pub(crate) fn new(kind: Kind, session: &SessionId, what: impl Into<Arc<str>>) -> Self {
        let (retry_after, status, code, source) = (None, None, None, None);
        Self(Arc::new(Inner { kind, session: session.clone(), what: what.into(), retry_after, status, code, source }))
    }

    pub(crate) fn with_retry_after(mut self, pause: Duration) -> Self {
        Arc::make_mut(&mut self.0).retry_after = Some(pause);
        self
    }

    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        Arc::make_mut(&mut self.0).status = Some(status);
        self
    }

    pub(crate) fn with_code(mut self, code: impl Into<Arc<str>>) -> Self {
        Arc::make_mut(&mut self.0).code = Some(code.into());
        self
    }

    pub(crate) fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).source = Some(Arc::new(source));
        self
    }

    /// Finds the error of this crate in `error` or in what led to it.
    ///
    /// Works on a `reqwest_middleware::Error`, also under reqwest-retry, and on any error type of yours that hands on its
    /// source.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }

    /// Whether somebody has to log in again: the issuer says that the grant is dead, the stored record could not be read, or
    /// nobody is logged in where a login is demanded.
    #[must_use]
    pub fn needs_login(&self) -> bool {
        self.0.kind == Kind::NeedsLogin
    }

    /// Whether somebody logged out, or another one logged in, while this was under way.
    #[must_use]
    pub fn is_logged_out(&self) -> bool {
        self.0.kind == Kind::LoggedOut
    }

    /// Whether the same may work later with nothing changed: an outage, a pause, a bound that passed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.0.kind, Kind::TryLater | Kind::Timeout)
    }

    /// Whether a bound passed before there was an outcome.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.0.kind == Kind::Timeout
    }

    /// Whether the program is set up wrongly: the issuer refuses the client, or something was asked for that this session
    /// cannot give.
    #[must_use]
    pub fn is_misconfigured(&self) -> bool {
        self.0.kind == Kind::Misconfigured
    }

    /// Whether the token store failed.
    #[must_use]
    pub fn is_store(&self) -> bool {
        self.0.kind == Kind::Store
    }

    /// Whether a refresher asked for tokens of the session that it was refreshing.
    #[must_use]
    pub fn is_reentrant(&self) -> bool {
        self.0.kind == Kind::Reentrant
    }

    /// How long to wait before trying again, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The status of the response that asked for new tokens, if the request was sent at all.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// The issuer's error code, such as `invalid_grant`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The session that this is about.
    #[must_use]
    pub fn session(&self) -> &SessionId {
        &self.0.session
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)?;
        if let Some(pause) = self.0.retry_after {
            write!(f, "; try again in {} s", pause.as_millis().div_ceil(1000))?;
        }
        Ok(())
    }
}

impl fmt::Debug for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthError")
            .field("kind", &self.0.kind)
            .field("session", &self.0.session)
            .field("what", &self.0.what)
            .field("retry_after", &self.0.retry_after)
            .field("status", &self.0.status)
            .field("code", &self.0.code)
            .field("source", &self.0.source)
            .finish()
    }
}

impl Error for AuthError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// What goes into a `reqwest_middleware::Error`. That type is transparent, so that an error put into it directly is never
/// found by walking sources; one step below this carrier it is.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Carrier(#[source] AuthError);

impl From<AuthError> for reqwest_middleware::Error {
    fn from(error: AuthError) -> Self {
        Self::middleware(Carrier(error))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn error(kind: Kind) -> AuthError {
        AuthError::new(kind, &SessionId::from("canary"), "it was so")
    }

    #[test]
    fn each_kind_answers_its_own_questions() {
        const ASK: [fn(&AuthError) -> bool; 7] = [
            AuthError::needs_login,
            AuthError::is_logged_out,
            AuthError::is_transient,
            AuthError::is_timeout,
            AuthError::is_misconfigured,
            AuthError::is_store,
            AuthError::is_reentrant,
        ];
        let cases = [
            (Kind::NeedsLogin, [true, false, false, false, false, false, false]),
            (Kind::LoggedOut, [false, true, false, false, false, false, false]),
            (Kind::TryLater, [false, false, true, false, false, false, false]),
            (Kind::Timeout, [false, false, true, true, false, false, false]),
            (Kind::Misconfigured, [false, false, false, false, true, false, false]),
            (Kind::Store, [false, false, false, false, false, true, false]),
            (Kind::Reentrant, [false, false, false, false, false, false, true]),
        ];
        for (kind, expected) in cases {
            assert_eq!(ASK.map(|ask| ask(&error(kind))), expected, "{kind:?}");
        }
    }

    #[test]
    fn what_is_known_is_told_and_a_clone_is_changed_alone() {
        let plain = error(Kind::TryLater);
        let full = plain.clone().with_code("slow_down").with_status(StatusCode::UNAUTHORIZED);
        let full = full.with_retry_after(Duration::from_secs(2)).because(io::Error::other("the reason"));
        assert_eq!((full.code(), full.status()), (Some("slow_down"), Some(StatusCode::UNAUTHORIZED)));
        assert_eq!((full.retry_after(), full.session().as_str()), (Some(Duration::from_secs(2)), "canary"));
        assert_eq!(full.source().unwrap().to_string(), "the reason");
        assert_eq!((plain.code(), plain.status(), plain.retry_after()), (None, None, None));
        assert!(plain.source().is_none());
    }

    #[test]
    fn pauses_are_told_in_whole_seconds_and_never_too_short() {
        assert_eq!(error(Kind::TryLater).to_string(), "it was so");
        let most = format!("{}", u128::from(u64::MAX) + 1);
        for (pause, told) in [
            (Duration::ZERO, "0"),
            (Duration::from_millis(1), "1"),
            (Duration::from_secs(1), "1"),
            (Duration::from_millis(1001), "2"),
            (Duration::MAX, &most),
        ] {
            let error = error(Kind::TryLater).with_retry_after(pause).because(io::Error::other("the reason"));
            assert_eq!(error.to_string(), format!("it was so; try again in {told} s"), "and not the source");
        }
    }

    #[test]
    fn debug_shows_everything_but_the_id() {
        let error = error(Kind::Store).with_code("a_code").because(io::Error::other("the reason"));
        for shown in [format!("{error:?}"), format!("{error:#?}")] {
            assert!(!shown.contains("canary"), "{shown}");
            for part in ["Store", "it was so", "a_code", "the reason", &error.session().fingerprint()] {
                assert!(shown.contains(part), "{part}: {shown}");
            }
        }
    }

    /// As a generated client has it.
    #[derive(Debug, thiserror::Error)]
    enum TheirError {
        #[error("sending failed")]
        Sending(#[from] reqwest_middleware::Error),
        #[error("another")]
        Another,
    }

    #[test]
    fn it_is_found_under_whatever_it_was_put() {
        let passed_on = || reqwest_middleware::Error::from(error(Kind::Timeout));
        let boxed: Box<dyn Error + Send + Sync> = Box::new(TheirError::from(passed_on()));
        let nested = error(Kind::TryLater).because(error(Kind::Timeout));
        let at_work = anyhow::Error::new(passed_on()).context("at work");
        let found: [&(dyn Error + 'static); 7] = [
            &error(Kind::Timeout),
            &passed_on(),
            &TheirError::from(passed_on()),
            &io::Error::other(passed_on()),
            &*boxed,
            at_work.as_ref(),
            &nested,
        ];
        for error in found {
            assert!(AuthError::find(error).is_some_and(AuthError::is_transient), "{error:?}");
        }
        assert!(!AuthError::find(&nested).unwrap().is_timeout(), "the outermost one");

        let other: [&(dyn Error + 'static); 3] =
            [&TheirError::Another, &io::Error::other("x"), &reqwest_middleware::Error::middleware(fmt::Error)];
        for error in other {
            assert!(AuthError::find(error).is_none(), "{error:?}");
        }
    }

    #[test]
    fn passed_on_it_says_the_same() {
        let error = error(Kind::TryLater).with_retry_after(Duration::from_secs(1));
        assert_eq!(reqwest_middleware::Error::from(error.clone()).to_string(), error.to_string());
    }
}
