//! One at a time: a limit of one request inside and outside of the middleware, and a server with one connection. The refresh
//! goes by a client of its own and is caught in none of them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::{Extensions, StatusCode};
use reqwest::{Request, Response};
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, Origins, RefreshError, RefreshRequest, Retried, Session, Tokens, async_trait,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::support::{Tally, bounded};
use crate::wire_world::{Wire, answered};

const CROWD: usize = 50;

/// Lets one through at a time: until its response is there, or until that has been read.
struct OneAtATime {
    free: Arc<Semaphore>,
    until_read: bool,
}

impl OneAtATime {
    fn new(until_read: bool) -> Self {
        Self { free: Arc::new(Semaphore::new(1)), until_read }
    }
}

/// Kept with a response.
#[derive(Clone)]
struct Permit {
    _permit: Arc<OwnedSemaphorePermit>,
}

#[async_trait]
impl Middleware for OneAtATime {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let permit = Arc::clone(&self.free).acquire_owned().await.unwrap();
        let mut response = next.run(request, extensions).await?;
        if self.until_read {
            let _none = response.extensions_mut().insert(Permit { _permit: Arc::new(permit) });
        }
        Ok(response)
    }
}

/// Sends fifty requests together; counts how often the issuer was asked, and what the API answered.
async fn crowd(wire: &Wire, client: &ClientWithMiddleware) -> (usize, Tally) {
    let crowd = (0..CROWD).map(|_| async {
        let response = client.get(wire.api.at("/me")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.text().await.unwrap()
    });
    bounded(|| "the crowd's answers", join_all(crowd)).await;
    wire.counts()
}

#[tokio::test]
async fn a_limit_of_one_inside() {
    for until_read in [false, true] {
        let wire = Wire::unauthorized().await;
        let limit = OneAtATime::new(until_read);
        let client = ClientBuilder::new(reqwest::Client::new()).with(wire.auth()).with(limit).build();
        let (calls, all) = crowd(&wire, &client).await;
        let until = if until_read { "read" } else { "answered" };
        println!("figure: refresh_calls_with_a_limit_inside_until_{until} = {calls} calls");
        // All were signed before the first was refused, and stood in line.
        assert_eq!((calls, all), (1, answered(CROWD, CROWD)), "until read: {until_read}");
    }
}

#[tokio::test]
async fn a_limit_of_one_outside() {
    for until_read in [false, true] {
        let wire = Wire::unauthorized().await;
        let limit = OneAtATime::new(until_read);
        let client = ClientBuilder::new(reqwest::Client::new()).with(limit).with(wire.auth()).build();
        let (calls, all) = crowd(&wire, &client).await;
        let until = if until_read { "read" } else { "answered" };
        println!("figure: refresh_calls_with_a_limit_outside_until_{until} = {calls} calls");
        assert_eq!((calls, all), (1, answered(CROWD, 1)), "until read: {until_read}");
    }
}

/// The control: a refresher that stands in the same line waits for the response that waits for it. Its bound ends that.
#[tokio::test]
async fn control_a_refresher_behind_the_same_limit_is_caught_in_it() {
    let wire = Wire::unauthorized().await;
    let limit = OneAtATime::new(true);
    let free = Arc::clone(&limit.free);
    let caught = move |_: RefreshRequest| {
        let free = Arc::clone(&free);
        async move {
            let _permit = free.acquire().await.map_err(RefreshError::unavailable)?;
            Tokens::new("new").map_err(RefreshError::unavailable)
        }
    };
    let session = Session::builder(caught).attempt_timeout(Duration::from_millis(200)).build();
    session.login(Tokens::new("old").unwrap()).await.unwrap();
    let auth = AuthRefresh::new(&session, Origins::new(wire.api.url()).unwrap());
    let client = ClientBuilder::new(reqwest::Client::new()).with(auth).with(limit).build();
    let error = bounded(|| "the answer", client.get(wire.api.at("/me")).send()).await.unwrap_err();
    assert!(AuthError::find(&error).is_some_and(AuthError::is_transient), "{error:?}");
    assert_eq!(wire.api.counts().all, answered(0, 1));
}

/// A client that keeps one connection, for a server that serves one.
fn one_connection() -> reqwest::Client {
    reqwest::Client::builder().pool_max_idle_per_host(1).build().unwrap()
}

/// Three requests to a server with one connection, each refused with a longer body and sent again.
async fn three_sent_again() -> (Wire, ClientWithMiddleware) {
    let wire = Wire::unauthorized().await;
    wire.api.set_most_connections(1);
    let client = wire.client_over(one_connection());
    for body in [0, 100, 64 * 1024] {
        wire.issuer.revoke_access("alice");
        wire.api.set_refusal_body(vec![b'x'; body]);
        let response = bounded(|| "the answer", client.get(wire.api.at("/me")).send()).await.unwrap();
        assert!(response.status().is_success() && response.extensions().get::<Retried>().is_some());
        response.text().await.unwrap();
    }
    assert_eq!(wire.counts(), (3, answered(3, 3)));
    (wire, client)
}

#[tokio::test]
async fn a_server_with_one_connection_gets_the_second_sending_on_it() {
    let mut tries = 1..20;
    let (wire, client) = loop {
        let (wire, client) = three_sent_again().await;
        // What takes longer than 100 ms is not drained. A busy machine may stand still for so long, but not each time.
        if wire.api.connections() == 1 {
            break (wire, client);
        }
        tries.next().expect("drained, and used again");
    };

    // More than is drained: the connection is closed, and another one takes its place.
    wire.issuer.revoke_access("alice");
    wire.api.set_refusal_body(vec![b'x'; 8 * 1024 * 1024]);
    let response = bounded(|| "the answer", client.get(wire.api.at("/me")).send()).await.unwrap();
    assert!(response.status().is_success());
    assert_eq!((wire.counts(), wire.api.connections()), ((4, answered(4, 4)), 2));
}

/// The control: who keeps the first response while sending again waits for ever.
#[tokio::test]
async fn control_who_keeps_the_refusal_waits_for_ever() {
    let wire = Wire::unauthorized().await;
    wire.api.set_most_connections(1);
    wire.api.set_refusal_body(vec![b'x'; 64 * 1024]);
    let client = one_connection();
    let refusal = client.get(wire.api.at("/me")).bearer_auth("old").send().await.unwrap();
    let second = timeout(Duration::from_millis(300), client.get(wire.api.at("/me")).send()).await;
    assert!(second.is_err(), "{second:?}");
    drop(refusal);
}
