//! The program that there are many of: it sends requests for as long as its input is open.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use reqwest_auth_refresh::{
    AuthError, AuthRefresh, Event, FileStore, Origins, RefreshError, RefreshGrant, RefreshReason, RefreshRequest,
    Refresher, RefresherInfo, Session, TokenStore, Tokens, async_trait,
};
use reqwest_middleware::ClientBuilder;

use super::LIFE;

use crate::unlocked::Unlocked;

/// Where a child finds its tokens. Without it there is no child.
pub(super) const FOLDER: &str = "RACE_CHILD_FOLDER";
pub(super) const NAME: &str = "RACE_CHILD_NAME";
pub(super) const TOKEN_URL: &str = "RACE_CHILD_TOKEN_URL";
pub(super) const API_URL: &str = "RACE_CHILD_API_URL";
/// `no` where the child is to go by no lock.
pub(super) const LOCKS: &str = "RACE_CHILD_LOCKS";

/// All children are one client, although each says its own name to the issuer, which counts by it.
pub(super) const REGISTRATION: &str = "the race";

const PAUSE: Duration = Duration::from_millis(25);

/// The refresh grant, and a word when it is used for tokens that are in the first half of their life and were not refused.
struct Watched(RefreshGrant);

#[async_trait]
impl Refresher for Watched {
    async fn refresh(&self, request: RefreshRequest) -> Result<Tokens, RefreshError> {
        let life = |tokens: &Tokens| Some((tokens.issued_at()?, tokens.expires_at()?));
        if let Some((issued, expires)) = request.tokens().and_then(life)
            && request.reason() != RefreshReason::Unauthorized
            && SystemTime::now() < issued + expires.duration_since(issued).unwrap_or_default() / 2
        {
            println!("early");
        }
        // Answers count in seconds.
        self.0.refresh(request).await.map(|tokens| tokens.with_expires_in(LIFE))
    }

    fn info(&self) -> RefresherInfo {
        self.0.info()
    }
}

#[test]
#[ignore = "torture: the child that another test starts; by itself it does nothing"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let said = |name: &str| std::env::var(name).unwrap();
    let grant = Watched(RefreshGrant::new(said(TOKEN_URL), said(NAME)).unwrap().never_resubmit());
    let files = FileStore::new(folder);
    let store: Arc<dyn TokenStore> = if said(LOCKS) == "no" { Arc::new(Unlocked(files)) } else { Arc::new(files) };
    let over = Arc::new(AtomicBool::new(false));
    std::thread::spawn({
        let over = Arc::clone(&over);
        move || {
            drop(std::io::stdin().read_to_end(&mut Vec::new()));
            over.store(true, Ordering::Relaxed);
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let session = Session::builder(grant)
            .registration(REGISTRATION)
            .store(store)
            .on_needs_login(|_| println!("logout"))
            .build();
        let mut events = session.events();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let Event::Refreshed(version) = event {
                    println!("saved {} {}", version.login.to_bits(), version.generation);
                }
            }
        });
        let auth = AuthRefresh::new(&session, Origins::new(said(API_URL)).unwrap());
        let me = format!("{}/me", said(API_URL));
        let client = ClientBuilder::new(reqwest::Client::new()).with(auth).build();
        while !over.load(Ordering::Relaxed) {
            match client.get(&me).send().await {
                Ok(response) if response.status() == 200 => {}
                Ok(_) => println!("refused"),
                // The login is over, or another has come while this request waited.
                Err(error)
                    if AuthError::find(&error).is_some_and(|error| error.needs_login() || error.is_logged_out()) => {}
                Err(error) => println!("failed {error:?}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
        session.flush().await.unwrap();
    });
}
