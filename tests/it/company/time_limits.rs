//! A request's own timeout bounds how long its caller waits for new tokens, and not the refresh: that goes on, and what it
//! yields is saved.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use reqwest_auth_refresh::{AuthError, MemoryStore, Session, SessionId, TokenStore};
use tokio::time::Instant;

use crate::support::{Fault, Gate, bounded};
use crate::virtual_issuer::Issuer;
use crate::virtual_world::{API, Canned, VirtualClock, client};
use crate::wire_world::{Wire, answered};

#[tokio::test(start_paused = true)]
async fn a_timeout_of_one_second_beside_a_refresh_of_three() {
    let issuer = Issuer::new().taking(Duration::from_secs(3));
    let store = MemoryStore::default();
    let session = Session::builder(issuer.refresher()).clock(VirtualClock::start()).store(store.clone()).build();
    session.login(issuer.tokens()).await.unwrap();
    issuer.end_access_tokens();
    let (api, sent) = Canned::new(issuer.api(Duration::from_millis(20)));
    let client = client(&session, api);

    let begun = Instant::now();
    let error = client.get(API).timeout(Duration::from_secs(1)).send().await.unwrap_err();
    let waited = begun.elapsed().as_millis();
    println!("figure: timeout_caller_waited = {waited} ms");
    assert!((1_000..=1_200).contains(&waited), "{waited} ms");
    let error = AuthError::find(&error).unwrap();
    assert!(error.is_timeout() && error.is_transient(), "{error:?}");

    // Whoever has more time gets the outcome of the same flight.
    let response = client.get(API).timeout(Duration::from_secs(10)).send().await.unwrap();
    assert!(response.status().is_success());
    assert_eq!(begun.elapsed().as_millis() / 10, 304, "the rest of the three seconds, and one sending");
    assert_eq!((issuer.calls(), sent.load(Ordering::Relaxed)), (1, 2));
    let record = store.load(&SessionId::default()).now_or_never().unwrap().unwrap().unwrap();
    assert!(issuer.is_newest(record.tokens().unwrap()), "the tokens are saved");
}

#[tokio::test]
async fn on_the_wire_the_refresh_goes_on_without_the_callers() {
    let wire = Wire::unauthorized().await;
    let held = Gate::closed("the held calls");
    wire.issuer.next_calls(1, &Fault::HoldAnswer(held.clone()));
    // One caller begins the refresh and goes; the next one waits for it as long as it can.
    tokio::select! {
        response = wire.client().get(wire.api.at("/me")).send() => panic!("{response:?}"),
        () = held.arrived(1) => {}
    }
    let request = wire.client().get(wire.api.at("/me")).timeout(Duration::from_millis(100));
    let error = bounded(|| "the end of the request", request.send()).await.unwrap_err();
    assert!(AuthError::find(&error).is_some_and(AuthError::is_timeout), "{error:?}");

    held.open();
    wire.session.flush().await.unwrap();
    assert!(wire.client().get(wire.api.at("/me")).send().await.unwrap().status().is_success());
    assert_eq!(wire.counts(), (1, answered(1, 1)));
}
