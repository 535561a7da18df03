//! A store of files, and all that it says about a file that is no record.

use reqwest_auth_refresh::{FileStore, LoginId, Record, SessionId, TokenStore, Tokens, Version};

use super::Shared;
use super::canaries::{ACCESS, REFRESH};
use crate::scratch::Scratch;
use crate::support::put;

pub(crate) async fn files(shown: &Shared) {
    let scratch = Scratch::new();
    let store = FileStore::new(scratch.path());
    shown.lock().unwrap().debug(&store);
    shown.lock().unwrap().error(&FileStore::for_app("..").unwrap_err());
    let id = SessionId::from("alice");
    let tokens = Tokens::new(ACCESS.secret(0)).unwrap().with_refresh_token(REFRESH.secret(0));
    let version = Version::new(LoginId::from_bits(1), 1);
    put(&store, &id, &Record::of_tokens("default", version, tokens)).await.unwrap();
    for entry in std::fs::read_dir(scratch.path()).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let error = store.load(&id).await.unwrap_err();
    shown.lock().unwrap().error(&error);
}
