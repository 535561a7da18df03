//! A retry layer outside, tracing inside: an outage of the issuer that the program never notices.
//!
//! The access token is no longer good, and the issuer is down when new ones are asked for. `reqwest-retry` tries again after
//! one second and after two more, since our strategy tells it that an outage may pass; the third try succeeds.
//! `reqwest-tracing` inside has a span for each sending, so the spans tell what went over the wire. Then the login is revoked:
//! that is final, and tried once.
//!
//! Run it with `cargo run --example with_retry_and_tracing`. It takes three seconds.

#[path = "quickstart/story.rs"]
#[allow(dead_code, reason = "the quickstart tells more")]
mod story;
#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest_auth_refresh::{AuthError, AuthRefresh, AuthRetryStrategy, Event, Origins, RefreshGrant, Session, Tokens};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use reqwest_retry::{Jitter, RetryTransientMiddleware, policies::ExponentialBackoff};
use reqwest_tracing::TracingMiddleware;
use tracing::span::{Id, Record};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::story::{Story, Table};
use crate::support::{Api, Fault, Issuer};

fn client(auth: AuthRefresh) -> ClientWithMiddleware {
    // A session rests for a second or more after a failure: sooner tries meet the same error.
    let backoff = ExponentialBackoff::builder()
        .retry_bounds(Duration::from_secs(1), Duration::from_secs(60))
        .jitter(Jitter::None)
        .build_with_max_retries(3);
    let retry = RetryTransientMiddleware::new_with_policy_and_strategy(backoff, AuthRetryStrategy::default());
    // Tracing inside has a span for each sending; outside it would have one for each request.
    ClientBuilder::new(reqwest::Client::new()).with(retry).with(auth).with(TracingMiddleware::default()).build()
}

/// Tells of every span that is given a status, and counts them.
struct Spans(Story, Arc<AtomicUsize>);

impl<S: tracing::Subscriber> Layer<S> for Spans {
    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let Self(story, count) = self;
        values.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            if field.name() == reqwest_tracing::HTTP_RESPONSE_STATUS_CODE {
                count.fetch_add(1, Ordering::Relaxed);
                story.tell("a span", &format!("one sending, answered with {value:?}"));
            }
        });
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let (story, spans) = (Story::begin(), Arc::new(AtomicUsize::new(0)));
    tracing_subscriber::registry().with(Spans(story, Arc::clone(&spans))).init();
    let issuer = Issuer::start().await?;
    let api = Api::start(&issuer).await?;
    let session = Session::new(RefreshGrant::new(issuer.token_url(), "app")?);
    session.login(Tokens::from_json(issuer.login("alice").to_string())?).await?;

    let mut events = session.events();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let Event::RefreshFailed(error) = event {
                story.tell("the session", &error.to_string());
            }
        }
    });

    let client = client(AuthRefresh::new(&session, Origins::new(api.url())?));

    Story::scene("The token is no longer good, and the issuer is down for two calls");
    issuer.revoke_access("alice");
    issuer.next_calls(2, &Fault::Status(StatusCode::SERVICE_UNAVAILABLE, None));
    let status = client.get(api.at("/me")).send().await?.status();
    story.tell("the program", &status.to_string());

    Story::scene("The login is revoked");
    issuer.revoke_grants("alice");
    let outcome = client.get(api.at("/me")).send().await;
    let error = outcome.as_ref().err().and_then(|error| AuthError::find(error));
    let needs_login = error.is_some_and(AuthError::needs_login);
    story.tell("the program", &error.map_or("no error".to_owned(), ToString::to_string));

    let (told, met) = (issuer.counts(), api.counts());
    let mut table = Table::begin();
    Table::heading("counted", "expected");
    table.same("the first request ended in 200", usize::from(status == StatusCode::OK), 1);
    table.same("the second said: needs login", usize::from(needs_login), 1);
    table.same("spans: one for each sending", spans.load(Ordering::Relaxed), 3);
    table.same("sendings, going by the API", met.requests, 3);
    table.same("calls of the issuer while it was down", told.turned_away, 2);
    table.same("calls of the issuer, all in all", told.token_calls, 4);
    let right = table.is_all_right();
    let closing = if right { "the outage passed, the end of the login did not" } else { "the counts do not agree" };
    Story::close(&format!("with_retry_and_tracing: {closing}"));
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
