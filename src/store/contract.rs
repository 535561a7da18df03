//! The first socket: where tokens are kept between two runs of a program.

use std::time::Duration;

use async_trait::async_trait;

use crate::id::{SessionId, Version};
use crate::store::error::StoreError;
use crate::store::record::Record;

/// Where the records of sessions are kept.
///
/// A store holds at most one [`Record`] for each session id and knows nothing of what is in it. It reads a record, replaces
/// one by comparing its [`Version`], removes one, and has a lock for each session, which one refresh holds at a time.
///
/// # What must hold
///
/// - **[`swap`](Self::swap) is atomic by itself** for everyone who can write to the same place: between comparing and
///   writing, nothing else is written. It must not need the [`lock`](Self::lock), which may be held for as long as a refresh
///   takes, by this very caller or by another one, and it must not release it.
/// - **A record is replaced whole.** A reader, also one that comes after a crash, finds the old record or the new one,
///   never a mixture and never nothing.
/// - **Content that is no record counts as nothing for a `swap` that expects nothing**, which replaces it: otherwise a login
///   could not be saved over it. A record of a newer major form is never replaced: [`StoreError::newer`].
/// - **Ids are opaque.** `"a/b"`, `".."`, the empty id and two ids that differ only in case are different sessions.
/// - **Records are opaque.** All of a record comes back, also what this version of the crate does not know, and tokens of
///   64 KiB are not unusual.
/// - **Anything may be called at once**, for one id and for different ones, from any thread, and any future may be dropped
///   half-way: a session gives each call a bound. A dropped `swap` or `remove` has either happened or not; it does not happen
///   later, over what was written since. A dropped `lock` leaves nothing locked, also when it was about to succeed.
///
/// # What is what
///
/// | the store | says | and the session |
/// |---|---|---|
/// | holds nothing for this id | `Ok(None)`, which is no error | is logged out, or saves what it has in memory |
/// | holds something that is no record | [`StoreError::unreadable`], and the next `load` finds nothing | goes on from memory, or needs a login |
/// | holds a record of a newer major form | [`StoreError::newer`]; it must be neither set aside nor overwritten | is left alone |
/// | cannot be reached, is locked, full, read-only, or does not know | [`StoreError::unavailable`], up to the caller | keeps its tokens and tries again |
///
/// Answering *nothing* where *unavailable* is meant logs people out.
///
/// # Without a lock
///
/// The provided [`lock`](Self::lock) says that one session object alone uses the store. It is **not** right for a place that
/// several processes or several session objects use: two of them refresh at once, one spends a refresh token that the other
/// has spent already, and strict issuers end the login then.
///
/// A store that wraps another one must hand on all four methods, or it takes the other's lock away.
/// `#[deny(clippy::missing_trait_methods)]` on the `impl` notices one that was forgotten. `Arc` and `Box` do hand them on, so
/// that an `Arc<dyn TokenStore>` is a store.
///
/// The feature `conformance` has all this as tests, for any store.
///
/// # In a browser
///
/// On `wasm32` the futures need not be `Send`, and the macro has to be told so:
///
/// ```text
/// #[cfg_attr(not(target_arch = "wasm32"), async_trait)]
/// #[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
/// impl TokenStore for MyStore { .. }
/// ```
///
/// # A whole store
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::{Mutex, PoisonError};
/// use reqwest_auth_refresh::{Record, SessionId, StoreError, Swap, TokenStore, Version, async_trait};
///
/// #[derive(Default)]
/// struct Toy(Mutex<HashMap<SessionId, Vec<u8>>>);
///
/// impl Toy {
///     fn open<T>(&self, work: impl FnOnce(&mut HashMap<SessionId, Vec<u8>>) -> T) -> T {
///         work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
///     }
/// }
///
/// fn read(kept: &HashMap<SessionId, Vec<u8>>, id: &SessionId) -> Result<Option<Record>, StoreError> {
///     kept.get(id).map(|bytes| Record::from_bytes(bytes)).transpose()
/// }
///
/// #[async_trait]
/// impl TokenStore for Toy {
///     async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
///         self.open(|kept| {
///             let found = read(kept, id);
///             if found.as_ref().is_err_and(StoreError::is_unreadable) {
///                 kept.remove(id);
///             }
///             found
///         })
///     }
///
///     async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
///         self.open(|kept| {
///             let found = match read(kept, id) {
///                 Err(error) if error.is_unreadable() => None,
///                 found => found?,
///             };
///             if found.as_ref().map(Record::version) != expected {
///                 return Ok(Swap::Found(found));
///             }
///             kept.insert(id.clone(), new.to_bytes().to_vec());
///             Ok(Swap::Done)
///         })
///     }
///
///     async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
///         self.open(|kept| kept.remove(id));
///         Ok(())
///     }
/// }
/// ```
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub trait TokenStore: Send + Sync + 'static {
    /// Reads the session's record; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::unavailable`] when it is not known what is stored, [`StoreError::unreadable`] when it is no record
    /// (and is gone now), [`StoreError::newer`] when it is one of the future.
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError>;

    /// Replaces the session's record only if the version stored is `expected` (`None`: nothing is stored), and says what
    /// was found otherwise. Short, and never in need of [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// [`StoreError::unavailable`] when the record may not have been written, [`StoreError::newer`] when what is there must
    /// be left alone.
    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError>;

    /// Removes the session's record, and what was set aside of it. Removing what is not there is no error, and a lock that is
    /// held stays held. A session calls this only for [`Session::forget_stored`](crate::Session::forget_stored): logging out
    /// leaves a tombstone, so that others see it.
    ///
    /// # Errors
    ///
    /// When the record may still be there.
    async fn remove(&self, id: &SessionId) -> Result<(), StoreError>;

    /// Takes the session's lock, which one refresh holds from its reading of the store to its save. [`LockRequest`] says how
    /// long to wait for it, and for how long it may be held.
    ///
    /// It keeps out everyone else who asks for it, another session object of this process too, and no call that reads or
    /// writes. When its holder dies, however that happens, it must become free again; waiting should leave the runtime's
    /// threads to others.
    ///
    /// Provided as [`Lock::NotShared`]: one session object alone uses this store. Any other answer says that others do. Then a
    /// session that is logged out reads the store again before it says so to a request, at most once a second, and takes over
    /// a login made elsewhere; and one whose new tokens could not be saved keeps the lock until they are.
    ///
    /// # Errors
    ///
    /// [`StoreError::unavailable`] when it is not known whether another holder refreshes.
    async fn lock(&self, id: &SessionId, wanted: LockRequest) -> Result<Lock, StoreError> {
        let _ = (id, wanted);
        Ok(Lock::NotShared)
    }
}

impl std::fmt::Debug for dyn TokenStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dyn TokenStore")
    }
}

/// What came of a [`swap`](TokenStore::swap).
#[derive(Debug, Clone)]
#[must_use = "a swap that found something else has written nothing"]
pub enum Swap {
    /// The new record is stored.
    Done,
    /// Nothing was written, since this is what is stored (`None`: nothing).
    Found(Option<Record>),
}

/// How long to wait for a [`lock`](TokenStore::lock), and for how long it may be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockRequest {
    wait: Duration,
    hold: Duration,
}

impl LockRequest {
    /// A request that waits this long, for a lock that may be held for this long.
    #[must_use]
    pub const fn new(wait: Duration, hold: Duration) -> Self {
        Self { wait, hold }
    }

    /// How long to wait while another holder has it; zero: not at all.
    #[must_use]
    pub const fn wait(&self) -> Duration {
        self.wait
    }

    /// For how long a refresh may need the lock, by the session's own bounds. A lease must last at least this long, measured
    /// from before it was asked for, and be renewed: a session whose tokens could not be saved keeps the lock until they are.
    #[must_use]
    pub const fn hold(&self) -> Duration {
        self.hold
    }
}

/// What came of a [`lock`](TokenStore::lock).
#[must_use = "a lock is released when it is dropped"]
pub enum Lock {
    /// One session object alone uses this store.
    NotShared,
    /// The lock is ours until the guard is released.
    Held(Box<dyn LockGuard>),
    /// Another holder had it for the whole wait.
    Busy,
}

impl std::fmt::Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotShared => "NotShared",
            Self::Held(_) => "Held",
            Self::Busy => "Busy",
        })
    }
}

/// Who else may see a store, and so how much its lock keeps apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LockReach {
    /// Session objects of this process.
    ThisProcess,
    /// Processes of this machine. The system frees the lock when its holder dies.
    ThisMachine,
    /// Any machine. The lock is a lease: it runs out by itself unless it is renewed.
    Lease,
}

/// A session's lock, until it is released. Dropping it releases it too, perhaps a little later.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub trait LockGuard: Send + Sync {
    /// Whether the lock is still ours: a lease may have run out, a lock file may have been removed. Asked right before the
    /// refresh token is spent. It must look; a guard that cannot know says false.
    fn is_held(&self) -> bool;

    /// Who else may see this store, and so what the lock keeps apart. The log of a refresh says it, and the laws hold the
    /// store to it.
    fn reach(&self) -> LockReach;

    /// Gives the lock back.
    async fn release(self: Box<Self>);
}
