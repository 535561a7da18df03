//! A logout in one program, at a random moment of another one's refresh: nothing comes back, and no token stays alive.

use std::io::{BufRead, stdin};
use std::path::PathBuf;
use std::time::Duration;

use reqwest_auth_refresh::{
    AuthRefresh, ExposeSecret, FileStore, Origins, Record, RefreshGrant, Session, SessionId, TokenStore, Tokens,
    Version,
};
use reqwest_middleware::ClientBuilder;

use crate::child::Process;
use crate::scratch::Scratch;
use crate::support::put;
use crate::support::{Api, Issuer};
use crate::torture::{Chance, rounds};

/// Where a child finds its tokens. Without it there is no child.
const FOLDER: &str = "LOGOUT_CHILD_FOLDER";
const TOKEN_URL: &str = "LOGOUT_CHILD_TOKEN_URL";
const REVOCATION_URL: &str = "LOGOUT_CHILD_REVOCATION_URL";
const API_URL: &str = "LOGOUT_CHILD_API_URL";
/// Whether it refreshes as it would by hand.
const NAIVE: &str = "LOGOUT_CHILD_NAIVE";

fn grant(token_url: &str, revocation_url: &str) -> RefreshGrant {
    RefreshGrant::new(token_url, "app").unwrap().revocation(revocation_url).unwrap()
}

/// The other program: for each user that it is told, a request with tokens that are no longer good.
#[test]
#[ignore = "torture: the child that another test starts; by itself it does nothing"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let said = |name: &str| std::env::var(name).unwrap();
    let store = FileStore::new(folder);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("ready");
    for user in stdin().lock().lines() {
        let user = SessionId::from(user.unwrap());
        runtime.block_on(async {
            if std::env::var_os(NAIVE).is_some() {
                return refresh_by_hand(&store, &user, &said(TOKEN_URL)).await;
            }
            let grant = grant(&said(TOKEN_URL), &said(REVOCATION_URL));
            let session = Session::builder(grant).id(user.clone()).store(store.clone()).build();
            let auth = AuthRefresh::new(&session, Origins::new(said(API_URL)).unwrap());
            let client = ClientBuilder::new(reqwest::Client::new()).with(auth).build();
            // Served, told of the logout, or unsigned: whoever was quicker.
            drop(client.get(format!("{}/me", said(API_URL))).send().await);
            session.flush().await.unwrap();
        });
        println!("done");
    }
}

/// Without a look at what the store holds by then.
async fn refresh_by_hand(store: &FileStore, user: &SessionId, token_url: &str) {
    let Some(found) = store.load(user).await.unwrap() else { return };
    let Some(old) = found.tokens().and_then(Tokens::refresh_token) else { return };
    let form = [("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", old.expose_secret())];
    let answer = reqwest::Client::new().post(token_url).form(&form).send().await.unwrap();
    if let Ok(tokens) = Tokens::from_json(answer.bytes().await.unwrap()) {
        let version = found.version();
        let next = Version::new(version.login, version.generation + 1);
        let record = Record::of_tokens(user.clone(), next, tokens).with_registration(found.registration().unwrap());
        put(store, user, &record).await.unwrap();
    }
}

/// So many logouts: how many sessions were back afterwards, and how many grants were alive.
async fn log_out(rounds: usize, naive: bool) -> (usize, usize) {
    let issuer = Issuer::start().await.unwrap();
    let api = Api::start(&issuer).await.unwrap();
    let folder = Scratch::new();
    let mut variables = vec![
        (FOLDER, folder.join("tokens").into_os_string()),
        (TOKEN_URL, issuer.token_url().into()),
        (REVOCATION_URL, issuer.revocation_url().into()),
        (API_URL, api.url().into()),
    ];
    variables.extend(naive.then(|| (NAIVE, "1".into())));
    let store = FileStore::new(folder.join("tokens"));
    let mut other = Process::start("logout_elsewhere::child", variables);
    other.wait_for("ready");
    let (mut chance, mut resurrected) = (Chance::new(7), 0);
    for round in 0..rounds {
        let user = format!("user-{round}");
        let grant = grant(issuer.token_url(), issuer.revocation_url());
        let session = Session::builder(grant).id(user.as_str()).store(store.clone()).build();
        session.login(Tokens::from_json(issuer.login(&user).to_string()).unwrap()).await.unwrap();
        issuer.revoke_access(&user);
        other.say(&user);
        // The moment is what is drawn: a flight takes some milliseconds.
        tokio::time::sleep(Duration::from_micros(chance.below(8_000))).await;
        drop(session.logout().await.unwrap());
        other.wait_for("done");
        let found = store.load(&user.as_str().into()).await.unwrap();
        resurrected += usize::from(found.is_some_and(|record| record.tokens().is_some()));
    }
    other.finish();
    (resurrected, issuer.counts().live_grants)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "torture: a thousand logouts in one program, each while another one refreshes"]
async fn a_logout_holds_in_every_program() {
    let rounds = rounds(1_000);
    let (resurrected, alive) = log_out(rounds, false).await;
    println!("figure: logout_elsewhere_rounds = {rounds} rounds");
    println!("figure: logout_elsewhere_resurrected = {resurrected} sessions");
    println!("figure: logout_elsewhere_tokens_alive = {alive} grants");
    assert_eq!((resurrected, alive), (0, 0));
    // The control: a program that refreshes and saves as one would by hand.
    let (resurrected, alive) = log_out(rounds.div_ceil(5), true).await;
    println!("figure: logout_elsewhere_resurrected_by_hand = {resurrected} sessions");
    println!("figure: logout_elsewhere_tokens_alive_by_hand = {alive} grants");
    assert!(resurrected > 0 && alive > 0);
}
