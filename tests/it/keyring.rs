//! A session in a keyring's store is logged in as long as its key can be had, and waits where it cannot be had now: a keyring
//! that is locked, absent, hung or wrong about itself logs nobody out, and holds up nobody who has what he needs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use reqwest_auth_refresh::{
    FileStore, KeyringStore, LoginId, Record, RefreshError, RefreshRequest, Session, SessionId, State, StoreError,
    Swap, TokenStore, Tokens, Version,
};
use secrecy::ExposeSecret;

use crate::fake_keyring::{FakeKeyring, Mood};
use crate::scratch::Scratch;
use crate::support::{PATIENCE, bounded, bounded_thread, put};

/// How long those wait who will wait in vain.
const BOUND: Duration = Duration::from_millis(500);
/// How long others do.
const LONG: Duration = PATIENCE;

/// A folder for tokens.
pub(crate) struct Folder(Scratch);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(Scratch::new())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// As another program would open it.
    pub(crate) fn store(&self, keyring: &Arc<FakeKeyring>) -> KeyringStore {
        KeyringStore::new(self.path(), "my-app").keyring(keyring.connecting()).bound(LONG).unlock_bound(LONG)
    }

    /// What the files in it are called.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// What is in the record whose name begins so.
    pub(crate) fn bytes_of(&self, name: &str) -> Vec<u8> {
        let names = self.names();
        let found: Vec<_> = names.iter().filter(|file| file.starts_with(name) && file.ends_with(".tokens")).collect();
        let [file] = &found[..] else { panic!("{found:?}") };
        std::fs::read(self.path().join(file)).unwrap()
    }

    /// The file that says what was chosen.
    pub(crate) fn choice(&self) -> PathBuf {
        let found = self.names().into_iter().find(|name| name.starts_with("_keyring-") && name.ends_with(".tokens"));
        self.path().join(found.expect("a choice"))
    }

    pub(crate) fn lose_choice(&self, damage: Damage) {
        let file = self.choice();
        let whole = std::fs::read(&file).unwrap();
        match damage {
            Damage::Removed => std::fs::remove_file(file).unwrap(),
            Damage::Empty => std::fs::write(file, "").unwrap(),
            Damage::CutShort => std::fs::write(file, &whole[..whole.len() / 2]).unwrap(),
            Damage::Garbage => std::fs::write(file, "broken").unwrap(),
            Damage::SetAside => std::fs::rename(&file, file.with_extension("tokens.broken-1")).unwrap(),
        }
    }

    /// Whether any file holds this in the clear.
    pub(crate) fn shows(&self, text: &str) -> bool {
        self.names().iter().any(|name| {
            let bytes = std::fs::read(self.path().join(name)).unwrap();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        })
    }

    fn hasty_store(&self, keyring: &Arc<FakeKeyring>) -> KeyringStore {
        self.store(keyring).bound(BOUND).unlock_bound(BOUND)
    }
}

/// What became of the file that says what was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    Removed,
    Empty,
    CutShort,
    Garbage,
    SetAside,
}

impl Damage {
    pub(crate) const ALL: [Self; 5] = [Self::Removed, Self::Empty, Self::CutShort, Self::Garbage, Self::SetAside];
}

/// What a store's error says.
pub(crate) fn why(error: &StoreError) -> String {
    std::error::Error::source(error).unwrap().to_string()
}

pub(crate) fn session(store: impl TokenStore) -> Session {
    Session::builder(|_: RefreshRequest| async { Tokens::new("refreshed").map_err(RefreshError::unavailable) })
        .store(store)
        .build()
}

pub(crate) fn record(generation: u64) -> Record {
    Record::of_tokens("default", Version::new(LoginId::from_bits(1), generation), Tokens::new("access").unwrap())
}

pub(crate) fn id() -> SessionId {
    SessionId::default()
}

/// A folder in which somebody is logged in already, and the keyring that has the key.
pub(crate) async fn logged_in() -> (Folder, Arc<FakeKeyring>) {
    let (folder, keyring) = (Folder::new(), FakeKeyring::new(Mood::Open));
    session(folder.store(&keyring)).login(Tokens::new("first").unwrap()).await.unwrap();
    (folder, keyring)
}

async fn is_unavailable(store: &KeyringStore) -> bool {
    store.load(&id()).await.is_err_and(|error| error.is_unavailable())
}

/// Asks until the answer comes within the store's bound. A busy machine may be late once and again.
async fn in_time<T: Send, F: Future<Output = Result<T, StoreError>> + Send>(ask: impl Fn() -> F + Send + Sync) -> T {
    let answered = async {
        loop {
            match ask().await {
                Ok(answer) => break answer,
                Err(error) => assert!(error.is_unavailable(), "{error:?}"),
            }
        }
    };
    bounded(|| "an answer within the bound", answered).await
}

#[tokio::test]
async fn a_program_asks_the_keyring_once() {
    let (folder, keyring) = logged_in().await;
    assert_eq!((keyring.writes.swap(0, Ordering::Relaxed), keyring.reads.swap(0, Ordering::Relaxed)), (1, 1));
    keyring.connections.store(0, Ordering::Relaxed);

    let own = session(folder.store(&keyring));
    assert_eq!(own.access_token().await.unwrap().expose_secret(), "first");
    for _ in 0..5 {
        own.refresh().await.unwrap();
    }
    let counts = [&keyring.connections, &keyring.reads, &keyring.writes].map(|count| count.load(Ordering::Relaxed));
    println!("figure: keyring_calls_per_program = {} calls", counts[1] + counts[2]);
    assert_eq!(counts, [1, 1, 0]);

    let again = session(folder.store(&keyring));
    assert_eq!(again.access_token().await.unwrap().expose_secret(), "refreshed");
    assert_eq!(keyring.keys().len(), 1);
}

#[tokio::test]
async fn nobody_who_is_not_logged_in_asks_the_keyring() {
    let (folder, keyring) = (Folder::new(), FakeKeyring::new(Mood::Hung));
    let store = folder.store(&keyring);
    assert!(store.load(&id()).await.unwrap().is_none());
    assert!(!store.has_key().await.unwrap());
    store.remove(&id()).await.unwrap();
    assert_eq!(keyring.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn many_who_start_at_once_ask_one_at_a_time_and_connect_once() {
    let (folder, keyring) = logged_in().await;
    keyring.reads.store(0, Ordering::Relaxed);
    keyring.connections.store(0, Ordering::Relaxed);
    let store = folder.store(&keyring);
    let id = id();
    let loads = futures_util::future::join_all((0..100).map(|_| store.load(&id))).await;
    assert!(loads.iter().all(|load| load.as_ref().is_ok_and(Option::is_some)));
    assert_eq!((keyring.connections.load(Ordering::Relaxed), keyring.reads.load(Ordering::Relaxed)), (1, 1));
    assert_eq!(keyring.most_at_once.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_locked_keyring_is_no_logout_whatever_it_says() {
    for mood in [Mood::Locked, Mood::LockedAndSilent, Mood::Absent, Mood::Panicking, Mood::Mistaken] {
        let (folder, keyring) = logged_in().await;
        let (keys, writes) = (keyring.keys(), keyring.writes.load(Ordering::Relaxed));
        keyring.becomes(mood);
        let store = folder.store(&keyring);
        assert!(is_unavailable(&store).await, "{mood:?}");
        assert!(store.swap(&id(), None, &record(0)).await.unwrap_err().is_unavailable(), "{mood:?}");
        assert!(store.unlock().await.unwrap_err().is_unavailable(), "{mood:?}");
        let own = session(store.clone());
        assert!(own.access_token().await.unwrap_err().is_store(), "{mood:?}");
        assert!(!matches!(own.state(), State::NeedsLogin { .. }), "{mood:?}");
        assert_eq!((keyring.keys(), keyring.writes.load(Ordering::Relaxed)), (keys, writes), "{mood:?}");

        keyring.becomes(Mood::Open);
        let own = session(store);
        assert_eq!(own.access_token().await.unwrap().expose_secret(), "first", "{mood:?}: it heals by itself");
        assert_eq!(keyring.keys().len(), 1);
    }
}

#[tokio::test]
async fn no_key_comes_from_a_keyring_that_does_not_keep_it() {
    for mood in [Mood::Locked, Mood::LockedAndSilent, Mood::Absent, Mood::Panicking, Mood::Forgetful, Mood::Mistaken] {
        let (folder, keyring) = (Folder::new(), FakeKeyring::new(mood));
        let store = folder.store(&keyring);
        assert!(store.swap(&id(), None, &record(0)).await.unwrap_err().is_unavailable(), "{mood:?}");
        assert!(put(&store, &id(), &record(0)).await.unwrap_err().is_unavailable(), "{mood:?}");
        assert!(store.load(&id()).await.unwrap().is_none() && !store.has_key().await.unwrap(), "{mood:?}");
        assert!(keyring.keys().is_empty(), "{mood:?}: what was not given back is taken away again");

        keyring.becomes(Mood::Open);
        assert!(matches!(store.swap(&id(), None, &record(0)).await, Ok(Swap::Done)), "{mood:?}");
        assert_eq!(keyring.keys().len(), 1);
    }
}

#[tokio::test]
async fn a_keyring_that_hangs_holds_up_nobody_beyond_the_bound() {
    let (folder, keyring) = logged_in().await;
    let reads = keyring.reads.load(Ordering::Relaxed);
    let running = session(folder.store(&keyring));
    running.access_token().await.unwrap();
    keyring.becomes(Mood::Hung);

    let store = folder.hasty_store(&keyring);
    let mut longest = Duration::ZERO;
    for _ in 0..3 {
        let began = Instant::now();
        // The keyring does not answer before the test lets it, so it is the bound that ends this.
        assert!(bounded(|| "the bound of a call", is_unavailable(&store)).await);
        longest = longest.max(began.elapsed());
    }
    println!("figure: keyring_hung_longest_call = {} ms over a bound of {}", longest.as_millis(), BOUND.as_millis());
    assert!(longest >= BOUND, "{longest:?}");

    // Whoever has the key goes on.
    assert_eq!(running.access_token().await.unwrap().expose_secret(), "first");
    running.refresh().await.unwrap();
    assert_eq!(running.access_token().await.unwrap().expose_secret(), "refreshed");

    keyring.becomes(Mood::Open);
    let id = id();
    assert!(in_time(|| store.load(&id)).await.is_some());
    assert_eq!(keyring.reads.load(Ordering::Relaxed) - reads, 2, "one for each program: the late answer was kept");
    assert_eq!(keyring.most_at_once.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_key_that_was_made_too_late_is_the_one_that_is_used() {
    let (folder, keyring) = (Folder::new(), FakeKeyring::new(Mood::Hung));
    let store = folder.hasty_store(&keyring);
    for _ in 0..3 {
        assert!(put(&store, &id(), &record(0)).await.unwrap_err().is_unavailable());
    }
    keyring.becomes(Mood::Open);
    let (session, record) = (id(), record(0));
    in_time(|| put(&store, &session, &record)).await;
    assert_eq!((keyring.keys().len(), keyring.writes.load(Ordering::Relaxed)), (1, 1));
    assert!(folder.store(&keyring).load(&id()).await.unwrap().is_some());
}

#[test]
fn a_keyring_that_hangs_holds_up_no_runtime_that_ends() {
    let keyring = FakeKeyring::new(Mood::Hung);
    let folder = Folder::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { assert!(put(&folder.hasty_store(&keyring), &id(), &record(0)).await.is_err()) });
    bounded_thread(PATIENCE, "the end of the runtime", move || drop(runtime));
    keyring.becomes(Mood::Open);
}

/// What a store does that neither locks nor compares: look whether there is a key, and make one if not.
fn naive_first_start(keyring: &Arc<FakeKeyring>, start: &std::sync::Barrier) {
    let connection = keyring.connecting()().unwrap();
    let is_new = keyring.keys().is_empty();
    start.wait();
    if is_new {
        let name = format!("{:?}", std::thread::current().id());
        connection.build("my-app", &name, None).unwrap().set_secret(&[7; 32]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_starts_at_once_make_one_key() {
    let rounds = 30;
    let mut keys = 0;
    for _ in 0..rounds {
        let (folder, keyring) = (Folder::new(), FakeKeyring::new(Mood::Open));
        let programs = (0..4).map(|_| {
            let store = folder.store(&keyring);
            tokio::spawn(async move { store.swap(&SessionId::default(), None, &record(0)).await })
        });
        let ended = futures_util::future::join_all(programs).await;
        let done = ended.iter().filter(|end| matches!(end, Ok(Ok(Swap::Done)))).count();
        let found = ended.iter().filter(|end| matches!(end, Ok(Ok(Swap::Found(Some(_)))))).count();
        assert_eq!((done, found), (1, 3));
        keys += keyring.keys().len();
        assert_eq!(keyring.writes.load(Ordering::Relaxed), 1, "none is made to be thrown away");
    }
    println!("figure: keyring_first_starts_keys_too_many = {} of {rounds}", keys - rounds);
    assert_eq!(keys, rounds);

    let keyring = FakeKeyring::new(Mood::Open);
    let start = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| naive_first_start(&keyring, &start));
        }
    });
    assert_eq!(keyring.keys().len(), 4, "the harness catches it");
}

#[tokio::test]
async fn a_key_that_is_gone_is_replaced_when_a_person_says_so() {
    let (folder, keyring) = logged_in().await;
    keyring.clear();
    let store = folder.store(&keyring);
    assert!(is_unavailable(&store).await);
    assert!(session(store.clone()).login(Tokens::new("again").unwrap()).await.is_err());
    assert!(keyring.keys().is_empty(), "no key is made where one is named");

    store.renew_key().await.unwrap();
    assert!(is_unavailable(&store).await, "what the old one sealed is not touched");
    store.remove(&id()).await.unwrap();
    session(store).login(Tokens::new("again").unwrap()).await.unwrap();
    let own = session(folder.store(&keyring));
    assert_eq!(own.access_token().await.unwrap().expose_secret(), "again");
}

#[tokio::test]
async fn a_running_program_seals_with_the_key_that_another_has_made() {
    let (folder, keyring) = logged_in().await;
    let running = session(folder.store(&keyring));
    running.refresh().await.unwrap();
    // The first key is gone for good, and a person has said so and has logged in again.
    keyring.clear();
    let store = folder.store(&keyring);
    store.renew_key().await.unwrap();
    store.remove(&id()).await.unwrap();
    session(store.clone()).login(Tokens::new("second").unwrap()).await.unwrap();

    running.login(Tokens::new("third").unwrap()).await.unwrap();
    let next = session(folder.store(&keyring));
    assert_eq!(next.access_token().await.unwrap().expose_secret(), "third");
    assert_eq!(keyring.keys().len(), 1);
}

#[tokio::test]
async fn keys_renewed_at_once_leave_the_one_that_is_used() {
    for _ in 0..20 {
        let (folder, keyring) = logged_in().await;
        let store = folder.store(&keyring);
        let renewals = (0..4).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.renew_key().await })
        });
        for renewal in futures_util::future::join_all(renewals).await {
            renewal.unwrap().unwrap();
        }
        put(&store, &id(), &record(7)).await.unwrap();
        let version = folder.store(&keyring).load(&id()).await.unwrap().unwrap().version();
        assert_eq!((version, keyring.keys().len()), (record(7).version(), 5), "one more for each renewal");
    }
}

#[tokio::test]
async fn a_renewed_key_logs_nobody_out() {
    let (folder, keyring) = logged_in().await;
    let running = session(folder.store(&keyring));
    running.access_token().await.unwrap();
    folder.store(&keyring).renew_key().await.unwrap();
    assert_eq!(keyring.keys().len(), 2);

    let own = session(folder.store(&keyring));
    assert_eq!(own.access_token().await.unwrap().expose_secret(), "first");
    running.refresh().await.unwrap();
    own.refresh().await.unwrap();
    let own = session(folder.store(&keyring));
    assert_eq!(own.access_token().await.unwrap().expose_secret(), "refreshed");
    assert_eq!(keyring.keys().len(), 2);
}

/// The file that names the newest key, lost.
#[tokio::test]
async fn what_is_sealed_names_its_key_itself() {
    for damage in Damage::ALL {
        let (folder, keyring) = logged_in().await;
        folder.lose_choice(damage);
        let own = session(folder.store(&keyring));
        assert_eq!(own.access_token().await.unwrap().expose_secret(), "first", "{damage:?}");
        assert!(folder.store(&keyring).has_key().await.unwrap(), "{damage:?}: the records say so");
        own.refresh().await.unwrap();
        assert_eq!(keyring.keys().len(), 1, "{damage:?}: no other key was made");
        assert!(folder.store(&keyring).has_key().await.unwrap());
    }
}

/// Records whose key is gone, and others whose key is there: the newest key is one that can be had.
#[tokio::test]
async fn a_lost_choice_is_made_anew_with_a_key_that_is_there() {
    // Several rounds: keys have no order, and the one that is gone may be the last that is asked for.
    for renewed in [false, true].repeat(8) {
        let (folder, keyring) = logged_in().await;
        let store = folder.store(&keyring);
        if renewed {
            keyring.clear();
        }
        store.renew_key().await.unwrap();
        put(&store, &"bob".into(), &record(0)).await.unwrap();
        let keys = keyring.keys();
        folder.lose_choice(Damage::Removed);
        let store = folder.store(&keyring);
        put(&store, &"carol".into(), &record(0)).await.unwrap();
        assert_eq!(keyring.keys(), keys, "no other key was made");
    }
}

#[tokio::test]
async fn a_broken_choice_is_not_taken_for_none() {
    let (folder, keyring) = (Folder::new(), FakeKeyring::new(Mood::Open));
    folder.store(&keyring).unlock().await.unwrap();
    folder.lose_choice(Damage::CutShort);
    for _ in 0..2 {
        assert!(folder.store(&keyring).has_key().await.unwrap_err().is_unavailable());
    }
    keyring.becomes(Mood::Absent);
    for _ in 0..2 {
        let error = folder.store(&keyring).or_file().await.unwrap_err();
        assert!(error.is_unavailable() && why(&error).contains("what was chosen"), "{error:?}");
    }
    keyring.becomes(Mood::Open);
    assert!(folder.store(&keyring).or_file().await.unwrap().is_sealed(), "the keyring is never wrong");
}

/// A key in the record that names the newest, which another program without the keyring has put there.
#[tokio::test]
async fn only_a_key_says_that_it_is_the_newest() {
    let (folder, keyring) = logged_in().await;
    let store = folder.store(&keyring);
    let choice = folder.choice();
    let older = std::fs::read(&choice).unwrap();
    store.renew_key().await.unwrap();
    let bare = FileStore::new(folder.path());
    let reserved = SessionId::from("\0keyring");
    let mut planted: serde_json::Value =
        serde_json::from_slice(&bare.load(&reserved).await.unwrap().unwrap().to_bytes()).unwrap();
    std::fs::write(&choice, older).unwrap();
    let of_older: serde_json::Value =
        serde_json::from_slice(&bare.load(&reserved).await.unwrap().unwrap().to_bytes()).unwrap();
    planted["sealed"]["key"] = of_older["sealed"]["key"].clone();
    put(&bare, &reserved, &Record::from_bytes(planted.to_string().as_bytes()).unwrap()).await.unwrap();

    let store = folder.store(&keyring);
    let error = store.swap(&SessionId::from("bob"), None, &record(0)).await.unwrap_err();
    assert!(error.is_unavailable() && why(&error).contains("renew_key"), "{error:?}");
    assert!(store.load(&id()).await.unwrap().is_some(), "what is sealed can be read");
    store.renew_key().await.unwrap();
    put(&store, &"bob".into(), &record(0)).await.unwrap();
}

#[tokio::test]
async fn a_record_leads_to_no_other_entry_of_the_keyring() {
    let (folder, keyring) = logged_in().await;
    keyring.reads.store(0, Ordering::Relaxed);
    for key in ["", "password", "session key 0", "../../x", "ABCDEFABCDEFABCDEFABCDEFABCDEFAB"] {
        let name = format!(r#"{{"id":"{key}","fingerprint":"{key}"}}"#);
        let sealed = format!(
            r#"{{"major":1,"session":"default","login":"{:032x}","generation":1,"sealed":{{"key":{name},"text":"AAAA"}}}}"#,
            1
        );
        put(&FileStore::new(folder.path()), &id(), &Record::from_bytes(sealed.as_bytes()).unwrap()).await.unwrap();
        assert!(is_unavailable(&folder.store(&keyring)).await, "{key}");
    }
    assert_eq!(keyring.reads.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn every_id_is_a_session_of_its_own() {
    let (folder, keyring) = (Folder::new(), FakeKeyring::new(Mood::Open));
    let store = folder.store(&keyring);
    let ids = ["", "\0", "\0keyring", "\0\0keyring", "keyring", "default"];
    for (generation, id) in (0..).zip(ids) {
        put(&store, &id.into(), &record(generation)).await.unwrap();
    }
    let store = folder.store(&keyring);
    for (generation, id) in (0..).zip(ids) {
        assert_eq!(store.load(&id.into()).await.unwrap().unwrap().version().generation, generation, "{id:?}");
    }
    assert_eq!(keyring.keys().len(), 1);
}

/// The keyring's entry removed, or with other bytes in it, and put back.
#[tokio::test]
async fn another_key_under_a_known_id_is_no_logout() {
    for others in [vec![9; 32], vec![9; 16], Vec::new()] {
        let (folder, keyring) = logged_in().await;
        let keys = keyring.keys();
        let before = folder.bytes_of("default-");
        let wrong = if others.is_empty() {
            Vec::new()
        } else {
            keys.keys().map(|name| (name.clone(), others.clone())).collect()
        };
        keyring.holds(wrong.into_iter().collect());
        let store = folder.store(&keyring);
        let pod = session(store.clone());
        assert!(pod.access_token().await.unwrap_err().is_store());
        assert!(pod.login(Tokens::new("other").unwrap()).await.unwrap_err().is_store());
        assert_eq!(pod.access_token().await.unwrap().expose_secret(), "other", "it stands in memory");
        let _not_saved = pod.logout().await;
        for expected in [None, Some(record(0).version())] {
            assert!(store.swap(&id(), expected, &record(1)).await.unwrap_err().is_unavailable());
        }
        assert!(store.swap(&SessionId::from("bob"), None, &record(1)).await.unwrap_err().is_unavailable());
        assert_eq!(folder.bytes_of("default-"), before, "nothing is overwritten");

        keyring.holds(keys);
        assert!(store.load(&id()).await.unwrap().is_some(), "it heals by itself");
        assert_eq!(session(store).access_token().await.unwrap().expose_secret(), "first");
    }
}

#[tokio::test]
async fn an_entry_that_was_removed_is_missed_with_a_way_out() {
    let (folder, keyring) = logged_in().await;
    keyring.clear();
    let error = folder.store(&keyring).load(&id()).await.unwrap_err();
    assert!(why(&error).contains("KeyringStore::renew_key"), "{error:?}");
}

/// Two programs make a key at once, though one at a time should: the lock file was removed in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_came_too_late_to_be_named_is_taken_away_again() {
    let (folder, slow) = (Folder::new(), FakeKeyring::new(Mood::Hung));
    let late = folder.store(&slow);
    let late = tokio::spawn(async move { late.swap(&id(), None, &record(0)).await });
    slow.was_asked().await;
    for lock in folder.names().iter().filter(|name| name.starts_with("_keyring-") && name.ends_with("-lock")) {
        std::fs::remove_file(folder.path().join(lock)).unwrap();
    }
    let quick = FakeKeyring::new(Mood::Open);
    put(&folder.store(&quick), &id(), &record(0)).await.unwrap();
    slow.becomes(Mood::Open);
    assert!(late.await.unwrap().unwrap_err().is_unavailable(), "its keyring has no such key");
    assert_eq!((slow.writes.load(Ordering::Relaxed), slow.keys().len()), (1, 0));
    assert!(folder.store(&quick).load(&id()).await.unwrap().is_some());
}

#[tokio::test]
async fn nothing_shows_a_key() {
    let (folder, keyring) = logged_in().await;
    let store = folder.store(&keyring);
    store.unlock().await.unwrap();
    let key = keyring.keys().into_values().next().unwrap();
    let shown = format!("{store:?} {store:#?}");
    let decimal: Vec<String> = key.iter().map(ToString::to_string).collect();
    let hexadecimal = key.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    assert!(!shown.contains(&decimal[..3].join(", ")) && !shown.contains(&hexadecimal[..8]), "{shown}");
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(8).any(|window| window == &key[..8]));
        assert!(!bytes.windows(5).any(|window| window == b"first"));
    }
}
