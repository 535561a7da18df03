//! A thousand users through one client: every answer is for whoever asked, and nobody waits for somebody else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::{Extensions, StatusCode};
use reqwest::{Request, Response};
use reqwest_auth_refresh::{
    MemoryStore, RefreshError, RefreshReason, RefreshRequest, RequestBuilderExt, Session, SessionId, Sessions, Tokens,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use secrecy::ExposeSecret;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{API, Echo, SECOND, TAG, World, client};
use crate::torture::{Chance, rounds};
use crate::virtual_issuer::Issuer;
use crate::virtual_world::VirtualClock;

/// The session of a request made by hand.
const SLOT: &str = "x-slot";

/// Who keeps the tokens.
#[derive(Clone)]
enum Keeper {
    Ours(Sessions),
    ByHand(ByHand),
}

/// One refresh at a time for each user, but nothing that tells one login from another; or one at a time for all.
#[derive(Clone)]
struct ByHand {
    issuer: Issuer,
    tokens: Arc<Mutex<HashMap<String, Arc<Tokens>>>>,
    flights: Arc<Mutex<HashMap<String, watch::Receiver<bool>>>>,
    global: Option<Arc<tokio::sync::Mutex<()>>>,
    stalled: &'static str,
}

impl ByHand {
    fn new(issuer: &Issuer, global: bool) -> Self {
        let global = global.then(Arc::default);
        Self { issuer: issuer.clone(), tokens: Arc::default(), flights: Arc::default(), global, stalled: "" }
    }

    fn of(&self, slot: &str) -> Option<Arc<Tokens>> {
        self.tokens.lock().unwrap().get(slot).cloned()
    }

    async fn renew(&self, slot: &str, old: Arc<Tokens>) {
        if slot == self.stalled {
            sleep(60 * SECOND).await;
        }
        let request = RefreshRequest::new(SessionId::from(slot), Some(old), RefreshReason::Unauthorized, SECOND);
        if let Ok(tokens) = self.issuer.clone().refresh(request).await {
            self.tokens.lock().unwrap().insert(slot.to_owned(), Arc::new(tokens));
        }
    }

    fn board(&self, slot: &str, old: Arc<Tokens>) -> watch::Receiver<bool> {
        let mut flights = self.flights.lock().unwrap();
        if let Some(up) = flights.get(slot) {
            return up.clone();
        }
        let (landed, landing) = watch::channel(false);
        flights.insert(slot.to_owned(), landing.clone());
        let (this, slot) = (self.clone(), slot.to_owned());
        tokio::spawn(async move {
            this.renew(&slot, old).await;
            this.flights.lock().unwrap().remove(&slot);
            landed.send_replace(true);
        });
        landing
    }
}

#[async_trait]
impl Middleware for ByHand {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let slot = request.headers()[SLOT].to_str().unwrap().to_owned();
        let signed = |tokens: &Tokens| {
            let mut request = request.try_clone().unwrap();
            let header = format!("Bearer {}", tokens.access_token().unwrap().expose_secret());
            request.headers_mut().insert("authorization", header.parse().unwrap());
            request
        };
        let Some(tokens) = self.of(&slot) else { return Err(reqwest_middleware::Error::middleware(std::fmt::Error)) };
        let response = next.clone().run(signed(&tokens), extensions).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        if let Some(global) = &self.global {
            let _held = global.lock().await;
            if self.of(&slot).is_some_and(|now| Arc::ptr_eq(&now, &tokens)) {
                self.renew(&slot, tokens).await;
            }
        } else {
            drop(self.board(&slot, tokens).wait_for(|landed| *landed).await);
        }
        match self.of(&slot) {
            Some(tokens) => next.run(signed(&tokens), extensions).await,
            None => Ok(response),
        }
    }
}

/// The users of a round: in each place somebody is logged in, or nobody.
struct Crowd {
    issuer: Issuer,
    keeper: Keeper,
    api: Echo,
    client: ClientWithMiddleware,
    /// Who is logged in at which place.
    accounts: Mutex<Vec<Option<String>>>,
    logins: AtomicUsize,
}

impl Crowd {
    fn new(places: usize, by_hand: bool) -> Arc<Self> {
        let issuer = Issuer::new().with_life(30 * SECOND).forgiving();
        let api = Echo::new(&issuer);
        let (keeper, client) = if by_hand {
            let by_hand = ByHand::new(&issuer, false);
            let client = ClientBuilder::new(reqwest::Client::new()).with(by_hand.clone()).with(api.clone()).build();
            (Keeper::ByHand(by_hand), client)
        } else {
            let sessions = Sessions::builder(super::Grant(issuer.clone())).clock(VirtualClock::start());
            let sessions = sessions.store(MemoryStore::default()).idle(20 * SECOND).most_idle(places / 4).build();
            let client = client(&sessions, api.clone());
            (Keeper::Ours(sessions), client)
        };
        let accounts = Mutex::new(vec![None; places]);
        Arc::new(Self { issuer, keeper, api, client, accounts, logins: AtomicUsize::new(0) })
    }

    /// Another person logs in at this place, whoever was there.
    async fn login(&self, place: usize) {
        let account = format!("p{place}n{}", self.logins.fetch_add(1, Ordering::Relaxed));
        let tokens = self.issuer.login(&account);
        self.accounts.lock().unwrap()[place] = Some(account);
        match &self.keeper {
            Keeper::Ours(sessions) => drop(sessions.session(slot(place)).login(tokens).await),
            Keeper::ByHand(by_hand) => {
                by_hand.tokens.lock().unwrap().insert(slot(place), Arc::new(tokens));
            }
        }
    }

    async fn logout(&self, place: usize) {
        self.accounts.lock().unwrap()[place] = None;
        match &self.keeper {
            Keeper::Ours(sessions) => drop(sessions.session(slot(place)).logout().await),
            Keeper::ByHand(by_hand) => drop(by_hand.tokens.lock().unwrap().remove(&slot(place))),
        }
    }

    async fn ask(&self, place: usize) -> bool {
        let account = self.accounts.lock().unwrap()[place].clone().unwrap_or_else(|| "nobody".to_owned());
        let request = self.client.get(format!("{API}/me")).header(TAG, account).header(SLOT, slot(place));
        request.acting_for(slot(place)).send().await.is_ok_and(|response| response.status() == StatusCode::OK)
    }

    /// Something goes wrong, for one or for all.
    async fn disturb(&self, chance: &mut Chance) {
        let places = self.accounts.lock().unwrap().len();
        let place = usize::try_from(chance.below(places as u64)).unwrap();
        let account = self.accounts.lock().unwrap()[place].clone();
        match (chance.below(24), &account) {
            (0..=5, Some(account)) => self.issuer.end_access_tokens_of(account),
            (6, _) => self.logout(place).await,
            (7..=14, _) => {
                if let Some(account) = &account {
                    // In the middle of a refresh, if there is one.
                    self.issuer.end_access_tokens_of(account);
                    sleep(Duration::from_millis(chance.below(150))).await;
                }
                self.login(place).await;
            }
            (15, Some(_)) => {
                self.issuer.fail(RefreshError::unavailable("down").for_every_session());
                sleep(Duration::from_millis(chance.below(500))).await;
                self.issuer.recover();
            }
            (16, Some(_)) => {
                self.issuer.fail(RefreshError::rejected("invalid_grant"));
                sleep(Duration::from_millis(chance.below(20))).await;
                self.issuer.recover();
            }
            _ => sleep(Duration::from_millis(chance.below(100))).await,
        }
    }

    /// So many requests at each place, and what came of them: answers, and those that carried somebody else's token.
    async fn run(self: Arc<Self>, requests: usize) -> (usize, usize) {
        let places = self.accounts.lock().unwrap().len();
        for place in 0..places {
            self.login(place).await;
        }
        let disturbing = tokio::spawn({
            let crowd = Arc::clone(&self);
            async move {
                let mut chance = Chance::new(11);
                loop {
                    crowd.disturb(&mut chance).await;
                    sleep(Duration::from_millis(chance.below(60))).await;
                }
            }
        });
        let mut asking = JoinSet::new();
        for place in 0..places {
            let crowd = Arc::clone(&self);
            asking.spawn(async move {
                let mut chance = Chance::new(place as u64);
                let mut answered = 0;
                for _ in 0..requests {
                    sleep(Duration::from_millis(chance.below(3_000))).await;
                    answered += usize::from(crowd.ask(place).await);
                }
                answered
            });
        }
        let answered = asking.join_all().await.into_iter().sum();
        disturbing.abort();
        (answered, self.api.mixups())
    }
}

fn slot(place: usize) -> String {
    format!("place-{place}")
}

async fn nobody_is_mixed_up(places: usize, requests: usize) {
    let crowd = Crowd::new(places, false);
    let (answered, mixups) = Arc::clone(&crowd).run(requests).await;
    println!("figure: mixups = {mixups} requests");
    println!("figure: mixups_answered = {answered} requests");
    assert_eq!((mixups, crowd.api.unsigned()), (0, 0));
    assert!(answered > places * requests / 3, "{answered} of {}", places * requests);
    let (_, by_hand) = Crowd::new(places, true).run(requests).await;
    println!("figure: mixups_by_hand = {by_hand} requests");
    assert!(by_hand > 0, "a single-flight key without the login is caught");
}

#[tokio::test(start_paused = true)]
#[ignore = "torture: 1,000 users and 100,000 requests while everything goes wrong, and the same by hand"]
async fn a_thousand_users_are_not_mixed_up() {
    nobody_is_mixed_up(1_000, rounds(100)).await;
}

#[tokio::test(start_paused = true)]
async fn users_are_not_mixed_up() {
    nobody_is_mixed_up(60, 30).await;
}

/// How much longer B's refresh takes while A's is stalled.
async fn waits(client: &ClientWithMiddleware, issuer: &Issuer) -> Duration {
    let ask = |user: &'static str| {
        let request = client.get(API).header(TAG, user).header(SLOT, user).acting_for(user);
        async move {
            let begun = Instant::now();
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{user}");
            begun.elapsed()
        }
    };
    issuer.end_access_tokens_of("b");
    let alone = ask("b").await;
    for user in ["a", "b"] {
        issuer.end_access_tokens_of(user);
    }
    let stalled = tokio::spawn(ask("a"));
    sleep(SECOND).await;
    let beside = ask("b").await;
    stalled.await.unwrap();
    beside.saturating_sub(alone)
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_somebody_elses_refresh() {
    let issuer = Issuer::new();
    let behind = issuer.clone();
    let refresher = move |request: RefreshRequest| {
        let issuer = behind.clone();
        async move {
            if request.session().as_str() == "a" {
                sleep(60 * SECOND).await;
            }
            issuer.refresh(request).await
        }
    };
    let sessions = Sessions::builder(refresher).clock(VirtualClock::start()).attempt_timeout(90 * SECOND);
    let sessions = sessions.wait_timeout(100 * SECOND).build();
    for user in ["a", "b"] {
        sessions.session(user).login(issuer.login(user)).await.unwrap();
    }
    let waited = waits(&client(&sessions, Echo::new(&issuer)), &issuer).await;
    println!("figure: cross_user_wait_ms = {} ms", waited.as_millis());
    assert_eq!(waited, Duration::ZERO);

    let issuer = Issuer::new();
    let by_hand = ByHand { stalled: "a", ..ByHand::new(&issuer, true) };
    for user in ["a", "b"] {
        by_hand.tokens.lock().unwrap().insert(user.to_owned(), Arc::new(issuer.login(user)));
    }
    let client = ClientBuilder::new(reqwest::Client::new()).with(by_hand).with(Echo::new(&issuer)).build();
    let waited = waits(&client, &issuer).await;
    println!("figure: cross_user_wait_ms_under_one_lock = {} ms", waited.as_millis());
    assert!(waited > 50 * SECOND, "one lock for all is caught");
}

#[tokio::test(start_paused = true)]
async fn each_tenant_may_have_an_issuer_of_its_own() {
    let (red, blue) = (Issuer::new(), Issuer::new());
    let tenants = HashMap::from([("red", red.clone()), ("blue", blue.clone())]);
    let refresher = move |request: RefreshRequest| {
        let tenant = request.session().as_str().split('/').next().unwrap();
        let issuer = tenants[tenant].clone();
        async move { issuer.refresh(request).await.map_err(RefreshError::for_this_session) }
    };
    let sessions = Sessions::builder(refresher).clock(VirtualClock::start()).build();
    let session = |id: &str| -> Session { sessions.session(id) };
    session("red/a").login(red.login("a")).await.unwrap();
    session("blue/a").login(blue.login("a")).await.unwrap();
    red.fail(RefreshError::unavailable("down").for_every_session().retry_after(60 * SECOND));
    assert!(session("red/a").refresh().await.unwrap_err().is_transient());
    session("blue/a").refresh().await.unwrap();
    assert_eq!((red.calls(), blue.calls(), World::new(Issuer::new()).issuer.calls()), (1, 1, 0));
}
