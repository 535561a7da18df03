//! A sealed record opens as what was sealed, for the session and the version that it was sealed for, or not at all.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::support::found_instead;
use crate::support::put;
use reqwest_auth_refresh::{
    LoginId, MemoryStore, Record, RefreshError, RefreshRequest, Sealed, SealingKey, SealingKeys, Session, SessionId,
    State, StoreError, Swap, TokenStore, Tokens, Version, async_trait,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

const CANARY: &str = "canary-access";

fn key_byte(id: &str) -> u8 {
    id.bytes().fold(7, |sum: u8, byte| sum.wrapping_mul(31).wrapping_add(byte))
}

fn key(id: &str) -> SealingKey {
    SealingKey::new(id, &[key_byte(id); 32]).unwrap()
}

fn version(generation: u64) -> Version {
    Version::new(LoginId::from_bits(0xCAFE), generation)
}

fn record(generation: u64, token: &str) -> Record {
    let tokens = Tokens::new(token).unwrap().with_refresh_token("canary-refresh").with_scope("read");
    Record::of_tokens("default", version(generation), tokens)
}

fn token(record: &Record) -> Option<String> {
    Some(record.tokens()?.access_token()?.expose_secret().to_owned())
}

/// A store of one record, as bytes that anyone may change.
#[derive(Debug, Clone, Default)]
struct Bytes(Arc<Mutex<Option<Vec<u8>>>>);

impl Bytes {
    fn get(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone().unwrap()
    }

    fn put(&self, bytes: impl Into<Vec<u8>>) {
        *self.0.lock().unwrap() = Some(bytes.into());
    }

    fn edit(&self, edit: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_slice(&self.get()).unwrap();
        edit(&mut value);
        self.put(serde_json::to_vec(&value).unwrap());
    }
}

#[async_trait]
impl TokenStore for Bytes {
    async fn load(&self, _: &SessionId) -> Result<Option<Record>, StoreError> {
        self.0.lock().unwrap().as_deref().map(Record::from_bytes).transpose()
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        if let Some(found) = found_instead(self, id, expected).await? {
            return Ok(found);
        }
        self.put(new.to_bytes().to_vec());
        Ok(Swap::Done)
    }

    async fn remove(&self, _: &SessionId) -> Result<(), StoreError> {
        *self.0.lock().unwrap() = None;
        Ok(())
    }
}

/// What came of reading: noticed, or this token.
async fn read(store: &impl TokenStore) -> Result<Option<String>, StoreError> {
    Ok(store.load(&SessionId::default()).await?.as_ref().and_then(token))
}

#[tokio::test]
async fn what_was_sealed_is_read_and_says_nothing_meanwhile() {
    let bytes = Bytes::default();
    let store = Sealed::new(bytes.clone(), key("2026"));
    let id = SessionId::default();
    assert!(store.load(&id).await.unwrap().is_none());
    put(&store, &id, &record(7, CANARY)).await.unwrap();
    let read = store.load(&id).await.unwrap().unwrap();
    assert_eq!(read.to_bytes(), record(7, CANARY).to_bytes());
    assert_eq!(bytes.load(&id).await.unwrap().unwrap().version(), version(7), "the store below can compare it");

    let kept = bytes.get();
    let shown = format!("{store:?} {:?} {}", bytes.load(&id).await.unwrap(), String::from_utf8_lossy(&kept));
    assert!(!shown.contains("canary") && shown.contains("2026"), "{shown}");
    for number in key("2026").id().bytes() {
        assert!(!format!("{:?}", key("2026")).contains(&format!("{number}, {number}")));
    }
    store.remove(&id).await.unwrap();
    assert!(store.load(&id).await.unwrap().is_none());
}

#[tokio::test]
async fn no_nonce_is_drawn_twice() {
    let bytes = Bytes::default();
    let store = Sealed::new(bytes.clone(), key("2026"));
    let mut seen = BTreeSet::new();
    for _ in 0..1000 {
        put(&store, &SessionId::default(), &record(7, CANARY)).await.unwrap();
        let sealed: Value = serde_json::from_slice(&bytes.get()).unwrap();
        // 24 bytes are 32 letters of base 64.
        seen.insert(sealed["sealed"]["text"].as_str().unwrap()[..32].to_owned());
    }
    assert_eq!(seen.len(), 1000);
}

/// What each byte is changed into: one bit in each place, and values that mean something to a parser.
fn changes(byte: u8) -> BTreeSet<u8> {
    let bits = (0..8).map(|bit| byte ^ (1 << bit));
    let chosen = [0, b' ', b'"', b'\\', b'+', b'-', b'0', b'9', b'A', b'/', b'=', 0xFF];
    bits.chain(chosen).filter(|other| *other != byte).collect()
}

/// How many changes were made, and by how many of them the store gave tokens all the same, and wrong ones.
async fn change_every_byte(bytes: &Bytes, store: &impl TokenStore) -> (usize, usize, usize) {
    let whole = bytes.get();
    let (mut made, mut unnoticed, mut wrong) = (0, 0, 0);
    for at in 0..whole.len() {
        for change in changes(whole[at]) {
            let mut changed = whole.clone();
            changed[at] = change;
            bytes.put(changed);
            made += 1;
            match read(store).await {
                Ok(read) => {
                    unnoticed += 1;
                    wrong += usize::from(read.as_deref() != Some(CANARY));
                }
                Err(error) => assert!(!format!("{error} {error:?}").contains("canary")),
            }
        }
    }
    (made, unnoticed, wrong)
}

#[tokio::test]
async fn every_byte_changed_is_noticed() {
    for ending in [false, true] {
        let bytes = Bytes::default();
        let store = Sealed::new(bytes.clone(), key("2026"));
        // A login id that begins with a zero and has letters: both can be written in more than one way.
        put(&store, &SessionId::default(), &record(17, CANARY)).await.unwrap();
        if ending {
            let tombstone = br#"{"major":1,"session":"default","login":"cafe","generation":8,"tombstone":{"why":"logged_out","since":1}}"#;
            put(&store, &SessionId::default(), &Record::from_bytes(tombstone).unwrap()).await.unwrap();
        }
        let (made, unnoticed, _) = change_every_byte(&bytes, &store).await;
        assert_eq!(unnoticed, 0);
        if !ending {
            println!("figure: sealed_changed_bytes_noticed = {made} changes");
        }
    }

    let bare = Bytes::default();
    put(&bare, &SessionId::default(), &record(17, CANARY)).await.unwrap();
    let (_, _, wrong) = change_every_byte(&bare, &bare).await;
    println!("figure: unsealed_changed_bytes_wrong_tokens = {wrong} changes");
    assert!(wrong > 50, "the harness catches it: {wrong}");
}

#[tokio::test]
async fn cut_short_or_made_longer_it_is_noticed() {
    let bytes = Bytes::default();
    let store = Sealed::new(bytes.clone(), key("2026"));
    put(&store, &SessionId::default(), &record(7, CANARY)).await.unwrap();
    let whole = bytes.get();
    let text = |whole: &[u8]| serde_json::from_slice::<Value>(whole).unwrap()["sealed"]["text"].clone();
    let text = text(&whole).as_str().unwrap().to_owned();
    for end in 0..text.len() {
        bytes.put(whole.clone());
        bytes.edit(|value| value["sealed"]["text"] = json!(text[..end]));
        assert!(read(&store).await.unwrap_err().is_unreadable(), "{end}");
    }
    for more in ["A", "AA", "AAAA", "=", " "] {
        bytes.put(whole.clone());
        bytes.edit(|value| value["sealed"]["text"] = json!(format!("{text}{more}")));
        assert!(read(&store).await.unwrap_err().is_unreadable(), "{more}");
    }
}

#[tokio::test]
async fn records_are_neither_exchanged_nor_moved_to_another_registration() {
    let kept = MemoryStore::default();
    let store = Sealed::new(kept.clone(), key("2026"));
    let ids = ["alice", "bob", "carol"].map(SessionId::from);
    for (id, registration) in ids.iter().zip([None, Some("app at one issuer"), Some("app at another")]) {
        let tokens = Tokens::new(CANARY).unwrap();
        let record = Record::of_tokens("default", version(7), tokens);
        let record = registration.map_or_else(|| record.clone(), |name| record.clone().with_registration(name));
        put(&store, id, &record).await.unwrap();
        assert_eq!(store.load(id).await.unwrap().unwrap().registration(), registration);
    }
    let before: Vec<_> = futures_util::future::join_all(ids.iter().map(|id| kept.load(id))).await;
    for (at, id) in ids.iter().enumerate() {
        for (from, record) in before.iter().enumerate() {
            put(&kept, id, record.as_ref().unwrap().as_ref().unwrap()).await.unwrap();
            let read = store.load(id).await;
            assert_eq!(read.is_err_and(|error| error.is_unreadable()), at != from, "{from} at {at}");
        }
    }
}

#[tokio::test]
async fn every_member_that_stands_in_the_clear_is_vouched_for() {
    let both = SealingKeys::new(key("2026")).opening(key("2025")).unwrap();
    // The same bytes under another id, too: nothing but the id tells them apart.
    let twin = SealingKey::new("twin", &[key_byte("2026"); 32]).unwrap();
    let bytes = Bytes::default();
    let store = Sealed::new(bytes.clone(), both.opening(twin).unwrap());
    let registered = record(7, CANARY).with_registration("app");
    put(&store, &SessionId::default(), &registered).await.unwrap();
    let whole = bytes.get();
    let of_2025 = {
        let other = Bytes::default();
        put(&Sealed::new(other.clone(), key("2025")), &SessionId::default(), &registered).await.unwrap();
        serde_json::from_slice::<Value>(&other.get()).unwrap()["sealed"]["key"].clone()
    };
    let members: Value = serde_json::from_slice(&whole).unwrap();
    let known = ["generation", "login", "major", "registration", "sealed", "session"];
    assert_eq!(members.as_object().unwrap().keys().collect::<Vec<_>>(), known, "each of them is changed below");

    let unreadable: [(&str, Value); 11] = [
        ("/generation", json!(8)),
        ("/generation", json!(6)),
        ("/login", json!(format!("{:032x}", 1))),
        ("/login", json!("cafe")),
        ("/major", json!(0)),
        ("/registration", json!("another")),
        ("/registration", json!("")),
        ("/registration", Value::Null),
        ("/session", json!("another")),
        ("/sealed/key", of_2025.clone()),
        ("/sealed/key/id", json!("twin")),
    ];
    for (member, to) in unreadable {
        bytes.put(whole.clone());
        bytes.edit(|value| *value.pointer_mut(member).unwrap() = to);
        assert!(read(&store).await.unwrap_err().is_unreadable(), "{member}");
    }
    let of_unknown_keys = [
        ("/sealed/key/id", json!("2025")),
        ("/sealed/key/id", json!("2027")),
        ("/sealed/key/fingerprint", of_2025["fingerprint"].clone()),
        ("/sealed/key/fingerprint", json!("")),
    ];
    for (member, to) in of_unknown_keys {
        bytes.put(whole.clone());
        bytes.edit(|value| *value.pointer_mut(member).unwrap() = to);
        assert!(read(&store).await.unwrap_err().is_unavailable(), "{member}");
    }
    // A registration of no letters is one, too.
    let none = Bytes::default();
    let store_of_none = Sealed::new(none.clone(), key("2026"));
    put(&store_of_none, &SessionId::default(), &record(7, CANARY)).await.unwrap();
    none.edit(|value| value["registration"] = json!(""));
    assert!(read(&store_of_none).await.unwrap_err().is_unreadable());

    bytes.put(whole);
    bytes.edit(|value| value["major"] = json!(2));
    assert!(read(&store).await.unwrap_err().is_newer());
}

#[tokio::test]
async fn what_an_unknown_key_sealed_is_overwritten_by_no_swap() {
    let id = SessionId::default();
    let wrong = SealingKey::new("2026", &[99; 32]).unwrap();
    for stranger in [key("2027"), wrong] {
        let kept = MemoryStore::default();
        put(&Sealed::new(kept.clone(), key("2026")), &id, &record(7, CANARY)).await.unwrap();
        let before = kept.load(&id).await.unwrap().unwrap().to_bytes();
        let store = Sealed::new(kept.clone(), stranger);
        assert!(store.load(&id).await.unwrap_err().is_unavailable());
        let other_login = Version::new(LoginId::from_bits(1), 7);
        for expected in [None, Some(version(6)), Some(version(7)), Some(version(8)), Some(other_login)] {
            for new in [record(7, "other"), record(8, "other")] {
                assert!(store.swap(&id, expected, &new).await.unwrap_err().is_unavailable(), "{expected:?}");
            }
        }
        assert_eq!(kept.load(&id).await.unwrap().unwrap().to_bytes(), before);
        store.remove(&id).await.unwrap();
        assert!(kept.load(&id).await.unwrap().is_none(), "only removing takes it away");
    }
}

#[test]
fn one_id_is_one_key() {
    let wrong = || SealingKey::new("2026", &[99; 32]).unwrap();
    let refused = SealingKeys::new(key("2026")).opening(wrong()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "two sealing keys with different bytes have the id \"2026\"; give one of them another id"
    );
    let older = SealingKeys::new(key("2027")).opening(key("2026")).unwrap();
    assert!(older.clone().opening(wrong()).is_err(), "of those that open, too");
    assert!(older.opening(key("2026")).unwrap().opening(key("2027")).is_ok(), "the same key twice is harmless");
}

/// The limit that the docs state: what is put back whole is genuine.
#[tokio::test]
async fn a_whole_older_record_is_taken_for_what_it_says() {
    let bytes = Bytes::default();
    let store = Sealed::new(bytes.clone(), key("2026"));
    put(&store, &SessionId::default(), &record(7, "seventh")).await.unwrap();
    let seventh = bytes.get();
    put(&store, &SessionId::default(), &record(8, "eighth")).await.unwrap();
    bytes.put(seventh);
    assert_eq!(read(&store).await.unwrap().as_deref(), Some("seventh"));
}

/// A session over this store, whose refresher counts.
fn session(store: impl TokenStore) -> Session {
    Session::builder(|_: RefreshRequest| async { Tokens::new("refreshed").map_err(RefreshError::unavailable) })
        .store(store)
        .build()
}

#[tokio::test(start_paused = true)]
async fn keys_change_without_a_logout() {
    let kept = MemoryStore::default();
    let sealed = |keys: SealingKeys| Sealed::new(kept.clone(), keys);
    let names = async || format!("{:?}", kept.load(&SessionId::default()).await.unwrap().unwrap());
    session(sealed(key("2025").into())).login(Tokens::new("first").unwrap()).await.unwrap();
    assert!(names().await.contains("2025"));

    let both = SealingKeys::new(key("2026")).opening(key("2025")).unwrap();
    let own = session(sealed(both));
    assert_eq!(own.access_token().await.unwrap().expose_secret(), "first");
    own.refresh().await.unwrap();
    assert!(names().await.contains("2026"), "sealed anew");

    let own = session(sealed(key("2026").into()));
    assert_eq!(own.access_token().await.unwrap().expose_secret(), "refreshed");

    // Those who only have the old key leave it alone.
    let own = session(sealed(key("2025").into()));
    assert!(own.access_token().await.unwrap_err().is_store());
    let _not_saved = own.login(Tokens::new("other").unwrap()).await;
    assert!(names().await.contains("2026"), "never overwritten");
}

/// One program among several was given the wrong bytes under the right id.
#[tokio::test(start_paused = true)]
async fn wrong_bytes_under_a_known_id_log_no_session_out() {
    let (right, wrong) = (key("2026"), SealingKey::new("2026", &[99; 32]).unwrap());
    let kept = MemoryStore::default();
    let users = ["alice", "bob", "carol"];
    let session = |user: &str, key: &SealingKey| {
        Session::builder(|_: RefreshRequest| async { Tokens::new("refreshed").map_err(RefreshError::unavailable) })
            .id(user)
            .store(Sealed::new(kept.clone(), key.clone()))
            .build()
    };
    let stored = async |user: &str| kept.load(&user.into()).await.unwrap().unwrap().to_bytes();
    for user in users {
        session(user, &right).login(Tokens::new("first").unwrap()).await.unwrap();
    }
    for user in users {
        let before = stored(user).await;
        let pod = session(user, &wrong);
        assert!(pod.access_token().await.unwrap_err().is_store());
        assert!(pod.refresh().await.unwrap_err().is_store());
        assert!(!matches!(pod.state(), State::NeedsLogin { .. } | State::LoggedOut { .. }), "{:?}", pod.state());
        assert!(pod.login(Tokens::new("other").unwrap()).await.unwrap_err().is_store());
        assert_eq!(pod.access_token().await.unwrap().expose_secret(), "other", "it stands in memory");
        let _not_saved = pod.flush().await;
        let _not_saved = pod.logout().await;
        drop(pod);
        assert_eq!(stored(user).await, before, "nothing is overwritten");

        let healed = session(user, &right);
        assert_eq!(healed.access_token().await.unwrap().expose_secret(), "first");
        healed.refresh().await.unwrap();
    }
}

/// A key that got another name: the old name opens what it has sealed, if it is given too.
#[tokio::test(start_paused = true)]
async fn a_renamed_key_logs_no_session_out() {
    let kept = MemoryStore::default();
    let renamed = SealingKey::new("new name", &[key_byte("2026"); 32]).unwrap();
    session(Sealed::new(kept.clone(), key("2026"))).login(Tokens::new("first").unwrap()).await.unwrap();

    let own = session(Sealed::new(kept.clone(), renamed.clone()));
    assert!(own.access_token().await.unwrap_err().is_store());
    let both = SealingKeys::new(renamed.clone()).opening(key("2026")).unwrap();
    let own = session(Sealed::new(kept.clone(), both));
    assert_eq!(own.access_token().await.unwrap().expose_secret(), "first");
    own.refresh().await.unwrap();
    let own = session(Sealed::new(kept, renamed));
    assert_eq!(own.access_token().await.unwrap().expose_secret(), "refreshed");
}

#[tokio::test(start_paused = true)]
async fn a_session_over_a_store_that_lacks_its_seal_leaves_it_alone() {
    let kept = MemoryStore::default();
    session(Sealed::new(kept.clone(), key("2026"))).login(Tokens::new("first").unwrap()).await.unwrap();
    let before = kept.load(&SessionId::default()).await.unwrap().unwrap().to_bytes();

    let bare = session(kept.clone());
    assert!(bare.access_token().await.unwrap_err().is_store());
    let _not_saved = bare.login(Tokens::new("other").unwrap()).await;
    assert_eq!(kept.load(&SessionId::default()).await.unwrap().unwrap().to_bytes(), before);

    let own = session(Sealed::new(kept, key("2026")));
    assert_eq!(own.access_token().await.unwrap().expose_secret(), "first");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_open_needs_a_login_and_gets_one() {
    let bytes = Bytes::default();
    let sealed = || Sealed::new(bytes.clone(), key("2026"));
    session(sealed()).login(Tokens::new("first").unwrap()).await.unwrap();
    bytes.edit(|value| value["generation"] = json!(99));

    let own = session(sealed());
    assert!(own.access_token().await.is_err());
    assert!(matches!(own.state(), State::NeedsLogin { .. }));
    own.login(Tokens::new("again").unwrap()).await.unwrap();
    assert_eq!(session(sealed()).access_token().await.unwrap().expose_secret(), "again");
}

#[tokio::test(start_paused = true)]
async fn a_store_in_use_is_sealed_only_where_that_is_asked_for() {
    let kept = MemoryStore::default();
    session(kept.clone()).login(Tokens::new("first").unwrap()).await.unwrap();
    let strict = Sealed::new(kept.clone(), key("2026"));
    assert!(read(&strict).await.unwrap_err().is_unreadable());

    let own = session(Sealed::new(kept.clone(), key("2026")).accept_unsealed());
    assert_eq!(own.access_token().await.unwrap().expose_secret(), "first");
    own.refresh().await.unwrap();
    assert_eq!(read(&strict).await.unwrap().as_deref(), Some("refreshed"));
}

#[tokio::test]
async fn swaps_compare_what_is_stored_below() {
    let id = SessionId::default();
    let kept = MemoryStore::default();
    let keys = SealingKeys::new(key("2026"));
    let store = Sealed::new(kept.clone(), keys);
    let other = Sealed::new(kept.clone(), key("2025"));
    let done = |swap: Result<Swap, StoreError>| matches!(swap, Ok(Swap::Done));

    assert!(done(store.swap(&id, None, &record(1, "one")).await));
    assert!(done(store.swap(&id, Some(version(1)), &record(2, "two")).await));
    let Swap::Found(Some(found)) = store.swap(&id, None, &record(3, "three")).await.unwrap() else { panic!() };
    assert_eq!((found.version(), token(&found).as_deref()), (version(2), Some("two")));
    assert!(other.swap(&id, None, &record(3, "three")).await.unwrap_err().is_unavailable());
    store.remove(&id).await.unwrap();
    assert!(matches!(store.swap(&id, Some(version(2)), &record(3, "three")).await, Ok(Swap::Found(None))));

    // What does not open counts as nothing.
    put(&kept, &id, &record(9, "unsealed")).await.unwrap();
    assert!(matches!(store.swap(&id, Some(version(2)), &record(3, "three")).await, Ok(Swap::Found(None))));
    assert!(done(store.swap(&id, None, &record(3, "three")).await));
    assert_eq!(read(&store).await.unwrap().as_deref(), Some("three"));
}
