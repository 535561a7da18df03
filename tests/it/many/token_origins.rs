//! A session's tokens may say where its API is, within bounds; a hostile value adds nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use reqwest_auth_refresh::{AuthRefresh, NotRetryable, Origins, RefreshRequest, RequestBuilderExt, Sessions, Tokens};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use serde_json::json;

use super::ours;
use crate::virtual_world::{API, Canned};

/// Tokens whose issuer says that their API is there.
fn tokens(token: &str, instance_url: &str) -> Tokens {
    let extra = json!({ "instance_url": instance_url });
    Tokens::new(token).unwrap().with_refresh_token("r").with_extra(serde_json::from_value(extra).unwrap())
}

fn door(sessions: &Sessions) -> AuthRefresh {
    let auth = AuthRefresh::new(sessions, Origins::new(API).unwrap());
    let within = Origins::new("https://*.my.example.org").unwrap().and("https://listed.example.net").unwrap();
    auth.origins_from(within, |tokens| Some(tokens.extra().get("instance_url")?.as_str()?.to_owned()))
}

fn client(sessions: &Sessions) -> (ClientWithMiddleware, Arc<AtomicUsize>) {
    let signed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&signed);
    let (api, _) = Canned::new(move |bearer: Option<String>| {
        counted.fetch_add(usize::from(bearer.is_some()), Ordering::Relaxed);
        let status = if bearer.as_deref() == Some("old") { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
        std::future::ready(status)
    });
    (ClientBuilder::new(reqwest::Client::new()).with(door(sessions)).with(api).build(), signed)
}

#[tokio::test(start_paused = true)]
async fn tokens_go_where_they_say_within_the_bounds_and_nowhere_else() {
    let sessions = Sessions::new(|_: RefreshRequest| async { Ok(tokens("new", "https://b.my.example.org")) });
    let (client, signed) = client(&sessions);
    // What the issuer said; where the request goes; whether it is signed
    let cases = [
        ("https://a.my.example.org", "https://a.my.example.org/x?y=1", true),
        ("https://a.my.example.org/services/data", "https://a.my.example.org/x", true),
        ("https://A.my.example.org:443/", "https://a.my.example.org/x", true),
        ("https://listed.example.net", "https://listed.example.net/", true),
        ("https://a.my.example.org", "https://b.my.example.org/", false),
        ("https://a.my.example.org", "https://a.my.example.org:8443/", false),
        ("https://a.my.example.org", API, true),
        ("https://evil.example", "https://evil.example/", false),
        ("https://evil.example", API, true),
        ("https://my.example.org", "https://my.example.org/", false),
        ("https://a.my.example.org.evil.example", "https://a.my.example.org.evil.example/", false),
        ("https://a.my.example.org@evil.example", "https://evil.example/", false),
        ("https://a.my.example.org@evil.example", "https://a.my.example.org/", false),
        ("http://a.my.example.org", "http://a.my.example.org/", false),
        ("https://*.my.example.org", "https://a.my.example.org/", false),
        ("*", "https://a.my.example.org/", false),
        ("", "https://a.my.example.org/", false),
        ("//a.my.example.org", "https://a.my.example.org/", false),
    ];
    for (nth, (said, to, expected)) in cases.into_iter().enumerate() {
        let user = format!("u{nth}");
        sessions.session(&*user).login(tokens("good", said)).await.unwrap();
        let before = signed.load(Ordering::Relaxed);
        let response = client.get(to).acting_for(&*user).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(signed.load(Ordering::Relaxed) - before, usize::from(expected), "{said} {to}");
    }
    // Somebody who is not logged in is not let through for want of tokens that would say.
    let error = client.get("https://a.my.example.org/").acting_for("nobody").send().await.unwrap_err();
    assert!(ours(&error).needs_login());
}

#[tokio::test(start_paused = true)]
async fn new_tokens_that_name_another_place_are_not_sent_to_the_old_one() {
    let sessions = Sessions::new(|_: RefreshRequest| async { Ok(tokens("new", "https://b.my.example.org")) });
    let (client, signed) = client(&sessions);
    sessions.session("a").login(tokens("old", "https://a.my.example.org")).await.unwrap();
    let response = client.get("https://a.my.example.org/").acting_for("a").send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.extensions().get(), Some(&NotRetryable::Origin));
    assert_eq!(signed.load(Ordering::Relaxed), 1);
    assert_eq!(client.get("https://b.my.example.org/").acting_for("a").send().await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_programs_own_function_ends_its_request() {
    let sessions = Sessions::new(|_: RefreshRequest| async { Ok(tokens("new", "")) });
    let auth = AuthRefresh::new(&sessions, Origins::new(API).unwrap())
        .origins_from(Origins::new("https://*.my.example.org").unwrap(), |_| {
            std::panic::resume_unwind(Box::new("somebody's panic"))
        });
    let (api, sent) = Canned::new(|_| std::future::ready(StatusCode::OK));
    let client = ClientBuilder::new(reqwest::Client::new()).with(auth).with(api).build();
    sessions.session("a").login(tokens("good", "")).await.unwrap();
    let error = client.get("https://a.my.example.org/").acting_for("a").send().await.unwrap_err();
    assert!(ours(&error).is_misconfigured());
    assert_eq!(sent.load(Ordering::Relaxed), 0);
    assert_eq!(client.get(API).acting_for("a").send().await.unwrap().status(), 200);
}
