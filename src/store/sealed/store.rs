//! A store whose records are sealed before another store keeps them.

use std::fmt;

use async_trait::async_trait;

use crate::id::{SessionId, Version};
use crate::store::contract::{Lock, LockRequest, Swap, TokenStore};
use crate::store::error::StoreError;
use crate::store::record::{Content, Record};
use crate::store::sealed::cipher;
use crate::store::sealed::key_source::KeySource;
use crate::store::sealed::keys::SealingKeys;

/// Seals each record with a key of the program's own before another store keeps it, so that whoever reads that store reads
/// no tokens, and whoever changes it is noticed.
///
/// The other store may be any. What it can do (swapping, locking, outliving the program) this one can do too.
///
/// ```
/// use reqwest_auth_refresh::{MemoryStore, RefreshError, RefreshRequest, Sealed, SealingKey, Session, Tokens};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let never = |_: RefreshRequest| async { Err(RefreshError::unavailable("not asked in this example")) };
/// # let from_the_environment = [7; 32];
/// let kept = MemoryStore::default();
/// let store = Sealed::new(kept.clone(), SealingKey::new("2026", &from_the_environment)?);
/// let session = Session::builder(never).store(store).build();
/// session.login(Tokens::new("access")?).await?;
///
/// // Without the key there is nothing to be seen.
/// let without_key = Session::builder(never).store(kept).build();
/// assert!(without_key.access_token().await.is_err_and(|error| error.is_store()));
/// # Ok(())
/// # }
/// ```
///
/// # What is noticed, and what is not
///
/// A record is sealed with XChaCha20-Poly1305 under a random nonce of 192 bits, and bound to its session, its
/// [registration](Record::registration), its version and its key's id. So a record with any byte changed, one moved to
/// another session or registration, and an old one that is given a newer version do not open: they are
/// [unreadable](StoreError::is_unreadable), like a broken file. They are left where they are until the session writes again.
///
/// What is *not* noticed here is a whole older record, put back under the version that it had: it is genuine. A session that
/// runs notices, since it knows a later generation, and puts that in its place. One that has just begun takes the old
/// record for the last one: it comes to tokens that the issuer has replaced since, or to those of a login that has ended,
/// and the issuer's refusal ends it. Nor is it noticed when the record is removed.
///
/// Not hidden are the session's id, its registration, the id of the key and a fingerprint of its bytes, the random id of the
/// login, how often it was refreshed, and how long the record is.
///
/// # Which keys
///
/// See [`SealingKeys`] for several keys and for changing them. A record that is sealed with a key which is not given, also
/// one with other bytes under a known id, is [unavailable](StoreError::is_unavailable): it may be that of a newer version of
/// the program, or this program may have been given the wrong key. It is read again when the right key is there, and it is
/// never overwritten. Only [`remove`](TokenStore::remove) takes it away.
#[derive(Clone)]
pub struct Sealed<S, K = SealingKeys> {
    pub(crate) store: S,
    pub(crate) keys: K,
    accepts_unsealed: bool,
}

impl<S: TokenStore> Sealed<S> {
    /// Keeps records in `store`, sealed with the newest of these keys; one [`SealingKey`](crate::SealingKey) will do.
    #[must_use]
    pub fn new(store: S, keys: impl Into<SealingKeys>) -> Self {
        Self::with_keys(store, keys.into())
    }
}

impl<S, K> Sealed<S, K> {
    pub(crate) fn with_keys(store: S, keys: K) -> Self {
        Self { store, keys, accepts_unsealed: false }
    }

    /// Takes records that are not sealed for what they say, where otherwise they are unreadable.
    ///
    /// This is for sealing a store that has been in use without: its sessions stay logged in and are sealed at their next
    /// refresh. As long as it is set, whoever can write to the store can put tokens of their own into it.
    #[must_use]
    pub fn accept_unsealed(mut self) -> Self {
        self.accepts_unsealed = true;
        self
    }
}

/// The version of what is stored below, and what it says. What does not open says nothing.
async fn look<S: TokenStore, K: KeySource>(
    sealed: &Sealed<S, K>,
    id: &SessionId,
) -> Result<(Option<Version>, Option<Record>), StoreError> {
    let found = match sealed.store.load(id).await {
        Err(error) if error.is_unreadable() => None,
        found => found?,
    };
    let below = found.as_ref().map(Record::version);
    match open(sealed, id, found).await {
        Err(error) if error.is_unreadable() => Ok((below, None)),
        opened => Ok((below, opened?)),
    }
}

async fn open<S: TokenStore, K: KeySource>(
    sealed: &Sealed<S, K>,
    id: &SessionId,
    found: Option<Record>,
) -> Result<Option<Record>, StoreError> {
    let Some(found) = found else { return Ok(None) };
    match found.content() {
        Content::Sealed(content) => {
            let key = sealed.keys.named(&content.key).await?;
            cipher::open(&found, content, id, &key).map(Some)
        }
        Content::Tokens(_) | Content::Tombstone { .. } => {
            if sealed.accepts_unsealed || sealed.keys.accepts_unsealed().await? {
                return Ok(Some(found));
            }
            Err(StoreError::unreadable("the record is not sealed"))
        }
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
#[deny(clippy::missing_trait_methods)]
impl<S: TokenStore, K: KeySource> TokenStore for Sealed<S, K> {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        open(self, id, self.store.load(id).await?).await
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        // The store below compares versions and knows nothing of keys, so what is replaced is opened first.
        let (below, found) = look(self, id).await?;
        if found.as_ref().map(Record::version) != expected {
            return Ok(Swap::Found(found));
        }
        let sealed = cipher::seal(new, id, &self.keys.newest().await?)?;
        match self.store.swap(id, below, &sealed).await? {
            Swap::Done => Ok(Swap::Done),
            Swap::Found(since) => match open(self, id, since).await {
                Err(error) if error.is_unreadable() => Ok(Swap::Found(None)),
                opened => opened.map(Swap::Found),
            },
        }
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.store.remove(id).await
    }

    async fn lock(&self, id: &SessionId, wanted: LockRequest) -> Result<Lock, StoreError> {
        self.store.lock(id, wanted).await
    }
}

impl<S: fmt::Debug, K: fmt::Debug> fmt::Debug for Sealed<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Sealed");
        debug.field("store", &self.store).field("keys", &self.keys).finish_non_exhaustive()
    }
}
