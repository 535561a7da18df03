//! Nothing hangs: without a runtime there is nothing to wait with, and everyone gets a typed error at once.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use http::StatusCode;
use reqwest_auth_refresh::{RefreshError, RefreshRequest, RequestBuilderExt, Session, Tokens};

use crate::virtual_world::{API, Canned, client};

fn session() -> Session {
    Session::new(|_: RefreshRequest| async { Err(RefreshError::unavailable("not asked")) })
}

#[test]
fn outside_a_runtime_there_is_an_error_and_no_panic() {
    let session = session();
    let login = session.login(Tokens::new("t").unwrap()).now_or_never();
    assert!(login.expect("at once").is_err());
    assert!(session.access_token().now_or_never().expect("at once").is_ok());
    assert!(session.refresh().now_or_never().expect("at once").is_err());
    assert!(session.flush().now_or_never().expect("at once").is_err());
    drop(session.logout().now_or_never().expect("at once"));
}

#[test]
fn outside_a_runtime_a_request_that_is_sent_once_ends_too() {
    let session = session();
    let tokens = Tokens::new("t").unwrap().with_issued_at(SystemTime::UNIX_EPOCH);
    drop(session.login(tokens.with_expires_in(Duration::from_secs(1))).now_or_never());
    let (api, sent) = Canned::new(|_| async { StatusCode::OK });
    let result = client(&session, api).get(API).send_once().send().now_or_never();
    assert!(result.expect("at once").is_err());
    assert_eq!(sent.load(Ordering::Relaxed), 0);
}
