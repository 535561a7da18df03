//! One descriptor of the folder is held, and everything is done relative to it: a folder or a file that is swapped for a
//! link leads nothing astray.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};
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
const OPEN_FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// An open folder.
#[derive(Debug)]
pub(crate) struct Folder {
    descriptor: File,
    path: PathBuf,
    identity: (u64, u64),
}

impl Folder {
    /// Makes the folder, and with `parents` what leads to it. One that is there already is left as it is.
    pub(crate) fn make(path: &Path, parents: bool) -> Result<(), Trouble> {
        let failed = |errno| Trouble::new("make the folder", path, errno);
        match retry_on_intr(|| rustix::fs::mkdir(path, OWN_FOLDER)) {
            Err(Errno::EXIST) => return Ok(()),
            Err(Errno::NOENT) if parents => {
                let parent = path.parent().ok_or_else(|| failed(Errno::NOENT))?;
                Self::make(parent, true)?;
                match retry_on_intr(|| rustix::fs::mkdir(path, OWN_FOLDER)) {
                    Err(Errno::EXIST) => return Ok(()),
                    made => made.map_err(failed)?,
                }
            }
            made => made.map_err(failed)?,
        }
        let finished = Self::open_to_its_owner(path).and_then(|()| Self::sync_parent_of(path));
        if finished.is_err() {
            // A folder that is there is not synced again, so that the next call has to make it.
            let _best_effort = rustix::fs::rmdir(path);
        }
        finished
    }

    /// A strange umask takes from the owner too. This folder was made a moment ago.
    fn open_to_its_owner(path: &Path) -> Result<(), Trouble> {
        let failed = |errno| Trouble::new("make the folder", path, errno);
        let stat = retry_on_intr(|| rustix::fs::lstat(path)).map_err(failed)?;
        let is_ours = FileType::from_raw_mode(stat.st_mode).is_dir() && stat.st_uid == geteuid().as_raw();
        if is_ours && !Mode::from_raw_mode(stat.st_mode).contains(OWN_FOLDER) {
            retry_on_intr(|| rustix::fs::chmod(path, OWN_FOLDER)).map_err(failed)?;
        }
        Ok(())
    }

    /// Has the name of what was made written down.
    fn sync_parent_of(path: &Path) -> Result<(), Trouble> {
        let Some(parent) = path.parent() else { return Ok(()) };
        match retry_on_intr(|| rustix::fs::open(parent, OPEN_FOLDER, Mode::empty())) {
            // Names may be made in it, but not listed: nobody can sync it.
            Err(Errno::ACCESS) => Ok(()),
            opened => {
                let opened = opened.map_err(|errno| Trouble::new("open the folder", parent, errno))?;
                sync_folder(&File::from(opened), parent)
            }
        }
    }

    /// Opens the folder, if it is there. It is never changed: one that others may write to is refused.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, Trouble> {
        let failed = |errno| Trouble::new("open the folder", path, errno);
        let descriptor = match retry_on_intr(|| rustix::fs::open(path, OPEN_FOLDER | CAREFULLY, Mode::empty())) {
            Err(Errno::NOENT) => return Ok(None),
            Err(errno @ (Errno::NOTDIR | Errno::LOOP)) => {
                let kind = retry_on_intr(|| rustix::fs::lstat(path)).map(|stat| FileType::from_raw_mode(stat.st_mode));
                return Err(match kind {
                    Ok(FileType::Symlink) => {
                        Trouble::refused(path, "the folder is a link; name the folder it leads to")
                    }
                    Ok(FileType::Directory) | Err(_) => failed(errno),
                    Ok(_) => Trouble::refused(path, "it is no folder"),
                });
            }
            opened => File::from(opened.map_err(failed)?),
        };
        let stat = status(&descriptor).map_err(failed)?;
        if stat.st_uid != geteuid().as_raw() {
            return Err(Trouble::refused(
                path,
                "the folder belongs to another user; name one inside it, which is made",
            ));
        }
        if Mode::from_raw_mode(stat.st_mode).intersects(OTHERS_WRITE) {
            let why = "others may write to the folder; name one inside it, which is made, or take that from them \
                       (chmod go-w)";
            return Err(Trouble::refused(path, why));
        }
        let identity = identity(&stat);
        Ok(Some(Self { descriptor, path: path.to_owned(), identity }))
    }

    /// Tells this folder from every other one that is open.
    pub(crate) fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// Whether the path still leads to this folder. It may have been removed, or put elsewhere.
    pub(crate) fn is_at_its_path(&self) -> bool {
        retry_on_intr(|| rustix::fs::lstat(&self.path)).is_ok_and(|stat| identity(&stat) == self.identity)
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

    /// Whether there is anything of this name.
    pub(crate) fn holds(&self, name: &str) -> Result<bool, Trouble> {
        match retry_on_intr(|| rustix::fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW)) {
            Err(Errno::NOENT) => Ok(false),
            found => found.map(|_stat| true).map_err(|errno| Trouble::new("look at", &self.path_of(name), errno)),
        }
    }

    /// What is in a file, if it is there; of one that is longer than `most`, a byte more than that.
    pub(crate) fn read(&self, name: &str, most: usize) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        let (mut file, stat) = match self.open_file(name, OFlags::RDONLY) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.map_err(|errno| self.not_opened(name, errno))?,
        };
        self.check(name, &file, &stat, Mode::empty())?;
        let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX).min(most) + 1;
        // Never grown, so that no copy is left behind unwiped.
        let (mut bytes, mut length) = (Zeroizing::new(vec![0; size]), 0);
        while length < size {
            match file.read(&mut bytes[length..]) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Trouble::new("read", &self.path_of(name), error)),
            }
        }
        bytes.truncate(length);
        Ok(Some(bytes))
    }

    /// A new, empty file of the owner alone; nothing may have this name.
    pub(crate) fn create(&self, name: &str) -> Result<File, Trouble> {
        let opened = self.open_file(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL);
        let (file, stat) = opened.map_err(|errno| Trouble::new("create", &self.path_of(name), errno))?;
        self.close_to_others(name, &file, &stat, OWN_FILE)?;
        Ok(file)
    }

    /// A file to be locked, made if it is not there, and never written to.
    pub(crate) fn open_lock(&self, name: &str) -> Result<File, Trouble> {
        let opened = match self.open_file(name, OFlags::RDWR | OFlags::CREATE) {
            // What is there can be locked, so that a disk that became read-only keeps nobody from refreshing.
            Err(Errno::ROFS) => self.open_file(name, OFlags::RDONLY).map_err(|_absent| Errno::ROFS),
            opened => opened,
        };
        let (file, stat) = opened.map_err(|errno| self.not_opened(name, errno))?;
        if stat.st_size > 0 {
            return Err(Trouble::refused(&self.path_of(name), "it is not empty, and so no lock file; remove it"));
        }
        self.check(name, &file, &stat, OWN_FILE)?;
        Ok(file)
    }

    /// Removes a lock file that we have locked, as the last thing before it is unlocked.
    pub(crate) fn remove_lock(&self, name: &str, file: File) {
        if self.leads_to(name, &file) {
            // One that stays is empty, and is used again.
            let _best_effort = self.remove(name);
        }
        // Closing would do, were there not a child that is just being started and has a copy of the descriptor.
        let _closed_anyway = file.unlock();
        drop(file);
    }

    /// Whether the name leads to this very file. It may have been unlinked, and another be in its place.
    pub(crate) fn leads_to(&self, name: &str, file: &File) -> bool {
        let there = retry_on_intr(|| rustix::fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW));
        matches!((there, status(file)), (Ok(one), Ok(other)) if identity(&one) == identity(&other))
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), Trouble> {
        let renamed = retry_on_intr(|| rustix::fs::renameat(&self.descriptor, from, &self.descriptor, to));
        renamed.map_err(|errno| Trouble::new("rename", &self.path_of(from), errno))
    }

    /// Whether there was something to remove.
    pub(crate) fn remove(&self, name: &str) -> Result<bool, Trouble> {
        match retry_on_intr(|| rustix::fs::unlinkat(&self.descriptor, name, AtFlags::empty())) {
            Err(Errno::NOENT) => Ok(false),
            removed => removed.map(|()| true).map_err(|errno| Trouble::new("remove", &self.path_of(name), errno)),
        }
    }

    /// Has what was renamed and removed written down.
    pub(crate) fn sync(&self) -> Result<(), Trouble> {
        sync_folder(&self.descriptor, &self.path)
    }

    fn open_file(&self, name: &str, flags: OFlags) -> rustix::io::Result<(File, Stat)> {
        let open = || rustix::fs::openat(&self.descriptor, name, flags | CAREFULLY, OWN_FILE);
        let file = File::from(retry_on_intr(open)?);
        let stat = status(&file)?;
        Ok((file, stat))
    }

    fn not_opened(&self, name: &str, errno: Errno) -> Trouble {
        match errno {
            Errno::LOOP => Trouble::refused(&self.path_of(name), "it is a link, which a save would replace"),
            errno => Trouble::new("open", &self.path_of(name), errno),
        }
    }

    /// Refuses what is not a file of ours alone, and takes from others what they may do with it. The owner must have `own`,
    /// which a strange umask takes away.
    fn check(&self, name: &str, file: &File, stat: &Stat, own: Mode) -> Result<(), Trouble> {
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
        self.close_to_others(name, file, stat, own)
    }

    /// Gives the file to its owner alone, and looks whether that was done: some file systems only say so.
    fn close_to_others(&self, name: &str, file: &File, stat: &Stat, own: Mode) -> Result<(), Trouble> {
        let is_closed = |stat: &Stat| Mode::from_raw_mode(stat.st_mode) & (OTHERS | own) == own;
        if is_closed(stat) {
            return Ok(());
        }
        let failed = |errno| Trouble::new("close to others", &self.path_of(name), errno);
        retry_on_intr(|| rustix::fs::fchmod(file, OWN_FILE)).map_err(failed)?;
        if is_closed(&status(file).map_err(failed)?) {
            return Ok(());
        }
        let why = "others may use the file, and its file system does not take that from them (chmod 0600); keep tokens on \
                   another one";
        Err(Trouble::refused(&self.path_of(name), why))
    }
}

fn sync_folder(descriptor: &File, path: &Path) -> Result<(), Trouble> {
    match descriptor.sync_all() {
        // Some file systems cannot do this for a folder, or need not.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        synced => synced.map_err(|error| Trouble::new("sync the folder", path, error)),
    }
}

fn status(file: &File) -> rustix::io::Result<Stat> {
    retry_on_intr(|| rustix::fs::fstat(file))
}

fn identity(stat: &Stat) -> (u64, u64) {
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "the types differ between systems")]
    (stat.st_dev as u64, stat.st_ino as u64)
}
