//! Which session a request acts for: the one it names, or the one around it, or the door's own; and never another.

use reqwest_auth_refresh::{AuthRefresh, CookieRefresh, Origins, RequestBuilderExt, Session, acting_for};
use reqwest_middleware::ClientBuilder;

use super::{API, TAG, World, client, get, ours};
use crate::virtual_issuer::Issuer;

#[tokio::test(start_paused = true)]
async fn the_session_that_is_named_is_the_one_that_signs() {
    let world = World::new(Issuer::new());
    world.login("alice").await;
    world.login("bob").await;
    assert_eq!(world.get("alice").await.unwrap(), 200);
    assert_eq!(world.get("bob").await.unwrap(), 200);
    // Named around the request, and named by the request within.
    let around = acting_for("alice", async {
        let hers = world.client.get(API).header(TAG, "alice").send().await.unwrap().status();
        (hers, world.get("bob").await.unwrap())
    });
    assert_eq!(around.await, (http::StatusCode::OK, 200));
    // Each by a door of their own, over one client.
    let pool = reqwest::Client::new();
    for user in ["alice", "bob"] {
        let auth = AuthRefresh::new(world.sessions.session(user), Origins::new(API).unwrap());
        let own = ClientBuilder::new(pool.clone()).with(auth).with(world.api.clone()).build();
        assert_eq!(own.get(API).header(TAG, user).send().await.unwrap().status(), 200);
        let other = if user == "alice" { "bob" } else { "alice" };
        assert!(get(&own, other).await.unwrap_err().is_misconfigured(), "a door for one session knows no other");
    }
    assert_eq!((world.api.mixups(), world.api.unsigned(), world.api.sent()), (0, 0, 6));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_for_somebody_who_is_not_logged_in_or_for_nobody() {
    let world = World::new(Issuer::new());
    world.login("alice").await;
    world.sessions.session("alice").logout().await.unwrap();
    for user in ["alice", "nobody-ever"] {
        let error = world.get(user).await.unwrap_err();
        assert!(error.needs_login(), "{error:?}");
        assert_eq!(error.session().as_str(), user);
        let error = acting_for(user, world.client.get(API).send()).await.unwrap_err();
        assert!(ours(&error).needs_login(), "{error:?}");
    }
    let error = ours(&world.client.get(API).send().await.unwrap_err());
    assert!(error.is_misconfigured(), "{error:?}");
    assert_eq!(error.to_string(), "the request names no session, and this client serves many");
    assert_eq!(world.api.sent(), 0);

    // The login call itself passes, and so does what is excluded.
    assert_eq!(world.client.get(API).unsigned().send().await.unwrap().status(), 401);
    let auth = AuthRefresh::new(&world.sessions, Origins::new(API).unwrap()).exclude("/login");
    let excluding = ClientBuilder::new(reqwest::Client::new()).with(auth).with(world.api.clone()).build();
    assert_eq!(excluding.get(format!("{API}/login")).send().await.unwrap().status(), 401);
    assert_eq!((world.api.unsigned(), world.api.sent()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn two_handles_of_one_id_are_one_session() {
    let world = World::new(Issuer::new());
    world.login("alice").await;
    let (first, second) = (world.sessions.session("alice"), world.sessions.session("alice"));
    let (one, two) = tokio::join!(first.refresh(), second.refresh());
    one.and(two).unwrap();
    assert_eq!(world.issuer.calls(), 1);
    first.logout().await.unwrap();
    assert_eq!(first.state(), second.state());
}

#[tokio::test]
async fn sessions_that_live_in_cookies_cannot_be_many() {
    let refresh = || CookieRefresh::post("https://api.example.com/refresh").unwrap();
    let sessions = reqwest_auth_refresh::Sessions::new(refresh());
    let api = super::Echo::new(&Issuer::new());
    let session = sessions.session("alice");
    let refused = session.access_token().await.unwrap_err();
    assert!(refused.is_misconfigured() && refused.to_string().contains("one place"), "{refused:?}");
    let _marked = session.logged_in().await;
    let auth = AuthRefresh::new(&session, Origins::new(API).unwrap());
    let own = ClientBuilder::new(reqwest::Client::new()).with(auth).with(api.clone()).build();
    assert!(get(&own, "alice").await.unwrap_err().is_misconfigured());
    assert!(get(&client(&sessions, api.clone()), "alice").await.unwrap_err().is_misconfigured());
    assert_eq!(api.sent(), 0);
    drop(Session::new(refresh()));
}
