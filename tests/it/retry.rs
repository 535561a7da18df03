//! A request is sent again at most once, as the one it was, and what the caller said about it stays: its own
//! `Authorization`, its wish to be left alone, its body. What its extensions say about the retry is gone when it ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream;
use http::header::{AUTHORIZATION, HeaderMap};
use http::{Extensions, Method, StatusCode, Version};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use reqwest::{Body, Request, Response, ResponseBuilderExt, Url};
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, Event, FirstLogin, NotRetryable, Origins, RefreshError, RefreshRequest, Refresher,
    RefresherInfo, RequestBuilderExt, Retried, Session, SessionBuilder, State, Tokens, acting_for, async_trait, carry,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next, RequestBuilder};
use tokio::time::{Instant, sleep};

use crate::child::alone;
use crate::virtual_issuer::Issuer;
use crate::virtual_world::{API, VirtualClock, told};

const SECOND: Duration = Duration::from_secs(1);

/// One request as the API met it.
#[derive(Debug, Clone, PartialEq)]
struct Sent {
    method: Method,
    url: Url,
    headers: HeaderMap,
    timeout: Option<Duration>,
    version: Version,
    body: Vec<u8>,
    /// Whether middleware further in saw the flag of a retry.
    flagged: bool,
}

/// What the API answers: a status, a text, and the address that it comes from if it is another one.
#[derive(Debug, Clone)]
struct Answer {
    status: StatusCode,
    body: &'static str,
    from: Option<Url>,
}

impl From<StatusCode> for Answer {
    fn from(status: StatusCode) -> Self {
        Self { status, body: "", from: None }
    }
}

/// An API that remembers everything. It takes 20 ms.
struct Api<F> {
    answer: F,
    sent: Arc<Mutex<Vec<Sent>>>,
}

#[async_trait]
impl<F, A> Middleware for Api<F>
where
    F: Fn(&Sent) -> A + Send + Sync + 'static,
    A: Into<Option<Answer>>,
{
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        _: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let body = match request.body_mut().take() {
            Some(body) => body.collect().await?.to_bytes().to_vec(),
            None => Vec::new(),
        };
        let sent = Sent {
            method: request.method().clone(),
            url: request.url().clone(),
            headers: request.headers().clone(),
            timeout: request.timeout().copied(),
            version: request.version(),
            body,
            flagged: extensions.get::<Retried>().is_some(),
        };
        let answer = (self.answer)(&sent).into();
        self.sent.lock().unwrap().push(sent);
        sleep(Duration::from_millis(20)).await;
        let Some(Answer { status, body, from }) = answer else {
            return Err(reqwest_middleware::Error::middleware(std::io::Error::other("the connection broke")));
        };
        let from = from.unwrap_or_else(|| request.url().clone());
        Ok(http::Response::builder().status(status).url(from).body(body).unwrap().into())
    }
}

/// A session, its issuer, and an API that takes the issuer's tokens except those of the first login.
struct World {
    issuer: Issuer,
    session: Session,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl World {
    /// Somebody is logged in, with tokens that the API takes no longer.
    async fn new() -> Self {
        let world = Self::empty();
        world.session.login(world.issuer.tokens()).await.unwrap();
        world.issuer.end_access_tokens();
        world
    }

    /// Nobody is logged in.
    fn empty() -> Self {
        let issuer = Issuer::new();
        let session = builder(issuer.refresher()).build();
        Self { issuer, session, sent: Arc::default() }
    }

    fn auth(&self) -> AuthRefresh {
        AuthRefresh::new(&self.session, Origins::new(API).unwrap())
    }

    /// An API that judges by the issuer.
    fn api(&self) -> impl Middleware + use<> {
        let issuer = self.issuer.clone();
        self.answering(move |sent: &Sent| {
            let bearer =
                sent.headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok()?.strip_prefix("Bearer "));
            let good = issuer.accepts(bearer);
            Answer { body: if good { "yours" } else { "no longer good" }, ..status_of(good).into() }
        })
    }

    fn answering<F, A>(&self, answer: F) -> Api<F>
    where
        F: Fn(&Sent) -> A + Send + Sync + 'static,
        A: Into<Option<Answer>>,
    {
        Api { answer, sent: Arc::clone(&self.sent) }
    }

    fn client(&self) -> ClientWithMiddleware {
        chain(self.auth(), self.api())
    }

    fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// How often the issuer was called, and the API.
    fn counts(&self) -> (usize, usize) {
        (self.issuer.calls(), self.sent().len())
    }
}

fn builder(refresher: impl Refresher) -> SessionBuilder {
    Session::builder(refresher).clock(VirtualClock::start())
}

fn chain(outer: impl Middleware, inner: impl Middleware) -> ClientWithMiddleware {
    ClientBuilder::new(reqwest::Client::new()).with(outer).with(inner).build()
}

fn status_of(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
}

fn is_retried(response: &Response) -> bool {
    response.extensions().get::<Retried>().is_some()
}

fn mark(response: &Response) -> Option<&NotRetryable> {
    response.extensions().get()
}

fn ours(error: &reqwest_middleware::Error) -> &AuthError {
    AuthError::find(error).unwrap_or_else(|| panic!("not ours: {error:?}"))
}

fn streaming(text: &'static str) -> Body {
    Body::wrap(Full::<Bytes>::from(text))
}

#[tokio::test(start_paused = true)]
async fn the_second_sending_is_flagged_and_succeeds() {
    let world = World::new().await;
    let mut extensions = Extensions::new();
    extensions.insert("the caller's own");
    let request = Request::new(Method::GET, API.parse().unwrap());
    let response = world.client().execute_with_extensions(request, &mut extensions).await.unwrap();

    assert!(is_retried(&response) && mark(&response).is_none());
    assert_eq!((response.status(), response.text().await.unwrap()), (StatusCode::OK, "yours".to_owned()));
    let flags: Vec<_> = world.sent().iter().map(|sent| sent.flagged).collect();
    assert_eq!(flags, [false, true], "middleware further in sees it on the second sending only");
    assert!(extensions.get::<Retried>().is_none(), "and nobody sees it afterwards");
    assert_eq!(extensions.get(), Some(&"the caller's own"));
    assert_eq!(world.counts(), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_second_401_is_returned_as_it_is() {
    let world = World::new().await;
    let refusing = world.answering(|_: &Sent| Answer { body: "never", ..StatusCode::UNAUTHORIZED.into() });
    let mut extensions = Extensions::new();
    let request = Request::new(Method::GET, API.parse().unwrap());
    let response = chain(world.auth(), refusing).execute_with_extensions(request, &mut extensions).await.unwrap();

    assert!(is_retried(&response) && mark(&response).is_none());
    assert_eq!((response.status(), response.text().await.unwrap()), (StatusCode::UNAUTHORIZED, "never".to_owned()));
    assert!(extensions.get::<Retried>().is_none());
    assert_eq!(world.counts(), (1, 2));
    assert!(matches!(world.session.state(), State::LoggedIn { .. }), "the tokens are kept");
}

#[tokio::test(start_paused = true)]
async fn the_flag_is_gone_when_the_second_sending_fails() {
    let world = World::new().await;
    let breaking = world.answering(|sent: &Sent| (!sent.flagged).then_some(Answer::from(StatusCode::UNAUTHORIZED)));
    let mut extensions = Extensions::new();
    let request = Request::new(Method::GET, API.parse().unwrap());
    let error = chain(world.auth(), breaking).execute_with_extensions(request, &mut extensions).await.unwrap_err();

    assert_eq!(error.to_string(), "the connection broke");
    assert!(AuthError::find(&error).is_none());
    assert!(extensions.get::<Retried>().is_none());
    assert_eq!(world.counts(), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn the_flag_is_gone_when_the_caller_goes_away_at_any_moment() {
    // First sending 20 ms, refresh 100 ms, second sending 20 ms.
    let mut dropped_while_flagged = 0;
    for dropped_after in (0..=140).step_by(5) {
        let world = World::new().await;
        let mut extensions = Extensions::new();
        let (client, request) = (world.client(), Request::new(Method::GET, API.parse().unwrap()));
        let trip = client.execute_with_extensions(request, &mut extensions);
        let ended = tokio::time::timeout(Duration::from_millis(dropped_after), trip).await.is_ok();

        assert!(extensions.get::<Retried>().is_none(), "dropped after {dropped_after} ms");
        dropped_while_flagged += usize::from(!ended && world.sent().iter().any(|sent| sent.flagged));
        // What the one who left had begun is there for the next.
        world.session.flush().await.unwrap();
        assert!(client.get(API).send().await.unwrap().status().is_success());
        assert_eq!((world.issuer.calls(), world.issuer.reuses()), (1, 0), "dropped after {dropped_after} ms");
    }
    assert!(dropped_while_flagged >= 3, "{dropped_while_flagged}");
}

/// A retry layer as people write them: the same map of extensions for every try.
struct Thrice<F>(F);

#[async_trait]
impl<F: Fn(&Extensions) + Send + Sync + 'static> Middleware for Thrice<F> {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        for _ in 0..2 {
            (self.0)(extensions);
            let response = next.clone().run(request.try_clone().unwrap(), extensions).await;
            if response.as_ref().is_ok_and(|response| !response.status().is_server_error()) {
                return response;
            }
        }
        (self.0)(extensions);
        next.run(request, extensions).await
    }
}

#[tokio::test(start_paused = true)]
async fn each_try_of_a_retry_layer_outside_begins_with_a_clean_map_and_may_refresh() {
    let world = World::new().await;
    // Each try meets tokens that ended meanwhile; the first two fail after that all the same.
    let issuer = world.issuer.clone();
    let tries = AtomicUsize::new(0);
    let api = world.answering(move |sent: &Sent| match (sent.flagged, tries.load(Ordering::Relaxed)) {
        (false, _) => StatusCode::UNAUTHORIZED.into(),
        (true, 0 | 1) => {
            tries.fetch_add(1, Ordering::Relaxed);
            issuer.end_access_tokens();
            Answer::from(StatusCode::SERVICE_UNAVAILABLE)
        }
        (true, _) => StatusCode::OK.into(),
    });
    let clean = Arc::new(AtomicUsize::new(0));
    let looked = Arc::clone(&clean);
    let outer = Thrice(move |extensions: &Extensions| {
        assert!(extensions.get::<Retried>().is_none());
        looked.fetch_add(1, Ordering::Relaxed);
    });
    let client = ClientBuilder::new(reqwest::Client::new()).with(outer).with(world.auth()).with(api).build();
    let response = client.get(API).send().await.unwrap();

    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(clean.load(Ordering::Relaxed), 3);
    let flags: Vec<_> = world.sent().iter().map(|sent| sent.flagged).collect();
    assert_eq!(flags, [false, true].repeat(3));
    assert_eq!(world.counts(), (3, 6), "each try refreshed");
}

#[tokio::test(start_paused = true)]
async fn the_second_sending_equals_the_first() {
    for clonable in [true, false] {
        let world = World::new().await;
        let request = world
            .client()
            .request(Method::PATCH, format!("{API}/orders/7?page=2&q=%20a"))
            .header("idempotency-key", "42")
            .header("x-twice", "one")
            .header("x-twice", "two")
            .header("cookie", "the=caller's")
            .timeout(Duration::from_secs(30))
            .version(Version::HTTP_2);
        let request = if clonable {
            request.body("some bytes")
        } else {
            request.body(streaming("some bytes")).resend_with(|| streaming("some bytes"))
        };
        assert!(request.send().await.unwrap().status().is_success());

        let [mut first, mut second] = <[Sent; 2]>::try_from(world.sent()).unwrap();
        let signed: Vec<_> = second.headers.get_all(AUTHORIZATION).iter().cloned().collect();
        assert_eq!(signed, ["Bearer access.a.0.1"], "one header, with the new token");
        assert_eq!(first.headers.remove(AUTHORIZATION).unwrap(), "Bearer access.a.0.0");
        second.headers.remove(AUTHORIZATION);
        assert_eq!((first.flagged, second.flagged), (false, true));
        assert_eq!(second.body, b"some bytes");
        assert_eq!(first, Sent { flagged: false, ..second }, "clonable: {clonable}");
        assert_eq!(world.counts(), (1, 2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_sent_again_costs_its_request_and_no_other() {
    let world = World::new().await;
    let client = world.client();
    let response = client.post(API).body(streaming("once")).send().await.unwrap();
    assert_eq!((mark(&response), is_retried(&response)), (Some(&NotRetryable::Body), false));
    assert_eq!(
        (response.status(), response.text().await.unwrap()),
        (StatusCode::UNAUTHORIZED, "no longer good".into())
    );
    assert_eq!(world.counts(), (1, 1), "the refresh happened, the request was sent once");

    let response = client.post(API).body(streaming("once")).send().await.unwrap();
    assert!(response.status().is_success() && mark(&response).is_none());
    assert_eq!(world.counts(), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_wants_to_be_sent_once_is() {
    let world = World::new().await;
    let response = world.client().post(API).body("order").send_once().send().await.unwrap();
    assert_eq!((mark(&response), is_retried(&response)), (Some(&NotRetryable::SendOnce), false));
    assert_eq!(
        (response.status(), response.text().await.unwrap()),
        (StatusCode::UNAUTHORIZED, "no longer good".into())
    );
    assert_eq!(world.counts(), (1, 1));
    assert!(world.client().post(API).body("order").send_once().send().await.unwrap().status().is_success());
    assert_eq!(world.counts(), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn making_the_body_anew_is_left_to_the_second_sending_and_may_panic() {
    let world = World::new().await;
    let made = Arc::new(AtomicUsize::new(0));
    let send = |text: Option<&'static str>| {
        let made = Arc::clone(&made);
        let request = world.client().post(API).body(streaming("streamed")).resend_with(move || {
            made.fetch_add(1, Ordering::Relaxed);
            streaming(text.expect("a body"))
        });
        request.send()
    };
    let mut events = world.session.events();
    told(&mut events);

    let response = send(None).await.unwrap();
    assert_eq!((mark(&response), is_retried(&response)), (Some(&NotRetryable::Body), false));
    assert_eq!(
        (response.status(), response.text().await.unwrap()),
        (StatusCode::UNAUTHORIZED, "no longer good".into())
    );
    let said = told(&mut events);
    assert!(matches!(said[..], [Event::Refreshed(_), Event::CallbackFailed]), "{said:?}");
    assert_eq!((world.counts(), made.load(Ordering::Relaxed)), ((1, 1), 1));

    assert!(send(None).await.unwrap().status().is_success(), "with good tokens it is not called");
    world.issuer.end_access_tokens();
    assert!(send(Some("streamed")).await.unwrap().status().is_success());
    assert_eq!((world.counts(), made.load(Ordering::Relaxed)), ((2, 4), 2));
    let bodies: Vec<_> = world.sent().into_iter().map(|sent| sent.body).collect();
    assert_eq!(bodies, [b"streamed"; 4]);
}

#[tokio::test(start_paused = true)]
async fn refresh_first_comes_first() {
    let world = World::new().await;
    let response = world.client().get(API).refresh_first().send().await.unwrap();
    assert!(response.status().is_success() && !is_retried(&response));
    assert_eq!(world.counts(), (1, 1));
    assert_eq!(bearers(&world), ["access.a.0.1"], "the old tokens went nowhere");
}

fn bearers(world: &World) -> Vec<String> {
    let text = |sent: &Sent| sent.headers.get(AUTHORIZATION).map(|header| header.to_str().unwrap().to_owned());
    let scheme = |text: String| text.strip_prefix("Bearer ").map_or(text.clone(), str::to_owned);
    world.sent().iter().map(|sent| text(sent).map_or_else(String::new, scheme)).collect()
}

#[tokio::test(start_paused = true)]
async fn refresh_first_is_used_up_by_the_first_try_of_a_retry_layer() {
    let world = World::new().await;
    let tries = AtomicUsize::new(0);
    let api = world.answering(move |_: &Sent| {
        let failing = tries.fetch_add(1, Ordering::Relaxed) < 2;
        Answer::from(if failing { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK })
    });
    let client =
        ClientBuilder::new(reqwest::Client::new()).with(Thrice(|_: &Extensions| ())).with(world.auth()).with(api);
    assert!(client.build().get(API).refresh_first().send().await.unwrap().status().is_success());
    assert_eq!(world.counts(), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn when_refresh_first_fails_nothing_is_sent() {
    let world = World::new().await;
    world.issuer.fail(RefreshError::unavailable("down").retry_after(7 * SECOND));
    let error = world.client().get(API).refresh_first().send().await.unwrap_err();
    assert!(ours(&error).is_transient(), "{error:?}");
    assert_eq!((ours(&error).retry_after(), ours(&error).status()), (Some(7 * SECOND), None));
    assert_eq!(world.counts(), (1, 0));

    world.issuer.fail(RefreshError::rejected("invalid_grant"));
    sleep(7 * SECOND).await;
    let error = world.client().get(API).refresh_first().send().await.unwrap_err();
    assert!(ours(&error).needs_login(), "{error:?}");
    assert_eq!(world.counts(), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn another_session_than_the_clients_is_refused() {
    let world = World::new().await;
    let client = world.client();
    let by_request = client.get(API).acting_for("alice").send().await.unwrap_err();
    let ambient = acting_for("alice", client.get(API).send()).await.unwrap_err();
    let spawned = acting_for("alice", async { tokio::spawn(carry(client.get(API).send())).await.unwrap() }).await;
    for error in [by_request, ambient, spawned.unwrap_err()] {
        assert!(ours(&error).is_misconfigured(), "{error:?}");
        assert_eq!(ours(&error).session().as_str(), "alice");
    }
    assert_eq!(world.counts(), (0, 0), "nothing is sent");

    // The request's own word goes before the ambient one; and a task that is not wrapped has none.
    let request = client.get(API).acting_for("default").send();
    assert!(acting_for("alice", request).await.unwrap().status().is_success());
    let plain = client.get(API).send();
    let spawned = acting_for("alice", async { tokio::spawn(plain).await.unwrap() }).await;
    assert!(spawned.unwrap().status().is_success());
    assert_eq!(world.counts(), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_named_never_goes_out_unsigned() {
    let world = World::empty();
    let named = |world: &World| world.client().get(API).acting_for("default").send();
    let error = named(&world).await.unwrap_err();
    assert!(ours(&error).needs_login(), "nobody was ever logged in: {error:?}");

    world.session.login(world.issuer.tokens()).await.unwrap();
    assert!(named(&world).await.unwrap().status().is_success());
    world.session.logout().await.unwrap();
    let error = named(&world).await.unwrap_err();
    assert!(ours(&error).needs_login(), "logged out: {error:?}");
    let error = acting_for("default", world.client().get(API).send()).await.unwrap_err();
    assert!(ours(&error).needs_login(), "named by the surroundings: {error:?}");
    assert_eq!(world.counts(), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn with_nobody_logged_in_requests_go_out_unsigned_unless_a_login_is_demanded() {
    let world = World::empty();
    let demanding = chain(world.auth().require_login(), world.api());
    for logged_out in [false, true] {
        if logged_out {
            world.session.login(Tokens::new("some").unwrap()).await.unwrap();
            world.session.logout().await.unwrap();
        }
        let before = world.sent().len();
        let response = world.client().get(API).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(mark(&response).is_none() && !is_retried(&response));
        assert!(!world.sent()[before].headers.contains_key(AUTHORIZATION));

        let error = demanding.get(API).send().await.unwrap_err();
        assert!(ours(&error).needs_login(), "{error:?}");
        assert_eq!(world.counts(), (0, before + 1), "the one that demands a login was not sent");
    }
}

#[test]
fn what_is_left_alone_passes_untouched_and_the_log_says_why() {
    /// Whose endpoint lies within the origins.
    struct AtHome(Issuer, Vec<Url>);
    #[async_trait]
    impl Refresher for AtHome {
        async fn refresh(&self, request: RefreshRequest) -> Result<Tokens, RefreshError> {
            self.0.clone().refresh(request).await
        }
        fn info(&self) -> RefresherInfo {
            RefresherInfo::default().with_endpoints(self.1.clone())
        }
    }
    type Ask = fn(RequestBuilder) -> RequestBuilder;
    // What is logged depends on who else listens in this process.
    if !alone("retry::what_is_left_alone_passes_untouched_and_the_log_says_why") {
        return;
    }
    let table: [(&str, Ask, &str); 7] = [
        ("https://other.example.com/", |request| request, "its origin is not one that tokens may be sent to"),
        ("http://api.example.com/", |request| request, "its origin is not one that tokens may be sent to"),
        ("https://api.example.com/login/code", |request| request, "its path is excluded"),
        ("https://api.example.com/token", |request| request, "its path is excluded"),
        ("https://api.example.com/", RequestBuilderExt::unsigned, "it asked to be sent unsigned"),
        (API, |request| request.acting_for("alice").unsigned(), "it asked to be sent unsigned"),
        (API, |request| request.bearer_auth("mine"), "it has an Authorization header of its own"),
    ];

    let log = Log::default();
    log.clone().listening(async {
        let issuer = Issuer::new();
        let refresher = AtHome(issuer.clone(), vec![format!("{API}/token").parse().unwrap()]);
        let world = World { issuer, session: builder(refresher).build(), sent: Arc::default() };
        world.session.login(world.issuer.tokens()).await.unwrap();
        world.issuer.end_access_tokens();
        let client = chain(world.auth().exclude("/login"), world.api());
        for (nth, (url, ask, why)) in table.into_iter().enumerate() {
            let response = ask(client.get(url)).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{url}");
            assert!(mark(&response).is_none() && !is_retried(&response), "{url}");
            assert_eq!(world.counts(), (0, nth + 1), "{url}");
            let said = log.take();
            assert!(
                said.contains("DEBUG") && said.contains("request left alone") && said.contains(why),
                "{url}: {said}"
            );
        }
        let own = bearers(&world);
        assert_eq!(own, ["", "", "", "", "", "", "mine"]);
        assert_eq!(world.sent()[6].headers.get_all(AUTHORIZATION).iter().count(), 1);

        world.session.logout().await.unwrap();
        log.take();
        client.get(API).send().await.unwrap();
        assert!(log.take().contains("nobody is logged in"));
    });
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Runs this in a virtual world of its own, and listens.
    fn listening(self, future: impl Future<Output = ()>) {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(move || self.clone())
            .finish();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        tracing::subscriber::with_default(subscriber, || runtime.block_on(future));
    }

    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_401_that_came_from_another_origin_is_not_about_these_tokens() {
    let world = World::new().await;
    let elsewhere: Url = "https://login.example.com/".parse().unwrap();
    let redirected = elsewhere.clone();
    let api =
        world.answering(move |_: &Sent| Answer { from: Some(redirected.clone()), ..StatusCode::UNAUTHORIZED.into() });
    let response = chain(world.auth(), api).get(API).send().await.unwrap();
    assert_eq!((response.status(), response.url()), (StatusCode::UNAUTHORIZED, &elsewhere));
    assert!(mark(&response).is_none() && !is_retried(&response));
    assert_eq!(world.counts(), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn the_refused_token_once_more_is_not_sent_again() {
    let world = World::new().await;
    world.issuer.repeat_itself();
    let response = world.client().get(API).send().await.unwrap();
    assert_eq!((mark(&response), is_retried(&response)), (Some(&NotRetryable::SameToken), false));
    assert_eq!(
        (response.status(), response.text().await.unwrap()),
        (StatusCode::UNAUTHORIZED, "no longer good".into())
    );
    assert_eq!(world.counts(), (1, 1));
}

/// Refuses the first request with a body of so many chunks of 4 KiB, after which it stalls or ends.
struct Wordy {
    chunks: usize,
    stalls: bool,
    read: Arc<AtomicUsize>,
    sent: AtomicUsize,
}

#[async_trait]
impl Middleware for Wordy {
    async fn handle(&self, request: Request, _: &mut Extensions, _: Next<'_>) -> reqwest_middleware::Result<Response> {
        let answer = http::Response::builder().url(request.url().clone());
        if self.sent.fetch_add(1, Ordering::Relaxed) > 0 {
            return Ok(answer.body("").unwrap().into());
        }
        let (chunks, stalls, read) = (self.chunks, self.stalls, Arc::clone(&self.read));
        let body = stream::unfold(0, move |nth| {
            let read = Arc::clone(&read);
            async move {
                if nth == chunks {
                    return if stalls { std::future::pending().await } else { None };
                }
                read.fetch_add(1, Ordering::Relaxed);
                Some((Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(&[0; 4096]))), nth + 1))
            }
        });
        let body = Body::wrap(StreamBody::new(Box::pin(body)));
        Ok(answer.status(StatusCode::UNAUTHORIZED).body(body).unwrap().into())
    }
}

#[tokio::test(start_paused = true)]
async fn the_refusals_body_is_read_within_bounds_so_that_its_connection_serves_again() {
    // chunks, whether it stalls after them; how many are read, how long it takes
    let table = [(0, false, 0..=0, 0), (16, false, 16..=16, 0), (10_000, false, 17..=17, 0), (3, true, 3..=3, 100)];
    for (chunks, stalls, expected, waits) in table {
        let world = World::new().await;
        let read = Arc::new(AtomicUsize::new(0));
        let api = Wordy { chunks, stalls, read: Arc::clone(&read), sent: AtomicUsize::new(0) };
        let begun = Instant::now();
        let response = chain(world.auth(), api).get(API).send().await.unwrap();
        assert!(response.status().is_success() && is_retried(&response));
        let read = read.load(Ordering::Relaxed);
        assert!(expected.contains(&read), "{read} of {chunks} chunks");
        let waited = begun.elapsed().as_millis() - 100;
        assert!((waits..=waits + 1).contains(&waited), "{waited} ms after the refresh, with {chunks} chunks");
    }
}

/// An error as a generated client has them.
#[derive(Debug, thiserror::Error)]
enum Wrapping {
    #[error("the call failed")]
    Call(#[source] reqwest_middleware::Error),
}

#[tokio::test(start_paused = true)]
async fn the_error_is_found_whatever_it_was_wrapped_in() {
    let world = World::new().await;
    world.issuer.fail(RefreshError::rejected("invalid_grant"));
    let found = |error: &(dyn std::error::Error + 'static)| {
        let error = AuthError::find(error).expect("an error of ours");
        assert!(error.needs_login(), "{error:?}");
        assert_eq!((error.code(), error.session().as_str()), (Some("invalid_grant"), "default"));
        error.status()
    };
    let refused = Some(StatusCode::UNAUTHORIZED);
    let error = world.client().get(API).send().await.unwrap_err();
    assert!(error.is_middleware());
    assert_eq!(found(&error), refused, "the status of the answer that asked for new tokens");

    let error = Wrapping::Call(error);
    assert_eq!(found(&error), refused);
    let error: Box<dyn std::error::Error + Send + Sync> = Box::new(error);
    assert_eq!(found(&*error), refused);
    let error = anyhow::Error::from_boxed(error).context("in a program");
    assert_eq!(found(error.as_ref()), refused);
    let error = reqwest_middleware::Error::Middleware(error.context("put into one again, as retry layers do"));
    assert_eq!(found(&error), refused);

    // Those that were not sent had no status.
    let error = anyhow::Error::from(world.client().get(API).send().await.unwrap_err());
    assert_eq!(found(error.as_ref()), None);
    assert!(AuthError::find(&std::io::Error::other("another")).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_tokens_cannot_be_seen_places_nothing_and_refreshes() {
    /// The session lives in cookies; each refresh makes the API welcome it again.
    #[derive(Clone, Default)]
    struct Cookies {
        calls: Arc<AtomicUsize>,
        refused: Arc<AtomicUsize>,
    }
    #[async_trait]
    impl Refresher for Cookies {
        async fn refresh(&self, _: RefreshRequest) -> Result<Tokens, RefreshError> {
            sleep(Duration::from_millis(100)).await;
            self.calls.fetch_add(1, Ordering::Relaxed);
            Ok(Tokens::unseen())
        }
        fn info(&self) -> RefresherInfo {
            RefresherInfo::default().with_first_login(FirstLogin::Assumed)
        }
    }
    let cookies = Cookies::default();
    let world = World { session: builder(cookies.clone()).build(), ..World::empty() };
    let mut events = world.session.events();
    let api = {
        let cookies = cookies.clone();
        world.answering(move |_: &Sent| {
            let good = cookies.calls.load(Ordering::Relaxed) > 0;
            cookies.refused.fetch_add(usize::from(!good), Ordering::Relaxed);
            Answer::from(status_of(good))
        })
    };
    let client = chain(world.auth(), api);
    let crowd = futures_util::future::join_all((0..100).map(|_| client.get(API).send())).await;

    assert!(crowd.into_iter().all(|response| response.is_ok_and(|response| is_retried(&response))));
    let calls = cookies.calls.load(Ordering::Relaxed);
    assert_eq!((calls, world.sent().len(), cookies.refused.load(Ordering::Relaxed)), (1, 200, 100));
    assert!(world.sent().iter().all(|sent| !sent.headers.contains_key(AUTHORIZATION)), "nothing is placed");
    let said = told(&mut events);
    assert!(matches!(said[..], [Event::Now(State::NotLoaded), Event::Refreshed(_)]), "{said:?}");
}
