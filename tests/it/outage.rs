//! An outage is not a logout, and a dead session is not an outage: a failure is shared and asked about rarely, only a
//! rejection ends a session, and that is said once and stays said.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use reqwest::Response;
use reqwest_auth_refresh::{
    AuthError, Event, MemoryStore, NeedsLogin, NotRetryable, RefreshError, RefreshRequest, RequestBuilderExt, Retried,
    Session, SessionBuilder, SessionId, State, TokenStore, Tokens,
};
use reqwest_middleware::ClientWithMiddleware;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use crate::support::bounded;
use crate::torture::rounds;
use crate::unlocked::Unlocked;
use crate::virtual_issuer::Issuer;
use crate::virtual_world::{API, Canned, VirtualClock, client, told};

const LATENCY: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);

fn builder(issuer: &Issuer) -> SessionBuilder {
    Session::builder(issuer.refresher()).clock(VirtualClock::start())
}

/// A session whose access token the API takes no longer.
async fn unauthorized(issuer: &Issuer) -> (Session, ClientWithMiddleware, Arc<AtomicUsize>) {
    let session = builder(issuer).build();
    session.login(issuer.tokens()).await.unwrap();
    issuer.end_access_tokens();
    let (api, sent) = Canned::new(issuer.api(LATENCY));
    let client = client(&session, api);
    (session, client, sent)
}

async fn send(client: &ClientWithMiddleware) -> Result<Response, AuthError> {
    client.get(API).send().await.map_err(|error| AuthError::find(&error).expect("an error of ours").clone())
}

/// So many requests at once.
async fn crowd(client: &ClientWithMiddleware, size: usize) -> Vec<Result<Response, AuthError>> {
    let mut crowd = JoinSet::new();
    for _ in 0..size {
        let client = client.clone();
        crowd.spawn(async move { send(&client).await });
    }
    crowd.join_all().await
}

fn errors(outcomes: Vec<Result<Response, AuthError>>) -> Vec<AuthError> {
    outcomes.into_iter().map(Result::unwrap_err).collect()
}

fn count(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::Relaxed)
}

fn is_ok(outcome: &Result<Response, AuthError>) -> bool {
    outcome.as_ref().is_ok_and(|response| response.status() == StatusCode::OK)
}

fn is_logged_in(session: &Session) -> bool {
    matches!(session.state(), State::LoggedIn { saved: true, .. })
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_shared_and_asked_about_again_later() {
    let issuer = Issuer::new();
    let (session, client, sent) = unauthorized(&issuer).await;
    issuer.fail(RefreshError::unavailable("down").retry_after(5 * SECOND));
    let begun = Instant::now();

    let failed = errors(crowd(&client, 1_000).await);
    println!("figure: failed_refresh_calls = {} calls", issuer.calls());
    assert_eq!((issuer.calls(), count(&sent)), (1, 1_000), "asked once, and nothing was sent again");
    assert_eq!(begun.elapsed().as_millis(), 120, "they all fail as soon as the refresh has");
    let said: HashSet<_> = failed.iter().map(|error| format!("{error} {error:?}")).collect();
    assert_eq!(said.len(), 1, "all the same error: {said:?}");
    assert!(failed[0].is_transient() && !failed[0].is_timeout() && !failed[0].needs_login(), "{:?}", failed[0]);
    assert_eq!((failed[0].retry_after(), failed[0].status()), (Some(5 * SECOND), Some(StatusCode::UNAUTHORIZED)));

    // During the rest the same is said at once.
    sleep(2 * SECOND).await;
    let resting = send(&client).await.unwrap_err();
    assert!(resting.is_transient(), "{resting:?}");
    assert_eq!(
        (resting.retry_after(), resting.status()),
        (Some(3 * SECOND), None),
        "what is left, and nothing was sent"
    );
    assert_eq!((issuer.calls(), count(&sent)), (1, 1_000));

    // After it somebody asks again; nobody is sent with the tokens that were refused.
    issuer.recover();
    sleep(3 * SECOND).await;
    assert!(is_ok(&send(&client).await));
    assert_eq!((issuer.calls(), count(&sent)), (2, 1_001));
    assert!(is_logged_in(&session));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_said_once_and_stays_said() {
    let issuer = Issuer::new();
    let (store, called) = (MemoryStore::default(), Arc::new(AtomicUsize::new(0)));
    let open = || {
        let called = Arc::clone(&called);
        let session = builder(&issuer).store(store.clone()).on_needs_login(move |why| {
            assert_eq!(*why, NeedsLogin::Rejected("invalid_grant".into()));
            called.fetch_add(1, Ordering::Relaxed);
        });
        let session = session.build();
        let (api, sent) = Canned::new(issuer.api(LATENCY));
        let client = client(&session, api);
        let events = session.events();
        (session, client, sent, events)
    };
    let needs_login = |events: &[Event]| events.iter().filter(|event| matches!(event, Event::NeedsLogin(_))).count();

    let (session, client, sent, mut events) = open();
    session.login(issuer.tokens()).await.unwrap();
    issuer.end_access_tokens();
    issuer.fail(RefreshError::rejected("invalid_grant"));
    for error in errors(crowd(&client, 1_000).await) {
        assert!(error.needs_login() && !error.is_transient(), "{error:?}");
        assert_eq!((error.code(), error.status()), (Some("invalid_grant"), Some(StatusCode::UNAUTHORIZED)));
    }
    assert_eq!((issuer.calls(), count(&sent)), (1, 1_000));

    // Even an issuer that would relent is not asked again.
    issuer.recover();
    let before = Instant::now();
    for wave in 0..10_u32 {
        for error in errors(crowd(&client, 1_000).await) {
            assert!(error.needs_login(), "{error:?}");
            assert_eq!((error.code(), error.status(), error.retry_after()), (Some("invalid_grant"), None, None));
        }
        sleep(SECOND * wave).await;
    }
    assert_eq!(before.elapsed(), 45 * SECOND, "none of them waited");
    let (calls, told_of) = (issuer.calls() - 1, needs_login(&told(&mut events)));
    println!("figure: dead_session_calls = {calls} calls");
    println!("figure: dead_session_events = {told_of} events");
    assert_eq!((calls, told_of, count(&called)), (0, 1, 1));
    assert_eq!(count(&sent), 1_000, "nothing was sent either");
    assert!(matches!(session.state(), State::NeedsLogin { .. }));
    drop((session, client, events));

    // The next run of the program.
    let (session, client, sent, mut events) = open();
    for error in errors(crowd(&client, 1_000).await) {
        assert!(error.needs_login(), "{error:?}");
        assert_eq!(error.code(), Some("invalid_grant"));
    }
    assert_eq!((issuer.calls() - 1, count(&sent)), (0, 0));
    assert_eq!((needs_login(&told(&mut events)), count(&called)), (1, 2), "once in this run as well");

    // Until somebody logs in.
    session.login(issuer.tokens()).await.unwrap();
    assert!(is_ok(&send(&client).await));
    issuer.end_access_tokens();
    issuer.fail(RefreshError::rejected("invalid_grant"));
    assert!(send(&client).await.unwrap_err().needs_login());
    assert_eq!((needs_login(&told(&mut events)), count(&called)), (1, 3), "another login, another event");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_elsewhere_on_the_same_store_is_learned_without_a_call() {
    let (issuer, store) = (Issuer::new(), MemoryStore::default());
    let other = builder(&issuer).store(store.clone()).build();
    other.login(issuer.tokens()).await.unwrap();
    let session = builder(&issuer).store(store).build();
    let (api, sent) = Canned::new(issuer.api(LATENCY));
    let client = client(&session, api);
    assert!(is_ok(&send(&client).await));
    issuer.fail(RefreshError::rejected("invalid_grant"));
    assert!(other.refresh().await.unwrap_err().needs_login());

    let mut events = session.events();
    assert!(is_ok(&send(&client).await), "an access token that is still good is used");
    issuer.end_access_tokens();
    for error in errors(crowd(&client, 100).await) {
        assert!(error.needs_login(), "{error:?}");
        assert_eq!((error.code(), error.status()), (Some("invalid_grant"), Some(StatusCode::UNAUTHORIZED)));
    }
    assert_eq!((issuer.calls(), count(&sent)), (1, 102));
    let told = told(&mut events);
    assert!(matches!(told[..], [Event::Now(State::LoggedIn { .. }), Event::NeedsLogin(_)]), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_not_believed_while_the_store_holds_something_newer() {
    // With a strict one the second use would end the login, and what the other one saved with it.
    let (issuer, store) = (Issuer::new().forgiving(), MemoryStore::default());
    let other = builder(&issuer).store(store.clone()).build();
    other.login(issuer.tokens()).await.unwrap();

    // Ours asks a moment after the other one, with a refresh token that is spent by then.
    let (asks, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let refresher = {
        let (issuer, asks, go) = (issuer.clone(), Arc::clone(&asks), Arc::clone(&go));
        move |request: RefreshRequest| {
            let (issuer, asks, go) = (issuer.clone(), Arc::clone(&asks), Arc::clone(&go));
            async move {
                asks.notify_one();
                bounded(|| "the other one to ask", go.notified()).await;
                issuer.refresh(request).await
            }
        }
    };
    let session = Session::builder(refresher).clock(VirtualClock::start()).store(Unlocked(store)).build();
    let mut events = session.events();
    issuer.end_access_tokens();
    let (api, sent) = Canned::new(issuer.api(LATENCY));
    let client = client(&session, api);
    let ours = tokio::spawn(async move { crowd(&client, 100).await });
    bounded(|| "a refresh", asks.notified()).await;
    other.refresh().await.unwrap();
    go.notify_one();

    assert!(ours.await.unwrap().iter().all(is_ok), "what the other one saved was adopted");
    assert_eq!((issuer.calls(), issuer.reuses(), count(&sent)), (2, 1, 200));
    let told = told(&mut events);
    assert!(!told.iter().any(|event| matches!(event, Event::NeedsLogin(_))), "{told:?}");
    assert!(is_logged_in(&session) && is_logged_in(&other));
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_saved_is_adopted_without_a_call() {
    let (issuer, store) = (Issuer::new(), MemoryStore::default());
    let other = builder(&issuer).store(store.clone()).build();
    other.login(issuer.tokens()).await.unwrap();
    let session = builder(&issuer).store(store).build();
    let (api, sent) = Canned::new(issuer.api(LATENCY));
    let client = client(&session, api);
    assert!(is_ok(&send(&client).await));

    issuer.end_access_tokens();
    other.refresh().await.unwrap();
    assert!(crowd(&client, 100).await.iter().all(is_ok));
    assert_eq!((issuer.calls(), count(&sent)), (1, 201));
}

/// What a minute without issuer looks like at 1,000 requests a second.
struct Outage {
    calls: usize,
    ok: usize,
    failed: usize,
}

/// `left`: how long the access token is still good for. It is due ten minutes before its end.
async fn outage(left: Duration, failure: RefreshError) -> Outage {
    let issuer = Issuer::new().taking(Duration::from_millis(50));
    let session = builder(&issuer).refresh_ahead(600 * SECOND).build();
    session.login(issuer.tokens()).await.unwrap();
    sleep((3600 * SECOND).saturating_sub(left)).await;
    issuer.fail(failure);

    let (api, sent) = Canned::new(issuer.api(LATENCY));
    let client = client(&session, api);
    let (mut requests, mut ticks) = (JoinSet::new(), interval(Duration::from_millis(1)));
    for _ in 0..60_000 {
        ticks.tick().await;
        let client = client.clone();
        requests.spawn(async move {
            match send(&client).await {
                Ok(response) => response.status() == StatusCode::OK,
                Err(error) => {
                    assert!(error.is_transient() && error.retry_after() <= Some(60 * SECOND), "{error:?}");
                    false
                }
            }
        });
    }
    let ok = requests.join_all().await.into_iter().filter(|ok| *ok).count();
    let outage = Outage { calls: issuer.calls(), ok, failed: 60_000 - ok };
    assert_eq!(count(&sent), ok, "only what could succeed was sent");
    assert!(is_logged_in(&session), "an outage is no logout");

    issuer.recover();
    sleep(60 * SECOND).await;
    assert!(is_ok(&send(&client).await), "and it is over when it is over");
    outage
}

fn down() -> RefreshError {
    RefreshError::unavailable("connection refused")
}

#[tokio::test(start_paused = true)]
async fn a_minute_without_issuer_and_without_good_tokens() {
    let outage = outage(Duration::ZERO, down()).await;
    println!("figure: outage_refresh_calls = {} calls", outage.calls);
    assert!((3..=8).contains(&outage.calls), "{} calls", outage.calls);
    assert_eq!((outage.ok, outage.failed), (0, 60_000));
}

#[tokio::test(start_paused = true)]
async fn a_minute_without_issuer_is_invisible_while_tokens_are_good() {
    let outage = outage(250 * SECOND, down()).await;
    println!("figure: outage_ok_while_good = {} requests", outage.ok);
    assert!((3..=8).contains(&outage.calls), "{} calls", outage.calls);
    assert_eq!((outage.ok, outage.failed), (60_000, 0));
}

#[tokio::test(start_paused = true)]
#[ignore = "torture: twenty outages, since the pauses are drawn"]
async fn every_minute_without_issuer() {
    let (mut worst, mut worst_lost) = (0, 0);
    for round in 0..rounds(20) {
        worst = worst.max(outage(Duration::ZERO, down()).await.calls);
        if round % 4 == 0 {
            worst = worst.max(outage(250 * SECOND, down()).await.calls);
            worst_lost = worst_lost.max(outage(Duration::ZERO, down().maybe_processed()).await.calls);
        }
    }
    println!("figure: outage_refresh_calls_worst = {worst} calls");
    println!("figure: outage_refresh_calls_worst_answers_lost = {worst_lost} calls");
    // A lost answer is asked for once more in the same flight.
    assert!(worst <= 8 && worst_lost <= 2 * 8, "{worst} {worst_lost}");
}

#[tokio::test(start_paused = true)]
async fn an_api_that_refuses_every_fresh_token_does_not_wear_out_the_issuer() {
    let issuer = Issuer::new().taking(Duration::from_millis(10));
    let session = builder(&issuer).build();
    session.login(issuer.tokens()).await.unwrap();
    let (api, sent) = Canned::new(|_| async {
        sleep(LATENCY).await;
        StatusCode::UNAUTHORIZED
    });
    let refusing = client(&session, api);

    let (mut refused, mut failed) = (0, Vec::new());
    let begun = Instant::now();
    for _ in 0..100 {
        for outcome in crowd(&refusing, 100).await {
            match outcome {
                Ok(response) => {
                    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
                    assert!(response.extensions().get::<Retried>().is_some());
                    refused += 1;
                }
                Err(error) => failed.push(error),
            }
        }
        sleep(Duration::from_millis(500)).await;
    }
    let took = begun.elapsed();
    assert!(took > 50 * SECOND && took < 60 * SECOND, "within one window, and longer than a token is young: {took:?}");
    println!("figure: excessive_refresh_calls = {} calls", issuer.calls());
    assert_eq!(issuer.calls(), 5);
    assert_eq!((refused, failed.len()), (500, 9_500));
    assert_eq!(count(&sent), 10_500, "who waited for a refresh was sent twice, everybody else once");
    for error in failed {
        assert!(error.is_transient() && !error.needs_login(), "{error:?}");
        assert!(error.retry_after().is_some_and(|pause| !pause.is_zero() && pause <= 60 * SECOND), "{error:?}");
        assert_eq!(error.status(), Some(StatusCode::UNAUTHORIZED));
    }
    assert!(is_logged_in(&session), "the tokens are kept");

    // When the window opens and the API has come to its senses, it works again.
    issuer.end_access_tokens();
    sleep((60 * SECOND).saturating_sub(took)).await;
    let (api, sent) = Canned::new(issuer.api(LATENCY));
    assert!(is_ok(&send(&client(&session, api)).await));
    assert_eq!((issuer.calls(), count(&sent)), (6, 2));
}

#[tokio::test(start_paused = true)]
async fn asking_for_new_tokens_again_and_again_is_limited_as_well() {
    let issuer = Issuer::new();
    let session = builder(&issuer).build();
    session.login(issuer.tokens()).await.unwrap();
    let (api, sent) = Canned::new(issuer.api(LATENCY));
    let client = client(&session, api);
    for _ in 0..3 {
        session.refresh().await.unwrap();
    }
    for _ in 0..2 {
        assert!(client.get(API).refresh_first().send().await.is_ok());
    }
    let error = session.refresh().await.unwrap_err();
    assert!(error.is_transient() && error.retry_after() <= Some(60 * SECOND), "{error:?}");
    let error = client.get(API).refresh_first().send().await.unwrap_err();
    assert!(AuthError::find(&error).is_some_and(AuthError::is_transient), "{error:?}");
    assert_eq!((issuer.calls(), count(&sent)), (5, 2));

    assert!(is_ok(&send(&client).await), "requests go on meanwhile, with the newest tokens");
    sleep(60 * SECOND).await;
    session.refresh().await.unwrap();
    assert_eq!(issuer.calls(), 6);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_returns_the_refused_token_again_makes_no_loop() {
    let issuer = Issuer::new().taking(Duration::from_millis(10));
    issuer.repeat_itself();
    let session = builder(&issuer).build();
    session.login(issuer.tokens()).await.unwrap();
    sleep(11 * SECOND).await;
    issuer.end_access_tokens();
    let (api, sent) = Canned::new(issuer.api(LATENCY));
    let client = client(&session, api);

    let (mut same, mut failed) = (0, 0);
    for _ in 0..1_000 {
        match send(&client).await {
            Ok(response) => {
                assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
                assert_eq!(response.extensions().get(), Some(&NotRetryable::SameToken));
                assert!(response.extensions().get::<Retried>().is_none());
                same += 1;
            }
            Err(error) => {
                assert!(error.is_transient() && error.retry_after().is_some(), "{error:?}");
                failed += 1;
            }
        }
    }
    assert_eq!((issuer.calls(), same, failed), (5, 5, 995));
    assert_eq!(count(&sent), 1_000, "each was sent once");
    assert!(is_logged_in(&session));
}

#[tokio::test(start_paused = true)]
async fn a_set_up_that_the_issuer_refuses_is_left_alone_for_a_minute() {
    let issuer = Issuer::new();
    let (session, client, sent) = unauthorized(&issuer).await;
    issuer.fail(RefreshError::misconfigured("invalid_client"));
    for second in 0..60_u32 {
        let error = send(&client).await.unwrap_err();
        assert!(error.is_misconfigured() && !error.needs_login() && !error.is_transient(), "{error:?}");
        assert_eq!(error.code(), Some("invalid_client"));
        if second == 0 {
            assert_eq!(error.retry_after(), Some(60 * SECOND));
            assert_eq!(error.status(), Some(StatusCode::UNAUTHORIZED));
        }
        sleep(Duration::from_millis(997)).await;
    }
    assert_eq!((issuer.calls(), count(&sent)), (1, 1));
    assert!(is_logged_in(&session), "the tokens are kept");

    issuer.recover();
    sleep(SECOND).await;
    assert!(is_ok(&send(&client).await));
    assert_eq!((issuer.calls(), count(&sent)), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_issuer_asked_for_is_kept_up_to_an_hour() {
    let minute = 60 * SECOND;
    let asked = |pause| RefreshError::unavailable("busy").retry_after(pause);
    let table = [
        (asked(30 * SECOND), 30 * SECOND),
        (asked(59 * minute), 59 * minute),
        (asked(120 * minute), 60 * minute),
        (asked(Duration::MAX), 60 * minute),
        (asked(30 * SECOND).for_every_session(), 30 * SECOND),
    ];
    for (failure, pause) in table {
        let issuer = Issuer::new();
        let (_session, client, _) = unauthorized(&issuer).await;
        issuer.fail(failure);
        assert_eq!(send(&client).await.unwrap_err().retry_after(), Some(pause));
        issuer.recover();
        sleep(pause.saturating_sub(Duration::from_millis(2))).await;
        assert!(send(&client).await.is_err_and(|error| error.is_transient()), "{pause:?}");
        assert_eq!(issuer.calls(), 1);
        sleep(Duration::from_millis(2)).await;
        assert!(is_ok(&send(&client).await), "{pause:?}");
        assert_eq!(issuer.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn login_and_logout_pass_while_the_session_rests() {
    for failure in [RefreshError::misconfigured("invalid_client"), down().retry_after(3600 * SECOND)] {
        let issuer = Issuer::new().taking(Duration::ZERO);
        let session = builder(&issuer).build();
        session.login(issuer.tokens()).await.unwrap();
        let (api, sent) = Canned::new(|bearer: Option<String>| async move {
            if bearer.as_deref() == Some("access.a.0.0") { StatusCode::UNAUTHORIZED } else { StatusCode::OK }
        });
        let client = client(&session, api);
        let begun = Instant::now();
        issuer.fail(failure);
        assert!(send(&client).await.is_err() && send(&client).await.is_err());
        assert_eq!((issuer.calls(), count(&sent)), (1, 1), "it rests");

        session.login(Tokens::new("of-another-login").unwrap()).await.unwrap();
        assert!(is_ok(&send(&client).await));
        assert!(session.refresh().await.is_err());
        assert_eq!((issuer.calls(), count(&sent)), (2, 2), "the new login had no rest of its own; now it has");

        session.logout().await.unwrap();
        assert!(matches!(session.state(), State::LoggedOut { .. }));
        assert!(is_ok(&send(&client).await), "unsigned, as nobody is logged in");
        assert_eq!((issuer.calls(), count(&sent)), (2, 3));
        assert_eq!(begun.elapsed(), Duration::ZERO, "none of it waited");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_but_a_rejection_touches_what_is_stored() {
    let failures = [down(), down().maybe_processed(), down().for_every_session(), RefreshError::misconfigured("x")];
    for failure in failures {
        let (issuer, store, id) = (Issuer::new(), MemoryStore::default(), SessionId::default());
        let session = builder(&issuer).store(store.clone()).build();
        session.login(issuer.tokens()).await.unwrap();
        let before = store.load(&id).await.unwrap().unwrap().to_bytes();
        let mut events = session.events();
        issuer.end_access_tokens();
        issuer.fail(failure);
        let (api, _) = Canned::new(issuer.api(LATENCY));
        assert!(crowd(&client(&session, api), 100).await.iter().all(Result::is_err));

        assert_eq!(*store.load(&id).await.unwrap().unwrap().to_bytes(), *before);
        assert!(is_logged_in(&session));
        let told = told(&mut events);
        let [Event::Now(State::LoggedIn { .. }), Event::RefreshFailed(_)] = &told[..] else { panic!("{told:?}") };
    }
}
