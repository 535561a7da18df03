//! Watches a session: what a status line of a program would show, from login to logout.
//!
//! Run it with `cargo run --example watch_session`.

#[path = "quickstart/story.rs"]
#[allow(dead_code, reason = "the quickstart tells more")]
mod story;
#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest_auth_refresh::{Event, RefreshGrant, Session, State, Tokens};

use crate::story::{Story, Table};
use crate::support::{Fault, Issuer};

/// What a person is told.
#[allow(clippy::wildcard_enum_match_arm, reason = "there may be more kinds of events one day")]
fn in_words(event: &Event) -> String {
    match event {
        Event::Now(State::LoggedIn { .. }) | Event::LoggedIn(_) => "logged in".to_owned(),
        Event::Now(_) => "nobody is logged in yet".to_owned(),
        Event::Refreshed(version) => format!("new tokens, number {}", version.generation),
        Event::RefreshFailed(error) => format!("no new tokens: {error}"),
        Event::NeedsLogin(why) => format!("please log in again: {why}"),
        Event::LoggedOut => "logged out".to_owned(),
        Event::StoreFailed(error) => format!("the tokens could not be kept: {error}"),
        Event::Missed(count) => format!("{count} events went by too fast"),
        other => format!("{other:?}"),
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let story = Story::begin();
    let issuer = Issuer::start().await?;
    let session = Session::new(RefreshGrant::new(issuer.token_url(), "app")?.revocation(issuer.revocation_url())?);
    let mut events = session.events();
    let watching = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(event) = events.next().await {
            story.tell("the watcher", &in_words(&event));
            seen.push(in_words(&event).split(':').next().unwrap_or_default().to_owned());
            if matches!(event, Event::LoggedOut) {
                break;
            }
        }
        seen
    });
    tokio::task::yield_now().await;

    let login = |user| Tokens::from_json(issuer.login(user).to_string());
    session.login(login("alice")?).await?;
    session.refresh().await?;
    issuer.next_calls(1, &Fault::Status(StatusCode::SERVICE_UNAVAILABLE, None));
    let outage = session.refresh().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    issuer.revoke_grants("alice");
    let dead = session.refresh().await;
    session.login(login("alice")?).await?;
    session.logout().await?;
    let seen = watching.await?;

    let expected = [
        "nobody is logged in yet",
        "logged in",
        "new tokens, number 1",
        "no new tokens",
        "please log in again",
        "logged in",
        "logged out",
    ];
    let mut table = Table::begin();
    Table::heading("counted", "expected");
    table.same("events", seen.len(), expected.len());
    table.same("in this order", usize::from(seen == expected), 1);
    table.same("the outage may pass", usize::from(outage.is_err_and(|error| error.is_transient())), 1);
    table.same("the end of the login does not", usize::from(dead.is_err_and(|error| error.needs_login())), 1);
    let right = table.is_all_right();
    let closing = if right { "the watcher saw it all, in order" } else { "the counts do not agree" };
    Story::close(&format!("watch_session: {closing}"));
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
