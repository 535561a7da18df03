//! Failures: what the waiters get, and how long the session rests.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Now;
use crate::error::{AuthError, Kind};
use crate::event::{Ending, Event, NeedsLogin};
use crate::policy::rest;
use crate::refresh::error::{RefreshError, Verdict};
use crate::session::core::chance::Chance;
use crate::session::core::flight::{Flight, Outcome, Step};
use crate::session::core::memory::{Ended, Rest};
use crate::session::core::mutants::mutant;
use crate::session::core::state::Core;
use crate::store::error::StoreError;

impl Core {
    /// No new tokens came, and the session keeps those it has.
    pub(super) fn refresh_failed(
        &mut self,
        now: Now,
        chance: Chance,
        flight: &mut Flight,
        error: RefreshError,
    ) -> Step {
        let of_all = matches!(error.verdict(), Verdict::Unavailable { every_session: true, .. });
        self.failures = self.failures.saturating_add(u32::from(!of_all));
        let own = rest::pause(self.failures, chance.jitter, None);
        let (kind, pause, for_everyone) = match error.verdict() {
            // All sessions rest together, and this one no longer than they.
            Verdict::Unavailable { retry_after: Some(common), every_session: true, .. } => {
                (Kind::TryLater, (*common).min(rest::LONGEST_ASKED), true)
            }
            Verdict::Unavailable { retry_after, every_session, .. } => {
                (Kind::TryLater, rest::pause(self.failures, chance.jitter, *retry_after), *every_session)
            }
            Verdict::Misconfigured { .. } => (Kind::Misconfigured, rest::LONGEST, false),
            // A grant that never yielded tokens: there is nothing to end.
            Verdict::Rejected { .. } => (Kind::NeedsLogin, own.max(rest::LONGEST), false),
        };
        let mut failed = AuthError::new(kind, &self.id, error.to_string());
        if let Some(code) = error.code() {
            failed = failed.with_code(code);
        }
        let failed = failed.because(error).with_retry_after(pause);
        let tell = Event::RefreshFailed(failed.clone());
        self.rest_for(now, pause, &failed);
        let mut step = self.arrive(flight, Outcome::Failed(failed)).telling(vec![tell]);
        step.for_everyone = for_everyone;
        step
    }

    /// The store cannot be asked, and without it nothing can be decided.
    pub(super) fn store_failed(&mut self, now: Now, chance: Chance, flight: &mut Flight, error: &StoreError) -> Step {
        self.failures = self.failures.saturating_add(1);
        let failed = self.resting_for(now, chance, self.store_error(error));
        let tell = Event::StoreFailed(failed.clone());
        let mut step = self.arrive(flight, Outcome::Failed(failed)).telling(vec![tell]);
        step.for_everyone = mutant!(RestEverybodyOnStoreFailure);
        step
    }

    /// Rests for what failed, for as long as the failures so far ask for.
    pub(super) fn resting_for(&mut self, now: Now, chance: Chance, error: AuthError) -> AuthError {
        let pause = rest::pause(self.failures, chance.jitter, None);
        let error = error.with_retry_after(pause);
        self.rest_for(now, pause, &error);
        error
    }

    fn rest_for(&mut self, now: Now, pause: Duration, error: &AuthError) {
        self.rest = Some(Box::new(Rest { until: now.monotonic.saturating_add(pause), error: error.clone() }));
    }

    /// The error that led to this pause, with what is left of it.
    pub(super) fn resting(&self, now: Now) -> Option<AuthError> {
        self.rests(now).map(|rest| rest.error.clone().with_retry_after(rest.until.saturating_sub(now.monotonic)))
    }

    pub(super) fn excessive(&self, closed_for: Duration) -> AuthError {
        let what = "new tokens were asked for too often while the ones at hand were young";
        AuthError::new(Kind::TryLater, &self.id, what).with_retry_after(closed_for)
    }

    pub(super) fn ended(&self, ended: &Ended) -> AuthError {
        match &ended.ending {
            Ending::LoggedOut => self.logged_out(),
            Ending::NeedsLogin(reason) => {
                let error = AuthError::new(Kind::NeedsLogin, &self.id, format!("somebody has to log in: {reason}"));
                match reason {
                    NeedsLogin::Rejected(code) => error.with_code(Arc::clone(code)),
                    NeedsLogin::RecordUnreadable => error,
                }
            }
        }
    }

    pub(super) fn logged_out(&self) -> AuthError {
        AuthError::new(Kind::LoggedOut, &self.id, "the login that this began under has ended")
    }
}
