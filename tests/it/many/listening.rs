//! What happens is told to those who listen: to one session, or to all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use reqwest_auth_refresh::{AllEvents, Event, Missed, RefreshError, SessionId};
use tokio::task::JoinSet;

use super::World;
use crate::virtual_issuer::Issuer;
use crate::virtual_world::told;

fn all_told(events: &mut AllEvents) -> Vec<Result<(SessionId, Event), Missed>> {
    // Without tokio's budget, which would end this before the events do.
    std::iter::from_fn(|| tokio::task::unconstrained(events.next()).now_or_never().flatten()).collect()
}

fn name(event: &Event) -> String {
    format!("{event:?}").split('(').next().unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn each_event_says_whose_it_is() {
    let world = World::new(Issuer::new());
    let mut events = world.sessions.events();
    for user in ["a", "b"] {
        world.login(user).await;
    }
    let mut own = world.sessions.session("b").events();
    world.sessions.session("b").refresh().await.unwrap();
    world.sessions.session("a").logout().await.unwrap();
    let all: Vec<_> = all_told(&mut events).into_iter().map(Result::unwrap).collect();
    let all: Vec<_> = all.iter().map(|(id, event)| format!("{} {}", id.as_str(), name(event))).collect();
    assert_eq!(all, ["a LoggedIn", "b LoggedIn", "b Refreshed", "a LoggedOut"]);
    let own: Vec<_> = told(&mut own).iter().map(name).collect();
    assert_eq!(own, ["Now", "Refreshed"]);
}

#[tokio::test(start_paused = true)]
async fn fifty_failures_are_one_event_for_each_login() {
    let called = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&called);
    let world = Arc::new(World::with(Issuer::new(), move |sessions| {
        sessions.on_needs_login(move |id, _why| {
            assert_eq!(id.as_str(), "a");
            counted.fetch_add(1, Ordering::Relaxed);
        })
    }));
    let mut events = world.sessions.events();
    for login in 1..=3 {
        world.issuer.recover();
        world.login("a").await;
        world.login("b").await;
        world.issuer.end_access_tokens_of("a");
        world.issuer.fail(RefreshError::rejected("invalid_grant"));
        let mut crowd = JoinSet::new();
        for _ in 0..50 {
            let world = Arc::clone(&world);
            crowd.spawn(async move { world.get("a").await.unwrap_err() });
        }
        assert!(crowd.join_all().await.iter().all(reqwest_auth_refresh::AuthError::needs_login));
        let needs = |event: &Result<(SessionId, Event), Missed>| matches!(event, Ok((_, Event::NeedsLogin(_))));
        let told = all_told(&mut events).iter().filter(|event| needs(event)).count();
        println!("figure: needs_login_events = {told} events");
        assert_eq!((told, called.load(Ordering::Relaxed)), (1, login));
        assert_eq!(world.get("b").await.unwrap(), 200, "nobody else noticed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_never_reads_slows_nobody_down() {
    let world = World::new(Issuer::new());
    let (mut never, mut own) = (world.sessions.events(), world.sessions.session("a").events());
    let begun = tokio::time::Instant::now();
    for _ in 0..3_000 {
        world.sessions.session("a").login(world.issuer.login("a")).await.unwrap();
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // It is told how many it missed, and goes on from there.
    let missed = all_told(&mut never);
    assert!(matches!(missed[0], Err(Missed(n)) if n == 3_000 - 1_024), "{:?}", missed[0]);
    assert_eq!(missed.len(), 1 + 1_024);
    let missed = told(&mut own);
    assert!(matches!(missed[..2], [Event::Now(_), Event::Missed(n)] if n == 3_000 - 16), "{:?}", &missed[..2]);
    assert_eq!(missed.len(), 2 + 16);
}
