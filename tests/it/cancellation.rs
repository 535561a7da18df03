//! However many callers go away, and whenever they do: what the issuer gave is not lost.

use std::time::Duration;

use reqwest_auth_refresh::State;
use reqwest_middleware::ClientWithMiddleware;
use tokio::time::{Instant, sleep, timeout};

use crate::gated_world::{World, Worth, client_with, get, status};
use crate::naive::{InOnceCell, UnderMutex};
use crate::torture::{Chance, rounds};

/// How long each leg takes, in virtual milliseconds. The store is read twice: at first, and on board.
const LOAD: u64 = 20;
const LOCK: u64 = 10;
const ASK: u64 = 30;
const ANSWER: u64 = 30;
const SAVE: u64 = 30;
/// From the request's first step to the moment at which the new tokens are saved.
const FLIGHT: u64 = 2 * LOAD + LOCK + ASK + ANSWER + SAVE;

/// What a number of rounds came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    /// A second request could not get a 200.
    lost: usize,
    /// Cancelled when the refresh token was on its way and the new tokens were not saved yet.
    between_sending_and_saving: usize,
}

/// One world after the other, each with a caller that goes away at a random moment of the flight.
async fn cancel(rounds: usize, client_of: impl Fn(&World) -> ClientWithMiddleware) -> Tally {
    let mut chance = Chance::new(1);
    let mut tally = Tally::default();
    for _ in 0..rounds {
        // Hand-written clients learn only from the 401, so everybody does.
        let world = World::of(Worth::Refused).await;
        slow_down(&world);
        let client = client_of(&world);
        let moment = Duration::from_millis(chance.below(FLIGHT));
        if chance.coin() {
            let dropped = timeout(moment, get(&client, "first").send()).await;
            assert!(dropped.is_err(), "it was to be cancelled under way");
        } else {
            let task = tokio::spawn(get(&client, "first").send());
            sleep(moment).await;
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled(), "it was to be cancelled under way");
        }
        tally.between_sending_and_saving += usize::from(world.grant.ask.knocks() > 0 && world.store.saved() == 0);
        sleep(Duration::from_millis(chance.below(FLIGHT))).await;
        tally.lost += usize::from(!matches!(status(get(&client, "second")).await, Ok(200)));
    }
    tally
}

fn slow_down(world: &World) {
    world.store.load.takes(LOAD);
    world.store.lock.takes(LOCK);
    world.grant.ask.takes(ASK);
    world.grant.answer.takes(ANSWER);
    world.store.save.takes(SAVE);
}

/// The same with a session; and what else must hold in each round, beside that nothing is lost.
async fn cancel_sessions(rounds: usize) -> Tally {
    let mut chance = Chance::new(2);
    let mut tally = Tally::default();
    for _ in 0..rounds {
        let worth = if chance.coin() { Worth::Refused } else { Worth::Expired };
        let world = World::of(worth).await;
        slow_down(&world);
        let first = world.get("first");
        let moment = Duration::from_millis(chance.below(FLIGHT));
        let began = Instant::now();
        match chance.below(3) {
            0 => assert!(timeout(moment, first.send()).await.is_err(), "it was to be cancelled under way"),
            1 => {
                let task = tokio::spawn(first.send());
                sleep(moment).await;
                task.abort();
                assert!(task.await.unwrap_err().is_cancelled(), "it was to be cancelled under way");
            }
            // A request's own bound is for who waits, and not for the flight.
            _ => {
                let request = first.timeout(moment.max(Duration::from_millis(LOAD)));
                tokio::select! {
                    _ = request.send() => {}
                    () = sleep(moment) => {}
                }
                sleep(moment.saturating_sub(began.elapsed())).await;
            }
        }
        tally.between_sending_and_saving += usize::from(world.grant.ask.knocks() > 0 && world.store.saved() == 0);
        sleep(Duration::from_millis(chance.below(FLIGHT))).await;
        tally.lost += usize::from(!matches!(status(world.get("second")).await, Ok(200)));
        world.session.flush().await.unwrap();
        assert_eq!((world.issuer.rotations(), world.issuer.reuses()), (1, 0), "one refresh in all");
        let record = world.store.record().await.unwrap();
        assert!(world.issuer.is_newest(record.tokens().unwrap()), "the store holds the newest");
        assert!(!world.store.is_locked());
        assert!(matches!(world.session.state(), State::LoggedIn { saved: true, .. }));
        if worth == Worth::Expired {
            let sent = world.api.log();
            assert_eq!(sent.len(), 1, "what is known to have expired is not sent: {sent:?}");
        }
    }
    tally
}

/// What all of them came to, ours and the hand-written ones.
struct Figures {
    share: usize,
    lost: usize,
    lost_in_once_cell: usize,
    lost_under_mutex: usize,
}

async fn tortured(rounds: usize) -> Figures {
    let ours = cancel(rounds, |world| world.client.clone()).await;
    let also = cancel_sessions(rounds).await;
    let in_once_cell = cancel(rounds, |world| client_with(InOnceCell::of(world), &world.api)).await;
    let under_mutex = cancel(rounds, |world| client_with(UnderMutex::of(world), &world.api)).await;
    let figures = Figures {
        share: (ours.between_sending_and_saving + also.between_sending_and_saving) * 100 / (2 * rounds),
        lost: ours.lost + also.lost,
        lost_in_once_cell: in_once_cell.lost,
        lost_under_mutex: under_mutex.lost,
    };
    assert!(figures.share >= 30, "{} percent", figures.share);
    assert_eq!(figures.lost, 0);
    assert!(figures.lost_in_once_cell > rounds / 10, "the harness catches a OnceCell: {in_once_cell:?}");
    assert!(figures.lost_under_mutex > rounds / 10, "the harness catches a Mutex: {under_mutex:?}");
    figures
}

#[tokio::test(start_paused = true)]
#[ignore = "torture: 10,000 callers cancelled, and the same for each hand-written client"]
async fn ten_thousand_callers_go_away_and_nothing_is_lost() {
    let figures = tortured(rounds(10_000)).await;
    println!("figure: cancel_rounds_between_sending_and_saving_share = {} percent", figures.share);
    println!("figure: cancel_rounds_lost = {} rounds", figures.lost);
    println!("figure: cancel_rounds_lost_oncecell = {} rounds", figures.lost_in_once_cell);
    println!("figure: cancel_rounds_lost_mutex = {} rounds", figures.lost_under_mutex);
}

#[tokio::test(start_paused = true)]
async fn callers_go_away_and_nothing_is_lost() {
    tortured(300).await;
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_goes_away_leaves_one_refresh_behind() {
    let world = World::of(Worth::Refused).await;
    slow_down(&world);
    let crowd: Vec<_> = (0..100).map(|_| tokio::spawn(world.get("crowd").send())).collect();
    sleep(Duration::from_millis(FLIGHT - SAVE - ANSWER / 2)).await;
    assert_eq!(
        (world.issuer.rotations(), world.store.saved()),
        (1, 0),
        "the issuer has rotated, and the answer is due"
    );
    for one in crowd {
        one.abort();
        assert!(one.await.unwrap_err().is_cancelled());
    }
    // Nobody waits any more, and the flight goes on.
    sleep(Duration::from_millis(SAVE + ANSWER)).await;
    assert_eq!((world.issuer.rotations(), world.store.saved()), (1, 1));
    assert!(matches!(world.session.state(), State::LoggedIn { version, saved: true, .. } if version.generation == 1));
    assert_eq!(status(world.get("second")).await.unwrap(), 200);
    assert_eq!(world.issuer.rotations(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_runs_out_of_time_gets_a_typed_error_at_its_bound() {
    let world = World::of(Worth::Refused).await;
    slow_down(&world);
    world.session.access_token().await.unwrap();
    let began = Instant::now();
    let error = world.get("short").timeout(Duration::from_millis(50)).send().await.unwrap_err();
    let error = reqwest_auth_refresh::AuthError::find(&error).unwrap();
    assert!(error.is_timeout() && error.is_transient(), "{error:?}");
    assert_eq!(error.status().map(|status| status.as_u16()), Some(401));
    assert_eq!(began.elapsed(), Duration::from_millis(50));
    assert_eq!(status(world.get("next")).await.unwrap(), 200);
    assert_eq!((world.issuer.rotations(), world.issuer.reuses()), (1, 0));
}
