//! Where the files are: a folder for all sessions, or one named file.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::id::SessionId;
use crate::store::file::folder::Folder;
use crate::store::file::name::{beside, file_name, is_given};
use crate::store::file::trouble::Trouble;

/// A folder, and what the files in it are called.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    /// The name of the one file, if there is only one.
    file: Option<String>,
    opened: Mutex<Opened>,
}

/// What the files of a session are called.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) record: String,
    /// What the names of the files beside it begin with.
    front: String,
    /// Whether the program named the record, in a folder that may hold anything.
    pub(crate) is_named: bool,
}

impl Names {
    /// What is written before it takes the record's place.
    pub(crate) fn half_written(&self) -> String {
        format!("{}.new", self.front)
    }

    pub(crate) fn write_lock(&self) -> String {
        format!("{}.write-lock", self.front)
    }

    pub(crate) fn refresh_lock(&self) -> String {
        format!("{}.refresh-lock", self.front)
    }
}

#[derive(Debug)]
enum Opened {
    Never,
    Now(Arc<Folder>),
    /// It was there, and then it was not.
    Before,
}

impl Place {
    /// A folder, with a file for each session.
    pub(crate) fn folder(path: &Path) -> Self {
        Self { path: whole(path), file: None, opened: Mutex::new(Opened::Never) }
    }

    /// One file, in a folder that may hold anything.
    pub(crate) fn file(path: &Path) -> Self {
        let path = whole(path);
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default().to_owned();
        let folder = path.parent().map_or_else(|| path.clone(), Path::to_owned);
        Self { path: folder, file: Some(name), opened: Mutex::new(Opened::Never) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.file.as_ref().map_or_else(|| self.path.clone(), |file| self.path.join(file))
    }

    /// What the files of this session are called.
    pub(crate) fn names_of(&self, id: &SessionId) -> Names {
        match &self.file {
            Some(file) => Names { record: file.clone(), front: beside(file), is_named: true },
            None => Names { record: file_name(id), front: file_name(id), is_named: false },
        }
    }

    /// Where the session's record is.
    pub(crate) fn path_of(&self, id: &SessionId) -> PathBuf {
        self.path.join(self.names_of(id).record)
    }

    /// The folder, if it is there.
    ///
    /// That a folder which was open is gone is said once, as an error: it may have been put elsewhere, or be about to come
    /// back. Whoever asks again gets what is there then.
    pub(crate) fn open(&self) -> Result<Option<Arc<Folder>>, Trouble> {
        match &self.file {
            Some(name) if name.is_empty() => {
                return Err(Trouble::refused(&self.path, "the path names no file, or not in Unicode"));
            }
            Some(name) if is_given(name) => {
                return Err(Trouble::refused(&self.path(), "a store gives such names by itself; choose another one"));
            }
            Some(_) | None => {}
        }
        // Nothing in here can panic half-way through a change.
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Opened::Now(folder) = &*opened {
            if folder.is_at_its_path() {
                return Ok(Some(Arc::clone(folder)));
            }
            *opened = Opened::Before;
            return Err(Trouble::refused(&self.path, "the folder was removed or replaced"));
        }
        let folder = Folder::open(&self.path)?.map(Arc::new);
        if let Some(folder) = &folder {
            *opened = Opened::Now(Arc::clone(folder));
        }
        Ok(folder)
    }

    /// The folder, made if it is not there.
    ///
    /// At first with all that leads to it. One that was there before is made again only where its parent still is, so that
    /// nothing is written to the mount point of a disk that is gone.
    pub(crate) fn open_or_make(&self) -> Result<Arc<Folder>, Trouble> {
        for _try in 0..2 {
            if let Some(folder) = self.open()? {
                return Ok(folder);
            }
            let never = matches!(*self.opened.lock().unwrap_or_else(PoisonError::into_inner), Opened::Never);
            Folder::make(&self.path, never)?;
        }
        Err(Trouble::refused(&self.path, "the folder is removed again and again"))
    }
}

/// Absolute, since the program may change its working folder, and without a slash at the end, which would follow a link.
fn whole(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_empty| path.to_owned()).components().collect()
}
