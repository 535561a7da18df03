//! Nobody is logged in here, and somebody logs in elsewhere: in another process, or by another session over one store.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use reqwest_auth_refresh::{
    Event, FileStore, LoginId, RefreshError, RefreshRequest, Session, SessionId, State, TokenStore, Tokens, Version,
};
use secrecy::ExposeSecret;
use tokio::time::sleep;

use crate::gated_world::{Gate, World, Worth, auth_error, status};
use crate::scratch::Scratch;
use crate::support::bounded;
use crate::virtual_world::heard;

const FOREIGN: Version = Version::new(LoginId::from_bits(99), 4);

/// So long what was read last is believed.
const EVERY: Duration = Duration::from_millis(1_001);

/// Somebody was logged in and has to log in again.
async fn dead() -> World {
    let world = World::of(Worth::Refused).await;
    world.issuer.fail(RefreshError::rejected("invalid_grant"));
    assert!(auth_error(status(world.get("a")).await).needs_login());
    world
}

#[tokio::test(start_paused = true)]
async fn a_login_elsewhere_is_seen_by_the_next_request_without_a_call() {
    let world = dead().await;
    let asked = world.grant.ask.knocks();
    let mut events = world.session.events();
    assert!(matches!(heard(&mut events).await, Some(Event::Now(State::NeedsLogin { .. }))));
    world.store.put(FOREIGN, world.tokens("c", Worth::Good)).await;
    sleep(EVERY).await;
    let requests: Vec<_> = (0..20).map(|_| tokio::spawn(status(world.get("c")))).collect();
    for request in requests {
        assert_eq!(request.await.unwrap().unwrap(), 200);
    }
    assert!(matches!(heard(&mut events).await, Some(Event::LoggedIn(FOREIGN))));
    assert!(matches!(world.session.state(), State::LoggedIn { version: FOREIGN, saved: true, .. }));
    assert_eq!(world.grant.ask.knocks(), asked);
    let (locked, released) = world.store.locked_and_released();
    assert_eq!(locked, released);
}

#[tokio::test(start_paused = true)]
async fn the_store_is_looked_at_once_a_second_and_only_when_somebody_asks() {
    let world = dead().await;
    let before = world.store.load.knocks();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.store.load.knocks(), before, "nobody asks");
    for _ in 0..1_000 {
        assert!(auth_error(status(world.get("a")).await).needs_login());
        sleep(Duration::from_millis(10)).await;
    }
    let looks = world.store.load.knocks() - before;
    assert!((9..=10).contains(&looks), "{looks} looks in ten seconds");
    assert_eq!(world.grant.ask.knocks(), 1, "the call that was rejected");
}

#[tokio::test(start_paused = true)]
async fn whoever_was_logged_out_here_comes_back_by_a_new_login_only() {
    let world = World::of(Worth::Good).await;
    world.session.access_token().await.unwrap();
    let State::LoggedIn { version, .. } = world.session.state() else { panic!("logged in") };
    world.session.logout().await.unwrap();
    // A store that brings back what was logged out of, with a generation as high as you like.
    world.store.put(Version::new(version.login, 50), world.tokens("a", Worth::Good)).await;
    sleep(EVERY).await;
    assert!(world.session.access_token().await.unwrap_err().needs_login());
    world.store.put(FOREIGN, world.tokens("c", Worth::Good)).await;
    sleep(EVERY).await;
    world.session.access_token().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_looked_at_is_left_alone_for_longer_and_longer() {
    let world = dead().await;
    let before = world.store.load.knocks();
    world.store.load.set(Gate::Err);
    for _ in 0..600 {
        sleep(Duration::from_millis(100)).await;
        assert!(auth_error(status(world.get("a")).await).needs_login(), "as if nobody had looked");
    }
    let looks = world.store.load.knocks() - before;
    assert!((5..=8).contains(&looks), "{looks} looks in a minute");
    world.store.load.set(Gate::Ok);
    world.store.put(FOREIGN, world.tokens("c", Worth::Good)).await;
    sleep(Duration::from_secs(61)).await;
    assert_eq!(status(world.get("c")).await.unwrap(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_store_of_ones_own_is_asked_once_whether_it_is() {
    let world = World::empty(|session| session);
    world.store.private.store(true, SeqCst);
    assert!(world.session.access_token().await.unwrap_err().needs_login());
    let before = world.store.load.knocks();
    for _ in 0..100 {
        sleep(Duration::from_millis(100)).await;
        assert!(world.session.access_token().await.unwrap_err().needs_login());
    }
    assert_eq!(world.store.load.knocks(), before);
}

#[tokio::test(start_paused = true)]
async fn a_login_of_the_programs_own_comes_before_a_look_that_is_under_way() {
    let world = dead().await;
    world.store.put(FOREIGN, world.tokens("c", Worth::Good)).await;
    sleep(EVERY).await;
    world.store.load.takes(40);
    let waiting = tokio::spawn({
        let session = world.session.clone();
        async move { session.access_token().await }
    });
    sleep(Duration::from_millis(10)).await;
    let own = world.tokens("b", Worth::Good);
    world.session.login(own.clone()).await.unwrap();
    let got = waiting.await.unwrap().unwrap();
    assert_eq!(got.expose_secret(), own.access_token().unwrap().expose_secret());
    world.assert_logged_in("b").await;
}

/// Real files and real time.
#[tokio::test]
async fn a_daemon_sees_the_login_of_the_command_line_beside_it() {
    let folder = Scratch::new();
    let never = |_: RefreshRequest| async { Err(RefreshError::unavailable("nobody asks")) };
    let open = || Session::builder(never).store(FileStore::new(folder.join("tokens"))).build();
    let (daemon, command) = (open(), open());
    assert!(daemon.access_token().await.unwrap_err().needs_login());
    command.login(Tokens::new("of-the-command").unwrap()).await.unwrap();
    // No more than once a second, so it may take as long.
    let seen = async {
        loop {
            match daemon.access_token().await {
                Ok(token) => break token,
                Err(_nobody) => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let token = bounded(|| "the daemon to see the login", seen).await;
    assert_eq!(token.expose_secret(), "of-the-command");
    assert!(FileStore::new(folder.join("tokens")).load(&SessionId::default()).await.unwrap().is_some());
}

/// What is left without a runtime: an error at once, not a loop.
#[test]
fn without_a_runtime_nobody_looks_for_ever() {
    use futures_util::FutureExt;
    let folder = Scratch::new();
    let never = |_: RefreshRequest| async { Err(RefreshError::unavailable("nobody asks")) };
    let session = Session::builder(never).store(FileStore::new(folder.join("tokens"))).build();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        assert!(session.access_token().await.unwrap_err().needs_login());
        sleep(EVERY).await;
    });
    drop(runtime);
    for _ in 0..3 {
        assert!(session.access_token().now_or_never().is_some_and(|got| got.is_err()));
    }
}
