//! Nothing is lost: whoever begins an early refresh waits until what it yields is saved, and tokens that are about to be
//! replaced are not handed to someone who cannot try again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use reqwest_auth_refresh::{RefreshError, RefreshRequest, RequestBuilderExt, Session, State, Tokens};

use crate::virtual_world::{API, Canned, VirtualClock, client};

const LIFE: Duration = Duration::from_secs(100);
/// Whatever the jitter, tokens of that life are due by then, and have not expired.
const DUE: Duration = Duration::from_secs(93);

/// A session whose refresh takes a second.
fn session() -> Session {
    let calls = AtomicUsize::new(0);
    let refresher = move |_: RefreshRequest| {
        let tokens = Tokens::new(format!("new-{}", calls.fetch_add(1, Ordering::Relaxed)));
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            tokens.map(|tokens| tokens.with_expires_in(LIFE)).map_err(RefreshError::unavailable)
        }
    };
    Session::builder(refresher).clock(VirtualClock::start()).build()
}

fn generation(session: &Session) -> u64 {
    let State::LoggedIn { version, saved: true, .. } = session.state() else { panic!("{session:?}") };
    version.generation
}

#[tokio::test(start_paused = true)]
async fn a_second_sending_that_begins_an_early_refresh_waits_for_it_too() {
    let session = session();
    session.login(Tokens::new("first").unwrap()).await.unwrap();
    let (api, sent) = Canned::new(|token: Option<String>| async move {
        if token.as_deref() != Some("first") {
            return StatusCode::OK;
        }
        tokio::time::sleep(DUE).await;
        StatusCode::UNAUTHORIZED
    });
    let late = tokio::spawn(client(&session, api).get(API).send());
    tokio::task::yield_now().await;
    session.refresh().await.unwrap();
    assert_eq!(generation(&session), 1);

    assert_eq!(late.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!((generation(&session), sent.load(Ordering::Relaxed)), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_token_for_use_outside_http_is_not_about_to_be_replaced() {
    let session = session();
    session.login(Tokens::new("first").unwrap().with_expires_in(LIFE)).await.unwrap();
    tokio::time::sleep(DUE).await;
    let token = session.access_token().await.unwrap();
    assert_eq!(generation(&session), 1);
    assert!(session.invalidate(&token), "it is the new one");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_still_good_is_given_out_when_it_cannot_be_replaced() {
    let outage = |_: RefreshRequest| async { Err(RefreshError::unavailable("an outage")) };
    let session = Session::builder(outage).clock(VirtualClock::start()).build();
    session.login(Tokens::new("first").unwrap().with_expires_in(LIFE)).await.unwrap();
    tokio::time::sleep(DUE).await;
    let token = session.access_token().await.unwrap();
    assert!(session.invalidate(&token));
}

#[tokio::test(start_paused = true)]
async fn who_cannot_wait_for_a_replacement_goes_out_with_tokens_that_are_still_good() {
    let stalled = |_: RefreshRequest| std::future::pending();
    let session = Session::builder(stalled).clock(VirtualClock::start()).build();
    session.login(Tokens::new("first").unwrap().with_expires_in(Duration::from_secs(3600))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3580)).await;
    let (api, sent) = Canned::new(|_| async { StatusCode::OK });
    let request = client(&session, api).get(API).send_once().timeout(Duration::from_secs(2));
    let response = request.send().await.unwrap();
    assert_eq!((response.status(), sent.load(Ordering::Relaxed)), (StatusCode::OK, 1));
}
