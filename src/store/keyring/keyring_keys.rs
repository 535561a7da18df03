//! Keys that a keyring keeps, each read once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::id::SessionId;
use crate::store::contract::{Lock, LockGuard, LockRequest, Swap, TokenStore};
use crate::store::error::StoreError;
use crate::store::file::file_store::FileStore;
use crate::store::keyring::entry;
use crate::store::keyring::key_record::{is_named_by, named_by, naming, reserved};
use crate::store::keyring::turns::{Keyring, Turns};
use crate::store::record::Record;
use crate::store::sealed::key::SealingKey;
use crate::store::sealed::through::Keys;

/// The keys of one store of files, and how they are come by.
#[derive(Debug, Clone)]
pub(crate) struct KeyringKeys {
    pub(crate) files: FileStore,
    pub(crate) keyring: Arc<Turns>,
    pub(crate) service: Arc<str>,
    pub(crate) bound: Duration,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    named: HashMap<String, SealingKey>,
    newest: Option<SealingKey>,
    /// Made and kept, but not named by anything yet.
    fresh: Option<SealingKey>,
}

impl KeyringKeys {
    pub(crate) fn new(files: FileStore, service: &str, bound: Duration) -> Self {
        Self { files, keyring: Turns::native(), service: service.into(), bound, known: Arc::default() }
    }

    /// The key to seal with; made if there is none and nothing was sealed.
    pub(crate) async fn newest_within(
        &self,
        bound: Duration,
        session: Option<&SessionId>,
    ) -> Result<SealingKey, StoreError> {
        // Another program may have made a newer one since, and may have had to: this one may be gone.
        if let Some(record) = self.key_record().await? {
            return self.newest_by(bound, &record).await;
        }
        if let Some(key) = self.known().newest.clone() {
            return Ok(key);
        }
        let began = Instant::now();
        let _lock = self.sole_maker(bound).await?;
        let bound = bound.saturating_sub(began.elapsed());
        if let Some(record) = self.key_record().await? {
            return self.newest_by(bound, &record).await;
        }
        let key = match self.key_of(session).await? {
            Some(id) => self.named_within(bound, &id).await?,
            None => self.make(bound).await?,
        };
        self.name(bound, key, None).await
    }

    /// A key that takes the place of the newest, whether that can be read or not.
    pub(crate) async fn renewed_within(&self, bound: Duration) -> Result<(), StoreError> {
        let began = Instant::now();
        let _lock = self.sole_maker(bound).await?;
        let before = self.key_record().await?;
        self.known().fresh.take_if(|fresh| before.as_ref().and_then(named_by) == Some(fresh.id()));
        let key = self.make(bound.saturating_sub(began.elapsed())).await?;
        self.name(bound, key, before.as_ref()).await.map(drop)
    }

    /// One key is made at a time, here and in other programs.
    async fn sole_maker(&self, bound: Duration) -> Result<Option<Box<dyn LockGuard>>, StoreError> {
        match self.files.lock(&reserved(), LockRequest::new(bound, bound)).await? {
            Lock::Held(guard) => Ok(Some(guard)),
            Lock::NotShared => Ok(None),
            Lock::Busy => Err(StoreError::unavailable("another process has been making the key for too long")),
        }
    }

    /// The record that names the newest key, if there is one.
    pub(crate) async fn key_record(&self) -> Result<Option<Record>, StoreError> {
        match self.files.load(&reserved()).await {
            // Lost, but not what it said: the records name their keys themselves.
            Err(error) if error.is_unreadable() => Ok(None),
            found => found,
        }
    }

    /// The key that this session's record is sealed with.
    async fn key_of(&self, session: Option<&SessionId>) -> Result<Option<String>, StoreError> {
        let Some(session) = session else { return Ok(None) };
        match self.files.load(session).await {
            Err(error) if error.is_unreadable() => Ok(None),
            found => Ok(found?.as_ref().and_then(named_by).map(str::to_owned)),
        }
    }

    async fn newest_by(&self, bound: Duration, record: &Record) -> Result<SealingKey, StoreError> {
        let id = named_by(record).ok_or_else(|| StoreError::unavailable("the keyring's own record names no key"))?;
        let key = self.named_within(bound, id).await?;
        self.known().newest = Some(key.clone());
        Ok(key)
    }

    /// Writes down that this is the newest key, unless somebody else was faster: then it is theirs.
    async fn name(&self, bound: Duration, key: SealingKey, before: Option<&Record>) -> Result<SealingKey, StoreError> {
        let record = naming(&key)?;
        match self.files.swap(&reserved(), before.map(Record::version), &record).await? {
            Swap::Done => {
                let mut known = self.known();
                known.fresh = None;
                known.named.insert(key.id().to_owned(), key.clone());
                known.newest = Some(key.clone());
                Ok(key)
            }
            Swap::Found(found) => {
                let named = found.as_ref().and_then(named_by);
                // It may be the one: named by a call that was dropped before it could say so.
                let unused = self.known().fresh.take().filter(|fresh| named != Some(fresh.id()));
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
            // Made by a call that came back too late for whoever made it.
            if let Some(key) = lock(&known).fresh.clone() {
                return Ok(key);
            }
            let key = entry::make(&*keyring.connect()?, &service)?;
            lock(&known).fresh = Some(key.clone());
            Ok(key)
        };
        self.keyring.ask(bound, make).await
    }

    async fn named_within(&self, bound: Duration, id: &str) -> Result<SealingKey, StoreError> {
        if let Some(key) = self.known().named.get(id) {
            return Ok(key.clone());
        }
        let proof = self.key_record().await?.filter(|record| named_by(record) == Some(id));
        let (known, service, id) = (Arc::clone(&self.known), Arc::clone(&self.service), id.to_owned());
        let read = move |keyring: &Keyring<'_>| {
            if let Some(key) = lock(&known).named.get(&id) {
                return Ok(key.clone());
            }
            let key = entry::read(&*keyring.connect()?, &service, &id)?;
            if proof.is_some_and(|record| !is_named_by(&record, &key)) {
                // What it seals could not be opened later, and what it does not open is not broken.
                return Err(StoreError::unavailable("the keyring has another key under this id"));
            }
            // Kept here, since the person who typed a password may have taken longer than anyone waited.
            lock(&known).named.insert(id, key.clone());
            Ok(key)
        };
        self.keyring.ask(bound, read).await
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }
}

#[async_trait]
impl Keys for KeyringKeys {
    async fn newest(&self, id: &SessionId) -> Result<SealingKey, StoreError> {
        self.newest_within(self.bound, Some(id)).await
    }

    async fn named(&self, id: &str) -> Result<SealingKey, StoreError> {
        self.named_within(self.bound, id).await
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    // Nothing in here can panic half-way through a change.
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
