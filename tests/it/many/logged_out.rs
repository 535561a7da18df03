//! A logout holds: nothing of the login is left, here, in the store, in other processes, or at the issuer.

use std::time::Duration;

use reqwest_auth_refresh::{
    AuthError, MemoryStore, RefreshGrant, Revocation, Session, Sessions, State, TokenStore, Tokens,
};
use tokio::time::sleep;

use super::{Grant, World};
use crate::gated_world::{Gate, GatedStore};
use crate::raw_server::{RawServer, Reply};
use crate::support;
use crate::torture::{Chance, rounds};
use crate::virtual_issuer::Issuer;
use crate::virtual_world::VirtualClock;

/// Two programs on one store, one of which logs out at a random moment of the other's flight or its own. How many sessions
/// came back, and how many grants are alive afterwards.
async fn logouts(rounds: usize, revokes: bool) -> (usize, usize) {
    let mut chance = Chance::new(7);
    let (mut resurrected, mut alive) = (0, 0);
    for _ in 0..rounds {
        let issuer = Issuer::new();
        let store = GatedStore::default();
        for (door, takes) in [(&store.load, 5), (&store.save, 15), (&store.lock, 2)] {
            door.takes(takes);
        }
        let program = || {
            let sessions =
                if revokes { Sessions::builder(Grant(issuer.clone())) } else { Sessions::builder(issuer.refresher()) };
            sessions.store(store.clone()).clock(VirtualClock::start()).build()
        };
        let (ours, theirs) = (program(), program());
        ours.session("a").login(issuer.login("a")).await.unwrap();
        // The other program knows the login, or is about to read of it.
        if chance.coin() {
            theirs.session("a").access_token().await.unwrap();
        }
        let refresh = |sessions: &Sessions| {
            let session = sessions.session("a");
            tokio::spawn(async move { session.refresh().await })
        };
        let mut flights = Vec::new();
        if chance.coin() {
            flights.push(refresh(&theirs));
        }
        sleep(Duration::from_millis(chance.below(40))).await;
        if chance.coin() {
            flights.push(refresh(&ours));
        }
        sleep(Duration::from_millis(chance.below(200))).await;
        let report = ours.session("a").logout().await.unwrap();
        let expected = if revokes { Revocation::Revoked } else { Revocation::NotConfigured };
        assert_eq!(report.revocation.unwrap(), expected);
        for flight in flights {
            if let Err(error) = flight.await.unwrap() {
                assert!(error.is_logged_out() || error.needs_login() || error.is_transient(), "{error:?}");
            }
        }
        sleep(Duration::from_secs(40)).await;
        for sessions in [&ours, &theirs] {
            sessions.flush().await.unwrap();
            // Whoever does not know it yet learns it when it next asks the issuer.
            drop(sessions.session("a").refresh().await);
            resurrected += usize::from(matches!(sessions.session("a").state(), State::LoggedIn { .. }));
        }
        let record = store.kept.load(&"a".into()).await.unwrap().unwrap();
        resurrected += usize::from(record.tokens().is_some());
        alive += issuer.living();
    }
    (resurrected, alive)
}

async fn nothing_is_left(rounds: usize) {
    let (resurrected, alive) = logouts(rounds, true).await;
    println!("figure: logout_resurrected = {resurrected} sessions");
    println!("figure: tokens_alive_after_logout = {alive} grants");
    assert_eq!((resurrected, alive), (0, 0));
    let (_, alive) = logouts(rounds / 10 + 10, false).await;
    println!("figure: tokens_alive_after_logout_unrevoked = {alive} grants");
    assert!(alive > rounds / 100, "an issuer that is not told is caught");
}

#[tokio::test(start_paused = true)]
#[ignore = "torture: 10,000 logouts at random moments of the flights of two programs"]
async fn ten_thousand_logouts_leave_nothing() {
    nothing_is_left(rounds(10_000)).await;
}

#[tokio::test(start_paused = true)]
async fn logouts_leave_nothing() {
    nothing_is_left(200).await;
}

#[tokio::test(start_paused = true)]
async fn what_another_program_has_stored_meanwhile_is_revoked_too() {
    let (issuer, store) = (Issuer::new(), MemoryStore::default());
    let program = || Sessions::builder(Grant(issuer.clone())).store(store.clone()).clock(VirtualClock::start()).build();
    let (ours, theirs) = (program(), program());
    ours.session("a").login(issuer.login("a")).await.unwrap();
    theirs.session("a").refresh().await.unwrap();
    ours.session("a").logout().await.unwrap();
    ours.flush().await.unwrap();
    ours.shutdown().await.unwrap();
    let mut revoked = issuer.revoked();
    revoked.sort();
    assert_eq!(revoked, ["refresh.a.0.0", "refresh.a.0.1"]);
    assert_eq!(issuer.living(), 0);
    // The other one sees the tombstone at its next flight.
    assert!(theirs.session("a").refresh().await.is_err());
    assert!(matches!(theirs.session("a").state(), State::LoggedOut { .. }));
}

#[tokio::test(start_paused = true)]
async fn one_logs_out_and_nobody_else_notices() {
    let world = World::new(Issuer::new());
    for user in ["a", "b"] {
        world.login(user).await;
    }
    world.sessions.session("a").logout().await.unwrap();
    assert!(world.get("a").await.unwrap_err().needs_login());
    assert_eq!((world.get("b").await.unwrap(), world.issuer.living()), (200, 1));
}

/// A grant at the test issuer, with a client that authenticates.
fn grant(issuer: &support::Issuer) -> RefreshGrant {
    RefreshGrant::new(issuer.token_url(), "app").unwrap().basic("secret")
}

#[tokio::test]
async fn a_grant_is_revoked_at_its_issuer() {
    let issuer = support::Issuer::start().await.unwrap();
    let session = Session::new(grant(&issuer).revocation(issuer.revocation_url()).unwrap());
    session.login(Tokens::from_json(issuer.login("a").to_string()).unwrap()).await.unwrap();
    assert_eq!(issuer.counts().live_grants, 1);
    assert_eq!(session.logout().await.unwrap().revocation.unwrap(), Revocation::Revoked);
    assert_eq!((issuer.counts().live_grants, issuer.counts().revocation_calls), (0, 1));
    // A second logout has nothing to tell.
    assert_eq!(session.logout().await.unwrap().revocation.unwrap(), Revocation::NotConfigured);
    assert_eq!(issuer.counts().revocation_calls, 1);

    // Without an endpoint for it, the report says so.
    let session = Session::new(grant(&issuer));
    session.login(Tokens::from_json(issuer.login("a").to_string()).unwrap()).await.unwrap();
    assert_eq!(session.logout().await.unwrap().revocation.unwrap(), Revocation::NotConfigured);
    assert!(matches!(session.state(), State::LoggedOut { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_that_never_comes_back_does_not_undo_the_logout() {
    let world = crate::gated_world::World::of(crate::gated_world::Worth::Good).await;
    world.session.access_token().await.unwrap();
    for gate in [Gate::Err, Gate::Never, Gate::Panic] {
        world.session.login(world.tokens("a", crate::gated_world::Worth::Good)).await.unwrap();
        world.grant.revoke.set(gate);
        let report = world.session.logout().await.unwrap();
        assert!(report.revocation.unwrap_err().is_transient(), "{gate:?}");
        assert!(matches!(world.session.state(), State::LoggedOut { .. }));
    }
}

fn busy(seconds: u32) -> Reply {
    let head = format!("HTTP/1.1 503 Service Unavailable\r\nretry-after: {seconds}\r\ncontent-length: 0\r\n");
    Reply::saying(format!("{head}connection: close\r\n\r\n")).closing()
}

/// What a session with these tokens reports, and what its issuer was sent, when it answers so.
async fn revoked_by(tokens: Tokens, answers: Vec<fn() -> Reply>) -> (Result<Revocation, AuthError>, Vec<String>) {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let server = RawServer::start(move |_| {
        let nth = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        answers[nth.min(answers.len() - 1)]()
    })
    .await;
    let grant = RefreshGrant::new(server.url("/token"), "my app").unwrap().basic("s&t");
    let session = Session::new(grant.revocation(server.url("/revoke")).unwrap());
    session.login(tokens).await.unwrap();
    let report = session.logout().await.unwrap();
    assert!(matches!(session.state(), State::LoggedOut { .. }));
    let sent = server.take_asked();
    let told = sent.iter().map(|asked| {
        assert!(asked.header("authorization").is_some_and(|header| header.starts_with(b"Basic ")));
        format!("{} {}", asked.form("token").unwrap(), asked.form("token_type_hint").unwrap())
    });
    (report.revocation, told.collect())
}

#[tokio::test]
async fn what_an_issuer_says_is_in_the_report() {
    let both = || Tokens::new("access").unwrap().with_refresh_token("refresh");
    let ok = || Reply::whole("200 OK", "text/plain", b"whatever");
    let (revocation, sent) = revoked_by(both(), vec![ok]).await;
    assert_eq!((revocation.unwrap(), sent.join(", ")), (Revocation::Revoked, "refresh refresh_token".to_owned()));
    let (revocation, sent) = revoked_by(Tokens::new("access").unwrap(), vec![ok]).await;
    assert_eq!((revocation.unwrap(), sent.join(", ")), (Revocation::Revoked, "access access_token".to_owned()));

    let unsupported = || Reply::whole("400 Bad Request", "application/json", br#"{"error":"unsupported_token_type"}"#);
    assert_eq!(revoked_by(both(), vec![unsupported]).await.0.unwrap(), Revocation::Unsupported);

    // A short pause is waited for, once; a long one is told.
    let (revocation, sent) = revoked_by(both(), vec![|| busy(1), ok]).await;
    assert_eq!((revocation.unwrap(), sent.len()), (Revocation::Revoked, 2));
    let (revocation, sent) = revoked_by(both(), vec![|| busy(120), ok]).await;
    let error = revocation.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert_eq!((error.retry_after(), sent.len()), (Some(Duration::from_secs(120)), 1));
    assert!(!format!("{error:?} {error}").contains("refresh refresh"), "{error:?}");
}

/// Logged in here and in another program, one after the other, and logged out here, which knows of that login or does not.
async fn logged_out_here(before: Before, knows: bool) -> (usize, bool, Result<Revocation, AuthError>) {
    let issuer = Issuer::new();
    let store = GatedStore::default();
    let program = || Sessions::builder(Grant(issuer.clone())).store(store.clone()).clock(VirtualClock::start()).build();
    let (ours, theirs) = (program().session("a"), program().session("a"));
    match before {
        Before::Nobody => assert!(ours.access_token().await.unwrap_err().needs_login()),
        Before::LoggedOut => {
            ours.login(issuer.login("a")).await.unwrap();
            drop(ours.logout().await.unwrap());
        }
        Before::LoggedIn => ours.login(issuer.login("a")).await.unwrap(),
    }
    theirs.login(issuer.login("a")).await.unwrap();
    if knows {
        sleep(Duration::from_secs(2)).await;
        drop(ours.refresh().await);
    }
    let report = ours.logout().await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert!(ours.access_token().await.is_err(), "{before:?}");
    assert!(matches!(ours.state(), State::LoggedOut { .. }), "{before:?}");
    drop(theirs.refresh().await);
    assert!(!matches!(theirs.state(), State::LoggedIn { .. }), "{before:?}");
    let record = store.kept.load(&"a".into()).await.unwrap().unwrap();
    (issuer.living(), record.tokens().is_none(), report.revocation)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Before {
    Nobody,
    LoggedOut,
    LoggedIn,
}

#[tokio::test(start_paused = true)]
async fn a_login_in_another_program_is_logged_out_of_whether_it_is_known_here_or_not() {
    for knows in [false, true] {
        for before in [Before::Nobody, Before::LoggedOut, Before::LoggedIn] {
            let (living, is_tombstone, revocation) = logged_out_here(before, knows).await;
            // The login that it takes the place of was nobody's to log out of.
            let left = usize::from(before == Before::LoggedIn && knows);
            assert_eq!((living, is_tombstone), (left, true), "{before:?} {knows}");
            assert_eq!(revocation.unwrap(), Revocation::Revoked, "{before:?} {knows}");
        }
    }
}
