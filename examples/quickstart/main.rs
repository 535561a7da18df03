//! A program whose tokens live for one second, and which never notices.
//!
//! An issuer and an API run on loopback. The issuer is as strict as they come: a refresh token works once, and using it
//! twice ends the login. Ten tasks send requests, all at the same time, while tokens expire, are revoked, and cannot be
//! had; then the program logs out and in again. In the end, what the program saw is compared with what the servers counted.
//!
//! Run it with `cargo run --example quickstart`. It needs nothing else, and takes about ten seconds.

mod comparison;
mod crowd;
mod story;
mod watch;

#[path = "../../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use reqwest_auth_refresh::{AuthRefresh, NeedsLogin, Origins, RefreshGrant, Session, Tokens};
use reqwest_middleware::ClientBuilder;

use crate::comparison::compare;
use crate::crowd::{Crowd, TASKS};
use crate::story::Story;
use crate::support::{Api, Issuer, Outage};
use crate::watch::Watch;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const HOUR: Duration = Duration::from_secs(3600);
/// How long access tokens live in most of this story.
const SHORT: Duration = Duration::from_secs(1);
/// How long the API goes on taking an expired token. Real ones do so too, since clocks differ.
const LEEWAY: Duration = Duration::from_secs(1);

/// The servers, the program, and who tells of both.
struct Stage {
    issuer: Issuer,
    api: Api,
    session: Session,
    crowd: Crowd,
    watch: Watch,
    story: Story,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut stage = Stage::set().await?;

    everyone_is_refused_at_once(&mut stage).await?;
    tokens_expire_again_and_again(&mut stage).await?;
    the_issuer_is_down(&mut stage).await?;
    log_out_and_in(&mut stage).await?;
    the_login_is_revoked(&mut stage).await?;
    tokens_expire_again_and_again(&mut stage).await?;

    stage.end().await
}

impl Stage {
    /// This is all that a program has to do: a session, the origins its tokens may go to, and one line for the client.
    async fn set() -> Result<Self> {
        let story = Story::begin();
        let issuer = Issuer::start().await?;
        let api = Api::start(&issuer).await?;
        issuer.grants().set_leeway(LEEWAY);

        let grant = RefreshGrant::new(issuer.token_url(), "quickstart")?;
        let to_login = move |why: &NeedsLogin| story.tell("to the login page", &why.to_string());
        let session = Session::builder(grant).on_needs_login(to_login).build();
        let origins = Origins::new(api.url())?;
        let client = ClientBuilder::new(reqwest::Client::new()).with(AuthRefresh::new(&session, origins)).build();

        let watch = Watch::begin(session.events(), story);
        let crowd = Crowd::new(client, api.at("/me"));
        Ok(Self { issuer, api, session, crowd, watch, story })
    }

    /// Logs in with what the program's own login flow would get. The access token lives as long as said, and those that
    /// follow it are short-lived.
    async fn log_in(&mut self, life: Duration) -> Result<()> {
        self.issuer.set_access_life(life);
        let answer = self.issuer.login("alice");
        self.issuer.set_access_life(SHORT);
        self.session.login(Tokens::from_json(answer.to_string())?).await?;
        Ok(())
    }

    /// Compares both sides once the last event has come.
    async fn end(mut self) -> Result<ExitCode> {
        self.session.flush().await?;
        let (issuer, api) = (self.issuer.counts(), self.api.counts());
        let heard = self.watch.until_refreshed(issuer.accepted).await;
        let agreed = compare(&self.crowd.seen, &heard, &issuer, &api, self.story.elapsed());
        let closing = if agreed { "the program never noticed" } else { "the two sides do not agree" };
        Story::close(&format!("quickstart: {closing}"));
        Ok(if agreed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The access token is revoked long before it expires. The API holds each 401 until all ten requests have come, so that
/// all tasks learn of it at once; still the issuer is asked once.
async fn everyone_is_refused_at_once(stage: &mut Stage) -> Result<()> {
    Story::scene("Ten requests are refused at once");
    stage.log_in(HOUR).await?;
    stage.issuer.revoke_access("alice");
    stage.api.at_refusal().close_until(TASKS);
    stage.story.tell("the issuer", "revokes the access token, an hour before it expires");
    let seen = stage.crowd.send(1).await;
    stage.story.tell("the program", &seen.to_string());
    Ok(())
}

/// Three seconds of requests with tokens that live for one.
async fn tokens_expire_again_and_again(stage: &mut Stage) -> Result<()> {
    Story::scene("Tokens live for one second, and requests go on for three");
    let seen = stage.crowd.send(30).await;
    stage.story.tell("the program", &seen.to_string());
    stage.session.flush().await?;
    Ok(())
}

/// The issuer is out of order when the token expires. That is no logout: the program is told to try later, and when it
/// does, all is well.
async fn the_issuer_is_down(stage: &mut Stage) -> Result<()> {
    Story::scene("The issuer is down when the token expires");
    stage.issuer.down(Outage::Unavailable(Some(Duration::from_secs(2)))).await;
    stage.story.tell("the issuer", "is down: 503, Retry-After: 2");
    tokio::time::sleep(SHORT).await;
    let seen = stage.crowd.send(1).await;
    stage.story.tell("the program", &seen.to_string());

    stage.issuer.up()?;
    stage.story.tell("the issuer", "is up again");
    tokio::time::sleep(seen.retry_after).await;
    let seen = stage.crowd.send(5).await;
    stage.story.tell("the program", &seen.to_string());
    stage.session.flush().await?;
    Ok(())
}

/// Logged out, the program's requests go out without a token, as the login itself must be able to.
async fn log_out_and_in(stage: &mut Stage) -> Result<()> {
    Story::scene("The program logs out, and in again");
    stage.session.logout().await?;
    let seen = stage.crowd.send(1).await;
    stage.story.tell("the program", &seen.to_string());
    stage.log_in(HOUR).await
}

/// The issuer ends the whole login. The first ten requests find out, with one call to the issuer between them; the next
/// ten fail at once, and nothing is sent for them.
async fn the_login_is_revoked(stage: &mut Stage) -> Result<()> {
    Story::scene("The login itself is revoked");
    stage.issuer.revoke_grants("alice");
    stage.api.at_refusal().close_until(TASKS);
    stage.story.tell("the issuer", "revokes the login, refresh token and all");
    for _ in 0..2 {
        let seen = stage.crowd.send(1).await;
        stage.story.tell("the program", &seen.to_string());
    }
    stage.log_in(SHORT).await
}
