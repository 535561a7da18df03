//! What `openapi-generator` makes works through a door as it comes: its calls never notice that tokens expire, and its own
//! error says what became of a login.

use std::error::Error;

use http::{Method, StatusCode};
use reqwest_auth_refresh::{AuthError, AuthRefresh, Origins, RefreshGrant, Session, Tokens, acting_for, carry};
use reqwest_middleware::ClientBuilder;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::apis::configuration::Configuration;
use crate::apis::orders_api::{GetOrderError, ListOrdersError, create_order, delete_order, get_order, list_orders};
use crate::apis::{Error as ApiError, ResponseContent};
use crate::models::{NewOrder, Order, OrderState, Problem};
use crate::support::{Api, Issuer, Orders};
use crate::wire_tap::{LeftBehind, Sent, WireTap};

/// Alice is logged in, and the generated client has a door for her.
struct World {
    issuer: Issuer,
    api: Api,
    orders: Orders,
    session: Session,
    client: Configuration,
    wire: WireTap,
    left_behind: LeftBehind,
}

impl World {
    async fn new() -> Self {
        let issuer = Issuer::start().await.unwrap();
        let api = Api::start(&issuer).await.unwrap();
        let orders = Orders::default();
        let book = orders.clone();
        api.set_answer(move |user, request| book.answer(user, request));
        let session = Session::builder(RefreshGrant::new(issuer.token_url(), "app").unwrap()).id("alice").build();
        session.login(Tokens::from_json(issuer.login("alice").to_string()).unwrap()).await.unwrap();

        let (wire, left_behind) = (WireTap::default(), LeftBehind::default());
        let door = AuthRefresh::new(&session, Origins::new(api.url()).unwrap());
        let chain = ClientBuilder::new(reqwest::Client::new()).with(left_behind.clone()).with(door).with(wire.clone());
        let client =
            Configuration { base_path: api.url().to_owned(), client: chain.build(), ..Configuration::default() };
        Self { issuer, api, orders, session, client, wire, left_behind }
    }

    /// The API no longer takes the token that the program has.
    fn expire(&self) {
        self.issuer.revoke_access("alice");
    }

    /// The calls that the issuer met, and the requests that the API did.
    fn calls(&self) -> (usize, usize) {
        (self.issuer.counts().token_calls, self.api.counts().requests)
    }

    /// The last call was sent twice, and the second time as the first but for its token. Returns it.
    fn sent_again_once(&self) -> Sent {
        let sent = self.wire.take();
        assert_eq!(sent.len(), 2, "{sent:?}");
        let [(first, old, flagged), (second, new, flagged_again)] = [0, 1].map(|nth| sent[nth].clone().split());
        assert_eq!((flagged, flagged_again), (false, true));
        assert!(old.is_some() && new.is_some() && old != new);
        assert_eq!(first, second);
        second
    }
}

fn lamp() -> NewOrder {
    NewOrder::new("lamp".to_owned(), 2)
}

/// What our error says, found under the generated one.
fn ours<T: std::fmt::Debug + 'static>(error: &ApiError<T>) -> &AuthError {
    assert!(matches!(error, ApiError::ReqwestMiddleware(_)), "{error:?}");
    AuthError::find(error).expect("ours")
}

fn answered<T>(error: ApiError<T>) -> ResponseContent<T> {
    let ApiError::ResponseError(content) = error else { panic!("no answer: {error}") };
    content
}

#[tokio::test]
async fn each_call_that_meets_an_expiry_is_sent_again_once_and_is_the_same() {
    let world = World::new().await;
    let lamp_1 = Order::new("order-1".to_owned(), "lamp".to_owned(), 2, OrderState::Open);

    world.expire();
    assert_eq!(create_order(&world.client, lamp()).await.unwrap(), lamp_1);
    assert_eq!(world.calls(), (1, 2));
    let sent = world.sent_again_once();
    assert_eq!((sent.method, sent.url.path()), (Method::POST, "/orders"));
    assert_eq!(sent.body.as_deref(), Some(&br#"{"item":"lamp","quantity":2}"#[..]));
    assert_eq!(sent.headers["content-type"], "application/json");
    assert_eq!(world.orders.made("alice"), 1);

    world.expire();
    let listed = list_orders(&world.client, Some(OrderState::Open), Some(3)).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&lamp_1));
    assert_eq!(world.calls(), (2, 4));
    let sent = world.sent_again_once();
    assert_eq!((sent.method, sent.url.query()), (Method::GET, Some("state=open&limit=3")));

    world.expire();
    assert_eq!(get_order(&world.client, "order-1").await.unwrap(), lamp_1);
    assert_eq!(world.calls(), (3, 6));
    assert_eq!(world.sent_again_once().method, Method::GET);

    world.expire();
    delete_order(&world.client, "order-1").await.unwrap();
    assert_eq!(world.calls(), (4, 8));
    assert_eq!(world.sent_again_once().method, Method::DELETE);

    // And with good tokens once.
    assert_eq!(list_orders(&world.client, None, None).await.unwrap(), []);
    assert_eq!((world.calls(), world.wire.take().len()), ((4, 9), 1));
    assert_eq!((world.issuer.counts().reuse, world.left_behind.count()), (0, 0));
}

const CROWD: usize = 20;

/// One of the crowd's calls, each of which works once.
async fn call(nth: usize, client: &Configuration) -> bool {
    match nth % 4 {
        0 => list_orders(client, None, Some(1)).await.is_ok_and(|orders| orders.len() == 1),
        1 => create_order(client, lamp()).await.is_ok_and(|order| order.quantity == 2),
        2 => get_order(client, "order-1").await.is_ok_and(|order| order.item == "lamp"),
        _ => delete_order(client, &format!("order-{}", 2 + nth / 4)).await.is_ok(),
    }
}

/// Everybody calls at once, and meets an expiry. Returns for how many it worked.
async fn crowd<F>(world: &World, mut call: impl FnMut(usize, Configuration) -> F) -> usize
where
    F: Future<Output = bool> + Send + 'static,
{
    for _ in 0..6 {
        create_order(&world.client, lamp()).await.unwrap();
    }
    world.expire();
    world.api.at_refusal().close_until(CROWD);
    let mut crowd = JoinSet::new();
    for nth in 0..CROWD {
        crowd.spawn(call(nth, world.client.clone()));
    }
    crowd.join_all().await.into_iter().filter(|ok| *ok).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_calls_that_meet_an_expiry_together_cost_one_refresh() {
    let world = World::new().await;
    let ok = crowd(&world, |nth, client| async move { call(nth, &client).await }).await;

    let issuer = world.issuer.counts();
    println!("figure: generated_client_storm_refresh_calls = {} calls", issuer.token_calls);
    println!("figure: generated_client_storm_ok = {ok} calls");
    assert_eq!((issuer.token_calls, issuer.accepted, issuer.reuse, ok), (1, 1, 0, CROWD));
    assert_eq!(world.api.counts().requests, 6 + 2 * CROWD, "each was sent twice");
    assert_eq!(world.orders.made("alice"), 6 + 5, "and did its work once");
    assert_eq!(list_orders(&world.client, None, None).await.unwrap().len(), 6 + 5 - 5);
    assert_eq!(world.left_behind.count(), 0);
}

/// The generated code's own way: the token is written into the configuration, and whoever gets a 401 refreshes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_twenty_calls_that_refresh_by_hand_cost_the_login() {
    let world = World::new().await;
    let login = world.issuer.login("alice");
    let text = |answer: &Value, member: &str| answer[member].as_str().unwrap_or_default().to_owned();
    let (token_url, access, refresh) =
        (world.issuer.token_url().to_owned(), text(&login, "access_token"), text(&login, "refresh_token"));
    world.issuer.at_arrival().close_until(CROWD);
    let ok = crowd(&world, |nth, mut client| {
        client.bearer_access_token = Some(access.clone());
        let form = format!("grant_type=refresh_token&refresh_token={refresh}");
        let request = reqwest::Client::new().post(&token_url).body(form);
        async move {
            if call(nth, &client).await {
                return true;
            }
            let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
            client.bearer_access_token = Some(text(&answer.json().await.unwrap(), "access_token"));
            call(nth, &client).await
        }
    })
    .await;

    let issuer = world.issuer.counts();
    println!("figure: control_generated_client_storm_refresh_calls = {} calls", issuer.token_calls);
    println!("figure: control_generated_client_storm_ok = {ok} calls");
    assert_eq!((issuer.token_calls, issuer.accepted, issuer.reuse), (CROWD, 1, CROWD - 1));
    assert!(ok <= 1, "{ok}");
}

#[tokio::test]
async fn calls_act_for_the_session_around_them_or_for_nobody() {
    let world = World::new().await;
    let list = || list_orders(&world.client, None, None);
    world.expire();
    assert_eq!(acting_for("alice", list()).await.unwrap(), []);
    assert_eq!(world.calls(), (1, 2));
    let client = world.client.clone();
    let beside = async move { tokio::spawn(carry(async move { list_orders(&client, None, None).await })).await };
    assert_eq!(acting_for("alice", beside).await.unwrap().unwrap(), []);
    assert_eq!(world.calls(), (1, 3));

    // Somebody else's name: nothing is sent, with hers or with any tokens.
    let client = world.client.clone();
    let beside = async move { tokio::spawn(carry(async move { list_orders(&client, None, None).await })).await };
    for refused in [acting_for("bob", list()).await, acting_for("bob", beside).await.unwrap()] {
        let refused = refused.unwrap_err();
        assert!(ours(&refused).is_misconfigured(), "{refused:?}");
        assert_eq!(ours(&refused).session().as_str(), "bob");
    }
    assert_eq!(world.calls(), (1, 3));

    // Nobody is logged in: what names her is not sent, what names nobody goes out unsigned and meets the API's own answer.
    world.session.logout().await.unwrap();
    let refused = acting_for("alice", list()).await.unwrap_err();
    assert!(ours(&refused).needs_login(), "{refused:?}");
    assert_eq!(world.calls(), (1, 3));
    let answer = answered(list().await.unwrap_err());
    assert_eq!((answer.status, world.calls()), (StatusCode::UNAUTHORIZED, (1, 4)));
    assert_eq!(world.api.counts().unsigned.refused, 1);
}

#[tokio::test]
async fn the_generated_error_says_that_a_login_is_needed() {
    let world = World::new().await;
    world.issuer.revoke_grants("alice");
    let first = get_order(&world.client, "order-1").await.unwrap_err();
    assert!(ours(&first).needs_login(), "{first:?}");
    assert_eq!((ours(&first).code(), ours(&first).status()), (Some("invalid_grant"), Some(StatusCode::UNAUTHORIZED)));
    assert_eq!(world.calls(), (1, 1));

    let boxed: Box<dyn Error + Send + Sync> = delete_order(&world.client, "order-1").await.unwrap_err().into();
    assert!(AuthError::find(&*boxed).is_some_and(AuthError::needs_login));
    let at_work = anyhow::Error::new(create_order(&world.client, lamp()).await.unwrap_err()).context("at work");
    assert!(AuthError::find(at_work.as_ref()).is_some_and(AuthError::needs_login));
    let named = acting_for("alice", list_orders(&world.client, None, None)).await.unwrap_err();
    assert!(ours(&named).needs_login());
    let further = world.calls();
    println!("figure: generated_client_calls_after_needs_login = {} calls", further.0 + further.1 - 2);
    assert_eq!(further, (1, 1));

    world.session.login(Tokens::from_json(world.issuer.login("alice").to_string()).unwrap()).await.unwrap();
    assert_eq!(list_orders(&world.client, None, None).await.unwrap(), []);
}

#[tokio::test]
async fn what_the_api_answers_is_left_to_the_generated_types() {
    let world = World::new().await;
    let is_no_such_order = |answer: &ResponseContent<GetOrderError>| {
        assert_eq!((answer.status, &*answer.content), (StatusCode::NOT_FOUND, r#"{"error":"there is no such order"}"#));
        let there_is_none = Problem::new("there is no such order".to_owned());
        matches!(&answer.entity, Some(GetOrderError::Status404(problem)) if *problem == there_is_none)
    };
    let missing = get_order(&world.client, "no/such?order").await.unwrap_err();
    assert!(AuthError::find(&missing).is_none());
    assert!(is_no_such_order(&answered(missing)));
    assert_eq!(world.calls(), (0, 1));
    assert_eq!(world.wire.take()[0].url.path(), "/orders/no%2Fsuch%3Forder");

    // In answer to the second sending too.
    world.expire();
    assert!(is_no_such_order(&answered(get_order(&world.client, "none").await.unwrap_err())));
    assert_eq!(world.calls(), (1, 3));

    // And so does a second 401: it says what the API says, and nothing of ours.
    world.api.set_refuses_all(true);
    let refused = answered(list_orders(&world.client, None, None).await.unwrap_err());
    assert_eq!((refused.status, &*refused.content), (StatusCode::UNAUTHORIZED, r#"{"error":"unauthorized"}"#));
    assert!(matches!(refused.entity, Some(ListOrdersError::DefaultResponse(_))));
    assert_eq!(world.calls(), (2, 5));
    assert_eq!(world.left_behind.count(), 0);
}

#[tokio::test]
async fn a_token_given_to_the_generated_code_is_the_callers_own() {
    let mut world = World::new().await;
    world.client.bearer_access_token = Some("brought-along".to_owned());
    let refused = answered(list_orders(&world.client, None, None).await.unwrap_err());
    assert_eq!((refused.status, world.calls()), (StatusCode::UNAUTHORIZED, (0, 1)));
    assert_eq!(world.wire.take()[0].headers["authorization"], "Bearer brought-along");
}
