//! A session that lives in cookies: one refresh for a crowd, what is late after a logout brings nothing back, and its cookies
//! go nowhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Extensions, StatusCode};
use reqwest::Url;
use reqwest::cookie::{CookieStore, Jar};
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, CookieRefresh, CookieView, Cookies, Event, MemoryStore, Origins, RequestBuilderExt,
    Retried, Revocation, Session, State,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Gate, Gateway, GatewayCounts, PATIENCE, bounded, until};
use crate::torture::rounds;
use crate::virtual_world::told;
use crate::wire_storm::allow_enough_files;

const CROWD: usize = 1_000;

/// A program and its gateway; nobody is logged in there yet.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) session: Session,
    pub(crate) client: ClientWithMiddleware,
    pub(crate) cookies: Arc<Cookies>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|refresh| refresh).await
    }

    pub(crate) async fn with(set_up: impl FnOnce(CookieRefresh) -> CookieRefresh) -> Self {
        Self::of(set_up, None::<Slow>).await
    }

    /// With a middleware further in.
    async fn behind(inner: impl Middleware) -> Self {
        Self::of(|refresh| refresh, Some(inner)).await
    }

    async fn of(set_up: impl FnOnce(CookieRefresh) -> CookieRefresh, inner: Option<impl Middleware>) -> Self {
        let gateway = Gateway::start("right").await.unwrap();
        let refresh = CookieRefresh::post(gateway.at("refresh_token")).unwrap();
        let refresh = refresh.csrf("x-csrf", |cookies| cookies.get("csrf")).unwrap();
        let refresh = set_up(refresh.login_path("/api/web/login").logout(gateway.at("logout")).unwrap());
        let cookies = Arc::clone(refresh.cookies());
        let session = Session::builder(refresh).attempt_timeout(PATIENCE).wait_timeout(PATIENCE).build();
        let auth = AuthRefresh::new(&session, Origins::new(gateway.url()).unwrap());
        let client = auth.client_builder(reqwest::Client::builder());
        let client = if let Some(inner) = inner { client.inside(inner) } else { client };
        Self { gateway, session, client: client.build().unwrap(), cookies }
    }

    /// Somebody is logged in.
    pub(crate) async fn logged_in() -> Self {
        let world = Self::new().await;
        assert_eq!(world.log_in("right").await, 200);
        world
    }

    pub(crate) async fn log_in(&self, password: &str) -> StatusCode {
        let form = self.client.post(self.gateway.at("login")).json(&json!({ "password": password }));
        form.send().await.unwrap().status()
    }

    pub(crate) async fn get(&self) -> Result<reqwest::Response, reqwest_middleware::Error> {
        self.client.get(self.gateway.at("me")).send().await
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.get(name, &self.gateway.at("me").parse().unwrap())
    }
}

pub(crate) fn needs_login(result: &Result<reqwest::Response, reqwest_middleware::Error>) -> bool {
    result.as_ref().is_err_and(|error| AuthError::find(error).is_some_and(AuthError::needs_login))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_requests_unauthorized_together() {
    allow_enough_files();
    let world = World::logged_in().await;
    world.gateway.expire();
    world.gateway.at_refusal().close_until(CROWD);
    let mut crowd = JoinSet::new();
    for number in 0..CROWD {
        let idea = world.client.post(world.gateway.at("ideas")).body(format!("idea {number}"));
        crowd.spawn(async move {
            let response = idea.send().await.unwrap();
            let retried = response.extensions().get::<Retried>().is_some();
            let echo: Value = response.json().await.unwrap();
            // The new cookie was taken, or there would be no echo, with the CSRF value that goes with it.
            retried && echo["session"] == 2 && echo["csrf"] == "csrf-2"
        });
    }
    let crowd = bounded(|| "the crowd's answers", crowd.join_all()).await;
    let ok = crowd.into_iter().filter(|ok| *ok).count();
    let told = world.gateway.counts();
    println!("figure: cookie_storm_refresh_calls = {} calls", told.refresh_calls);
    println!("figure: cookie_storm_ok = {ok} requests");
    let expected = GatewayCounts {
        logins: 1,
        refresh_calls: 1,
        refreshed: 1,
        ok: CROWD,
        refused: CROWD,
        ..GatewayCounts::default()
    };
    assert_eq!((ok, told), (CROWD, expected), "each was sent twice, none with an old CSRF value");
}

/// A request is granted, and held on its way back while `forget` happens; or the two race, whoever wins.
async fn answered_late(
    client: &ClientWithMiddleware,
    gateway: &Gateway,
    races: bool,
    forget: impl Future<Output = ()>,
) {
    gateway.at_answer().close();
    let request = client.get(gateway.at("me"));
    let late = tokio::spawn(async move { request.send().await });
    gateway.at_answer().arrived(1).await;
    if races {
        gateway.at_answer().open();
        forget.await;
    } else {
        forget.await;
        gateway.at_answer().open();
    }
    assert_eq!(late.await.unwrap().unwrap().status(), 200);
}

/// So many logouts, each with an answer on its way that sets the session cookie once more: how often it is there afterwards.
async fn late_cookies(rounds: usize) -> usize {
    let world = World::new().await;
    world.gateway.set_sliding(true);
    let mut resurrected = 0;
    for round in 0..rounds {
        assert_eq!(world.log_in("right").await, 200);
        let logout = async { drop(world.session.logout().await.unwrap()) };
        answered_late(&world.client, &world.gateway, round % 2 == 1, logout).await;
        resurrected += usize::from(world.cookie("session").is_some());
        assert_eq!(world.get().await.unwrap().status(), 401, "the next request is nobody's");
    }
    assert_eq!(world.gateway.counts().refresh_calls, 0);
    resurrected
}

#[tokio::test]
async fn a_late_cookie_does_not_bring_a_session_back() {
    assert_eq!(late_cookies(20).await, 0);
}

#[tokio::test]
#[ignore = "torture: a thousand logouts, each with an answer on its way"]
async fn no_late_cookie_ever_brings_a_session_back() {
    let rounds = rounds(1_000);
    let resurrected = late_cookies(rounds).await;
    println!("figure: late_cookie_rounds = {rounds} rounds");
    println!("figure: late_cookie_resurrections = {resurrected} sessions");
    assert_eq!(resurrected, 0);
}

/// The control: the jar that comes with `reqwest`, and a logout that takes the cookie out of it.
#[tokio::test]
#[ignore = "torture: the control of late cookies"]
async fn control_a_plain_jar_takes_late_cookies() {
    let gateway = Gateway::start("right").await.unwrap();
    gateway.set_sliding(true);
    let url: Url = gateway.at("me").parse().unwrap();
    let jar = Arc::new(Jar::default());
    let http = reqwest::Client::builder().cookie_provider(Arc::clone(&jar)).build().unwrap();
    let client = ClientBuilder::new(http).build();
    let mut resurrected = 0;
    for round in 0..rounds(1_000) {
        let login = client.post(gateway.at("login")).json(&json!({ "password": "right" }));
        assert_eq!(login.send().await.unwrap().status(), 200);
        let logout = async { jar.add_cookie_str("session=; Path=/; Max-Age=0", &url) };
        answered_late(&client, &gateway, round % 2 == 1, logout).await;
        resurrected += usize::from(jar.cookies(&url).is_some_and(|held| held.to_str().unwrap().contains("session=s")));
    }
    println!("figure: late_cookie_resurrections_plain = {resurrected} sessions");
    assert!(resurrected > 0);
}

#[tokio::test]
async fn a_logout_empties_the_jar_and_tells_the_server_with_what_was_in_it() {
    let world = World::logged_in().await;
    assert_eq!(world.cookie("session").as_deref(), Some("session-1"));
    let report = world.session.logout().await.unwrap();
    assert_eq!(report.revocation.unwrap(), Revocation::Revoked);
    assert_eq!((world.cookie("session"), world.cookie("csrf")), (None, None));
    assert_eq!(world.gateway.counts().logouts, 1);
    assert!(matches!(world.session.state(), State::LoggedOut { .. }));
    // Once more: there is nothing to tell.
    assert_eq!(world.session.logout().await.unwrap().revocation.unwrap(), Revocation::NotConfigured);
    assert_eq!(world.gateway.counts().logouts, 1);
}

/// The logout's own answer takes cookies away, and a login may come before it does.
#[tokio::test]
async fn a_login_right_after_a_logout_keeps_its_cookies() {
    let world = World::logged_in().await;
    let session = world.session.clone();
    let logout = tokio::spawn(async move { session.logout().await });
    until("the logout", || matches!(world.session.state(), State::LoggedOut { .. })).await;
    assert_eq!(world.log_in("right").await, 200);
    drop(logout.await.unwrap().unwrap());
    assert_eq!(world.cookie("session").as_deref(), Some("session-2"));
    assert_eq!(world.get().await.unwrap().status(), 200);
}

/// Holds every answer of a login that comes by.
struct Slow(Gate);

#[reqwest_auth_refresh::async_trait]
impl Middleware for Slow {
    async fn handle(
        &self,
        request: reqwest::Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        let holds = request.url().path().ends_with("/login");
        let response = next.run(request, extensions).await;
        if holds {
            self.0.pass().await;
        }
        response
    }
}

/// Somebody else logs in over a session whose refresh is under way. The login was answered and is not known to be one yet, when
/// the refresh lands: the cookies are those of the login all the same.
#[tokio::test]
async fn a_refresh_that_lands_in_the_middle_of_a_login_does_not_undo_it() {
    let slow = Gate::opened("the answers to logins");
    let world = World::behind(Slow(slow.clone())).await;
    assert_eq!(world.log_in("right").await, 200);
    world.gateway.expire();
    // It is answered, as the refresh that it is, and that answer is on its way when the login comes.
    world.gateway.at_refreshed().close();
    let request = world.client.get(world.gateway.at("me"));
    let waiting = tokio::spawn(async move { request.send().await });
    world.gateway.at_refreshed().arrived(1).await;
    slow.close();
    let form = world.client.post(world.gateway.at("login")).json(&json!({ "password": "right" }));
    let login = tokio::spawn(async move { form.send().await });
    slow.arrived(1).await;
    assert_eq!(world.cookie("session").as_deref(), Some("session-3"));
    world.gateway.at_refreshed().open();
    // With the cookies of the refresh, which the login has ended.
    assert!(waiting.await.unwrap().is_ok());
    slow.open();
    assert_eq!(login.await.unwrap().unwrap().status(), 200);
    assert_eq!(world.cookie("session").as_deref(), Some("session-3"));
    assert_eq!(world.get().await.unwrap().status(), 200);
}

#[tokio::test]
async fn nobody_is_presumed_to_be_nobody_until_the_server_says_so() {
    let world = World::new().await;
    let mut events = world.session.events();
    // Signed with what there is, which is nothing.
    assert!(needs_login(&world.get().await));
    assert!(needs_login(&world.get().await));
    let counts = world.gateway.counts();
    assert_eq!((counts.refused, counts.refresh_calls), (1, 1));
    let needs = told(&mut events).into_iter().filter(|event| matches!(event, Event::NeedsLogin(_))).count();
    assert_eq!(needs, 1);
}

#[tokio::test]
async fn only_a_login_that_succeeds_is_one() {
    let world = World::logged_in().await;
    let version = |session: &Session| {
        let State::LoggedIn { version, .. } = session.state() else { panic!("nobody is logged in") };
        version
    };
    let before = version(&world.session);
    assert_eq!(world.log_in("wrong").await, 401);
    assert_eq!(version(&world.session), before);
    // To look at the login page is no login, although it answers with 200 and a cookie.
    assert_eq!(world.client.get(world.gateway.at("login")).send().await.unwrap().status(), 200);
    assert_eq!(world.cookie("page").as_deref(), Some("seen"));
    assert_eq!(version(&world.session), before);
    assert_eq!(world.log_in("right").await, 200);
    assert_ne!(version(&world.session).login, before.login);
    assert_eq!(world.gateway.counts().refresh_calls, 0);
}

#[tokio::test]
async fn a_cookie_or_a_csrf_header_of_the_callers_own_stays() {
    let world = World::logged_in().await;
    world.gateway.expire();
    let own = world.client.get(world.gateway.at("me")).header("cookie", "session=own");
    assert_eq!(own.send().await.unwrap().status(), 401);
    assert_eq!(world.gateway.counts().refresh_calls, 0, "its 401 is no reason to refresh");
    assert_eq!(world.get().await.unwrap().status(), 200);
    let own = world.client.post(world.gateway.at("ideas")).header("x-csrf", "own").body("idea");
    assert_eq!(own.send().await.unwrap().status(), 403);
    assert_eq!(world.gateway.counts().forged, 1);
}

/// Cookies know no ports, and servers of one host would see each other's.
#[tokio::test]
async fn cookies_stay_with_their_origins() {
    let world = World::logged_in().await;
    let neighbour = Gateway::start("right").await.unwrap();
    let answer = world.client.get(neighbour.at("me")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), neighbour.counts().refused), (401, 1));
    let planted = world.client.post(neighbour.at("login")).json(&json!({ "password": "right" }));
    assert_eq!(planted.send().await.unwrap().status(), 200);
    assert_eq!(world.cookie("session").as_deref(), Some("session-1"), "it set cookies, and they were not taken");
    world.cookies.add("planted=x; Path=/", &neighbour.at("me").parse().unwrap());
    assert_eq!(world.cookie("planted"), None);
    assert_eq!(world.get().await.unwrap().status(), 200);
}

/// Unsigned and excluded requests pass as they are, and are counted all the same: their answers may be late as well.
#[tokio::test]
async fn what_is_left_alone_is_counted_too() {
    let world = World::logged_in().await;
    world.gateway.set_sliding(true);
    world.gateway.at_answer().close();
    let unsigned = world.client.get(world.gateway.at("me")).unsigned();
    let late = tokio::spawn(async move { unsigned.send().await });
    world.gateway.at_answer().arrived(1).await;
    drop(world.session.logout().await.unwrap());
    world.gateway.at_answer().open();
    assert_eq!(late.await.unwrap().unwrap().status(), 200);
    assert_eq!(world.cookie("session"), None);
}

#[tokio::test]
async fn a_panic_in_the_csrf_function_ends_its_request() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let world = World::with(move |refresh| {
        let panics = move |_: &CookieView<'_>| match counted.fetch_add(1, Ordering::SeqCst) {
            0 => panic!("on purpose"),
            _ => None,
        };
        refresh.csrf("x-csrf", panics).unwrap()
    });
    let world = world.await;
    let mut events = world.session.events();
    let error = world.get().await.unwrap_err();
    assert!(AuthError::find(&error).unwrap().is_misconfigured(), "{error}");
    let failed = told(&mut events).into_iter().filter(|event| matches!(event, Event::CallbackFailed)).count();
    assert_eq!((failed, world.gateway.counts().refused), (1, 0));
    assert!(needs_login(&world.get().await), "the next one goes its way");
}

/// Another program over the same store says that it is over: cookies or not, nobody is asked.
#[tokio::test]
async fn a_tombstone_in_the_store_is_believed() {
    let gateway = Gateway::start("right").await.unwrap();
    let store = MemoryStore::default();
    let open = || {
        let refresh = CookieRefresh::post(gateway.at("refresh_token")).unwrap();
        Session::builder(refresh).store(store.clone()).build()
    };
    let first = open();
    assert!(first.refresh().await.unwrap_err().needs_login());
    let second = open();
    assert!(second.refresh().await.unwrap_err().needs_login());
    assert_eq!(gateway.counts().refresh_calls, 1);
}
