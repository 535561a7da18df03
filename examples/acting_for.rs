//! Code that hides its requests acts for whoever is around it.
//!
//! A library gets a client once and sends requests by itself; nobody can name a session on them. `acting_for` puts a session
//! around the call, and `carry` takes it into a task.
//!
//! Run it with `cargo run --example acting_for`.

#[path = "quickstart/story.rs"]
#[allow(dead_code, reason = "the quickstart tells more")]
mod story;
#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::process::ExitCode;

use reqwest_auth_refresh::{AuthError, AuthRefresh, Origins, RefreshGrant, Sessions, Tokens, acting_for, carry};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use serde_json::Value;

use crate::story::{Story, Table};
use crate::support::{Api, Issuer};

/// A library that knows nothing of sessions.
#[derive(Clone)]
struct Library {
    client: ClientWithMiddleware,
    me: String,
}

impl Library {
    /// Whom the API takes us for.
    async fn who_am_i(&self) -> Result<String, reqwest_middleware::Error> {
        let me: Value = self.client.get(&self.me).send().await?.json().await?;
        Ok(me["user"].as_str().unwrap_or_default().to_owned())
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let story = Story::begin();
    let issuer = Issuer::start().await?;
    let api = Api::start(&issuer).await?;
    let sessions = Sessions::new(RefreshGrant::new(issuer.token_url(), "app")?);
    for user in ["alice", "bob"] {
        sessions.session(user).login(Tokens::from_json(issuer.login(user).to_string())?).await?;
    }
    let auth = AuthRefresh::new(&sessions, Origins::new(api.url())?);
    let client = ClientBuilder::new(reqwest::Client::new()).with(auth).build();
    let library = Library { client, me: api.at("/me") };

    let alice = acting_for("alice", library.who_am_i()).await?;
    story.tell("around alice", &alice);
    let (nested, outer) =
        acting_for("alice", async { (acting_for("bob", library.who_am_i()).await, library.who_am_i().await) }).await;
    let (nested, outer) = (nested?, outer?);
    story.tell("bob within alice", &format!("{nested}, and then {outer}"));
    let task = library.clone();
    let carried =
        acting_for("bob", async { tokio::spawn(carry(async move { task.who_am_i().await })).await }).await??;
    story.tell("carried into a task", &carried);
    let task = library.clone();
    let lost = acting_for("bob", async { tokio::spawn(async move { task.who_am_i().await }).await }).await?;
    let refused = lost.is_err_and(|error| AuthError::find(&error).is_some_and(AuthError::is_misconfigured));
    story.tell("not carried", "the request names no session, and nothing is sent");

    let mut table = Table::begin();
    Table::heading("counted", "expected");
    table.same("alice, around", usize::from(alice == "alice"), 1);
    table.same("bob within, alice again", usize::from(nested == "bob" && outer == "alice"), 1);
    table.same("bob, carried into a task", usize::from(carried == "bob"), 1);
    table.same("refused where it was not carried", usize::from(refused), 1);
    table.same("requests that the API saw", api.counts().requests, 4);
    let right = table.is_all_right();
    let closing = if right { "each call was whose it was" } else { "the counts do not agree" };
    Story::close(&format!("acting_for: {closing}"));
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
