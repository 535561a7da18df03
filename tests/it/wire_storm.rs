//! A thousand requests on a thousand connections, over several threads, are unauthorized together: the issuer is asked once.

use http::StatusCode;
use reqwest_auth_refresh::{AuthRefresh, Origins, RefreshGrant, Session, Tokens};
use reqwest_middleware::ClientBuilder;
use tokio::task::JoinSet;

use crate::support::{Api, Issuer, PATIENCE, Tally, bounded};

const CROWD: usize = 1_000;

/// Two files for each connection, since both ends are ours, for more than one such crowd: other tests run beside this one.
#[cfg(unix)]
pub(crate) fn allow_enough_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let (needed, mut limit) = (CROWD as u64 * 10, getrlimit(Resource::Nofile));
    if limit.current.is_some_and(|current| current < needed) {
        limit.current = Some(limit.maximum.map_or(needed, |most| most.min(needed)));
        setrlimit(Resource::Nofile, limit).expect("raising the limit of open files up to what is allowed");
    }
}

#[cfg(not(unix))]
pub(crate) fn allow_enough_files() {}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_connections_unauthorized_together() {
    allow_enough_files();
    let issuer = Issuer::start().await.unwrap();
    let api = Api::start(&issuer).await.unwrap();
    let grant = RefreshGrant::new(issuer.token_url(), "app").unwrap();
    let session = Session::builder(grant).attempt_timeout(PATIENCE).wait_timeout(PATIENCE).build();
    session.login(Tokens::from_json(issuer.login("alice").to_string()).unwrap()).await.unwrap();
    issuer.revoke_access("alice");
    api.at_refusal().close_until(CROWD);

    let auth = AuthRefresh::new(&session, Origins::new(api.url()).unwrap());
    let client = ClientBuilder::new(reqwest::Client::new()).with(auth).build();
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let request = client.get(api.at("/orders"));
        crowd.spawn(async move {
            let response = request.send().await.unwrap();
            response.status() == StatusCode::OK && response.text().await.unwrap().contains("alice")
        });
    }
    let ok = bounded(|| "the crowd's answers", crowd.join_all()).await.into_iter().filter(|ok| *ok).count();

    let told = issuer.counts();
    println!("figure: wire_storm_refresh_calls = {} calls", told.token_calls);
    println!("figure: wire_storm_ok = {ok} requests");
    assert_eq!((told.token_calls, told.accepted, told.reuse, ok), (1, 1, 0, CROWD));
    let met = api.counts();
    assert_eq!((met.all, met.unsigned), (Tally { ok: CROWD, refused: CROWD }, Tally::default()), "each was sent twice");
}
