//! Waiting for good tokens, each request by its own timer.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{AuthError, Kind};
use crate::flight::Waiter;
use crate::id::LoginId;
use crate::platform;
use crate::session::core::{Need, Outcome};
use crate::session::credential::Credential;
use crate::session::engine::Engine;
use crate::session::lending::Lending;
use crate::session::{exchange, reentrance};

/// Tokens lent to one request, and the flight it began for them, if it did.
pub(crate) struct Loan {
    pub(crate) credential: Arc<Credential>,
    pub(crate) early: Option<Early>,
}

/// The early flight that a request began.
pub(crate) struct Early(Waiter<Outcome>);

impl Early {
    /// Waits until the flight has saved or failed, at most this long.
    pub(crate) async fn landed(mut self, bound: Duration) {
        let _landed = platform::within(bound, self.0.outcome()).await;
    }
}

/// Good tokens, waiting for a flight if there is need of one; `None` when nobody is logged in.
///
/// Dropping this has no effect on the flight.
pub(crate) async fn lend(
    engine: &Arc<Engine>,
    need: Need,
    begun: Option<LoginId>,
    bound: Duration,
) -> Result<Option<Loan>, AuthError> {
    reentrance::check(engine)?;
    let mut outcome = platform::within(bound, ask(engine, need, begun)).await;
    if outcome.is_err() && need == (Need::Sign { sent_once: true }) {
        // It waited to be spared a rotation, with tokens that may still be good.
        let at_once = ask(engine, Need::Sign { sent_once: false }, begun);
        outcome = platform::within(Duration::ZERO, at_once).await;
    }
    outcome.unwrap_or_else(|platform::Elapsed| Err(timed_out(engine, bound)))
}

async fn ask(engine: &Arc<Engine>, mut need: Need, mut begun: Option<LoginId>) -> Result<Option<Loan>, AuthError> {
    loop {
        let (lending, save) = engine.need(need, begun);
        if let Some(flight) = save {
            exchange::launch(engine, flight);
        }
        let (mut waiter, unread) = match lending {
            Lending::Go(credential) => return Ok(Some(Loan { credential, early: None })),
            Lending::GoEarly(credential, flight, waiter) => {
                exchange::launch(engine, flight);
                return Ok(Some(Loan { credential, early: Some(Early(waiter)) }));
            }
            Lending::Wait { waiter, launch, begun: under, unread } => {
                begun = under;
                if let Some(flight) = launch {
                    exchange::launch(engine, flight);
                }
                (waiter, unread)
            }
            Lending::Nobody => return Ok(None),
            Lending::Fail(error) => return Err(error),
        };
        match waiter.outcome().await {
            // Tokens from the store may have expired, or be due: whoever waited for them asks again, under their login.
            Some(Outcome::Lent(lent)) if unread => begun = Some(lent.version.login),
            Some(Outcome::Lent(lent)) if begun.is_none_or(|begun| begun == lent.version.login) => {
                if let Some(credential) = engine.credential(&lent) {
                    return Ok(Some(Loan { credential, early: None }));
                }
                // A logout was quicker than this one's turn.
                begun = Some(lent.version.login);
            }
            Some(Outcome::Failed(error)) if error.is_logged_out() => return Err(error),
            // Somebody may have waited with tokens that are still good, for want of a body that can be sent again: not twice.
            Some(Outcome::Failed(_)) if need == (Need::Sign { sent_once: true }) => {
                need = Need::Sign { sent_once: false }
            }
            Some(Outcome::Failed(error)) => return Err(error),
            Some(Outcome::Lent(_) | Outcome::Look | Outcome::NotSaved(_)) | None => {}
        }
    }
}

pub(crate) fn timed_out(engine: &Engine, bound: Duration) -> AuthError {
    let what = format!("no new tokens came within {} ms", bound.as_millis());
    AuthError::new(Kind::Timeout, &engine.id, what)
}

/// The outcome of a change by the program: `Ok` when it is stored.
pub(crate) async fn saved(engine: &Arc<Engine>, mut waiter: Waiter<Outcome>) -> Result<(), AuthError> {
    // Reading and writing both have their bounds; the one who waits has the shorter of what they may add up to.
    match platform::within(engine.shared.bounds.save, waiter.outcome()).await {
        Ok(Some(Outcome::Failed(error) | Outcome::NotSaved(error))) => Err(error),
        Ok(Some(Outcome::Look | Outcome::Lent(_)) | None) => Ok(()),
        Err(platform::Elapsed) => Err(not_stored(engine)),
    }
}

/// Waits until an earlier change by the program is stored, if there is one that is not, as [`saved`] would.
pub(crate) async fn caught_up(engine: &Arc<Engine>) -> Result<(), AuthError> {
    if !engine.has_unsaved() {
        return Ok(());
    }
    let stored = platform::within(engine.shared.bounds.save, stored(engine)).await;
    stored.unwrap_or_else(|platform::Elapsed| Err(not_stored(engine)))
}

fn not_stored(engine: &Engine) -> AuthError {
    AuthError::new(Kind::Store, &engine.id, "the change stands, but was not stored within its bound; saving goes on")
}

/// Waits until nothing is under way and nothing is left to save.
pub(crate) async fn stored(engine: &Arc<Engine>) -> Result<(), AuthError> {
    while let Some((mut waiter, launch)) = engine.flush() {
        if let Some(flight) = launch {
            exchange::launch(engine, flight);
        }
        match waiter.outcome().await {
            Some(Outcome::NotSaved(error)) => return Err(error),
            Some(Outcome::Lent(_) | Outcome::Look | Outcome::Failed(_)) | None => {}
        }
    }
    Ok(())
}
