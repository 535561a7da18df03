//! One request's trip through the middleware.

use std::sync::Arc;
use std::time::Duration;

use http::Extensions;
use reqwest::{Request, Response, Url};
use reqwest_middleware::{Middleware, Next, Result};

use crate::event::Event;
use crate::id::Version;
use crate::middleware::keep::Kept;
use crate::middleware::marks::{Flag, NotRetryable, Retried};
use crate::middleware::options::RequestOptions;
use crate::middleware::pick::Pick;
use crate::middleware::serving::Acting;
use crate::middleware::signer::Signer;
use crate::middleware::write::callback_failed;
use crate::platform::{self, BoxFuture, Panicked};
use crate::policy::unauthorized::is_unauthorized;
use crate::session::{Credential, Engine, Loan, Need, lend};

/// So much of a first response's body is read so that its connection can be used again.
const DRAIN: (usize, Duration) = (64 * 1024, Duration::from_millis(100));

impl Signer {
    /// Not the hot path: there is something to wait for, or something special about the request.
    async fn wait_and_send(
        &self,
        mut request: Request,
        kept: Kept,
        Picked { acting, named, refresh_first }: Picked<'_>,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let need = if refresh_first && RequestOptions::take_refresh_first(extensions) {
            Need::Forced
        } else {
            Need::Sign { sent_once: kept.is_sent_once() }
        };
        let bound = bound(&acting, request.timeout());
        let early_wait = self.holding_back(request.timeout());
        let Some(loan) = lend(&acting, need, None, bound).await? else {
            if named || self.require_login || need == Need::Forced {
                return Err(acting.nobody().into());
            }
            left_alone("nobody is logged in", request.url());
            return next.run(request, extensions).await;
        };
        let Loan { credential, early, .. } = loan;
        self.write(&acting, &mut request, &credential)?;
        let result = self.run(acting, request, kept, credential, extensions, next).await;
        if let Some(early) = early {
            early.landed(early_wait).await;
        }
        result
    }

    // An `async fn` would keep in its future what it is given a second time, and be nearly twice as large.
    #[expect(clippy::manual_async_fn, reason = "the block keeps what it is given once")]
    fn run(
        &self,
        acting: Acting<'_>,
        request: Request,
        kept: Kept,
        credential: Arc<Credential>,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> impl Future<Output = Result<Response>> {
        async move {
            let timeout = request.timeout().copied();
            let mut response = next.clone().run(request, extensions).await?;
            let unauthorized = match &self.special {
                None => is_unauthorized(kept.url(), response.status(), response.url(), response.headers()),
                Some(special) => {
                    let (verdict, judged) = Box::pin(special.judge.judge(kept.url(), response)).await;
                    response = judged;
                    verdict.map_err(|panicked| callback_failed(&acting, panicked, "judging a response"))?
                }
            };
            if !unauthorized {
                return Ok(response);
            }
            Box::pin(self.refresh_and_run(acting, response, (kept, credential), timeout, extensions, next)).await
        }
    }

    async fn refresh_and_run(
        &self,
        acting: Acting<'_>,
        response: Response,
        (kept, refused): (Kept, Arc<Credential>),
        timeout: Option<Duration>,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let status = response.status();
        let Version { login, .. } = refused.version;
        let bound = bound(&acting, timeout.as_ref());
        let newer = lend(&acting, Need::Newer(refused.version), Some(login), bound).await;
        let Some(Loan { credential, early, .. }) = newer.map_err(|error| error.with_status(status))? else {
            return Ok(response);
        };
        let result = self.run_again(&acting, response, kept, (&refused, &credential), extensions, next).await;
        if let Some(early) = early {
            early.landed(self.holding_back(timeout.as_ref())).await;
        }
        result
    }

    async fn run_again(
        &self,
        engine: &Arc<Engine>,
        mut response: Response,
        kept: Kept,
        (refused, credential): (&Credential, &Credential),
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        if credential.tokens.has_access_token_of(&refused.tokens) {
            platform::mark(&mut response, NotRetryable::SameToken);
            return Ok(response);
        }
        let mut request = match kept.again() {
            Ok(Ok(request)) => request,
            Ok(Err(why)) => {
                platform::mark(&mut response, why);
                return Ok(response);
            }
            Err(Panicked) => {
                engine.tell(Event::CallbackFailed);
                platform::mark(&mut response, NotRetryable::Body);
                return Ok(response);
            }
        };
        let status = response.status();
        platform::drain(response, DRAIN.0, DRAIN.1).await;
        let login = credential.version.login;
        if !engine.is_current(login) {
            // A logout came meanwhile, or another login: this says which.
            let ended = lend(engine, Need::Newer(refused.version), Some(login), Duration::ZERO).await;
            drop(ended.map_err(|error| error.with_status(status))?);
        }
        self.write(engine, &mut request, credential)?;
        let mut flag = Flag::raise(extensions);
        let mut response = next.run(request, flag.extensions()).await?;
        platform::mark(&mut response, Retried);
        Ok(response)
    }

    /// How long this request's response may be held back.
    fn holding_back(&self, timeout: Option<&Duration>) -> Duration {
        self.early_wait.min(timeout.map_or(Duration::MAX, |timeout| *timeout / 4))
    }

    /// The seven steps, as far as they need not wait; the rest is in the future.
    #[inline]
    pub(crate) fn route<'trip>(
        &'trip self,
        mut request: Request,
        extensions: &'trip mut Extensions,
        next: Next<'trip>,
    ) -> BoxFuture<'trip, Result<Response>> {
        let (acting, now, named, refresh_first) = match self.pick(&request, extensions) {
            Pick::Sign { acting, now, named, refresh_first } => (acting, now, named, refresh_first),
            Pick::Leave(why) => {
                left_alone(why, request.url());
                return Box::pin(async move { next.run(request, extensions).await });
            }
            Pick::Fail(error) => return Box::pin(async move { Err(error.into()) }),
        };
        let kept = Kept::of(&request, extensions.get());
        match acting.free(now) {
            Some(credential) if !refresh_first => {
                if let Err(error) = self.write(&acting, &mut request, &credential) {
                    return Box::pin(async move { Err(error.into()) });
                }
                Box::pin(self.run(acting, request, kept, credential, extensions, next))
            }
            _ => {
                let picked = Picked { acting, named, refresh_first };
                Box::pin(self.wait_and_send(request, kept, picked, extensions, next))
            }
        }
    }
}

/// A request that is to be signed, and has to wait or is special.
struct Picked<'a> {
    acting: Acting<'a>,
    named: bool,
    refresh_first: bool,
}

/// How long this request may wait for tokens.
fn bound(engine: &Engine, timeout: Option<&Duration>) -> Duration {
    timeout.copied().unwrap_or(engine.shared.bounds.wait)
}

/// Without path and query, which may hold a secret.
pub(crate) fn left_alone(why: &'static str, url: &Url) {
    tracing::debug!(why, origin = url.origin().ascii_serialization(), "request left alone");
}

impl Middleware for Signer {
    // What `async_trait` would make of it, but with everything that need not wait before the one box: on the hot path the
    // future holds the trip and nothing else.
    fn handle<'a, 'b, 'c, 'trip>(
        &'a self,
        request: Request,
        extensions: &'b mut Extensions,
        next: Next<'c>,
    ) -> BoxFuture<'trip, Result<Response>>
    where
        'a: 'trip,
        'b: 'trip,
        'c: 'trip,
        Self: 'trip,
    {
        match self.cookies() {
            None => self.route(request, extensions, next),
            Some(cookies) => Box::pin(self.with_cookies(cookies, request, extensions, next)),
        }
    }
}
