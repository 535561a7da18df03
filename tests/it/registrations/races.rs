//! Another registration's record that comes while a step is under way: what was decided is looked at again.

use reqwest_auth_refresh::{Event, LoginId, Record, SessionId, State, TokenStore, Tokens, Version};

use crate::gated_world::{Gate, World, Worth, auth_error, status};
use crate::support::{put, until};
use crate::virtual_world::heard;

/// Another program puts a record of its own registration in the place of ours.
pub(super) async fn another_comes(world: &World) -> Vec<u8> {
    let tokens = Tokens::new("of-another").unwrap().with_refresh_token("of-another");
    let record = Record::of_tokens("default", Version::new(LoginId::from_bits(99), 7), tokens);
    let record = record.with_registration("another");
    put(&world.store.kept, &SessionId::default(), &record).await.unwrap();
    record.to_bytes().to_vec()
}

async fn stored(world: &World) -> Vec<u8> {
    world.store.record().await.unwrap().to_bytes().to_vec()
}

#[tokio::test(start_paused = true)]
async fn while_the_issuer_answers() {
    let world = World::of(Worth::Refused).await;
    world.session.access_token().await.unwrap();
    world.grant.answer.hold();
    let waiting = tokio::spawn(status(world.get("a")));
    until("the answer on its way", || world.grant.answer.knocks() == 1).await;
    let theirs = another_comes(&world).await;
    world.grant.answer.open();

    assert_eq!(waiting.await.unwrap().unwrap(), 200, "a rotation is never thrown away");
    assert!(matches!(world.session.state(), State::LoggedIn { saved: false, .. }));
    assert!(!world.store.is_locked(), "nobody is kept out for what can never be saved");
    let knocks = world.store.save.knocks();
    tokio::time::sleep(std::time::Duration::from_secs(600)).await;
    assert_eq!(world.store.save.knocks(), knocks, "and saving is not tried again by itself");
    assert!(world.session.flush().await.unwrap_err().is_misconfigured());
    assert_eq!(status(world.get("b")).await.unwrap(), 200);
    assert_eq!(stored(&world).await, theirs);
    assert_eq!((world.issuer.rotations(), world.issuer.reuses()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn while_a_login_is_saved() {
    let world = World::empty(|session| session);
    let mut events = world.session.events();
    world.store.save.hold();
    let login = tokio::spawn({
        let (session, tokens) = (world.session.clone(), world.tokens("a", Worth::Good));
        async move { session.login(tokens).await }
    });
    until("the login at the store", || world.store.save.knocks() == 1).await;
    let waiting = tokio::spawn(status(world.get("a")));
    let theirs = another_comes(&world).await;
    world.store.save.open();

    assert!(login.await.unwrap().unwrap_err().is_misconfigured());
    assert!(auth_error(waiting.await.unwrap()).is_misconfigured());
    assert_eq!(world.session.state(), State::NotLoaded);
    assert_eq!(stored(&world).await, theirs);
    assert!(world.api.log().is_empty(), "its tokens were sent nowhere");
    // It was told when the store was read and empty; so that it did not last is told, too.
    assert!(matches!(heard(&mut events).await, Some(Event::Now(State::NotLoaded))));
    assert!(matches!(heard(&mut events).await, Some(Event::LoggedIn(_))));
    assert!(matches!(heard(&mut events).await, Some(Event::StoreFailed(error)) if error.is_misconfigured()));
    assert!(matches!(heard(&mut events).await, Some(Event::Now(State::NotLoaded))));
}

/// Tokens that could not be saved, with the lock kept for them: once it is another's store, the lock is given back.
#[tokio::test(start_paused = true)]
async fn while_saving_is_tried_again() {
    let world = World::of(Worth::Refused).await;
    world.session.access_token().await.unwrap();
    world.store.save.set(Gate::Err);
    assert_eq!(status(world.get("a")).await.unwrap(), 200);
    assert!(world.store.is_locked());
    let theirs = another_comes(&world).await;
    world.store.save.set(Gate::Ok);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert!(!world.store.is_locked());
    assert_eq!(stored(&world).await, theirs);
    assert_eq!(status(world.get("b")).await.unwrap(), 200, "memory goes on");

    // Their record goes, and ours is saved with the next refresh.
    world.store.kept.remove(&SessionId::default()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    world.session.refresh().await.unwrap();
    world.assert_logged_in("a").await;
}

/// A write of a login that is forgotten meanwhile is removed again, when it lands.
#[tokio::test(start_paused = true)]
async fn a_login_that_is_still_written_when_it_is_forgotten_is_not_stored() {
    let world = World::empty(|session| session);
    world.store.save.hold();
    let login = tokio::spawn({
        let (session, tokens) = (world.session.clone(), world.tokens("a", Worth::Good));
        async move { session.login(tokens).await }
    });
    until("the login at the store", || world.store.save.knocks() == 1).await;
    world.session.forget_stored().await.unwrap();
    assert!(login.await.unwrap().unwrap_err().is_logged_out());
    world.store.save.open();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(world.store.record().await.is_none());
    assert_eq!(status(world.get("a")).await.unwrap(), 401, "as nobody");
    assert_eq!(world.session.state(), State::Nobody);
    assert!(!world.store.is_locked());
}

/// And a login that comes after the forgetting stays, whatever lands late.
#[tokio::test(start_paused = true)]
async fn a_login_after_the_forgetting_stays() {
    let world = World::empty(|session| session);
    world.store.save.hold();
    let login = |user| {
        let (session, tokens) = (world.session.clone(), world.tokens(user, Worth::Good));
        tokio::spawn(async move { session.login(tokens).await })
    };
    let first = login("a");
    until("the first login at the store", || world.store.save.knocks() == 1).await;
    world.session.forget_stored().await.unwrap();
    let second = login("b");
    until("the second login at the store", || world.store.save.knocks() == 2).await;
    world.store.save.open();
    assert!(first.await.unwrap().unwrap_err().is_logged_out());
    second.await.unwrap().unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    world.assert_logged_in("b").await;
}

/// The refresh of another process is waited for, and not cut in two.
#[tokio::test(start_paused = true)]
async fn forgetting_waits_for_the_lock() {
    let world = World::of(Worth::Good).await;
    world.session.access_token().await.unwrap();
    let theirs = world.store.lock_from_outside();
    let forgetting = tokio::spawn({
        let session = world.session.clone();
        async move { session.forget_stored().await }
    });
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert!(world.store.record().await.is_some());
    drop(theirs);
    forgetting.await.unwrap().unwrap();
    assert!(world.store.record().await.is_none());
    assert_eq!(status(world.get("a")).await.unwrap(), 401, "as nobody");

    let world = World::of(Worth::Good).await;
    let _theirs = world.store.lock_from_outside();
    assert!(world.session.forget_stored().await.unwrap_err().is_store(), "nobody may wait for ever");
    assert!(world.store.record().await.is_some());
    assert_eq!(status(world.get("a")).await.unwrap(), 200, "and what is still there is still the session's");
}
