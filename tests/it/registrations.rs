//! Two configurations that meet in one store under one session id: neither uses, overwrites or ends what is the other's, and
//! there is a way out for each.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use reqwest_auth_refresh::{
    AuthError, CookieRefresh, Event, FileStore, FirstLogin, JsonRefresh, MemoryStore, Record, RefreshError,
    RefreshGrant, RefreshRequest, Refresher, RefresherInfo, Revocation, Sealed, SealingKey, Session, SessionBuilder,
    SessionId, Sessions, State, TokenStore, Tokens, async_trait,
};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::scratch::Scratch;
use crate::virtual_world::{API, Canned, VirtualClock, client};

mod processes;
mod races;
mod undone;
mod ways_out;

/// A service: an issuer and an API that belong together, and what both of them were sent.
#[derive(Clone)]
struct Service(Arc<Inner>);

struct Inner {
    name: &'static str,
    info: RefresherInfo,
    spent: Mutex<Vec<String>>,
    revoked: Mutex<Vec<String>>,
    sent: Mutex<Vec<String>>,
    calls: AtomicUsize,
}

impl Service {
    fn new(name: &'static str, info: RefresherInfo) -> Self {
        let none = Mutex::<Vec<String>>::default;
        Self(Arc::new(Inner { name, info, spent: none(), revoked: none(), sent: none(), calls: AtomicUsize::new(0) }))
    }

    fn of(name: &'static str, registration: Option<&str>) -> Self {
        let info = RefresherInfo::default();
        Self::new(
            name,
            match registration {
                Some(registration) => info.with_registration(registration),
                None => info,
            },
        )
    }

    fn tokens(&self, nth: usize) -> Tokens {
        let tokens = Tokens::new(format!("access-{}-{nth}", self.0.name)).unwrap();
        tokens.with_refresh_token(format!("refresh-{}-{nth}", self.0.name))
    }

    fn builder(&self, store: &Arc<dyn TokenStore>) -> SessionBuilder {
        Session::builder(self.clone()).store(Arc::clone(store)).clock(VirtualClock::start())
    }

    fn session(&self, store: &Arc<dyn TokenStore>) -> Session {
        self.builder(store).build()
    }

    /// One request of this session to this service's API.
    async fn get(&self, session: &Session) -> Result<StatusCode, AuthError> {
        let inner = Arc::clone(&self.0);
        let (api, _sent) = Canned::new(move |token: Option<String>| {
            inner.sent.lock().unwrap().extend(token);
            std::future::ready(StatusCode::OK)
        });
        let answer = client(session, api).get(API).send().await;
        answer.map(|response| response.status()).map_err(|error| AuthError::find(&error).unwrap().clone())
    }

    fn calls(&self) -> usize {
        self.0.calls.load(SeqCst)
    }

    /// How often this service was sent what is another's.
    fn crossings(&self) -> usize {
        let own = |token: &&String| token.split('-').nth(1) == Some(self.0.name);
        [&self.0.spent, &self.0.revoked, &self.0.sent]
            .iter()
            .map(|seen| seen.lock().unwrap().iter().filter(|token| !own(token)).count())
            .sum()
    }
}

#[async_trait]
impl Refresher for Service {
    async fn refresh(&self, request: RefreshRequest) -> Result<Tokens, RefreshError> {
        let nth = self.0.calls.fetch_add(1, SeqCst) + 1;
        if let Some(token) = request.refresh_token() {
            let token = token.expose_secret().to_owned();
            let own = token.split('-').nth(1) == Some(self.0.name);
            self.0.spent.lock().unwrap().push(token);
            if !own {
                return Err(RefreshError::rejected("invalid_grant"));
            }
        }
        Ok(self.tokens(nth))
    }

    async fn revoke(&self, request: RefreshRequest) -> Result<Revocation, RefreshError> {
        self.0.revoked.lock().unwrap().extend(request.refresh_token().map(|token| token.expose_secret().to_owned()));
        Ok(Revocation::Revoked)
    }

    fn info(&self) -> RefresherInfo {
        self.0.info.clone()
    }
}

/// What the first of the two leaves in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Tokens,
    LoggedOut,
    NeedsLogin,
}

fn default_id() -> SessionId {
    SessionId::default()
}

async fn bytes(store: &Arc<dyn TokenStore>) -> Option<Vec<u8>> {
    store.load(&default_id()).await.unwrap().map(|record| record.to_bytes().to_vec())
}

/// What the second does that meets the first one's record: crossings, and whether all said that it is misconfigured.
async fn meet(first: &Service, second: &Service, store: &Arc<dyn TokenStore>, left: Left) -> (usize, bool) {
    let there = first.session(store);
    there.login(first.tokens(0)).await.unwrap();
    match left {
        Left::Tokens => {}
        Left::LoggedOut => drop(there.logout().await.unwrap()),
        Left::NeedsLogin => {
            let refused = |_: RefreshRequest| async { Err(RefreshError::rejected("invalid_grant")) };
            let builder = Session::builder(refused).store(Arc::clone(store));
            let dead = match first.0.info.registration() {
                Some(registration) => builder.registration(registration),
                None => builder,
            };
            assert!(dead.build().refresh().await.unwrap_err().needs_login());
        }
    }
    drop(there);
    let before = bytes(store).await;

    let here = second.session(store);
    let mut events = here.events();
    let mut errors = vec![
        second.get(&here).await.err(),
        here.access_token().await.err(),
        here.refresh().await.err(),
        here.login(second.tokens(0)).await.err(),
        second.get(&here).await.err(),
        here.logout().await.err(),
        second.get(&here).await.err(),
    ];
    tokio::time::sleep(Duration::from_secs(61)).await;
    errors.push(second.get(&here).await.err());
    errors.push(here.login(second.tokens(1)).await.err());
    drop(here.flush().await);
    let state = here.state();
    let (mut told, mut now) = (0, 0);
    while let Some(Some(event)) = futures_util::FutureExt::now_or_never(events.next()) {
        told += usize::from(matches!(event, Event::LoggedIn(_) | Event::LoggedOut | Event::NeedsLogin(_)));
        now += usize::from(matches!(event, Event::Now(_)));
    }
    let said = errors.iter().all(|error| error.as_ref().is_some_and(AuthError::is_misconfigured));
    let quiet = told == 0 && now == 1 && matches!(state, State::NotLoaded);
    let mut crossings = first.crossings() + second.crossings() + usize::from(bytes(store).await != before);
    crossings += usize::from(second.calls() > 0);

    // The first one goes on, in its next run, as if nothing had been.
    let again = first.session(store);
    match left {
        Left::Tokens => {
            let began = Instant::now();
            let calls = first.calls();
            crossings += usize::from(again.refresh().await.is_err());
            crossings += usize::from(first.calls() != calls + 1);
            crossings += usize::from(began.elapsed() >= Duration::from_secs(1));
        }
        Left::LoggedOut => crossings += usize::from(first.get(&again).await.is_err()),
        Left::NeedsLogin => crossings += usize::from(!first.get(&again).await.is_err_and(|error| error.needs_login())),
    }
    (crossings + first.crossings() + second.crossings(), said && quiet)
}

/// Registrations of ready-made refreshers and of one's own, in pairs that must never meet.
fn pairs() -> Vec<(&'static str, Option<String>, Option<String>)> {
    fn of(refresher: &dyn Refresher) -> Option<String> {
        refresher.info().registration().map(str::to_owned)
    }
    let grant = |endpoint, id| of(&RefreshGrant::new(endpoint, id).unwrap());
    let json = |endpoint| of(&JsonRefresh::post(endpoint).unwrap());
    let cookies = |endpoint| of(&CookieRefresh::post(endpoint).unwrap());
    let own = |name: &str| Some(name.to_owned());
    let (a, b) = ("https://a.example/token", "https://b.example/token");
    vec![
        ("another issuer", grant(a, "app"), grant(b, "app")),
        ("another port", grant(a, "app"), grant("https://a.example:8443/token", "app")),
        (
            "another tenant in the path",
            grant("https://a.example/t1/token", "app"),
            grant("https://a.example/t2/token", "app"),
        ),
        ("another client", grant(a, "app"), grant(a, "app-2")),
        ("a client without an id", grant(a, "app"), grant(a, "")),
        ("an id that another begins with", grant(a, "app"), grant(a, "app ")),
        ("another kind at one endpoint", grant(a, ""), json(a)),
        ("another gateway", json(a), json(b)),
        ("cookies and a gateway", cookies(a), json(a)),
        ("another gateway of cookies", cookies(a), cookies(b)),
        (
            "another scope of a service",
            own("client_credentials https://a.example/token app orders"),
            own("client_credentials https://a.example/token app billing"),
        ),
        ("none, and one", None, grant(a, "app")),
        ("one, and none", grant(a, "app"), None),
        ("none, and an empty one", None, own("")),
        ("case", own("App"), own("app")),
        ("odd characters", own("a\nb"), own("a\n\u{1b}[2Jb")),
    ]
}

#[tokio::test(start_paused = true)]
async fn two_registrations_in_one_store_never_meet() {
    let (mut met, mut crossings) = (0, 0);
    for (name, first, second) in pairs() {
        assert_ne!(first, second, "{name}");
        for left in [Left::Tokens, Left::LoggedOut, Left::NeedsLogin] {
            let key = SealingKey::new("key", &[7; 32]).unwrap();
            // Files have threads, which paused time does not wait for; they have their own tests below.
            let stores: [(&str, Arc<dyn TokenStore>); 2] = [
                ("memory", Arc::new(MemoryStore::default())),
                ("sealed", Arc::new(Sealed::new(MemoryStore::default(), key))),
            ];
            for (kind, store) in stores {
                let services = [Service::of("a", first.as_deref()), Service::of("b", second.as_deref())];
                let (crossed, said) = meet(&services[0], &services[1], &store, left).await;
                assert!(said, "{name}, {left:?}, {kind}: all say that it is misconfigured, and nothing changes");
                crossings += crossed;
                met += 1;
            }
        }
    }
    println!("figure: registration_pairs = {} pairs", pairs().len());
    println!("figure: registration_meetings = {met} meetings");
    println!("figure: registration_crossings = {crossings} crossings");
    assert_eq!(crossings, 0);
    assert!(pairs().len() >= 12);
}

/// Without registrations the same harness sees all that they are there against.
#[tokio::test(start_paused = true)]
async fn without_registrations_tokens_cross() {
    let store: Arc<dyn TokenStore> = Arc::new(MemoryStore::default());
    let services = [Service::of("a", None), Service::of("b", None)];
    let (crossings, said) = meet(&services[0], &services[1], &store, Left::Tokens).await;
    println!("figure: registration_crossings_without = {crossings} crossings");
    assert!(crossings > 0 && !said);
}

/// The first two of what a program meets: a file store with the default id, in another run, and many sessions in one table.
#[tokio::test]
async fn two_registrations_over_files_never_meet() {
    let scratch = Scratch::new();
    let store: Arc<dyn TokenStore> = Arc::new(FileStore::new(scratch.join("tokens")));
    let services = [Service::of("a", Some("oauth a")), Service::of("b", Some("oauth b"))];
    services[0].session(&store).login(services[0].tokens(0)).await.unwrap();
    let before = bytes(&store).await;
    let reopened: Arc<dyn TokenStore> = Arc::new(FileStore::new(scratch.join("tokens")));
    let second = services[1].session(&reopened);
    assert!(second.access_token().await.unwrap_err().is_misconfigured());
    assert!(second.login(services[1].tokens(0)).await.unwrap_err().is_misconfigured());
    assert_eq!(bytes(&store).await, before);
    let again = services[0].session(&reopened);
    again.refresh().await.unwrap();
    assert_eq!((services[0].calls(), services[1].calls()), (1, 0));
    assert_eq!(services[0].crossings() + services[1].crossings(), 0);
}

#[tokio::test(start_paused = true)]
async fn two_sets_of_sessions_over_one_table_never_meet() {
    let store: Arc<dyn TokenStore> = Arc::new(MemoryStore::default());
    let services = [Service::of("google", Some("oauth google")), Service::of("xero", Some("oauth xero"))];
    let sessions = services
        .clone()
        .map(|service| Sessions::builder(service).store(Arc::clone(&store)).clock(VirtualClock::start()).build());
    sessions[0].session("alice").login(services[0].tokens(0)).await.unwrap();
    let hers = sessions[1].session("alice");
    assert!(services[1].get(&hers).await.unwrap_err().is_misconfigured());
    assert!(hers.login(services[1].tokens(0)).await.unwrap_err().is_misconfigured());
    // Another user's session there is none of that.
    sessions[1].session("bob").login(services[1].tokens(1)).await.unwrap();
    assert_eq!(services[1].get(&sessions[1].session("bob")).await.unwrap(), StatusCode::OK);
    assert_eq!(services[0].get(&sessions[0].session("alice")).await.unwrap(), StatusCode::OK);
    assert_eq!(services[0].crossings() + services[1].crossings(), 0);
}

/// A service that logs in by itself meets another one's tokens, and fetches none in its place.
#[tokio::test(start_paused = true)]
async fn a_service_that_logs_in_by_itself_leaves_anothers_tokens_alone() {
    let store: Arc<dyn TokenStore> = Arc::new(MemoryStore::default());
    let services = ["orders", "billing"].map(|name| {
        let info = RefresherInfo::default().with_first_login(FirstLogin::Unattended);
        Service::new(name, info.with_registration(format!("client_credentials app {name}")))
    });
    assert_eq!(services[0].get(&services[0].session(&store)).await.unwrap(), StatusCode::OK);
    let before = bytes(&store).await;
    let second = services[1].session(&store);
    assert!(services[1].get(&second).await.unwrap_err().is_misconfigured());
    assert!(second.refresh().await.unwrap_err().is_misconfigured());
    assert_eq!((services[0].calls(), services[1].calls()), (1, 0));
    assert_eq!(bytes(&store).await, before);
    assert_eq!(services[0].crossings() + services[1].crossings(), 0);
}

/// However its first tokens come, the second one meets the first one's record and leaves it alone.
#[tokio::test(start_paused = true)]
async fn every_kind_of_first_login_meets_it_alike() {
    for first_login in [FirstLogin::Interactive, FirstLogin::Unattended, FirstLogin::Assumed] {
        let store: Arc<dyn TokenStore> = Arc::new(MemoryStore::default());
        let info = RefresherInfo::default().with_first_login(first_login).with_registration("oauth b");
        let services = [Service::of("a", Some("oauth a")), Service::new("b", info)];
        let (crossings, said) = meet(&services[0], &services[1], &store, Left::Tokens).await;
        assert!(said && crossings == 0, "{first_login:?}: {crossings} crossings");
    }
}

/// An early refresh that meets it is invisible: the token at hand is still good.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_due_is_used_beside_a_record_that_came_later() {
    let store: Arc<dyn TokenStore> = Arc::new(MemoryStore::default());
    let services = [Service::of("a", Some("oauth a")), Service::of("b", Some("oauth b"))];
    let here = services[0].session(&store);
    here.login(services[0].tokens(0).with_expires_in(Duration::from_secs(3600))).await.unwrap();
    services[1].session(&store).forget_stored().await.unwrap();
    services[1].session(&store).login(services[1].tokens(0)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3580)).await;
    assert_eq!(services[0].get(&here).await.unwrap(), StatusCode::OK);
    assert_eq!((services[0].calls(), services[0].0.sent.lock().unwrap().len()), (0, 1));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(services[0].get(&here).await.unwrap_err().is_misconfigured(), "once it has expired, it is said");
    assert_eq!(services[0].calls(), 0);
}

/// A record of another registration that comes while ours are in memory: they stay in use, and nothing is written over it.
#[tokio::test(start_paused = true)]
async fn tokens_in_memory_stay_in_use_beside_a_record_that_came_later() {
    let kept = MemoryStore::default();
    let store: Arc<dyn TokenStore> = Arc::new(kept.clone());
    let services = [Service::of("a", Some("oauth a")), Service::of("b", Some("oauth b"))];
    let here = services[0].session(&store);
    here.login(services[0].tokens(0)).await.unwrap();
    services[1].session(&store).forget_stored().await.unwrap();
    services[1].session(&store).login(services[1].tokens(0)).await.unwrap();
    let before = bytes(&store).await;

    assert_eq!(services[0].get(&here).await.unwrap(), StatusCode::OK, "good tokens go on");
    assert!(here.refresh().await.unwrap_err().is_misconfigured());
    let state = here.state();
    assert!(matches!(state, State::LoggedIn { .. }));
    assert!(here.login(services[0].tokens(1)).await.unwrap_err().is_misconfigured());
    assert_eq!(here.state(), state, "a login that cannot be stored changes nothing");
    assert_eq!(services[0].get(&here).await.unwrap(), StatusCode::OK);
    assert_eq!(bytes(&store).await, before);
    assert_eq!(services[0].calls(), 0, "no refresh token is spent whose successor could not be stored");

    // A logout takes them out of memory all the same, and tells their issuer.
    assert!(here.logout().await.unwrap_err().is_misconfigured());
    assert!(matches!(here.state(), State::LoggedOut { .. }));
    assert_eq!(*services[0].0.revoked.lock().unwrap(), ["refresh-a-0"]);
    assert_eq!(bytes(&store).await, before);
    let other = services[1].session(&store);
    other.refresh().await.unwrap();
    assert_eq!(services[0].crossings() + services[1].crossings(), 0);
}

/// The error is for the person who reads it: both names, what to do, and nothing that could forge a line of a log.
#[tokio::test(start_paused = true)]
async fn the_error_names_both_and_the_ways_out() {
    let store: Arc<dyn TokenStore> = Arc::new(MemoryStore::default());
    let first = Service::of("a", Some("oauth https://a.example/token\u{1b}[2J\nINFO forged"));
    first.session(&store).login(first.tokens(0)).await.unwrap();
    let second = Service::of("b", Some("oauth https://b.example/token app"));
    let error = second.session(&store).access_token().await.unwrap_err();
    let said = error.to_string();
    for part in
        ["https://a.example/token", "https://b.example/token app", ".id(", ".registration_was(", "forget_stored()"]
    {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(!said.contains(['\n', '\u{1b}']), "{said:?}");
    assert!(!said.contains("access-") && !said.contains("refresh-"));
    assert!(error.retry_after().is_some());
}

/// What a store hands out under this id that is another session's is neither used nor written over.
#[tokio::test(start_paused = true)]
async fn a_record_of_another_session_is_not_used() {
    let store = MemoryStore::default();
    let service = Service::of("a", Some("oauth a"));
    let version = reqwest_auth_refresh::Version::new(reqwest_auth_refresh::LoginId::from_bits(1), 0);
    let bobs = Record::of_tokens("bob", version, service.tokens(0)).with_registration("oauth a");
    let done = store.swap(&"alice".into(), None, &bobs).await.unwrap();
    assert!(matches!(done, reqwest_auth_refresh::Swap::Done));
    let store: Arc<dyn TokenStore> = Arc::new(store);
    let alice = service.builder(&store).id("alice").build();
    assert!(service.get(&alice).await.unwrap_err().is_store());
    assert!(alice.login(service.tokens(1)).await.unwrap_err().is_store());
    let kept = store.load(&"alice".into()).await.unwrap().unwrap();
    assert_eq!(kept.session().as_str(), "bob");
    assert!(service.0.sent.lock().unwrap().iter().all(|token| token != "access-a-0"));
}
