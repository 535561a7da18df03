//! The folder of the tokens is removed while the program runs.

use std::time::Duration;

use reqwest_auth_refresh::{AuthError, ExposeSecret, FileStore, RefreshGrant, Session, SessionId, TokenStore, Tokens};

use crate::scratch::Scratch;
use crate::support::{Api, Issuer};
use crate::wire_world::Wire;

#[tokio::test]
async fn while_the_tokens_are_good_nobody_notices_and_then_it_heals_within_one_rest() {
    let folder = Scratch::new();
    let path = folder.join("tokens");
    let issuer = Issuer::start().await.unwrap();
    let api = Api::start(&issuer).await.unwrap();
    let grant = RefreshGrant::new(issuer.token_url(), "app").unwrap();
    let session = Session::builder(grant).store(FileStore::new(&path)).build();
    session.login(Tokens::from_json(issuer.login("alice").to_string()).unwrap()).await.unwrap();
    let wire = Wire { issuer, api, session };
    let client = wire.client();
    let get = || client.get(wire.api.at("/me")).send();
    let mut events = wire.session.events();

    std::fs::remove_dir_all(&path).unwrap();
    for _ in 0..3 {
        assert_eq!(get().await.unwrap().status(), 200);
    }
    wire.issuer.revoke_access("alice");
    let error = get().await.unwrap_err();
    let error = AuthError::find(&error).unwrap();
    assert!(error.is_store(), "{error:?}");
    let rest = error.retry_after().unwrap();
    assert!(rest <= Duration::from_secs(1), "{rest:?}");
    assert_eq!(wire.issuer.counts().token_calls, 0, "nothing is spent without the lock");

    tokio::time::sleep(rest).await;
    assert_eq!(get().await.unwrap().status(), 200);
    let counts = wire.issuer.counts();
    assert_eq!((counts.token_calls, counts.accepted, counts.reuse), (1, 1, 0));
    let stored = FileStore::new(&path).load(&SessionId::default()).await.unwrap().unwrap();
    assert!(wire.issuer.grants().is_newest(stored.tokens().unwrap().refresh_token().unwrap().expose_secret()));

    let mut told = Vec::new();
    while let Ok(Some(event)) = tokio::time::timeout(Duration::ZERO, events.next()).await {
        told.push(format!("{event:?}").split('(').next().unwrap().to_owned());
    }
    assert_eq!(told, ["Now", "StoreFailed", "StoreFailed", "Refreshed"], "not to be had, and then lost");
}
