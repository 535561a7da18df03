//! Nobody waits for ever: not for a runtime that stands still or has ended, not for themselves, not for a slow reader; and a
//! program that ends does not end between the rotation and the save.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use reqwest_auth_refresh::{AuthError, Event, RefreshError, RefreshRequest, Session, SessionBuilder, State, Tokens};
use reqwest_middleware::ClientWithMiddleware;
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use crate::gated_world::{Api, Door, World, Worth, auth_error, client, get, status};
use crate::support::until;
use crate::virtual_issuer::Issuer;
use crate::virtual_world::{VirtualClock, heard};

/// Its clock stands still while it works, and jumps to the next timer when it has nothing to do.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// How far a flight has come when its runtime is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leg {
    /// Its task has not even begun.
    Spawned,
    Lock,
    Load,
    Ask,
    Answer,
    Save,
}

impl Leg {
    fn door(self, world: &World) -> &Door {
        match self {
            Self::Lock => &world.store.lock,
            Self::Load => &world.store.load,
            Self::Spawned | Self::Ask => &world.grant.ask,
            Self::Answer => &world.grant.answer,
            Self::Save => &world.store.save,
        }
    }
}

/// A world with a flight that has come so far on this runtime, which nobody drives any more.
fn left_at(leg: Leg, there: &Runtime, set: impl FnOnce(SessionBuilder) -> SessionBuilder) -> World {
    there.block_on(async {
        let world = World::with(Worth::Refused, set).await;
        world.session.access_token().await.unwrap();
        let door = leg.door(&world);
        door.hold();
        let knocks = door.knocks();
        if leg == Leg::Spawned {
            assert!(status(world.get("a")).now_or_never().is_none());
        } else {
            drop(tokio::spawn(status(world.get("a"))));
            until(format!("a knock at {leg:?}"), || door.knocks() > knocks).await;
        }
        world
    })
}

#[test]
fn a_flight_whose_runtime_stands_still() {
    for leg in [Leg::Spawned, Leg::Lock, Leg::Load, Leg::Ask, Leg::Answer, Leg::Save] {
        let (there, here) = (runtime(), runtime());
        let (short, bound) = (Duration::from_millis(30), Duration::from_millis(120));
        // The bounds of the flight itself pass while it stands still.
        let world = left_at(leg, &there, |session| {
            session
                .attempt_timeout(short)
                .lock_timeout(short)
                .load_timeout(short)
                .save_timeout(short)
                .wait_timeout(bound)
        });
        here.block_on(async {
            let began = Instant::now();
            let requests: Vec<_> = (0..5).map(|_| tokio::spawn(status(world.get("b").timeout(bound)))).collect();
            let error = world.session.access_token().await.unwrap_err();
            assert!(error.is_timeout() && error.is_transient(), "{leg:?} {error:?}");
            for request in requests {
                let error = auth_error(request.await.unwrap());
                assert!(error.is_timeout() && error.is_transient(), "{leg:?} {error:?}");
            }
            assert!(world.session.flush().await.unwrap_err().is_timeout());
            // One after the other: the requests, which the first token waits with, and the flush.
            assert_eq!(began.elapsed(), 2 * bound);
        });
        leg.door(&world).open();
        there.block_on(async {
            tokio::time::advance(bound).await;
            world.session.flush().await.unwrap();
        });
        let asked = world.grant.ask.knocks();
        assert_eq!((asked, world.issuer.rotations(), world.issuer.reuses()), (1, 1, 0), "{leg:?}");
        here.block_on(async {
            assert_eq!(status(world.get("b")).await.unwrap(), 200, "{leg:?}");
            world.assert_logged_in("a").await;
        });
    }
}

#[test]
fn a_login_beside_a_flight_whose_runtime_stands_still() {
    for leg in [Leg::Spawned, Leg::Lock, Leg::Load, Leg::Ask, Leg::Answer, Leg::Save] {
        let (there, here) = (runtime(), runtime());
        let bound = Duration::from_millis(100);
        let world = left_at(leg, &there, |session| session.save_timeout(bound).load_timeout(bound));
        here.block_on(async {
            let login = world.session.login(world.tokens("b", Worth::Good)).await;
            // The flight is in nobody's way. What hangs here is the store itself.
            let hangs = matches!(leg, Leg::Load | Leg::Save);
            assert_eq!(login.is_err_and(|error| error.is_store()), hangs, "{leg:?}");
            assert_eq!(status(world.get("b")).await.unwrap(), 200);
        });
        leg.door(&world).open();
        there.block_on(async {
            until("the lock", || !world.store.is_locked()).await;
        });
        here.block_on(async {
            world.session.flush().await.unwrap();
            world.assert_logged_in("b").await;
            assert_eq!(world.issuer.reuses(), 0);
        });
    }
}

#[test]
fn a_flight_whose_runtime_has_ended() {
    // The answer that an issuer has given to a runtime that is gone is nowhere, so that leg is not here.
    for leg in [Leg::Spawned, Leg::Lock, Leg::Load, Leg::Ask, Leg::Save] {
        let (there, here) = (runtime(), runtime());
        let world = left_at(leg, &there, |session| session);
        here.block_on(async {
            let mut events = world.session.events();
            assert!(matches!(heard(&mut events).await, Some(Event::Now(State::LoggedIn { .. }))));
            let requests: Vec<_> = (0..5).map(|_| tokio::spawn(status(world.get("b")))).collect();
            let token = tokio::spawn({
                let session = world.session.clone();
                async move { session.refresh().await }
            });
            yield_now().await;
            std::thread::spawn(move || drop(there)).join().unwrap();
            // Long before the bound of 75 seconds.
            let results = async {
                let mut errors = vec![token.await.unwrap().unwrap_err()];
                for request in requests {
                    errors.push(auth_error(request.await.unwrap()));
                }
                errors
            };
            for error in timeout(Duration::from_secs(10), results).await.unwrap() {
                assert!(error.is_transient() && !error.is_timeout(), "{leg:?} {error:?}");
            }
            leg.door(&world).open();
            // Nobody else may spend what is stored before what came of it is stored too.
            assert_eq!(world.store.is_locked(), leg == Leg::Save, "{leg:?}");
            if leg == Leg::Save {
                // What came is in memory, and told; the next request sees to it that it is saved.
                assert!(matches!(heard(&mut events).await, Some(Event::StoreFailed(_))));
                assert!(matches!(heard(&mut events).await, Some(Event::Refreshed(_))));
                assert!(matches!(world.session.state(), State::LoggedIn { saved: false, .. }));
            }
            assert_eq!(status(world.get("next")).await.unwrap(), 200, "{leg:?}");
            let saved = async {
                while !matches!(world.session.state(), State::LoggedIn { saved: true, .. }) {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            timeout(Duration::from_secs(10), saved).await.unwrap_or_else(|_| panic!("{leg:?}"));
            world.session.flush().await.unwrap();
            assert!(!world.store.is_locked());
            world.assert_logged_in("a").await;
            let asked = if leg == Leg::Ask { 2 } else { 1 };
            assert_eq!((world.grant.ask.knocks(), world.issuer.rotations(), world.issuer.reuses()), (asked, 1, 0));
        });
    }
}

/// Does something the moment that it is woken, and only the first time.
struct OnWake(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for OnWake {
    fn wake(self: Arc<Self>) {
        let act = self.0.lock().unwrap().take();
        if let Some(act) = act {
            act();
        }
    }
}

#[test]
fn whoever_is_woken_by_the_end_of_a_runtime_finds_the_lock_that_was_kept() {
    let (there, here) = (runtime(), runtime());
    let world = left_at(Leg::Save, &there, |session| session.lock_timeout(Duration::from_millis(50)));
    let (refreshed, result) = std::sync::mpsc::channel();
    let session = world.session.clone();
    let at_once = move || {
        let elsewhere = std::thread::spawn(move || runtime().block_on(session.refresh()));
        refreshed.send(elsewhere.join().unwrap()).unwrap();
    };
    let waker = Waker::from(Arc::new(OnWake(Mutex::new(Some(Box::new(at_once))))));
    let mut waiting = Box::pin(world.session.refresh());
    let context = here.enter();
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(context);
    world.store.save.open();
    drop(there);
    result.try_recv().expect("it was woken").unwrap();
    assert_eq!((world.issuer.rotations(), world.issuer.reuses()), (2, 0));
    here.block_on(world.assert_logged_in("a"));
    assert!(!world.store.is_locked());
}

#[test]
fn a_first_load_whose_runtime_has_ended() {
    let (there, here) = (runtime(), runtime());
    let world = there.block_on(async {
        let world = World::of(Worth::Good).await;
        world.store.load.hold();
        drop(tokio::spawn(status(world.get("a"))));
        until("a load", || world.store.load.knocks() > 0).await;
        world
    });
    here.block_on(async {
        let waiting = tokio::spawn(status(world.get("b")));
        yield_now().await;
        std::thread::spawn(move || drop(there)).join().unwrap();
        assert!(auth_error(waiting.await.unwrap()).is_transient());
        world.store.load.open();
        assert_eq!(status(world.get("next")).await.unwrap(), 200);
    });
}

#[test]
fn a_runtime_for_every_call() {
    let world = runtime().block_on(World::of(Worth::Due));
    // Each ends as soon as its one request has an answer.
    for _ in 0..3 {
        runtime().block_on(async { assert_eq!(status(world.get("a")).await.unwrap(), 200) });
    }
    assert_eq!((world.grant.ask.knocks(), world.issuer.rotations(), world.store.saved()), (1, 1, 1));
    runtime().block_on(world.assert_logged_in("a"));
}

#[test]
fn a_session_needs_no_runtime_to_be_made() {
    let session = Session::new(|_: RefreshRequest| async { Tokens::new("new").map_err(RefreshError::unavailable) });
    assert_eq!(session.state(), State::NotLoaded);
    let mut events = session.events();
    runtime().block_on(async {
        session.login(Tokens::new("old").unwrap()).await.unwrap();
        session.refresh().await.unwrap();
        assert!(matches!(heard(&mut events).await, Some(Event::Now(State::NotLoaded))));
        assert!(matches!(heard(&mut events).await, Some(Event::LoggedIn(_))));
        assert!(matches!(heard(&mut events).await, Some(Event::Refreshed(_))));
    });
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_in_mid_flight() {
    let World { issuer, grant, store, api, session, client } = World::of(Worth::Refused).await;
    grant.answer.takes(40);
    store.save.takes(40);
    let request = tokio::spawn(status(get(&client, "a")));
    sleep(Duration::from_millis(20)).await;
    request.abort();
    drop((session, client, request));
    sleep(Duration::from_millis(100)).await;
    let record = store.record().await.unwrap();
    assert!(issuer.is_newest(record.tokens().unwrap()));
    assert_eq!((record.version().generation, issuer.rotations()), (1, 1));
    assert!(!store.is_locked());
    drop(api);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_with_tokens_that_are_not_saved() {
    let World { issuer, store, session, client, .. } = World::of(Worth::Refused).await;
    store.save.set(crate::gated_world::Gate::Err);
    assert_eq!(status(get(&client, "a")).await.unwrap(), 200);
    drop((session, client));
    store.save.set(crate::gated_world::Gate::Ok);
    // The longest pause after one failure, and a tick of the timer.
    sleep(Duration::from_millis(1_010)).await;
    assert!(issuer.is_newest(store.record().await.unwrap().tokens().unwrap()));
    assert!(!store.is_locked());
}

/// What a refresher may think of doing with the very session that it refreshes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whim {
    AccessToken,
    Refresh,
    Flush,
    Request,
    RequestLater,
    Logout,
    Login,
    RequestBeside,
}

/// A session whose refresher follows a whim and fails with what came of it; and how often it did.
async fn whimsical(whim: Whim) -> (Session, ClientWithMiddleware, Arc<AtomicUsize>) {
    let own: Arc<OnceLock<(Session, ClientWithMiddleware)>> = Arc::default();
    let calls = Arc::new(AtomicUsize::new(0));
    let refresher = {
        let (own, calls) = (Arc::clone(&own), Arc::clone(&calls));
        move |_: RefreshRequest| {
            let (own, calls) = (Arc::clone(&own), Arc::clone(&calls));
            async move {
                calls.fetch_add(1, SeqCst);
                let (session, client) = own.get().unwrap();
                let error = match whim {
                    Whim::AccessToken => session.access_token().await.unwrap_err(),
                    Whim::Refresh => session.refresh().await.unwrap_err(),
                    Whim::Flush => session.flush().await.unwrap_err(),
                    Whim::Request => auth_error(status(get(client, "own")).await),
                    Whim::RequestLater => {
                        sleep(Duration::from_millis(1)).await;
                        auth_error(status(get(client, "own")).await)
                    }
                    Whim::Logout => {
                        session.logout().await.unwrap();
                        return Err(RefreshError::unavailable("the user is gone"));
                    }
                    Whim::Login => {
                        session.login(Tokens::new("access.b.1.0").unwrap()).await.unwrap();
                        return Err(RefreshError::unavailable("somebody else is here"));
                    }
                    Whim::RequestBeside => {
                        let beside = tokio::spawn(status(get(client, "own")));
                        auth_error(beside.await.unwrap())
                    }
                };
                assert_eq!(error.is_reentrant(), whim != Whim::RequestBeside, "{whim:?} {error:?}");
                Err(RefreshError::unavailable(error))
            }
        }
    };
    let session = Session::builder(refresher).clock(VirtualClock::start()).build();
    let issuer = Issuer::default();
    let _logins = (issuer.login("a"), issuer.login("b"));
    let client = client(&session, &Api::of(&issuer));
    own.set((session.clone(), client.clone())).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH;
    let expired = Tokens::new("access.a.0.0").unwrap().with_expires_at(long_ago + Duration::from_secs(60));
    session.login(expired.with_issued_at(long_ago)).await.unwrap();
    (session, client, calls)
}

#[tokio::test(start_paused = true)]
async fn a_refresher_that_asks_the_session_that_it_refreshes() {
    for whim in [Whim::AccessToken, Whim::Refresh, Whim::Flush, Whim::Request, Whim::RequestLater] {
        let (session, client, calls) = whimsical(whim).await;
        let began = Instant::now();
        let (of_session, of_client) = tokio::join!(session.refresh(), status(get(&client, "a")));
        for error in [of_session.unwrap_err(), auth_error(of_client)] {
            assert!(error.is_transient() && !error.is_timeout(), "{whim:?} {error:?}");
            let led_to_it = std::error::Error::source(&error).and_then(std::error::Error::source);
            assert!(AuthError::find(led_to_it.unwrap()).is_some_and(AuthError::is_reentrant), "{whim:?} {error:?}");
        }
        assert!(began.elapsed() <= Duration::from_millis(1), "{whim:?}");
        assert_eq!(calls.load(SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresher_that_ends_the_login_that_it_refreshes() {
    for whim in [Whim::Logout, Whim::Login] {
        let (session, client, _) = whimsical(whim).await;
        let began = Instant::now();
        assert!(auth_error(status(get(&client, "a")).await).is_logged_out());
        yield_now().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        let state = session.state();
        let expected = if whim == Whim::Logout {
            matches!(state, State::LoggedOut { .. })
        } else {
            matches!(state, State::LoggedIn { saved: true, .. })
        };
        assert!(expected, "{whim:?} {state:?}");
        session.flush().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresher_that_waits_for_a_task_that_waits_for_it_ends_at_its_bound() {
    let (session, client, _) = whimsical(Whim::RequestBeside).await;
    let began = Instant::now();
    let error = auth_error(status(get(&client, "a")).await);
    assert!(error.is_transient(), "{error:?}");
    // One attempt of ten seconds, and the one that asks again for the lost answer.
    assert_eq!(began.elapsed(), Duration::from_secs(20));
    session.login(Tokens::new("access.b.1.0").unwrap()).await.unwrap();
}

/// Tokens that are never young for longer than a moment.
async fn refreshable() -> Session {
    let count = AtomicUsize::new(0);
    let refresher = move |_: RefreshRequest| {
        let number = count.fetch_add(1, SeqCst);
        async move { Tokens::new(format!("number-{number}")).map_err(RefreshError::unavailable) }
    };
    let session = Session::builder(refresher).clock(VirtualClock::start()).build();
    session.login(Tokens::new("first").unwrap()).await.unwrap();
    session
}

async fn refresh_often(session: &Session, times: usize) {
    for _ in 0..times {
        sleep(Duration::from_secs(11)).await;
        session.refresh().await.unwrap();
    }
}

fn generation(event: Option<Event>) -> u64 {
    match event {
        Some(Event::Refreshed(version)) => version.generation,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn events_come_in_order_and_begin_with_the_state() {
    let session = refreshable().await;
    let mut events = session.events();
    refresh_often(&session, 2).await;
    session.logout().await.unwrap();
    session.login(Tokens::new("again").unwrap()).await.unwrap();
    let mut late = session.events();
    refresh_often(&session, 1).await;

    assert!(
        matches!(heard(&mut events).await, Some(Event::Now(State::LoggedIn { version, .. })) if version.generation == 0)
    );
    assert_eq!([generation(heard(&mut events).await), generation(heard(&mut events).await)], [1, 2]);
    assert!(matches!(heard(&mut events).await, Some(Event::LoggedOut)));
    let Some(Event::LoggedIn(login)) = heard(&mut events).await else { panic!() };
    assert_eq!(generation(heard(&mut events).await), 1);
    assert!(events.next().now_or_never().is_none());

    let Some(Event::Now(State::LoggedIn { version, saved, .. })) = late.next().await else { panic!() };
    assert_eq!((version, saved), (login, true));
    assert_eq!(generation(late.next().await), 1);
    assert!(late.next().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_falls_behind_learns_how_much_it_missed() {
    let session = refreshable().await;
    let mut events = session.events();
    assert!(matches!(heard(&mut events).await, Some(Event::Now(_))));
    refresh_often(&session, 16).await;
    assert_eq!(generation(heard(&mut events).await), 1, "sixteen wait for it");
    // Fifteen are left, and 8 of them make room for later ones.
    refresh_often(&session, 9).await;
    assert!(matches!(heard(&mut events).await, Some(Event::Missed(8))));
    for number in 10..=25 {
        assert_eq!(generation(heard(&mut events).await), number);
    }
    assert!(events.next().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_never_reads_slows_nobody() {
    let session = refreshable().await;
    let unread: Vec<_> = (0..10).map(|_| session.events()).collect();
    let began = Instant::now();
    refresh_often(&session, 500).await;
    assert_eq!(began.elapsed(), Duration::from_secs(500 * 11), "not a moment more than the pauses of this test");
    for mut events in unread {
        assert!(matches!(heard(&mut events).await, Some(Event::Now(_))));
        assert!(matches!(heard(&mut events).await, Some(Event::Missed(484))));
        assert_eq!(generation(heard(&mut events).await), 485);
    }
}
