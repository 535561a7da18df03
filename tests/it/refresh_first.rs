//! A request that asked for new tokens is not sent without them.

use std::sync::atomic::Ordering;

use http::StatusCode;
use reqwest_auth_refresh::{AuthError, RefreshError, RefreshRequest, RequestBuilderExt, Session};

use crate::virtual_world::{API, Canned, VirtualClock, client};

#[tokio::test(start_paused = true)]
async fn refresh_first_with_nobody_logged_in_sends_nothing() {
    let never = |_: RefreshRequest| async { Err(RefreshError::unavailable("not asked")) };
    let session = Session::builder(never).clock(VirtualClock::start()).build();
    let (api, sent) = Canned::new(|_| async { StatusCode::OK });
    let result = client(&session, api).get(API).refresh_first().send().await;
    assert!(AuthError::find(&result.unwrap_err()).unwrap().needs_login());
    assert_eq!(sent.load(Ordering::Relaxed), 0);
}
