//! Stores that seal, with secrets for keys.

use reqwest_auth_refresh::{
    KeyringStore, LoginId, MemoryStore, Record, Sealed, SealingKey, SealingKeys, SessionId, TokenStore, Tokens, Version,
};

use super::Shared;
use super::canaries::{ACCESS, CLIENT, REFRESH, SESSION};
use crate::fake_keyring::{FakeKeyring, Mood};
use crate::scratch::Scratch;
use crate::support::put;

/// A key that is a secret of its own.
fn key(id: &str) -> SealingKey {
    let mut bytes = CLIENT.secret(0).into_bytes();
    bytes.resize(32, b'.');
    SealingKey::new(id, &bytes).unwrap()
}

fn record() -> Record {
    let tokens = Tokens::new(ACCESS.secret(0)).unwrap().with_refresh_token(REFRESH.secret(0));
    Record::of_tokens("default", Version::new(LoginId::from_bits(1), 0), tokens)
}

pub(crate) async fn sealing(shown: &Shared) {
    let (id, other) = (SessionId::from(SESSION.secret(0)), SessionId::from(SESSION.secret(1)));
    let kept = MemoryStore::default();
    let keys = SealingKeys::new(key("new")).opening(key("old")).unwrap();
    let sealed = Sealed::new(kept.clone(), keys.clone());
    let stranger = Sealed::new(kept.clone(), key("stranger"));
    put(&sealed, &id, &record()).await.unwrap();
    let noise = kept.load(&id).await.unwrap().unwrap();
    put(&kept, &other, &noise).await.unwrap();
    let exchanged = sealed.load(&other).await.unwrap_err();
    let unknown = stranger.load(&id).await.unwrap_err();
    put(&kept, &other, &record()).await.unwrap();
    let unsealed = sealed.load(&other).await.unwrap_err();
    {
        let mut shown = shown.lock().unwrap();
        shown.debug(&key("new"));
        shown.debug(&keys);
        shown.debug(&sealed);
        shown.debug(&noise);
        shown.display(&String::from_utf8_lossy(&noise.to_bytes()));
        shown.error(&SealingKey::new("short", CLIENT.secret(0).as_bytes()).unwrap_err());
        for error in [exchanged, unknown, unsealed] {
            shown.error(&error);
        }
    }

    let same_id = keys.opening(SealingKey::new("new", &[1; 32]).unwrap()).unwrap_err();
    shown.lock().unwrap().error(&same_id);

    let (scratch, keyring) = (Scratch::new(), FakeKeyring::new(Mood::Open));
    let store = || KeyringStore::new(scratch.path(), "redaction").keyring(keyring.connecting());
    put(&store(), &id, &record()).await.unwrap();
    for mood in [Mood::Locked, Mood::LockedAndSilent, Mood::Absent, Mood::Mistaken, Mood::Open] {
        keyring.becomes(mood);
        let store = store();
        let read = store.load(&id).await;
        let mut shown = shown.lock().unwrap();
        shown.debug(&store);
        if let Err(error) = read {
            shown.error(&error);
        }
    }

    let folder = Scratch::new();
    for mood in [Mood::Absent, Mood::Open, Mood::Absent] {
        keyring.becomes(mood);
        let store =
            KeyringStore::new(folder.path(), "redaction").keyring(keyring.connecting()).or_file().await.unwrap();
        let _unavailable = put(&store, &id, &record()).await;
        shown.lock().unwrap().debug(&store);
    }
}
