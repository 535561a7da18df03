//! New tokens are saved before anyone uses them, or the failure is reported and saving goes on; and what others have stored
//! is looked at before anything is spent or overwritten.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use reqwest_auth_refresh::{
    Ending, Event, Events, LoginId, NeedsLogin, SessionBuilder, SessionId, State, StoreError, TokenStore, Version,
};
use secrecy::ExposeSecret;
use tokio::time::{Instant, sleep};

use crate::gated_world::{FIRST, Gate, World, Worth, auth_error, status};
use crate::virtual_issuer::user_of;
use crate::virtual_world::heard;

/// A login that nobody here has seen.
const FOREIGN: Version = Version::new(LoginId::from_bits(99), 4);

/// The longest pause after one failure, and a tick of the timer.
const REST: Duration = Duration::from_millis(1_010);

/// So long tokens are young, and asking for others is excess.
const YOUTH: Duration = Duration::from_secs(11);

/// A world whose session has read its tokens.
async fn loaded(worth: Worth) -> World {
    let world = World::of(worth).await;
    world.session.access_token().await.unwrap();
    world
}

/// A world whose session has tokens that are due. (To ask for one of them would have them replaced.)
async fn due() -> World {
    let world = World::empty(|session| session);
    world.session.login(world.tokens("a", Worth::Due)).await.unwrap();
    world
}

async fn events_of(world: &World) -> Events {
    let mut events = world.session.events();
    assert!(matches!(heard(&mut events).await, Some(Event::Now(_))));
    events
}

fn word(event: &Event) -> &'static str {
    match event {
        Event::LoggedIn(_) => "logged in",
        Event::Refreshed(_) => "refreshed",
        Event::RefreshFailed(_) => "refresh failed",
        Event::NeedsLogin(_) => "needs login",
        Event::LoggedOut => "logged out",
        Event::StoreFailed(_) => "store failed",
        Event::Now(_) | Event::CallbackFailed | Event::Missed(_) | _ => panic!("{event:?}"),
    }
}

/// The next events, each in a word; fails unless they are there already.
async fn next(events: &mut Events, count: usize) -> Vec<&'static str> {
    let mut words = Vec::new();
    while words.len() < count {
        let event = tokio::time::timeout(Duration::ZERO, events.next()).await.unwrap_or_else(|_| panic!("{words:?}"));
        words.push(word(&event.unwrap()));
    }
    assert!(tokio::time::timeout(Duration::ZERO, events.next()).await.is_err(), "no more than {words:?}");
    words
}

fn is_saved(world: &World) -> bool {
    matches!(world.session.state(), State::LoggedIn { saved: true, .. })
}

#[tokio::test(start_paused = true)]
async fn a_login_that_cannot_be_saved_is_used_and_saved_within_one_rest() {
    for gate in [Gate::Err, Gate::Panic] {
        let world = World::of(Worth::Good).await;
        let mut events = events_of(&world).await;
        world.store.save.set(gate);
        assert!(world.session.login(world.tokens("b", Worth::Good)).await.unwrap_err().is_store());
        assert!(!is_saved(&world));
        assert_eq!(next(&mut events, 2).await, ["logged in", "store failed"]);
        assert_eq!(status(world.get("b")).await.unwrap(), 200);
        assert_eq!(world.api.log()[0].token.as_deref().map(user_of), Some("b"));

        world.store.save.set(Gate::Ok);
        sleep(REST).await;
        world.assert_logged_in("b").await;
        assert_eq!(next(&mut events, 0).await, [""; 0]);
        assert_eq!((world.store.save.knocks(), world.store.saved()), (2, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn saving_is_tried_again_ever_more_seldom() {
    let world = World::empty(|session| session);
    world.store.save.set(Gate::Err);
    assert!(world.session.login(world.tokens("a", Worth::Good)).await.unwrap_err().is_store());
    sleep(Duration::from_secs(60)).await;
    let tries = world.store.save.knocks();
    assert!((6..=8).contains(&tries), "{tries} in the first minute");
    sleep(Duration::from_secs(600)).await;
    let tries = world.store.save.knocks() - tries;
    assert!((10..=20).contains(&tries), "{tries} in the ten minutes after it");
    world.store.save.set(Gate::Ok);
    sleep(Duration::from_secs(61)).await;
    world.assert_logged_in("a").await;
}

#[tokio::test(start_paused = true)]
async fn flush_saves_at_once_and_says_when_it_cannot() {
    let world = World::empty(|session| session);
    world.store.save.set(Gate::Err);
    let began = Instant::now();
    assert!(world.session.login(world.tokens("a", Worth::Good)).await.unwrap_err().is_store());
    assert!(world.session.flush().await.unwrap_err().is_store());
    assert_eq!(world.store.save.knocks(), 2);
    world.store.save.set(Gate::Ok);
    world.session.flush().await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    world.assert_logged_in("a").await;
    world.session.flush().await.unwrap();
    assert_eq!(world.store.save.knocks(), 3, "nothing was left to save");
}

#[tokio::test(start_paused = true)]
async fn flush_waits_for_a_refresh_and_for_its_save() {
    let world = due().await;
    world.grant.ask.takes(40);
    world.store.save.takes(40);
    assert_eq!(status(world.get("a").timeout(Duration::from_millis(4))).await.unwrap(), 200);
    assert_eq!(world.store.saved(), 1, "the early refresh is under way");
    world.session.flush().await.unwrap();
    world.assert_logged_in("a").await;
    assert_eq!((world.issuer.rotations(), world.store.saved()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn new_tokens_that_cannot_be_saved_are_used_and_the_lock_is_kept_until_they_are() {
    let world = loaded(Worth::Refused).await;
    let mut events = events_of(&world).await;
    world.store.save.set(Gate::Err);
    let requests: Vec<_> = (0..5).map(|_| tokio::spawn(status(world.get("a")))).collect();
    for request in requests {
        assert_eq!(request.await.unwrap().unwrap(), 200);
    }
    assert_eq!(next(&mut events, 2).await, ["store failed", "refreshed"]);
    assert!(!is_saved(&world));
    assert!(world.store.is_locked(), "nobody may spend the refresh token that is stored");
    assert_eq!(world.store.locked_and_released(), (1, 0));

    // A failure later it is still so; and a refresh meanwhile goes by the lock that was kept.
    sleep(YOUTH).await;
    world.session.refresh().await.unwrap();
    assert!(world.store.is_locked());
    assert_eq!(world.store.locked_and_released(), (1, 0));
    assert_eq!(world.issuer.rotations(), 2);

    world.store.save.set(Gate::Ok);
    sleep(Duration::from_secs(60)).await;
    world.assert_logged_in("a").await;
    assert!(!world.store.is_locked());
    assert_eq!(world.store.locked_and_released(), (1, 1));
    assert_eq!((world.grant.ask.knocks(), world.issuer.reuses(), world.store.saved()), (2, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_kept_lock_whose_lease_has_run_out_is_taken_anew() {
    let world = loaded(Worth::Refused).await;
    world.store.save.set(Gate::Err);
    assert_eq!(status(world.get("a")).await.unwrap(), 200);
    assert_eq!(world.store.locked_and_released(), (1, 0));
    world.store.run_out.store(1, SeqCst);
    sleep(YOUTH).await;
    world.session.refresh().await.unwrap();
    assert_eq!(world.store.locked_and_released().0, 2);
    assert_eq!(world.issuer.rotations(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_login_never_seen_here_wins_over_tokens_that_were_not_saved() {
    let world = loaded(Worth::Good).await;
    world.store.save.set(Gate::Err);
    sleep(YOUTH).await;
    world.session.refresh().await.unwrap();
    let mut events = events_of(&world).await;
    // A login elsewhere needs no lock.
    world.store.put(FOREIGN, world.tokens("c", Worth::Good)).await;
    world.store.save.set(Gate::Ok);
    sleep(REST).await;
    world.assert_logged_in("c").await;
    assert_eq!(next(&mut events, 1).await, ["logged in"]);
    assert_eq!(world.issuer.revoked(), ["refresh.a.0.1"], "ours, which nobody has any more");
    assert_eq!(world.store.saved(), 0);
    assert!(!world.store.is_locked());
    assert_eq!(status(world.get("c")).await.unwrap(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_login_stored_while_the_issuer_answers_wins_over_the_answer() {
    let world = loaded(Worth::Refused).await;
    world.grant.answer.hold();
    let waiting = tokio::spawn(status(world.get("a")));
    sleep(Duration::from_millis(1)).await;
    world.store.put(FOREIGN, world.tokens("c", Worth::Good)).await;
    world.grant.answer.open();
    assert!(auth_error(waiting.await.unwrap()).is_logged_out());
    world.assert_logged_in("c").await;
    assert_eq!(world.issuer.revoked(), ["refresh.a.0.1"]);
    assert_eq!(world.store.saved(), 0);
}

#[tokio::test(start_paused = true)]
async fn newer_tokens_of_the_same_login_stored_while_the_issuer_answers_are_adopted() {
    let world = loaded(Worth::Refused).await;
    world.grant.answer.hold();
    let waiting = tokio::spawn(status(world.get("a")));
    sleep(Duration::from_millis(1)).await;
    world.store.put(Version::new(FIRST.login, 7), world.tokens("a", Worth::Good)).await;
    world.grant.answer.open();
    assert_eq!(waiting.await.unwrap().unwrap(), 200);
    world.assert_logged_in("a").await;
    assert!(world.issuer.revoked().is_empty());
    assert_eq!(world.store.saved(), 0);
}

#[tokio::test(start_paused = true)]
async fn other_tokens_that_were_stored_under_the_same_version_are_the_ones_that_are_sent() {
    let world = loaded(Worth::Refused).await;
    world.store.save.set(Gate::Err);
    assert_eq!(status(world.get("a")).await.unwrap(), 200);
    let theirs = world.tokens("a", Worth::Good);
    world.store.put(FIRST.next(), theirs.clone()).await;
    world.store.save.set(Gate::Ok);
    sleep(REST).await;
    assert_eq!(status(world.get("a")).await.unwrap(), 200);
    let theirs = theirs.access_token().unwrap().expose_secret().to_owned();
    assert_eq!(world.session.access_token().await.unwrap().expose_secret(), theirs);
    assert_eq!(world.api.log().last().unwrap().token, Some(theirs));
}

#[tokio::test(start_paused = true)]
async fn a_login_that_was_not_saved_is_never_undone_by_what_was_stored_before_it() {
    for read in [true, false] {
        let world = World::of(Worth::Good).await;
        if read {
            world.session.access_token().await.unwrap();
        }
        world.store.save.set(Gate::Err);
        assert!(world.session.login(world.tokens("b", Worth::Good)).await.unwrap_err().is_store());
        // The older login goes on in another process meanwhile.
        world.store.put(Version::new(FIRST.login, 3), world.tokens("a", Worth::Good)).await;
        world.store.save.set(Gate::Ok);
        sleep(REST).await;
        world.assert_logged_in("b").await;
        assert_eq!(
            world.next_run().session.access_token().await.map(|token| user_of(token.expose_secret()) == "b").ok(),
            Some(true)
        );
        assert!(world.issuer.revoked().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_store_lost_is_saved_again() {
    let world = loaded(Worth::Refused).await;
    let mut events = events_of(&world).await;
    world.store.kept.remove(&SessionId::default()).await.unwrap();
    assert_eq!(status(world.get("a")).await.unwrap(), 200);
    assert_eq!(next(&mut events, 2).await, ["store failed", "refreshed"]);
    assert_eq!(world.store.saved(), 2, "the tokens at hand, before they are spent, and then the new ones");
    world.assert_logged_in("a").await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_replaced_from_memory() {
    let world = loaded(Worth::Refused).await;
    let mut events = events_of(&world).await;
    // The store has set the broken record aside.
    world.store.kept.remove(&SessionId::default()).await.unwrap();
    *world.store.says.lock().unwrap() = Some(StoreError::unreadable("broken"));
    world.store.load.set(Gate::Err);
    assert_eq!(status(world.get("a")).await.unwrap(), 200);
    assert_eq!(next(&mut events, 2).await, ["store failed", "refreshed"]);
    assert_eq!((world.grant.ask.knocks(), world.store.saved()), (1, 2));
    world.assert_logged_in("a").await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_with_nothing_in_memory_leaves_a_tombstone() {
    let world = World::of(Worth::Good).await;
    let mut events = events_of(&world).await;
    world.store.kept.remove(&SessionId::default()).await.unwrap();
    *world.store.says.lock().unwrap() = Some(StoreError::unreadable("broken"));
    world.store.load.set(Gate::Err);
    assert!(auth_error(status(world.get("a")).await).needs_login());
    assert!(world.session.access_token().await.unwrap_err().needs_login());
    world.store.load.set(Gate::Ok);
    let ending = Ending::NeedsLogin(NeedsLogin::RecordUnreadable);
    assert_eq!(world.store.record().await.unwrap().ending(), Some(&ending));
    assert_eq!(next(&mut events, 2).await, ["store failed", "needs login"]);

    let next_run = world.next_run();
    assert!(auth_error(status(next_run.get("a")).await).needs_login());
    assert_eq!((world.grant.ask.knocks(), world.api.log().len()), (0, 0));
    world.session.login(world.tokens("b", Worth::Good)).await.unwrap();
    world.assert_logged_in("b").await;
}

#[tokio::test(start_paused = true)]
async fn a_record_of_the_future_is_never_overwritten() {
    let world = World::of(Worth::Good).await;
    *world.store.says.lock().unwrap() = Some(StoreError::newer());
    world.store.load.set(Gate::Err);
    assert!(auth_error(status(world.get("a")).await).is_store());
    assert!(world.session.login(world.tokens("b", Worth::Good)).await.unwrap_err().is_store());
    // The login holds for this program.
    assert_eq!(status(world.get("b")).await.unwrap(), 200);
    sleep(YOUTH).await;
    assert!(world.session.refresh().await.unwrap_err().is_store());
    assert!(world.session.flush().await.unwrap_err().is_store());
    sleep(Duration::from_secs(60)).await;
    assert_eq!(status(world.get("b")).await.unwrap(), 200);
    assert_eq!((world.store.save.knocks(), world.grant.ask.knocks()), (0, 0));
    assert_eq!(world.store.record().await.unwrap().version(), FIRST);
}

#[tokio::test(start_paused = true)]
async fn with_a_store_that_is_shared_and_cannot_be_asked_nothing_is_refreshed() {
    for lock in [true, false] {
        for gate in [Gate::Err, Gate::Panic, Gate::Never] {
            let shut = |world: &World| if lock { world.store.lock.set(gate) } else { world.store.load.set(gate) };
            // Tokens that are still good are used.
            let world = due().await;
            shut(&world);
            assert_eq!(status(world.get("a")).await.unwrap(), 200);
            assert_eq!(status(world.get("a")).await.unwrap(), 200);
            world.session.flush().await.unwrap();
            assert_eq!(world.grant.ask.knocks(), 0);

            let world = loaded(Worth::Refused).await;
            shut(&world);
            let error = auth_error(status(world.get("a")).await);
            assert!(error.is_store() && error.status().is_some() && error.retry_after().is_some(), "{error:?}");
            assert_eq!((world.grant.ask.knocks(), world.api.log().len()), (0, 1));
            world.store.lock.set(Gate::Ok);
            world.store.load.set(Gate::Ok);
            sleep(REST).await;
            assert_eq!(status(world.get("a")).await.unwrap(), 200);
            assert_eq!(world.issuer.rotations(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_lock_a_program_that_says_so_goes_on() {
    for lock in [true, false] {
        for gate in [Gate::Err, Gate::Panic, Gate::Never] {
            let world = World::with(Worth::Refused, SessionBuilder::refresh_without_lock).await;
            world.session.access_token().await.unwrap();
            if lock {
                world.store.lock.set(gate);
            } else {
                world.store.load.set(gate);
            }
            assert_eq!(status(world.get("a")).await.unwrap(), 200);
            assert_eq!((world.grant.ask.knocks(), world.issuer.reuses()), (1, 0));
            world.assert_logged_in("a").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_nobody_else_can_see_need_not_be_read_to_refresh() {
    for gate in [Gate::Err, Gate::Panic, Gate::Never] {
        let world = loaded(Worth::Refused).await;
        world.store.private.store(true, SeqCst);
        world.store.load.set(gate);
        assert_eq!(status(world.get("a")).await.unwrap(), 200);
        world.assert_logged_in("a").await;
        assert_eq!(world.store.locked_and_released(), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_somebody_else_has_for_the_whole_wait_means_later() {
    let world = loaded(Worth::Refused).await;
    let elsewhere = world.store.lock_from_outside();
    let began = Instant::now();
    let error = auth_error(status(world.get("a")).await);
    assert!(error.is_transient() && !error.is_timeout(), "{error:?}");
    assert_eq!(began.elapsed(), Duration::from_secs(30));
    assert_eq!(world.store.load.knocks(), 2, "once at first, and once more after the wait");
    assert_eq!((world.grant.ask.knocks(), world.store.save.knocks()), (0, 0));
    drop(elsewhere);
    sleep(REST).await;
    assert_eq!(status(world.get("a")).await.unwrap(), 200);
}

#[tokio::test(start_paused = true)]
async fn what_the_holder_of_the_lock_saved_is_adopted() {
    // Whether the holder gives the lock back, and after how many seconds there is an outcome.
    for (released, seconds) in [(true, 5), (false, 30)] {
        let world = loaded(Worth::Refused).await;
        let elsewhere = world.store.lock_from_outside();
        let began = Instant::now();
        let waiting = tokio::spawn(status(world.get("a")));
        sleep(Duration::from_secs(5)).await;
        world.store.put(FIRST.next(), world.tokens("a", Worth::Good)).await;
        let elsewhere = (!released).then_some(elsewhere);
        assert_eq!(waiting.await.unwrap().unwrap(), 200);
        assert_eq!(began.elapsed(), Duration::from_secs(seconds));
        assert_eq!((world.grant.ask.knocks(), world.store.save.knocks()), (0, 0));
        world.assert_logged_in("a").await;
        assert_eq!(world.store.is_locked(), elsewhere.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_lost_before_the_refresh_token_is_sent_means_that_it_is_not() {
    let world = loaded(Worth::Refused).await;
    world.store.run_out.store(usize::MAX, SeqCst);
    let error = auth_error(status(world.get("a")).await);
    assert!(error.is_transient(), "{error:?}");
    assert_eq!((world.grant.ask.knocks(), world.store.locked_and_released()), (0, (1, 1)));
    world.store.run_out.store(0, SeqCst);
    sleep(REST).await;
    assert_eq!(status(world.get("a")).await.unwrap(), 200);
    assert_eq!(world.issuer.rotations(), 1);
}
