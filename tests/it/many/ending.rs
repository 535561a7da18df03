//! The end of a program: what is under way lands, what is unsaved is saved, and no task is left.

use std::time::Duration;

use reqwest_auth_refresh::{AuthError, RefreshError, RefreshRequest, Sessions, State, TokenStore, Tokens};
use tokio::task::yield_now;
use tokio::time::sleep;

use super::{Echo, World, client, get};
use crate::gated_world::{Gate, GatedStore};
use crate::virtual_issuer::Issuer;

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Ten users, each with a refresh under way.
async fn flying(store: &GatedStore) -> World {
    let world = World::with(Issuer::new(), |sessions| sessions.store(store.clone()));
    for nth in 0..10 {
        world.login(&format!("u{nth}")).await;
        let session = world.sessions.session(format!("u{nth}"));
        // Whoever asked for it has gone.
        tokio::spawn(async move { session.refresh().await }).abort_handle().id();
    }
    yield_now().await;
    yield_now().await;
    world
}

async fn newest_are_stored(world: &World, store: &GatedStore) {
    for nth in 0..10 {
        let record = store.kept.load(&format!("u{nth}").into()).await.unwrap().unwrap();
        assert_eq!(record.version().generation, 1, "{record:?}");
        assert!(world.issuer.is_newest(record.tokens().unwrap()));
    }
}

#[tokio::test(start_paused = true)]
async fn flush_waits_for_all_flights() {
    let store = GatedStore::default();
    let world = flying(&store).await;
    world.sessions.flush().await.unwrap();
    newest_are_stored(&world, &store).await;
    // And things go on afterwards.
    world.sessions.session("u0").refresh().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn shutdown_leaves_no_task() {
    let store = GatedStore::default();
    let world = flying(&store).await;
    assert!(tasks() >= 10);
    // One cannot be saved at first, and its saver waits for its time.
    store.save.set(Gate::Err);
    assert!(world.sessions.session("dirty").login(world.issuer.login("dirty")).await.unwrap_err().is_store());
    store.save.set(Gate::Ok);
    world.sessions.shutdown().await.unwrap();
    yield_now().await;
    assert_eq!(tasks(), 0);
    newest_are_stored(&world, &store).await;
    assert!(store.kept.load(&"dirty".into()).await.unwrap().is_some());
    // Good tokens are still given out; new ones are not to be had.
    assert_eq!(world.get("u1").await.unwrap(), 200);
    let calls = world.issuer.calls();
    let error = world.sessions.session("u1").refresh().await.unwrap_err();
    assert!(error.is_misconfigured() && !error.is_transient(), "{error:?}");
    assert!(world.sessions.session("late").access_token().await.unwrap_err().is_misconfigured());
    assert_eq!((world.issuer.calls(), tasks()), (calls, 0));
}

#[tokio::test(start_paused = true)]
async fn shutdown_of_one_is_of_one() {
    let store = GatedStore::default();
    let world = flying(&store).await;
    world.sessions.flush().await.unwrap();
    let one = world.sessions.session("u0");
    one.shutdown().await.unwrap();
    assert!(one.refresh().await.unwrap_err().is_misconfigured());
    world.sessions.session("u1").refresh().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_cannot_save_says_so_and_ends() {
    let store = GatedStore::default();
    let world = World::with(Issuer::new(), |sessions| sessions.store(store.clone()));
    store.save.set(Gate::Err);
    assert!(world.sessions.session("a").login(world.issuer.login("a")).await.unwrap_err().is_store());
    assert!(world.sessions.shutdown().await.unwrap_err().is_store());
    yield_now().await;
    assert_eq!(tasks(), 0);
    assert!(matches!(world.sessions.session("a").state(), State::LoggedIn { saved: false, .. }));
}

#[test]
fn a_runtime_that_is_dropped_in_flight_ends_in_typed_errors() {
    let refresher = |request: RefreshRequest| async move {
        if request.session().as_str() == "again" {
            return Tokens::new("new").map_err(RefreshError::unavailable);
        }
        std::future::pending().await
    };
    let sessions = Sessions::builder(refresher).build();
    let api = Echo::new(&Issuer::new());
    let client = client(&sessions, api);
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (flies, waits) = (runtime(), runtime());
    let waiting: Vec<_> = waits.block_on(async {
        for nth in 0..20 {
            let tokens = Tokens::new(format!("x.{nth}.x")).unwrap().with_refresh_token("r");
            sessions.session(format!("u{nth}")).login(tokens).await.unwrap();
        }
        flies.spawn({
            let sessions = sessions.clone();
            async move {
                for nth in 0..20 {
                    let session = sessions.session(format!("u{nth}"));
                    tokio::spawn(async move { session.refresh().await });
                }
            }
        });
        sleep(Duration::from_millis(50)).await;
        let waiting = (0..20).map(|nth| {
            let client = client.clone();
            tokio::spawn(async move { get(&client, &format!("u{nth}")).await })
        });
        waiting.collect()
    });
    flies.shutdown_background();
    waits.block_on(async {
        for one in waiting {
            let outcome: Result<u16, AuthError> = one.await.expect("no panic");
            assert!(outcome.is_err_and(|error| error.is_transient()));
        }
        sessions.session("again").login(Tokens::new("x.again.x").unwrap()).await.unwrap();
        sessions.session("again").refresh().await.unwrap();
        sessions.shutdown().await.unwrap();
    });
}
