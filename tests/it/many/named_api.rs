//! Where a login names the user's API: the recipe of the guide, and what a hostile login can make of it.

use reqwest_auth_refresh::{Placement, RefreshError, RefreshRequest, Sessions, Tokens};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

include!("named_api/client_at.rs");

#[test]
fn the_recipe_is_that_of_the_guide() {
    let guide = include_str!("../../../src/guide/many_users.md");
    assert!(guide.contains(include_str!("named_api/client_at.rs")));
}

#[test]
fn what_a_login_names_is_one_origin_within_the_bounds_or_nothing() {
    use InvalidOrigin::{Host, NotAllowed, UserInfo, Wildcard};
    let allowed = Origins::new("https://*.my.example.org").unwrap().and("https://listed.example.net").unwrap();
    let allowed = allowed.and("http://localhost:8080").unwrap();
    let places = [
        "https://a.my.example.org/x?y=1",
        "https://b.my.example.org/",
        "https://c.b.my.example.org/",
        "https://a.my.example.org:8443/",
        "http://a.my.example.org/",
        "https://my.example.org/",
        "https://listed.example.net/",
        "http://localhost:8080/x",
        "https://evil.example/",
    ];
    // What the login named, and the only one of those places that gets tokens
    let cases = [
        ("https://a.my.example.org", Ok(0)),
        ("https://a.my.example.org/services/data?v=1#x", Ok(0)),
        ("https://A.my.example.org:443/", Ok(0)),
        ("https://c.b.my.example.org", Ok(2)),
        ("https://listed.example.net", Ok(6)),
        ("http://localhost:8080/api", Ok(7)),
        ("https://my.example.org", Err(NotAllowed)),
        ("https://a.my.example.org:8443", Err(NotAllowed)),
        ("http://a.my.example.org", Err(NotAllowed)),
        ("http://localhost", Err(NotAllowed)),
        ("https://evil.example", Err(NotAllowed)),
        ("https://a.my.example.org.evil.example", Err(NotAllowed)),
        ("https://a.my.example.org@evil.example", Err(NotAllowed)),
        ("https://evil@a.my.example.org", Err(UserInfo)),
        ("https://:secret@a.my.example.org", Err(UserInfo)),
        // Read as an origin that a program writes, this would be all of them.
        ("https://*.my.example.org", Err(Wildcard)),
        ("https://*.b.my.example.org", Err(Wildcard)),
        ("https://..my.example.org", Err(NotAllowed)),
        ("https://a.my.example.org.", Err(NotAllowed)),
        ("*", Err(Host)),
        ("", Err(Host)),
        ("//a.my.example.org", Err(Host)),
        ("javascript:alert(1)", Err(NotAllowed)),
    ];
    for (named, expected) in cases {
        let gets = |origins: &Origins| -> Vec<usize> {
            (0..places.len()).filter(|at| origins.allows(&places[*at].parse().unwrap())).collect()
        };
        let narrowed = allowed.narrowed_to(named).map(|origins| gets(&origins));
        assert_eq!(narrowed, expected.map(|at| vec![at]), "{named}");
    }
}

/// Two tenants' APIs over one pool. The one of the first user leads every request to the other one's.
#[tokio::test]
async fn a_tenant_that_redirects_to_another_gives_it_no_tokens() {
    let (hers, other) = (MockServer::start().await, MockServer::start().await);
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&other).await;
    let leads = ResponseTemplate::new(307).insert_header("location", other.uri());
    Mock::given(any()).respond_with(leads).mount(&hers).await;
    let allowed = Origins::new(hers.uri()).unwrap().and(other.uri()).unwrap();
    let sessions = Sessions::new(|_: RefreshRequest| async { Err(RefreshError::rejected("not asked here")) });
    let alice = sessions.session("alice");
    alice.login(Tokens::new("canary").unwrap()).await.unwrap();
    let shows = |request: &Request| request.headers.values().any(|value| value.to_str().unwrap().contains("canary"));

    let client = client_at(&format!("{}/services", hers.uri()), &allowed, &alice, &reqwest::Client::new()).unwrap();
    // Straight to the other one's, and led there.
    for (url, status) in [(other.uri(), 200), (hers.uri(), 200)] {
        assert_eq!(client.get(url).send().await.unwrap().status(), status);
    }
    // In another header, by a client of her own.
    let auth = AuthRefresh::new(&alice, allowed.narrowed_to(&hers.uri()).unwrap());
    let auth = auth.placement(Placement::header("X-Token", "").unwrap());
    let client = auth.client(reqwest::Client::builder()).unwrap();
    for (url, status) in [(other.uri(), 200), (hers.uri(), 307)] {
        assert_eq!(client.get(url).send().await.unwrap().status(), status);
    }
    let (hers, other) = (hers.received_requests().await.unwrap(), other.received_requests().await.unwrap());
    assert_eq!((hers.len(), hers.iter().filter(|request| shows(request)).count()), (2, 2));
    assert_eq!((other.len(), other.iter().filter(|request| shows(request)).count()), (3, 0));
}
