//! Calls to a keyring: off the runtime, one at a time, and never waited for too long.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use keyring_core::CredentialStore;
use tokio::sync::{Semaphore, oneshot};

use crate::platform::{self, drop_quietly};
use crate::store::error::StoreError;
use crate::store::keyring::native::native;

/// After so long a call is given up, and the next one is made beside it: the service may have been replaced, and an answer
/// of the old one will never come. A person who is asked for a password has as long as this.
const PATIENCE: Duration = Duration::from_secs(120);

/// So many calls are given up at most, of those that have not come back. Each leaves a thread that stands still, perhaps for ever.
const GIVEN_UP: u32 = 3;

/// How a keyring is reached.
type Connect = dyn Fn() -> keyring_core::Result<Arc<CredentialStore>> + Send + Sync;

/// A keyring whose turn it is, and that is not reached before it is needed.
pub(crate) struct Keyring<'a>(&'a Connect);

impl Keyring<'_> {
    pub(crate) fn connect(&self) -> Result<Arc<CredentialStore>, StoreError> {
        (self.0)().map_err(|error| of(&error))
    }
}

/// A keyring, and whose turn it is.
///
/// Each call connects anew: there are one or two of them in the life of a program, and a connection that is kept outlives
/// the service at its other end.
pub(crate) struct Turns {
    connect: Box<Connect>,
    patience: Duration,
    turn: Mutex<Turn>,
}

struct Turn {
    free: Arc<Semaphore>,
    /// When the call that is under way began.
    since: Arc<Mutex<Option<Instant>>>,
    given_up: u32,
}

impl Turns {
    pub(crate) fn new(
        connect: impl Fn() -> keyring_core::Result<Arc<CredentialStore>> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self::patient_for(PATIENCE, connect))
    }

    fn patient_for(
        patience: Duration,
        connect: impl Fn() -> keyring_core::Result<Arc<CredentialStore>> + Send + Sync + 'static,
    ) -> Self {
        Self { connect: Box::new(connect), patience, turn: Mutex::new(Turn::new(0)) }
    }

    /// The system's keyring. There is one, and however many stores use it, their calls take turns: the Secret Service of
    /// some systems does not survive two sessions of one program at once.
    pub(crate) fn native() -> Arc<Self> {
        static NATIVE: LazyLock<Arc<Turns>> = LazyLock::new(|| Turns::new(native));
        Arc::clone(&NATIVE)
    }

    /// Does this with the keyring, on a thread of its own, and waits for it no longer than `bound`.
    ///
    /// The runtime does not wait for that thread when it ends, nor does the program. A call whose caller has gone goes on,
    /// so what it yields late should be kept by `work` itself; one that has not begun by then is left out.
    pub(crate) async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        bound: Duration,
        work: impl FnOnce(&Keyring<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let late = |_elapsed| StoreError::unavailable(format!("the keyring did not answer within {bound:?}"));
        platform::within(bound, self.answer(work)).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
    }

    async fn answer<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Keyring<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let died = || StoreError::unavailable("the keyring's thread ended without an answer");
        let (free, since) = self.turn();
        let permit = free.acquire_owned().await.map_err(|_closed| died())?;
        let (answer, answered) = oneshot::channel();
        let this = Arc::clone(self);
        let thread = std::thread::Builder::new().name("keyring".to_owned()).spawn(move || {
            *since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            let result = catch_unwind(AssertUnwindSafe(|| work(&Keyring(&*this.connect))));
            this.came_back(&since);
            drop(permit);
            let _unheard = answer.send(result.unwrap_or_else(|panic| {
                drop_quietly(panic);
                Err(StoreError::unavailable("the keyring's library panicked"))
            }));
        });
        let _detached = thread.map_err(StoreError::unavailable)?;
        answered.await.map_err(|_died| died())?
    }

    /// What to wait for, after giving up a call that has been under way for too long.
    fn turn(&self) -> (Arc<Semaphore>, Arc<Mutex<Option<Instant>>>) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut since = turn.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.is_some_and(|since| since.elapsed() > self.patience) && turn.given_up < GIVEN_UP {
            *since = None; // It is not waited for; see `came_back`.
            drop(since);
            *turn = Turn::new(turn.given_up + 1);
        } else {
            drop(since);
        }
        (Arc::clone(&turn.free), Arc::clone(&turn.since))
    }

    /// A call has ended. If it had been given up, another one may be.
    fn came_back(&self, since: &Mutex<Option<Instant>>) {
        let began = since.lock().unwrap_or_else(PoisonError::into_inner).take();
        if began.is_none() {
            self.turn.lock().unwrap_or_else(PoisonError::into_inner).given_up -= 1;
        }
    }
}

impl Turn {
    fn new(given_up: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(1)), since: Arc::default(), given_up }
    }
}

/// What a keyring's error says, without what it may hold: some of them carry the secret itself.
pub(crate) fn of(error: &keyring_core::Error) -> StoreError {
    use keyring_core::Error;
    StoreError::unavailable(match error {
        Error::PlatformFailure(error) => format!("the keyring failed: {error}"),
        Error::NoStorageAccess(error) => format!("the keyring gives no access: {error}"),
        Error::NoEntry => "the keyring has no such entry, or does not show it while it is locked; \
                           if the entry was removed for good, KeyringStore::renew_key makes a new key"
            .to_owned(),
        Error::Ambiguous(_) => "the keyring has several such entries".to_owned(),
        Error::NoDefaultStore => "there is no keyring here".to_owned(),
        Error::TooLong(what, most) => format!("the keyring takes a {what} of {most} characters at most"),
        Error::Invalid(what, why) => format!("the keyring refuses the {what}: {why}"),
        Error::NotSupportedByStore(why) => format!("the keyring cannot do this: {why}"),
        Error::BadEncoding(_) | Error::BadDataFormat(..) | Error::BadStoreFormat(_) | _ => {
            "the keyring's content is damaged".to_owned()
        }
    })
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(120);

    /// Asks for something that comes when the barrier lifts, and waits for it no longer than until it is under way.
    async fn hang(turns: &Arc<Turns>, until: &Arc<Barrier>) {
        let until = Arc::clone(until);
        let (begins, begun) = oneshot::channel();
        let hung = turns.ask(LONG, move |_| {
            begins.send(()).unwrap();
            until.wait();
            Ok(())
        });
        tokio::select! {
            answer = hung => panic!("{answer:?}"),
            under_way = begun => under_way.unwrap(),
        }
    }

    #[tokio::test]
    async fn a_call_that_takes_for_ever_is_given_up_three_times() {
        let turns = Arc::new(Turns::patient_for(Duration::ZERO, || Err(keyring_core::Error::NoDefaultStore)));
        let until = Arc::new(Barrier::new(5));
        for _ in 0..3 {
            hang(&turns, &until).await;
            assert_eq!(turns.ask(LONG, |_| Ok(7)).await.ok(), Some(7), "the next is made beside it");
        }
        hang(&turns, &until).await;
        assert!(turns.ask(SHORT, |_| Ok(7)).await.is_err(), "no thread stands still beside those four");
        until.wait();
        assert_eq!(turns.ask(LONG, |_| Ok(7)).await.ok(), Some(7), "and when they have gone, it is as before");
        let began = Instant::now();
        while turns.turn.lock().unwrap().given_up > 0 {
            assert!(began.elapsed() < LONG, "waited for the calls that were given up to come back");
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn a_call_that_takes_a_while_is_waited_for() {
        let turns = Turns::new(|| Err(keyring_core::Error::NoDefaultStore));
        let until = Arc::new(Barrier::new(2));
        hang(&turns, &until).await;
        assert!(turns.ask(SHORT, |_| Ok(7)).await.unwrap_err().is_unavailable());
        until.wait();
        assert_eq!(turns.ask(LONG, |_| Ok(7)).await.ok(), Some(7));
    }

    #[test]
    fn an_error_does_not_show_what_it_holds() {
        use keyring_core::Error;
        let secret = || b"canary".to_vec();
        for error in [Error::BadEncoding(secret()), Error::BadDataFormat(secret(), "no form".into())] {
            let told = of(&error);
            let shown = format!("{told} {told:?} {:?}", std::error::Error::source(&told).map(ToString::to_string));
            let bytes = format!("{:?}", secret());
            assert!(!shown.contains("canary") && !shown.contains(&bytes[1..9]), "{shown}");
        }
    }
}
