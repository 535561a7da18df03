//! The store that outlasts the program: a file for each session.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::id::{SessionId, Version};
use crate::store::contract::{Lock, LockRequest, Swap, TokenStore};
use crate::store::error::StoreError;
use crate::store::file::app_folder::{NoAppFolder, app_folder};
use crate::store::file::drawer::Drawer;
use crate::store::file::pace::Pace;
use crate::store::file::place::Place;
use crate::store::file::record_file::Change;
use crate::store::file::threads::Threads;
use crate::store::record::Record;

/// How long a write waits for others to write. Each of them takes as long as the disk needs for one small file.
const WRITE_WAIT: Duration = Duration::from_secs(4);

/// Keeps each session in a file, for programs that end and start again, and for several that run at once.
///
/// Three ways to say where:
///
/// - [`FileStore::for_app`] picks the folder in which this system keeps the state of a program; what most want.
/// - [`FileStore::new`] takes a folder, which should hold nothing else.
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
///   (`….new`) is gone with the next one.
/// - **Other processes**, of the same user on the same machine: one refreshes, the others adopt what it saved. What must
///   not happen twice is kept apart by file locks, which the system gives back when a process dies, however it dies.
/// - **Broken content.** Each file carries a checksum. What is not whole is renamed to `….broken-1` (of which three are
///   kept) and reported as [unreadable](StoreError::unreadable). A file of a newer version of the program is left alone.
/// - **A full or read-only disk, a folder that was removed**: calls fail as [unavailable](StoreError::unavailable), and work
///   again when it does. After the folder was removed one call fails, and the next makes it again.
///
/// # What it does not
///
/// - **Other machines.** A network file system may keep records, but locks between hosts are not promised. Where a lock
///   does not even keep out a second descriptor of one process, calls fail as unavailable.
/// - **Whoever may read the user's files.** The tokens are not encrypted.
/// - **Lock files removed by hand.** They are never removed by this store, since whoever holds a removed one holds nothing.
///
/// # Who may read it
///
/// On Unix a folder is made with mode 0700 and a file with 0600, whatever the umask says. What is there already must belong
/// to the user; a folder given to [`new`](Self::new) is closed to others when it is opened, as is a file. The folder of
/// [`single_file`](Self::single_file) is left as it is, but others must not be able to write to it. A link in the place of
/// the folder or of a file, a file with a second name, and anything that is no regular file are refused, and left alone.
///
/// On Windows a file is readable for whoever its folder says: use [`for_app`](Self::for_app), or a folder in the user's
/// profile. (The code for Windows is reviewed, not tested.)
///
/// Nothing is opened before the first call. Clones, and stores made for the same place, may be used side by side. What is
/// read and written is read and written on threads of its own, at most eight at once, which hold up neither the runtime nor
/// its end; only to see that a lock is still held, and to give it back, takes a few system calls where it is asked.
#[derive(Debug, Clone)]
pub struct FileStore {
    pub(crate) place: Arc<Place>,
    pub(crate) threads: Threads,
    /// Whether locks were seen to exclude.
    proven: Arc<AtomicBool>,
}

impl FileStore {
    /// Keeps each session in a file of this folder, which is made when it is needed and should hold nothing else.
    pub fn new(folder: impl AsRef<Path>) -> Self {
        Self::at(Place::folder(folder.as_ref()))
    }

    /// Keeps the one session of the program in this file; its locks, and what was set aside, are files beside it.
    ///
    /// The file belongs to the session that was first stored in it: calls for another one fail as
    /// [unavailable](StoreError::unavailable).
    pub fn single_file(file: impl AsRef<Path>) -> Self {
        Self::at(Place::file(file.as_ref()))
    }

    /// Keeps each session in a file of the folder for the state of the program with this name.
    ///
    /// | system | folder |
    /// |---|---|
    /// | Linux, BSD | `$XDG_STATE_HOME/NAME`, or `~/.local/state/NAME` |
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

    /// Carries out a change under the write lock, which is held for this only.
    async fn change(&self, id: &SessionId, change: Change) -> Result<Swap, StoreError> {
        let drawer = self.drawer(id);
        let changed = self.within(WRITE_WAIT, move |is_wanted| drawer.try_change(&change, is_wanted)).await?;
        changed.ok_or_else(|| StoreError::unavailable("another process has been writing for too long"))
    }

    /// Tries something until it yields a value, or the wait is over.
    async fn within<T, F>(&self, wait: Duration, attempt: F) -> Result<Option<T>, StoreError>
    where
        T: Send + 'static,
        F: Fn(&dyn Fn() -> bool) -> Result<Option<T>, StoreError> + Send + Sync + 'static,
    {
        let (attempt, began, mut pace) = (Arc::new(attempt), Instant::now(), Pace::default());
        loop {
            let this = Arc::clone(&attempt);
            let yielded = self.threads.run(move |is_wanted| this(is_wanted)).await?;
            let left = wait.saturating_sub(began.elapsed());
            if yielded.is_some() || left.is_zero() {
                return Ok(yielded);
            }
            pace.pause(left).await;
        }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl TokenStore for FileStore {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        let drawer = self.drawer(id);
        match self.threads.run(move |_| drawer.read()).await {
            Err(error) if error.is_unreadable() => match self.change(id, Change::Tidy).await? {
                Swap::Found(found) => Ok(found),
                Swap::Done => Ok(None),
            },
            read => read,
        }
    }

    /// What was set aside, and a file of a newer version, is removed too.
    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.change(id, Change::Remove).await.map(drop)
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        self.change(id, Change::Swap(expected, new.clone())).await
    }

    async fn lock(&self, id: &SessionId, wanted: LockRequest) -> Result<Lock, StoreError> {
        let drawer = self.drawer(id);
        let held = self.within(wanted.wait(), move |_| drawer.try_lock()).await?;
        Ok(held.map_or(Lock::Busy, |held| Lock::Held(Box::new(held))))
    }
}
