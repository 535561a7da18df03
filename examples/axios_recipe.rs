//! The well-known recipe for Axios interceptors, ported: a client with a base address, a session in `HttpOnly` cookies, a
//! refresh when a request meets a 401, and the login page when nothing helps.
//!
//! In the recipe that is an instance with `baseURL` and `withCredentials`, and an interceptor of thirty lines. Here it is
//! `client`; what the interceptor does, the middleware does.
//!
//! Run it with `cargo run --example axios_recipe`.

#[path = "quickstart/story.rs"]
#[allow(dead_code, reason = "the quickstart tells more")]
mod story;
#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use reqwest::Response;
use reqwest_auth_refresh::{AuthError, AuthRefresh, CookieRefresh, Dialect, Origins, Session};
use reqwest_middleware::ClientWithMiddleware;
use serde_json::{Value, json};

use crate::story::{Story, Table};
use crate::support::Gateway;

/// Where the program is, as a browser's address line would show it.
#[derive(Clone, Default)]
struct Router(Arc<Mutex<Vec<String>>>);

impl Router {
    fn go(&self, page: &str) {
        if let Ok(mut visited) = self.0.lock() {
            visited.push(page.to_owned());
        }
    }

    fn visited(&self) -> Vec<String> {
        self.0.lock().map(|visited| visited.clone()).unwrap_or_default()
    }
}

fn client(base: &str, to_page: impl Fn(&str) + Send + Sync + 'static) -> Result<ClientWithMiddleware, Box<dyn Error>> {
    // It answers {"status": "success"} or not. The cookies go along by themselves.
    let refresh = CookieRefresh::post(format!("{base}/api/web/refresh_token"))?
        // Read from the cookies anew for each sending.
        .csrf("x-csrf", |cookies| cookies.get("csrf"))?
        // A 401 from there means a wrong password, and a 2xx a new session.
        .login_path("/api/web/login")
        // Told about a logout, with the cookies as they were.
        .logout(format!("{base}/api/web/logout"))?
        .dialect(Dialect::new().success_when(|answer| answer.member("status").is_some_and(|it| it == "success")));
    let session = Session::builder(refresh).on_needs_login(move |_why| to_page("/logout/nosession")).build();
    let auth = AuthRefresh::new(&session, Origins::new(base)?);
    // The client shares the session's cookies.
    Ok(auth.client(reqwest::Client::builder())?)
}

/// The API, by paths below its base address.
struct Http {
    base: String,
    client: ClientWithMiddleware,
}

impl Http {
    fn new(base: &str, router: Router) -> Result<Self, Box<dyn Error>> {
        let client = client(base, move |page| router.go(page))?;
        Ok(Self { base: format!("{base}/api/web/"), client })
    }

    async fn get(&self, path: &str) -> Result<Response, reqwest_middleware::Error> {
        self.client.get(format!("{}{path}", self.base)).send().await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Response, reqwest_middleware::Error> {
        self.client.post(format!("{}{path}", self.base)).json(body).send().await
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let story = Story::begin();
    let gateway = Gateway::start("correct horse").await?;
    let router = Router::default();
    let http = Http::new(gateway.url(), router.clone())?;

    Story::scene("The login page");
    let mistyped = http.post("login", &json!({ "password": "correct hoarse" })).await?;
    story.tell("a typing error", &format!("{}, and no refresh: {}", mistyped.status(), gateway.counts().refresh_calls));
    let login = http.post("login", &json!({ "password": "correct horse" })).await?;
    story.tell("the password", &login.status().to_string());

    Story::scene("Somebody has an idea, and meanwhile the session expires");
    gateway.expire();
    let idea = http.post("ideas", &json!({ "title": "a better mousetrap" })).await?;
    let status = idea.status();
    let echo: Value = idea.json().await?;
    story.tell("the idea", &format!("{status}, in session {}, with {}", echo["session"], echo["csrf"]));
    story.tell("the gateway", &format!("refreshed {} time, behind the scenes", gateway.counts().refreshed));

    Story::scene("The session ends, and no refresh helps");
    gateway.end();
    let dead = http.get("ideas").await.err();
    let needs_login = dead.as_ref().and_then(|error| AuthError::find(error)).is_some_and(AuthError::needs_login);
    story.tell("the next request", if needs_login { "somebody has to log in" } else { "something else went wrong" });
    let again = http.get("ideas").await.is_err();
    story.tell("one more", "the same at once, without a call");
    story.tell("the program is at", &router.visited().join(", "));

    Story::scene("Logged in again");
    let login_again = http.post("login", &json!({ "password": "correct horse" })).await?;
    story.tell("the password", &login_again.status().to_string());
    let ideas = http.get("ideas").await?;
    story.tell("the ideas", &ideas.status().to_string());

    let (counts, visited) = (gateway.counts(), router.visited());
    let mut table = Table::begin();
    Table::heading("counted", "expected");
    table.same("wrong passwords, each answered with 401", counts.wrong_passwords, 1);
    table.same("logins", counts.logins, 2);
    table.same("requests answered with 200", counts.ok, 2);
    table.same("requests answered with 401", counts.refused, 2);
    table.same("refreshes that were asked for", counts.refresh_calls, 2);
    table.same("refreshes that brought new cookies", counts.refreshed, 1);
    table.same("old CSRF values that were sent", counts.forged, 0);
    table.same("visits to /logout/nosession", visited.iter().filter(|page| *page == "/logout/nosession").count(), 1);
    table.same("requests that were told to log in", usize::from(needs_login) + usize::from(again), 2);
    let right = table.is_all_right();
    let closing = if right { "the recipe, without its pitfalls" } else { "the counts do not agree" };
    Story::close(&format!("axios_recipe: {closing}"));
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
