//! Which errors of this crate are worth another try, for `reqwest-retry`.

use std::error::Error;
use std::fmt;

use reqwest::Response;
use reqwest_retry::{DefaultRetryableStrategy, Retryable, RetryableStrategy};

use crate::error::AuthError;
use crate::store::error::StoreError;

/// Tells `reqwest-retry` which errors of [`AuthRefresh`](crate::AuthRefresh) may pass. The strategy that `reqwest-retry` has
/// by default calls every error of a middleware fatal, an outage of the issuer too.
///
/// - An [`AuthError`] that [is transient](AuthError::is_transient), or that says that the token store is
///   [unavailable](StoreError::is_unavailable), may pass.
/// - Any other [`AuthError`] is final: somebody has to log in, has logged out, or has to change the program.
/// - Everything else, responses included, is judged by the strategy inside: the default one unless another is
///   [given](Self::over).
///
/// Trying again after an error of ours is safe for every method: the request was not sent, or it was answered as unauthorized
/// and its tokens could not be refreshed.
///
/// # Order
///
/// Put the retry layer outside and `AuthRefresh` inside, as below. Then each try is a whole trip: it is signed with the tokens
/// of that moment, and it may itself be sent twice, so that three tries send a request six times at most. The other way
/// round, the retry layer never meets an error of ours, and each of our two sendings is tried three times.
///
/// After a failure a session rests, and says the same error at once to whoever asks during that time: 1 second at most after
/// the first failure, then 2, 4 and so on up to 60, or as long as the issuer [asks for](AuthError::retry_after). Tries that
/// come sooner are wasted, so let the first pause be 1 second or longer, and let it double. `reqwest-retry` does not look at
/// what an error says of its pause.
///
/// `reqwest-retry` refuses requests whose bodies stream, with an error and before they are sent; here
/// [`resend_with`](crate::RequestBuilderExt::resend_with) does not help. Send those by a client without it.
///
/// # Examples
///
/// The issuer is down, and up again at the second try:
///
/// ```
/// use std::time::Duration;
///
/// use reqwest_auth_refresh::{AuthRefresh, AuthRetryStrategy};
/// use reqwest_middleware::ClientBuilder;
/// use reqwest_retry::{Jitter, RetryTransientMiddleware, policies::ExponentialBackoff};
///
/// # use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
/// # use reqwest_auth_refresh::{Origins, RefreshError, RefreshRequest, Session, Tokens};
/// # use wiremock::{Mock, MockServer, ResponseTemplate, matchers::header};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let api = MockServer::start().await;
/// # let answer = |token: &str, status| {
/// #     Mock::given(header("authorization", format!("Bearer {token}"))).respond_with(ResponseTemplate::new(status)).expect(1)
/// # };
/// # answer("old", 401).mount(&api).await;
/// # answer("new", 200).mount(&api).await;
/// # let url = api.uri();
/// # static CALLS: AtomicUsize = AtomicUsize::new(0);
/// # let session = Session::new(|_request: RefreshRequest| async {
/// #     match CALLS.fetch_add(1, SeqCst) {
/// #         0 => Err(RefreshError::unavailable("the issuer is down")),
/// #         _ => Tokens::new("new").map_err(RefreshError::unavailable),
/// #     }
/// # });
/// # session.login(Tokens::new("old")?).await?;
/// # let origins = Origins::new(&url)?;
/// let backoff = ExponentialBackoff::builder()
///     .retry_bounds(Duration::from_secs(1), Duration::from_secs(60))
///     .jitter(Jitter::None)
///     .build_with_max_retries(2);
/// let retry = RetryTransientMiddleware::new_with_policy_and_strategy(backoff, AuthRetryStrategy::default());
/// let auth = AuthRefresh::new(&session, origins);
/// let client = ClientBuilder::new(reqwest::Client::new()).with(retry).with(auth).build();
///
/// assert_eq!(client.get(&url).send().await?.status(), 200);
/// # assert_eq!(CALLS.load(SeqCst), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct AuthRetryStrategy<S = DefaultRetryableStrategy> {
    inside: S,
}

impl<S: RetryableStrategy> AuthRetryStrategy<S> {
    /// Judges everything but the errors of this crate by this strategy.
    ///
    /// ```
    /// use reqwest_auth_refresh::AuthRetryStrategy;
    /// use reqwest_middleware::{Error, Result};
    /// use reqwest_retry::{Retryable, RetryableStrategy, default_on_request_failure};
    ///
    /// /// Sends again what was not answered, and leaves answers as they are.
    /// struct Unanswered;
    /// impl RetryableStrategy for Unanswered {
    ///     fn handle(&self, result: &Result<reqwest::Response>) -> Option<Retryable> {
    ///         default_on_request_failure(result.as_ref().err()?)
    ///     }
    /// }
    ///
    /// let strategy = AuthRetryStrategy::over(Unanswered);
    /// # let failed = Err(Error::middleware(std::fmt::Error));
    /// # assert!(matches!(strategy.handle(&failed), Some(Retryable::Fatal)));
    /// # let answered = Ok(http::Response::builder().status(503).body("").unwrap().into());
    /// # assert!(strategy.handle(&answered).is_none());
    /// ```
    #[must_use]
    pub fn over(inside: S) -> Self {
        Self { inside }
    }
}

impl Default for AuthRetryStrategy {
    /// Judges everything else as `reqwest-retry` does by default: network errors, 408, 429 and 5xx may pass.
    fn default() -> Self {
        Self::over(DefaultRetryableStrategy)
    }
}

impl<S: RetryableStrategy> RetryableStrategy for AuthRetryStrategy<S> {
    fn handle(&self, result: &reqwest_middleware::Result<Response>) -> Option<Retryable> {
        match result.as_ref().err().and_then(|error| AuthError::find(error)) {
            Some(ours) if may_pass(ours) => Some(Retryable::Transient),
            Some(_final) => Some(Retryable::Fatal),
            None => self.inside.handle(result),
        }
    }
}

fn may_pass(error: &AuthError) -> bool {
    // A store that is locked or cannot be reached may be there in a moment, and asking it again spends no refresh token. What
    // cannot be read, or is newer than this program, stays so.
    let store = error.source().and_then(|source| source.downcast_ref::<StoreError>());
    error.is_transient() || (error.is_store() && store.is_some_and(StoreError::is_unavailable))
}

// Strategies have no `Debug` in general, the default one neither.
impl<S> fmt::Debug for AuthRetryStrategy<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthRetryStrategy").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use reqwest_middleware::Error as Failure;
    use reqwest_retry::RetryError;

    use super::*;
    use crate::error::Kind;
    use crate::id::SessionId;

    /// What is done with this result: tried again, given up, or neither.
    fn verdict(strategy: &impl RetryableStrategy, result: &reqwest_middleware::Result<Response>) -> &'static str {
        match strategy.handle(result) {
            Some(Retryable::Transient) => "again",
            Some(Retryable::Fatal) => "final",
            None => "done",
        }
    }

    fn error(kind: Kind) -> AuthError {
        AuthError::new(kind, &SessionId::default(), "it was so")
    }

    fn answer(status: u16) -> Response {
        http::Response::builder().status(status).body("").unwrap().into()
    }

    #[test]
    fn errors_of_ours_are_told_apart() {
        let store = |why| error(Kind::Store).because(why);
        let table = [
            (error(Kind::TryLater), "again"),
            (error(Kind::Timeout), "again"),
            (error(Kind::TryLater).with_status(StatusCode::UNAUTHORIZED), "again"),
            (store(StoreError::unavailable("locked")), "again"),
            (store(StoreError::unreadable("cut short")), "final"),
            (store(StoreError::newer()), "final"),
            (error(Kind::Store), "final"),
            (error(Kind::NeedsLogin), "final"),
            // What led to it is not asked.
            (error(Kind::NeedsLogin).because(StoreError::unavailable("locked")), "final"),
            (error(Kind::LoggedOut), "final"),
            (error(Kind::Misconfigured), "final"),
            (error(Kind::Reentrant), "final"),
        ];
        for (error, expected) in table {
            let handed_on = || Failure::from(error.clone());
            assert_eq!(verdict(&AuthRetryStrategy::default(), &Err(handed_on())), expected, "{error:?}");
            let below_another_layer = Failure::middleware(RetryError::WithRetries { retries: 2, err: handed_on() });
            assert_eq!(verdict(&AuthRetryStrategy::default(), &Err(below_another_layer)), expected, "{error:?}");
            assert_eq!(verdict(&DefaultRetryableStrategy, &Err(handed_on())), "final", "by default all of them are");
        }
    }

    #[test]
    fn everything_else_is_left_to_the_strategy_inside() {
        struct Always;
        impl RetryableStrategy for Always {
            fn handle(&self, _: &reqwest_middleware::Result<Response>) -> Option<Retryable> {
                Some(Retryable::Transient)
            }
        }
        let results = || {
            [200, 302, 401, 408, 429, 503].map(answer).map(Ok).into_iter().chain([Err(Failure::middleware(fmt::Error))])
        };
        for result in results() {
            let by_default = verdict(&DefaultRetryableStrategy, &result);
            assert_eq!(verdict(&AuthRetryStrategy::default(), &result), by_default);
            assert_eq!(verdict(&AuthRetryStrategy::over(Always), &result), "again");
        }
        assert_eq!(verdict(&AuthRetryStrategy::over(Always), &Err(error(Kind::NeedsLogin).into())), "final");
    }
}
