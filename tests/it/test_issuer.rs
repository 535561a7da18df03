//! The test issuer is as strict as the strictest real ones, and counts exactly.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Client as Http, Response, StatusCode};
use serde_json::Value;

use crate::support::{
    Api, Client, Denied, Fault, Gate, Grants, Holder, Issued, Issuer, IssuerCounts, Outage, Refused, Rotation, Tally,
    body_hash, bounded, until,
};

const LIFE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

fn refresh_token(issued: &Issued) -> &str {
    issued.refresh_token.as_deref().unwrap()
}

/// A text member of a token answer.
fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap()
}

/// Without a pool, as a careful refresher does it: a connection says how its own call ended, and nothing else.
fn http() -> Http {
    Http::builder().pool_max_idle_per_host(0).build().unwrap()
}

async fn send_form(url: &str, form: &str) -> reqwest::Result<Response> {
    http().post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.to_owned()).send().await
}

async fn send_refresh(issuer: &Issuer, token: &str) -> reqwest::Result<Response> {
    send_form(issuer.token_url(), &format!("grant_type=refresh_token&refresh_token={token}")).await
}

async fn json(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

async fn refresh(issuer: &Issuer, token: &str) -> (StatusCode, Value) {
    let response = send_refresh(issuer, token).await.unwrap();
    (response.status(), json(response).await)
}

async fn call(api: &Api, path: &str, access_token: &str) -> Response {
    http().get(api.at(path)).bearer_auth(access_token).send().await.unwrap()
}

#[test]
fn a_refresh_token_works_once_and_yields_the_next() {
    let grants = Grants::new(LIFE);
    let first = grants.login("alice", at(0));
    let second = grants.redeem(refresh_token(&first), at(1)).unwrap();
    let third = grants.redeem(refresh_token(&second), at(2)).unwrap();

    assert_eq!(third.holder, Holder { user: "alice".into(), grant: 1, generation: 3 });
    assert_eq!(grants.check(&third.access_token, at(2)), Ok(third.holder));
    assert_eq!(grants.check(&first.access_token, at(2)), Ok(first.holder));
    let counts = grants.counts();
    assert_eq!((counts.logins, counts.accepted, counts.rejected, counts.reuse, counts.live_grants), (1, 2, 0, 0, 1));
}

#[test]
fn a_second_use_ends_the_grant_and_its_access_tokens_but_no_other() {
    let grants = Grants::new(LIFE);
    let first = grants.login("alice", at(0));
    let other = grants.login("alice", at(0));
    let second = grants.redeem(refresh_token(&first), at(1)).unwrap();

    assert_eq!(grants.redeem(refresh_token(&first), at(1)), Err(Refused::Reused));
    assert_eq!(grants.redeem(refresh_token(&second), at(1)), Err(Refused::Ended));
    assert_eq!(grants.check(&second.access_token, at(1)), Err(Denied::Revoked(second.holder)));
    assert_eq!(grants.check(&other.access_token, at(1)), Ok(other.holder));
    let counts = grants.counts();
    assert_eq!((counts.accepted, counts.rejected, counts.reuse, counts.live_grants), (1, 2, 1, 1));
}

#[test]
fn an_access_token_expires_to_the_moment() {
    let grants = Grants::new(LIFE);
    let issued = grants.login("alice", at(0));
    let just_before = at(60) - Duration::from_nanos(1);

    assert_eq!(grants.check(&issued.access_token, just_before), Ok(issued.holder.clone()));
    assert_eq!(grants.check(&issued.access_token, at(60)), Err(Denied::Expired(issued.holder.clone())));
    grants.set_leeway(Duration::from_secs(5));
    assert_eq!(grants.check(&issued.access_token, at(64)), Ok(issued.holder.clone()));
    assert_eq!(grants.check(&issued.access_token, at(65)), Err(Denied::Expired(issued.holder)));
    assert_eq!(grants.check("nobody's", at(0)), Err(Denied::Unknown));
    assert_eq!(grants.redeem("nobody's", at(0)), Err(Refused::Unknown));
}

#[test]
fn rotation_can_be_lenient() {
    let grants = Grants::new(LIFE);
    grants.set_rotation(Rotation::Grace(Duration::from_secs(10)));
    let first = grants.login("alice", at(0));
    let second = grants.redeem(refresh_token(&first), at(1)).unwrap();
    let again = grants.redeem(refresh_token(&first), at(11)).unwrap();
    assert_eq!((&again.access_token, &again.refresh_token), (&second.access_token, &second.refresh_token));
    assert_eq!(again.expires_in, Some(Duration::from_secs(50)));
    assert_eq!(grants.redeem(refresh_token(&first), at(12)), Err(Refused::Reused));
    let counts = grants.counts();
    assert_eq!((counts.accepted, counts.repeated, counts.reuse, counts.live_grants), (2, 1, 1, 0));

    grants.set_rotation(Rotation::Forgiving);
    let first = grants.login("dave", at(0));
    let second = grants.redeem(refresh_token(&first), at(1)).unwrap();
    assert_eq!(grants.redeem(refresh_token(&first), at(1)), Err(Refused::Reused));
    assert_eq!(grants.check(&second.access_token, at(1)), Ok(second.holder.clone()));
    assert_eq!(grants.redeem(refresh_token(&second), at(2)).unwrap().holder.generation, 3);
    assert_eq!((grants.counts().reuse, grants.counts().live_grants), (2, 1));

    grants.set_rotation(Rotation::Kept);
    let first = grants.login("bob", at(0));
    let second = grants.redeem(refresh_token(&first), at(1)).unwrap();
    assert_eq!((second.refresh_token, second.holder.generation), (None, 2));
    assert_ne!(second.access_token, first.access_token);
    assert_eq!(grants.redeem(refresh_token(&first), at(2)).unwrap().holder.generation, 3);

    grants.set_rotation(Rotation::Cached);
    let first = grants.login("carol", at(0));
    let second = grants.redeem(refresh_token(&first), at(1)).unwrap();
    assert_eq!((second.access_token, second.refresh_token), (first.access_token, first.refresh_token));
}

#[test]
fn the_rules_can_be_changed() {
    let grants = Grants::new(LIFE);
    grants.set_one_access_token(true);
    let first = grants.login("alice", at(0));
    let second = grants.redeem(refresh_token(&first), at(1)).unwrap();
    assert_eq!(grants.check(&first.access_token, at(1)), Err(Denied::Revoked(first.holder)));
    assert_eq!(grants.check(&second.access_token, at(1)), Ok(second.holder.clone()));

    grants.set_repeats_access_token(true);
    let third = grants.redeem(refresh_token(&second), at(2)).unwrap();
    assert_eq!((&third.access_token, third.holder.generation), (&second.access_token, 3));
    assert_ne!(third.refresh_token, second.refresh_token);
    assert!(grants.check(&third.access_token, at(2)).is_ok());

    assert_eq!(grants.login("alice", at(0)).to_json()["expires_in"], 60);
    grants.set_access_life(Duration::from_millis(1500));
    assert_eq!(grants.login("alice", at(0)).to_json()["expires_in"], 1.5);
    grants.set_tells_expiry(false);
    assert_eq!(grants.login("alice", at(0)).to_json().get("expires_in"), None);

    assert_ne!(
        Grants::new(LIFE).login("alice", at(0)).access_token,
        Grants::new(LIFE).login("alice", at(0)).access_token
    );
    grants.set_names(|kind, holder| format!("{kind} {} of {}", holder.generation, holder.user));
    let named = grants.login("bob", at(0));
    assert_eq!((&*named.access_token, refresh_token(&named)), ("access 1 of bob", "refresh 1 of bob"));
    assert_eq!(grants.check("access 1 of bob", at(0)), Ok(named.holder));
}

#[test]
fn revoking_ends_what_it_names() {
    let grants = Grants::new(LIFE);
    let (alice, again) = (grants.login("alice", at(0)), grants.login("alice", at(0)));
    let bob = grants.login("bob", at(0));

    grants.revoke_access("alice");
    assert_eq!(grants.check(&alice.access_token, at(0)), Err(Denied::Revoked(alice.holder.clone())));
    let fresh = grants.redeem(refresh_token(&alice), at(0)).unwrap();
    assert_eq!(grants.check(&fresh.access_token, at(0)), Ok(fresh.holder.clone()));
    assert!(!grants.is_newest(refresh_token(&alice)) && grants.is_newest(refresh_token(&fresh)));
    assert!(!grants.revoke_token(refresh_token(&alice)), "it is spent");

    assert!(grants.is_newest(refresh_token(&again)) && !grants.is_newest("nobody's"));
    assert!(grants.revoke_token(refresh_token(&again)));
    assert!(!grants.revoke_token(&again.access_token) && !grants.is_newest(refresh_token(&again)));
    assert_eq!(grants.revoke_grants("alice"), 1);
    assert_eq!(grants.check(&fresh.access_token, at(0)), Err(Denied::Revoked(fresh.holder.clone())));
    assert_eq!(grants.redeem(refresh_token(&fresh), at(0)), Err(Refused::Ended));
    assert_eq!(grants.check(&bob.access_token, at(0)), Ok(bob.holder));
    assert_eq!(grants.counts().live_grants, 1);
}

#[tokio::test]
async fn the_token_endpoint_rotates_and_counts() {
    let issuer = Issuer::start().await.unwrap();
    let login = issuer.login("alice");
    let (status, second) = refresh(&issuer, text(&login, "refresh_token")).await;
    assert_eq!(
        (status, &second["token_type"], &second["expires_in"]),
        (StatusCode::OK, &"Bearer".into(), &3600.into())
    );
    let (status, refused) = refresh(&issuer, text(&login, "refresh_token")).await;
    assert_eq!((status, &refused["error"]), (StatusCode::BAD_REQUEST, &"invalid_grant".into()));
    let (status, _) = refresh(&issuer, text(&second, "refresh_token")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);

    let expected =
        IssuerCounts { token_calls: 3, accepted: 1, rejected: 2, reuse: 1, logins: 1, ..IssuerCounts::default() };
    assert_eq!(issuer.counts(), expected);
}

#[tokio::test]
async fn the_token_endpoint_is_strict_about_its_form() {
    let issuer = Issuer::start().await.unwrap();
    let cases = [
        ("refresh_token=x", "invalid_request"),
        ("grant_type=refresh_token", "invalid_request"),
        ("grant_type=refresh_token&refresh_token=x&refresh_token=x", "invalid_request"),
        ("grant_type=password&username=x", "unsupported_grant_type"),
    ];
    for (form, code) in cases {
        let response = send_form(issuer.token_url(), form).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{form}");
        assert_eq!(json(response).await["error"], code, "{form}");
    }
    let response = http().get(issuer.token_url()).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!((issuer.counts().token_calls, issuer.counts().turned_away), (4, 4));
    let last = issuer.last_call().unwrap();
    assert_eq!((last.param("username"), last.param("refresh_token")), (Some("x"), None));
}

#[tokio::test]
async fn the_client_says_who_it_is_in_one_way() {
    const SECRET: &str = "p@ss:w+rd %&=";
    let issuer = Issuer::start().await.unwrap();
    let encoded: String = form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    let login = issuer.login("alice");
    let mut token = text(&login, "refresh_token").to_owned();

    // What the client must do, and which of these four does it: nothing, id in the form, both in the form, Basic.
    let cases = [(Client::Public("app"), 1), (Client::Post("app", SECRET), 2), (Client::Basic("app", SECRET), 3)];
    for (client, right) in cases {
        issuer.set_client(client);
        for way in 0..4 {
            let form = format!("grant_type=refresh_token&refresh_token={token}");
            let form = match way {
                1 => format!("{form}&client_id=app"),
                2 => format!("{form}&client_id=app&client_secret={encoded}"),
                _ => form,
            };
            let mut request = http().post(issuer.token_url()).body(form);
            if way == 3 {
                request = request.basic_auth("app", Some(&encoded));
            }
            let response = request.send().await.unwrap();
            if way == right {
                assert_eq!(response.status(), StatusCode::OK);
                text(&json(response).await, "refresh_token").clone_into(&mut token);
            } else {
                assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
                assert!(response.headers().contains_key(WWW_AUTHENTICATE));
                assert_eq!(json(response).await["error"], "invalid_client");
            }
        }
    }
    // A secret that is not form-encoded is refused, as oidc-provider does.
    let form = format!("grant_type=refresh_token&refresh_token={token}");
    let raw = http().post(issuer.token_url()).basic_auth("app", Some(SECRET)).body(form).send().await.unwrap();
    assert_eq!(raw.status(), StatusCode::UNAUTHORIZED);
    issuer.set_client(None);
    assert_eq!(refresh(&issuer, &token).await.0, StatusCode::OK);
    let counts = issuer.counts();
    assert_eq!((counts.token_calls, counts.accepted, counts.turned_away, counts.rejected), (14, 4, 10, 0));
}

#[tokio::test]
async fn an_outage_answers_503_or_refuses_and_spends_nothing() {
    let issuer = Issuer::start().await.unwrap();
    let login = issuer.login("alice");
    let token = text(&login, "refresh_token");

    issuer.down(Outage::Unavailable(Some(Duration::from_secs(7)))).await;
    let response = send_refresh(&issuer, token).await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()[RETRY_AFTER]),
        (StatusCode::SERVICE_UNAVAILABLE, &"7".parse().unwrap())
    );
    issuer.down(Outage::Refused).await;
    for _ in 0..3 {
        assert!(send_refresh(&issuer, token).await.unwrap_err().is_connect());
    }
    issuer.up().unwrap();
    assert_eq!(refresh(&issuer, token).await.0, StatusCode::OK);

    let counts = issuer.counts();
    assert_eq!((counts.token_calls, counts.turned_away, counts.accepted, counts.live_grants), (2, 1, 1, 1));
}

#[tokio::test]
async fn faults_meet_the_next_calls_and_only_those() {
    let issuer = Issuer::start().await.unwrap();
    let login = issuer.login("alice");
    let token = text(&login, "refresh_token");

    issuer.next_calls(2, &Fault::DropBefore);
    issuer.next_calls(1, &Fault::Html);
    issuer.next_calls(1, &Fault::Status(StatusCode::TOO_MANY_REQUESTS, Some(Duration::from_secs(2))));
    issuer.next_calls(1, &Fault::Error(StatusCode::UNAUTHORIZED, "invalid_client"));
    issuer.next_calls(1, &Fault::Body("[".into()));
    for _ in 0..2 {
        let error = send_refresh(&issuer, token).await.unwrap_err();
        assert!(error.is_request() && !error.is_connect());
    }
    let page = send_refresh(&issuer, token).await.unwrap();
    assert_eq!(
        (page.status(), &page.headers()[CONTENT_TYPE]),
        (StatusCode::OK, &"text/html; charset=utf-8".parse().unwrap())
    );
    let slow_down = send_refresh(&issuer, token).await.unwrap();
    assert_eq!((slow_down.status().as_u16(), &slow_down.headers()[RETRY_AFTER]), (429, &"2".parse().unwrap()));
    let (status, answer) = refresh(&issuer, token).await;
    assert_eq!((status.as_u16(), &answer["error"]), (401, &"invalid_client".into()));
    assert_eq!(send_refresh(&issuer, token).await.unwrap().bytes().await.unwrap(), "[");

    assert_eq!(refresh(&issuer, token).await.0, StatusCode::OK);
    let counts = issuer.counts();
    assert_eq!((counts.token_calls, counts.turned_away, counts.accepted, counts.reuse), (7, 6, 1, 0));
}

#[tokio::test]
async fn a_lost_answer_has_spent_the_token() {
    for fault in [Fault::DropAfter, Fault::HalfAnswer] {
        let issuer = Issuer::start().await.unwrap();
        let login = issuer.login("alice");
        issuer.next_calls(1, &fault);
        match send_refresh(&issuer, text(&login, "refresh_token")).await {
            Ok(response) => {
                assert!(matches!(fault, Fault::HalfAnswer) && response.status() == StatusCode::OK);
                drop(response.bytes().await.unwrap_err());
            }
            Err(error) => assert!(matches!(fault, Fault::DropAfter) && !error.is_connect()),
        }
        assert_eq!(refresh(&issuer, text(&login, "refresh_token")).await.0, StatusCode::BAD_REQUEST);
        let counts = issuer.counts();
        assert_eq!((counts.token_calls, counts.accepted, counts.reuse, counts.live_grants), (2, 1, 1, 0));
    }
}

#[tokio::test]
async fn an_answer_may_drip_or_never_come() {
    let issuer = Issuer::start().await.unwrap();
    let login = issuer.login("alice");
    issuer.next_calls(1, &Fault::Drip(Duration::from_micros(1)));
    let (status, second) = refresh(&issuer, text(&login, "refresh_token")).await;
    assert_eq!(status, StatusCode::OK);

    issuer.next_calls(1, &Fault::Never);
    tokio::select! {
        answer = send_refresh(&issuer, text(&second, "refresh_token")) => panic!("{answer:?}"),
        () = until("the call", || issuer.counts().turned_away == 1) => {}
    }
    assert_eq!(refresh(&issuer, text(&second, "refresh_token")).await.0, StatusCode::OK);
    let counts = issuer.counts();
    assert_eq!((counts.token_calls, counts.accepted, counts.turned_away, counts.reuse), (3, 2, 1, 0));
}

#[tokio::test]
async fn a_gate_holds_those_who_come_and_counts_them() {
    let gate = Gate::closed("the five tasks");
    let held: Vec<_> = (0..5)
        .map(|_| {
            tokio::spawn({
                let gate = gate.clone();
                async move { gate.pass().await }
            })
        })
        .collect();
    gate.arrived(5).await;
    assert!(held.iter().all(|task| !task.is_finished()));
    let passed = Arc::new(Mutex::new(0));
    gate.let_through(2);
    let mut held = futures_util::future::join_all(held.into_iter().map(|task| {
        let passed = Arc::clone(&passed);
        async move {
            task.await.unwrap();
            *passed.lock().unwrap() += 1;
        }
    }));
    let two = async {
        while *passed.lock().unwrap() < 2 {
            assert!(futures_util::poll!(&mut held).is_pending());
            tokio::task::yield_now().await;
        }
    };
    bounded(|| "two to pass", two).await;
    for _ in 0..100 {
        assert!(futures_util::poll!(&mut held).is_pending());
        tokio::task::yield_now().await;
    }
    assert_eq!(*passed.lock().unwrap(), 2);
    gate.open();
    held.await;
    gate.pass().await;
    assert_eq!(gate.arrivals(), 6);

    gate.close_until(3);
    let ((), (), ()) = tokio::join!(gate.pass(), gate.pass(), gate.pass());
    gate.pass().await;
    assert_eq!(gate.arrivals(), 4);
}

#[tokio::test]
async fn a_call_that_has_arrived_goes_on_without_its_caller() {
    let issuer = Arc::new(Issuer::start().await.unwrap());
    let login = issuer.login("alice");
    let caller = || {
        tokio::spawn({
            let (issuer, token) = (Arc::clone(&issuer), text(&login, "refresh_token").to_owned());
            async move { refresh(&issuer, &token).await.0 }
        })
    };
    // The first is cut off while it is held before its token is spent; faults hold the second and the third.
    issuer.at_arrival().close();
    issuer.at_answer().close();
    let first = caller();
    issuer.at_arrival().arrived(1).await;
    assert_eq!((issuer.counts().token_calls, issuer.counts().accepted), (1, 0));
    // Cuts the connection for certain; a caller that is dropped may take a moment.
    issuer.down(Outage::Refused).await;
    issuer.up().unwrap();
    assert!(first.await.unwrap_err().is_panic());
    issuer.at_arrival().open();
    issuer.at_answer().arrived(1).await;
    assert_eq!((issuer.counts().token_calls, issuer.counts().accepted), (1, 1));
    issuer.at_answer().open();

    let (gate, late) = (Gate::closed("the held calls"), Gate::closed("the held answers"));
    issuer.next_calls(1, &Fault::Hold(gate.clone()));
    issuer.next_calls(1, &Fault::HoldAnswer(late.clone()));
    let second = caller();
    gate.arrived(1).await;
    assert_eq!((issuer.counts().token_calls, issuer.counts().rejected), (2, 0));
    gate.open();
    assert_eq!(second.await.unwrap(), StatusCode::BAD_REQUEST);
    let third = caller();
    late.arrived(1).await;
    assert_eq!((issuer.counts().token_calls, issuer.counts().rejected), (3, 2));
    late.open();
    assert_eq!(third.await.unwrap(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_revocation_endpoint_ends_a_grant() {
    let issuer = Issuer::start().await.unwrap();
    let login = issuer.login("alice");
    for token in [text(&login, "refresh_token"), "nobody's"] {
        let response = send_form(issuer.revocation_url(), &format!("token={token}")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert_eq!(refresh(&issuer, text(&login, "refresh_token")).await.0, StatusCode::BAD_REQUEST);
    let counts = issuer.counts();
    assert_eq!((counts.revocation_calls, counts.live_grants, counts.rejected, counts.reuse), (2, 0, 1, 0));
}

#[tokio::test]
async fn the_api_takes_good_tokens_and_counts_by_path_and_generation() {
    let seconds = Arc::new(AtomicU64::new(0));
    let clock = {
        let seconds = Arc::clone(&seconds);
        move || at(seconds.load(Ordering::SeqCst))
    };
    let issuer = Issuer::start_over(Grants::new(LIFE), clock).await.unwrap();
    let api = Api::start(&issuer).await.unwrap();
    let login = issuer.login("alice");
    let first = text(&login, "access_token");

    let me = call(&api, "/me", first).await;
    assert_eq!(me.status(), StatusCode::OK);
    let me = json(me).await;
    assert_eq!((&me["user"], &me["grant"], &me["generation"]), (&"alice".into(), &1.into(), &1.into()));
    seconds.store(60, Ordering::SeqCst);
    let refused = call(&api, "/me", first).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers()[WWW_AUTHENTICATE], r#"Bearer realm="api", error="invalid_token""#);
    let (_, second) = refresh(&issuer, text(&login, "refresh_token")).await;
    assert_eq!(call(&api, "/orders", text(&second, "access_token")).await.status(), StatusCode::OK);
    assert_eq!(http().get(api.at("/me")).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let open = http().get(api.at("/open/news")).send().await.unwrap();
    assert_eq!((open.status(), &json(open).await["user"]), (StatusCode::OK, &Value::Null));
    api.set_refuses_all(true);
    assert_eq!(call(&api, "/orders", text(&second, "access_token")).await.status(), StatusCode::UNAUTHORIZED);

    let counts = api.counts();
    assert_eq!((counts.requests, counts.all), (6, Tally { ok: 3, refused: 3 }));
    assert_eq!(counts.unsigned, Tally { ok: 1, refused: 1 });
    assert_eq!(counts.path("/me"), Tally { ok: 1, refused: 2 });
    assert_eq!(counts.path("/orders"), Tally { ok: 1, refused: 1 });
    assert_eq!(counts.tokens(1, 1), Tally { ok: 1, refused: 1 });
    assert_eq!(counts.tokens(1, 2), Tally { ok: 1, refused: 1 });
}

#[tokio::test]
async fn the_api_echoes_what_it_was_sent() {
    let issuer = Issuer::start().await.unwrap();
    let api = Api::start(&issuer).await.unwrap();
    let login = issuer.login("alice");
    let request = http().post(api.at("/echo?page=2")).bearer_auth(text(&login, "access_token"));
    let body = vec![7; 100_000];
    let request = request.header("x-tag", "one").header("x-tag", "two").body(body.clone());
    let echo = json(request.send().await.unwrap()).await;

    assert_eq!((&echo["method"], &echo["path"]), (&"POST".into(), &"/echo?page=2".into()));
    assert_eq!((&echo["length"], &echo["hash"]), (&100_000.into(), &body_hash(&body).into()));
    let tags: Vec<_> = echo["headers"].as_array().unwrap().iter().filter(|pair| pair[0] == "x-tag").collect();
    assert_eq!(tags, [&serde_json::json!(["x-tag", "one"]), &serde_json::json!(["x-tag", "two"])]);
}

#[tokio::test]
async fn the_refusals_of_the_api_can_be_dressed() {
    let issuer = Issuer::start().await.unwrap();
    let api = Api::start(&issuer).await.unwrap();
    api.set_challenges(&["Basic realm=\"staff\"", "DPoP"]);
    api.set_refusal_body(vec![b'x'; 70_000]);
    let refused = call(&api, "/me", "nobody's").await;
    let challenges: Vec<_> = refused.headers().get_all(WWW_AUTHENTICATE).iter().collect();
    assert_eq!(challenges, ["Basic realm=\"staff\"", "DPoP"]);
    assert_eq!(refused.bytes().await.unwrap().len(), 70_000);
    api.set_challenges(&[]);
    assert!(!call(&api, "/me", "nobody's").await.headers().contains_key(WWW_AUTHENTICATE));
}

#[tokio::test]
async fn the_api_makes_a_storm_of_a_hundred() {
    let issuer = Issuer::start().await.unwrap();
    let api = Arc::new(Api::start(&issuer).await.unwrap());
    let login = issuer.login("alice");
    issuer.revoke_access("alice");
    api.at_refusal().close_until(100);
    let http = Http::new();
    let send = |_| {
        let request = http.get(api.at("/me")).bearer_auth(text(&login, "access_token")).send();
        let api = Arc::clone(&api);
        tokio::spawn(async move { (request.await.unwrap().status(), api.counts().requests) })
    };
    for task in futures_util::future::join_all((0..100).map(send)).await {
        // Nobody got an answer before the last had come.
        assert_eq!(task.unwrap(), (StatusCode::UNAUTHORIZED, 100));
    }
    assert_eq!(api.counts().tokens(1, 1), Tally { ok: 0, refused: 100 });
    assert_eq!((api.at_refusal().arrivals(), api.at_arrival().arrivals()), (100, 100));
}

#[tokio::test]
async fn servers_stop_when_they_are_dropped_and_come_back_on_their_port() {
    let issuer = Issuer::start().await.unwrap();
    let api = Api::start(&issuer).await.unwrap();
    let url = api.at("/open/news");
    let http = Http::new();
    assert_eq!(http.get(&url).send().await.unwrap().status(), StatusCode::OK);
    api.down().await;
    assert!(http.get(&url).send().await.unwrap_err().is_connect());
    api.up().unwrap();
    assert_eq!(http.get(&url).send().await.unwrap().status(), StatusCode::OK);
    drop(api);
    // The listener is closed by its own task, a moment later.
    let refused = async {
        while http.get(&url).send().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    bounded(|| "the server to stop", refused).await;
    drop(http.get(&url).send().await.unwrap_err());
}
