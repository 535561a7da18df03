//! `reqwest-retry` outside and inside, with our strategy and without.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{Extensions, StatusCode};
use reqwest::{Body, Request, Response};
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, AuthRetryStrategy, MemoryStore, NotRetryable, Origins, Record, RefreshError,
    RequestBuilderExt, Retried, Session, SessionId, StoreError, Swap, TokenStore, Version, async_trait,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use reqwest_retry::policies::ExponentialBackoff;
use reqwest_retry::{
    DefaultRetryableStrategy, Jitter, RetryError, RetryTransientMiddleware, Retryable, RetryableStrategy,
};
use tokio::time::{Instant, sleep};

use crate::virtual_issuer::Issuer;
use crate::virtual_world::{API, Canned, VirtualClock};

const LATENCY: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);

/// Three tries, with a pause of `first` and one of twice that between them.
fn thrice(first: Duration, strategy: impl RetryableStrategy + Send + Sync + 'static) -> impl Middleware {
    let bounds = ExponentialBackoff::builder().retry_bounds(first, 60 * SECOND).jitter(Jitter::None);
    RetryTransientMiddleware::new_with_policy_and_strategy(bounds.build_with_max_retries(2), strategy)
}

/// What passes here on its way in: whether it is flagged as a second sending, and whether it is signed.
#[derive(Clone, Default)]
struct Lookout(Arc<Mutex<Vec<(bool, bool)>>>);

impl Lookout {
    fn passed(&self) -> Vec<(bool, bool)> {
        self.0.lock().unwrap().clone()
    }

    fn count(&self) -> usize {
        self.passed().len()
    }
}

#[async_trait]
impl Middleware for Lookout {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let flagged = extensions.get::<Retried>().is_some();
        self.0.lock().unwrap().push((flagged, request.headers().contains_key(AUTHORIZATION)));
        next.run(request, extensions).await
    }
}

/// Somebody is logged in, with tokens that the API takes no longer.
struct World {
    issuer: Issuer,
    session: Session,
    tries: Lookout,
    sendings: Lookout,
}

impl World {
    async fn new() -> Self {
        let issuer = Issuer::new();
        let session = Session::builder(issuer.refresher()).clock(VirtualClock::start()).build();
        session.login(issuer.tokens()).await.unwrap();
        issuer.end_access_tokens();
        Self { issuer, session, tries: Lookout::default(), sendings: Lookout::default() }
    }

    /// A client with this retry layer outside, and the issuer's API.
    fn under(&self, retry: impl Middleware) -> ClientWithMiddleware {
        self.under_to(retry, Canned::new(self.issuer.api(LATENCY)).0)
    }

    fn under_to(&self, retry: impl Middleware, api: impl Middleware) -> ClientWithMiddleware {
        let outer = ClientBuilder::new(reqwest::Client::new()).with(retry).with(self.tries.clone());
        outer.with(self.auth()).with(self.sendings.clone()).with(api).build()
    }

    fn auth(&self) -> AuthRefresh {
        AuthRefresh::new(&self.session, Origins::new(API).unwrap())
    }

    /// How many tries there were, sendings, and calls of the issuer.
    fn counts(&self) -> (usize, usize, usize) {
        (self.tries.count(), self.sendings.count(), self.issuer.calls())
    }
}

/// An API that answers so, in this order, and with 200 afterwards.
fn scripted(script: &'static [u16]) -> impl Middleware {
    let nth = AtomicUsize::new(0);
    let status = move |_| {
        let status = script.get(nth.fetch_add(1, Ordering::Relaxed)).copied().unwrap_or(200);
        std::future::ready(StatusCode::from_u16(status).unwrap())
    };
    Canned::new(status).0
}

fn ours(error: &reqwest_middleware::Error) -> &AuthError {
    AuthError::find(error).unwrap_or_else(|| panic!("not ours: {error:?}"))
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_is_over_by_the_third_try_ends_in_200() {
    let world = World::new().await;
    world.issuer.fail(RefreshError::unavailable("down"));
    let issuer = world.issuer.clone();
    // The first try fails after 120 ms, the second after 2.2 s; the third begins after 6.2 s.
    drop(tokio::spawn(async move {
        sleep(3 * SECOND).await;
        issuer.recover();
    }));
    let begun = Instant::now();
    let client = world.under(thrice(2 * SECOND, AuthRetryStrategy::default()));
    let response = client.get(API).send().await.unwrap();

    println!("figure: retried_outage_tries = {} tries", world.tries.count());
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(world.counts(), (3, 2, 3), "refused once; not sent while there were no tokens for it; sent once more");
    let took = begun.elapsed();
    assert!(took > 6 * SECOND && took < 7 * SECOND, "{took:?}");
    assert!(response.extensions().get::<Retried>().is_none(), "the third try was good at its first sending");
}

#[tokio::test(start_paused = true)]
async fn control_the_default_strategy_gives_up_on_an_outage() {
    let world = World::new().await;
    world.issuer.fail(RefreshError::unavailable("down"));
    let client = world.under(thrice(2 * SECOND, DefaultRetryableStrategy));
    let error = client.get(API).send().await.unwrap_err();
    assert!(ours(&error).is_transient(), "{error:?}");
    assert_eq!(world.counts(), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn tries_that_come_while_the_session_rests_meet_the_same_error_and_cost_nothing() {
    let world = World::new().await;
    world.issuer.fail(RefreshError::unavailable("down"));
    let client = world.under(thrice(Duration::from_millis(50), AuthRetryStrategy::default()));
    let error = client.get(API).send().await.unwrap_err();
    assert!(ours(&error).is_transient() && ours(&error).retry_after().is_some(), "{error:?}");
    assert_eq!(world.counts(), (3, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_dead_session_is_tried_once() {
    /// Tries everything again.
    struct Stubborn;
    impl RetryableStrategy for Stubborn {
        fn handle(&self, _: &reqwest_middleware::Result<Response>) -> Option<Retryable> {
            Some(Retryable::Transient)
        }
    }

    let world = World::new().await;
    world.issuer.fail(RefreshError::rejected("invalid_grant"));
    let client = world.under(thrice(SECOND, AuthRetryStrategy::over(Stubborn)));
    let error = client.get(API).send().await.unwrap_err();
    assert!(ours(&error).needs_login(), "{error:?}");
    assert_eq!(world.counts(), (1, 1, 1));
    let error = client.get(API).send().await.unwrap_err();
    assert!(ours(&error).needs_login(), "{error:?}");
    assert_eq!(world.counts(), (2, 1, 1), "and never sent again");

    // The control: without our strategy it is tried in vain. Still nothing is sent.
    let error = world.under(thrice(SECOND, Stubborn)).get(API).send().await.unwrap_err();
    assert_eq!(world.counts(), (5, 1, 1));
    let reqwest_middleware::Error::Middleware(error) = error else { panic!("{error:?}") };
    assert!(matches!(error.downcast_ref(), Some(RetryError::WithRetries { retries: 2, .. })), "{error:?}");
    assert!(AuthError::find(error.as_ref()).is_some_and(AuthError::needs_login), "found below their error");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_locked_for_a_while_may_pass() {
    /// Cannot be reached so many times; then it is as it was.
    #[derive(Clone)]
    struct Locked(MemoryStore, Arc<AtomicUsize>);
    #[async_trait]
    impl TokenStore for Locked {
        async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
            let locked = self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            if locked.is_ok() { Err(StoreError::unavailable("locked")) } else { self.0.load(id).await }
        }
        async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
            self.0.swap(id, expected, new).await
        }
        async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
            self.0.remove(id).await
        }
    }

    for (locked, ends_well) in [(2, true), (3, false)] {
        let store = MemoryStore::default();
        let World { issuer, tries, sendings, .. } = World::new().await;
        let builder = || Session::builder(issuer.refresher()).clock(VirtualClock::start());
        builder().store(store.clone()).build().login(issuer.tokens()).await.unwrap();
        let session = builder().store(Locked(store, Arc::new(AtomicUsize::new(locked)))).build();
        let world = World { issuer, session, tries, sendings };
        let outcome = world.under(thrice(SECOND, AuthRetryStrategy::default())).get(API).send().await;
        match outcome {
            Ok(response) => assert!(ends_well && response.status().is_success()),
            Err(error) => assert!(!ends_well && ours(&error).is_store(), "{error:?}"),
        }
        assert_eq!(world.counts(), (3, usize::from(ends_well), 0), "read by each try, sent when it could be");
    }
}

#[tokio::test(start_paused = true)]
async fn three_tries_outside_send_six_times_at_most_and_each_begins_clean() {
    let world = World::new().await;
    let api = scripted(&[401, 503, 401, 503, 401]);
    let client = world.under_to(thrice(SECOND, AuthRetryStrategy::default()), api);
    let mut extensions = Extensions::new();
    extensions.insert("the caller's own");
    let request = Request::new(http::Method::GET, API.parse().unwrap());
    let response = client.execute_with_extensions(request, &mut extensions).await.unwrap();

    println!("figure: sendings_of_three_tries_outside = {} sendings", world.sendings.count());
    assert_eq!((response.status(), world.counts()), (StatusCode::OK, (3, 6, 3)));
    assert_eq!(world.tries.passed(), [(false, false)].repeat(3), "no try sees the flag of another, or its signature");
    assert_eq!(world.sendings.passed(), [(false, true), (true, true)].repeat(3));
    assert!(extensions.get::<Retried>().is_none());
    assert_eq!(extensions.get(), Some(&"the caller's own"));
}

#[tokio::test(start_paused = true)]
async fn three_tries_inside_send_six_times_as_well() {
    let world = World::new().await;
    let retry = thrice(SECOND, DefaultRetryableStrategy);
    let outer = ClientBuilder::new(reqwest::Client::new()).with(world.auth()).with(world.tries.clone());
    let api = scripted(&[503, 503, 401, 503, 503]);
    let client = outer.with(retry).with(world.sendings.clone()).with(api).build();
    let response = client.get(API).send().await.unwrap();

    println!("figure: sendings_of_three_tries_inside = {} sendings", world.sendings.count());
    assert_eq!((response.status(), world.counts()), (StatusCode::OK, (2, 6, 1)));
    let flagged: Vec<_> = world.sendings.passed().into_iter().map(|(flagged, _)| flagged).collect();
    assert_eq!(flagged, [false, false, false, true, true, true]);
    assert!(response.extensions().get::<Retried>().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_a_request_asked_for_holds_in_every_try() {
    let strategy = AuthRetryStrategy::default;
    let world = World::new().await;
    let client = world.under_to(thrice(SECOND, strategy()), scripted(&[503, 503]));
    assert!(client.get(API).unsigned().send().await.unwrap().status().is_success());
    assert_eq!(world.sendings.passed(), [(false, false)].repeat(3));

    let world = World::new().await;
    let client = world.under_to(thrice(SECOND, strategy()), scripted(&[503, 401]));
    let response = client.get(API).send_once().send().await.unwrap();
    assert_eq!(response.extensions().get(), Some(&NotRetryable::SendOnce));
    assert_eq!(world.counts(), (2, 2, 1));

    // What was granted once is not granted again.
    let world = World::new().await;
    let client = world.under_to(thrice(SECOND, strategy()), scripted(&[503, 503]));
    assert!(client.get(API).refresh_first().send().await.unwrap().status().is_success());
    assert_eq!(world.counts(), (3, 3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_retry_layer_outside_refuses_a_body_that_streams_before_anything_is_sent() {
    let world = World::new().await;
    let client = world.under(thrice(SECOND, AuthRetryStrategy::default()));
    let streaming = || Body::wrap(http_body_util::Full::<hyper::body::Bytes>::from("once"));
    let error = client.post(API).body(streaming()).resend_with(streaming).send().await.unwrap_err();
    assert!(error.to_string().contains("not cloneable") && AuthError::find(&error).is_none(), "{error:?}");
    assert_eq!(world.counts(), (0, 0, 0));
}
