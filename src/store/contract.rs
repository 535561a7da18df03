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
///   writing nobody else writes. The provided `swap` is a `load` and a `save`. It is right when only one session object
///   of one process writes a session's records, since a session never writes twice at once; it is *not* right for a
///   store that several processes share.
/// - **Ids are opaque.** `"a/b"`, `".."`, the empty id and two ids that differ only in case are different sessions.
/// - **Absent is no error**, neither for [`load`](Self::load) nor for [`remove`](Self::remove).
/// - **Anything may be called at once**, for one id and for different ones, and any future may be dropped half-way: a
///   session gives each call a bound. A dropped `save` has either happened or not.
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

    /// Replaces the session's record, whatever was there.
    ///
    /// # Errors
    ///
    /// When the record may not have been written.
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
    /// As `load` and `save`.
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

    /// Takes the right to refresh this session, waiting for it up to `wait`. It may be held for as long as a flight takes.
    ///
    /// Provided as [`Lock::NotShared`]: nobody else can see this store, so nobody else need be kept out.
    ///
    /// # Errors
    ///
    /// [`StoreError::unavailable`] when it is not known whether somebody else refreshes.
    async fn lock(&self, id: &SessionId, wait: Duration) -> Result<Lock, StoreError> {
        let _ = (id, wait);
        Ok(Lock::NotShared)
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
