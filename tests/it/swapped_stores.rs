//! Whatever store a session is given, its life is the same: what is refreshed is there after everything was dropped and the
//! store opened again, and what needs a login needs it then, too.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest_auth_refresh::{
    AuthError, AuthRefresh, FileStore, KeyringStore, MemoryStore, NeedsLogin, Origins, RefreshGrant, Sealed,
    SealingKey, Session, State, TokenStore, Tokens,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use wiremock::matchers::{body_string_contains, header, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::fake_keyring::{FakeKeyring, Mood};
use crate::scratch::Scratch;

/// How a store is opened, each time as if by a new run of the program.
type Open = Box<dyn Fn() -> Arc<dyn TokenStore> + Send + Sync>;

/// What a run of the program has.
struct Run {
    session: Session,
    client: ClientWithMiddleware,
}

fn run(server: &MockServer, store: Arc<dyn TokenStore>) -> Run {
    let grant = RefreshGrant::new(format!("{}/token", server.uri()), "my-app").unwrap();
    let session = Session::builder(grant).store(store).build();
    let auth = AuthRefresh::new(&session, Origins::new(server.uri()).unwrap());
    Run { session, client: ClientBuilder::new(reqwest::Client::new()).with(auth).build() }
}

/// The API takes this token, so many times.
async fn api_takes(server: &MockServer, token: &str, times: u64) {
    let signed = Mock::given(path("/me")).and(header("authorization", format!("Bearer {token}")));
    signed.respond_with(ResponseTemplate::new(200)).expect(times).mount(server).await;
}

/// The issuer answers this to this refresh token, once.
async fn issuer_answers(server: &MockServer, refresh_token: &str, answer: ResponseTemplate) {
    let asked = Mock::given(path("/token")).and(body_string_contains(format!("refresh_token={refresh_token}")));
    asked.respond_with(answer).expect(1).mount(server).await;
}

fn tokens(nth: u32) -> serde_json::Value {
    serde_json::json!({
        "access_token": format!("access-{nth}"), "token_type": "Bearer", "expires_in": 3600,
        "refresh_token": format!("refresh-{nth}"),
    })
}

fn expired(nth: u32) -> Tokens {
    let hour = Duration::from_secs(3600);
    let tokens = Tokens::new(format!("access-{nth}")).unwrap().with_refresh_token(format!("refresh-{nth}"));
    tokens.with_issued_at(SystemTime::now() - 2 * hour).with_expires_at(SystemTime::now() - hour)
}

async fn still_logged_in(open: &Open) {
    let server = MockServer::start().await;
    issuer_answers(&server, "refresh-1", ResponseTemplate::new(200).set_body_json(tokens(2))).await;
    api_takes(&server, "access-2", 3).await;

    let first = run(&server, open());
    first.session.login(expired(1)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(first.client.get(format!("{}/me", server.uri())).send().await.unwrap().status(), 200);
    }
    drop(first);

    let next = run(&server, open());
    assert_eq!(next.client.get(format!("{}/me", server.uri())).send().await.unwrap().status(), 200);
    server.verify().await;
}

async fn still_needs_login(open: &Open) {
    let server = MockServer::start().await;
    let dead = serde_json::json!({ "error": "invalid_grant" });
    issuer_answers(&server, "refresh-1", ResponseTemplate::new(400).set_body_json(dead)).await;
    api_takes(&server, "access-1", 0).await;
    api_takes(&server, "access-2", 1).await;

    for is_first in [true, false] {
        let this = run(&server, open());
        if is_first {
            this.session.login(expired(1)).await.unwrap();
        }
        for _ in 0..2 {
            let error = this.client.get(format!("{}/me", server.uri())).send().await.unwrap_err();
            assert!(AuthError::find(&error).is_some_and(AuthError::needs_login), "{error:?}");
        }
        let state = this.session.state();
        assert!(
            matches!(&state, State::NeedsLogin { reason: NeedsLogin::Rejected(code), .. } if &**code == "invalid_grant")
        );
    }

    // And logs in again.
    run(&server, open()).session.login(Tokens::from_json(tokens(2).to_string()).unwrap()).await.unwrap();
    let last = run(&server, open());
    assert_eq!(last.client.get(format!("{}/me", server.uri())).send().await.unwrap().status(), 200);
    server.verify().await;
}

/// A test of each law for each store; how it is opened is made anew for each test, over an empty folder.
macro_rules! swapped_stores {
    ($($store:ident: $open:expr;)*) => {$(
        mod $store {
            use super::*;

            fn open(scratch: &Scratch) -> Open {
                let open: fn(&Path) -> Open = $open;
                open(&scratch.join("tokens"))
            }

            #[tokio::test]
            async fn still_logged_in() {
                let scratch = Scratch::new();
                super::still_logged_in(&open(&scratch)).await;
            }

            #[tokio::test]
            async fn still_needs_login() {
                let scratch = Scratch::new();
                super::still_needs_login(&open(&scratch)).await;
            }
        }
    )*};
}

fn key() -> SealingKey {
    SealingKey::new("2026", &[7; 32]).unwrap()
}

swapped_stores! {
    memory: |_| {
        let store = MemoryStore::default();
        Box::new(move || Arc::new(store.clone()))
    };
    file: |path| {
        let path = path.to_owned();
        Box::new(move || Arc::new(FileStore::new(&path)))
    };
    single_file: |path| {
        let path = path.to_owned();
        Box::new(move || Arc::new(FileStore::single_file(&path)))
    };
    sealed_memory: |_| {
        let store = MemoryStore::default();
        Box::new(move || Arc::new(Sealed::new(store.clone(), key())))
    };
    sealed_file: |path| {
        let path = path.to_owned();
        Box::new(move || Arc::new(Sealed::new(FileStore::new(&path), key())))
    };
    keyring: |path| {
        let (path, keyring) = (path.to_owned(), FakeKeyring::new(Mood::Open));
        Box::new(move || Arc::new(KeyringStore::new(&path, "my-app").keyring(keyring.connecting())))
    };
}
