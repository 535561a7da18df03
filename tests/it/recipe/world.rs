//! A home-grown gateway on two servers, in both of its forms: tokens in `HttpOnly` cookies, or in JSON answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use reqwest_auth_refresh::{
    AuthRefresh, CookieRefresh, Cookies, Dialect, JsonRefresh, MemoryStore, Origins, RequestBuilderExt, Session, Tokens,
};
use reqwest_middleware::{ClientWithMiddleware, Error};
use serde_json::{Value, json};
use wiremock::matchers::{any, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// How a session is carried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mode {
    Cookies,
    Tokens,
}

/// What a refresh is answered with.
#[derive(Debug, Clone)]
pub(super) enum Mood {
    /// By what it brings.
    Fair,
    Answer(u16, &'static str, &'static str),
}

pub(super) struct World {
    pub(super) mode: Mode,
    pub(super) api: MockServer,
    pub(super) auth: MockServer,
    pub(super) session: Session,
    pub(super) client: ClientWithMiddleware,
    /// How often the program was sent to the login page.
    pub(super) shown: Arc<AtomicUsize>,
    gateway: Arc<Mutex<Gateway>>,
    store: MemoryStore,
    cookies: Option<Arc<Cookies>>,
    dialect: Dialect,
}

/// What the servers know.
struct Gateway {
    mode: Mode,
    /// The number in the tokens that are good, and whether the API takes the access token.
    number: u64,
    alive: bool,
    taken: bool,
    refuses_all: bool,
    mood: Mood,
}

impl World {
    pub(super) async fn new(mode: Mode) -> Self {
        Self::speaking(mode, Dialect::new().success_when(|answer| says(answer.member("status"), "success"))).await
    }

    /// Somebody is logged in.
    pub(super) async fn speaking(mode: Mode, dialect: Dialect) -> Self {
        let (api, auth) = (MockServer::start().await, MockServer::start().await);
        let gateway = Gateway { mode, number: 0, alive: false, taken: false, refuses_all: false, mood: Mood::Fair };
        let gateway = Arc::new(Mutex::new(gateway));
        let serve = |serve: fn(&mut Gateway, &Request) -> ResponseTemplate| {
            let gateway = Arc::clone(&gateway);
            move |request: &Request| serve(&mut gateway.lock().unwrap(), request)
        };
        let at = |name| Mock::given(method("POST")).and(path(format!("/api/web/{name}")));
        at("login").respond_with(serve(Gateway::login)).mount(&auth).await;
        at("refresh_token").respond_with(serve(Gateway::refresh)).mount(&auth).await;
        Mock::given(any()).respond_with(serve(Gateway::other)).mount(&api).await;
        let store = MemoryStore::default();
        let world = Self::over(mode, (api, auth), gateway, store, dialect);
        assert_eq!(world.log_in("right").await, 200);
        world
    }

    fn over(
        mode: Mode,
        (api, auth): (MockServer, MockServer),
        gateway: Arc<Mutex<Gateway>>,
        store: MemoryStore,
        dialect: Dialect,
    ) -> Self {
        let refresh_url = format!("{}/api/web/refresh_token", auth.uri());
        let shown = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&shown);
        let (builder, cookies) = match mode {
            Mode::Cookies => {
                let refresh = CookieRefresh::post(refresh_url).unwrap().dialect(dialect.clone());
                let refresh = refresh.login_path("/api/web/login");
                let refresh = refresh.csrf("x-csrf", |cookies| cookies.get("csrf")).unwrap();
                let cookies = Arc::clone(refresh.cookies());
                (Session::builder(refresh), Some(cookies))
            }
            Mode::Tokens => {
                let found = dialect.clone().access_token("data.accessToken").refresh_token("data.refreshToken");
                let refresh = JsonRefresh::post(refresh_url).unwrap().refresh_token_member("refreshToken").unwrap();
                (Session::builder(refresh.dialect(found)), None)
            }
        };
        let count = move |_: &_| {
            counted.fetch_add(1, Ordering::SeqCst);
        };
        let session = builder.store(store.clone()).on_needs_login(count).build();
        let origins = Origins::new(api.uri()).unwrap().and(auth.uri()).unwrap();
        let auth_refresh = AuthRefresh::new(&session, origins).exclude("/api/web/login");
        let client = auth_refresh.client(reqwest::Client::builder()).unwrap();
        Self { mode, api, auth, session, client, shown, gateway, store, cookies, dialect }
    }

    /// The program ends, and runs again over the same store. Cookies are brought over if `with_cookies`.
    pub(super) fn restart(self, with_cookies: bool) -> Self {
        let Self { mode, api, auth, gateway, store, cookies, dialect, session, client, .. } = self;
        drop((session, client));
        let again = Self::over(mode, (api, auth), gateway, store, dialect);
        if let (Some(old), Some(new), true) = (cookies, &again.cookies, with_cookies) {
            let url = format!("{}/api/web/refresh_token", again.auth.uri()).parse().unwrap();
            for (name, path) in [("access", "/"), ("csrf", "/"), ("refresh", "/api/web/refresh_token")] {
                new.add(&format!("{name}={}; Path={path}", old.get(name, &url).unwrap()), &url);
            }
        }
        again
    }

    /// Sends the login form, as the program's login page does, and logs the session in if that worked.
    pub(super) async fn log_in(&self, password: &str) -> u16 {
        let form =
            self.client.post(format!("{}/api/web/login", self.auth.uri())).json(&json!({ "password": password }));
        let answer = match self.mode {
            Mode::Cookies => form,
            Mode::Tokens => form.unsigned(),
        };
        let answer = answer.send().await.unwrap();
        let status = answer.status().as_u16();
        if self.mode == Mode::Tokens && status == 200 {
            let answer: Value = answer.json().await.unwrap();
            let text = |name: &str| answer["data"][name].as_str().unwrap().to_owned();
            let tokens = Tokens::new(text("accessToken")).unwrap().with_refresh_token(text("refreshToken"));
            self.session.login(tokens).await.unwrap();
        }
        status
    }

    pub(super) async fn get(&self, path: &str) -> Result<reqwest::Response, Error> {
        self.client.get(format!("{}{path}", self.api.uri())).send().await
    }

    pub(super) async fn post_idea(&self, idea: &str) -> Result<reqwest::Response, Error> {
        let post = self.client.post(format!("{}/api/web/ideas?draft=1", self.api.uri()));
        post.header("x-trace", "77").body(idea.to_owned()).send().await
    }

    /// The API takes the access token no longer.
    pub(super) fn expire(&self) {
        self.gateway.lock().unwrap().taken = false;
    }

    /// And the refresh token is dead as well.
    pub(super) fn end(&self) {
        let mut gateway = self.gateway.lock().unwrap();
        (gateway.taken, gateway.alive) = (false, false);
    }

    pub(super) fn set_mood(&self, mood: Mood) {
        self.gateway.lock().unwrap().mood = mood;
    }

    pub(super) fn refuse_all(&self) {
        self.gateway.lock().unwrap().refuses_all = true;
    }

    /// What the API got, without the login and its answer.
    pub(super) async fn at_api(&self) -> Vec<Request> {
        self.api.received_requests().await.unwrap()
    }

    /// What the gateway got at one of its addresses.
    pub(super) async fn at_auth(&self, name: &str) -> Vec<Request> {
        let all = self.auth.received_requests().await.unwrap();
        all.into_iter().filter(|request| request.url.path() == format!("/api/web/{name}")).collect()
    }

    /// Requests that the API and the refresh endpoint got.
    pub(super) async fn calls(&self) -> (usize, usize) {
        (self.at_api().await.len(), self.at_auth("refresh_token").await.len())
    }

    pub(super) fn shown(&self) -> usize {
        self.shown.load(Ordering::SeqCst)
    }

    /// The header by which requests show whose they are.
    pub(super) fn carrier(&self) -> &'static str {
        match self.mode {
            Mode::Cookies => "cookie",
            Mode::Tokens => "authorization",
        }
    }
}

/// Whether a member of an answer is this word.
pub(super) fn says(member: Option<&Value>, word: &str) -> bool {
    member.is_some_and(|member| member == word)
}

impl Gateway {
    fn login(&mut self, request: &Request) -> ResponseTemplate {
        let form: Value = request.body_json().unwrap_or_default();
        if form["password"] != "right" {
            return ResponseTemplate::new(401).set_body_json(json!({ "status": "failure" }));
        }
        self.anew()
    }

    fn refresh(&mut self, request: &Request) -> ResponseTemplate {
        if let Mood::Answer(status, kind, body) = self.mood {
            return ResponseTemplate::new(status).set_body_raw(body, kind);
        }
        let brought = match self.mode {
            Mode::Cookies => cookie(request, "refresh"),
            Mode::Tokens => {
                request.body_json::<Value>().ok().and_then(|body| Some(body["refreshToken"].as_str()?.into()))
            }
        };
        if self.alive && brought == Some(format!("refresh-{}", self.number)) && self.is_csrf(request) {
            self.anew()
        } else {
            ResponseTemplate::new(401).set_body_json(json!({ "status": "failure" }))
        }
    }

    fn other(&mut self, request: &Request) -> ResponseTemplate {
        let brought = match self.mode {
            Mode::Cookies => cookie(request, "access"),
            Mode::Tokens => request
                .headers
                .get("authorization")
                .and_then(|value| Some(value.to_str().ok()?.strip_prefix("Bearer ")?.to_owned())),
        };
        let good = self.taken && !self.refuses_all && brought == Some(format!("access-{}", self.number));
        match request.url.path() {
            "/missing" => ResponseTemplate::new(404),
            _ if good && self.is_csrf(request) => ResponseTemplate::new(200).set_body_bytes(request.body.clone()),
            _ => ResponseTemplate::new(401).set_body_string("no longer good"),
        }
    }

    fn is_csrf(&self, request: &Request) -> bool {
        let right = format!("csrf-{}", self.number);
        self.mode == Mode::Tokens || request.headers.get("x-csrf").is_some_and(|value| *value == right)
    }

    fn anew(&mut self) -> ResponseTemplate {
        (self.number, self.alive, self.taken) = (self.number + 1, true, true);
        let number = self.number;
        let answer = ResponseTemplate::new(200);
        match self.mode {
            Mode::Cookies => answer
                .append_header("set-cookie", format!("access=access-{number}; Path=/; HttpOnly"))
                .append_header("set-cookie", format!("refresh=refresh-{number}; Path=/api/web/refresh_token; HttpOnly"))
                .append_header("set-cookie", format!("csrf=csrf-{number}; Path=/"))
                .set_body_json(json!({ "status": "success" })),
            Mode::Tokens => {
                let data =
                    json!({ "accessToken": format!("access-{number}"), "refreshToken": format!("refresh-{number}") });
                answer.set_body_json(json!({ "status": "success", "data": data }))
            }
        }
    }
}

fn cookie(request: &Request, name: &str) -> Option<String> {
    let header = request.headers.get("cookie")?.to_str().ok()?;
    let mut pairs = header.split("; ").filter_map(|pair| pair.split_once('='));
    pairs.find(|(named, _)| *named == name).map(|(_, value)| value.to_owned())
}
