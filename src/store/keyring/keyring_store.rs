//! The store whose records are files, and whose key is in the system's keyring.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keyring_core::CredentialStore;

use crate::id::{SessionId, Version};
use crate::store::contract::{Lock, LockRequest, Swap, TokenStore};
use crate::store::error::StoreError;
use crate::store::file::app_folder::{NoAppFolder, app_folder};
use crate::store::file::file_store::FileStore;
use crate::store::keyring::choice::apart;
use crate::store::keyring::chooser::Chosen;
use crate::store::keyring::keyring_keys::KeyringKeys;
use crate::store::keyring::turns::Turns;
use crate::store::record::Record;
use crate::store::sealed::store::Sealed;

/// Within a session's own bound for reading its store, so that it is this store that says what took so long.
const BOUND: Duration = Duration::from_secs(4);

/// For the person who is asked for the keyring's password.
const UNLOCK_BOUND: Duration = Duration::from_secs(60);

/// Keeps each session in a file that is sealed with a key, and the key in the keyring of the system.
///
/// What lies on the disk says nothing without the keyring, and the keyring is asked once in the life of a program. So
/// tokens of any size fit, a refresh brings up no question for a password, and several programs share a session as they do
/// with a [`FileStore`], which this is, [sealed](crate::Sealed).
///
/// | system | keyring |
/// |---|---|
/// | Linux, BSD | Secret Service (GNOME, KDE and others), through D-Bus |
/// | macOS | Keychain |
/// | Windows | Credential Manager |
/// | others | the default of [`keyring_core`](crate::keyring_core), or what is given to [`keyring`](Self::keyring) |
///
/// ```
/// use std::sync::Arc;
/// use reqwest_auth_refresh::keyring_core::{CredentialStore, mock};
/// use reqwest_auth_refresh::{KeyringStore, RefreshError, RefreshRequest, Session, Tokens};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let never = |_: RefreshRequest| async { Err(RefreshError::unavailable("not asked in this example")) };
/// # let folder = std::env::temp_dir().join(format!("reqwest-auth-refresh-keyring-doc-{}", std::process::id()));
/// // An example must not fill your keyring. Without this line it is the system's.
/// let keyring: Arc<CredentialStore> = mock::Store::new()?;
/// let store = KeyringStore::new(&folder, "my-app").keyring(move || Ok(Arc::clone(&keyring)));
///
/// // The person at the keyboard may be asked for a password now, and never later.
/// store.unlock().await?;
/// let session = Session::builder(never).store(store).build();
/// session.login(Tokens::new("access")?).await?;
/// # drop(session);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
///
/// # A keyring that is not there
///
/// A keyring that is locked, absent, hung or restarting makes calls that need it fail as
/// [unavailable](StoreError::is_unavailable), within a [bound](Self::bound). That is never taken for a logout, tokens in
/// memory are used meanwhile, and the next call tries again. Calls to the keyring are made one at a time on a thread that
/// neither the runtime nor the program waits for when it ends.
///
/// # Keyring, else file
///
/// Many machines have no keyring: servers, containers, a login over SSH. [`or_file`](Self::or_file) chooses at the start of
/// a program, and a folder for which the keyring was once chosen stays with it.
///
/// # The key
///
/// A key is 32 random bytes in an entry of its own, which is never overwritten. It is made when something is to be sealed
/// for the first time, while other programs are kept out, and is read back before it is used. Its id and a fingerprint stand
/// in what it has sealed. So a keyring that shows no such entry (a locked one may say so), or has other bytes in it, is
/// unavailable: it is neither taken for empty, nor is what the right key has sealed taken for broken or overwritten.
///
/// A key that is gone for good, since a person removed the entry, cannot be told from one that is locked away. For that
/// case there are [`renew_key`](Self::renew_key) and [`remove`](TokenStore::remove), and a new login. With a keyring that
/// forgets when the machine restarts (keyutils of Linux) it is every restart's case.
///
/// # Records that are not sealed
///
/// They are taken for what they say where plain files were [chosen](Self::or_file) for this folder before it had a key, and
/// are sealed at their session's next refresh. The key itself vouches for that. In every other folder they are
/// [unreadable](StoreError::is_unreadable), unless the program says [`accept_unsealed`](Self::accept_unsealed): a program
/// that may write to the folder cannot put tokens of its own into it.
///
/// What no store can notice is a folder that was emptied, so that nothing sealed and no choice is left in it, and filled
/// with plain files.
#[derive(Debug, Clone)]
pub struct KeyringStore {
    pub(crate) sealed: Sealed<FileStore, KeyringKeys>,
    pub(crate) unlock_bound: Duration,
}

impl KeyringStore {
    /// Keeps sessions in the folder for the state of the program with this name, as [`FileStore::for_app`] does, and the
    /// key under the same name in the keyring.
    ///
    /// # Errors
    ///
    /// [`NoAppFolder`] when the environment names no home, or `name` cannot be the name of a folder.
    pub fn for_app(name: &str) -> Result<Self, NoAppFolder> {
        app_folder(name).map(|folder| Self::new(folder, name))
    }

    /// Keeps sessions in this folder, as [`FileStore::new`] does, and the key under `service` in the keyring: a name by
    /// which people know the program.
    pub fn new(folder: impl AsRef<Path>, service: &str) -> Self {
        let files = FileStore::new(folder);
        let keys = KeyringKeys::new(files.clone(), service, BOUND);
        Self { sealed: Sealed::with_keys(files, keys), unlock_bound: UNLOCK_BOUND }
    }

    /// With another keyring than the system's: one of any crate that implements
    /// [`keyring_core`](crate::keyring_core), among them those for iOS, Android and keyutils.
    ///
    /// `connect` is called for each call, on a thread where it may block. A keyring behind a service that can restart
    /// should be connected to anew each time.
    #[must_use]
    pub fn keyring(
        mut self,
        connect: impl Fn() -> keyring_core::Result<Arc<CredentialStore>> + Send + Sync + 'static,
    ) -> Self {
        self.sealed.keys.keyring = Turns::new(connect);
        self
    }

    /// How long a call waits for the keyring: 4 s. An answer that comes later is kept, so that the next call need not wait.
    #[must_use]
    pub fn bound(mut self, bound: Duration) -> Self {
        self.sealed.keys.bound = bound;
        self
    }

    /// How long [`unlock`](Self::unlock) waits for the keyring, and for the person who types its password: 60 s.
    #[must_use]
    pub fn unlock_bound(mut self, bound: Duration) -> Self {
        self.unlock_bound = bound;
        self
    }

    /// Takes records that are not sealed for what they say, also where no plain files were chosen for this folder before.
    ///
    /// For a folder that a plain [`FileStore`] has been in use for: its sessions stay logged in and are sealed at their next
    /// refresh. As long as it is set, a program that may write to the folder can put tokens of its own into it.
    #[must_use]
    pub fn accept_unsealed(mut self) -> Self {
        self.sealed = self.sealed.accept_unsealed();
        self
    }

    /// Gets the key from the keyring, or makes it, and waits longer than other calls do; all later calls are without the
    /// keyring.
    ///
    /// For the start of a program with a person before it. Without this the first call that needs the key gets it.
    ///
    /// # Errors
    ///
    /// [Unavailable](StoreError::is_unavailable) when the keyring does not give it.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped and called again; an answer that comes in between is kept.
    pub async fn unlock(&self) -> Result<(), StoreError> {
        self.sealed.keys.newest_within(self.unlock_bound).await.map(drop)
    }

    /// Whether a key was ever made for this folder. Asks the disk only.
    ///
    /// # Errors
    ///
    /// [Unavailable](StoreError::is_unavailable) when that cannot be seen: the folder cannot be read, or what is in it is
    /// broken.
    pub async fn has_key(&self) -> Result<bool, StoreError> {
        match self.sealed.keys.chooser.chosen().await? {
            Chosen::Keyring(_) => Ok(true),
            Chosen::NotKeyring(past) => past.was_sealed(),
        }
    }

    /// Makes a new key, which seals from now on, in other running programs too. The one before stays in the keyring and opens what it has sealed.
    ///
    /// Also for a key that is gone: what that sealed stays [unavailable](StoreError::is_unavailable) until it is
    /// [removed](TokenStore::remove), and a login can be saved then.
    ///
    /// # Errors
    ///
    /// [Unavailable](StoreError::is_unavailable) when the keyring does not take it, within the bound of
    /// [`unlock`](Self::unlock).
    ///
    /// # Cancel safety
    ///
    /// When dropped, the new key may have been made and not be in use; it is then used by the next call that makes one.
    pub async fn renew_key(&self) -> Result<(), StoreError> {
        self.sealed.keys.renewed_within(self.unlock_bound).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl TokenStore for KeyringStore {
    async fn load(&self, id: &SessionId) -> Result<Option<Record>, StoreError> {
        self.sealed.load(&apart(id)).await
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        self.sealed.swap(&apart(id), expected, new).await
    }

    async fn remove(&self, id: &SessionId) -> Result<(), StoreError> {
        self.sealed.remove(&apart(id)).await
    }

    async fn lock(&self, id: &SessionId, wanted: LockRequest) -> Result<Lock, StoreError> {
        self.sealed.lock(&apart(id), wanted).await
    }
}
