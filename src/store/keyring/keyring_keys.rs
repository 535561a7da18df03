//! Keys that a keyring keeps, each read once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::id::Version;
use crate::store::contract::{Swap, TokenStore};
use crate::store::error::StoreError;
use crate::store::file::file_store::FileStore;
use crate::store::keyring::choice::{self, is_after_files, key_of, reserved};
use crate::store::keyring::chooser::{Chooser, Chosen, Past};
use crate::store::keyring::entry;
use crate::store::keyring::turns::{Keyring, Turns};
use crate::store::record::Record;
use crate::store::sealed::key::SealingKey;
use crate::store::sealed::key_source::KeySource;
use crate::store::sealed_content::KeyName;

/// The keys of one store of files, and how they are come by.
#[derive(Debug, Clone)]
pub(crate) struct KeyringKeys {
    pub(crate) chooser: Chooser,
    pub(crate) keyring: Arc<Turns>,
    pub(crate) service: Arc<str>,
    pub(crate) bound: Duration,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    named: HashMap<KeyName, SealingKey>,
    newest: Option<SealingKey>,
    /// Made and kept, but not named by anything yet.
    fresh: Option<SealingKey>,
}

impl KeyringKeys {
    pub(crate) fn new(files: FileStore, service: &str, bound: Duration) -> Self {
        let chooser = Chooser { files };
        Self { chooser, keyring: Turns::native(), service: service.into(), bound, known: Arc::default() }
    }

    /// The key to seal with. It is made, and the keyring chosen for the folder, where nothing was sealed before.
    pub(crate) async fn newest_within(&self, bound: Duration) -> Result<SealingKey, StoreError> {
        // Another program may have made a newer one since, and may have had to: this one may be gone.
        if let Some(record) = self.chooser.keyring().await? {
            return self.newest_by(bound, &record).await;
        }
        let began = Instant::now();
        let _alone = self.chooser.alone(bound).await?;
        self.choose_keyring(bound.saturating_sub(began.elapsed())).await
    }

    /// The same, for the one who is alone in choosing.
    pub(crate) async fn choose_keyring(&self, bound: Duration) -> Result<SealingKey, StoreError> {
        let past = match self.chooser.chosen().await? {
            Chosen::Keyring(record) => return self.newest_by(bound, &record).await,
            Chosen::NotKeyring(past) => past,
        };
        let _no_plain_files = self.chooser.no_plain_files().await?;
        let key = self.newest_of(bound, &past).await?;
        self.choose(bound, key, past.was_files, past.before).await
    }

    /// A key that takes the place of the newest, whether that can be read or not.
    pub(crate) async fn renewed_within(&self, bound: Duration) -> Result<(), StoreError> {
        let began = Instant::now();
        let left = || bound.saturating_sub(began.elapsed());
        let _alone = self.chooser.alone(bound).await?;
        let (no_plain_files, before, after_files);
        match self.chooser.chosen().await? {
            Chosen::Keyring(record) => {
                // Its call may have been dropped before it could say so.
                self.known().fresh.take_if(|fresh| key_of(&record) == Some(fresh.name()));
                after_files = self.after_files_by(left(), &record).await.unwrap_or(false);
                (no_plain_files, before) = (None, Some(record.version()));
            }
            Chosen::NotKeyring(past) => {
                no_plain_files = self.chooser.no_plain_files().await?;
                (before, after_files) = (past.before, past.was_files);
            }
        }
        let key = self.make(left()).await?;
        self.choose(left(), key, after_files, before).await?;
        drop(no_plain_files);
        Ok(())
    }

    /// The newest key of a folder whose choice was lost: the records name their keys themselves. Else a new one.
    async fn newest_of(&self, bound: Duration, past: &Past) -> Result<SealingKey, StoreError> {
        if let Some(key) = self.known().newest.clone() {
            return Ok(key);
        }
        let began = Instant::now();
        let mut missed = None;
        for name in &past.sealed_with {
            match self.named_within(bound.saturating_sub(began.elapsed()), name).await {
                Err(error) => missed = Some(error),
                found => return found,
            }
        }
        match missed {
            Some(error) => Err(error),
            None => self.make(bound).await,
        }
    }

    async fn newest_by(&self, bound: Duration, choice: &Record) -> Result<SealingKey, StoreError> {
        let name = key_of(choice).ok_or_else(|| StoreError::unavailable("the keyring's own record names no key"))?;
        let key = self.named_within(bound, name).await?;
        // Nobody without the key says which one is the newest.
        is_after_files(choice, &key)?;
        self.known().newest = Some(key.clone());
        Ok(key)
    }

    async fn after_files_by(&self, bound: Duration, choice: &Record) -> Result<bool, StoreError> {
        is_after_files(choice, &self.newest_by(bound, choice).await?)
    }

    /// Writes down that this is the newest key, unless another program was faster: then it is theirs.
    async fn choose(
        &self,
        bound: Duration,
        key: SealingKey,
        after_files: bool,
        before: Option<Version>,
    ) -> Result<SealingKey, StoreError> {
        let record = choice::keyring(&key, after_files)?;
        match self.chooser.files.swap(&reserved(), before, &record).await? {
            Swap::Done => {
                let mut known = self.known();
                known.fresh = None;
                known.named.insert(key.name().clone(), key.clone());
                known.newest = Some(key.clone());
                Ok(key)
            }
            Swap::Found(found) => {
                let named = found.as_ref().and_then(key_of);
                // It may be the one: named by a call that was dropped before it could say so.
                let unused = self.known().fresh.take().filter(|fresh| named != Some(fresh.name()));
                if let Some(unused) = unused {
                    let service = Arc::clone(&self.service);
                    let forget =
                        move |keyring: &Keyring<'_>| entry::forget(&*keyring.connect()?, &service, unused.id());
                    let _best_effort = self.keyring.ask(bound, forget).await;
                }
                let found = found.ok_or_else(|| StoreError::unavailable("the keyring's own record was removed"))?;
                self.newest_by(bound, &found).await
            }
        }
    }

    async fn make(&self, bound: Duration) -> Result<SealingKey, StoreError> {
        let (known, service) = (Arc::clone(&self.known), Arc::clone(&self.service));
        let make = move |keyring: &Keyring<'_>| {
            // Made by a call that came back after its caller had gone.
            if let Some(key) = lock(&known).fresh.clone() {
                return Ok(key);
            }
            let key = entry::make(&*keyring.connect()?, &service)?;
            lock(&known).fresh = Some(key.clone());
            Ok(key)
        };
        self.keyring.ask(bound, make).await
    }

    async fn named_within(&self, bound: Duration, name: &KeyName) -> Result<SealingKey, StoreError> {
        if let Some(key) = self.known().named.get(name) {
            return Ok(key.clone());
        }
        let (known, service, name) = (Arc::clone(&self.known), Arc::clone(&self.service), name.clone());
        let read = move |keyring: &Keyring<'_>| {
            if let Some(key) = lock(&known).named.get(&name) {
                return Ok(key.clone());
            }
            let key = entry::read(&*keyring.connect()?, &service, &name.id)?;
            if *key.name() != name {
                return Err(StoreError::unavailable("the keyring has another key under this id"));
            }
            // Kept here, since the person who typed a password may have taken longer than any call waits.
            lock(&known).named.insert(name, key.clone());
            Ok(key)
        };
        self.keyring.ask(bound, read).await
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

#[async_trait]
impl KeySource for KeyringKeys {
    async fn newest(&self) -> Result<SealingKey, StoreError> {
        self.newest_within(self.bound).await
    }

    async fn named(&self, name: &KeyName) -> Result<SealingKey, StoreError> {
        self.named_within(self.bound, name).await
    }

    async fn accepts_unsealed(&self) -> Result<bool, StoreError> {
        match self.chooser.chosen().await? {
            Chosen::NotKeyring(past) if !past.was_files => return Ok(false),
            // From now on the key says so, and no longer a record that any program may write.
            Chosen::NotKeyring(_) => drop(self.newest_within(self.bound).await?),
            Chosen::Keyring(_) => {}
        }
        let Some(record) = self.chooser.keyring().await? else { return Ok(false) };
        self.after_files_by(self.bound, &record).await
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    // Nothing in here can panic half-way through a change.
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
