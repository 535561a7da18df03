//! Tokens are written where the program says, anew for each sending, and a request that has something there already is left
//! alone.

use std::sync::{Arc, Mutex};

use http::header::HeaderMap;
use http::{Extensions, StatusCode};
use reqwest::{Request, Response};
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, Event, ExposeSecret, Origins, Placement, RefreshError, RefreshRequest, Session, Tokens,
    async_trait,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};

use crate::virtual_world::{API, response, told};

/// An API that remembers what it got, and refuses the first token.
#[derive(Clone, Default)]
struct Api(Arc<Mutex<Vec<(String, HeaderMap)>>>);

impl Api {
    fn got(&self) -> Vec<(String, HeaderMap)> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait]
impl Middleware for Api {
    async fn handle(&self, request: Request, _: &mut Extensions, _: Next<'_>) -> reqwest_middleware::Result<Response> {
        let (url, headers) = (request.url().to_string(), request.headers().clone());
        let holds = |text: &str| text.contains("first");
        let refused = holds(&url) || headers.values().any(|value| holds(value.to_str().unwrap()));
        self.0.lock().unwrap().push((url, headers));
        Ok(response(&request, if refused { StatusCode::UNAUTHORIZED } else { StatusCode::OK }))
    }
}

/// Somebody is logged in with the token `first`; a refresh yields `second`.
async fn session() -> Session {
    let session = Session::new(|_: RefreshRequest| async { Tokens::new("second").map_err(RefreshError::unavailable) });
    session.login(Tokens::new("first").unwrap().with_refresh_token("refresh")).await.unwrap();
    session
}

fn client(session: &Session, placement: Placement) -> (ClientWithMiddleware, Api) {
    let (auth, api) = (AuthRefresh::new(session, Origins::new(API).unwrap()).placement(placement), Api::default());
    (auth.client_builder(reqwest::Client::builder()).inside(api.clone()).build().unwrap(), api)
}

#[tokio::test]
async fn a_header_holds_the_prefix_and_the_token_in_both_sendings() {
    let cases = [
        (Placement::bearer(), "authorization", "Bearer "),
        (Placement::header("X-Access-Token", "").unwrap(), "x-access-token", ""),
        (Placement::header("Authorization", "Zoho-oauthtoken ").unwrap(), "authorization", "Zoho-oauthtoken "),
        (Placement::header("x-auth", "Token token=").unwrap(), "x-auth", "Token token="),
    ];
    for (placement, name, prefix) in cases {
        let session = session().await;
        let (client, api) = client(&session, placement);
        assert_eq!(client.get(API).send().await.unwrap().status(), 200);
        assert_eq!(client.get(API).send().await.unwrap().status(), 200);
        let got = api.got();
        let values: Vec<_> = got.iter().map(|(_, headers)| headers[name].to_str().unwrap()).collect();
        assert_eq!(values, ["first", "second", "second"].map(|token| format!("{prefix}{token}")));
        assert!(got.iter().all(|(_, headers)| headers.len() == 1 && headers[name].is_sensitive()), "{got:?}");
    }
}

/// Another scheme stands in `Authorization` too, so any client will do.
#[tokio::test]
async fn a_scheme_goes_over_any_client() {
    for (scheme, prefix) in [("Token", "Token "), ("Zoho-oauthtoken", "Zoho-oauthtoken "), ("", "")] {
        let (session, api) = (session().await, Api::default());
        let auth = AuthRefresh::new(&session, Origins::new(API).unwrap()).scheme(scheme).unwrap();
        let client = ClientBuilder::new(reqwest::Client::new()).with(auth).with(api.clone()).build();
        assert_eq!(client.get(API).send().await.unwrap().status(), 200);
        let got = api.got();
        let values: Vec<_> = got.iter().map(|(_, headers)| headers["authorization"].to_str().unwrap()).collect();
        assert_eq!(values, ["first", "second"].map(|token| format!("{prefix}{token}")));
        assert!(got.iter().all(|(_, headers)| headers.len() == 1 && headers["authorization"].is_sensitive()));
    }
}

#[tokio::test]
async fn a_function_writes_on_a_request_without_tokens_each_time() {
    let session = session().await;
    let in_query = Placement::function(|request, tokens| {
        let token = tokens.access_token().unwrap().expose_secret();
        request.url_mut().query_pairs_mut().append_pair("access_token", token);
    });
    let (client, api) = client(&session, in_query);
    assert_eq!(client.get(format!("{API}/me?page=2")).send().await.unwrap().status(), 200);
    let urls: Vec<_> = api.got().into_iter().map(|(url, _)| url).collect();
    assert_eq!(urls, ["first", "second"].map(|token| format!("{API}/me?page=2&access_token={token}")));
}

#[tokio::test]
async fn what_the_caller_put_there_stays_and_its_401_is_the_callers() {
    let session = session().await;
    for (placement, own) in [
        (Placement::header("X-Access-Token", "").unwrap(), "x-access-token"),
        (Placement::header("X-Access-Token", "").unwrap(), "authorization"),
        (Placement::bearer(), "authorization"),
        (Placement::function(|_, _| {}), "authorization"),
    ] {
        let (client, api) = client(&session, placement);
        assert_eq!(client.get(API).header(own, "first, by hand").send().await.unwrap().status(), 401);
        let got = api.got();
        assert_eq!((got.len(), got[0].1.len(), &got[0].1[own]), (1, 1, &"first, by hand".parse().unwrap()));
    }
    assert_eq!(session.access_token().await.unwrap().expose_secret(), "first", "nothing was refreshed");
}

/// Two doors of one session, each writing in its own way.
#[tokio::test]
async fn each_door_writes_in_its_own_way() {
    let session = session().await;
    let (plain, plain_api) = client(&session, Placement::bearer());
    let (custom, custom_api) = client(&session, Placement::header("X-Access-Token", "").unwrap());
    let (other, other_api) = client(&session, Placement::header("X-Access-Token", "Token ").unwrap());
    assert_eq!(plain.get(API).send().await.unwrap().status(), 200);
    assert_eq!(custom.get(API).send().await.unwrap().status(), 200);
    assert_eq!(plain_api.got().last().unwrap().1["authorization"], "Bearer second");
    assert_eq!(custom_api.got()[0].1["x-access-token"], "second");
    assert_eq!(other.get(API).send().await.unwrap().status(), 200);
    assert_eq!(other_api.got()[0].1["x-access-token"], "Token second");
}

#[tokio::test]
async fn a_panic_in_the_function_ends_its_request_and_is_told() {
    // In the first sending, and in the second.
    for panics_at in [1, 2] {
        let session = session().await;
        let calls = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&calls);
        let placement = Placement::function(move |request, tokens| {
            let call = {
                let mut calls = counted.lock().unwrap();
                *calls += 1;
                *calls
            };
            assert_ne!(call, panics_at, "on purpose");
            let token = if call == 1 { "first" } else { tokens.access_token().unwrap().expose_secret() };
            request.headers_mut().insert("x-token", token.parse().unwrap());
        });
        let (client, api) = client(&session, placement);
        let mut events = session.events();
        let error = client.get(API).send().await.unwrap_err();
        let error = AuthError::find(&error).unwrap();
        assert!(error.is_misconfigured() && error.to_string().contains("panicked"), "{error}");
        assert_eq!(api.got().len(), panics_at - 1);
        let failed = told(&mut events).into_iter().filter(|event| matches!(event, Event::CallbackFailed)).count();
        assert_eq!(failed, 1);
        assert_eq!(client.get(API).send().await.unwrap().status(), 200, "the next request goes its way");
    }
}
