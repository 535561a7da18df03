//! One session's record in its folder: read by anyone, changed by whoever holds the write lock.

use std::io::Write;

use crate::id::{SessionId, Version};
use crate::store::contract::Swap;
use crate::store::error::StoreError;
use crate::store::file::envelope::{self, LARGEST};
use crate::store::file::folder::Folder;
use crate::store::file::trouble::Trouble;
use crate::store::record::Record;

/// So many broken files of one session are kept for whoever wants to look at them.
const ASIDE: u32 = 3;

/// The record of a session, in the file `name` of a folder.
pub(crate) struct RecordFile<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) name: &'a str,
    pub(crate) id: &'a SessionId,
    /// Whether the file was named by the program, and not after the id.
    pub(crate) named: bool,
}

/// What is to become of a record.
#[derive(Debug)]
pub(crate) enum Change {
    Swap(Option<Version>, Record),
    Remove,
    /// Nothing, but what is unreadable is set aside.
    Tidy,
}

impl RecordFile<'_> {
    /// Reads the record. What is unreadable is still there afterwards.
    pub(crate) fn read(&self) -> Result<Option<Record>, StoreError> {
        let Some(bytes) = self.folder.read(self.name, LARGEST)? else { return Ok(None) };
        if bytes.len() > LARGEST {
            return Err(StoreError::unreadable("the file is far too long for a record"));
        }
        let found = envelope::opened(&bytes)?;
        if found.id == *self.id {
            Ok(Some(found.record))
        } else if self.named {
            Err(Trouble::refused(&self.folder.path_of(self.name), "it holds another session").into())
        } else {
            Err(StoreError::unreadable("the file holds another session"))
        }
    }

    /// Nobody but the session in the file has a say about a file that was named by the program.
    pub(crate) fn refuse_another(&self) -> Result<(), StoreError> {
        match self.read() {
            Err(error) if self.named && error.is_unavailable() => Err(error),
            _ => Ok(()),
        }
    }

    /// Carries out a change. Only for whoever holds the write lock.
    pub(crate) fn change(&self, change: &Change) -> Result<Swap, StoreError> {
        if matches!(change, Change::Remove) {
            self.refuse_another()?;
            self.forget()?;
            return Ok(Swap::Done);
        }
        let found = match self.read() {
            Err(error) if error.is_unreadable() => {
                self.set_aside()?;
                if matches!(change, Change::Tidy) {
                    return Err(error);
                }
                None
            }
            found => found?,
        };
        match change {
            Change::Swap(expected, _) if found.as_ref().map(Record::version) != *expected => Ok(Swap::Found(found)),
            Change::Swap(_, record) => self.replace(record).map(|()| Swap::Done),
            Change::Remove | Change::Tidy => Ok(Swap::Found(found)),
        }
    }

    /// Old or new at every moment, also at that of a power failure.
    fn replace(&self, record: &Record) -> Result<(), StoreError> {
        let bytes = envelope::sealed(self.id, record);
        if bytes.len() > LARGEST {
            return Err(StoreError::unavailable("the record is too long to be kept"));
        }
        let new = self.beside("new");
        let written = self.write(&new, &bytes).and_then(|()| self.folder.rename(&new, self.name));
        if let Err(trouble) = written {
            // It holds tokens that are in nobody's way, and takes up room on a disk that may be full.
            let _best_effort = self.folder.remove(&new);
            return Err(trouble.into());
        }
        Ok(self.folder.sync()?)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Trouble> {
        let mut file = self.folder.create_anew(name)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.map_err(|error| Trouble::new("write", &self.folder.path_of(name), error))
    }

    /// Renames what is unreadable: the newest to `broken-1`, and those before it up by one, of which the last is dropped.
    fn set_aside(&self) -> Result<(), Trouble> {
        let broken = |nth: u32| self.beside(&format!("broken-{nth}"));
        for nth in (1..ASIDE).rev() {
            if self.folder.read(&broken(nth), 0)?.is_some() {
                self.folder.rename(&broken(nth), &broken(nth + 1))?;
            }
        }
        self.folder.rename(self.name, &broken(1))?;
        self.folder.sync()
    }

    /// Removes the record, and what was once set aside or left behind of it. The locks stay.
    fn forget(&self) -> Result<(), Trouble> {
        let mut names = vec![self.name.to_owned(), self.beside("new")];
        names.extend((1..=ASIDE).map(|nth| self.beside(&format!("broken-{nth}"))));
        let mut removed = false;
        for name in names {
            removed |= self.folder.remove(&name)?;
        }
        if removed { self.folder.sync() } else { Ok(()) }
    }

    fn beside(&self, what: &str) -> String {
        format!("{}.{what}", self.name)
    }
}
