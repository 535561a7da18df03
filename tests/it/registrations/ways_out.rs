//! Each way out of a record of another registration.

use std::sync::Arc;

use http::StatusCode;
use reqwest_auth_refresh::{MemoryStore, State, TokenStore};

use super::{Service, bytes};

/// A store in which the first service is logged in, and both services.
async fn met() -> (Arc<dyn TokenStore>, [Service; 2]) {
    let store: Arc<dyn TokenStore> = Arc::new(MemoryStore::default());
    let services = [Service::of("a", Some("oauth a")), Service::of("b", Some("oauth b"))];
    services[0].session(&store).login(services[0].tokens(0)).await.unwrap();
    assert!(services[1].session(&store).access_token().await.unwrap_err().is_misconfigured());
    (store, services)
}

#[tokio::test(start_paused = true)]
async fn an_id_of_its_own() {
    let (store, [first, second]) = met().await;
    let own = second.builder(&store).id("b").build();
    own.login(second.tokens(0)).await.unwrap();
    own.refresh().await.unwrap();
    first.session(&store).refresh().await.unwrap();
    assert_eq!((first.calls(), second.calls(), first.crossings() + second.crossings()), (1, 1, 0));
}

/// A client or an issuer that got a new name keeps its logins: the record is its own, and is stamped at the next write.
#[tokio::test(start_paused = true)]
async fn a_registration_that_it_had_before() {
    let (store, [first, _]) = met().await;
    let renamed = || first.builder(&store).registration("oauth a2").registration_was("oauth a");
    let session = renamed().build();
    assert_eq!(first.get(&session).await.unwrap(), StatusCode::OK);
    let stamp = || async { store.load(&super::default_id()).await.unwrap().unwrap().registration().map(str::to_owned) };
    assert_eq!(stamp().await.as_deref(), Some("oauth a"), "reading writes nothing");
    session.refresh().await.unwrap();
    assert_eq!(stamp().await.as_deref(), Some("oauth a2"));
    // From then on it is the new one's alone.
    assert!(first.session(&store).access_token().await.unwrap_err().is_misconfigured());
    assert_eq!(first.get(&renamed().build()).await.unwrap(), StatusCode::OK);
    assert_eq!((first.calls(), first.crossings()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_registration_where_there_was_none() {
    let store: Arc<dyn TokenStore> = Arc::new(MemoryStore::default());
    let service = Service::of("a", None);
    service.session(&store).login(service.tokens(0)).await.unwrap();
    let named = service.builder(&store).registration("vault a");
    assert!(named.build().access_token().await.unwrap_err().is_misconfigured());
    let named = service.builder(&store).registration("vault a").registration_was(None::<&str>).build();
    named.refresh().await.unwrap();
    assert_eq!((service.calls(), service.crossings()), (1, 0));
    // And back: none is a registration like any other.
    let nameless = service.builder(&store).registration_was("vault a").registration_was("something else").build();
    nameless.refresh().await.unwrap();
    assert_eq!(store.load(&super::default_id()).await.unwrap().unwrap().registration(), None);
}

/// A tombstone of an earlier registration is the session's own, too.
#[tokio::test(start_paused = true)]
async fn a_tombstone_of_a_registration_that_it_had_before() {
    let (store, [first, _]) = met().await;
    first.session(&store).logout().await.unwrap();
    let renamed = first.builder(&store).registration("oauth a2").registration_was("oauth a").build();
    assert_eq!(first.get(&renamed).await.unwrap(), StatusCode::OK, "as nobody");
    assert!(matches!(renamed.state(), State::LoggedOut { .. }));
    renamed.login(first.tokens(1)).await.unwrap();
    assert!(matches!(renamed.state(), State::LoggedIn { saved: true, .. }));
}

/// What is no longer wanted is removed, whatever it is, and there is no pause after that.
#[tokio::test(start_paused = true)]
async fn forgetting_what_is_stored() {
    let (store, [first, second]) = met().await;
    let session = second.session(&store);
    assert!(second.get(&session).await.unwrap_err().is_misconfigured());
    session.forget_stored().await.unwrap();
    assert_eq!(bytes(&store).await, None);
    assert_eq!(session.state(), State::Nobody);
    session.login(second.tokens(0)).await.unwrap();
    assert_eq!(second.get(&session).await.unwrap(), StatusCode::OK);
    assert_eq!(first.crossings() + second.crossings(), 0);
    assert!(first.0.revoked.lock().unwrap().is_empty() && second.0.revoked.lock().unwrap().is_empty());
}
