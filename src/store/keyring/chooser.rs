//! Who chooses between keyring and plain files, and by what.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::id::Version;
use crate::store::contract::{Lock, LockGuard, LockRequest, Swap, TokenStore};
use crate::store::error::StoreError;
use crate::store::file::file_store::FileStore;
use crate::store::file::use_lock::{Use, UseLock};
use crate::store::keyring::choice::{self, Choice, key_of, reserved};
use crate::store::record::Record;
use crate::store::sealed_content::KeyName;

/// Shared by programs that keep plain files in the folder, and held alone while the keyring is chosen for it. It is there
/// where plain files were ever chosen.
const PLAIN_FILES: &str = "plain-files.lock";

/// The choice of one folder.
#[derive(Debug, Clone)]
pub(crate) struct Chooser {
    pub(crate) files: FileStore,
}

/// What a folder says about itself in which no choice of the keyring can be read.
pub(crate) struct Past {
    /// The version of the choice that was written down, if it can be read.
    pub(crate) before: Option<Version>,
    /// Plain files were chosen, and nothing is sealed.
    pub(crate) was_files: bool,
    /// The keys of records that are sealed: the choice was lost, or is a lie.
    pub(crate) sealed_with: BTreeSet<KeyName>,
    /// What cannot be read, so that it may have been sealed.
    unreadable: Option<String>,
}

/// What was chosen for a folder.
pub(crate) enum Chosen {
    /// By this record.
    Keyring(Record),
    NotKeyring(Past),
}

impl Past {
    /// Whether anything was sealed; an error where that cannot be seen.
    pub(crate) fn was_sealed(&self) -> Result<bool, StoreError> {
        match &self.unreadable {
            Some(what) if self.sealed_with.is_empty() && !self.was_files => Err(StoreError::unavailable(format!(
                "it is not known whether the keyring was chosen for this folder, since this cannot be read: {what}"
            ))),
            _ => Ok(!self.sealed_with.is_empty()),
        }
    }
}

impl Chooser {
    /// One program chooses at a time.
    pub(crate) async fn alone(&self, wait: Duration) -> Result<Box<dyn LockGuard>, StoreError> {
        match self.files.lock(&reserved(), LockRequest::new(wait, wait)).await? {
            Lock::Held(guard) => Ok(guard),
            Lock::NotShared | Lock::Busy => {
                Err(StoreError::unavailable("another program has been choosing the keyring or its key for too long"))
            }
        }
    }

    /// The record by which the keyring was chosen, if it can be read.
    pub(crate) async fn keyring(&self) -> Result<Option<Record>, StoreError> {
        match Choice::of(self.files.peek(&reserved()).await)? {
            Choice::Keyring(record) => Ok(Some(record)),
            Choice::Nothing | Choice::Unreadable | Choice::Files(_) => Ok(None),
        }
    }

    /// What was chosen, by the record of that, and where there is none by the other records.
    pub(crate) async fn chosen(&self) -> Result<Chosen, StoreError> {
        let choice = Choice::of(self.files.peek(&reserved()).await)?;
        let (before, said_files, unreadable) = match choice {
            Choice::Keyring(record) => return Ok(Chosen::Keyring(record)),
            Choice::Files(record) => (Some(record.version()), true, None),
            Choice::Nothing => (None, false, None),
            Choice::Unreadable => (None, false, Some("the record of what was chosen".to_owned())),
        };
        let seen = Arc::new(Mutex::new((BTreeSet::new(), unreadable)));
        let note = Arc::clone(&seen);
        let see = move |file: &Path, found: Result<_, StoreError>| {
            let mut note = note.lock().unwrap_or_else(PoisonError::into_inner);
            match found {
                Ok((id, _)) if id == reserved() => {}
                Ok((_, record)) => note.0.extend(key_of(&record).cloned()),
                Err(_) => drop(note.1.get_or_insert_with(|| file.display().to_string())),
            }
        };
        self.files.each(see).await?;
        let (sealed_with, unreadable) = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        let was_files = sealed_with.is_empty() && (said_files || self.files.was_locked_for(PLAIN_FILES).await?);
        Ok(Chosen::NotKeyring(Past { before, was_files, sealed_with, unreadable }))
    }

    /// Lets no program choose plain files, nor find that the keyring was chosen while it keeps them.
    pub(crate) async fn no_plain_files(&self) -> Result<Option<UseLock>, StoreError> {
        if !self.files.was_locked_for(PLAIN_FILES).await? {
            return Ok(None);
        }
        let in_use = || StoreError::unavailable("a program that is running keeps plain files in this folder");
        self.files.lock_for(PLAIN_FILES, Use::Alone).await?.map(Some).ok_or_else(in_use)
    }

    /// Chooses plain files, and keeps the keyring from being chosen for as long as the lock is held. Only for the one who
    /// is [`alone`](Self::alone).
    ///
    /// `None`: the keyring was chosen, and what is sealed cannot be read without it.
    pub(crate) async fn choose_files(&self) -> Result<Option<UseLock>, StoreError> {
        let Chosen::NotKeyring(past) = self.chosen().await? else { return Ok(None) };
        if past.was_sealed()? {
            return Ok(None);
        }
        let in_use = self.files.lock_for(PLAIN_FILES, Use::Shared).await?;
        let in_use = in_use.ok_or_else(|| StoreError::unavailable("another program is choosing the keyring"))?;
        if past.before.is_none() {
            match self.files.swap(&reserved(), None, &choice::files()).await? {
                Swap::Done => {}
                Swap::Found(_) => return Err(StoreError::unavailable("another program has chosen at the same time")),
            }
        }
        Ok(Some(in_use))
    }
}
