//! Idle sessions are forgotten, and nothing that would be missed: at all times an id has one engine.

use std::collections::HashMap;
use std::time::Duration;

use reqwest_auth_refresh::{AuthError, Event, Events, RefreshError, Session, State};
use secrecy::ExposeSecret;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{SECOND, World};
use crate::gated_world::{Gate, GatedStore};
use crate::torture::{Chance, rounds};
use crate::virtual_issuer::Issuer;
use crate::virtual_world::told;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_session_is_forgotten_after_ten_minutes_and_read_again() {
    let store = GatedStore::default();
    let world = World::with(Issuer::new(), |sessions| sessions.store(store.clone()));
    for user in ["a", "b"] {
        world.login(user).await;
    }
    sleep(9 * MINUTE).await;
    assert_eq!(world.get("a").await.unwrap(), 200);
    world.sessions.forget_idle();
    assert_eq!(world.sessions.in_memory(), 2);
    sleep(2 * MINUTE).await;
    // Whoever uses one forgets another.
    assert_eq!((world.get("a").await.unwrap(), world.sessions.in_memory()), (200, 1));
    let read = store.load.knocks();
    assert_eq!((world.get("b").await.unwrap(), store.load.knocks()), (200, read + 1));
    assert_eq!((world.sessions.in_memory(), world.issuer.calls(), world.api.mixups()), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn so_many_are_kept_and_those_used_last() {
    let world = World::with(Issuer::new(), |sessions| sessions.most_idle(10));
    for nth in 0..100 {
        world.login(&format!("u{nth}")).await;
        world.get("u0").await.unwrap();
        sleep(SECOND).await;
        assert!(world.sessions.in_memory() <= 12, "{}", world.sessions.in_memory());
    }
    let kept = world.sessions.in_memory();
    // One that was used all the time is still there.
    assert!(matches!(world.sessions.session("u0").state(), State::LoggedIn { .. }));
    assert_eq!(world.sessions.in_memory(), kept);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_forgotten_that_would_be_missed() {
    let store = GatedStore::default();
    let world = World::with(Issuer::new(), |sessions| sessions.store(store.clone()));
    for user in ["held", "heard", "resting", "doubted", "flying", "dirty", "idle"] {
        world.login(user).await;
    }
    let held = world.sessions.session("held");
    let mut heard = world.sessions.session("heard").events();
    drop(told(&mut heard));
    let doubted = world.sessions.session("doubted");
    assert!(doubted.invalidate(&doubted.access_token().await.unwrap()));
    drop(doubted);
    store.save.set(Gate::Err);
    assert!(world.sessions.session("dirty").login(world.issuer.login("dirty")).await.unwrap_err().is_store());
    sleep(11 * MINUTE).await;
    world.issuer.fail(RefreshError::unavailable("down").retry_after(MINUTE));
    assert!(world.sessions.session("resting").refresh().await.is_err());
    world.issuer.recover();
    let flying = world.sessions.session("flying");
    let flight = tokio::spawn(async move { flying.refresh().await });
    tokio::task::yield_now().await;
    flight.abort();
    sleep(Duration::from_millis(50)).await;
    world.sessions.forget_idle();
    assert_eq!(world.sessions.in_memory(), 6, "only one was idle");

    sleep(11 * MINUTE).await;
    store.save.set(Gate::Ok);
    sleep(2 * MINUTE).await;
    let calls = world.issuer.calls();
    assert_eq!(world.get("doubted").await.unwrap(), 200);
    assert_eq!(world.issuer.calls(), calls + 1, "the doubt was not forgotten");
    sleep(11 * MINUTE).await;
    world.sessions.forget_idle();
    assert_eq!(world.sessions.in_memory(), 2, "what is held and what is heard");
    drop((held, heard));
    world.sessions.forget_idle();
    assert_eq!(world.sessions.in_memory(), 0);
    // And the tokens that could not be saved are in the store at last.
    assert_eq!(world.get("dirty").await.unwrap(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_need_of_a_login_is_told_once_although_the_session_is_forgotten() {
    let world = World::new(Issuer::new());
    let mut events = world.sessions.events();
    let mut needs = 0;
    world.login("a").await;
    world.issuer.end_access_tokens_of("a");
    world.issuer.fail(RefreshError::rejected("invalid_grant"));
    for _ in 0..5 {
        assert!(world.get("a").await.unwrap_err().needs_login());
        sleep(11 * MINUTE).await;
        world.sessions.forget_idle();
        assert_eq!(world.sessions.in_memory(), 0);
    }
    // After the next login it can be told again.
    world.issuer.recover();
    world.login("a").await;
    world.issuer.end_access_tokens_of("a");
    world.issuer.fail(RefreshError::rejected("invalid_grant"));
    assert!(world.get("a").await.unwrap_err().needs_login());
    while let Some(Some(event)) = futures_util::FutureExt::now_or_never(events.next()) {
        needs += usize::from(matches!(event, Ok((_, Event::NeedsLogin(_)))));
    }
    assert_eq!((needs, world.issuer.calls()), (2, 2));
}

/// What the model of the random test knows of a user.
#[derive(Default)]
struct Known {
    handle: Option<Session>,
    events: Option<Events>,
    flight: Option<JoinHandle<Result<(), AuthError>>>,
    generation: u64,
}

async fn stroll(steps: usize) {
    const USERS: u64 = 40;
    let store = GatedStore::default();
    let world = World::with(Issuer::new(), |sessions| sessions.store(store.clone()).idle(30 * SECOND).most_idle(8));
    let mut known: HashMap<String, Known> = HashMap::new();
    let mut chance = Chance::new(5);
    let mut forgotten = 0;
    for user in 0..USERS {
        world.login(&format!("u{user}")).await;
        known.insert(format!("u{user}"), Known::default());
    }
    for step in 0..steps {
        let user = format!("u{}", chance.below(USERS));
        let before = world.sessions.in_memory();
        let it = known.get_mut(&user).unwrap();
        match chance.below(12) {
            0 => it.handle = Some(world.sessions.session(&*user)),
            1 => it.handle = None,
            2 => it.events = Some(world.sessions.session(&*user).events()),
            3 => it.events = None,
            4 if it.flight.is_none() => {
                let session = world.sessions.session(&*user);
                it.flight = Some(tokio::spawn(async move { session.refresh().await }));
                tokio::task::yield_now().await;
                it.generation += 1;
            }
            5 => {
                store.save.set(if chance.below(4) == 0 { Gate::Err } else { Gate::Ok });
            }
            6 => sleep(Duration::from_millis(chance.below(40_000))).await,
            7 => world.sessions.forget_idle(),
            8 if it.flight.is_none() => {
                drop(world.sessions.session(&*user).login(world.issuer.login(&user)).await);
                it.generation = 0;
            }
            _ => {
                let token = world.sessions.session(&*user).access_token().await;
                if let Ok(token) = token {
                    assert!(world.issuer.accepts(Some(token.expose_secret())), "step {step}: old tokens came back");
                }
            }
        }
        if let Some(flight) = it.flight.take_if(|flight| flight.is_finished()) {
            drop(flight.await.unwrap());
        }
        // Whoever is held is the one that the id leads to.
        if let Some(handle) = &it.handle {
            let state = world.sessions.session(&*user).state();
            assert_eq!(handle.state(), state, "step {step}: two engines of one id");
        }
        if let Some(events) = &mut it.events {
            let told = told(events);
            assert!(!told.iter().any(|event| matches!(event, Event::Missed(n) if *n > 10_000)), "{told:?}");
        }
        forgotten += before.saturating_sub(world.sessions.in_memory());
    }
    store.save.set(Gate::Ok);
    sleep(3 * MINUTE).await;
    world.sessions.flush().await.unwrap();
    // No refresh token was ever spent twice, so that no engine was ever beside another, and nothing unsaved was lost.
    assert_eq!(world.issuer.reuses(), 0);
    known.clear();
    sleep(3 * MINUTE).await;
    world.sessions.forget_idle();
    assert_eq!(world.sessions.in_memory(), 0);
    for user in 0..USERS {
        world.sessions.session(format!("u{user}")).refresh().await.unwrap();
    }
    assert_eq!(world.issuer.reuses(), 0);
    println!("figure: forgotten_sessions = {forgotten} sessions");
    assert!(forgotten > steps / 100, "{forgotten}");
}

#[tokio::test(start_paused = true)]
#[ignore = "torture: 100,000 random steps of sessions that come and go"]
async fn a_hundred_thousand_steps_lose_nothing() {
    stroll(rounds(100_000)).await;
}

#[tokio::test(start_paused = true)]
async fn random_steps_lose_nothing() {
    stroll(3_000).await;
}
