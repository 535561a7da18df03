//! The store that a folder has: sealed with a key of the keyring, or plain files.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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

impl KeyringOrFile {
    pub(crate) fn keyring(store: KeyringStore) -> Self {
        Self(Either::Keyring(store))
    }

    pub(crate) fn files(chooser: Chooser, wait: Duration, in_use: UseLock) -> Self {
        Self(Either::Files(PlainFiles { chooser, wait, in_use: Arc::new(Mutex::new(in_use)) }))
    }

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
