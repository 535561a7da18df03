//! Whatever fails, hangs or panics, wherever: every waiter ends within its bound, nothing is lost, and the next request works.

use std::pin::Pin;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use reqwest_auth_refresh::{AuthError, RequestBuilderExt, SessionBuilder};
use reqwest_middleware::RequestBuilder;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep, timeout};

use crate::gated_world::{CLIENT_TIMEOUT, Door, FIRST, Gate, Sent, World, Worth, auth_error, status};
use crate::support::until;

/// The bound of those who have none of their own.
const WAIT: Duration = Duration::from_secs(75);
/// The longest that the response of a request is held back for the early refresh that it began.
const EARLY_WAIT: Duration = Duration::from_secs(2);

/// One setting of all gates.
#[derive(Debug, Clone, Copy)]
struct Gates {
    load: Gate,
    refresh: Gate,
    save: Gate,
    lock: Gate,
    send: Gate,
}

impl Gates {
    const OPEN: Self = Self { load: Gate::Ok, refresh: Gate::Ok, save: Gate::Ok, lock: Gate::Ok, send: Gate::Ok };

    fn all() -> impl Iterator<Item = Self> {
        let each = || Gate::ALL.into_iter();
        each().flat_map(move |load| {
            each().flat_map(move |refresh| {
                each().flat_map(move |save| {
                    each().flat_map(move |lock| each().map(move |send| Self { load, refresh, save, lock, send }))
                })
            })
        })
    }

    fn of(self, leg: Leg) -> Gate {
        match leg {
            Leg::Load => self.load,
            Leg::Refresh => self.refresh,
            Leg::Save => self.save,
            Leg::Lock => self.lock,
            Leg::Send => self.send,
        }
    }

    fn set(self, world: &World) {
        for leg in Leg::ALL {
            leg.door(world).set(self.of(leg));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leg {
    Load,
    Refresh,
    Save,
    Lock,
    Send,
}

impl Leg {
    const ALL: [Self; 5] = [Self::Load, Self::Refresh, Self::Save, Self::Lock, Self::Send];

    fn door(self, world: &World) -> &Door {
        match self {
            Self::Load => &world.store.load,
            Self::Refresh => &world.grant.ask,
            Self::Save => &world.store.save,
            Self::Lock => &world.store.lock,
            Self::Send => &world.api.send,
        }
    }
}

/// A leg that is not reached when other gates stand so: of the five combinations that differ in its gate alone, four cannot
/// be, and the one with that gate open is the case.
struct Unreached {
    leg: Leg,
    when: fn(Gates) -> bool,
    why: &'static str,
}

/// How a case begins.
struct Beginning {
    world: Begin,
    waiters: fn(&World) -> Vec<Waiter>,
    unreached: &'static [Unreached],
}

type Begin = fn() -> Pin<Box<dyn Future<Output = World> + Send>>;

/// Nobody has read the store, which holds tokens that the API refuses, and the rules are the default ones.
const COLD: Beginning = Beginning {
    world: || Box::pin(World::of(Worth::Refused)),
    waiters: |world| {
        vec![
            Waiter::request(world, "0", Some(20), |request| request),
            Waiter::request(world, "1", None, |request| request),
            Waiter::request(world, "2", Some(3), RequestBuilderExt::send_once),
            Waiter::token(world),
            Waiter::refresh(world),
        ]
    },
    unreached: &[
        Unreached {
            leg: Leg::Lock,
            when: |gates| !gates.load.lets_pass(),
            why: "before the store was read there is nothing to refresh",
        },
        Unreached {
            leg: Leg::Send,
            when: |gates| !gates.load.lets_pass(),
            why: "before the store was read it is not known whether to sign, and how",
        },
        Unreached {
            leg: Leg::Refresh,
            when: |gates| !gates.load.lets_pass() || !gates.lock.lets_pass(),
            why: "a store that others may see is locked and read before the refresh token in it is spent",
        },
        Unreached {
            leg: Leg::Save,
            when: |gates| !gates.load.lets_pass() || !gates.lock.lets_pass() || !gates.refresh.lets_pass(),
            why: "what was read is stored already, so there is only something to save when new tokens came",
        },
    ],
};

/// A login is in memory whose tokens are due and could not be saved yet, over an older login in the store; and the program
/// said that it refreshes without the lock.
const DIRTY: Beginning = Beginning {
    world: || {
        Box::pin(async {
            let world = World::empty(SessionBuilder::refresh_without_lock);
            world.store.put(FIRST, world.tokens("old", Worth::Good)).await;
            world.store.save.set(Gate::Err);
            assert!(world.session.login(world.tokens("a", Worth::Due)).await.unwrap_err().is_store());
            world
        })
    },
    waiters: |world| {
        vec![
            Waiter::request(world, "0", Some(20), |request| request),
            Waiter::request(world, "1", None, |request| request),
            Waiter::request(world, "2", None, RequestBuilderExt::send_once),
            Waiter::request(world, "3", Some(12), RequestBuilderExt::refresh_first),
            Waiter::token(world),
            Waiter::refresh(world),
        ]
    },
    unreached: &[Unreached {
        leg: Leg::Save,
        when: |gates| !gates.load.lets_pass() && !gates.refresh.lets_pass(),
        why: "nothing is written over what was not read, unless new tokens came",
    }],
};

impl Beginning {
    /// Whether these gates make a case.
    fn is_possible(&self, gates: Gates) -> bool {
        Leg::ALL.into_iter().all(|leg| gates.of(leg) == Gate::Ok || self.unreached(leg, gates).is_none())
    }

    /// Why this leg is not reached under these gates, if it is not.
    fn unreached(&self, leg: Leg, gates: Gates) -> Option<&'static str> {
        let unreached = self.unreached.iter().find(|unreached| unreached.leg == leg && (unreached.when)(gates));
        unreached.map(|unreached| unreached.why)
    }

    /// Plays one case to its end.
    async fn play(&self, gates: Gates, writes_all_the_same: bool) {
        let case = format!("{gates:?}, written all the same: {writes_all_the_same}");
        let world = (self.world)().await;
        world.store.writes_all_the_same.store(writes_all_the_same, SeqCst);
        let before = Leg::ALL.map(|leg| leg.door(&world).knocks());
        gates.set(&world);
        let waiters = (self.waiters)(&world);
        let ten_minutes = Duration::from_secs(600);
        for waiter in waiters {
            timeout(ten_minutes, waiter.ends(&world, gates)).await.unwrap_or_else(|_| panic!("it hangs: {case}"));
        }
        // What is tried again later is under the same gates for a while.
        sleep(Duration::from_secs(20)).await;
        for (leg, before) in Leg::ALL.into_iter().zip(before) {
            let reached = leg.door(&world).knocks() > before;
            let why = self.unreached(leg, gates);
            assert_eq!(reached, why.is_none(), "whether {leg:?} is reached, {why:?}: {case}");
        }

        Gates::OPEN.set(&world);
        // Longer than any rest.
        sleep(Duration::from_secs(61)).await;
        let began = Instant::now();
        assert_eq!(status(world.get("next")).await.unwrap_or_else(|error| panic!("{error:?}: {case}")), 200, "{case}");
        assert_eq!(began.elapsed(), Duration::ZERO, "{case}");
        world.assert_logged_in("a").await;
        assert_eq!(world.issuer.reuses(), 0, "{case}");
        assert!(!world.store.is_locked(), "{case}");
        world.session.flush().await.unwrap();
        world.session.login(world.tokens("b", Worth::Good)).await.unwrap();
        assert_eq!(status(world.get("b")).await.unwrap(), 200, "{case}");
        world.assert_logged_in("b").await;
    }
}

/// Somebody who waits, since when, and until when at the latest.
struct Waiter {
    since: Instant,
    kind: Kind,
}

enum Kind {
    Request { tag: &'static str, bound: Option<Duration>, ended: Ended<reqwest_middleware::Result<u16>> },
    Call(Ended<Result<(), AuthError>>),
}

/// What a task came to, and when.
type Ended<T> = JoinHandle<(Result<T, JoinError>, Instant)>;

fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Ended<T> {
    let task = tokio::spawn(future);
    tokio::spawn(async { (task.await, Instant::now()) })
}

impl Waiter {
    fn request(
        world: &World,
        tag: &'static str,
        bound: Option<u64>,
        set: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Self {
        let bound = bound.map(Duration::from_secs);
        let request = set(world.get(tag));
        let request = if let Some(bound) = bound { request.timeout(bound) } else { request };
        Self::since_now(Kind::Request { tag, bound, ended: spawn(status(request)) })
    }

    fn token(world: &World) -> Self {
        let session = world.session.clone();
        Self::since_now(Kind::Call(spawn(async move { session.access_token().await.map(drop) })))
    }

    fn refresh(world: &World) -> Self {
        let session = world.session.clone();
        Self::since_now(Kind::Call(spawn(async move { session.refresh().await })))
    }

    fn since_now(kind: Kind) -> Self {
        Self { since: Instant::now(), kind }
    }

    /// It ends, each of its waits within its bound, and with an error that says what happened if there is one.
    async fn ends(self, world: &World, gates: Gates) {
        match self.kind {
            Kind::Call(ended) => {
                let (result, at) = ended.await.unwrap();
                drop(result.expect("no panic comes through"));
                assert!(at - self.since <= WAIT, "{gates:?}");
            }
            Kind::Request { tag, bound, ended } => {
                let (result, at) = ended.await.unwrap();
                let sent: Vec<_> = world.api.log().into_iter().filter(|sent| sent.tag == tag).collect();
                match result {
                    Err(panicked) => assert!(panicked.is_panic() && gates.send == Gate::Panic, "{gates:?}"),
                    Ok(Ok(status)) => assert!(status == 200 || tag == "2" && status == 401, "{status} {gates:?}"),
                    Ok(Err(error)) => assert!(
                        AuthError::find(&error).is_some() || matches!(gates.send, Gate::Err | Gate::Never),
                        "{error:?} {gates:?}"
                    ),
                }
                for waited in waits(self.since, &sent, at) {
                    assert!(waited <= bound.unwrap_or(WAIT), "{waited:?} {sent:?} {gates:?}");
                }
                for sent in &sent {
                    let took = sent.ended.map_or(Duration::ZERO, |ended| ended - sent.began);
                    assert!(took <= bound.unwrap_or(CLIENT_TIMEOUT), "{sent:?} {gates:?}");
                }
            }
        }
    }
}

/// How long a request waited for tokens: before each sending, and after the last one.
fn waits(since: Instant, sent: &[Sent], until: Instant) -> Vec<Duration> {
    let mut waits = Vec::new();
    let mut since = since;
    for sent in sent {
        waits.push(sent.began - since);
        since = sent.ended.unwrap_or(sent.began);
    }
    let held_back = if sent.is_empty() { Duration::ZERO } else { EARLY_WAIT };
    waits.push((until - since).saturating_sub(held_back));
    waits
}

async fn play_all(beginning: &Beginning, writes_all_the_same: bool) -> usize {
    let mut cases = 0;
    for gates in Gates::all().filter(|gates| beginning.is_possible(*gates)) {
        if writes_all_the_same && gates.save.lets_pass() {
            continue;
        }
        beginning.play(gates, writes_all_the_same).await;
        cases += 1;
    }
    cases
}

/// Prints what cannot be, and why; returns how many combinations that are.
fn impossible(beginning: &Beginning) -> usize {
    for Unreached { leg, when, why } in beginning.unreached {
        let combinations = Gates::all().filter(|gates| gates.of(*leg) != Gate::Ok && when(*gates)).count();
        println!("not reached in {combinations} combinations: {leg:?}, since {why}");
    }
    Gates::all().filter(|gates| !beginning.is_possible(*gates)).count()
}

#[tokio::test(start_paused = true)]
async fn every_combination_of_gates_over_an_unsaved_login() {
    let cases = play_all(&DIRTY, false).await;
    println!("figure: gate_cases = {cases} cases");
    assert_eq!((cases, impossible(&DIRTY)), (2225, 900));
}

#[tokio::test(start_paused = true)]
async fn every_combination_of_gates_over_an_unread_store() {
    let cases = play_all(&COLD, false).await;
    println!("figure: gate_cases_unread = {cases} cases");
    assert_eq!((cases, impossible(&COLD)), (293, 2832));
}

#[tokio::test(start_paused = true)]
async fn every_combination_of_gates_where_a_save_that_failed_was_written_all_the_same() {
    let cases = play_all(&DIRTY, true).await + play_all(&COLD, true).await;
    println!("figure: gate_cases_written_all_the_same = {cases} cases");
    assert_eq!(cases, 1200 + 120);
}

#[tokio::test(start_paused = true)]
async fn a_login_does_not_wait_for_what_hangs() {
    // What hangs, and after how long the login has ended.
    for (leg, seconds, saved) in
        [(Leg::Refresh, 0, true), (Leg::Lock, 0, true), (Leg::Load, 0, true), (Leg::Save, 0, true)]
    {
        let world = World::of(Worth::Refused).await;
        world.session.access_token().await.unwrap();
        leg.door(&world).set(Gate::Never);
        let knocks = leg.door(&world).knocks();
        let waiting = tokio::spawn(status(world.get("a")));
        until(format!("a knock at {leg:?}"), || leg.door(&world).knocks() > knocks).await;
        leg.door(&world).set(Gate::Ok);
        let began = Instant::now();
        let login = world.session.login(world.tokens("b", Worth::Good)).await;
        assert_eq!(began.elapsed(), Duration::from_secs(seconds), "{leg:?}");
        assert!(if saved { login.is_ok() } else { login.unwrap_err().is_store() }, "{leg:?}");
        assert!(auth_error(waiting.await.unwrap()).is_logged_out());
        assert_eq!(status(world.get("b")).await.unwrap(), 200);
        sleep(Duration::from_secs(40)).await;
        world.assert_logged_in("b").await;
        assert!(!world.store.is_locked());
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_into_a_store_that_hangs_ends_within_the_bound_of_a_save() {
    for (leg, seconds) in [(Leg::Load, 5), (Leg::Save, 10), (Leg::Lock, 0), (Leg::Refresh, 0)] {
        let world = World::of(Worth::Refused).await;
        world.session.access_token().await.unwrap();
        leg.door(&world).set(Gate::Never);
        let waiting = tokio::spawn(status(world.get("a")));
        tokio::task::yield_now().await;
        let began = Instant::now();
        let login = world.session.login(world.tokens("b", Worth::Good)).await;
        assert_eq!(began.elapsed(), Duration::from_secs(seconds), "{leg:?}");
        assert_eq!(login.is_err_and(|error| error.is_store()), seconds > 0, "{leg:?}");
        assert!(auth_error(waiting.await.unwrap()).is_logged_out());
        assert_eq!(status(world.get("b")).await.unwrap(), 200);
    }
}
