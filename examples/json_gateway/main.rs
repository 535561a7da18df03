//! A home-grown gateway: tokens in `data.accessToken`, lifetimes in milliseconds, `{"status": "success"}` when it worked.
//!
//! Six requests at a time meet tokens that are good, tokens that have expired, a gateway that is down, and a login that has
//! ended. In the end, what the program saw is compared with what the gateway counted.
//!
//! Run it with `cargo run --example json_gateway`. It needs nothing else, and takes about eight seconds.

#![expect(clippy::print_stdout, reason = "the story is for whoever runs the example")]

mod gateway;

use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use reqwest_auth_refresh::{AuthError, AuthRefresh, Dialect, JsonRefresh, Origins, Session, SetupError};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::gateway::{Gateway, LIFE};

const CROWD: usize = 6;

/// How the gateway answers, to the login and to a refresh.
fn answers() -> Dialect {
    Dialect::new()
        .access_token("data.accessToken")
        .refresh_token("data.refreshToken")
        .expires_in("data.expiresIn")
        .milliseconds()
        .success_when(|answer| answer.member("status").is_some_and(|status| status == "success"))
}

/// How it wants to be asked.
fn asked(url: &str) -> Result<JsonRefresh, SetupError> {
    Ok(JsonRefresh::post(url)?.refresh_token_member("auth.refreshToken")?.dialect(answers()))
}

/// What the program got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    ok: usize,
    try_later: usize,
    needs_login: usize,
    other: usize,
    retry_after: Duration,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ok, try_later, needs_login, other, .. } = self;
        let all = [(ok, "served"), (try_later, "to try later"), (needs_login, "to log in"), (other, "otherwise")];
        let some = all.iter().filter(|(count, _)| **count > 0).map(|(count, what)| format!("{count} {what}"));
        f.write_str(&some.collect::<Vec<_>>().join(", "))
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let began = Instant::now();
    let tell = move |what: &str| println!("{:6.2} s  {what}", began.elapsed().as_secs_f64());
    let gateway = Gateway::start().await;

    let to_login = move |why: &_| tell(&format!("to the login page: {why}"));
    let session = Session::builder(asked(&gateway.at("/auth/refresh"))?).on_needs_login(to_login).build();
    let auth = AuthRefresh::new(&session, Origins::new(gateway.at(""))?);
    let client = ClientBuilder::new(reqwest::Client::new()).with(auth).build();

    let log_in = async || -> Result<(), Box<dyn Error>> {
        let credentials = json!({"user": "alice", "password": "tea"}).to_string();
        let answer = reqwest::Client::new().post(gateway.at("/login")).body(credentials).send().await?;
        session.login(answers().tokens(answer.bytes().await?)?).await?;
        tell("logged in");
        Ok(())
    };
    let ask = async |when: &str| {
        let seen = crowd(&client, &gateway.at("/ideas")).await;
        tell(&format!("{when:<25} {seen}; refresh calls so far: {}", gateway.desk().refresh_calls));
        seen
    };

    log_in().await?;
    let good = ask("tokens are good").await;
    sleep(LIFE).await;
    let expired = ask("tokens have expired").await;
    gateway.desk().down = true;
    sleep(LIFE).await;
    let outage = ask("the gateway answers 503").await;
    gateway.desk().down = false;
    sleep(outage.retry_after).await;
    let up = ask("the gateway is back").await;
    gateway.end_login();
    sleep(LIFE).await;
    let ended = ask("the login has ended").await;
    let still = ask("it stays so").await;
    log_in().await?;
    let again = ask("logged in again").await;

    let all_ok = Seen { ok: CROWD, ..Seen::default() };
    let logged_out = Seen { needs_login: CROWD, ..Seen::default() };
    let desk = gateway.desk();
    println!();
    let agreed = [
        ("everyone served while the gateway can", [good, expired, up, again] == [all_ok; 4]),
        ("a 503 is no logout", outage == Seen { try_later: CROWD, retry_after: outage.retry_after, ..Seen::default() }),
        ("a dead refresh token is one", [ended, still] == [logged_out; 2]),
        ("one refresh call each: expiry, 503, back, end", desk.refresh_calls == 4 && desk.refreshed == 2),
        ("every idea was asked for with a good token", desk.ideas_served == 4 * CROWD && desk.ideas_refused == 0),
    ];
    for (what, right) in agreed {
        println!("{what:<50} {}", if right { "✓" } else { "✗ MISMATCH" });
    }
    let agreed = agreed.iter().all(|(_, right)| *right);
    let closing = if agreed { "both sides agree" } else { "the two sides do not agree" };
    println!("\njson_gateway: {closing}");
    Ok(if agreed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Six requests at the same time.
async fn crowd(client: &ClientWithMiddleware, url: &str) -> Seen {
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        crowd.spawn(client.get(url).send());
    }
    crowd.join_all().await.into_iter().fold(Seen::default(), |mut seen, outcome| {
        match outcome.as_ref().map_err(|error| AuthError::find(error)) {
            Ok(response) if response.status().is_success() => seen.ok += 1,
            Err(Some(error)) if error.needs_login() => seen.needs_login += 1,
            Err(Some(error)) if error.is_transient() => {
                seen.try_later += 1;
                seen.retry_after = seen.retry_after.max(error.retry_after().unwrap_or_default());
            }
            Ok(_) | Err(_) => seen.other += 1,
        }
        seen
    })
}
