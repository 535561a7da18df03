//! A store of files keeps what it was given, from nobody but others.

use std::time::Duration;

use reqwest_auth_refresh::{FileStore, Lock, LoginId, Record, SessionId, Swap, TokenStore, Tokens, Version};

fn record(generation: u64) -> Record {
    Record::of_tokens(Version::new(LoginId::from_bits(1), generation), Tokens::new("canary").unwrap())
}

#[tokio::test]
async fn what_was_saved_is_there() {
    let folder = std::env::temp_dir().join(format!("reqwest-auth-refresh-file-{}", std::process::id()));
    let (store, id) = (FileStore::new(&folder), SessionId::from("alice@example.com"));
    assert!(store.load(&id).await.unwrap().is_none());
    assert!(!folder.exists());
    store.save(&id, &record(1)).await.unwrap();
    assert_eq!(store.load(&id).await.unwrap().unwrap().version().generation, 1);
    assert!(matches!(store.swap(&id, None, &record(2)).await.unwrap(), Swap::Found(Some(_))));
    assert!(matches!(store.swap(&id, Some(record(1).version()), &record(2)).await.unwrap(), Swap::Done));
    let held = store.lock(&id, Duration::ZERO).await.unwrap();
    assert!(matches!(held, Lock::Held(_)));
    assert!(matches!(store.lock(&id, Duration::from_millis(50)).await.unwrap(), Lock::Busy));
    drop(held);
    assert!(matches!(store.lock(&id, Duration::ZERO).await.unwrap(), Lock::Held(_)));
    std::fs::remove_dir_all(&folder).unwrap();
}
