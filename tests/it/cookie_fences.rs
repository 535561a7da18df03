//! What lands in the cookies of a session lands in those of the login that it belongs to: not after a logout, not in another
//! login, not in another session.

use std::sync::Arc;

use reqwest::Url;
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, CookieRefresh, Event, Origins, RefreshError, RefreshReason, RefreshRequest, Refresher,
    RefresherInfo, RequestBuilderExt, Revocation, Session, State, Tokens, async_trait,
};
use serde_json::json;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::cookies::{World, needs_login};
use crate::raw_server::{Asked, RawServer, Reply};
use crate::support::{Gate, Gateway, until};
use crate::virtual_world::told;

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

fn version(session: &Session) -> reqwest_auth_refresh::Version {
    let State::LoggedIn { version, .. } = session.state() else { panic!("nobody is logged in") };
    version
}

/// A server that answers everything with this.
async fn server(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(wiremock::matchers::any()).respond_with(answer).mount(&server).await;
    server
}

async fn last_cookie(server: &MockServer) -> Option<String> {
    let requests = server.received_requests().await.unwrap();
    requests.last()?.headers.get("cookie").map(|value| value.to_str().unwrap().to_owned())
}

/// The refresher that it wraps, telling when it has returned.
struct Told(CookieRefresh, Gate);

#[async_trait]
impl Refresher for Told {
    async fn refresh(&self, request: RefreshRequest) -> Result<Tokens, RefreshError> {
        let result = self.0.refresh(request).await;
        self.1.pass().await;
        result
    }

    fn info(&self) -> RefresherInfo {
        self.0.info()
    }
}

/// A refresh was answered, and that is on its way when somebody logs out, or another one logs in: what it brings is taken by
/// nobody.
#[tokio::test]
async fn a_refresh_that_lands_after_a_logout_or_a_login_brings_no_cookies() {
    for logs_in in [false, true] {
        let gateway = Gateway::start("right").await.unwrap();
        let returned = Gate::closed("the refreshes that return");
        let refresh = CookieRefresh::post(gateway.at("refresh_token")).unwrap();
        let refresh = refresh.csrf("x-csrf", |cookies| cookies.get("csrf")).unwrap().login_path("/api/web/login");
        let cookies = Arc::clone(refresh.cookies());
        let session = Session::new(Told(refresh, returned.clone()));
        let auth = AuthRefresh::new(&session, Origins::new(gateway.url()).unwrap());
        let client = auth.client(reqwest::Client::builder()).unwrap();
        let form = client.post(gateway.at("login")).json(&json!({ "password": "right" }));
        assert_eq!(form.send().await.unwrap().status(), 200);
        gateway.expire();
        gateway.at_refreshed().close();
        let request = client.get(gateway.at("me"));
        let waiting = tokio::spawn(async move { request.send().await });
        gateway.at_refreshed().arrived(1).await;
        if logs_in {
            session.logged_in().await.unwrap();
            cookies.add("session=another; Path=/", &url(&gateway.at("me")));
        } else {
            drop(session.logout().await.unwrap());
        }
        gateway.at_refreshed().open();
        let error = waiting.await.unwrap().unwrap_err();
        assert!(AuthError::find(&error).unwrap().is_logged_out(), "{error}");
        // The answer was heard: it brought session-2.
        returned.arrived(1).await;
        assert_eq!(gateway.counts().refreshed, 1);
        let expected = logs_in.then_some("another");
        assert_eq!(cookies.get("session", &url(&gateway.at("me"))).as_deref(), expected, "logs in: {logs_in}");
        returned.open();
    }
}

/// A login was sent, and then somebody logs out: it logs nobody in.
#[tokio::test]
async fn a_login_that_is_answered_after_a_logout_is_none() {
    let world = World::logged_in().await;
    world.gateway.at_login().close();
    let form = world.client.post(world.gateway.at("login")).json(&json!({ "password": "right" }));
    let late = tokio::spawn(async move { form.send().await });
    world.gateway.at_login().arrived(1).await;
    drop(world.session.logout().await.unwrap());
    world.gateway.at_login().open();
    assert_eq!(late.await.unwrap().unwrap().status(), 200);
    assert!(matches!(world.session.state(), State::LoggedOut { .. }), "{:?}", world.session.state());
    assert_eq!(world.cookie("session"), None);
}

/// Of two logins at once the one that is answered last is the one.
#[tokio::test]
async fn the_last_login_wins_with_its_own_cookies() {
    let world = World::new().await;
    world.gateway.at_login().close();
    let form = || world.client.post(world.gateway.at("login")).json(&json!({ "password": "right" }));
    let (first, second) = (form(), form());
    let first = tokio::spawn(async move { first.send().await });
    world.gateway.at_login().arrived(1).await;
    let second = tokio::spawn(async move { second.send().await });
    world.gateway.at_login().arrived(2).await;
    world.gateway.at_login().let_through(1);
    let before = tokio::select! { first = first => first, second = second => second };
    assert_eq!(before.unwrap().unwrap().status(), 200);
    let login = version(&world.session).login;
    world.gateway.at_login().open();
    until("the second login", || version(&world.session).login != login).await;
    assert_eq!(world.gateway.counts().logins, 2);
    let held = world.cookie("session").unwrap();
    assert_eq!(world.cookie("csrf").unwrap().trim_start_matches("csrf-"), held.trim_start_matches("session-"));
}

#[tokio::test]
async fn the_page_of_a_login_brings_nothing_back() {
    let world = World::logged_in().await;
    assert_eq!(world.client.get(world.gateway.at("login")).send().await.unwrap().status(), 200);
    drop(world.session.logout().await.unwrap());
    let me = url(&world.gateway.at("me"));
    world.cookies.add("page=another; Path=/", &me);
    world.session.logged_in().await.unwrap();
    assert_eq!(world.cookie("page").as_deref(), Some("another"));
}

/// The way for logins that cannot be told by their answer: excluded, and told by the program.
#[tokio::test]
async fn a_login_by_hand_right_after_a_logout_keeps_its_cookies() {
    let gateway = Gateway::start("right").await.unwrap();
    let session = Session::new(CookieRefresh::post(gateway.at("refresh_token")).unwrap());
    let auth = AuthRefresh::new(&session, Origins::new(gateway.url()).unwrap()).exclude("/api/web/login");
    let client = auth.client(reqwest::Client::builder()).unwrap();
    let log_in = || client.post(gateway.at("login")).json(&json!({ "password": "right" })).send();
    assert_eq!(log_in().await.unwrap().status(), 200);
    session.logged_in().await.unwrap();
    gateway.at_answer().close();
    let request = client.get(gateway.at("me"));
    let late = tokio::spawn(async move { request.send().await });
    gateway.at_answer().arrived(1).await;
    drop(session.logout().await.unwrap());
    assert_eq!(log_in().await.unwrap().status(), 200);
    session.logged_in().await.unwrap();
    gateway.at_answer().open();
    drop(late.await.unwrap());
    assert_eq!(client.get(gateway.at("me")).send().await.unwrap().status(), 200);
}

/// It was sent under the login before, and its cookies are looked for when it is sent at last.
#[tokio::test]
async fn a_request_that_waited_over_a_login_does_not_carry_the_new_cookies() {
    struct Holds(Gate);

    #[async_trait]
    impl reqwest_middleware::Middleware for Holds {
        async fn handle(
            &self,
            request: reqwest::Request,
            extensions: &mut http::Extensions,
            next: reqwest_middleware::Next<'_>,
        ) -> reqwest_middleware::Result<reqwest::Response> {
            self.0.pass().await;
            next.run(request, extensions).await
        }
    }

    let api = server(ResponseTemplate::new(200)).await;
    let refresh = CookieRefresh::post(format!("{}/refresh", api.uri())).unwrap();
    let cookies = Arc::clone(refresh.cookies());
    cookies.add("session=alice; Path=/", &url(&api.uri()));
    let session = Session::new(refresh);
    let auth = AuthRefresh::new(&session, Origins::new(api.uri()).unwrap());
    let gate = Gate::closed("the requests on their way");
    let client = auth.client_builder(reqwest::Client::builder()).inside(Holds(gate.clone())).build().unwrap();
    session.logged_in().await.unwrap();
    let request = client.get(api.uri());
    let waiting = tokio::spawn(async move { request.send().await });
    gate.arrived(1).await;
    session.logged_in().await.unwrap();
    cookies.add("session=bob; Path=/", &url(&api.uri()));
    gate.open();
    drop(waiting.await.unwrap());
    assert_eq!(last_cookie(&api).await, None, "neither alice's, which are gone, nor bob's");
}

/// Two users in one client, each with a middleware of their own.
#[tokio::test]
async fn each_door_sends_the_cookies_of_its_own_session() {
    let api = server(ResponseTemplate::new(200).insert_header("set-cookie", "seen=yes; Path=/")).await;
    let user = |name: &str| {
        let refresh = CookieRefresh::post(format!("{}/refresh", api.uri())).unwrap();
        refresh.cookies().add(&format!("session={name}; Path=/"), &url(&api.uri()));
        let cookies = Arc::clone(refresh.cookies());
        (AuthRefresh::new(Session::new(refresh), Origins::new(api.uri()).unwrap()), cookies)
    };
    let [(alice, of_alice), (bob, of_bob)] = ["alice", "bob"].map(user);
    let both = |outer: &AuthRefresh, inner: &AuthRefresh| {
        outer.client_builder(reqwest::Client::builder()).also(inner).build().unwrap()
    };
    let (alice, bob) = (both(&alice, &bob), both(&bob, &alice));
    // The outer one has it in hand.
    bob.get(api.uri()).send().await.unwrap();
    assert_eq!(last_cookie(&api).await.as_deref(), Some("session=bob"));
    assert_eq!(
        (of_alice.get("seen", &url(&api.uri())), of_bob.get("seen", &url(&api.uri()))),
        (None, Some("yes".into()))
    );
    alice.get(api.uri()).send().await.unwrap();
    assert_eq!(last_cookie(&api).await.as_deref(), Some("session=alice"));
    // Without the middleware nothing says whose it is.
    alice.as_ref().get(api.uri()).send().await.unwrap();
    assert_eq!(last_cookie(&api).await, None);
}

/// Two sessions whose refresh endpoints share a host.
#[tokio::test]
async fn a_shared_issuer_keeps_two_sessions_apart() {
    let issuer = server(ResponseTemplate::new(200).insert_header("set-cookie", "refresh=first; Path=/")).await;
    let apis = [server(ResponseTemplate::new(200)).await, server(ResponseTemplate::new(200)).await];
    let first = CookieRefresh::post(format!("{}/a/refresh", issuer.uri())).unwrap().login_path("/login");
    let second = CookieRefresh::post(format!("{}/b/refresh", issuer.uri())).unwrap();
    let sessions = [Session::new(first), Session::new(second)];
    let doors = [0, 1].map(|n| AuthRefresh::new(&sessions[n], Origins::new(apis[n].uri()).unwrap()));
    let client = doors[0].client_builder(reqwest::Client::builder()).also(&doors[1]).build().unwrap();
    client.post(format!("{}/login", issuer.uri())).send().await.unwrap();
    drop(sessions[1].refresh().await);
    assert_eq!(last_cookie(&issuer).await, None, "the second session has no cookie of the first one's");
    drop(sessions[0].refresh().await);
    assert_eq!(last_cookie(&issuer).await.as_deref(), Some("refresh=first"));
}

#[tokio::test]
async fn two_doors_of_one_session_log_in_once() {
    let gateway = Gateway::start("right").await.unwrap();
    let other = server(ResponseTemplate::new(200)).await;
    let refresh = CookieRefresh::post(gateway.at("refresh_token")).unwrap().login_path("/api/web/login");
    let session = Session::new(refresh);
    let doors = [gateway.url(), &other.uri()].map(|origin| AuthRefresh::new(&session, Origins::new(origin).unwrap()));
    let client = doors[0].client_builder(reqwest::Client::builder()).also(&doors[1]).build().unwrap();
    let mut events = session.events();
    let form = client.post(gateway.at("login")).json(&json!({ "password": "right" }));
    assert_eq!(form.send().await.unwrap().status(), 200);
    let logins = told(&mut events).into_iter().filter(|event| matches!(event, Event::LoggedIn(_))).count();
    assert_eq!(logins, 1);
}

/// A login that is led elsewhere: is that how it succeeds, or how it fails?
#[tokio::test]
async fn a_login_that_is_redirected_is_for_the_program_to_tell() {
    let api = MockServer::start().await;
    let leads =
        ResponseTemplate::new(302).insert_header("location", "/login").insert_header("set-cookie", "s=1; Path=/");
    Mock::given(method("POST")).respond_with(leads).mount(&api).await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(200)).mount(&api).await;
    let refresh = CookieRefresh::post(format!("{}/refresh", api.uri())).unwrap().login_path("/login");
    let session = Session::new(refresh);
    let auth = AuthRefresh::new(&session, Origins::new(api.uri()).unwrap());
    let client = auth.client(reqwest::Client::builder()).unwrap();
    for at in ["/login", "/login/form"] {
        let response = client.post(format!("{}{at}", api.uri())).send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.url().path()), (200, "/login"));
    }
    assert_eq!(session.state(), State::NotLoaded, "nobody logged in");
}

/// The CSRF function may ask the cookies for anything: it runs under no lock of theirs.
#[tokio::test]
async fn the_csrf_function_may_use_the_cookies() {
    let gateway = Gateway::start("right").await.unwrap();
    let refresh = CookieRefresh::post(gateway.at("refresh_token")).unwrap().logout(gateway.at("logout")).unwrap();
    let (cookies, me) = (Arc::clone(refresh.cookies()), url(&gateway.at("me")));
    let refresh = refresh.csrf("x-csrf", move |view| {
        cookies.add("asked=1; Path=/", &me);
        view.get("csrf")
    });
    let session = Session::new(refresh.unwrap());
    // It would stand still for good: so it is asked where nobody waits for its end.
    let asked = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { (session.refresh().await.is_err(), session.logout().await.is_ok()) })
    });
    let asked = tokio::task::spawn_blocking(move || asked.join()).await.unwrap().unwrap();
    assert_eq!(asked, (true, true));
}

#[tokio::test]
async fn one_cookie_that_is_no_text_hides_no_other() {
    let refresh = CookieRefresh::post("https://api.example.com/refresh").unwrap();
    let at = url("https://api.example.com/refresh");
    for cookie in ["name=J\u{fc}rgen; Path=/", "csrf=c-1; Path=/", "csrf2=other; Path=/"] {
        refresh.cookies().add(cookie, &at);
    }
    assert_eq!(refresh.cookies().get("csrf", &at).as_deref(), Some("c-1"));
    assert_eq!(refresh.cookies().get("srf", &at), None);
}

/// The head of the answer came, and with it the new cookies; its body broke off.
#[tokio::test]
async fn cookies_of_an_answer_that_breaks_off_are_taken() {
    let server = RawServer::start(|_: &Asked| {
        let head = "HTTP/1.1 200 OK\r\nset-cookie: refresh=two; Path=/\r\ncontent-length: 20\r\n\r\n{\"status\":";
        Reply::saying(head).closing()
    })
    .await;
    let refresh = CookieRefresh::post(server.url("/refresh")).unwrap();
    refresh.cookies().add("refresh=one; Path=/", &url(&server.url("/")));
    let session = Session::new(refresh);
    assert!(session.refresh().await.unwrap_err().is_transient());
    let sent: Vec<_> = server.take_asked().iter().map(|asked| asked.header("cookie").unwrap()).collect();
    assert_eq!(sent, [b"refresh=one".to_vec(), b"refresh=two".to_vec()], "the spent one is not sent again");
}

/// Whatever the answer says, as a browser takes them.
#[tokio::test]
async fn cookies_of_a_refusal_are_taken() {
    let refused = server(ResponseTemplate::new(503).insert_header("set-cookie", "node=7; Path=/")).await;
    let refresh = CookieRefresh::post(refused.uri()).unwrap();
    let cookies = Arc::clone(refresh.cookies());
    assert!(Session::new(refresh).refresh().await.unwrap_err().is_transient());
    assert_eq!(cookies.get("node", &url(&refused.uri())).as_deref(), Some("7"));
}

#[tokio::test]
async fn a_cookie_store_of_the_refreshers_client_is_not_asked() {
    let issuer = server(ResponseTemplate::new(200).insert_header("set-cookie", "refresh=alice; Path=/")).await;
    let refresh = CookieRefresh::post(issuer.uri()).unwrap();
    let session = Session::new(refresh.http(reqwest::Client::builder().cookie_store(true)).unwrap());
    session.refresh().await.unwrap();
    drop(session.logout().await.unwrap());
    session.logged_in().await.unwrap();
    drop(session.refresh().await);
    assert_eq!(last_cookie(&issuer).await, None);
}

#[tokio::test]
async fn a_logout_is_told_once_and_without_a_body() {
    let issuer = server(ResponseTemplate::new(200)).await;
    let refresh = CookieRefresh::post(format!("{}/refresh", issuer.uri())).unwrap();
    let refresh = refresh.member("device", "d-17").unwrap().header("x-key", "k").unwrap();
    let refresh = refresh.logout(format!("{}/logout", issuer.uri())).unwrap();
    refresh.cookies().add("session=1; Path=/", &url(&issuer.uri()));
    let cookies = Arc::clone(refresh.cookies());
    let refresh = Arc::new(refresh);
    let session = Session::new(Shared(Arc::clone(&refresh)));
    session.logged_in().await.unwrap();
    drop(session.logout().await.unwrap());
    let logout = issuer.received_requests().await.unwrap().pop().unwrap();
    assert_eq!((logout.url.path(), logout.body.len()), ("/logout", 0));
    assert_eq!((logout.headers.get("content-type"), &logout.headers["x-key"]), (None, &"k".parse().unwrap()));
    assert_eq!(logout.headers["cookie"], "session=1");
    // A refresh that lands after the logout asks for its end as well.
    let bound = std::time::Duration::from_secs(1);
    let again = RefreshRequest::new("a".into(), None, RefreshReason::LoggedOut, bound);
    assert_eq!(refresh.revoke(again).await.unwrap(), Revocation::NotConfigured);
    assert_eq!(issuer.received_requests().await.unwrap().len(), 1);
    // What was put in since is not wanted either.
    cookies.add("session=2; Path=/", &url(&issuer.uri()));
    drop(session.logout().await.unwrap());
    assert_eq!(cookies.get("session", &url(&issuer.uri())), None);
}

/// A refresher that somebody else has too.
struct Shared(Arc<CookieRefresh>);

#[async_trait]
impl Refresher for Shared {
    async fn refresh(&self, request: RefreshRequest) -> Result<Tokens, RefreshError> {
        self.0.refresh(request).await
    }

    async fn revoke(&self, request: RefreshRequest) -> Result<Revocation, RefreshError> {
        self.0.revoke(request).await
    }

    fn info(&self) -> RefresherInfo {
        self.0.info()
    }
}

#[test]
fn plain_http_on_this_machine_is_no_leave_for_it_elsewhere() {
    let refresh = CookieRefresh::post("http://localhost:3000/refresh").unwrap();
    assert!(refresh.logout("http://api.example.com/logout").is_err());
    let refresh = CookieRefresh::dangerous_http("http://api.example.com/refresh").unwrap();
    assert!(refresh.logout("http://api.example.com/logout").is_ok());
}

#[tokio::test]
async fn the_login_shows_the_csrf_value_and_is_otherwise_as_it_was() {
    let api = server(ResponseTemplate::new(200)).await;
    let refresh = CookieRefresh::post(format!("{}/refresh", api.uri())).unwrap();
    let refresh = refresh.csrf("x-csrf", |cookies| cookies.get("csrf")).unwrap().login_path("/login");
    refresh.cookies().add("csrf=c-1; Path=/", &url(&api.uri()));
    let session = Session::new(refresh);
    let auth = AuthRefresh::new(&session, Origins::new(api.uri()).unwrap());
    let client = auth.client(reqwest::Client::builder()).unwrap();
    client.post(format!("{}/login", api.uri())).send().await.unwrap();
    client.post(format!("{}/me", api.uri())).unsigned().send().await.unwrap();
    let requests = api.received_requests().await.unwrap();
    assert_eq!(requests[0].headers["x-csrf"], "c-1");
    assert_eq!(
        (requests[1].headers.get("x-csrf"), &requests[1].headers["cookie"]),
        (None, &"csrf=c-1".parse().unwrap())
    );
}

/// The program calls the logout's address itself: a 401 from there asks for no refresh.
#[tokio::test]
async fn the_logouts_address_is_the_refreshers_own() {
    let world = World::logged_in().await;
    let refresh = CookieRefresh::post(world.gateway.at("refresh_token")).unwrap();
    assert_eq!(refresh.logout(world.gateway.at("logout")).unwrap().info().endpoints().len(), 2);
    world.gateway.end();
    assert!(needs_login(&world.get().await));
    assert_eq!(
        world.client.post(world.gateway.at("logout")).send().await.unwrap().status(),
        200,
        "it passes all the same"
    );
}

/// An endpoint that says back what it was sent.
#[tokio::test]
async fn an_echo_of_a_cookie_is_not_shown() {
    let echo = server(ResponseTemplate::new(400).set_body_json(json!({ "error": "canary-of-a-cookie" }))).await;
    let refresh = CookieRefresh::post(echo.uri()).unwrap();
    refresh.cookies().add("refresh=canary-of-a-cookie; Path=/", &url(&echo.uri()));
    let error = Session::new(refresh).refresh().await.unwrap_err();
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        cause = error.source();
    }
}
