//! When the issuer is away, a fleet of sessions asks as one; when one user's grant is ill, that is that user's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest_auth_refresh::{
    MemoryStore, Record, RefreshError, RefreshRequest, SessionId, Sessions, StoreError, Swap, TokenStore, Tokens,
    Version, async_trait,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Echo, SECOND, World, client, get};
use crate::virtual_issuer::Issuer;
use crate::virtual_world::VirtualClock;

fn user(nth: usize) -> String {
    format!("u{nth}")
}

/// A fleet whose tokens the API takes no longer.
async fn fleet(size: usize) -> Arc<World> {
    let world = World::new(Issuer::new());
    for nth in 0..size {
        world.login(&user(nth)).await;
        world.issuer.end_access_tokens_of(&user(nth));
    }
    Arc::new(world)
}

/// Every session asks, again and again, for so long; how many of the answers were good.
async fn asking(world: &Arc<World>, size: usize, span: Duration) -> usize {
    let mut crowd = JoinSet::new();
    for nth in 0..size {
        let world = Arc::clone(world);
        crowd.spawn(async move {
            let begun = Instant::now();
            let mut good = 0;
            sleep(Duration::from_millis(2 * nth as u64)).await;
            while begun.elapsed() < span {
                match world.get(&user(nth)).await {
                    Ok(status) => good += usize::from(status == 200),
                    Err(error) => {
                        assert!(error.is_transient() && error.retry_after().is_some(), "{error:?}");
                    }
                }
                sleep(2 * SECOND).await;
            }
            good
        });
    }
    crowd.join_all().await.into_iter().sum()
}

#[tokio::test(start_paused = true)]
#[ignore = "torture: a thousand sessions ask through outages of a minute, and the same resting each by itself"]
async fn a_thousand_sessions_ask_as_one_during_an_outage() {
    outages(1_000).await;
}

#[tokio::test(start_paused = true)]
async fn a_fleet_asks_as_one_during_an_outage() {
    outages(150).await;
}

async fn outages(size: usize) {
    let minute = 60 * SECOND;
    let outages = [
        ("503", RefreshError::unavailable("503").for_every_session().retry_after(10 * SECOND)),
        ("429", RefreshError::unavailable("429").for_every_session()),
        ("unreachable", RefreshError::unavailable("no route").for_every_session()),
        // Said for each session alone, as a control.
        ("alone", RefreshError::unavailable("500")),
    ];
    for (name, outage) in outages {
        let world = fleet(size).await;
        world.issuer.fail(outage);
        assert_eq!(asking(&world, size, minute).await, 0);
        let calls = world.issuer.calls();
        println!("figure: outage_fleet_calls_{name} = {calls} calls");
        if name == "alone" {
            assert!(calls > 3 * size, "a fleet that does not rest together is caught: {calls}");
            continue;
        }
        assert!(calls <= 100, "{name}: {calls}");

        // Recovery is spread: never more than so many at once, however many wait.
        world.issuer.recover();
        assert!(asking(&world, size, 2 * minute).await > size);
        for nth in 0..size {
            assert_eq!(world.get(&user(nth)).await.unwrap(), 200, "{name}");
        }
        assert_eq!(world.issuer.rotations(), size);
        assert_eq!(world.issuer.reuses(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_call_at_once_and_no_more() {
    let issuer = Issuer::new();
    let (behind, up, most) = (issuer.clone(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, highest) = (Arc::clone(&up), Arc::clone(&most));
    let refresher = move |request: RefreshRequest| {
        let (issuer, up, most) = (behind.clone(), Arc::clone(&counted), Arc::clone(&highest));
        async move {
            most.fetch_max(up.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let tokens = issuer.refresh(request).await;
            up.fetch_sub(1, Ordering::SeqCst);
            tokens
        }
    };
    let sessions = Sessions::builder(refresher).clock(VirtualClock::start()).most_refreshes_at_once(7).build();
    for nth in 0..100 {
        sessions.session(user(nth)).login(issuer.login(&user(nth))).await.unwrap();
    }
    let begun = Instant::now();
    let mut crowd = JoinSet::new();
    for nth in 0..100 {
        let session = sessions.session(user(nth));
        crowd.spawn(async move { session.refresh().await.unwrap() });
    }
    crowd.join_all().await;
    println!("figure: refreshes_at_once = {} calls", most.load(Ordering::SeqCst));
    assert_eq!(most.load(Ordering::SeqCst), 7);
    assert_eq!(begun.elapsed(), Duration::from_millis(100 * 100_u64.div_ceil(7)), "and no turn is left unused");
}

#[tokio::test(start_paused = true)]
async fn one_finds_out_and_the_others_wait_for_that() {
    let world = World::new(Issuer::new());
    for nth in 0..10 {
        world.login(&user(nth)).await;
    }
    world.issuer.fail(RefreshError::unavailable("down").for_every_session().retry_after(5 * SECOND));
    let failed = world.sessions.session(user(0)).refresh().await.unwrap_err();
    assert_eq!(failed.retry_after(), Some(5 * SECOND));
    // Another one gets the same error, and what is left of the pause, without a call.
    sleep(2 * SECOND).await;
    let failed = world.sessions.session(user(1)).refresh().await.unwrap_err();
    assert!(failed.is_transient(), "{failed:?}");
    assert_eq!((failed.retry_after(), world.issuer.calls()), (Some(3 * SECOND), 1));
    // A session whose tokens are good notices nothing.
    assert_eq!(world.get(&user(2)).await.unwrap(), 200);

    sleep(3 * SECOND).await;
    let all = |world: &World| {
        let sessions: Vec<_> = (0..10).map(|nth| world.sessions.session(user(nth))).collect();
        futures_util::future::join_all(sessions.into_iter().map(|session| async move { session.refresh().await }))
    };
    let outcomes = all(&world).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(reqwest_auth_refresh::AuthError::is_transient)));
    assert_eq!(world.issuer.calls(), 2, "one found out for all");
    sleep(6 * SECOND).await;
    world.issuer.recover();
    assert!(all(&world).await.into_iter().all(|outcome| outcome.is_ok()));
    assert_eq!(world.issuer.calls(), 12);
}

#[tokio::test(start_paused = true)]
async fn one_users_ill_grant_is_that_users() {
    let issuer = Issuer::new().with_life(30 * SECOND);
    let behind = issuer.clone();
    let refresher = move |request: RefreshRequest| {
        let issuer = behind.clone();
        async move {
            if request.session().as_str() == "a" {
                return Err(RefreshError::unavailable("500"));
            }
            issuer.refresh(request).await
        }
    };
    let store = BrokenForOne::default();
    let sessions = Sessions::builder(refresher).store(store).clock(VirtualClock::start()).build();
    for user in ["a", "b"] {
        sessions.session(user).login(issuer.login(user)).await.unwrap();
    }
    let client = client(&sessions, Echo::new(&issuer));
    let mut delay = Duration::ZERO;
    for _ in 0..200 {
        let (begun, own) = (Instant::now(), client.clone());
        let ill = tokio::spawn(async move { get(&own, "a").await.is_ok() });
        let broken = get(&client, "broken").await.unwrap_err();
        assert!(broken.is_store() || broken.needs_login(), "{broken:?}");
        assert_eq!(get(&client, "b").await.unwrap(), 200);
        // 20 ms of the API, and now and then 100 ms of the issuer.
        delay = delay.max(begun.elapsed().saturating_sub(Duration::from_millis(120)));
        drop(ill.await);
        sleep(5 * SECOND).await;
    }
    println!("figure: poisoned_user_delay_ms = {} ms", delay.as_millis());
    assert_eq!(delay, Duration::ZERO);
}

/// The record of one session can never be read.
#[derive(Default)]
struct BrokenForOne(MemoryStore);

#[async_trait]
impl TokenStore for BrokenForOne {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        if id.as_str() == "broken" {
            return Err(StoreError::unreadable("no record"));
        }
        self.0.load(id).await
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.0.remove(id).await
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        self.0.swap(id, expected, new).await
    }
}

/// A probe on a runtime that stands still keeps nobody from asking.
#[test]
fn a_probe_that_stands_still_is_followed_by_another() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let refresher = move |_: RefreshRequest| {
        let nth = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match nth {
                0 => Err(RefreshError::unavailable("down").for_every_session()),
                1 => std::future::pending().await,
                _ => Tokens::new("new").map_err(RefreshError::unavailable),
            }
        }
    };
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sessions = Sessions::builder(refresher).attempt_timeout(Duration::from_millis(200)).build();
    let (first, still, last) = (runtime(), runtime(), runtime());
    let session = |id: &str| sessions.session(id);
    first.block_on(async {
        for id in ["a", "b", "c"] {
            session(id).login(Tokens::new(id).unwrap().with_refresh_token("r")).await.unwrap();
        }
        assert!(session("a").refresh().await.is_err());
        sleep(Duration::from_millis(1_050)).await;
    });
    // The probe goes out, and nobody drives it any further.
    still.block_on(async {
        let probe = session("b");
        tokio::spawn(async move { drop(probe.refresh().await) });
        while asked.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
    });
    last.block_on(async {
        sleep(Duration::from_millis(1_300)).await;
        session("c").refresh().await.unwrap();
    });
}
