//! No token goes where a redirect leads, unless that is one of the origins; and what is said there about tokens is no reason
//! to refresh.

use http::StatusCode;
use reqwest::redirect::Policy;
use reqwest::{ClientBuilder as HttpBuilder, Url};
use reqwest_auth_refresh::{
    AuthRefresh, CookieRefresh, JsonRefresh, Origins, Placement, RefreshError, RefreshGrant, RefreshRequest, Refresher,
    Session, SetupError, Tokens,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const CANARY: &str = "canary-that-must-not-travel";
const STATUSES: [u16; 4] = [302, 303, 307, 308];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Target {
    OtherHost,
    OtherPort,
    SameOrigin,
}

/// How a request shows whose it is, and the client that it goes by.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Carried {
    Bearer,
    BearerOwn,
    CustomOwn,
    CookieOwn,
}

/// An API that redirects, and a server that is not among its origins.
struct World {
    api: MockServer,
    thief: MockServer,
}

impl World {
    async fn new() -> Self {
        let (api, thief) = (MockServer::start().await, MockServer::start().await);
        Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&thief).await;
        let (own, other) = (api.uri(), thief.uri());
        let leads = move |request: &Request| {
            let mut parts = request.url.path().split('/').skip(2);
            let (Some(status), Some(target)) = (parts.next(), parts.next()) else { return ResponseTemplate::new(200) };
            let to = match target {
                "OtherHost" => other.replace("127.0.0.1", "localhost"),
                "OtherPort" => other.clone(),
                _ => own.clone(),
            };
            ResponseTemplate::new(status.parse::<u16>().unwrap()).insert_header("location", format!("{to}/there"))
        };
        Mock::given(any()).respond_with(leads).mount(&api).await;
        Self { api, thief }
    }

    fn at(&self, status: u16, target: Target) -> String {
        format!("{}/go/{status}/{target:?}", self.api.uri())
    }

    fn origins(&self) -> Origins {
        Origins::new(self.api.uri()).unwrap()
    }

    async fn client(&self, carried: Carried) -> ClientWithMiddleware {
        if carried == Carried::CookieOwn {
            let refresh = CookieRefresh::post(format!("{}/refresh", self.api.uri())).unwrap();
            let refresh = refresh.csrf("x-csrf", |cookies| cookies.get("session")).unwrap();
            refresh.cookies().add(&format!("session={CANARY}; Path=/"), &self.api.uri().parse().unwrap());
            let auth = AuthRefresh::new(Session::new(refresh), self.origins());
            return auth.client(following()).unwrap();
        }
        let session = session().await;
        let auth = AuthRefresh::new(&session, self.origins());
        match carried {
            Carried::CustomOwn => {
                auth.placement(Placement::header("X-Access-Token", "").unwrap()).client(following()).unwrap()
            }
            Carried::BearerOwn => auth.client(following()).unwrap(),
            Carried::Bearer | Carried::CookieOwn => ClientBuilder::new(reqwest::Client::new()).with(auth).build(),
        }
    }
}

/// What the program set before has no say.
fn following() -> HttpBuilder {
    HttpBuilder::new().redirect(Policy::limited(5)).referer(true).cookie_store(true)
}

async fn session() -> Session {
    let session = Session::new(|_: RefreshRequest| async { Err(RefreshError::unavailable("nobody asks")) });
    session.login(Tokens::new(CANARY).unwrap()).await.unwrap();
    session
}

/// Bytes of the canary that a server got, in headers, addresses and bodies.
async fn leaked(server: &MockServer) -> usize {
    let count = |bytes: &[u8]| bytes.windows(CANARY.len()).filter(|window| *window == CANARY.as_bytes()).count();
    let requests = server.received_requests().await.unwrap();
    let texts = requests.iter().map(|request| {
        let headers: usize = request.headers.values().map(|value| count(value.as_bytes())).sum();
        headers + count(request.url.as_str().as_bytes()) + count(&request.body)
    });
    texts.sum::<usize>() * CANARY.len()
}

#[tokio::test]
async fn nothing_travels_to_where_a_redirect_leads() {
    use Carried::{Bearer, BearerOwn, CookieOwn, CustomOwn};
    let world = World::new().await;
    let mut cases = 0;
    for carried in [Bearer, BearerOwn, CustomOwn, CookieOwn] {
        let client = world.client(carried).await;
        for status in STATUSES {
            for target in [Target::OtherHost, Target::OtherPort, Target::SameOrigin] {
                cases += 1;
                let asked = world.thief.received_requests().await.unwrap().len();
                let response = client.post(world.at(status, target)).body("order").send().await.unwrap();
                let asked = world.thief.received_requests().await.unwrap().len() - asked;
                let follows = target == Target::SameOrigin || carried == Bearer;
                let expected = if follows { 200 } else { status };
                assert_eq!(response.status(), expected, "{carried:?} {status} {target:?}");
                assert_eq!(
                    asked,
                    usize::from(follows && target != Target::SameOrigin),
                    "{carried:?} {status} {target:?}"
                );
                if target == Target::SameOrigin {
                    let arrived = world.api.received_requests().await.unwrap().pop().unwrap();
                    assert_eq!(arrived.url.path(), "/there");
                    let referer = arrived.headers.contains_key("referer");
                    assert_eq!(
                        referer,
                        carried == Bearer,
                        "{carried:?}: an address may hold what is nobody's business"
                    );
                    let carries = arrived.headers.values().any(|value| value.to_str().unwrap().contains(CANARY));
                    assert!(carries, "{carried:?} {status}: within the origin it goes along");
                }
            }
        }
    }
    let bytes = leaked(&world.thief).await;
    println!("figure: redirect_wire_cases = {cases} cases");
    println!("figure: redirect_leaked_bytes = {bytes} bytes");
    assert_eq!((cases, bytes), (48, 0));
}

#[tokio::test]
async fn control_over_any_client_a_custom_header_travels() {
    let world = World::new().await;
    let auth = AuthRefresh::new(&session().await, world.origins());
    let auth = auth.placement(Placement::header("X-Access-Token", "").unwrap()).dangerous_over_any_client();
    let client = ClientBuilder::new(reqwest::Client::new()).with(auth).build();
    for status in STATUSES {
        for target in [Target::OtherHost, Target::OtherPort] {
            assert_eq!(client.get(world.at(status, target)).send().await.unwrap().status(), 200);
        }
    }
    let bytes = leaked(&world.thief).await;
    println!("figure: redirect_leaked_bytes_over_any_client = {bytes} bytes");
    assert_eq!(bytes, 8 * CANARY.len());
}

/// A redirect that ends in a circle is given up, and one to another origin of the same middleware goes on.
#[tokio::test]
async fn its_client_follows_as_reqwest_does_within_the_origins() {
    let world = World::new().await;
    let circle = MockServer::start().await;
    let round = ResponseTemplate::new(302).insert_header("location", circle.uri());
    Mock::given(any()).respond_with(round).mount(&circle).await;
    let origins = world.origins().and(world.thief.uri()).unwrap().and(circle.uri()).unwrap();
    let auth = AuthRefresh::new(&session().await, origins).placement(Placement::header("X-Token", "").unwrap());
    let client = auth.client(HttpBuilder::new()).unwrap();

    assert_eq!(client.get(world.at(302, Target::OtherPort)).send().await.unwrap().status(), 200);
    assert_eq!(leaked(&world.thief).await, CANARY.len(), "the other origin of this middleware may have it");
    let error = client.get(circle.uri()).send().await.unwrap_err();
    assert!(error.is_redirect(), "{error:?}");
    assert_eq!(circle.received_requests().await.unwrap().len(), 11);
}

/// What begins outside the origins carries nothing and is led wherever it is led.
#[tokio::test]
async fn its_client_leaves_all_other_redirects_alone() {
    let world = World::new().await;
    let auth = AuthRefresh::new(&session().await, Origins::new("https://api.example.com").unwrap());
    let auth = auth.placement(Placement::header("X-Access-Token", "").unwrap());
    let client = auth.client(HttpBuilder::new()).unwrap();
    assert_eq!(client.get(world.at(307, Target::OtherHost)).send().await.unwrap().status(), 200);
    assert_eq!(world.thief.received_requests().await.unwrap().len(), 1);
    assert_eq!(leaked(&world.thief).await + leaked(&world.api).await, 0);
}

/// A way that begins outside may lead through the origins and out again: nothing was placed on it.
#[tokio::test]
async fn a_way_from_outside_leads_through() {
    let world = World::new().await;
    let outside = MockServer::start().await;
    let in_and_out = ResponseTemplate::new(302).insert_header("location", world.at(302, Target::OtherPort));
    Mock::given(any()).respond_with(in_and_out).mount(&outside).await;
    let client = world.client(Carried::CustomOwn).await;
    assert_eq!(client.get(outside.uri()).send().await.unwrap().status(), 200);
    assert_eq!(world.thief.received_requests().await.unwrap().len(), 1);
    assert_eq!(leaked(&world.thief).await + leaked(&world.api).await, 0);
}

/// The same in a session that lives in cookies: what a sister origin says is no reason to refresh.
#[tokio::test]
async fn a_401_from_a_sister_origin_asks_for_no_new_cookies() {
    let world = World::new().await;
    world.thief.reset().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(401)).mount(&world.thief).await;
    let refresh = CookieRefresh::post(format!("{}/refresh", world.api.uri())).unwrap();
    let auth = AuthRefresh::new(Session::new(refresh), world.origins().and(world.thief.uri()).unwrap());
    let client = auth.client(HttpBuilder::new()).unwrap();
    assert_eq!(client.get(world.at(302, Target::OtherPort)).send().await.unwrap().status(), 401);
    let paths: Vec<_> =
        world.api.received_requests().await.unwrap().iter().map(|got| got.url.path().to_owned()).collect();
    assert_eq!(paths, ["/go/302/OtherPort"], "sent once, and no refresh");
}

/// One client for two APIs: each middleware's redirects stay within its own origins, and each session's cookies are its own.
#[tokio::test]
async fn one_client_serves_two_apis() {
    let (first, second) = (World::new().await, World::new().await);
    let with_cookie = |world: &World, value: &str| {
        let refresh = CookieRefresh::post(format!("{}/refresh", world.api.uri())).unwrap();
        refresh.cookies().add(&format!("session={value}; Path=/"), &world.api.uri().parse().unwrap());
        AuthRefresh::new(Session::new(refresh), world.origins())
    };
    let (one, two) = (with_cookie(&first, "one"), with_cookie(&second, "two"));
    let client = one.client_builder(HttpBuilder::new()).also(&two).build().unwrap();
    for (world, value) in [(&first, "session=one"), (&second, "session=two")] {
        assert_eq!(client.get(format!("{}/me", world.api.uri())).send().await.unwrap().status(), 200);
        assert_eq!(client.get(world.at(302, Target::OtherPort)).send().await.unwrap().status(), 302);
        let requests = world.api.received_requests().await.unwrap();
        assert!(requests.iter().all(|request| request.headers["cookie"] == value), "{requests:?}");
        assert_eq!(requests.len(), 2);
    }
}

/// A session that lives in cookies works only through a client that shares them. What has built such a client, and its clones,
/// are no better than before.
#[tokio::test]
async fn over_another_client_nothing_is_sent_that_needs_cookies() {
    let world = World::new().await;
    let session = || Session::new(CookieRefresh::post(format!("{}/refresh", world.api.uri())).unwrap());
    let auth = || AuthRefresh::new(session(), world.origins());
    let built = auth();
    let clone_before = built.clone();
    let own = built.client(HttpBuilder::new()).unwrap();
    assert_eq!(own.get(format!("{}/me", world.api.uri())).send().await.unwrap().status(), 200);
    let (clone_after, changed) = (built.clone(), built.clone().exclude("/login").require_login());
    let opened = auth().placement(Placement::bearer()).dangerous_over_any_client();
    for auth in [auth(), clone_before, built, clone_after, changed, opened] {
        let plain = ClientBuilder::new(reqwest::Client::new()).with(auth.clone()).build();
        // Inside the client of another middleware it is as plain as ever.
        let elsewhere = AuthRefresh::new(&self::session().await, Origins::new("https://api.example.com").unwrap());
        let inside = elsewhere.client_builder(HttpBuilder::new()).inside(auth.clone()).build().unwrap();
        let outside = elsewhere.client_builder(HttpBuilder::new()).outside(auth).build().unwrap();
        for client in [plain, inside, outside] {
            let error = client.get(format!("{}/me", world.api.uri())).send().await.unwrap_err();
            let error = reqwest_auth_refresh::AuthError::find(&error).unwrap();
            assert!(error.is_misconfigured() && error.to_string().contains("auth.client(..)"), "{error}");
        }
    }
    assert_eq!(world.api.received_requests().await.unwrap().len(), 1);
}

#[test]
fn what_reqwest_cannot_build_is_a_set_up_error() {
    let session = Session::new(|_: RefreshRequest| async { Err(RefreshError::unavailable("not asked here")) });
    let auth = AuthRefresh::new(session, Origins::new("https://api.example.com").unwrap());
    let error = auth.client(HttpBuilder::new().user_agent("a\nb")).unwrap_err();
    assert!(matches!(error, SetupError::Http(_)), "{error:?}");
}

#[tokio::test]
async fn the_refresh_token_goes_to_the_token_endpoint_and_no_further() {
    let thief = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&thief).await;
    let mut bytes = 0;
    for status in [307, 308] {
        let endpoint = MockServer::start().await;
        let leads = ResponseTemplate::new(status).insert_header("location", thief.uri());
        Mock::given(any()).respond_with(leads).mount(&endpoint).await;
        let cookies = CookieRefresh::post(endpoint.uri()).unwrap();
        cookies.cookies().add(&format!("refresh={CANARY}; Path=/"), &endpoint.uri().parse::<Url>().unwrap());
        let refreshers: [Box<dyn Refresher>; 3] = [
            Box::new(RefreshGrant::new(endpoint.uri(), "app").unwrap().post(CANARY)),
            Box::new(JsonRefresh::post(endpoint.uri()).unwrap()),
            Box::new(cookies),
        ];
        for refresher in refreshers {
            let tokens = Tokens::new("access").unwrap().with_refresh_token(CANARY);
            let reason = reqwest_auth_refresh::RefreshReason::Forced;
            let bound = std::time::Duration::from_secs(10);
            let request = RefreshRequest::new("alice".into(), Some(tokens.into()), reason, bound);
            assert!(refresher.refresh(request).await.unwrap_err().is_unavailable(), "a redirect is no logout");
        }
        assert_eq!(endpoint.received_requests().await.unwrap().len(), 3);
        assert!(leaked(&endpoint).await >= 3 * CANARY.len(), "each had something to lose");
        bytes += leaked(&thief).await;
    }
    println!("figure: token_endpoint_redirect_leaked_bytes = {bytes} bytes");
    assert_eq!((bytes, thief.received_requests().await.unwrap().len()), (0, 0));

    // The control: a client of the program's own, as it comes.
    let endpoint = MockServer::start().await;
    let leads = ResponseTemplate::new(307).insert_header("location", thief.uri());
    Mock::given(any()).respond_with(leads).mount(&endpoint).await;
    let form = format!("grant_type=refresh_token&refresh_token={CANARY}");
    reqwest::Client::new().post(endpoint.uri()).body(form).send().await.unwrap();
    let bytes = leaked(&thief).await;
    println!("figure: token_endpoint_redirect_leaked_bytes_plain = {bytes} bytes");
    assert_eq!(bytes, CANARY.len());
}

#[tokio::test]
async fn a_401_from_where_a_redirect_led_is_no_reason_to_refresh() {
    for sister in [false, true] {
        for custom in [false, true] {
            let world = World::new().await;
            world.thief.reset().await;
            Mock::given(any()).respond_with(ResponseTemplate::new(401)).mount(&world.thief).await;
            let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let counted = std::sync::Arc::clone(&calls);
            let session = Session::new(move |_: RefreshRequest| {
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                async { Err(RefreshError::unavailable("nobody asks")) }
            });
            session.login(Tokens::new(CANARY).unwrap()).await.unwrap();
            let origins = if sister { world.origins().and(world.thief.uri()).unwrap() } else { world.origins() };
            let auth = AuthRefresh::new(&session, origins);
            let client = if custom {
                auth.placement(Placement::header("X-Access-Token", "").unwrap()).client(HttpBuilder::new()).unwrap()
            } else {
                ClientBuilder::new(reqwest::Client::new()).with(auth).build()
            };
            let response = client.get(world.at(302, Target::OtherPort)).send().await.unwrap();
            let stopped = custom && !sister;
            let expected = if stopped { StatusCode::FOUND } else { StatusCode::UNAUTHORIZED };
            assert_eq!(response.status(), expected, "sister: {sister}, custom: {custom}");
            assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 0, "sister: {sister}, custom: {custom}");
            let sent =
                (world.api.received_requests().await.unwrap().len(), world.thief.received_requests().await.unwrap());
            assert_eq!((sent.0, sent.1.len()), (1, usize::from(!stopped)));
        }
    }
}
