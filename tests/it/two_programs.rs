//! Two programs that are started at the moment when the tokens they share have expired.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use reqwest_auth_refresh::{AuthRefresh, FileStore, Origins, RefreshGrant, Session, Tokens};
use reqwest_middleware::ClientBuilder;

use crate::child::Process;
use crate::scratch::Scratch;
use crate::support::{Api, Fault, Issuer, PATIENCE, Tally};

/// Where a child finds its tokens. Without it there is no child.
const FOLDER: &str = "TWO_CHILD_FOLDER";
const TOKEN_URL: &str = "TWO_CHILD_TOKEN_URL";
const API_URL: &str = "TWO_CHILD_API_URL";

/// The program: one request, and the end.
#[test]
#[ignore = "torture: the child that another test starts; by itself it does nothing"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let said = |name: &str| std::env::var(name).unwrap();
    let grant = RefreshGrant::new(said(TOKEN_URL), "app").unwrap().never_resubmit();
    // However slowly the other program starts, this one waits for it.
    let session = Session::builder(grant).store(FileStore::new(folder));
    let session = session.attempt_timeout(PATIENCE).lock_timeout(PATIENCE).wait_timeout(PATIENCE).build();
    let auth = AuthRefresh::new(&session, Origins::new(said(API_URL)).unwrap());
    let me = format!("{}/me", said(API_URL));
    let client = ClientBuilder::new(reqwest::Client::new()).with(auth).build();
    println!("asks");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert_eq!(runtime.block_on(client.get(me).send()).unwrap().status(), 200);
}

struct Stage {
    issuer: Issuer,
    api: Api,
    folder: Scratch,
}

impl Stage {
    /// Somebody is logged in, with tokens that have just expired.
    async fn set() -> Self {
        let issuer = Issuer::start().await.unwrap();
        let api = Api::start(&issuer).await.unwrap();
        let folder = Scratch::new();
        let grant = RefreshGrant::new(issuer.token_url(), "app").unwrap();
        let session = Session::builder(grant).store(FileStore::new(folder.join("tokens"))).build();
        let now = SystemTime::now();
        let tokens = Tokens::from_json(issuer.login("alice").to_string()).unwrap();
        let tokens = tokens.with_issued_at(now - Duration::from_secs(3600)).with_expires_at(now);
        session.login(tokens).await.unwrap();
        issuer.revoke_access("alice");
        Self { issuer, api, folder }
    }

    /// Starts the program, and returns when it is about to ask.
    fn start(&self) -> Process {
        let variables = [
            (FOLDER, self.folder.join("tokens").into_os_string()),
            (TOKEN_URL, self.issuer.token_url().into()),
            (API_URL, self.api.url().into()),
        ];
        let mut process = Process::start("two_programs::child", variables);
        process.wait_for("asks");
        process
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_that_start_when_the_tokens_expire_refresh_once_and_both_succeed() {
    let stage = Stage::set().await;
    stage.issuer.at_answer().close();
    let both = [stage.start(), stage.start()];
    stage.issuer.at_answer().arrived(1).await;
    stage.issuer.at_answer().open();
    both.into_iter().for_each(Process::finish);
    let counts = stage.issuer.counts();
    assert_eq!((counts.token_calls, counts.accepted, counts.reuse), (1, 1, 0));
    assert_eq!(stage.api.counts().all, Tally { ok: 2, refused: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_one_is_killed_in_the_refresh_the_other_recovers() {
    let stage = Stage::set().await;
    // The first call gets no answer, and its grant is not looked at.
    stage.issuer.next_calls(1, &Fault::Never);
    stage.issuer.at_arrival().close();
    let first = stage.start();
    stage.issuer.at_arrival().arrived(1).await;
    let second = stage.start();
    stage.issuer.at_arrival().open();
    first.kill();
    second.finish();
    let counts = stage.issuer.counts();
    assert_eq!((counts.token_calls, counts.accepted, counts.reuse, counts.live_grants), (2, 1, 0, 1));
    assert_eq!(stage.api.counts().all, Tally { ok: 1, refused: 0 });
}
