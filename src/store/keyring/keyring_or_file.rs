//! The store that a folder has: sealed with a key of the keyring, or plain files.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::id::{SessionId, Version};
use crate::store::contract::{Lock, LockRequest, Swap, TokenStore};
use crate::store::error::StoreError;
use crate::store::file::use_lock::UseLock;
use crate::store::keyring::choice::apart;
use crate::store::keyring::chooser::Chooser;
use crate::store::keyring::keyring_store::KeyringStore;
use crate::store::record::Record;

/// A [`KeyringStore`] where there is a keyring, else plain files in the same folder: what
/// [`KeyringStore::or_file`] chose. It stays what it is until the program ends.
#[derive(Debug, Clone)]
pub struct KeyringOrFile(Either);

#[derive(Debug, Clone)]
enum Either {
    Keyring(KeyringStore),
    Files(PlainFiles),
}

/// Plain files, and what keeps other programs from sealing them meanwhile.
#[derive(Clone)]
struct PlainFiles {
    chooser: Chooser,
    wait: Duration,
    in_use: Arc<Mutex<UseLock>>,
}

impl KeyringStore {
    /// This store where there is a keyring, else plain files in the same folder.
    ///
    /// The choice is written into the folder, also when it is plain files, and programs choose one at a time:
    ///
    /// | in the folder | chosen |
    /// |---|---|
    /// | the keyring was chosen before, or anything is sealed | the keyring, also when it cannot be reached now: what was sealed cannot be read without it |
    /// | plain files were chosen before, and a program that chose them is still running | plain files |
    /// | plain files were chosen before, by programs that have ended | the keyring when it gives a key [now](Self::unlock), else plain files |
    /// | nothing | the keyring when it gives a key now, else plain files |
    /// | something that cannot be read, and nothing sealed | the keyring when it gives a key now, else an error |
    ///
    /// So tokens are never written in the clear beside sealed ones, and what a running program chose does not change under
    /// it. When plain files give way to the keyring, their sessions stay logged in and are sealed at their next refresh.
    ///
    /// This logs nothing but one warning (`tracing::warn!`) when it comes to plain files, with the reason.
    ///
    /// ```
    /// # use reqwest_auth_refresh::{KeyringStore, RefreshError, RefreshRequest, Session, keyring_core};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let never = |_: RefreshRequest| async { Err(RefreshError::unavailable("not asked in this example")) };
    /// # let folder = std::env::temp_dir().join(format!("reqwest-auth-refresh-or-file-doc-{}", std::process::id()));
    /// let store = KeyringStore::new(&folder, "my-app");
    /// # let store = store.keyring(|| Err(keyring_core::Error::NoDefaultStore));
    /// let store = store.or_file().await?;
    /// if !store.is_sealed() {
    ///     eprintln!("there is no keyring here: tokens are kept in plain files");
    /// }
    /// let session = Session::builder(never).store(store).build();
    /// # drop(session);
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [Unavailable](StoreError::is_unavailable) when it cannot be seen what was chosen before, or what is chosen now cannot
    /// be written down; also when another program has been choosing for as long as [`unlock`](Self::unlock) may take.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped and called again.
    pub async fn or_file(self) -> Result<KeyringOrFile, StoreError> {
        let keys = &self.sealed.keys;
        if keys.chooser.keyring().await?.is_some() {
            return Ok(KeyringOrFile(Either::Keyring(self)));
        }
        let began = Instant::now();
        let alone = keys.chooser.alone(self.unlock_bound).await?;
        let left = self.unlock_bound.saturating_sub(began.elapsed());
        let Err(refused) = keys.choose_keyring(left).await else { return Ok(KeyringOrFile(Either::Keyring(self))) };
        let Some(in_use) = keys.chooser.choose_files().await? else { return Ok(KeyringOrFile(Either::Keyring(self))) };
        drop(alone);
        let why = std::error::Error::source(&refused).map(ToString::to_string).unwrap_or_default();
        let folder = keys.chooser.files.path();
        tracing::warn!(?folder, why, "tokens are kept in plain files, without the keyring");
        let in_use = Arc::new(Mutex::new(in_use));
        Ok(KeyringOrFile(Either::Files(PlainFiles { chooser: keys.chooser.clone(), wait: keys.bound, in_use })))
    }
}

impl KeyringOrFile {
    /// Whether what it keeps is sealed with a key of the keyring.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        matches!(self.0, Either::Keyring(_))
    }
}

impl PlainFiles {
    /// Holds on to plain files before something is written, also where the folder was removed and is made again.
    async fn hold(&self) -> Result<(), StoreError> {
        let held = || self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        if held().is_held() {
            return Ok(());
        }
        let _alone = self.chooser.alone(self.wait).await?;
        let in_use = self.chooser.choose_files().await?.ok_or_else(|| {
            StoreError::unavailable("the folder was removed, and another program has chosen the keyring for it since")
        })?;
        *held() = in_use;
        Ok(())
    }
}

impl fmt::Debug for PlainFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chooser.files.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl TokenStore for KeyringOrFile {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        match &self.0 {
            Either::Keyring(store) => store.load(id).await,
            Either::Files(plain) => plain.chooser.files.load(&apart(id)).await,
        }
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        match &self.0 {
            Either::Keyring(store) => store.swap(id, expected, new).await,
            Either::Files(plain) => {
                plain.hold().await?;
                plain.chooser.files.swap(&apart(id), expected, new).await
            }
        }
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        match &self.0 {
            Either::Keyring(store) => store.remove(id).await,
            Either::Files(plain) => plain.chooser.files.remove(&apart(id)).await,
        }
    }

    async fn lock(&self, id: &SessionId, wanted: LockRequest) -> Result<Lock, StoreError> {
        match &self.0 {
            Either::Keyring(store) => store.lock(id, wanted).await,
            Either::Files(plain) => plain.chooser.files.lock(&apart(id), wanted).await,
        }
    }
}
