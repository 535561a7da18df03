//! One descriptor of the folder is held, and everything is done relative to it: whoever swaps the folder or a file for a
//! link leads nobody astray.

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;
use zeroize::Zeroizing;

use crate::store::file::trouble::Trouble;

/// What nobody but the owner may do.
const OTHERS: Mode = Mode::RWXG.union(Mode::RWXO);
const OTHERS_WRITE: Mode = Mode::WGRP.union(Mode::WOTH);
const OWN_FOLDER: Mode = Mode::RWXU;
const OWN_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A link is not followed, a pipe not waited for, and a child of the program does not get the descriptor.
const CAREFULLY: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// An open folder.
#[derive(Debug)]
pub(crate) struct Folder {
    descriptor: File,
    path: PathBuf,
}

impl Folder {
    /// Makes the folder, and with `parents` what leads to it. One that is there already is left as it is.
    pub(crate) fn make(path: &Path, parents: bool) -> Result<(), Trouble> {
        let made = DirBuilder::new().recursive(parents).mode(0o700).create(path);
        match made {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Trouble::new("make the folder", path, error)),
            _ => Ok(()),
        }
    }

    /// Opens the folder, if it is there. One that is `ours` alone is closed to others; any other must not be writable by
    /// them.
    pub(crate) fn open(path: &Path, ours: bool) -> Result<Option<Self>, Trouble> {
        let failed = |errno| Trouble::new("open the folder", path, errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | CAREFULLY;
        let descriptor = match rustix::io::retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty())) {
            Err(Errno::NOENT) => return Ok(None),
            opened => File::from(opened.map_err(failed)?),
        };
        let stat = rustix::fs::fstat(&descriptor).map_err(failed)?;
        if stat.st_uid != geteuid().as_raw() {
            return Err(Trouble::refused(path, "the folder belongs to another user"));
        }
        let mode = Mode::from_raw_mode(stat.st_mode);
        if ours && mode.intersects(OTHERS) {
            rustix::fs::fchmod(&descriptor, mode & OWN_FOLDER).map_err(failed)?;
        } else if mode.intersects(OTHERS_WRITE) {
            return Err(Trouble::refused(path, "others may write to the folder (chmod go-w takes that from them)"));
        }
        Ok(Some(Self { descriptor, path: path.to_owned() }))
    }

    /// Whether the path still leads to this folder. It may have been removed, or put elsewhere.
    pub(crate) fn is_at_its_path(&self) -> bool {
        are_one(rustix::fs::lstat(&self.path), rustix::fs::fstat(&self.descriptor))
    }

    /// Where a file of this name is, for people.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What its files are called, as far as that is Unicode.
    #[cfg(feature = "keyring")]
    pub(crate) fn names(&self) -> Result<Vec<String>, Trouble> {
        let failed = |errno| Trouble::new("list", &self.path, errno);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.descriptor).map_err(failed)? {
            names.extend(entry.map_err(failed)?.file_name().to_str().map(str::to_owned));
        }
        Ok(names)
    }

    /// What is in a file, if it is there; of one that is longer than `most`, a byte more than that.
    pub(crate) fn read(&self, name: &str, most: usize) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        let failed = |error| Trouble::new("read", &self.path_of(name), error);
        let (file, stat) = match self.open_file(name, OFlags::RDONLY) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.map_err(|errno| failed(errno.into()))?,
        };
        self.check(name, &file, &stat)?;
        let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX).min(most) + 1;
        // Room for all of it and the end, so that it is not moved and left behind unwiped.
        let mut bytes = Zeroizing::new(Vec::with_capacity(size + 1));
        file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }

    /// A new, empty file of the owner alone. What had this name is gone, whatever it was.
    pub(crate) fn create_anew(&self, name: &str) -> Result<File, Trouble> {
        let failed = |errno: Errno| Trouble::new("create", &self.path_of(name), errno);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let (file, stat) = match self.open_file(name, flags) {
            Err(Errno::EXIST) => {
                self.remove(name)?;
                self.open_file(name, flags)
            }
            opened => opened,
        }
        .map_err(failed)?;
        if Mode::from_raw_mode(stat.st_mode) & Mode::from_raw_mode(0o777) != OWN_FILE {
            // A strange umask takes from the owner too.
            rustix::fs::fchmod(&file, OWN_FILE).map_err(failed)?;
        }
        Ok(file)
    }

    /// A file to be locked, made if it is not there, and never written to.
    pub(crate) fn open_lock(&self, name: &str) -> Result<File, Trouble> {
        let opened = match self.open_file(name, OFlags::RDWR | OFlags::CREATE) {
            // What is there can be locked, so that a disk that became read-only keeps nobody from refreshing.
            Err(Errno::ROFS) => self.open_file(name, OFlags::RDONLY).map_err(|_absent| Errno::ROFS),
            opened => opened,
        };
        let (file, stat) = opened.map_err(|errno| Trouble::new("open", &self.path_of(name), errno))?;
        self.check(name, &file, &stat)?;
        Ok(file)
    }

    /// Whether the name leads to this very file. It may have been unlinked, and another be in its place.
    pub(crate) fn leads_to(&self, name: &str, file: &File) -> bool {
        let there = rustix::fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW);
        are_one(there, rustix::fs::fstat(file))
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), Trouble> {
        let renamed = rustix::fs::renameat(&self.descriptor, from, &self.descriptor, to);
        renamed.map_err(|errno| Trouble::new("rename", &self.path_of(from), errno))
    }

    /// Whether there was something to remove.
    pub(crate) fn remove(&self, name: &str) -> Result<bool, Trouble> {
        match rustix::fs::unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(false),
            removed => removed.map(|()| true).map_err(|errno| Trouble::new("remove", &self.path_of(name), errno)),
        }
    }

    /// Has what was renamed and removed written down.
    pub(crate) fn sync(&self) -> Result<(), Trouble> {
        match self.descriptor.sync_all() {
            // Some file systems cannot do this for a folder, or need not.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
            synced => synced.map_err(|error| Trouble::new("sync the folder", &self.path, error)),
        }
    }

    fn open_file(&self, name: &str, flags: OFlags) -> rustix::io::Result<(File, Stat)> {
        let open = || rustix::fs::openat(&self.descriptor, name, flags | CAREFULLY, OWN_FILE);
        let file = File::from(rustix::io::retry_on_intr(open)?);
        let stat = rustix::fs::fstat(&file)?;
        Ok((file, stat))
    }

    /// Refuses what is not a file of ours alone, and takes from others what they may do with it.
    fn check(&self, name: &str, file: &File, stat: &Stat) -> Result<(), Trouble> {
        let refused = |why| Err(Trouble::refused(&self.path_of(name), why));
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return refused("it is no regular file");
        }
        if stat.st_uid != geteuid().as_raw() {
            return refused("it belongs to another user");
        }
        if stat.st_nlink > 1 {
            return refused("it has a second name (a hard link)");
        }
        if Mode::from_raw_mode(stat.st_mode).intersects(OTHERS) {
            let closed = rustix::fs::fchmod(file, OWN_FILE);
            closed.map_err(|errno| Trouble::new("close to others", &self.path_of(name), errno))?;
        }
        Ok(())
    }
}

fn are_one(one: rustix::io::Result<Stat>, other: rustix::io::Result<Stat>) -> bool {
    matches!((one, other), (Ok(one), Ok(other)) if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}
