//! A keyring that does what real ones do on their bad days.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use reqwest_auth_refresh::keyring_core::api::{CredentialApi, CredentialStoreApi};
use reqwest_auth_refresh::keyring_core::{Credential, CredentialStore, Entry, Error, Result};

/// What the keyring does when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Open,
    /// Gives no access, and says so.
    Locked,
    /// Gives no access, and says that there is nothing; what a Secret Service that nobody unlocked says.
    LockedAndSilent,
    /// Nobody answers at its address.
    Absent,
    /// Answers when its mood changes.
    Hung,
    Panicking,
    /// Says that it has kept something.
    Forgetful,
    /// Gives back something of the same length.
    Mistaken,
}

#[derive(Debug)]
pub(crate) struct FakeKeyring {
    entries: Mutex<BTreeMap<(String, String), Vec<u8>>>,
    mood: Mutex<Mood>,
    changed: Condvar,
    pub(crate) connections: AtomicUsize,
    pub(crate) reads: AtomicUsize,
    pub(crate) writes: AtomicUsize,
    under_way: AtomicUsize,
    pub(crate) most_at_once: AtomicUsize,
}

impl FakeKeyring {
    pub(crate) fn new(mood: Mood) -> Arc<Self> {
        Arc::new(Self {
            entries: Mutex::default(),
            mood: Mutex::new(mood),
            changed: Condvar::new(),
            connections: AtomicUsize::default(),
            reads: AtomicUsize::default(),
            writes: AtomicUsize::default(),
            under_way: AtomicUsize::default(),
            most_at_once: AtomicUsize::default(),
        })
    }

    pub(crate) fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
        self.changed.notify_all();
    }

    pub(crate) fn keys(&self) -> BTreeMap<(String, String), Vec<u8>> {
        self.entries.lock().unwrap().clone()
    }

    pub(crate) fn clear(&self) {
        self.entries.lock().unwrap().clear();
    }

    /// From now on it has these, and no others.
    pub(crate) fn holds(&self, keys: BTreeMap<(String, String), Vec<u8>>) {
        *self.entries.lock().unwrap() = keys;
    }

    /// How a store connects to it.
    pub(crate) fn connecting(self: &Arc<Self>) -> impl Fn() -> Result<Arc<CredentialStore>> + Send + Sync + 'static {
        let this = Arc::clone(self);
        move || {
            this.connections.fetch_add(1, Ordering::Relaxed);
            match this.mood() {
                Mood::Absent => Err(Error::PlatformFailure("no such address".into())),
                _ => Ok(Arc::new(Connection(Arc::clone(&this)))),
            }
        }
    }

    /// Waits until a call is under way, and hangs.
    pub(crate) async fn was_asked(&self) {
        let asked = async {
            while self.under_way.load(Ordering::Relaxed) == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), asked).await.expect("the keyring is asked");
    }

    /// The mood, as soon as there is one.
    fn mood(&self) -> Mood {
        let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_at_once.fetch_max(under_way, Ordering::Relaxed);
        let mood = *self.changed.wait_while(self.mood.lock().unwrap(), |mood| *mood == Mood::Hung).unwrap();
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        assert_ne!(mood, Mood::Panicking, "a keyring's library panics");
        mood
    }
}

#[derive(Debug)]
struct Connection(Arc<FakeKeyring>);

impl CredentialStoreApi for Connection {
    fn vendor(&self) -> String {
        "fake".to_owned()
    }

    fn id(&self) -> String {
        "fake".to_owned()
    }

    fn build(&self, service: &str, user: &str, _: Option<&std::collections::HashMap<&str, &str>>) -> Result<Entry> {
        let name = (service.to_owned(), user.to_owned());
        Ok(Entry::new_with_credential(Arc::new(FakeEntry(Arc::clone(&self.0), name))))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
struct FakeEntry(Arc<FakeKeyring>, (String, String));

fn locked() -> Error {
    Error::NoStorageAccess("the prompt was dismissed".into())
}

impl CredentialApi for FakeEntry {
    fn set_secret(&self, secret: &[u8]) -> Result<()> {
        let Self(keyring, name) = self;
        match keyring.mood() {
            Mood::Locked | Mood::LockedAndSilent => return Err(locked()),
            Mood::Forgetful => {}
            _ => drop(keyring.entries.lock().unwrap().insert(name.clone(), secret.to_vec())),
        }
        keyring.writes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn get_secret(&self) -> Result<Vec<u8>> {
        let Self(keyring, name) = self;
        let mood = keyring.mood();
        keyring.reads.fetch_add(1, Ordering::Relaxed);
        match mood {
            Mood::Locked => Err(locked()),
            Mood::LockedAndSilent => Err(Error::NoEntry),
            Mood::Mistaken => Ok(vec![9; 32]),
            _ => keyring.entries.lock().unwrap().get(name).cloned().ok_or(Error::NoEntry),
        }
    }

    fn delete_credential(&self) -> Result<()> {
        let Self(keyring, name) = self;
        match keyring.mood() {
            Mood::Locked | Mood::LockedAndSilent => Err(locked()),
            _ => keyring.entries.lock().unwrap().remove(name).map(drop).ok_or(Error::NoEntry),
        }
    }

    fn get_credential(&self) -> Result<Option<Arc<Credential>>> {
        Ok(None)
    }

    fn get_specifiers(&self) -> Option<(String, String)> {
        Some(self.1.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
