//! The handle of a session: what a program keeps.

use std::sync::Arc;

use secrecy::SecretString;

use crate::error::{AuthError, Kind};
use crate::event::State;
use crate::id::SessionId;
use crate::platform;
use crate::refresh::contract::Revocation;
use crate::session::core::{Need, Outcome};
use crate::session::engine::Engine;
use crate::session::events::Events;
use crate::session::waiting::{self, lend, saved};
use crate::session::{exchange, reentrance};
use crate::tokens::Tokens;

/// One login and its tokens, kept fresh: what a program holds on to.
///
/// Cloning is cheap, and all clones are one session, as are all clients whose
/// [`AuthRefresh`](crate::AuthRefresh) was made from one. Making one needs no runtime and starts nothing; the store is read
/// when somebody first needs tokens.
///
/// Waiting takes a tokio runtime and its timer. Without a runtime, what would have to wait is an error at once; a runtime that
/// was built without `enable_time` panics, as it does on any timer.
///
/// ```
/// use reqwest_auth_refresh::{RefreshError, RefreshRequest, Session, State, Tokens};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let session = Session::new(|_request: RefreshRequest| async {
///     Tokens::new("second").map_err(RefreshError::unavailable)
/// });
/// session.login(Tokens::new("first")?.with_refresh_token("r")).await?;
/// session.refresh().await?;
/// assert!(matches!(session.state(), State::LoggedIn { saved: true, .. }));
///
/// session.logout().await?;
/// assert!(matches!(session.state(), State::LoggedOut { .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Session(Arc<Engine>);

/// What came of a logout beyond this program; see [`Session::logout`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LogoutReport {
    /// Whether the issuer was told. A failure means that it may honour the tokens until they expire.
    pub revocation: Result<Revocation, AuthError>,
}

impl Session {
    pub(crate) fn of(engine: Arc<Engine>) -> Self {
        Self(engine)
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.0
    }

    /// The name of this session.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.0.id
    }

    /// Logs in with tokens that the program got by its own login flow.
    ///
    /// The session is logged in at once: what another login had under way is dropped, and requests begun under it end with
    /// [`is_logged_out`](AuthError::is_logged_out). The tokens are given to requests once they are saved, or saving them
    /// has failed.
    ///
    /// # Errors
    ///
    /// [`is_store`](AuthError::is_store) when the tokens could not be saved: they are used all the same, and saving is tried
    /// again. [`is_logged_out`](AuthError::is_logged_out) when another login or a logout came before they were.
    /// [`is_misconfigured`](AuthError::is_misconfigured) when the store holds a record of another
    /// [registration](crate::SessionBuilder::registration) under this id: then the login is undone, and the session is what it
    /// was before.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the login happens and is saved whether or not this is dropped.
    pub async fn login(&self, tokens: Tokens) -> Result<(), AuthError> {
        let change = self.0.log_in(tokens);
        exchange::launch(&self.0, change.save);
        self.0.deliver();
        saved(&self.0, change.saved).await?;
        if change.version.is_some_and(|version| self.0.is_current(version.login)) {
            return Ok(());
        }
        Err(AuthError::new(Kind::LoggedOut, self.id(), "another login or a logout came before this login was saved"))
    }

    /// Says that somebody logged in whose tokens the program cannot see, as where a session lives in cookies: the answer to
    /// the login brought them. A [login path](crate::CookieRefresh::login_path) says so by itself.
    ///
    /// # Errors
    ///
    /// As [`login`](Self::login).
    ///
    /// # Cancel safety
    ///
    /// As [`login`](Self::login).
    pub async fn logged_in(&self) -> Result<(), AuthError> {
        self.login(Tokens::unseen()).await
    }

    /// Logs out: the tokens are forgotten at once, a tombstone takes their place in the store, and then the issuer is told,
    /// if the refresher knows how.
    ///
    /// `Ok` means that the tokens are gone from here. The report says what the issuer said.
    ///
    /// # Errors
    ///
    /// [`is_store`](AuthError::is_store) when the tombstone could not be written: this program is logged out, but the store
    /// may still hold the tokens; writing is tried again. [`is_misconfigured`](AuthError::is_misconfigured) when the store holds a
    /// record of another [registration](crate::SessionBuilder::registration), which a logout does not end: tokens in memory are
    /// gone all the same.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the logout happens, is written and told to the issuer whether or not this is dropped.
    pub async fn logout(&self) -> Result<LogoutReport, AuthError> {
        let changes = self.0.changes();
        if let Some((mut known, launch)) = self.0.catch_up() {
            // Who is to be logged out, and what is to be revoked, is in the store. If it cannot be read, the logout stands
            // without.
            if let Some(flight) = launch {
                exchange::launch(&self.0, flight);
            }
            let (tell, told) = tokio::sync::oneshot::channel();
            let session = self.clone();
            let working = self.0.working();
            let spawned = platform::spawn(async move {
                let _working = working;
                let _known = platform::within(session.0.shared.bounds.load, known.outcome()).await;
                drop(tell.send(session.log_out(changes).await));
            });
            if spawned.is_ok()
                && let Ok(report) = told.await
            {
                return report;
            }
        }
        self.log_out(changes).await
    }

    async fn log_out(&self, changes: u32) -> Result<LogoutReport, AuthError> {
        let Some(change) = self.0.log_out(changes) else {
            // A logout that could not be written is not done, however often it is called.
            waiting::caught_up(&self.0).await?;
            return Ok(LogoutReport { revocation: Ok(Revocation::NotConfigured) });
        };
        exchange::launch(&self.0, change.save);
        self.0.deliver();
        let told = self.revoke(change.ended);
        saved(&self.0, change.saved).await?;
        Ok(LogoutReport { revocation: told.await })
    }

    /// Removes this session's record from the store, whatever it is, and forgets what the session holds, cookies included. The
    /// next request reads the store anew, as in a new run of the program. For a record that cannot be used: one of another
    /// [registration](crate::RefresherInfo::with_registration) that is no longer wanted, or a sealed one whose key is gone.
    ///
    /// What is in memory is forgotten at once, also when this fails later; then the next request finds the record again.
    ///
    /// This is not a [`logout`](Self::logout): no tombstone is left, the issuer is told nothing, and another program that has
    /// these tokens in memory goes on with them and stores them again.
    ///
    /// # Errors
    ///
    /// [`is_store`](AuthError::is_store) when the record may still be there: the store cannot be reached, or another refresh of the
    /// session took longer than the [lock is waited for](crate::SessionBuilder::lock_timeout).
    /// [`is_logged_out`](AuthError::is_logged_out) when a login or a logout came before it was removed.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the session forgets and the record is removed whether or not this is dropped.
    pub async fn forget_stored(&self) -> Result<(), AuthError> {
        reentrance::check(&self.0)?;
        let mut change = self.0.forget_stored();
        exchange::launch(&self.0, change.save);
        self.0.deliver();
        let bound = self.0.shared.bounds.wait;
        match platform::within(bound, change.saved.outcome()).await {
            Ok(Some(Outcome::NotSaved(error) | Outcome::Failed(error))) => Err(error),
            Ok(Some(Outcome::Look | Outcome::Lent(_)) | None) if self.0.changes() == change.number => Ok(()),
            Ok(_) => {
                let what = "a login or a logout came before the record was removed";
                Err(AuthError::new(Kind::LoggedOut, self.id(), what))
            }
            Err(platform::Elapsed) => Err(waiting::timed_out(&self.0, bound)),
        }
    }

    /// Tells the issuer in a task of its own.
    fn revoke(&self, tokens: Option<Arc<Tokens>>) -> impl Future<Output = Result<Revocation, AuthError>> + use<> {
        let (tell, told) = tokio::sync::oneshot::channel();
        let engine = Arc::clone(&self.0);
        let id = self.id().clone();
        let working = engine.working();
        let spawned = platform::spawn(async move {
            let _working = working;
            let revocation = match tokens {
                Some(tokens) => exchange::revoke(&engine, tokens).await,
                None => Ok(Revocation::NotConfigured),
            };
            drop(tell.send(revocation));
        });
        async move {
            let untold = |what: &'static str| AuthError::new(Kind::TryLater, &id, what);
            spawned.map_err(|platform::NoRuntime| untold("there is no runtime to tell the issuer on"))?;
            let revocation = told.await.map_err(|_dropped| untold("the runtime ended before the issuer was told"))?;
            revocation.map_err(|error| {
                let untold = untold("the issuer could not be told of the logout");
                match error.pause() {
                    Some(pause) => untold.with_retry_after(pause),
                    None => untold,
                }
                .because(error)
            })
        }
    }

    /// Where the session stands, at a look: nothing is read and nothing refreshed for it.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.state()
    }

    /// Everything that happens to the session from now on, beginning with the state now.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(&self.0)
    }

    /// A good access token, for use outside HTTP requests: a WebSocket, gRPC, a subprocess. Refreshed first if it has
    /// expired or soon will; one that is still good is given out all the same when that fails.
    ///
    /// When the far side turns out not to take it, say so with [`invalidate`](Self::invalidate) and ask again.
    ///
    /// # Errors
    ///
    /// [`needs_login`](AuthError::needs_login) when nobody is logged in, and whatever a request would get.
    ///
    /// # Cancel safety
    ///
    /// Safe: a refresh goes on without whoever waits for it.
    pub async fn access_token(&self) -> Result<SecretString, AuthError> {
        // What is done with the token is no more ours to repeat than a request that is sent once.
        let loan = lend(&self.0, Need::Sign { sent_once: true }, None, self.0.shared.bounds.wait).await?;
        let loan = loan.ok_or_else(|| self.0.nobody())?;
        loan.credential.tokens.access_token().cloned().ok_or_else(|| {
            AuthError::new(Kind::Misconfigured, self.id(), "this session's access token cannot be seen by the program")
        })
    }

    /// Gets new tokens now, whatever the ones at hand are worth. Joins a refresh that is under way.
    ///
    /// # Errors
    ///
    /// As [`access_token`](Self::access_token); and [`is_transient`](AuthError::is_transient) when it was done five times
    /// in the last minute for tokens just issued.
    ///
    /// # Cancel safety
    ///
    /// Safe: the refresh goes on.
    pub async fn refresh(&self) -> Result<(), AuthError> {
        let loan = lend(&self.0, Need::Forced, None, self.0.shared.bounds.wait).await?;
        loan.map(drop).ok_or_else(|| self.0.nobody())
    }

    /// Says that this access token is no longer good: whoever needs it next gets a new one first. False when it is not the
    /// current one, and then nothing happens. Compares in constant time.
    #[allow(clippy::must_use_candidate, reason = "most callers do not care whether it was the current one")]
    pub fn invalidate(&self, access_token: &SecretString) -> bool {
        self.0.doubt(access_token)
    }

    /// Waits until a refresh under way has landed and everything is stored; for the end of a program.
    ///
    /// # Errors
    ///
    /// [`is_store`](AuthError::is_store) when the newest tokens cannot be stored: they exist in memory only.
    /// [`is_reentrant`](AuthError::is_reentrant) from within the refresh that it would wait for, and
    /// [`is_timeout`](AuthError::is_timeout) when that does not land within the bound of a wait.
    ///
    /// # Cancel safety
    ///
    /// Safe: what is under way goes on.
    pub async fn flush(&self) -> Result<(), AuthError> {
        reentrance::check(&self.0)?;
        let landed = platform::within(self.0.shared.bounds.wait, waiting::stored(&self.0)).await;
        landed.unwrap_or_else(|platform::Elapsed| Err(waiting::timed_out(&self.0, self.0.shared.bounds.wait)))
    }

    /// Ends this session's work in this program: waits until what is under way has landed, everything is stored and no task is
    /// left, and lets nothing begin after that. Good tokens are still given out; whoever would need new ones gets an error that
    /// [`is_misconfigured`](AuthError::is_misconfigured). A login or a logout is still possible, and is saved once.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush). What could not be stored is then not tried again.
    ///
    /// # Cancel safety
    ///
    /// Once polled, nothing new is begun. What is under way goes on when this is dropped.
    pub async fn shutdown(&self) -> Result<(), AuthError> {
        reentrance::check(&self.0)?;
        self.0.close();
        let stored = self.flush().await;
        let quiet = platform::within(self.0.shared.bounds.wait, self.0.quiet()).await;
        stored.and(quiet.map_err(|platform::Elapsed| waiting::timed_out(&self.0, self.0.shared.bounds.wait)))
    }
}
