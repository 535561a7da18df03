//! The folder is named by its path, which is all that the standard library offers here. What Windows does by itself: who
//! may read a file follows from the folder it is in, and a file that is open for locking cannot be deleted.
//!
//! Reviewed, not tested.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Error, ErrorKind, Read};
use std::os::windows::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::store::file::trouble::Trouble;

/// `FILE_FLAG_OPEN_REPARSE_POINT`: a link is opened itself, and not followed.
const THE_LINK_ITSELF: u32 = 0x0020_0000;
/// `FILE_SHARE_READ | FILE_SHARE_WRITE`, and so not `FILE_SHARE_DELETE`.
const BUT_NOT_DELETE: u32 = 0x3;
/// So often a file is tried again that a virus scanner or an indexer holds open.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// A folder that was there.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder, and with `parents` what leads to it. One that is there already is left as it is.
    pub(crate) fn make(path: &Path, parents: bool) -> Result<(), Trouble> {
        match DirBuilder::new().recursive(parents).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Trouble::new("make the folder", path, error)),
            _ => Ok(()),
        }
    }

    /// Opens the folder, if it is there.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, Trouble> {
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Trouble::new("open the folder", path, error)),
            Ok(found) if found.is_symlink() => {
                Err(Trouble::refused(path, "the folder is a link; name the folder it leads to"))
            }
            Ok(found) if !found.is_dir() => Err(Trouble::refused(path, "it is no folder")),
            Ok(_) => Ok(Some(Self { path: path.to_owned() })),
        }
    }

    /// The path says which folder it is.
    #[expect(clippy::unused_self, reason = "elsewhere the folder is asked")]
    pub(crate) fn identity(&self) -> (u64, u64) {
        (0, 0)
    }

    /// Whether the folder is still there.
    pub(crate) fn is_at_its_path(&self) -> bool {
        std::fs::symlink_metadata(&self.path).is_ok_and(|found| found.is_dir())
    }

    /// Where a file of this name is.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What its files are called, as far as that is Unicode.
    #[cfg(feature = "keyring")]
    pub(crate) fn names(&self) -> Result<Vec<String>, Trouble> {
        let failed = |error| Trouble::new("list", &self.path, error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            names.extend(entry.map_err(failed)?.file_name().into_string().ok());
        }
        Ok(names)
    }

    /// Whether there is anything of this name.
    pub(crate) fn holds(&self, name: &str) -> Result<bool, Trouble> {
        match std::fs::symlink_metadata(self.path_of(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            found => found.map(|_| true).map_err(|error| Trouble::new("look at", &self.path_of(name), error)),
        }
    }

    /// What is in a file, if it is there; of one that is longer than `most`, a byte more than that.
    pub(crate) fn read(&self, name: &str, most: usize) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        let failed = |error| Trouble::new("read", &self.path_of(name), error);
        let open = || OpenOptions::new().read(true).custom_flags(THE_LINK_ITSELF).open(self.path_of(name));
        let mut file = match patiently(open) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let size = usize::try_from(self.checked_size(name, &file)?).unwrap_or(usize::MAX).min(most) + 1;
        // Never grown, so that no copy is left behind unwiped.
        let (mut bytes, mut length) = (Zeroizing::new(vec![0; size]), 0);
        while length < size {
            match file.read(&mut bytes[length..]) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        bytes.truncate(length);
        Ok(Some(bytes))
    }

    /// A new, empty file; nothing may have this name.
    pub(crate) fn create(&self, name: &str) -> Result<File, Trouble> {
        let create = || OpenOptions::new().write(true).create_new(true).open(self.path_of(name));
        patiently(create).map_err(|error| Trouble::new("create", &self.path_of(name), error))
    }

    /// A file to be locked, made if it is not there, and never written to.
    pub(crate) fn open_lock(&self, name: &str) -> Result<File, Trouble> {
        let mut how = OpenOptions::new();
        how.read(true).write(true).create(true).truncate(false);
        how.share_mode(BUT_NOT_DELETE).custom_flags(THE_LINK_ITSELF);
        let opened = patiently(|| how.open(self.path_of(name)));
        let file = opened.map_err(|error| Trouble::new("open", &self.path_of(name), error))?;
        if self.checked_size(name, &file)? > 0 {
            return Err(Trouble::refused(&self.path_of(name), "it is not empty, and so no lock file; remove it"));
        }
        Ok(file)
    }

    /// Removes a lock file that we have locked. Another program that has it open for locking keeps it there.
    pub(crate) fn remove_lock(&self, name: &str, file: File) {
        drop(file);
        let _best_effort = std::fs::remove_file(self.path_of(name));
    }

    /// Whether the name leads to this very file: it does, since nobody can delete a file that is open for locking.
    #[expect(clippy::unused_self, reason = "elsewhere the folder is asked")]
    pub(crate) fn leads_to(&self, _name: &str, _file: &File) -> bool {
        true
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), Trouble> {
        let renamed = patiently(|| std::fs::rename(self.path_of(from), self.path_of(to)));
        renamed.map_err(|error| Trouble::new("rename", &self.path_of(from), error))
    }

    /// Whether there was something to remove.
    pub(crate) fn remove(&self, name: &str) -> Result<bool, Trouble> {
        match patiently(|| std::fs::remove_file(self.path_of(name))) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true).map_err(|error| Trouble::new("remove", &self.path_of(name), error)),
        }
    }

    /// A folder cannot be synced here; the file system writes down renames in order.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "elsewhere the folder is asked, and can fail")]
    pub(crate) fn sync(&self) -> Result<(), Trouble> {
        Ok(())
    }

    fn checked_size(&self, name: &str, file: &File) -> Result<u64, Trouble> {
        let found = file.metadata().map_err(|error| Trouble::new("read", &self.path_of(name), error))?;
        if found.is_file() && !found.is_symlink() {
            Ok(found.len())
        } else {
            Err(Trouble::refused(&self.path_of(name), "it is no regular file"))
        }
    }
}

/// Tries again for a moment while somebody else has the file open.
fn patiently<T>(mut attempt: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    for _try in 1..TRIES {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::PermissionDenied || error.raw_os_error() == Some(32) => {
                std::thread::sleep(BETWEEN_TRIES);
            }
            done => return done,
        }
    }
    attempt()
}
