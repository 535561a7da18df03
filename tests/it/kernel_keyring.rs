//! A keyring that the crate does not bring can be handed in: keyutils, whose keys the kernel holds until it restarts.
#![cfg(target_os = "linux")]

use reqwest_auth_refresh::{KeyringStore, LoginId, Record, SessionId, TokenStore, Tokens, Version};

use crate::scratch::Scratch;
use crate::support::put;

#[tokio::test]
#[ignore = "needs a keyring of its own: keyctl session - cargo test …"]
async fn the_kernels_keyring_keeps_a_key() {
    let scratch = Scratch::new();
    let store = || {
        KeyringStore::new(scratch.path(), "reqwest-auth-refresh-test").keyring(|| {
            let keyring = linux_keyutils_keyring_store::Store::new()?;
            Ok(keyring)
        })
    };
    // Longer than what the kernel takes.
    let tokens = Tokens::new("x".repeat(65_536)).unwrap();
    let record = Record::of_tokens("default", Version::new(LoginId::from_bits(1), 0), tokens);
    put(&store(), &SessionId::default(), &record).await.unwrap();
    let read = store().load(&SessionId::default()).await.unwrap().unwrap();
    assert_eq!(read.to_bytes(), record.to_bytes());
}
