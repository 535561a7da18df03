//! A backend that acts for many users at an API: axum in front, upstream tokens for each user behind, one pool of connections.
//!
//! Its users log in to the backend and get a cookie of its own. Behind each of them is a session with the tokens of the API,
//! and a door for each of those over one `reqwest::Client`. The access tokens of all are revoked at once and nobody notices;
//! then one user's grant is revoked, that user is asked to log in again, and nobody else notices.
//!
//! Run it with `cargo run --example many_users`.

#[path = "quickstart/story.rs"]
#[allow(dead_code, reason = "the quickstart tells more")]
mod story;
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use reqwest_auth_refresh::{AuthError, AuthRefresh, Origins, RefreshGrant, Sessions, Tokens};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tokio::net::TcpListener;

use crate::story::{Story, Table};
use crate::support::{Api, Issuer};

const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// What the backend knows.
struct Backend {
    issuer: Issuer,
    sessions: Sessions,
    /// One pool for everybody.
    pool: reqwest::Client,
    origins: Origins,
    orders: String,
    /// Whose each of the backend's own cookies is.
    cookies: Mutex<HashMap<String, String>>,
}

impl Backend {
    /// The API as this user sees it: a door of their own over the one pool.
    fn api_for(&self, user: &str) -> ClientWithMiddleware {
        let auth = AuthRefresh::new(self.sessions.session(user), self.origins.clone());
        ClientBuilder::new(self.pool.clone()).with(auth).build()
    }

    /// Who sent this request to the backend.
    fn user(&self, headers: &HeaderMap) -> Option<String> {
        let cookie = headers.get(header::COOKIE)?.to_str().ok()?.strip_prefix("sid=")?;
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner).get(cookie).cloned()
    }
}

/// The user has come back from the login page of the issuer, which is left out here: its answer is in hand.
async fn login(State(backend): State<Arc<Backend>>, Query(form): Query<HashMap<String, String>>) -> Response {
    let Some(user) = form.get("user") else { return StatusCode::BAD_REQUEST.into_response() };
    let Ok(tokens) = Tokens::from_json(backend.issuer.login(user).to_string()) else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    if backend.sessions.session(user.as_str()).login(tokens).await.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    // Random in a real backend.
    let cookie = format!("{}-of-{user}", user.len());
    backend.cookies.lock().unwrap_or_else(PoisonError::into_inner).insert(cookie.clone(), user.clone());
    (StatusCode::OK, [(header::SET_COOKIE, format!("sid={cookie}; HttpOnly"))]).into_response()
}

async fn orders(State(backend): State<Arc<Backend>>, headers: HeaderMap) -> Response {
    let Some(user) = backend.user(&headers) else { return StatusCode::UNAUTHORIZED.into_response() };
    match backend.api_for(&user).get(&backend.orders).send().await {
        Ok(answer) => (answer.status(), answer.text().await.unwrap_or_default()).into_response(),
        Err(error) => match AuthError::find(&error) {
            Some(error) if error.needs_login() => StatusCode::UNAUTHORIZED.into_response(),
            Some(error) if error.is_transient() => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            _ => StatusCode::BAD_GATEWAY.into_response(),
        },
    }
}

/// Every user asks the backend ten times at once; how many got their own orders, and how many were sent to log in.
async fn everybody_asks(backend: &str, cookies: &[(String, String)]) -> (usize, usize) {
    let browser = reqwest::Client::new();
    let asked = cookies.iter().flat_map(|(user, cookie)| std::iter::repeat_n((user, cookie), 10));
    let asked = asked.map(|(user, cookie)| {
        let request = browser.get(format!("{backend}/orders")).header("cookie", cookie);
        async move {
            let Ok(answer) = request.send().await else { return (false, false) };
            let status = answer.status();
            let own = answer.text().await.is_ok_and(|text| text.contains(&format!(r#""user":"{user}""#)));
            (status.is_success() && own, status == StatusCode::UNAUTHORIZED)
        }
    });
    let answers = futures_util::future::join_all(asked).await;
    (answers.iter().filter(|(own, _)| *own).count(), answers.iter().filter(|(_, login)| *login).count())
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let story = Story::begin();
    let issuer = Issuer::start().await?;
    let api = Api::start(&issuer).await?;
    let grant = RefreshGrant::new(issuer.token_url(), "backend")?.revocation(issuer.revocation_url())?;
    let sessions = Sessions::builder(grant)
        .on_needs_login(move |user, why| story.tell("the sessions", &format!("{} has to log in: {why}", user.as_str())))
        .build();
    let backend = Arc::new(Backend {
        issuer,
        sessions,
        pool: reqwest::Client::new(),
        origins: Origins::new(api.url())?,
        orders: api.at("/orders"),
        cookies: Mutex::default(),
    });
    let routes = Router::new().route("/login", post(login)).route("/orders", get(orders));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let serving = tokio::spawn(axum::serve(listener, routes.with_state(Arc::clone(&backend))).into_future());

    let browser = reqwest::Client::new();
    let mut cookies = Vec::new();
    for user in USERS {
        let answer = browser.post(format!("{url}/login?user={user}")).send().await?;
        let cookie = answer.headers().get("set-cookie").and_then(|cookie| cookie.to_str().ok()).unwrap_or_default();
        cookies.push((user.to_owned(), cookie.split(';').next().unwrap_or_default().to_owned()));
    }
    Story::scene("Three users ask, ten times each");
    let fresh = everybody_asks(&url, &cookies).await;
    Story::scene("All access tokens are revoked");
    for user in USERS {
        backend.issuer.revoke_access(user);
    }
    let renewed = everybody_asks(&url, &cookies).await;
    let calls = backend.issuer.counts().token_calls;
    Story::scene("Bob's grant is revoked");
    backend.issuer.revoke_grants("bob");
    let without_bob = everybody_asks(&url, &cookies).await;
    Story::scene("Carol logs out");
    let report = backend.sessions.session("carol").logout().await?;
    story.tell("the issuer", &format!("carol's logout: {:?}", report.revocation));
    let alone = everybody_asks(&url, &cookies).await;
    backend.sessions.shutdown().await?;
    serving.abort();

    let mut table = Table::begin();
    Table::heading("counted", "expected");
    table.same("own orders, at first", fresh.0, 30);
    table.same("own orders, with new tokens", renewed.0, 30);
    table.same("calls of the issuer for them: one a user", calls, 3);
    table.same("own orders, when bob was revoked", without_bob.0, 20);
    table.same("asked to log in: bob alone", without_bob.1, 10);
    table.same("own orders, when carol had gone too", alone.0, 10);
    table.same("grants alive at the issuer", backend.issuer.counts().live_grants, 1);
    let right = table.is_all_right();
    let closing = if right { "each saw their own, and nobody noticed anybody" } else { "the counts do not agree" };
    Story::close(&format!("many_users: {closing}"));
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
