//! The store that outlasts the program: a file for each session.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;

use crate::id::{SessionId, Version};
use crate::store::contract::{Lock, LockRequest, Swap, TokenStore};
use crate::store::error::StoreError;
use crate::store::file::app_folder::{NoAppFolder, app_folder};
use crate::store::file::drawer::Drawer;
use crate::store::file::locking;
use crate::store::file::place::Place;
use crate::store::file::record_file::Change;
use crate::store::file::threads::Threads;
use crate::store::file::writing;
use crate::store::record::Record;

/// Keeps each session in a file, for programs that end and start again, and for several that run at once.
///
/// Three ways to say where:
///
/// - [`FileStore::for_app`] picks the folder in which this system keeps the state of a program; what most want.
/// - [`FileStore::new`] takes a folder.
/// - [`FileStore::single_file`] takes the one file of the one session of a command-line tool.
///
/// ```
/// use reqwest_auth_refresh::{FileStore, RefreshError, RefreshRequest, Session, State, Tokens};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("reqwest-auth-refresh-doc-{}", std::process::id()));
/// let never = |_: RefreshRequest| async { Err(RefreshError::unavailable("not asked in this example")) };
///
/// let session = Session::builder(never).store(FileStore::new(&folder)).build();
/// session.login(Tokens::new("access")?).await?;
/// drop(session);
///
/// // The next run of the program.
/// let again = Session::builder(never).store(FileStore::new(&folder)).build();
/// again.access_token().await?;
/// assert!(matches!(again.state(), State::LoggedIn { .. }));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
///
/// # What it survives
///
/// - **A crash, `kill -9` or power failure at any moment.** A record is written to a second file, synced, renamed over the
///   first, and the folder synced: the old or the new tokens are there, never neither. What a killed write leaves behind
///   (`….new`) is gone with the next one. A folder that is made is synced into the one that it is in.
/// - **Other processes**, of the same user on the same machine: one refreshes, the others adopt what it saved. What must
///   not happen twice is kept apart by file locks, which the system gives back when a process dies, however it dies. Stores
///   for the same path in one process share a queue, and only one of them asks the system.
/// - **Broken content.** Each file carries a checksum. What is not whole is reported as
///   [unreadable](StoreError::unreadable) and removed, or replaced by a login; it is not set aside, since a token in it would
///   outlast the logout. A file of a newer version of the program is left alone.
/// - **A full or read-only disk, a folder that was removed**: calls fail as [unavailable](StoreError::unavailable), and work
///   again when it does. After the folder was removed one call fails, and the next makes it again.
///
/// # What it does not
///
/// - **Other machines.** A network file system may keep records, but locks between hosts are not promised. Where a lock
///   does not even keep out a second descriptor of one process, calls fail as unavailable.
/// - **Programs that may read the user's files.** The tokens are not encrypted.
/// - **Lock files removed by hand** while a program runs: who holds a removed one holds nothing. The store removes them
///   itself, with the record.
/// - **`fork` without `exec`.** Such a child has copies of the descriptors: a lock that its parent held when it died is held
///   until the child has ended too. A child that is started by `exec`, as by [`std::process::Command`], has none.
///
/// # Which files there are
///
/// In a folder: the record of each session, named after its id and a hash of it, and while there is a record two empty lock
/// files (`….write-lock`, `….refresh-lock`) beside it. A lock of a session without a record has its file for as long as it
/// is held, so that ids that are asked for and not known leave nothing, and neither does a session that was
/// [removed](TokenStore::remove). A logout leaves a record that says so.
///
/// Beside a [`single_file`](Self::single_file) the names of the others begin with a dot and hold a hash of its name; names
/// of this kind cannot be given to `single_file`. What has such a name, or that of the file itself, and was not written by
/// this crate, is never removed, renamed or overwritten: calls fail as unavailable and say what is in the way.
///
/// # Who may read it
///
/// On Unix a folder is made with mode 0700 and a file with 0600, whatever the umask says. A file that others may use is
/// closed to them when it is opened, and refused where the file system does not do that (CIFS, FAT: such a disk cannot keep a
/// secret). A folder that is there already is never changed. It must belong to the user, and no others may be able to write
/// to it, the group included; else calls fail as unavailable. In a place that is shared, such as `/tmp` or a volume that
/// belongs to root and is opened by its group (`fsGroup` in Kubernetes), name a folder inside it, which is made.
///
/// A link in the place of the folder or of a file is refused, since a save would replace it and leave what it leads to as it
/// is: name what it leads to. So are a file with a second name, and anything that is no regular file. What leads to the
/// folder is not looked at: a user who can write there can put another folder in its place, but none that belongs to you.
///
/// On Windows a file can be read by the users that its folder admits: use [`for_app`](Self::for_app), or a folder in the
/// user's profile. (The code for Windows is reviewed, not tested.)
///
/// Nothing is opened before the first call. Clones, and stores made for the same place, may be used side by side. What is
/// read and written is read and written on threads of its own, at most eight at once, which hold up neither the runtime nor
/// its end. Waiting for the locks of other processes takes eight threads more, however many wait, and for the whole program.
/// Only to see that a lock is still held, and to give it back, takes a few system calls where it is asked.
#[derive(Debug, Clone)]
pub struct FileStore {
    pub(crate) place: Arc<Place>,
    pub(crate) threads: Threads,
    /// Whether locks were seen to exclude.
    proven: Arc<AtomicBool>,
}

impl FileStore {
    /// Keeps each session in a file of this folder, which is made when it is needed, with what leads to it.
    pub fn new(folder: impl AsRef<Path>) -> Self {
        Self::at(Place::folder(folder.as_ref()))
    }

    /// Keeps the one session of the program in this file; its locks are files beside it.
    ///
    /// The file belongs to the session that was first stored in it: calls for another one fail as
    /// [unavailable](StoreError::unavailable). So do all calls where the file holds something else than a record; an empty one
    /// is taken for one that was made for this.
    pub fn single_file(file: impl AsRef<Path>) -> Self {
        Self::at(Place::file(file.as_ref()))
    }

    /// Keeps each session in a file of the folder for the state of the program with this name.
    ///
    /// | system | folder |
    /// |---|---|
    /// | Linux, BSD | `$STATE_DIRECTORY/NAME` in a service of systemd with `StateDirectory=` (the first, if it names several), else `$XDG_STATE_HOME/NAME`, else `~/.local/state/NAME` |
    /// | macOS | `~/Library/Application Support/NAME` |
    /// | Windows | `%LOCALAPPDATA%\NAME`, which does not roam |
    ///
    /// # Errors
    ///
    /// [`NoAppFolder`] when the environment names no home, or `name` cannot be the name of a folder.
    pub fn for_app(name: &str) -> Result<Self, NoAppFolder> {
        app_folder(name).map(Self::new)
    }

    /// The folder, or the one file, that this store was made for.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.place.path()
    }

    fn at(place: Place) -> Self {
        Self { place: Arc::new(place), threads: Threads::default(), proven: Arc::default() }
    }

    pub(crate) fn drawer(&self, id: &SessionId) -> Drawer {
        Drawer { place: Arc::clone(&self.place), proven: Arc::clone(&self.proven), id: id.clone() }
    }

    async fn change(&self, id: &SessionId, change: Change) -> Result<Swap, StoreError> {
        writing::write(&self.threads, self.drawer(id), change).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl TokenStore for FileStore {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        let drawer = self.drawer(id);
        match self.threads.run(move || drawer.read()).await {
            Err(error) if error.is_unreadable() => match self.change(id, Change::Tidy).await? {
                Swap::Found(found) => Ok(found),
                Swap::Done => Ok(None),
            },
            read => read,
        }
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        self.change(id, Change::Swap(expected, Box::new(new.clone()))).await
    }

    /// A file of a newer version is removed too.
    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.change(id, Change::Remove).await.map(drop)
    }

    async fn lock(&self, id: &SessionId, wanted: LockRequest) -> Result<Lock, StoreError> {
        locking::lock(&self.threads, self.drawer(id), wanted).await
    }
}
