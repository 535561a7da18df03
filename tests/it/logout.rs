//! A logout wins, and so does another login: what was begun before neither comes back nor goes on under somebody else.

use std::time::Duration;

use futures_util::FutureExt;
use reqwest_auth_refresh::{AuthError, Ending, Revocation, State, Tokens};
use secrecy::ExposeSecret;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use crate::gated_world::{Gate, World, Worth, client_with, get, status};
use crate::naive::Unfenced;
use crate::torture::{Chance, rounds};
use crate::virtual_issuer::user_of;

/// How long each leg takes, in virtual milliseconds.
const LOAD: u64 = 20;
const LOCK: u64 = 10;
const ASK: u64 = 30;
const ANSWER: u64 = 30;
const SAVE: u64 = 30;
/// From an unauthorized answer to the moment at which the new tokens are saved.
const FLIGHT: u64 = LOCK + LOAD + ASK + ANSWER + SAVE;

fn slow_down(world: &World) {
    world.store.load.takes(LOAD);
    world.store.lock.takes(LOCK);
    world.grant.ask.takes(ASK);
    world.grant.answer.takes(ANSWER);
    world.store.save.takes(SAVE);
}

/// A world whose session has read its tokens, which the API refuses, and that is slow from now on.
async fn slow_world() -> World {
    let world = World::of(Worth::Refused).await;
    world.session.access_token().await.unwrap();
    slow_down(&world);
    world
}

async fn after(milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds)).await;
}

fn refresh_token(tokens: &Tokens) -> &str {
    tokens.refresh_token().unwrap().expose_secret()
}

fn is_logged_out(result: &reqwest_middleware::Result<u16>) -> bool {
    result.as_ref().is_err_and(|error| AuthError::find(error).is_some_and(AuthError::is_logged_out))
}

async fn assert_tombstone(world: &World) {
    let record = world.store.record().await.unwrap();
    assert_eq!(record.ending(), Some(&Ending::LoggedOut), "{record:?}");
    assert!(matches!(world.session.state(), State::LoggedOut { .. }), "{:?}", world.session.state());
}

/// Who keeps the tokens in a round of the torture.
enum Keeper {
    Fenced,
    Unfenced(Unfenced),
}

/// What a number of rounds came to.
#[derive(Debug, Default)]
struct Tally {
    /// The old login was back at the end, in memory or in the store.
    resurrected: usize,
    /// Requests sent with tokens of another login than the one they were begun under.
    foreign: usize,
}

/// One world after the other, in each of which somebody logs out or another one logs in at a random moment of a flight.
async fn change_logins(rounds: usize, fenced: bool) -> Tally {
    let mut chance = Chance::new(3);
    let mut tally = Tally::default();
    for _ in 0..rounds {
        let world = World::of(Worth::Refused).await;
        slow_down(&world);
        let (keeper, client) = if fenced {
            (Keeper::Fenced, world.client.clone())
        } else {
            let unfenced = Unfenced::of(&world);
            (Keeper::Unfenced(unfenced.clone()), client_with(unfenced, &world.api))
        };
        let loads = chance.coin();
        if !loads {
            match &keeper {
                Keeper::Fenced => drop(world.session.access_token().await.unwrap()),
                Keeper::Unfenced(unfenced) => unfenced.load().await,
            }
        }
        let mut requests: Vec<_> = (0..3).map(|_| tokio::spawn(status(get(&client, "a")))).collect();
        let moment = chance.below(FLIGHT + if loads { LOAD } else { 0 });
        let late = chance.below(moment + 1);
        after(late).await;
        requests.push(tokio::spawn(status(get(&client, "a"))));
        after(moment - late).await;

        let logs_in = chance.coin();
        let under_way = change(&world, &keeper, logs_in.then(|| world.tokens("b", Worth::Good)));
        yield_now().await;
        while !logs_in && !keeper.is_out(&world) {
            // What is to be revoked is still being read.
            after(1).await;
        }
        let tag = if logs_in { "b" } else { "nobody" };
        let later: Vec<_> = (0..2).map(|_| tokio::spawn(status(get(&client, tag)))).collect();
        for request in requests {
            let result = request.await.unwrap();
            if fenced {
                assert!(matches!(result, Ok(200)) || is_logged_out(&result), "{result:?}");
            }
        }
        for request in later {
            let result = request.await.unwrap();
            if fenced {
                assert_eq!(result.unwrap(), if logs_in { 200 } else { 401 });
            }
        }
        under_way.await.unwrap();
        after(5 * FLIGHT).await;

        tally.resurrected += usize::from(keeper.is_resurrected(&world, logs_in).await);
        for sent in world.api.log() {
            let user = sent.token.as_deref().map(user_of);
            tally.foreign += usize::from(user.is_some_and(|user| user != sent.tag));
        }
        if fenced {
            assert_eq!(world.issuer.reuses(), 0);
            assert!(logs_in || world.issuer.living() == 0, "no refresh token outlives a logout");
            assert!(!world.store.is_locked());
        }
    }
    tally
}

/// Logs in with these tokens, or out.
fn change(world: &World, keeper: &Keeper, login: Option<Tokens>) -> tokio::task::JoinHandle<()> {
    let session = world.session.clone();
    match (keeper, login) {
        (Keeper::Fenced, Some(tokens)) => tokio::spawn(async move { session.login(tokens).await.unwrap() }),
        (Keeper::Fenced, None) => tokio::spawn(async move { drop(session.logout().await.unwrap()) }),
        (Keeper::Unfenced(unfenced), login) => {
            let unfenced = unfenced.clone();
            tokio::spawn(async move {
                match login {
                    Some(tokens) => unfenced.login(tokens).await,
                    None => unfenced.logout().await,
                }
            })
        }
    }
}

impl Keeper {
    fn is_out(&self, world: &World) -> bool {
        match self {
            Self::Fenced => matches!(world.session.state(), State::LoggedOut { .. }),
            Self::Unfenced(unfenced) => unfenced.tokens().is_none(),
        }
    }

    async fn is_resurrected(&self, world: &World, logged_in: bool) -> bool {
        let record = world.store.record().await;
        let stored = record.as_ref().and_then(|record| record.tokens());
        let in_memory = match self {
            Self::Fenced => match world.session.access_token().await {
                Ok(token) => Some(token.expose_secret().to_owned()),
                Err(error) => {
                    assert!(error.needs_login(), "{error:?}");
                    None
                }
            },
            Self::Unfenced(unfenced) => {
                unfenced.tokens().map(|tokens| tokens.access_token().unwrap().expose_secret().to_owned())
            }
        };
        let rightful = logged_in.then_some("b");
        stored.map(|tokens| user_of(refresh_token(tokens))) != rightful || in_memory.as_deref().map(user_of) != rightful
    }
}

struct Figures {
    fenced: Tally,
    unfenced: Tally,
}

async fn tortured(rounds: usize) -> Figures {
    let figures = Figures { fenced: change_logins(rounds, true).await, unfenced: change_logins(rounds, false).await };
    assert_eq!((figures.fenced.resurrected, figures.fenced.foreign), (0, 0));
    assert!(figures.unfenced.resurrected > rounds / 100, "the harness catches it: {:?}", figures.unfenced);
    assert!(figures.unfenced.foreign > rounds / 100, "the harness catches it: {:?}", figures.unfenced);
    figures
}

#[tokio::test(start_paused = true)]
#[ignore = "torture: 10,000 logouts and logins of others in mid-flight, and the same without the fence"]
async fn ten_thousand_changes_of_login_and_nothing_comes_back() {
    let Figures { fenced, unfenced } = tortured(rounds(10_000)).await;
    println!("figure: resurrected_sessions = {} sessions", fenced.resurrected);
    println!("figure: foreign_tokens_sent = {} requests", fenced.foreign);
    println!("figure: resurrected_sessions_unfenced = {} sessions", unfenced.resurrected);
    println!("figure: foreign_tokens_sent_unfenced = {} requests", unfenced.foreign);
}

#[tokio::test(start_paused = true)]
async fn logins_change_in_mid_flight_and_nothing_comes_back() {
    tortured(400).await;
}

#[tokio::test(start_paused = true)]
async fn logout_during_the_first_load() {
    let world = World::of(Worth::Good).await;
    slow_down(&world);
    let waiting = tokio::spawn(status(world.get("a")));
    after(LOAD / 2).await;
    let report = world.session.logout().await.unwrap();
    assert_eq!(report.revocation.unwrap(), Revocation::Revoked);
    let waited = waiting.await.unwrap();
    assert!(matches!(waited, Ok(200)) || is_logged_out(&waited), "{waited:?}");
    assert_tombstone(&world).await;
    assert_eq!(world.issuer.revoked(), ["refresh.a.0.0"]);
    assert_eq!(world.issuer.living(), 0);
    assert_eq!(status(world.get("nobody")).await.unwrap(), 401);
    assert_eq!(world.api.log().last().unwrap().token, None);
}

#[tokio::test(start_paused = true)]
async fn another_login_during_the_first_load_ends_what_was_begun_before_it() {
    let world = World::of(Worth::Good).await;
    slow_down(&world);
    let waiting = [
        tokio::spawn(status(world.get("before"))),
        tokio::spawn(status(reqwest_auth_refresh::RequestBuilderExt::send_once(world.get("before")))),
    ];
    let token = tokio::spawn({
        let session = world.session.clone();
        async move { session.access_token().await }
    });
    after(LOAD / 2).await;
    world.session.login(world.tokens("b", Worth::Good)).await.unwrap();
    for waiting in waiting {
        assert!(is_logged_out(&waiting.await.unwrap()));
    }
    assert!(token.await.unwrap().unwrap_err().is_logged_out());
    assert_eq!(world.api.log().len(), 0);
    assert_eq!(status(world.get("b")).await.unwrap(), 200);
    world.assert_logged_in("b").await;
}

#[tokio::test(start_paused = true)]
async fn logout_while_the_issuer_answers() {
    let world = slow_world().await;
    let waiting = tokio::spawn(status(world.get("a")));
    after(LOCK + LOAD + ASK + ANSWER / 2).await;
    assert_eq!(world.issuer.rotations(), 1);
    let report = world.session.logout().await.unwrap();
    assert_eq!(report.revocation.unwrap(), Revocation::Revoked);
    assert!(is_logged_out(&waiting.await.unwrap()));
    after(FLIGHT).await;
    assert_tombstone(&world).await;
    assert_eq!(
        world.issuer.revoked(),
        ["refresh.a.0.0", "refresh.a.0.1"],
        "what was logged out, and what landed later"
    );
    assert_eq!(world.issuer.living(), 0);
    assert_eq!(world.store.saved(), 1, "only the tombstone was written");
    assert_eq!(world.api.log().len(), 1, "nothing was sent again");
}

#[tokio::test(start_paused = true)]
async fn logout_while_the_new_tokens_are_saved() {
    for (gate, saved) in [(Gate::Slow, 2), (Gate::Err, 1), (Gate::Panic, 1), (Gate::Never, 1)] {
        let world = slow_world().await;
        let waiting = tokio::spawn(status(world.get("a")));
        after(FLIGHT - SAVE - 1).await;
        // The new tokens are about to be written, one way or another.
        world.store.save.set(gate);
        after(2).await;
        let logout = tokio::spawn({
            let session = world.session.clone();
            async move { session.logout().await }
        });
        yield_now().await;
        world.store.save.set(Gate::Slow);
        assert_eq!(logout.await.unwrap().unwrap().revocation.unwrap(), Revocation::Revoked);
        let waited = waiting.await.unwrap();
        match gate {
            // Saving has failed before the logout: the new tokens were in use.
            Gate::Err | Gate::Panic => assert_eq!(waited.unwrap(), 200),
            Gate::Ok | Gate::Slow | Gate::Never => assert!(is_logged_out(&waited), "{gate:?} {waited:?}"),
        }
        after(20_000).await;
        assert_tombstone(&world).await;
        assert_eq!(world.store.saved(), saved, "{gate:?}");
        let mut revoked = world.issuer.revoked();
        revoked.sort();
        assert_eq!(revoked.last().map(String::as_str), Some("refresh.a.0.1"), "{gate:?} {revoked:?}");
        assert_eq!(world.issuer.living(), 0, "{gate:?}");
        assert!(!world.store.is_locked());
    }
}

#[tokio::test(start_paused = true)]
async fn another_login_while_the_new_tokens_are_saved() {
    let world = slow_world().await;
    let waiting = tokio::spawn(status(world.get("a")));
    after(FLIGHT - SAVE / 2).await;
    assert_eq!((world.issuer.rotations(), world.store.saved()), (1, 0));
    world.session.login(world.tokens("b", Worth::Good)).await.unwrap();
    assert!(is_logged_out(&waiting.await.unwrap()));
    after(FLIGHT).await;
    world.assert_logged_in("b").await;
    assert_eq!(world.store.saved(), 2, "the old login's tokens, and then the new one's over them");
    assert!(world.issuer.revoked().is_empty(), "another login may be the same grant's, so nothing is revoked");
    assert_eq!(status(world.get("b")).await.unwrap(), 200);
}

#[tokio::test(start_paused = true)]
async fn another_login_while_the_issuer_answers() {
    let world = slow_world().await;
    let waiting = tokio::spawn(status(world.get("a")));
    after(LOCK + LOAD + ASK + ANSWER / 2).await;
    world.session.login(world.tokens("b", Worth::Good)).await.unwrap();
    assert!(is_logged_out(&waiting.await.unwrap()));
    after(FLIGHT).await;
    world.assert_logged_in("b").await;
    assert_eq!(world.store.saved(), 1, "what landed was written nowhere");
    assert!(world.issuer.revoked().is_empty());
    assert!(!world.store.is_locked());
}

#[tokio::test(start_paused = true)]
async fn of_two_logins_at_once_the_later_wins() {
    for pause in [0, LOAD / 2, LOAD + SAVE / 2] {
        let world = World::empty(|session| session);
        slow_down(&world);
        let earlier = tokio::spawn({
            let (session, tokens) = (world.session.clone(), world.tokens("a", Worth::Good));
            async move { session.login(tokens).await }
        });
        yield_now().await;
        after(pause).await;
        let request = tokio::spawn(status(world.get("a")));
        yield_now().await;
        world.session.login(world.tokens("b", Worth::Good)).await.unwrap();
        let error = earlier.await.unwrap().unwrap_err();
        assert!(error.is_logged_out(), "{pause} {error:?}");
        assert!(is_logged_out(&request.await.unwrap()));
        after(FLIGHT).await;
        world.assert_logged_in("b").await;
        assert_eq!(status(world.get("b")).await.unwrap(), 200);
        assert_eq!(world.api.log().len(), 1, "the earlier login's tokens were given to nobody");
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_whose_save_hangs_keeps_no_later_one_from_being_saved() {
    let world = World::empty(|session| session);
    world.store.save.set(Gate::Never);
    let login = |user| {
        let (session, tokens) = (world.session.clone(), world.tokens(user, Worth::Good));
        tokio::spawn(async move { session.login(tokens).await })
    };
    let hangs = login("a");
    after(1).await;
    world.store.save.set(Gate::Ok);
    login("b").await.unwrap().unwrap();
    world.assert_logged_in("b").await;
    assert!(hangs.await.unwrap().unwrap_err().is_logged_out());
    login("c").await.unwrap().unwrap();
    world.assert_logged_in("c").await;
    assert_eq!((world.store.save.knocks(), world.store.saved()), (3, 2), "the one that hung, and the later two");
}

#[tokio::test(start_paused = true)]
async fn logout_while_a_login_is_saved() {
    let world = World::empty(|session| session);
    slow_down(&world);
    let login = tokio::spawn({
        let (session, tokens) = (world.session.clone(), world.tokens("a", Worth::Good));
        async move { session.login(tokens).await }
    });
    after(LOAD + SAVE / 2).await;
    let report = world.session.logout().await.unwrap();
    assert_eq!(report.revocation.unwrap(), Revocation::Revoked);
    assert!(login.await.unwrap().unwrap_err().is_logged_out());
    after(FLIGHT).await;
    assert_tombstone(&world).await;
    assert_eq!(world.issuer.revoked(), ["refresh.a.0.0"]);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_follows_a_logout_at_once_stands() {
    let world = slow_world().await;
    let logout = tokio::spawn({
        let session = world.session.clone();
        async move { session.logout().await }
    });
    yield_now().await;
    world.session.login(world.tokens("b", Worth::Good)).await.unwrap();
    assert_eq!(logout.await.unwrap().unwrap().revocation.unwrap(), Revocation::Revoked);
    after(FLIGHT).await;
    world.assert_logged_in("b").await;
    assert_eq!(world.issuer.revoked(), ["refresh.a.0.0"]);
}

#[tokio::test(start_paused = true)]
async fn logout_of_a_session_that_nobody_has_used_ends_the_stored_login() {
    for worth in [Worth::Good, Worth::Due, Worth::Expired] {
        let world = World::of(worth).await;
        let report = world.session.logout().await.unwrap();
        assert_eq!(report.revocation.unwrap(), Revocation::Revoked);
        assert_tombstone(&world).await;
        assert_eq!(world.issuer.revoked(), ["refresh.a.0.0"]);
        assert_eq!(world.issuer.rotations(), 0, "nothing is refreshed to be logged out");

        let next = world.next_run();
        assert!(next.session.access_token().await.unwrap_err().needs_login());
        assert!(matches!(next.session.state(), State::LoggedOut { .. }));
        assert_eq!(status(next.get("nobody")).await.unwrap(), 401);
        assert_eq!(next.api.log().last().unwrap().token, None);
        assert_eq!(world.grant.ask.knocks(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn logout_of_a_session_whose_store_cannot_be_read_stands() {
    for gate in [Gate::Err, Gate::Never, Gate::Panic] {
        let world = World::of(Worth::Good).await;
        world.store.load.set(gate);
        let error = world.session.logout().await.unwrap_err();
        assert!(error.is_store(), "{gate:?} {error:?}");
        assert!(matches!(world.session.state(), State::LoggedOut { .. }));
        world.store.load.set(Gate::Ok);
        after(2_000).await;
        assert_tombstone(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_that_fails_does_not_keep_anyone_logged_in() {
    for gate in [Gate::Err, Gate::Never, Gate::Panic] {
        let world = World::of(Worth::Good).await;
        world.grant.revoke.set(gate);
        let began = Instant::now();
        let error = world.session.logout().await.unwrap().revocation.unwrap_err();
        assert!(error.is_transient(), "{gate:?} {error:?}");
        assert_eq!(began.elapsed(), Duration::from_secs(if gate == Gate::Never { 10 } else { 0 }));
        assert_eq!(world.grant.revoke.knocks(), 1);
        assert_tombstone(&world).await;
        assert_eq!(status(world.get("nobody")).await.unwrap(), 401);
    }
}

#[tokio::test(start_paused = true)]
async fn a_logout_with_nobody_logged_in_does_nothing() {
    let world = World::empty(|session| session);
    assert_eq!(world.session.logout().await.unwrap().revocation.unwrap(), Revocation::NotConfigured);
    assert!(world.store.record().await.is_none());
    assert_eq!((world.grant.revoke.knocks(), world.store.save.knocks()), (0, 0));
    assert_eq!(world.session.state(), State::Nobody);
}

#[tokio::test(start_paused = true)]
async fn a_second_logout_finds_nothing_to_revoke() {
    let world = World::of(Worth::Good).await;
    assert_eq!(world.session.logout().await.unwrap().revocation.unwrap(), Revocation::Revoked);
    assert_eq!(world.session.logout().await.unwrap().revocation.unwrap(), Revocation::NotConfigured);
    assert_eq!(world.grant.revoke.knocks(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_login_dropped_after_its_first_step_happens_and_is_saved() {
    for worth in [None, Some(Worth::Good), Some(Worth::Refused)] {
        let world = match worth {
            Some(worth) => World::of(worth).await,
            None => World::empty(|session| session),
        };
        slow_down(&world);
        if worth == Some(Worth::Refused) {
            world.session.access_token().await.unwrap();
            drop(tokio::spawn(status(world.get("a"))));
            after(FLIGHT / 2).await;
        }
        assert!(world.session.login(world.tokens("b", Worth::Good)).now_or_never().is_none());
        assert_eq!(status(world.get("b")).await.unwrap(), 200);
        after(FLIGHT).await;
        world.assert_logged_in("b").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_logout_dropped_after_its_first_step_happens_and_is_saved_and_told() {
    for loaded in [true, false] {
        let world = World::of(Worth::Good).await;
        slow_down(&world);
        world.grant.revoke.takes(ASK);
        if loaded {
            world.session.access_token().await.unwrap();
        }
        assert!(world.session.logout().now_or_never().is_none());
        after(FLIGHT).await;
        assert_tombstone(&world).await;
        assert_eq!(world.issuer.revoked(), ["refresh.a.0.0"]);
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_of_a_new_login_are_given_out_when_their_save_has_ended_or_failed() {
    // How the save ends, and when its tokens are first sent.
    for (gate, milliseconds) in
        [(Gate::Slow, LOAD + SAVE), (Gate::Err, LOAD), (Gate::Panic, LOAD), (Gate::Never, LOAD + 10_000)]
    {
        let world = World::empty(|session| session);
        slow_down(&world);
        world.store.save.set(gate);
        let began = Instant::now();
        let login = tokio::spawn({
            let (session, tokens) = (world.session.clone(), world.tokens("b", Worth::Good));
            async move { session.login(tokens).await }
        });
        yield_now().await;
        let (request, token) = tokio::join!(status(world.get("b")), world.session.access_token());
        assert_eq!((request.unwrap(), user_of(token.unwrap().expose_secret())), (200, "b"));
        assert_eq!(world.api.log()[0].began - began, Duration::from_millis(milliseconds), "{gate:?}");
        let login = login.await.unwrap();
        assert!(if gate == Gate::Slow { login.is_ok() } else { login.unwrap_err().is_store() }, "{gate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_logout_that_was_not_stored_is_not_done_when_it_is_called_again() {
    let world = World::of(Worth::Good).await;
    world.session.access_token().await.unwrap();
    world.store.save.set(Gate::Err);
    for _ in 0..3 {
        assert!(world.session.logout().await.unwrap_err().is_store());
    }
    world.store.save.set(Gate::Ok);
    world.session.logout().await.unwrap();
    assert_tombstone(&world).await;
}
