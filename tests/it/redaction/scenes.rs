//! A session's life and its troubles, each scene with secrets wherever one can be.

mod places;

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Debug;
use std::future::pending;
use std::iter;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::{FutureExt, future};
use http::Extensions;
use http::header::{HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http_body_util::Full;
use hyper::body::Bytes;
use reqwest::{Body, Request, Response};
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, AuthRetryStrategy, Demand, Dialect, Ending, Event, Events, FirstLogin, InvalidToken,
    JsonRefresh, LockReach, LockRequest, LoginId, MemberPaths, MemoryStore, NotRetryable, Origins, Record,
    RefreshError, RefreshGrant, RefreshReason, RefreshRequest, Refresher, RefresherInfo, RequestBuilderExt, Retried,
    Session, SessionBuilder, SessionId, Sessions, StoreError, SystemClock, Tokens, Version, acting_for,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next, RequestBuilder};
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::sync::Notify;

use super::Shared;
use super::canaries::{ACCESS, CLIENT, ID_TOKEN, QUERY, REFRESH, SESSION};
use super::faulty::{FAULTS, Fault, FaultyStore, Revoker, Revoking, broken};
use super::files::files;
use super::moods::{MOODS, Mood};
use super::sealing::sealing;
use super::shown::Shown;
use crate::raw_server::{Asked, RawServer, Reply};
use crate::support::{bounded, put};

const SOON: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(10);

/// What was met on the way, so that nobody takes an empty stage for a clean one.
#[derive(Default)]
pub(crate) struct Seen {
    /// Needs login, logged out, transient, timeout, misconfigured, store, re-entrant.
    pub(crate) kinds: [bool; 7],
    pub(crate) events: BTreeSet<String>,
    /// Errors of others that were handed on untouched, and everything they show.
    pub(crate) handed_on: Vec<String>,
}

pub(crate) async fn all(shown: &Shared) -> Seen {
    let mut stage = Stage::new(shown).await;
    words(shown);
    stage.plain_life().await;
    stage.moods().await;
    stage.cookies().await;
    stage.placements().await;
    stage.closures().await;
    stage.left_alone().await;
    stage.many().await;
    stage.marks().await;
    stage.waits().await;
    stage.stores().await;
    stage.logouts().await;
    stage.nobody_there().await;
    sealing(shown).await;
    files(shown).await;
    stage.seen
}

/// An issuer, an API, and a place for everything that is shown.
struct Stage {
    shown: Shared,
    seen: Seen,
    issuer: RawServer,
    /// How the issuer refuses, if it does.
    mood: Arc<Mutex<Option<Mood>>>,
    api: RawServer,
    /// The API takes the newest tokens, and nothing while this is set.
    refuses: Arc<AtomicBool>,
    minted: Arc<AtomicU64>,
    http: reqwest::Client,
}

/// One session, its client and its reader.
struct Scene {
    session: Session,
    /// Only to be shown.
    auth: Box<dyn Debug + Send + Sync>,
    client: ClientWithMiddleware,
    events: Events,
}

impl Stage {
    async fn new(shown: &Shared) -> Self {
        let minted = Arc::new(AtomicU64::new(0));
        let refuses = Arc::new(AtomicBool::new(false));
        let mood: Arc<Mutex<Option<Mood>>> = Arc::default();
        let (current, minting) = (Arc::clone(&mood), Arc::clone(&minted));
        let issuer = RawServer::start(move |asked| {
            let mood = *current.lock().unwrap();
            mood.map_or_else(|| new_tokens(&minting), |mood| mood(asked))
        });
        let (newest, refusing) = (Arc::clone(&minted), Arc::clone(&refuses));
        let api = RawServer::start(move |asked| {
            let token = String::from_utf8(asked.header("authorization").unwrap_or_default()).unwrap();
            let good = token == format!("Bearer {}", ACCESS.secret(newest.load(Ordering::Relaxed)));
            if good && !refusing.load(Ordering::Relaxed) {
                return Reply::whole("200 OK", "text/plain", token.as_bytes());
            }
            // An API that says back what it refuses.
            let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{token}\"");
            let head = format!(
                "HTTP/1.1 401 {token}\r\nwww-authenticate: {challenge}\r\ncontent-length: {}\r\n\r\n",
                token.len()
            );
            Reply::saying(head + &token)
        });
        Self {
            shown: Arc::clone(shown),
            seen: Seen::default(),
            issuer: issuer.await,
            mood,
            api: api.await,
            refuses,
            minted,
            http: reqwest::Client::builder().connection_verbose(true).build().unwrap(),
        }
    }

    fn grant(&self) -> RefreshGrant {
        let grant =
            RefreshGrant::new(self.issuer.url(&format!("/token?secret={}", QUERY.secret(0))), "my-app").unwrap();
        let grant = grant.parameter("audience", CLIENT.secret(2)).unwrap();
        grant.http(reqwest::Client::builder().connection_verbose(true)).unwrap()
    }

    fn says(&self, mood: Option<Mood>) {
        *self.mood.lock().unwrap() = mood;
    }

    /// The tokens that the API takes.
    fn newest(&self) -> Tokens {
        tokens(self.minted.load(Ordering::Relaxed))
    }

    /// With a store that may stall.
    fn brisk_scene(&self, builder: SessionBuilder) -> Scene {
        self.scene(builder.save_timeout(SOON).load_timeout(SOON).lock_timeout(SOON))
    }

    /// A session of this kind, for a client of the API, with the token endpoint on an allowed origin.
    fn scene(&self, builder: SessionBuilder) -> Scene {
        let builder = builder.id(SESSION.secret(0));
        self.show(|shown| shown.debug(&builder));
        let session = builder.build();
        let origins = Origins::new(self.api.url("")).unwrap().and(self.issuer.url("")).unwrap();
        self.show(|shown| shown.debug(&origins));
        self.show(|shown| shown.debug(&AuthRetryStrategy::default()));
        let auth = AuthRefresh::new(&session, origins).exclude("/login").early_wait(SOON);
        let client =
            ClientBuilder::new(self.http.clone()).with(auth.clone()).with(Peek(Arc::clone(&self.shown))).build();
        let events = session.events();
        Scene { session, auth: Box::new(auth), client, events }
    }

    fn show<T>(&self, show: impl FnOnce(&mut Shown) -> T) -> T {
        show(&mut self.shown.lock().unwrap())
    }

    fn get(&self, scene: &Scene) -> RequestBuilder {
        scene.client.get(self.api.url(&format!("/me?secret={}", QUERY.secret(0))))
    }

    fn error(&mut self, error: &AuthError) {
        const ASK: [fn(&AuthError) -> bool; 7] = [
            AuthError::needs_login,
            AuthError::is_logged_out,
            AuthError::is_transient,
            AuthError::is_timeout,
            AuthError::is_misconfigured,
            AuthError::is_store,
            AuthError::is_reentrant,
        ];
        let mut cause: Option<&dyn Error> = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<AuthError>() {
                iter::zip(&mut self.seen.kinds, ASK).for_each(|(seen, ask)| *seen |= ask(error));
            }
            cause = error.source();
        }
        self.show(|shown| {
            shown.error(error);
            shown.debug(error.session());
        });
    }

    /// Sends, and shows what came of it.
    async fn send(&mut self, request: RequestBuilder) -> Option<Response> {
        match request.send().await {
            Ok(response) => {
                self.show(|shown| {
                    shown.text(format!("{:?}", response.extensions()));
                    if let Some(mark) = response.extensions().get::<Retried>() {
                        shown.debug(mark);
                    }
                    if let Some(mark) = response.extensions().get::<NotRetryable>() {
                        shown.debug(mark);
                    }
                });
                Some(response)
            }
            Err(error) => {
                if let Some(ours) = AuthError::find(&error) {
                    self.show(|shown| shown.error(&error));
                    self.error(ours);
                } else {
                    let chain = iter::successors(Some(&error as &dyn Error), |error| (*error).source());
                    self.seen.handed_on.extend(chain.map(|error| format!("{error} {error:?} {error:#?}")));
                }
                None
            }
        }
    }

    fn result<T>(&mut self, result: Result<T, AuthError>) {
        if let Err(error) = result {
            self.error(&error);
        }
    }

    /// Shows where the session stands and what has happened to it.
    fn look(&mut self, scene: &mut Scene) {
        self.show(|shown| {
            shown.debug(&scene.session);
            shown.debug(&scene.session.state());
            shown.debug(&scene.auth);
            shown.debug(&scene.events);
            shown.text(format!("{:?}", scene.client));
        });
        while let Some(event) = scene.events.next().now_or_never().flatten() {
            let name = format!("{event:?}");
            self.seen.events.insert(name.split(['(', ' ']).next().unwrap_or_default().to_owned());
            self.show(|shown| shown.debug(&event));
            if let Event::RefreshFailed(error) | Event::StoreFailed(error) = &event {
                self.error(error);
            }
            if let Event::NeedsLogin(reason) = &event {
                self.show(|shown| {
                    shown.debug(reason);
                    shown.display(reason);
                });
            }
        }
    }

    /// Logs in, is refused, and looks at what came of it.
    async fn refused(&mut self, scene: &mut Scene) {
        let logged_in = scene.session.login(stale()).await;
        self.result(logged_in);
        self.send(self.get(scene)).await;
        self.send(self.get(scene)).await;
        self.result(scene.session.access_token().await.map(drop));
        self.result(scene.session.refresh().await);
        self.result(scene.session.flush().await);
        self.look(scene);
    }

    async fn plain_life(&mut self) {
        let store = MemoryStore::default();
        for grant in [self.grant(), self.grant().post(CLIENT.secret(1)), self.grant().basic(CLIENT.secret(1))] {
            self.show(|shown| shown.debug(&grant));
            let kept = FaultyStore {
                kept: store.clone(),
                fault: Arc::new(Mutex::new(Fault::None)),
                shown: Arc::clone(&self.shown),
            };
            let mut scene = self.scene(Session::builder(grant.clone()).store(kept));
            self.refused(&mut scene).await;
            let (now, minutes) = (SystemTime::now(), |minutes: u64| Duration::from_secs(60 * minutes));
            // expired, due
            for (issued, life) in [(30, 15), (10, 10)] {
                let life = minutes(life) + Duration::from_secs(if issued == 10 { 20 } else { 0 });
                let tokens = self.newest().with_issued_at(now - minutes(issued)).with_expires_in(life);
                scene.session.login(tokens).await.unwrap();
                assert_eq!(self.send(self.get(&scene)).await.unwrap().status(), 200);
                scene.session.flush().await.unwrap();
            }
            let token = scene.session.access_token().await.unwrap();
            self.show(|shown| shown.text(format!("{token:?}")));
            assert!(scene.session.invalidate(&token));
            assert_eq!(self.send(self.get(&scene).refresh_first()).await.unwrap().status(), 200);
            self.show(|shown| shown.debug(&store));
            for _ in 0..20 {
                scene.session.login(self.newest()).await.unwrap();
            }
            self.look(&mut scene);
            // another run of the program
            let mut scene = self.scene(Session::builder(grant).store(store.clone()));
            assert_eq!(self.send(self.get(&scene)).await.unwrap().status(), 200);
            self.look(&mut scene);
        }
        // An API that no token satisfies.
        self.refuses.store(true, Ordering::Relaxed);
        let mut scene = self.scene(Session::builder(self.grant()));
        for _ in 0..8 {
            self.refused(&mut scene).await;
        }
        self.refuses.store(false, Ordering::Relaxed);
    }

    async fn moods(&mut self) {
        for (name, mood) in MOODS {
            self.says(Some(*mood));
            self.mood(name, self.grant().post(CLIENT.secret(1))).await;
            self.mood(name, self.grant().basic(CLIENT.secret(1))).await;
            self.mood(name, self.gateway()).await;
        }
        self.says(None);
    }

    /// A home-grown endpoint that gets a secret in every place, and whose answers are shown to a predicate.
    fn gateway(&self) -> JsonRefresh {
        let json = JsonRefresh::post(self.issuer.url(&format!("/refresh?secret={}", QUERY.secret(0)))).unwrap();
        let json = json.access_token_header("authorization", "Bearer ").unwrap();
        let json = json.member("client.secret", CLIENT.secret(1)).unwrap().header("x-key", CLIENT.secret(2)).unwrap();
        let shown = Arc::clone(&self.shown);
        json.dialect(Dialect::new().success_when(move |answer| {
            shown.lock().unwrap().debug(answer);
            answer.status().is_success()
        }))
    }

    async fn mood(&mut self, name: &str, refresher: impl Refresher + Clone + Debug) {
        self.show(|shown| shown.debug(&refresher));
        // Long enough to ask.
        let attempt = if name == "silence" { Duration::from_secs(2) } else { LONG };
        let mut scene = self.scene(Session::builder(refresher.clone()).attempt_timeout(attempt));
        self.refused(&mut scene).await;
        let asked = self.issuer.take_asked();
        assert!(!asked.is_empty(), "{name}");
        // The adapter by itself.
        if name != "silence" {
            let session = SESSION.secret(0).into();
            let asking = RefreshRequest::new(session, Some(Arc::new(stale())), RefreshReason::Unauthorized, LONG);
            match refresher.refresh(asking).await {
                Ok(tokens) => self.show(|shown| shown.debug(&tokens)),
                Err(error) => self.show(|shown| shown.error(&error)),
            }
        }
    }

    /// The program's own refreshers.
    async fn closures(&mut self) {
        let told = |error: RefreshError| move |_: RefreshRequest| future::ready(Err(error.clone()));
        for error in [
            RefreshError::rejected("invalid_grant"),
            RefreshError::misconfigured("invalid_client"),
            RefreshError::unavailable("no network").retry_after(LONG).for_every_session(),
            RefreshError::unavailable(std::io::Error::other("reset")).maybe_processed(),
            RefreshError::rejected("x").because(InvalidToken::Unsendable),
        ] {
            self.show(|shown| shown.error(&error));
            let builder = Session::builder(told(error)).on_needs_login(|_| panic!("{}", REFRESH.secret(0)));
            let mut scene = self.scene(builder);
            self.refused(&mut scene).await;
        }

        let shown = Arc::clone(&self.shown);
        let mut scene = self.scene(Session::builder(move |request: RefreshRequest| {
            shown.lock().unwrap().debug(&request);
            shown.lock().unwrap().debug(&request.reason());
            assert!(request.reason() == RefreshReason::Unauthorized, "{}", secret_of(&request));
            async move { panic!("while spending {}", secret_of(&request)) }
        }));
        self.refused(&mut scene).await;

        let mut scene = self.scene(Session::builder(|_: RefreshRequest| pending()).attempt_timeout(SOON));
        self.refused(&mut scene).await;

        // One that asks for what it is to bring, by the handle and by the signed client.
        let me: Arc<OnceLock<(Session, ClientWithMiddleware)>> = Arc::default();
        let itself = Arc::clone(&me);
        let url = self.api.url(&format!("/me?secret={}", QUERY.secret(0)));
        let mut scene = self.scene(Session::builder(move |request: RefreshRequest| {
            let (session, client) = itself.get().unwrap().clone();
            let by_client = (request.reason() == RefreshReason::Forced).then(|| client.get(&url));
            async move {
                if let Some(request) = by_client {
                    return Err(RefreshError::unavailable(request.send().await.unwrap_err()));
                }
                Err(RefreshError::unavailable(session.access_token().await.unwrap_err()))
            }
        }));
        assert!(me.set((scene.session.clone(), scene.client.clone())).is_ok());
        self.refused(&mut scene).await;
        assert!(self.seen.kinds[6], "re-entrant");
    }

    /// Requests that are not signed, each for its reason.
    async fn left_alone(&mut self) {
        let mut scene = self.scene(Session::builder(self.grant()));
        let login = self.api.url(&format!("/login?secret={}", QUERY.secret(0)));
        let elsewhere = login.replace("127.0.0.1", "127.0.0.2");
        let token = self.issuer.url(&format!("/token?x={}", QUERY.secret(0)));
        // nobody is logged in
        self.send(self.get(&scene)).await;
        scene.session.login(self.newest()).await.unwrap();
        for url in [login, elsewhere, token] {
            self.send(scene.client.get(url)).await;
        }
        self.send(self.get(&scene).unsigned()).await;
        self.send(self.get(&scene).basic_auth("me", Some(CLIENT.secret(1)))).await;
        self.send(self.get(&scene).acting_for(SESSION.secret(1))).await;
        acting_for(SESSION.secret(2), self.send(self.get(&scene))).await;
        self.look(&mut scene);
        let demanding =
            AuthRefresh::new(&scene.session, Origins::new("https://api.example.com").unwrap()).require_login();
        self.show(|shown| shown.debug(&demanding));
    }

    /// A door for many, and requests that it refuses.
    async fn many(&mut self) {
        let sessions = Sessions::builder(self.grant()).build();
        let mut events = sessions.events();
        sessions.session(SESSION.secret(0)).login(self.newest()).await.unwrap();
        let told = bounded(|| "an event", events.next()).await;
        let origins = Origins::new(self.api.url("/").trim_end_matches('/')).unwrap();
        let auth = AuthRefresh::new(&sessions, origins);
        self.show(|shown| {
            shown.debug(&sessions);
            shown.debug(&events);
            shown.debug(&auth);
            shown.debug(&reqwest_auth_refresh::Serving::from(&sessions));
            shown.text(format!("{told:?}"));
            shown.error(&reqwest_auth_refresh::Missed(3));
        });
        let client = ClientBuilder::new(self.http.clone()).with(auth).build();
        let url = self.api.url(&format!("/me?secret={}", QUERY.secret(0)));
        for named in [SESSION.secret(0), SESSION.secret(1)] {
            self.send(client.get(&url).acting_for(named)).await;
        }
        self.send(client.get(&url)).await;
    }

    /// Second sendings, and what stands in their way.
    async fn marks(&mut self) {
        let mut scene = self.scene(Session::builder(self.grant()));
        let body = || Body::wrap(Full::<Bytes>::from(ACCESS.secret(0)));
        let url = self.api.url(&format!("/me?secret={}", QUERY.secret(0)));
        let panics = || -> Body { panic!("no body for {}", ACCESS.secret(0)) };
        for (request, status) in [
            (self.get(&scene), 200),
            (scene.client.post(&url).body(body()), 401),
            (scene.client.post(&url).body(body()).resend_with(body), 200),
            (scene.client.post(&url).body(body()).resend_with(panics), 401),
            (self.get(&scene).send_once(), 401),
        ] {
            scene.session.login(stale()).await.unwrap();
            assert_eq!(self.send(request).await.unwrap().status(), status);
        }
        let same = stale();
        let mut again = self.scene(Session::builder(move |_: RefreshRequest| future::ready(Ok(same.clone()))));
        again.session.login(stale()).await.unwrap();
        assert_eq!(self.send(self.get(&again)).await.unwrap().status(), 401);
        self.look(&mut scene);
        self.look(&mut again);
    }

    /// Requests that wait: for too long, or for a login that ends.
    async fn waits(&mut self) {
        let flying = Arc::new(Notify::new());
        let departed = Arc::clone(&flying);
        let mut scene = self.scene(Session::builder(move |_: RefreshRequest| {
            departed.notify_one();
            pending()
        }));
        scene.session.login(stale()).await.unwrap();
        // One caller begins the refresh and goes; the next one waits for it as long as it can.
        tokio::select! {
            response = self.get(&scene).send() => panic!("{response:?}"),
            () = flying.notified() => {}
        }
        assert!(self.send(self.get(&scene).timeout(SOON)).await.is_none());
        for log_in_again in [false, true] {
            scene.session.login(stale()).await.unwrap();
            let (request, session, tokens) = (self.get(&scene), scene.session.clone(), stale());
            let waiting = self.send(request);
            let change = async {
                bounded(|| "a refresh", flying.notified()).await;
                if log_in_again { session.login(tokens).await } else { session.logout().await.map(drop) }
            };
            let (response, changed) = future::join(waiting, change).await;
            assert!(response.is_none());
            changed.unwrap();
        }
        self.look(&mut scene);
    }

    async fn stores(&mut self) {
        for fault in FAULTS {
            let kept = MemoryStore::default();
            let earlier = Record::of_tokens(SESSION.secret(0), Version::new(LoginId::from_bits(5), 1), stale());
            let earlier = earlier.with_registration(self.grant().info().registration().unwrap());
            put(&kept, &SESSION.secret(0).into(), &earlier).await.unwrap();
            let now = Arc::new(Mutex::new(fault));
            let store = || FaultyStore { kept: kept.clone(), fault: Arc::clone(&now), shown: Arc::clone(&self.shown) };
            let stores = [store(), store(), store()];
            for (nth, store) in stores.into_iter().enumerate() {
                *now.lock().unwrap() = fault;
                let mut scene = self.brisk_scene(Session::builder(self.grant()).store(store));
                if nth == 0 {
                    // Read first, then refused and refreshed.
                    self.send(self.get(&scene)).await;
                }
                if nth == 1 {
                    *now.lock().unwrap() = Fault::None;
                    self.result(scene.session.login(stale()).await);
                    *now.lock().unwrap() = fault;
                    self.send(self.get(&scene)).await;
                }
                self.refused(&mut scene).await;
                let report = scene.session.logout().await;
                self.show(|shown| shown.debug(&report));
                self.result(report);
                self.result(scene.session.flush().await);
                *now.lock().unwrap() = Fault::None;
                self.result(scene.session.flush().await);
                self.look(&mut scene);
            }
        }
    }

    async fn logouts(&mut self) {
        for way in [Revoking::Told, Revoking::Fails, Revoking::Panics, Revoking::Stalls] {
            let revoker = Revoker { way, shown: Arc::clone(&self.shown) };
            let mut scene = self.scene(Session::builder(revoker).attempt_timeout(SOON));
            scene.session.login(self.newest()).await.unwrap();
            let report = scene.session.logout().await.unwrap();
            self.show(|shown| {
                shown.debug(&report);
                if let Ok(revocation) = &report.revocation {
                    shown.debug(revocation);
                }
            });
            self.result(report.revocation);
            self.result(scene.session.access_token().await.map(drop));
            self.send(self.get(&scene).acting_for(SESSION.secret(0))).await;
            self.look(&mut scene);
        }
    }

    /// Neither issuer nor API can be reached.
    async fn nobody_there(&mut self) {
        let grant = self.grant().basic(CLIENT.secret(1));
        let mut scene = self.scene(Session::builder(grant));
        let request = self.get(&scene);
        scene.session.login(self.newest()).await.unwrap();
        (self.issuer, self.api) = {
            let never = |_: &Asked| Reply::in_pieces(iter::empty()).closing();
            (RawServer::start(never).await, RawServer::start(never).await)
        };
        let before = self.seen.handed_on.len();
        assert!(self.send(request).await.is_none());
        assert!(self.seen.handed_on.len() > before, "an error of reqwest");
        self.send(self.get(&scene)).await;
        self.result(scene.session.refresh().await);
        self.look(&mut scene);
    }
}

/// What there is without a session.
fn words(shown: &Shared) {
    let mut shown = shown.lock().unwrap();
    let secret = ACCESS.secret(0);
    shown.debug(&tokens(0));
    shown.debug(&SystemClock);
    let id = SessionId::from(SESSION.secret(0));
    shown.debug(&id);
    shown.display(&id.fingerprint());
    shown.debug(&Version::new(LoginId::from_bits(7), 1));
    shown.debug(&LoginId::from_bits(7));
    shown.debug(&LockRequest::new(SOON, LONG));
    shown.debug(&LockReach::Lease);
    let endpoint = format!("https://issuer.example/token?key={}", QUERY.secret(0)).parse().unwrap();
    shown.debug(&RefresherInfo::default().with_endpoints([endpoint]).with_registration("json issuer.example"));
    let misread = Record::from_bytes(format!(r#"{{"major":"{secret}"}}"#).as_bytes()).unwrap_err();
    for error in [StoreError::unavailable("no disk"), broken(1), broken(2), misread] {
        shown.error(&error);
    }
    for text in [format!("{secret} {secret}"), format!("{secret}\r\n"), String::new()] {
        shown.error(&Tokens::new(text).unwrap_err());
    }
    for answer in [
        json!({ "access_token": [secret] }).to_string(),
        json!({ "access_token": secret, "token_type": REFRESH.secret(0) }).to_string(),
        json!({ "error": secret, "error_description": secret }).to_string(),
        json!({ "access_token": secret }).to_string().replace('}', &format!(r#","access_token":"{secret}"}}"#)),
        format!("{secret}&access_token={secret}"),
    ] {
        shown.error(&Tokens::from_json(answer).unwrap_err());
    }
    // An API that says back what it was sent, where the issuer and the API alone should read it.
    for code in ["insufficient_claims", "use_dpop_nonce"] {
        let challenge = format!("DPoP error=\"{code}\", claims=\"{secret}\", error_description=\"{secret}\"");
        let headers = [(WWW_AUTHENTICATE, challenge), (HeaderName::from_static("dpop-nonce"), secret.clone())];
        let headers = headers.map(|(name, value)| (name, value.parse::<HeaderValue>().unwrap()));
        let demand = Demand::of(&headers.into_iter().collect()).unwrap();
        let (Demand::Claims { claims: text, .. } | Demand::DpopNonce { nonce: text, .. }) = &demand else {
            panic!("{demand:?}")
        };
        assert_eq!(text.as_ref(), Some(&secret), "it is there to be handed on");
        shown.debug(&demand);
    }
    let (user, query) = (CLIENT.secret(0), QUERY.secret(0));
    for address in [
        format!("https://{user}@api.example.com"),
        format!("https://user:{user}@api.example.com/?secret={query}"),
        format!("https://api.example.com/?secret={query}"),
        format!("https://api.example.com/#{query}"),
        format!("http://{query}/"),
        format!("https://{query}:{query}"),
        query.clone(),
    ] {
        shown.error(&Origins::new(&address).unwrap_err());
        shown.error(&Origins::dangerous_http(&address).unwrap_err());
        if let Err(error) = RefreshGrant::new(&address, &user) {
            shown.error(&error);
        }
    }
    let grant = RefreshGrant::new(format!("https://issuer.example/token?key={query}"), user).unwrap();
    for grant in [grant.clone().basic_raw(CLIENT.secret(1)), grant.clone().post(CLIENT.secret(1))] {
        shown.debug(&grant);
    }
    shown.error(&grant.clone().parameter("resource", &query).unwrap_err());
    shown.error(&grant.clone().parameter("scope", &query).unwrap_err());
    shown.error(&grant.http(reqwest::Client::builder().user_agent("a\nb")).unwrap_err());
    let json = || JsonRefresh::post("https://gateway.example/refresh").unwrap().header("x", CLIENT.secret(1)).unwrap();
    shown.error(&json().header("x", &*query).unwrap_err());
    shown.error(&json().header("y", format!("{query}\n")).unwrap_err());
    shown.error(&json().member("refresh_token", &*query).unwrap_err());
    shown.error(&json().refresh_token_header("y", format!("{query}\n")).unwrap_err());
    shown.debug(&Dialect::new().rejected_code("ended").rejected_when(|answer| answer.status() == 404));
    shown.debug(&MemberPaths::from("data.accessToken"));
    shown.debug(&FirstLogin::Assumed);
    shown.debug(&Ending::LoggedOut);
}

/// Tokens that the API does not take.
fn stale() -> Tokens {
    tokens(1_000_000)
}

/// Tokens with a secret in every place for one.
fn tokens(nth: u64) -> Tokens {
    let tokens = Tokens::new(ACCESS.secret(nth)).unwrap().with_refresh_token(REFRESH.secret(nth)).with_scope("read");
    let extra = json!({ "id_token": ID_TOKEN.secret(nth), "nested": [{ "x": ID_TOKEN.secret(nth) }] });
    tokens.with_extra(serde_json::from_value(extra).unwrap())
}

fn new_tokens(minted: &AtomicU64) -> Reply {
    let nth = minted.fetch_add(1, Ordering::Relaxed) + 1;
    let answer = json!({
        "access_token": ACCESS.secret(nth), "token_type": "Bearer", "expires_in": 3600,
        "refresh_token": REFRESH.secret(nth), "id_token": ID_TOKEN.secret(nth),
    });
    Reply::whole("200 OK", "application/json", answer.to_string().as_bytes())
}

fn secret_of(request: &RefreshRequest) -> String {
    request.refresh_token().unwrap().expose_secret().to_owned()
}

/// Middleware further in, which logs the requests that it sees.
struct Peek(Shared);

#[async_trait]
impl Middleware for Peek {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let own = request.headers().get("authorization").is_some_and(|header| header.as_bytes().starts_with(b"Basic"));
        if !own {
            self.0.lock().unwrap().text(format!("{:?} {extensions:?}", request.headers()));
        }
        next.run(request, extensions).await
    }
}
