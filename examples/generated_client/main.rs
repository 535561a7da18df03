//! A generated client that never notices that its tokens expire.
//!
//! `orders_api` is what `openapi-generator` makes of `orders.yaml`, unchanged. The generated functions build their requests
//! themselves, so that nothing can be said about a single one; but they send them by the client they are given, and that
//! one may have a door. Two people use the same code here, each by a door of their own over one connection pool: tokens
//! expire under them, they are not mixed up, and when the issuer ends a login, the generated error says so. At the end
//! what the program saw is compared with what the servers counted.
//!
//! Run it with `cargo run --example generated_client`. It needs nothing else.

mod orders_api;

#[path = "../quickstart/story.rs"]
#[allow(dead_code, reason = "the quickstart tells a longer one")]
mod story;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use reqwest_auth_refresh::{AuthError, AuthRefresh, Origins, RefreshGrant, Session, Tokens, acting_for};
use reqwest_middleware::ClientBuilder;

// The generated modules name each other from the root.
use crate::orders_api::{apis, models};

use crate::apis::configuration::Configuration;
use crate::apis::orders_api as generated;
use crate::models::{NewOrder, OrderState};
use crate::story::{Story, Table};
use crate::support::{Api, Grants, Issuer, Orders};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const HOUR: Duration = Duration::from_secs(3600);

/// The servers, and who tells of them.
struct Stage {
    issuer: Issuer,
    api: Api,
    /// How many seconds the servers' clock is ahead, so that tokens of an hour can expire here.
    ahead: Arc<AtomicU64>,
    http: reqwest::Client,
    story: Story,
    table: Table,
}

/// Somebody who orders: their login, and the generated client that acts for them.
struct Customer {
    session: Session,
    client: Configuration,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut stage = Stage::set().await?;
    let (alice, bob) = (stage.customer("alice").await?, stage.customer("bob").await?);

    tokens_expire_in_the_middle(&mut stage, &alice).await?;
    everyone_acts_for_themselves(&mut stage, &alice, &bob).await?;
    the_issuer_ends_a_login(&mut stage, &alice, &bob).await?;

    let agreed = stage.table.is_all_right();
    let closing = if agreed { "it never noticed either" } else { "the two sides do not agree" };
    Story::close(&format!("generated client: {closing}"));
    Ok(if agreed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Stage {
    async fn set() -> Result<Self> {
        let ahead = Arc::new(AtomicU64::new(0));
        let theirs = Arc::clone(&ahead);
        let clock = move || SystemTime::now() + Duration::from_secs(theirs.load(Ordering::Relaxed));
        let issuer = Issuer::start_over(Grants::new(HOUR), clock).await?;
        let api = Api::start(&issuer).await?;
        let orders = Orders::default();
        api.set_answer(move |user, request| orders.answer(user, request));
        let http = reqwest::Client::new();
        Ok(Self { issuer, api, ahead, http, story: Story::begin(), table: Table::begin() })
    }

    /// All that the generated client needs is a door for a session.
    async fn customer(&self, user: &str) -> Result<Customer> {
        let session = Session::builder(RefreshGrant::new(self.issuer.token_url(), "shop")?).id(user).build();
        let door = AuthRefresh::new(&session, Origins::new(self.api.url())?);
        let client = Configuration {
            base_path: self.api.url().to_owned(),
            client: ClientBuilder::new(self.http.clone()).with(door).build(),
            // A token given here would be the caller's own: it is never replaced, and its 401 never refreshes.
            bearer_access_token: None,
            ..Configuration::default()
        };
        let customer = Customer { session, client };
        self.log_in(&customer).await?;
        Ok(customer)
    }

    async fn log_in(&self, customer: &Customer) -> Result<()> {
        let answer = self.issuer.login(customer.session.id().as_str());
        Ok(customer.session.login(Tokens::from_json(answer.to_string())?).await?)
    }

    /// Refresh calls that arrived at the issuer, and requests at the API.
    fn calls(&self) -> (usize, usize) {
        (self.issuer.counts().token_calls, self.api.counts().requests)
    }

    /// Compares how much was called since `before`.
    fn compare(&mut self, before: (usize, usize), calls: usize, requests: usize) {
        let now = self.calls();
        Table::heading("counted", "expected");
        self.table.same("refreshes", now.0 - before.0, calls);
        self.table.same("requests that arrived at the API", now.1 - before.1, requests);
    }
}

/// Five calls of generated functions, and after the first the token expires. The one that meets it is sent twice.
async fn tokens_expire_in_the_middle(stage: &mut Stage, alice: &Customer) -> Result<()> {
    Story::scene("Alice's token expires between two calls");
    let before = stage.calls();
    let lamp = generated::create_order(&alice.client, NewOrder::new("lamp".to_owned(), 2)).await?;
    stage.story.tell("create_order", &format!("{} × {}, {}", lamp.quantity, lamp.item, lamp.state));

    stage.ahead.fetch_add(HOUR.as_secs(), Ordering::Relaxed);
    stage.story.tell("the servers", "one hour later");

    let desk = generated::create_order(&alice.client, NewOrder::new("desk".to_owned(), 1)).await?;
    stage.story.tell("create_order", &format!("{} × {}, {}", desk.quantity, desk.item, desk.state));
    let listed = generated::list_orders(&alice.client, Some(OrderState::Open), Some(10)).await?;
    stage.story.tell("list_orders", &format!("{} orders", listed.len()));
    let read = generated::get_order(&alice.client, &lamp.id).await?;
    stage.story.tell("get_order", &format!("{} × {}, {}", read.quantity, read.item, read.state));
    generated::delete_order(&alice.client, &desk.id).await?;
    stage.story.tell("delete_order", "gone");

    stage.compare(before, 1, 5 + 1);
    let known = listed.iter().chain([&read]).filter(|order| [&lamp, &desk].contains(order)).count();
    stage.table.same("orders read as they were made", known, 3);
    Ok(())
}

/// Code that is given a client and says nothing of sessions, like the generated functions themselves.
async fn count_orders(client: &Configuration) -> std::result::Result<usize, apis::Error<generated::ListOrdersError>> {
    Ok(generated::list_orders(client, None, None).await?.len())
}

/// Whom such code acts for is said around it. A client that serves somebody else then refuses, and sends nothing.
async fn everyone_acts_for_themselves(stage: &mut Stage, alice: &Customer, bob: &Customer) -> Result<()> {
    Story::scene("Whom code acts for is said around it");
    let before = stage.calls();
    let alices = acting_for("alice", count_orders(&alice.client)).await?;
    stage.story.tell("for alice", &format!("{alices} order, by her client"));
    let bobs = acting_for("bob", count_orders(&bob.client)).await?;
    stage.story.tell("for bob", &format!("{bobs} orders, by his"));

    let mut refused = 0;
    if let Err(error) = acting_for("bob", count_orders(&alice.client)).await {
        stage.story.tell("for bob", &format!("by hers: {error}"));
        refused += usize::from(AuthError::find(&error).is_some_and(AuthError::is_misconfigured));
    }

    // Bob's token had expired as well.
    stage.compare(before, 1, 1 + 2);
    stage.table.same("orders of alice", alices, 1);
    stage.table.same("orders of bob", bobs, 0);
    stage.table.same("refused to act for bob by the client of alice", refused, 1);
    Ok(())
}

/// The first call finds out. From then on nothing is sent for her until she logs in again; Bob is not concerned.
async fn the_issuer_ends_a_login(stage: &mut Stage, alice: &Customer, bob: &Customer) -> Result<()> {
    Story::scene("The issuer ends Alice's login");
    let before = stage.calls();
    stage.issuer.revoke_grants("alice");
    let mut told = 0;
    for _ in 0..3 {
        if let Err(error) = count_orders(&alice.client).await {
            stage.story.tell("list_orders", &error.to_string());
            told += usize::from(AuthError::find(&error).is_some_and(AuthError::needs_login));
        }
    }
    // Both by the first of the three.
    stage.compare(before, 1, 1);
    stage.table.same("calls told that a login is needed", told, 3);

    let before = stage.calls();
    let bobs = count_orders(&bob.client).await?;
    stage.story.tell("for bob", &format!("still {bobs} orders"));
    stage.log_in(alice).await?;
    let alices = count_orders(&alice.client).await?;
    stage.story.tell("for alice", &format!("logged in again: {alices} order, by the same client"));
    stage.compare(before, 0, 2);
    stage.table.same("orders of alice", alices, 1);
    Ok(())
}
