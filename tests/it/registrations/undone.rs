//! Changes that met another registration's record, several at once: what stood before them is what stands after them.

use std::time::Duration;

use reqwest_auth_refresh::{AuthError, Event, RefreshError, State};

use super::races::another_comes;
use crate::gated_world::{World, Worth, status};
use crate::support::until;
use crate::virtual_world::told;

#[tokio::test(start_paused = true)]
async fn two_logins() {
    let world = World::empty(|session| session);
    another_comes(&world).await;
    let mut events = world.session.events();
    let login = |user| world.session.login(world.tokens(user, Worth::Good));
    let (first, second) = tokio::join!(login("a"), login("b"));
    assert!(first.unwrap_err().is_logged_out());
    assert!(second.unwrap_err().is_misconfigured());
    assert_eq!(world.session.state(), State::NotLoaded, "the first one did not stand either");
    assert!(matches!(told(&mut events).last(), Some(Event::Now(State::NotLoaded))));
    assert!(status(world.get("a")).await.is_err() && world.api.log().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_login_and_a_logout() {
    let world = World::empty(|session| session);
    another_comes(&world).await;
    let tokens = world.tokens("a", Worth::Good);
    let (login, logout) = tokio::join!(world.session.login(tokens), world.session.logout());
    assert!(login.unwrap_err().is_logged_out());
    assert!(logout.unwrap_err().is_misconfigured());
    assert_eq!(world.session.state(), State::NotLoaded);
}

/// The refresh that a login superseded has spent its refresh token: what the undone login puts back is what that refresh brought.
#[tokio::test(start_paused = true)]
async fn a_login_during_a_refresh() {
    let world = World::of(Worth::Refused).await;
    world.session.access_token().await.unwrap();
    world.grant.answer.hold();
    let waiting = tokio::spawn(status(world.get("a")));
    until("the answer on its way", || world.grant.answer.knocks() == 1).await;
    another_comes(&world).await;
    assert!(world.session.login(world.tokens("b", Worth::Good)).await.unwrap_err().is_misconfigured());
    world.grant.answer.open();
    assert!(AuthError::find(&waiting.await.unwrap().unwrap_err()).unwrap().is_logged_out());
    until("the superseded refresh", || matches!(world.session.state(), State::LoggedIn { saved: false, .. })).await;
    assert_eq!(status(world.get("a")).await.unwrap(), 200, "with the new tokens");
    tokio::time::sleep(Duration::from_secs(120)).await;
    world.store.forget().await;
    world.session.refresh().await.unwrap();
    assert_eq!((world.issuer.rotations(), world.issuer.reuses()), (2, 0));
    world.assert_logged_in("a").await;
}

/// Where a logout is no longer what is stored, each request hears the same, however soon it comes.
#[tokio::test(start_paused = true)]
async fn answers_do_not_change_from_one_request_to_the_next() {
    let world = World::empty(|session| session);
    world.session.login(world.tokens("a", Worth::Good)).await.unwrap();
    world.session.logout().await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    another_comes(&world).await;
    for _ in 0..8 {
        let error = status(world.get("a")).await.unwrap_err();
        assert!(AuthError::find(&error).unwrap().is_misconfigured());
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
}

/// That a login is needed stays said.
#[tokio::test(start_paused = true)]
async fn a_need_of_a_login_stays_said() {
    let world = World::of(Worth::Good).await;
    world.issuer.fail(RefreshError::rejected("invalid_grant"));
    assert!(world.session.refresh().await.unwrap_err().needs_login());
    another_comes(&world).await;
    for _ in 0..8 {
        let error = status(world.get("a")).await.unwrap_err();
        assert!(AuthError::find(&error).unwrap().needs_login());
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
}
