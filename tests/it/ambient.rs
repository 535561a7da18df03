//! The ambient session goes with a future over every await, into tasks only where it is carried, and never outlives it.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use http::StatusCode;
use reqwest_auth_refresh::{AuthError, RefreshError, RefreshRequest, Session, Tokens, acting_for, carry};
use reqwest_middleware::ClientWithMiddleware;

use crate::virtual_world::{API, Canned, client};

/// What a request gets: sent, or refused since it names another session than the client's.
async fn is_sent(client: &ClientWithMiddleware) -> bool {
    match client.get(API).send().await {
        Ok(response) => response.status() == StatusCode::OK,
        Err(error) => {
            assert!(AuthError::find(&error).is_some_and(AuthError::is_misconfigured), "{error:?}");
            false
        }
    }
}

#[tokio::test]
async fn a_request_acts_for_the_session_around_it() {
    let refresher = |_: RefreshRequest| async { Err(RefreshError::unavailable("not asked here")) };
    let session = Session::builder(refresher).id("alice").build();
    session.login(Tokens::new("alices").unwrap()).await.unwrap();
    let (api, sent) = Canned::new(|bearer: Option<String>| async move {
        tokio::task::yield_now().await;
        assert_eq!(bearer.as_deref(), Some("alices"));
        StatusCode::OK
    });
    let client = client(&session, api);

    assert!(is_sent(&client).await, "the client's own session");
    assert!(acting_for("alice", is_sent(&client)).await);
    let carried_from_outside = carry(is_sent(&client));
    let bobs = acting_for("bob", async {
        tokio::task::yield_now().await;
        let mut sent = vec![is_sent(&client).await];
        sent.push(acting_for("alice", is_sent(&client)).await);
        sent.push(is_sent(&client).await);
        let ours = client.clone();
        sent.push(tokio::spawn(carry(async move { is_sent(&ours).await })).await.unwrap());
        let ours = client.clone();
        sent.push(tokio::spawn(async move { is_sent(&ours).await }).await.unwrap());
        sent
    });
    // Around, within, around again, carried into a task, and in a task of its own.
    assert_eq!(bobs.await, [false, true, false, false, true]);
    assert!(is_sent(&client).await, "nothing is left of it");
    assert!(acting_for("bob", carried_from_outside).await, "carried from where there was none");
    assert_eq!(sent.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn a_panic_leaves_the_session_outside_as_it_was() {
    let refresher = |_: RefreshRequest| async { Err(RefreshError::unavailable("not asked here")) };
    let session = Session::builder(refresher).id("alice").build();
    session.login(Tokens::new("alices").unwrap()).await.unwrap();
    let (api, _) = Canned::new(|_| std::future::ready(StatusCode::OK));
    let client = client(&session, api);
    let panics = acting_for("bob", async { std::panic::resume_unwind(Box::new("somebody's panic")) });
    let panics: Result<(), _> = AssertUnwindSafe(panics).catch_unwind().await;
    assert_eq!(panics.unwrap_err().downcast_ref(), Some(&"somebody's panic"));
    assert!(is_sent(&client).await);
    assert!(acting_for("alice", is_sent(&client)).await);
    assert!(!acting_for("bob", is_sent(&client)).await);
}
