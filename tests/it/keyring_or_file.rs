//! Keyring, else plain files, is chosen once for a folder and stays chosen, whatever becomes of the file that says so: tokens
//! are never written in the clear beside sealed ones, and planted ones are never taken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest_auth_refresh::{FileStore, KeyringOrFile, SessionId, State, StoreError, Swap, TokenStore, Tokens};
use secrecy::ExposeSecret;

use crate::child::alone;
use crate::fake_keyring::{FakeKeyring, Mood};
use crate::keyring::{Damage, Folder, id, logged_in, record, session};
use crate::redaction::Log;
use crate::support::put;

/// What a program begins with.
async fn start(folder: &Folder, keyring: &Arc<FakeKeyring>) -> KeyringOrFile {
    folder.store(keyring).or_file().await.unwrap()
}

/// The same for a program that begins when those before it have come to their end: what a session began goes on for a moment
/// after its last handle was dropped.
async fn start_next(folder: &Folder, keyring: &Arc<FakeKeyring>, sealed: bool) -> KeyringOrFile {
    let began = Instant::now();
    loop {
        let store = start(folder, keyring).await;
        if store.is_sealed() == sealed {
            return store;
        }
        drop(store);
        assert!(began.elapsed() < Duration::from_secs(30), "the programs before do not end: {}", !sealed);
        tokio::task::yield_now().await;
    }
}

async fn token(store: impl TokenStore) -> Result<String, bool> {
    let own = session(store);
    match own.access_token().await {
        Ok(token) => Ok(token.expose_secret().to_owned()),
        Err(error) => Err(error.is_store() && !matches!(own.state(), State::NeedsLogin { .. })),
    }
}

/// A folder in which plain files were chosen, and a session is logged in.
async fn in_plain_files() -> (Folder, Arc<FakeKeyring>) {
    let (folder, keyring) = (Folder::new(), FakeKeyring::new(Mood::Absent));
    let store = start(&folder, &keyring).await;
    assert!(!store.is_sealed());
    session(store).login(Tokens::new("first").unwrap()).await.unwrap();
    assert!(folder.shows("first"));
    (folder, keyring)
}

#[tokio::test]
async fn a_folder_without_a_keyring_is_sealed_when_there_is_one() {
    let (folder, keyring) = in_plain_files().await;
    let again = start(&folder, &keyring).await;
    assert!(!again.is_sealed());
    assert_eq!(token(again).await.as_deref(), Ok("first"));

    keyring.becomes(Mood::Open);
    let own = session(start_next(&folder, &keyring, true).await);
    assert_eq!(own.access_token().await.unwrap().expose_secret(), "first", "still logged in");
    own.refresh().await.unwrap();
    assert!(!folder.shows("refreshed") && !folder.shows("access_token"), "sealed");
    assert_eq!(keyring.keys().len(), 1);

    // Chosen, and then out of reach.
    keyring.becomes(Mood::Absent);
    let store = start(&folder, &keyring).await;
    assert!(store.is_sealed());
    assert_eq!(token(store).await, Err(true));
    keyring.becomes(Mood::Open);
    assert_eq!(token(start(&folder, &keyring).await).await.as_deref(), Ok("refreshed"));
}

#[tokio::test]
async fn what_is_sealed_keeps_tokens_from_being_written_in_the_clear() {
    let choices = Damage::ALL.into_iter().map(Some).chain([None]);
    for damage in choices {
        for mood in [Mood::Absent, Mood::Locked, Mood::LockedAndSilent, Mood::Mistaken, Mood::Panicking] {
            let (folder, keyring) = logged_in().await;
            if let Some(damage) = damage {
                folder.lose_choice(damage);
            }
            keyring.becomes(mood);
            for _ in 0..2 {
                let store = start(&folder, &keyring).await;
                assert!(store.is_sealed(), "{damage:?} {mood:?}");
                assert_eq!(token(store.clone()).await, Err(true), "{damage:?} {mood:?}");
                let saved = put(&store, &"bob".into(), &record(0)).await;
                assert!(saved.is_err_and(|error| error.is_unavailable()), "{damage:?} {mood:?}");
            }
            assert!(!folder.shows("access_token"), "{damage:?} {mood:?}");
            keyring.becomes(Mood::Open);
            let store = start(&folder, &keyring).await;
            assert_eq!(token(store.clone()).await.as_deref(), Ok("first"), "{damage:?} {mood:?}");
            put(&store, &"bob".into(), &record(0)).await.unwrap();
            assert!(!folder.shows("access_token"));
            assert_eq!(keyring.keys().len(), 1, "{damage:?} {mood:?}");
        }
    }
}

/// A folder in which the keyring was chosen, and nothing stored yet.
#[tokio::test]
async fn a_choice_holds_before_anything_is_sealed() {
    let (folder, keyring) = (Folder::new(), FakeKeyring::new(Mood::Open));
    assert!(start(&folder, &keyring).await.is_sealed());
    keyring.becomes(Mood::Absent);
    let store = start(&folder, &keyring).await;
    assert!(store.is_sealed());
    assert!(put(&store, &id(), &record(0)).await.unwrap_err().is_unavailable());
    assert!(!folder.shows("access_token"));
}

#[tokio::test]
async fn plain_files_stay_logged_in_whatever_becomes_of_their_choice() {
    for damage in Damage::ALL {
        for mood in [Mood::Absent, Mood::Open] {
            let (folder, keyring) = in_plain_files().await;
            folder.lose_choice(damage);
            keyring.becomes(mood);
            let store = start_next(&folder, &keyring, mood == Mood::Open).await;
            assert_eq!(token(store).await.as_deref(), Ok("first"), "{damage:?} {mood:?}");
        }
    }
}

/// Whoever may write to the folder, and has no key.
#[tokio::test]
async fn planted_tokens_are_refused_where_the_keyring_was_there_from_the_first_day() {
    let plain = in_plain_files().await.0;
    let chosen_files = std::fs::read(plain.choice()).unwrap();
    for damage in Damage::ALL.into_iter().map(Some).chain([None]) {
        for forged in [false, true] {
            for over in ["default", "bob"] {
                let (folder, keyring) = logged_in().await;
                put(&folder.store(&keyring), &"carol".into(), &record(0)).await.unwrap();
                if forged {
                    std::fs::write(folder.choice(), &chosen_files).unwrap();
                }
                if let Some(damage) = damage {
                    folder.lose_choice(damage);
                }
                put(&FileStore::new(folder.path()), &over.into(), &record(9)).await.unwrap();
                for _ in 0..2 {
                    let store = start(&folder, &keyring).await;
                    assert!(store.is_sealed());
                    let read = store.load(&over.into()).await;
                    assert!(read.is_err_and(|error| error.is_unreadable()), "{damage:?} {forged} {over}");
                }
                assert!(start(&folder, &keyring).await.load(&"carol".into()).await.unwrap().is_some());
            }
        }
    }
    // Over the only session, too.
    for damage in Damage::ALL.into_iter().map(Some).chain([None]) {
        let (folder, keyring) = logged_in().await;
        if let Some(damage) = damage {
            folder.lose_choice(damage);
        }
        put(&FileStore::new(folder.path()), &id(), &record(9)).await.unwrap();
        let read = start(&folder, &keyring).await.load(&id()).await;
        assert!(read.is_err_and(|error| error.is_unreadable()), "{damage:?}");
    }
}

/// Plain files that are older than the library's choice are taken where the program says so.
#[tokio::test]
async fn plain_files_of_another_store_are_taken_only_when_they_are_expected() {
    for expected in [false, true] {
        let (folder, keyring) = (Folder::new(), FakeKeyring::new(Mood::Open));
        session(FileStore::new(folder.path())).login(Tokens::new("first").unwrap()).await.unwrap();
        let store = folder.store(&keyring);
        let store = if expected { store.accept_unsealed() } else { store };
        let read = store.or_file().await.unwrap().load(&id()).await;
        assert_eq!(read.is_ok_and(|record| record.is_some()), expected);
    }
}

/// One program with the keyring and one without, which choose at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn programs_that_choose_at_once_choose_the_same() {
    let rounds = 30;
    let mut sealed = 0;
    for _ in 0..rounds {
        let folder = Folder::new();
        let moods = [Mood::Open, Mood::Absent, Mood::Open, Mood::Absent];
        let programs = moods.into_iter().zip(["a", "b", "c", "d"]).map(|(mood, user)| {
            let store = folder.store(&FakeKeyring::new(mood));
            tokio::spawn(async move {
                let store = store.or_file().await.unwrap();
                let saved: Result<Swap, StoreError> = store.swap(&SessionId::from(user), None, &record(0)).await;
                assert!(saved.is_ok() || store.is_sealed());
                store
            })
        });
        let stores: Vec<_> =
            futures_util::future::join_all(programs).await.into_iter().map(|program| program.unwrap()).collect();
        let of_them = stores.iter().filter(|store| store.is_sealed()).count();
        assert!(of_them == 0 || of_them == stores.len(), "{of_them} of {} chose the keyring", stores.len());
        assert!(of_them == 0 || !folder.shows("access_token"), "tokens in the clear beside sealed ones");
        sealed += usize::from(of_them > 0);
    }
    println!("figure: keyring_or_file_races_won_by_the_keyring = {sealed} of {rounds}");
}

/// A program that chose plain files goes on, and one with the keyring starts meanwhile.
#[tokio::test]
async fn nothing_is_sealed_under_a_program_that_keeps_plain_files() {
    let (folder, keyring) = in_plain_files().await;
    let running = start(&folder, &keyring).await;
    keyring.becomes(Mood::Open);
    for _ in 0..2 {
        let other = start(&folder, &keyring).await;
        assert!(!other.is_sealed());
        session(other).refresh().await.unwrap();
    }
    // One that has no choice waits for it.
    let strict = folder.store(&keyring);
    assert!(strict.swap(&SessionId::from("bob"), None, &record(0)).await.unwrap_err().is_unavailable());
    assert!(keyring.keys().is_empty(), "no key is made for it");
    assert_eq!(token(running.clone()).await.as_deref(), Ok("refreshed"));
    put(&running, &"bob".into(), &record(0)).await.unwrap();

    drop(running);
    let next = start_next(&folder, &keyring, true).await;
    assert_eq!(token(next.clone()).await.as_deref(), Ok("refreshed"));
    assert!(next.load(&"bob".into()).await.unwrap().is_some());
}

/// The folder of a program that keeps plain files is removed, and another program makes it again.
#[tokio::test]
async fn a_program_whose_folder_was_removed_writes_no_tokens_beside_sealed_ones() {
    for sealed in [false, true] {
        let (folder, keyring) = (Folder::new(), FakeKeyring::new(Mood::Absent));
        let running = start(&folder, &keyring).await;
        put(&running, &id(), &record(0)).await.unwrap();
        std::fs::remove_dir_all(folder.path()).unwrap();
        if sealed {
            keyring.becomes(Mood::Open);
            put(&start(&folder, &keyring).await, &"bob".into(), &record(0)).await.unwrap();
        }
        let first = running.swap(&id(), None, &record(1)).await;
        assert!(first.unwrap_err().is_unavailable(), "that it was removed is said once");
        let second = running.swap(&id(), None, &record(1)).await;
        assert_eq!(second.is_ok(), !sealed, "{second:?}");
        assert_eq!(folder.shows("access_token"), !sealed);
        keyring.becomes(Mood::Open);
        assert_eq!(start(&folder, &keyring).await.is_sealed(), sealed, "it holds on to its choice");
    }
}

#[tokio::test]
async fn every_id_is_a_session_of_its_own_in_plain_files_too() {
    let (folder, keyring) = (Folder::new(), FakeKeyring::new(Mood::Absent));
    let store = start(&folder, &keyring).await;
    let ids = ["", "\0", "\0keyring", "\0\0keyring", "keyring", "default"];
    for (generation, id) in (0..).zip(ids) {
        put(&store, &id.into(), &record(generation)).await.unwrap();
    }
    drop(store);
    keyring.becomes(Mood::Open);
    let store = start_next(&folder, &keyring, true).await;
    for (generation, id) in (0..).zip(ids) {
        assert_eq!(store.load(&id.into()).await.unwrap().unwrap().version().generation, generation, "{id:?}");
    }
}

#[tokio::test]
async fn a_warning_says_once_that_there_are_plain_files() {
    // What is logged depends on who else listens in this process.
    if !alone("keyring_or_file::a_warning_says_once_that_there_are_plain_files") {
        return;
    }
    let log = Log::begin();
    let (folder, keyring) = (Folder::new(), FakeKeyring::new(Mood::Absent));
    let store = start(&folder, &keyring).await;
    put(&store, &id(), &record(0)).await.unwrap();
    let warned = log.ours();
    assert_eq!(warned.matches("plain files").count(), 1, "{warned}");
    assert!(warned.contains("no such address"), "with the reason: {warned}");
    drop(store);
    keyring.becomes(Mood::Open);
    let store = start(&folder, &keyring).await;
    assert!(store.is_sealed());
    put(&store, &id(), &record(1)).await.unwrap();
    assert_eq!(log.ours(), warned, "and nothing else is logged");
}
