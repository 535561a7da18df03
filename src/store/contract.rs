//! The first socket: where tokens are kept between two runs of a program.

use std::time::Duration;

use async_trait::async_trait;

use crate::id::{SessionId, Version};
use crate::store::error::StoreError;
use crate::store::record::Record;

/// Where the records of sessions are kept.
///
/// A store holds at most one [`Record`] for each session id and knows nothing of what is in it. Three methods must be
/// written; the other two are provided from them for a store that belongs to one process, and should be written by a
/// store that can do better.
///
/// # What must hold
///
/// - **[`save`](Self::save) and [`swap`](Self::swap) replace the record whole.** A reader, also one that comes after a
///   crash, finds the old record or the new one, never a mixture and never nothing.
/// - **[`swap`](Self::swap) is atomic by itself** for everyone who can write to the same place: between comparing and
///   writing nobody else writes. It must not need the [`lock`](Self::lock), which may be held for as long as a refresh takes,
///   by this very caller or by another one.
/// - **Ids are opaque.** `"a/b"`, `".."`, the empty id and two ids that differ only in case are different sessions.
/// - **Records are opaque.** All of a record comes back, also what this version of the crate does not know, and tokens of
///   64 KiB are not unusual.
/// - **Anything may be called at once**, for one id and for different ones, from any thread, and any future may be dropped
///   half-way: a session gives each call a bound. A dropped `save` or `swap` has either happened or not; it does not happen
///   later, over what was written since. A dropped `lock` takes nothing.
///
/// # What is what
///
/// | the store | says | and the session |
/// |---|---|---|
/// | holds nothing for this id | `Ok(None)`, which is no error | is logged out, or saves what it has in memory |
/// | holds something that is no record | [`StoreError::unreadable`], after setting it aside: the next `load` finds nothing | goes on from memory, or needs a login |
/// | holds a record of a newer major form | [`StoreError::newer`]; it must be neither set aside nor overwritten | is left alone |
/// | cannot be reached, is locked, full, read-only, or does not know | [`StoreError::unavailable`], up to the caller | keeps its tokens and tries again |
///
/// Answering *nothing* where *unavailable* is meant logs people out.
///
/// # A store that keeps the defaults
///
/// The provided [`swap`](Self::swap) is a `load` and a `save`, and the provided [`lock`](Self::lock) says that nobody else
/// sees the store. That is right for a store that belongs to one process, with one session object for each id, since a
/// session never writes twice at once. It is **not** right for a place that several processes or several session objects
/// write to: two of them refresh at once, one spends a refresh token that the other has spent already, strict issuers end
/// the login then, and a late `save` puts old tokens over new ones.
///
/// A store that wraps another one must hand on all five methods, the provided ones too, or it takes the other's lock away.
/// `#[deny(clippy::missing_trait_methods)]` on the `impl` notices one that was forgotten. `Arc` and `Box` do hand them on, so
/// that an `Arc<dyn TokenStore>` is a store.
///
/// The feature `conformance` has all this as tests, for any store.
///
/// # A whole store
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
/// use reqwest_auth_refresh::{Record, SessionId, StoreError, TokenStore, async_trait};
///
/// #[derive(Default)]
/// struct Toy(Mutex<HashMap<String, Vec<u8>>>);
///
/// impl Toy {
///     fn open(&self) -> Result<std::sync::MutexGuard<'_, HashMap<String, Vec<u8>>>, StoreError> {
///         self.0.lock().map_err(|_| StoreError::unavailable("the toy is broken"))
///     }
/// }
///
/// #[async_trait]
/// impl TokenStore for Toy {
///     async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
///         let found = self.open()?.get(id.as_str()).cloned();
///         found.map(|bytes| Record::from_bytes(&bytes)).transpose()
///     }
///
///     async fn save(&self, id: &SessionId, record: &Record) -> Result<(), StoreError> {
///         self.open()?.insert(id.as_str().to_owned(), record.to_bytes().to_vec());
///         Ok(())
///     }
///
///     async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
///         self.open()?.remove(id.as_str());
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
    /// (and has been set aside), [`StoreError::newer`] when it is one of the future.
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError>;

    /// Replaces the session's record, whatever was there, unless that is one of the future.
    ///
    /// # Errors
    ///
    /// [`StoreError::unavailable`] when the record may not have been written, [`StoreError::newer`] when what is there must
    /// be left alone.
    async fn save(&self, id: &SessionId, record: &Record) -> Result<(), StoreError>;

    /// Forgets the session. Removing what is not there is no error. A session never calls this: logging out leaves a
    /// tombstone, so that others see it.
    ///
    /// # Errors
    ///
    /// When the record may still be there.
    async fn remove(&self, id: &SessionId) -> Result<(), StoreError>;

    /// Replaces the session's record only if the version stored is `expected` (`None`: nothing is stored), and says what
    /// was found otherwise. Short, and never in need of [`lock`](Self::lock).
    ///
    /// Provided as `load` and `save`, which is right for a store of one process (see above). What cannot be read counts as
    /// nothing, so that a login replaces it.
    ///
    /// # Errors
    ///
    /// As `load` and `save`, other than unreadable.
    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        let found = match self.load(id).await {
            Err(error) if error.is_unreadable() => None,
            found => found?,
        };
        if found.as_ref().map(Record::version) != expected {
            return Ok(Swap::Found(found));
        }
        self.save(id, new).await?;
        Ok(Swap::Done)
    }

    /// Takes the right to refresh this session, waiting for it up to `wait`. It may be held for as long as a flight takes,
    /// and for as long as new tokens could not be saved.
    ///
    /// It keeps out everybody else who asks for it, another session object of this process too, and nobody who reads or
    /// writes. When its holder dies, however that happens, it must become free again; waiting should leave the runtime's
    /// threads to others.
    ///
    /// Provided as [`Lock::NotShared`]: nobody else can see this store, so nobody else need be kept out. Any other answer says
    /// that others can. Then a session in which nobody is logged in reads the store again before it says so to a request, at
    /// most once a second, and takes over a login made elsewhere; to learn whether it should, it asks for the lock without
    /// waiting.
    ///
    /// # Errors
    ///
    /// [`StoreError::unavailable`] when it is not known whether somebody else refreshes.
    async fn lock(&self, id: &SessionId, wait: Duration) -> Result<Lock, StoreError> {
        let _ = (id, wait);
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

/// What came of a [`lock`](TokenStore::lock).
#[must_use = "a lock is released when it is dropped"]
pub enum Lock {
    /// No other process can see this store.
    NotShared,
    /// The right to refresh is ours until the guard is released.
    Held(Box<dyn LockGuard>),
    /// Somebody else held it for the whole wait.
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

/// The right to refresh a session, until it is released. Dropping it releases it too, perhaps a little later.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub trait LockGuard: Send + Sync {
    /// Whether the right is still ours: a lease may have run out. Asked right before the refresh token is spent.
    fn is_held(&self) -> bool {
        true
    }

    /// Gives the right back.
    async fn release(self: Box<Self>);
}
