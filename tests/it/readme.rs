//! The README's code is code that ran: each of its blocks stands in a file of its own below `readme/`, and does here what
//! the README says about it. That they are the same is held by `readme_blocks`.
//!
//! A module includes its block, so that it may call what is private there.

use std::sync::{Arc, Mutex};

use http::Extensions;
use http_body_util::BodyExt;
use reqwest::{Request, Response, ResponseBuilderExt};
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, Origins, RefreshError, RefreshRequest, Session, Tokens, async_trait,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};

use crate::virtual_issuer::Issuer;
use crate::virtual_world::{API, VirtualClock, bearer};

/// A status and a body, given whether the token is a good one.
type Answer = fn(bool) -> (u16, &'static str);

/// Serves whoever has a good token.
const FAIR: Answer = |good| if good { (200, "two lamps") } else { (401, "") };

/// The API of the README, `https://api.example.com`, at the end of the chain. Keeps the bodies that it got.
#[derive(Clone)]
struct Api {
    issuer: Issuer,
    answer: Answer,
    got: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Middleware for Api {
    async fn handle(
        &self,
        mut request: Request,
        _: &mut Extensions,
        _: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let body = match request.body_mut().take() {
            Some(body) => body.collect().await?.to_bytes().to_vec(),
            None => Vec::new(),
        };
        self.got.lock().unwrap().push(String::from_utf8(body).unwrap());
        let (status, body) = (self.answer)(self.issuer.accepts(bearer(&request).as_deref()));
        Ok(http::Response::builder().status(status).url(request.url().clone()).body(body).unwrap().into())
    }
}

/// Somebody is logged in there.
struct World {
    issuer: Issuer,
    session: Session,
    api: Api,
}

impl World {
    async fn new(answer: Answer) -> Self {
        let issuer = Issuer::new();
        let session = Session::builder(issuer.refresher()).clock(VirtualClock::start()).build();
        session.login(issuer.tokens()).await.unwrap();
        let api = Api { issuer: issuer.clone(), answer, got: Arc::default() };
        Self { issuer, session, api }
    }

    fn auth(&self) -> AuthRefresh {
        AuthRefresh::new(&self.session, Origins::new(API).unwrap())
    }

    fn client(&self) -> ClientWithMiddleware {
        self.client_through(self.auth())
    }

    fn client_through(&self, auth: AuthRefresh) -> ClientWithMiddleware {
        ClientBuilder::new(reqwest::Client::new()).with(auth).with(self.api.clone()).build()
    }

    /// The issuer takes the refresh token no longer, nor the API the access token.
    fn end_login(&self) {
        self.issuer.fail(RefreshError::rejected("invalid_grant"));
        self.issuer.end_access_tokens();
    }

    /// How often the issuer was asked, and how many requests the API got.
    fn counts(&self) -> (usize, usize) {
        (self.issuer.calls(), self.api.got.lock().unwrap().len())
    }
}

/// A session with the token `first`, where a refresh yields `second`.
async fn first_and_second() -> Session {
    let session = Session::new(|_: RefreshRequest| async { Tokens::new("second").map_err(RefreshError::unavailable) });
    session.login(Tokens::new("first").unwrap().with_refresh_token("refresh")).await.unwrap();
    session
}

fn needs_login(result: &Result<Response, reqwest_middleware::Error>) -> bool {
    result.as_ref().is_err_and(|error| AuthError::find(error).is_some_and(AuthError::needs_login))
}

mod log_in_and_out {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use reqwest_auth_refresh::{
        ExposeSecret, Record, RefreshError, RefreshRequest, Refresher, Revocation, SessionId, State, StoreError, Swap,
        TokenStore, Version, async_trait,
    };

    include!("readme/log_in_and_out.rs");

    /// Counts who asks to end tokens, and cannot.
    struct Unwilling(Arc<AtomicUsize>);

    #[async_trait]
    impl Refresher for Unwilling {
        async fn refresh(&self, _: RefreshRequest) -> Result<Tokens, RefreshError> {
            Err(RefreshError::unavailable("not asked here"))
        }

        async fn revoke(&self, _: RefreshRequest) -> Result<Revocation, RefreshError> {
            self.0.fetch_add(1, Relaxed);
            Err(RefreshError::unavailable("closed for lunch"))
        }
    }

    /// Keeps so many records, and then no more.
    struct Full(AtomicUsize);

    #[async_trait]
    impl TokenStore for Full {
        async fn load(&self, _: &SessionId) -> Result<Option<Record>, StoreError> {
            Ok(None)
        }

        async fn swap(&self, _: &SessionId, _: Option<Version>, _: &Record) -> Result<Swap, StoreError> {
            let left = self.0.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
            if left.is_ok() { Ok(Swap::Done) } else { Err(StoreError::unavailable("the disk is full")) }
        }

        async fn remove(&self, _: &SessionId) -> Result<(), StoreError> {
            Ok(())
        }
    }

    /// A login and a logout are kept, and the second login if there is room: whether it was saved.
    async fn switched(room: usize) -> bool {
        let revoked = Arc::new(AtomicUsize::new(0));
        let builder = Session::builder(Unwilling(Arc::clone(&revoked))).store(Full(AtomicUsize::new(room)));
        let session = builder.build();
        session.login(Tokens::new("of-another").unwrap().with_refresh_token("old")).await.unwrap();
        switch_user(&session).await.unwrap();
        assert_eq!(revoked.load(Relaxed), 1);
        let State::LoggedIn { saved, .. } = session.state() else { panic!("nobody is logged in") };
        let token = session.access_token().await.unwrap();
        assert_eq!(token.expose_secret(), "access");
        saved
    }

    #[tokio::test]
    async fn one_goes_and_another_comes_whatever_issuer_and_store_say() {
        assert!(switched(3).await);
        assert!(!switched(2).await, "for this run only");
    }
}

mod login_page_by_callback {
    use std::sync::Mutex;

    use reqwest_auth_refresh::{AuthRefresh, Origins, Tokens};
    use reqwest_middleware::ClientBuilder;

    use super::needs_login;
    use crate::support::{Api, Issuer};

    include!("readme/login_page_by_callback.rs");

    static SHOWN: Mutex<Vec<String>> = Mutex::new(Vec::new());

    #[tokio::test]
    async fn it_is_called_once_for_each_login_that_ends() {
        let issuer = Issuer::start().await.unwrap();
        let api = Api::start(&issuer).await.unwrap();
        let grant = RefreshGrant::new(issuer.token_url(), "app").unwrap();
        let session = session(grant, |text| SHOWN.lock().unwrap().push(text.to_owned()));
        let auth = AuthRefresh::new(&session, Origins::new(api.url()).unwrap());
        let client = ClientBuilder::new(reqwest::Client::new()).with(auth).build();
        for logins in 1..=2 {
            session.login(Tokens::from_json(issuer.login("alice").to_string()).unwrap()).await.unwrap();
            assert_eq!(client.get(api.at("/me")).send().await.unwrap().status(), 200);
            issuer.revoke_access("alice");
            issuer.revoke_grants("alice");
            for _ in 0..3 {
                assert!(needs_login(&client.get(api.at("/me")).send().await));
            }
            let shown = vec!["please log in again: the issuer rejected the grant (invalid_grant)"; logins];
            assert_eq!(*SHOWN.lock().unwrap(), shown);
            assert_eq!((issuer.counts().token_calls, api.counts().requests), (logins, 2 * logins));
        }
    }
}

mod login_page_by_error {
    use reqwest_auth_refresh::RefreshError;

    use super::{FAIR, World};

    include!("readme/login_page_by_error.rs");

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_login_is_told_from_an_outage() {
        let world = World::new(FAIR).await;
        assert_eq!(show_orders(&world.client()).await.unwrap(), "two lamps");
        world.issuer.end_access_tokens();
        world.issuer.fail(RefreshError::unavailable("closed for lunch"));
        let outage = show_orders(&world.client()).await.unwrap_err();
        assert!(AuthError::find(&*outage).is_some_and(AuthError::is_transient), "{outage}");
        assert_eq!(world.counts(), (1, 2));

        tokio::time::sleep(std::time::Duration::from_secs(120)).await;
        world.end_login();
        for _ in 0..2 {
            assert_eq!(show_orders(&world.client()).await.unwrap(), "please log in");
            assert_eq!(world.counts(), (2, 2), "the token was refused already, and from then on nobody is called");
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "a program looks at the events that it cares for")]
mod login_page_by_events {
    use std::sync::Mutex;
    use std::time::Duration;

    use reqwest_auth_refresh::RefreshError;

    use super::{FAIR, World};

    include!("readme/login_page_by_events.rs");

    static SHOWN: Mutex<Vec<String>> = Mutex::new(Vec::new());

    fn show(text: &str) {
        SHOWN.lock().unwrap().push(text.to_owned());
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_and_the_end_are_shown_as_they_come_and_the_end_to_those_who_come_later() {
        const END: &str = "log in again: the issuer rejected the grant (invalid_grant)";
        let minutes = || tokio::time::sleep(Duration::from_secs(120));
        let world = World::new(FAIR).await;
        let watching = tokio::spawn(watch(world.session.events(), show));
        world.issuer.end_access_tokens();
        world.issuer.fail(RefreshError::unavailable("closed for lunch"));
        world.client().get(super::API).send().await.unwrap_err();
        minutes().await;
        let outage = std::mem::take(&mut *SHOWN.lock().unwrap());
        assert_eq!(outage.len(), 1);
        assert!(outage[0].starts_with("no new tokens yet: "), "{outage:?}");

        world.end_login();
        world.client().get(super::API).send().await.unwrap_err();
        minutes().await;
        assert_eq!(*SHOWN.lock().unwrap(), [END]);
        let late = tokio::spawn(watch(world.session.events(), show));
        minutes().await;
        assert_eq!(*SHOWN.lock().unwrap(), [END; 2]);
        assert!(!watching.is_finished() && !late.is_finished());
        watching.abort();
        late.abort();
    }
}

mod token_outside_http {
    use std::sync::Mutex;

    use super::{FAIR, World};

    include!("readme/token_outside_http.rs");

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_refuses_gets_a_new_token_once() {
        let world = World::new(FAIR).await;
        let tried = Mutex::new(Vec::new());
        let open = async |token: &str| {
            tried.lock().unwrap().push(token.to_owned());
            world.issuer.accepts(Some(token))
        };
        assert!(connect(&world.session, open).await.unwrap());
        world.issuer.end_access_tokens();
        assert!(connect(&world.session, open).await.unwrap());
        assert!(connect(&world.session, open).await.unwrap());
        assert_eq!(world.issuer.calls(), 1);
        let tried = tried.into_inner().unwrap();
        assert_eq!(tried.len(), 4);
        assert!(tried[0] == tried[1] && tried[1] != tried[2] && tried[2] == tried[3]);

        assert!(!connect(&world.session, async |_: &str| false).await.unwrap());
        assert_eq!(world.issuer.calls(), 2);
    }
}

mod requests_left_alone {
    use crate::wire_world::{Wire, answered};

    include!("readme/requests_left_alone.rs");

    #[tokio::test]
    async fn both_are_sent_once_without_a_token_and_their_401_is_nobodys() {
        let wire = Wire::unauthorized().await;
        log_in(&wire.session, wire.api.url()).await.unwrap();
        assert_eq!(wire.counts(), (0, answered(0, 2)));
        let counts = wire.api.counts();
        assert_eq!(counts.unsigned, answered(0, 2));
        assert_eq!((counts.path("/login/code"), counts.path("/status")), (answered(0, 1), answered(0, 1)));
    }
}

mod more_of_one_request {
    use super::{FAIR, World};

    include!("readme/more_of_one_request.rs");

    #[tokio::test(start_paused = true)]
    async fn it_goes_with_new_tokens_and_once() {
        let world = World::new(FAIR).await;
        pay(&world.client()).await.unwrap();
        assert_eq!(world.counts(), (1, 1));
        assert_eq!(*world.api.got.lock().unwrap(), ["100"]);

        let world = World::new(|_| (401, "")).await;
        pay(&world.client()).await.unwrap();
        assert_eq!(world.counts(), (2, 1), "not even after a 401");
    }
}

mod streaming_body {
    use super::{FAIR, World};

    include!("readme/streaming_body.rs");

    #[tokio::test(start_paused = true)]
    async fn it_is_sent_again_where_it_can_be_made_anew() {
        let world = World::new(FAIR).await;
        world.issuer.end_access_tokens();
        upload(&world.client()).await.unwrap();
        assert_eq!(world.counts(), (1, 2));

        world.issuer.end_access_tokens();
        assert!(!upload_once(&world.client()).await.unwrap());
        assert_eq!(world.counts(), (2, 3), "the tokens are new");
        assert!(upload_once(&world.client()).await.unwrap());
        assert_eq!(world.counts(), (2, 4));
        assert_eq!(*world.api.got.lock().unwrap(), ["a,b,c"; 4]);
    }
}

mod refresh_in_your_own_way {
    use reqwest_auth_refresh::State;
    use wiremock::matchers::{body_string, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    include!("readme/refresh_in_your_own_way.rs");

    /// What becomes of a session that has to refresh, where the server answers once so.
    async fn refreshed(answer: ResponseTemplate) -> (Session, Result<(), reqwest_auth_refresh::AuthError>) {
        let server = MockServer::start().await;
        let renewal = Mock::given(method("POST")).and(path("/session/renew")).and(body_string("old"));
        renewal.respond_with(answer).expect(1).mount(&server).await;
        let session = session(format!("{}/session/renew", server.uri()).parse().unwrap());
        session.login(Tokens::new("first").unwrap().with_refresh_token("old")).await.unwrap();
        let result = session.refresh().await;
        server.verify().await;
        (session, result)
    }

    #[tokio::test]
    async fn new_tokens_an_end_and_an_outage_are_told_apart() {
        let answer = r#"{"access_token": "second", "expires_in": 3600}"#;
        let (session, result) = refreshed(ResponseTemplate::new(200).set_body_string(answer)).await;
        result.unwrap();
        assert_eq!(session.access_token().await.unwrap().expose_secret(), "second");

        let (session, result) = refreshed(ResponseTemplate::new(401)).await;
        let error = result.unwrap_err();
        assert!(error.needs_login() && error.code() == Some("renewal_refused"), "{error:?}");
        assert!(matches!(session.state(), State::NeedsLogin { .. }));

        for lost in [ResponseTemplate::new(503), ResponseTemplate::new(200).set_body_string("<!doctype html>")] {
            let (session, result) = refreshed(lost).await;
            assert!(result.unwrap_err().is_transient());
            assert!(matches!(session.state(), State::LoggedIn { .. }));
        }
    }
}

mod tokens_in_another_header {
    use wiremock::matchers::{header, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::first_and_second;

    include!("readme/tokens_in_another_header.rs");

    #[tokio::test]
    async fn the_header_carries_them_and_no_redirect_carries_it_away() {
        let (api, elsewhere) = (MockServer::start().await, MockServer::start().await);
        let token = |text| header("x-shopify-access-token", text);
        let answers = [
            (Mock::given(path("/orders")).and(token("first")), ResponseTemplate::new(401)),
            (Mock::given(path("/orders")).and(token("second")), ResponseTemplate::new(200)),
            (Mock::given(path("/away")), ResponseTemplate::new(302).insert_header("location", elsewhere.uri())),
        ];
        for (request, answer) in answers {
            request.respond_with(answer).expect(1).mount(&api).await;
        }
        let client = shop(&first_and_second().await, Origins::new(api.uri()).unwrap()).unwrap();
        assert_eq!(client.get(format!("{}/orders", api.uri())).send().await.unwrap().status(), 200);
        assert_eq!(client.get(format!("{}/away", api.uri())).send().await.unwrap().status(), 302);
        api.verify().await;
        assert_eq!(elsewhere.received_requests().await.unwrap().len(), 0);
    }
}

mod said_in_its_own_way {
    use super::{Answer, World};

    include!("readme/said_in_its_own_way.rs");

    const OK: &str = r#"{"ok":true}"#;
    const EXPIRED: &str = r#"{"ok":false,"error":"token_expired","at":12}"#;
    const TAKEN: &str = r#"{"ok":false,"error":"name_taken"}"#;

    #[tokio::test(start_paused = true)]
    async fn each_way_leads_to_one_refresh_and_the_body_stays_readable() {
        // What the API answers; how often it is asked for new tokens; what the caller reads.
        let cases: [(Answer, usize, (u16, &str)); 6] = [
            (|good| if good { (200, OK) } else { (401, "") }, 1, (200, OK)),
            (|good| if good { (200, OK) } else { (419, "") }, 1, (200, OK)),
            (|good| if good { (200, OK) } else { (200, EXPIRED) }, 1, (200, OK)),
            (|_| (200, EXPIRED), 1, (200, EXPIRED)),
            (|_| (200, TAKEN), 0, (200, TAKEN)),
            (|_| (404, EXPIRED), 0, (404, EXPIRED)),
        ];
        for (nth, (answer, refreshes, expected)) in cases.into_iter().enumerate() {
            let world = World::new(answer).await;
            world.issuer.end_access_tokens();
            let response = world.client_through(judging(world.auth())).get(super::API).send().await.unwrap();
            let (status, body) = (response.status().as_u16(), response.text().await.unwrap());
            assert_eq!((status, body.as_str()), expected, "{nth}");
            assert_eq!(world.counts(), (refreshes, 1 + refreshes), "{nth}");
        }
    }
}

mod demand {
    include!("readme/demand.rs");

    fn challenged(challenge: &str) -> String {
        let response = http::Response::builder().status(401).header("www-authenticate", challenge);
        explain(&response.body("").unwrap().into())
    }

    #[test]
    fn each_demand_is_explained() {
        let scope = r#"Bearer error="insufficient_scope", scope="orders payments""#;
        assert_eq!(challenged(scope), "log in again, and ask for orders payments");
        let step_up = r#"Bearer error="insufficient_user_authentication", acr_values="phr mfa""#;
        assert_eq!(challenged(step_up), "log in more strongly: phr or mfa");
        let other = challenged(r#"Basic realm="proxy""#);
        assert!(other.starts_with("something else is asked for: OtherScheme"), "{other}");
        let expired = "the token is no longer good, or nothing is asked for";
        assert_eq!(challenged(r#"Bearer error="invalid_token""#), expired);
        assert_eq!(explain(&http::Response::new("").into()), expired);
    }
}

mod form_with_files {
    use reqwest::multipart::Part;

    use crate::wire_world::{Wire, answered};

    include!("readme/form_with_files.rs");

    #[tokio::test]
    async fn it_arrives_twice_and_is_the_same() {
        let wire = Wire::unauthorized().await;
        let form = Form::new().text("title", "a picture").part("file", Part::bytes(&[7; 1000]).file_name("7.png"));
        let boundary = form.boundary().to_owned();
        assert_eq!(send(&wire.client(), &wire.api.at("/pictures"), form).await.unwrap().status(), 200);
        assert_eq!(wire.counts(), (1, answered(1, 1)));
        let [first, second] = &wire.api.take_arrived()[..] else { panic!("sent twice") };
        assert_eq!((first.length, first.hash), (second.length, second.hash));
        assert!(first.length > 1000);
        for arrived in [first, second] {
            assert_eq!(arrived.header("content-type"), [format!("multipart/form-data; boundary={boundary}")]);
        }
    }
}

#[allow(clippy::map_err_ignore, reason = "a poisoned lock has no more to say, and may not be kept in an error")]
mod keep_tokens_somewhere_else {
    use std::sync::Arc;

    use reqwest_auth_refresh::{ExposeSecret, Session, State};

    use super::{FAIR, World};

    include!("readme/keep_tokens_somewhere_else.rs");

    /// For several sessions, one after the other, as runs of a program are.
    #[derive(Clone, Default)]
    struct Shared(Arc<Shelf>);

    #[async_trait]
    impl TokenStore for Shared {
        async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
            self.0.load(id).await
        }

        async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
            self.0.swap(id, expected, new).await
        }

        async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
            self.0.remove(id).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_session_finds_what_the_last_one_had() {
        let (world, shelf) = (World::new(FAIR).await, Shared::default());
        let again = || Session::builder(world.issuer.refresher()).store(shelf.clone()).build();
        again().login(world.issuer.tokens()).await.unwrap();
        world.issuer.end_access_tokens();
        let session = again();
        let token = session.access_token().await.unwrap();
        assert!(session.invalidate(&token));
        session.access_token().await.unwrap();
        assert_eq!(world.issuer.calls(), 1);
        let newest = again().access_token().await.unwrap();
        assert!(world.issuer.accepts(Some(newest.expose_secret())));
        assert_eq!(world.issuer.calls(), 1, "what the refresh brought was on the shelf");

        drop(session.logout().await.unwrap());
        let session = again();
        assert!(session.access_token().await.is_err());
        assert!(matches!(session.state(), State::LoggedOut { .. }));
        shelf.remove(session.id()).await.unwrap();
        assert!(shelf.load(session.id()).await.unwrap().is_none());
        // And as the README gives it to a session.
        let session = Session::builder(world.issuer.refresher()).store(Shelf::default()).build();
        session.login(world.issuer.tokens()).await.unwrap();
        session.flush().await.unwrap();
    }
}

mod kept_between_runs {
    use reqwest_auth_refresh::State;

    include!("readme/kept_between_runs.rs");

    #[test]
    fn a_session_is_made_and_nothing_is_touched() {
        let session = session(RefreshGrant::new("https://issuer.example/token", "my-app").unwrap()).unwrap();
        assert_eq!(session.state(), State::NotLoaded);
    }
}

mod many_users {
    use reqwest_auth_refresh::{AuthError, RefreshGrant, Tokens};

    use crate::support::{Api, Issuer, Tally};

    include!("readme/many_users.rs");

    #[tokio::test]
    async fn each_user_acts_for_themselves_and_nobody_for_nobody() {
        let issuer = Issuer::start().await.unwrap();
        let api = Api::start(&issuer).await.unwrap();
        let sessions = Sessions::new(RefreshGrant::new(issuer.token_url(), "app").unwrap());
        for user in ["alice", "bob"] {
            let tokens = Tokens::from_json(issuer.login(user).to_string()).unwrap();
            sessions.session(user).login(tokens).await.unwrap();
        }
        issuer.revoke_access("alice");
        let (origins, url) = (Origins::new(api.url()).unwrap(), api.at("/orders"));
        let all = for_all(&sessions, origins.clone());
        for user in ["alice", "bob"] {
            assert!(orders(&all, &url, user).await.unwrap().text().await.unwrap().contains(user));
        }
        let nobody = all.get(&url).send().await.unwrap_err();
        assert!(AuthError::find(&nobody).unwrap().is_misconfigured());
        let carol = orders(&all, &url, "carol").await.unwrap_err();
        assert!(AuthError::find(&carol).unwrap().needs_login());
        let bob = for_one(&reqwest::Client::new(), &sessions, origins, "bob");
        assert!(bob.get(&url).send().await.unwrap().text().await.unwrap().contains("bob"));
        assert_eq!((issuer.counts().token_calls, api.counts().all), (1, Tally { ok: 3, refused: 1 }));
    }
}
