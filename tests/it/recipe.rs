//! The recipe that everybody copies, in its seven steps and with its two pitfalls: in a session that lives in cookies, and in
//! one whose tokens the program holds.

mod world;

use std::sync::Arc;

use reqwest_auth_refresh::{AuthError, Dialect, Retried, State};
use tokio::task::JoinSet;

use world::{Mode, Mood, World, says};

/// Each law in both modes.
macro_rules! in_both_modes {
    ($($law:ident,)+) => {
        mod cookies {
            $(#[tokio::test]
            async fn $law() {
                super::$law(super::Mode::Cookies).await;
            })+
        }
        mod tokens {
            $(#[tokio::test]
            async fn $law() {
                super::$law(super::Mode::Tokens).await;
            })+
        }
    };
}

in_both_modes! {
    step_1_a_401_is_caught_and_nothing_else_is,
    step_2_the_request_is_kept_as_it_was,
    step_3_the_refresh_token_goes_to_its_endpoint_alone,
    step_4_the_refresh_endpoint_is_called_once,
    step_5_new_tokens_must_have_come,
    step_6_the_request_is_sent_again_with_the_new_ones,
    step_7_if_none_came_the_user_is_sent_to_the_login_page,
    pitfall_1_a_wrong_password_is_no_expiry,
    pitfall_2_a_retry_is_not_retried,
    a_failure_in_a_200_ends_the_session_where_the_dialect_says_so,
    a_bare_401_or_403_ends_the_session,
    a_firewalls_page_and_an_outage_do_not,
    a_login_begins_anew_after_the_end_of_another,
    the_end_of_a_session_outlives_the_program,
    a_session_outlives_the_program,
}

fn needs_login(result: &Result<reqwest::Response, reqwest_middleware::Error>) -> bool {
    result.as_ref().is_err_and(|error| AuthError::find(error).is_some_and(AuthError::needs_login))
}

async fn step_1_a_401_is_caught_and_nothing_else_is(mode: Mode) {
    let world = World::new(mode).await;
    assert_eq!(world.get("/me").await.unwrap().status(), 200);
    assert_eq!(world.get("/missing").await.unwrap().status(), 404);
    assert_eq!(world.calls().await, (2, 0));
    world.expire();
    assert_eq!(world.get("/me").await.unwrap().status(), 200, "nobody noticed");
    assert_eq!(world.calls().await, (4, 1));
    assert_eq!(world.shown(), 0);
}

async fn step_2_the_request_is_kept_as_it_was(mode: Mode) {
    let world = World::new(mode).await;
    world.expire();
    let response = world.post_idea("a better mousetrap").await.unwrap();
    assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (200, "a better mousetrap"));
    let sent = world.at_api().await;
    assert_eq!(sent.len(), 2);
    for request in &sent {
        assert_eq!((request.method.as_str(), request.url.path()), ("POST", "/api/web/ideas"));
        assert_eq!((request.url.query(), request.body.as_slice()), (Some("draft=1"), b"a better mousetrap".as_slice()));
    }
    let without = |at: usize| {
        let mut headers = sent[at].headers.clone();
        assert_eq!(headers.get_all(world.carrier()).iter().count(), 1, "one of them, and not two");
        headers.remove(world.carrier());
        headers.remove("x-csrf");
        headers
    };
    assert_eq!(without(0), without(1));
    assert_ne!(sent[0].headers[world.carrier()], sent[1].headers[world.carrier()]);
}

async fn step_3_the_refresh_token_goes_to_its_endpoint_alone(mode: Mode) {
    let world = World::new(mode).await;
    world.expire();
    world.get("/me").await.unwrap();
    let holds = |request: &wiremock::Request| {
        let in_headers = request.headers.values().any(|value| value.to_str().unwrap().contains("refresh-"));
        in_headers
            || request.body.windows(8).any(|window| window == b"refresh-")
            || request.url.as_str().contains("refresh-")
    };
    let refreshes = world.at_auth("refresh_token").await;
    assert_eq!((refreshes.len(), refreshes.iter().filter(|request| holds(request)).count()), (1, 1));
    let spent = match mode {
        Mode::Cookies => refreshes[0].headers["cookie"].to_str().unwrap().contains("refresh=refresh-1"),
        Mode::Tokens => refreshes[0].body == br#"{"refreshToken":"refresh-1"}"#,
    };
    assert!(spent, "{:?}", refreshes[0]);
    assert_eq!(world.at_api().await.iter().filter(|request| holds(request)).count(), 0);
}

async fn step_4_the_refresh_endpoint_is_called_once(mode: Mode) {
    let world = Arc::new(World::new(mode).await);
    world.expire();
    let mut crowd = JoinSet::new();
    for _ in 0..20 {
        let world = Arc::clone(&world);
        crowd.spawn(async move { world.get("/me").await.unwrap().status().as_u16() });
    }
    assert_eq!(crowd.join_all().await, [200; 20]);
    let refreshes = world.at_auth("refresh_token").await;
    assert_eq!((refreshes.len(), refreshes[0].method.as_str()), (1, "POST"));
}

async fn step_5_new_tokens_must_have_come(mode: Mode) {
    let world = World::new(mode).await;
    world.expire();
    // It says 200, and not that it worked: nothing is known about the session.
    world.set_mood(Mood::Answer(200, "application/json", r#"{"status":"failure"}"#));
    let error = world.get("/me").await.unwrap_err();
    let error = AuthError::find(&error).unwrap();
    assert!(error.is_transient() && error.status() == Some(http::StatusCode::UNAUTHORIZED), "{error:?}");
    assert_eq!(world.calls().await, (1, 1), "without new tokens it is not sent again");
    assert!(matches!(world.session.state(), State::LoggedIn { .. }));
    assert_eq!(world.shown(), 0);
}

async fn step_6_the_request_is_sent_again_with_the_new_ones(mode: Mode) {
    let world = World::new(mode).await;
    world.expire();
    let response = world.post_idea("sent twice").await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.extensions().get::<Retried>().is_some());
    let sent = world.at_api().await;
    let carried = |at: usize| sent[at].headers[world.carrier()].to_str().unwrap().to_owned();
    assert!(carried(0).contains("access-1") && carried(1).contains("access-2"), "{} {}", carried(0), carried(1));
    if mode == Mode::Cookies {
        assert_eq!([&sent[0].headers["x-csrf"], &sent[1].headers["x-csrf"]], ["csrf-1", "csrf-2"]);
    }
    assert_eq!(world.get("/me").await.unwrap().status(), 200);
    assert_eq!(world.calls().await, (3, 1), "and the next one has them at once");
}

async fn step_7_if_none_came_the_user_is_sent_to_the_login_page(mode: Mode) {
    let world = Arc::new(World::new(mode).await);
    world.end();
    let mut crowd = JoinSet::new();
    for _ in 0..20 {
        let world = Arc::clone(&world);
        crowd.spawn(async move { needs_login(&world.get("/me").await) });
    }
    assert_eq!(crowd.join_all().await, [true; 20]);
    let (api, refreshes) = world.calls().await;
    assert_eq!((refreshes, world.shown()), (1, 1), "all of them are sent there, and it is said once");
    for _ in 0..10 {
        assert!(needs_login(&world.get("/me").await));
    }
    assert_eq!(world.calls().await, (api, refreshes), "and from then on nobody calls anyone");
    assert_eq!(world.shown(), 1);
}

async fn pitfall_1_a_wrong_password_is_no_expiry(mode: Mode) {
    let world = World::new(mode).await;
    let state = world.session.state();
    for _ in 0..1_000 {
        assert_eq!(world.log_in("wrong").await, 401);
    }
    assert_eq!(world.calls().await, (0, 0));
    assert_eq!((world.at_auth("login").await.len(), world.shown()), (1_001, 0));
    assert_eq!(world.session.state(), state);
    assert_eq!(world.get("/me").await.unwrap().status(), 200);
    println!("figure: wrong_password_refreshes_{mode:?} = 0 calls");
}

async fn pitfall_2_a_retry_is_not_retried(mode: Mode) {
    let world = World::new(mode).await;
    world.refuse_all();
    let response = world.get("/me").await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(response.extensions().get::<Retried>().is_some());
    assert_eq!(response.text().await.unwrap(), "no longer good", "the second response, whole");
    assert_eq!(world.calls().await, (2, 1));
    assert_eq!(world.shown(), 0);
}

async fn a_failure_in_a_200_ends_the_session_where_the_dialect_says_so(mode: Mode) {
    let dialect = Dialect::new()
        .success_when(|answer| says(answer.member("status"), "success"))
        .rejected_when(|answer| says(answer.member("status"), "failure"));
    let world = World::speaking(mode, dialect).await;
    world.expire();
    world.set_mood(Mood::Answer(200, "application/json", r#"{"status":"failure"}"#));
    assert!(needs_login(&world.get("/me").await));
    assert_eq!((world.calls().await, world.shown()), ((1, 1), 1));
}

async fn a_bare_401_or_403_ends_the_session(mode: Mode) {
    for status in [401, 403] {
        let world = World::new(mode).await;
        world.expire();
        world.set_mood(Mood::Answer(status, "text/plain", ""));
        assert!(needs_login(&world.get("/me").await), "{status}");
        assert_eq!((world.calls().await, world.shown()), ((1, 1), 1), "{status}");
    }
}

async fn a_firewalls_page_and_an_outage_do_not(mode: Mode) {
    let page = "<!doctype html><title>Blocked</title>";
    for (status, kind, body) in
        [(403, "text/html", page), (200, "text/html; charset=utf-8", page), (503, "text/plain", "")]
    {
        let world = World::new(mode).await;
        world.expire();
        world.set_mood(Mood::Answer(status, kind, body));
        let error = world.get("/me").await.unwrap_err();
        assert!(AuthError::find(&error).unwrap().is_transient(), "{status} {kind}: {error}");
        assert_eq!((world.calls().await, world.shown()), ((1, 1), 0), "{status} {kind}");
        assert!(matches!(world.session.state(), State::LoggedIn { .. }), "{status} {kind}");
        // The session rests for a moment; asked for by the program's own hand it would wait that out.
        world.set_mood(Mood::Fair);
        let pause = AuthError::find(&error).unwrap().retry_after().unwrap();
        tokio::time::sleep(pause).await;
        assert_eq!(world.get("/me").await.unwrap().status(), 200, "{status} {kind}");
        assert_eq!(world.calls().await.1, 2, "{status} {kind}");
    }
}

async fn a_login_begins_anew_after_the_end_of_another(mode: Mode) {
    let world = World::new(mode).await;
    world.end();
    assert!(needs_login(&world.get("/me").await));
    assert_eq!(world.log_in("wrong").await, 401);
    assert!(needs_login(&world.get("/me").await), "a wrong password is no login");
    assert_eq!(world.log_in("right").await, 200);
    assert_eq!(world.get("/me").await.unwrap().status(), 200);
    assert_eq!((world.calls().await, world.shown()), ((2, 1), 1));
    // It is a login like any other, and ends like one.
    world.end();
    assert!(needs_login(&world.get("/me").await));
    assert_eq!(world.shown(), 2);
}

async fn the_end_of_a_session_outlives_the_program(mode: Mode) {
    let world = World::new(mode).await;
    world.end();
    assert!(needs_login(&world.get("/me").await));
    let calls = world.calls().await;
    let world = world.restart(true);
    assert!(needs_login(&world.get("/me").await));
    assert_eq!((world.calls().await, world.shown()), (calls, 1), "without a call, and said once in this run as well");
    assert_eq!(world.log_in("right").await, 200);
    assert_eq!(world.get("/me").await.unwrap().status(), 200);
}

async fn a_session_outlives_the_program(mode: Mode) {
    let world = World::new(mode).await.restart(true);
    assert_eq!(world.get("/me").await.unwrap().status(), 200);
    world.expire();
    assert_eq!(world.get("/me").await.unwrap().status(), 200);
    assert_eq!((world.calls().await, world.shown()), ((3, 1), 0));
    if mode == Mode::Cookies {
        // What nobody brought over is gone: the server says so, and the user has to log in.
        let world = world.restart(false);
        assert!(needs_login(&world.get("/me").await));
        assert_eq!((world.calls().await, world.shown()), ((4, 2), 1));
    }
}
