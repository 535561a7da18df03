//! One session's record in its folder: read by anyone, changed by the holder of the write lock.

use std::io::Write;

use crate::id::{SessionId, Version};
use crate::store::contract::Swap;
use crate::store::error::StoreError;
use crate::store::file::envelope::{self, LARGEST, TITLE_LENGTH};
use crate::store::file::folder::Folder;
use crate::store::file::place::Names;
use crate::store::file::trouble::Trouble;
use crate::store::record::Record;

/// The record of a session in a folder.
pub(crate) struct RecordFile<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) names: &'a Names,
    pub(crate) id: &'a SessionId,
}

/// What is to become of a record.
#[derive(Debug)]
pub(crate) enum Change {
    Swap(Option<Version>, Box<Record>),
    Remove,
    /// Nothing, but what is unreadable goes.
    Tidy,
}

impl Change {
    /// Whether it does something where nothing is stored.
    pub(crate) fn begins(&self) -> bool {
        matches!(self, Self::Swap(None, _))
    }
}

impl RecordFile<'_> {
    /// Reads the record. What is unreadable is still there afterwards.
    pub(crate) fn read(&self) -> Result<Option<Record>, StoreError> {
        let Some(bytes) = self.folder.read(&self.names.record, LARGEST)? else { return Ok(None) };
        if self.names.is_named && !envelope::is_ours(&bytes) {
            return Err(self.refused("it is no file of this store, and is left alone; name another one").into());
        }
        if bytes.len() > LARGEST {
            return Err(StoreError::unreadable("the file is far too long for a record"));
        }
        let found = envelope::opened(&bytes)?;
        if found.id == *self.id {
            Ok(Some(found.record))
        } else if self.names.is_named {
            Err(self.refused("it holds another session").into())
        } else {
            Err(StoreError::unreadable("the file holds another session"))
        }
    }

    /// Where the program named the file, what is in it may be another session's, or no file of ours: it is left alone.
    pub(crate) fn refuse_another(&self) -> Result<(), StoreError> {
        if !self.names.is_named {
            return Ok(());
        }
        match self.read() {
            Err(error) if error.is_unavailable() => Err(error),
            _ => Ok(()),
        }
    }

    /// Carries out a change. Only for the holder of the write lock.
    pub(crate) fn change(&self, change: &Change) -> Result<Swap, StoreError> {
        if matches!(change, Change::Remove) {
            self.forget()?;
            return Ok(Swap::Done);
        }
        let found = match (self.read(), change) {
            (Err(error), Change::Swap(..)) if error.is_unreadable() => None,
            (Err(error), _) if error.is_unreadable() => {
                // Not set aside: a token in it would outlast the logout.
                self.folder.remove(&self.names.record)?;
                self.folder.sync()?;
                return Err(error);
            }
            (found, _) => found?,
        };
        match change {
            Change::Swap(expected, record) if found.as_ref().map(Record::version) == *expected => {
                self.replace(record)?;
                if found.is_none() {
                    // So that it is there to be locked when the disk becomes read-only.
                    drop(self.folder.open_lock(&self.names.refresh_lock()));
                }
                Ok(Swap::Done)
            }
            Change::Swap(..) | Change::Remove | Change::Tidy => {
                if found.is_some() {
                    // What is found counts as stored, and its writer may have failed to have the folder written down.
                    self.folder.sync()?;
                }
                Ok(Swap::Found(found))
            }
        }
    }

    /// Old or new at every moment, also at that of a power failure.
    fn replace(&self, record: &Record) -> Result<(), StoreError> {
        let bytes = envelope::sealed(self.id, record);
        if bytes.len() > LARGEST {
            return Err(StoreError::unavailable("the record is too long to be kept"));
        }
        let new = self.names.half_written();
        self.remove_half_written(&new)?;
        let written = self.write(&new, &bytes).and_then(|()| self.folder.rename(&new, &self.names.record));
        if let Err(trouble) = written {
            // It holds tokens that are in nobody's way, and takes up room on a disk that may be full.
            let _best_effort = self.folder.remove(&new);
            return Err(trouble.into());
        }
        Ok(self.folder.sync()?)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Trouble> {
        let mut file = self.folder.create(name)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.map_err(|error| Trouble::new("write", &self.folder.path_of(name), error))
    }

    /// Removes what a killed write left behind; in a folder that may hold anything, only what is ours.
    fn remove_half_written(&self, name: &str) -> Result<bool, Trouble> {
        if self.names.is_named {
            match self.folder.read(name, TITLE_LENGTH)? {
                Some(bytes) if !envelope::is_ours(&bytes) => {
                    let why = "it is no file of this store, and in its way; remove it";
                    return Err(Trouble::refused(&self.folder.path_of(name), why));
                }
                Some(_) | None => {}
            }
        }
        self.folder.remove(name)
    }

    /// Removes the record, and what was left behind of it. The locks go when they are released.
    fn forget(&self) -> Result<(), Trouble> {
        self.remove_half_written(&self.names.half_written())?;
        self.folder.remove(&self.names.record)?;
        // Also when nothing was there: it may have been removed by a call whose sync failed.
        self.folder.sync()
    }

    fn refused(&self, why: &'static str) -> Trouble {
        Trouble::refused(&self.folder.path_of(&self.names.record), why)
    }
}
