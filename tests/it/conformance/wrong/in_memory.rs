//! A store in memory that keeps bytes, with a lock that is a lease by a clock of its own; right, or with one fault.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::future::ready;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest_auth_refresh::conformance::Subject;
use reqwest_auth_refresh::{
    Lock, LockRequest, LoginId, Record, SessionId, StoreError, Swap, TokenStore, Tokens, Version, async_trait,
};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

pub(crate) use fault::Fault;
use guard::Guard;

mod fault;
mod guard;

/// What all handles of one store share.
struct Shared {
    fault: Fault,
    table: Mutex<HashMap<SessionId, Vec<u8>>>,
    /// What is written when somebody writes the next time.
    late: Mutex<Vec<(SessionId, Vec<u8>)>>,
    leases: Mutex<HashMap<String, Lease>>,
    /// Waiters that the lock is handed to.
    queued: Mutex<HashMap<String, usize>>,
    released: Notify,
    holders: AtomicU64,
    /// In milliseconds.
    clock: AtomicU64,
    fails: AtomicBool,
    /// Between two steps of what should be one.
    between: AtomicUsize,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    holder: u64,
    handle: u64,
    until: u64,
}

pub(crate) struct Store {
    shared: Arc<Shared>,
    handle: u64,
    copy: Mutex<HashMap<SessionId, Option<Record>>>,
}

/// The store with this fault, as a subject.
pub(crate) fn subject(fault: Fault) -> Subject {
    let shared = Arc::new(Shared {
        fault,
        table: Mutex::default(),
        late: Mutex::default(),
        leases: Mutex::default(),
        queued: Mutex::default(),
        released: Notify::new(),
        holders: AtomicU64::new(0),
        clock: AtomicU64::new(0),
        fails: AtomicBool::new(false),
        between: AtomicUsize::new(0),
    });
    if fault == Fault::RememberedALogin {
        let record = Record::of_tokens("default", Version::new(LoginId::from_bits(1), 1), Tokens::new("old").unwrap());
        shared.table.lock().unwrap().insert(SessionId::default(), record.to_bytes().to_vec());
    }
    let world = || Arc::clone(&shared);
    let (opened, corrupted, failing, losing, passing) = (world(), world(), world(), world(), world());
    Subject::opened_by(move || Store::open(&opened))
        .corrupted_by(move |id, bytes| {
            corrupted.table.lock().unwrap().insert(id, bytes);
            ready(())
        })
        .failing_by(move |fails| {
            failing.fails.store(fails, Ordering::SeqCst);
            ready(())
        })
        .lock_is_lost_by(move |_| {
            losing.leases.lock().unwrap().clear();
            ready(())
        })
        .time_passes_by(move |time: Duration| {
            passing.clock.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
            ready(())
        })
}

impl Store {
    fn open(shared: &Arc<Shared>) -> Self {
        static HANDLES: AtomicU64 = AtomicU64::new(0);
        let handle = HANDLES.fetch_add(1, Ordering::SeqCst);
        Self { shared: Arc::clone(shared), handle, copy: Mutex::default() }
    }

    fn has(&self, fault: Fault) -> bool {
        self.shared.fault == fault
    }

    fn is_out_of_reach(&self) -> bool {
        self.shared.fails.load(Ordering::SeqCst)
    }

    fn key(&self, id: &SessionId) -> SessionId {
        match self.shared.fault {
            Fault::KnowsNoCase => id.as_str().to_lowercase().into(),
            Fault::KeepsOneSession => SessionId::default(),
            Fault::EndsWithItsHandle => format!("{} {}", self.handle, id.as_str()).into(),
            _ => id.clone(),
        }
    }

    fn lock_key(&self, id: &SessionId) -> String {
        match self.shared.fault {
            Fault::SixteenLocks => (id.as_str().bytes().map(u32::from).sum::<u32>() % 16).to_string(),
            Fault::OneLock => String::new(),
            _ => id.as_str().to_owned(),
        }
    }

    /// The bytes that are kept of a record, over those that were kept before.
    fn bytes(&self, record: &Record, before: Option<&Vec<u8>>) -> Vec<u8> {
        let again = |tokens: Tokens| Record::of_tokens(record.session().clone(), record.version(), tokens);
        let registered = |again: Record| match record.registration() {
            Some(registration) => again.with_registration(registration),
            None => again,
        };
        let mut bytes = record.to_bytes().to_vec();
        match (self.shared.fault, record.tokens()) {
            (Fault::CutsOff, _) => bytes.truncate(2560),
            (Fault::ForgetsTheUnknown, Some(tokens)) => bytes = registered(again(tokens.clone())).to_bytes().to_vec(),
            (Fault::ForgetsTheRegistration, Some(tokens)) => bytes = again(tokens.clone()).to_bytes().to_vec(),
            (Fault::ForgetsTheExpiry, Some(_)) => {
                let text = String::from_utf8(bytes).unwrap();
                bytes = text.replace("\"expires_at\":1800000000123", "\"expires_at\":null").into_bytes();
            }
            (Fault::LeavesATail, _) => {
                bytes.extend(before.and_then(|before| before.get(bytes.len()..)).unwrap_or_default());
            }
            _ => {}
        }
        bytes
    }

    fn parsed(&self, bytes: &[u8]) -> Result<Option<Record>, StoreError> {
        let record = Record::from_bytes(bytes)?;
        let holds_neither = record.tokens().is_none() && record.ending().is_none();
        match self.shared.fault {
            Fault::KeepsNoTombstones if record.ending().is_some() => Ok(None),
            Fault::ReadsWhatItKeeps if holds_neither => Err(StoreError::unreadable("neither tokens nor a tombstone")),
            _ => Ok(Some(record)),
        }
    }

    fn found(&self, key: &SessionId) -> Result<Option<Record>, StoreError> {
        let bytes = self.shared.table.lock().unwrap().get(key).cloned();
        bytes.map_or(Ok(None), |bytes| self.parsed(&bytes))
    }

    /// Writes what came too late before.
    fn land(&self) {
        for (key, bytes) in self.shared.late.lock().unwrap().drain(..) {
            self.shared.table.lock().unwrap().insert(key, bytes);
        }
    }

    /// Waits until another call is between two steps too, or there is none.
    async fn pause(&self) {
        let before = self.shared.between.fetch_add(1, Ordering::SeqCst);
        for _turn in 0..200 {
            if self.shared.between.load(Ordering::SeqCst) > before + 1 {
                break;
            }
            yield_now().await;
            std::thread::yield_now();
        }
    }

    fn is_expected(&self, found: Option<Version>, expected: Option<Version>) -> bool {
        let shown = |version: Version| match self.shared.fault {
            Fault::ComparesHalfALogin => (version.login.to_bits() >> 64, u128::from(version.generation)),
            Fault::ComparesHalfAGeneration => (version.login.to_bits(), u128::from(version.generation & 0xFFFF_FFFF)),
            #[expect(clippy::cast_precision_loss, reason = "that is the fault")]
            Fault::ComparesFloats => (version.login.to_bits(), u128::from((version.generation as f64).to_bits())),
            _ => (version.login.to_bits(), u128::from(version.generation)),
        };
        found.map(shown) == expected.map(shown)
    }

    /// What a swap finds, where it may go on.
    fn found_by_swap(&self, key: &SessionId, expected: Option<Version>) -> Result<Option<Record>, StoreError> {
        match self.found(key) {
            Err(error) if error.is_newer() && self.has(Fault::OverwritesTheNewer) => Ok(None),
            Err(error) if error.is_unreadable() && self.has(Fault::KeepsTheBrokenFromLogins) => Err(error),
            Err(error) if error.is_unreadable() && self.has(Fault::FindsVersionsInTheBroken) => {
                let version = expected.unwrap_or(Version::new(LoginId::from_bits(0), 0));
                let record = Record::of_tokens(key.clone(), version, Tokens::new("anything").unwrap());
                Ok(expected.map(|_version| record))
            }
            Err(error) if error.is_unreadable() => Ok(None),
            found => found,
        }
    }

    async fn write(&self, key: &SessionId, new: &Record) {
        let bytes = {
            let mut table = self.shared.table.lock().unwrap();
            let bytes = self.bytes(new, table.get(key));
            if !self.has(Fault::Tears) {
                table.insert(key.clone(), bytes);
                return;
            }
            bytes
        };
        let half = bytes.len() / 2;
        let halves = |front: &[u8], back: &[u8]| [front, back.get(half..).unwrap_or_default()].concat();
        let write = |front: bool| {
            let mut table = self.shared.table.lock().unwrap();
            let before = table.get(key).cloned().unwrap_or_default();
            let mixed =
                if front { halves(&bytes[..half], &before) } else { halves(&before[..half.min(before.len())], &bytes) };
            table.insert(key.clone(), mixed);
        };
        write(true);
        self.pause().await;
        write(false);
    }

    fn try_lock(&self, name: &str) -> Option<Guard> {
        let now = self.shared.clock.load(Ordering::SeqCst);
        let mut leases = self.shared.leases.lock().unwrap();
        let taken = leases.get(name).filter(|lease| lease.until > now);
        let ours = taken.is_some_and(|lease| lease.handle == self.handle) && self.has(Fault::IsItsOwnFriend);
        if taken.is_some() && !ours && !self.has(Fault::LocksNobodyOut) {
            return None;
        }
        let holder = self.shared.holders.fetch_add(1, Ordering::SeqCst);
        let until = if self.has(Fault::LeaseRunsOut) { now + 1000 } else { u64::MAX };
        leases.insert(name.to_owned(), Lease { holder, handle: self.handle, until });
        Some(Guard { shared: Arc::clone(&self.shared), name: name.to_owned(), holder, released: false })
    }
}

#[async_trait]
impl TokenStore for Store {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        if self.is_out_of_reach() {
            return if self.has(Fault::NothingWhenItFails) {
                Ok(None)
            } else {
                Err(StoreError::unavailable("out of reach"))
            };
        }
        let key = self.key(id);
        if self.has(Fault::KeepsACopy)
            && let Some(copy) = self.copy.lock().unwrap().get(&key)
        {
            return Ok(copy.clone());
        }
        let found = self.found(&key);
        let is_lost = found.as_ref().is_err_and(StoreError::is_unreadable) && !self.has(Fault::SaysBrokenForEver);
        let is_newer = found.as_ref().is_err_and(StoreError::is_newer) && self.has(Fault::SetsTheNewerAside);
        if is_lost || is_newer {
            self.shared.table.lock().unwrap().remove(&key);
        }
        if let Ok(found) = &found {
            self.copy.lock().unwrap().insert(key, found.clone());
        }
        found
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        if self.is_out_of_reach() {
            return if self.has(Fault::DoneWhenItFails) {
                Ok(Swap::Done)
            } else {
                Err(StoreError::unavailable("out of reach"))
            };
        }
        while self.has(Fault::WritesUnderTheLock) && self.shared.leases.lock().unwrap().contains_key(&self.lock_key(id))
        {
            yield_now().await;
        }
        let key = self.key(id);
        let found = self.found_by_swap(&key, expected)?;
        if !self.is_expected(found.as_ref().map(Record::version), expected) {
            return Ok(Swap::Found(if self.has(Fault::SwapsBlindly) { None } else { found }));
        }
        match self.shared.fault {
            Fault::SwapsInThreeSteps => self.pause().await,
            Fault::ReleasedBySwaps => drop(self.shared.leases.lock().unwrap().remove(&self.lock_key(id))),
            Fault::LandsLate => {
                self.shared.late.lock().unwrap().push((key.clone(), new.to_bytes().to_vec()));
                yield_now().await;
                // Not given up: it is written now, and once.
                self.shared.late.lock().unwrap().retain(|(_, bytes)| *bytes != *new.to_bytes());
            }
            _ => {}
        }
        if self.has(Fault::SwapsInThreeSteps) || self.has(Fault::Tears) || self.has(Fault::LandsLate) {
            self.write(&key, new).await;
        } else {
            // Compared again under the lock of the table, which is what makes it one step.
            let mut table = self.shared.table.lock().unwrap();
            let now = table.get(&key).map(|bytes| self.parsed(bytes)).transpose().ok().flatten().flatten();
            if now.as_ref().map(Record::version) != found.as_ref().map(Record::version)
                && !self.has(Fault::FindsVersionsInTheBroken)
            {
                return Ok(Swap::Found(now));
            }
            let bytes = self.bytes(new, table.get(&key));
            table.insert(key.clone(), bytes);
        }
        self.land();
        self.copy.lock().unwrap().insert(key, Some(new.clone()));
        Ok(Swap::Done)
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        if self.is_out_of_reach() {
            return if self.has(Fault::RemovedWhenItFails) {
                Ok(())
            } else {
                Err(StoreError::unavailable("out of reach"))
            };
        }
        let key = self.key(id);
        if self.has(Fault::RemovesRecordsOnly) && self.found(&key).is_err() {
            return Err(StoreError::unreadable("no record to be removed"));
        }
        if self.has(Fault::ReleasedByRemovals) {
            self.shared.leases.lock().unwrap().remove(&self.lock_key(id));
        }
        let before = self.shared.table.lock().unwrap().remove(&key);
        self.copy.lock().unwrap().remove(&key);
        self.land();
        if before.is_none() && self.has(Fault::MissesWhatIsGone) {
            return Err(StoreError::unavailable("no such row"));
        }
        Ok(())
    }

    async fn lock(&self, id: &SessionId, wanted: LockRequest) -> Result<Lock, StoreError> {
        if self.has(Fault::SaysItIsNotShared) || (self.is_out_of_reach() && self.has(Fault::NotSharedWhenItFails)) {
            return Ok(Lock::NotShared);
        }
        if self.is_out_of_reach() {
            return Err(StoreError::unavailable("out of reach"));
        }
        let (name, until) = (self.lock_key(id), Instant::now() + wanted.wait());
        let mut queues = self.has(Fault::QueuesTheGone);
        loop {
            let mut released = Box::pin(self.shared.released.notified());
            released.as_mut().enable();
            if let Some(guard) = self.try_lock(&name) {
                if self.has(Fault::LocksBeforeItSays) {
                    let mut guard = guard;
                    // The place has it; nobody here does yet.
                    guard.released = true;
                    yield_now().await;
                    guard.released = false;
                    return Ok(Lock::Held(Box::new(guard)));
                }
                return Ok(Lock::Held(Box::new(guard)));
            }
            if self.has(Fault::NeverWaits) || (wanted.wait().is_zero() && !self.has(Fault::WaitsForEver)) {
                return Ok(Lock::Busy);
            }
            if std::mem::take(&mut queues) {
                *self.shared.queued.lock().unwrap().entry(name.clone()).or_default() += 1;
            }
            if self.has(Fault::WaitsForEver) {
                released.await;
            } else if timeout_at(until, released).await.is_err() {
                return Ok(Lock::Busy);
            }
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.shared.table.lock().unwrap();
        let held: BTreeSet<_> = table.values().map(|bytes| String::from_utf8_lossy(bytes)).collect();
        if self.has(Fault::Shows) { f.debug_list().entries(held).finish() } else { f.write_str("Store") }
    }
}
