//! Whatever byte is in a token, wherever in it, and whichever way the token came in: it is refused by a typed error, or sent
//! exactly as it is. A refused one costs nothing that was there before.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt;
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, Event, Events, LoginId, NeedsLogin, Origins, Record, RefreshError, RefreshGrant,
    RefreshRequest, Session, SessionId, State, StoreError, Swap, TokenStore, Tokens, Version,
};
use reqwest_middleware::ClientBuilder;
use serde_json::Value;

use crate::raw_server::{RawServer, Reply};
use crate::support::found_instead;

/// A token with each of the 256 values at the front, in the middle and at the end.
fn cases() -> impl Iterator<Item = Case> {
    (0..=u8::MAX).flat_map(|byte| (0..3).map(move |position| Case { byte, position }))
}

#[derive(Debug, Clone, Copy)]
struct Case {
    byte: u8,
    position: usize,
}

impl Case {
    /// The token as text, with the character of this number: a Rust string holds no lone byte beyond ASCII.
    fn text(self) -> String {
        self.around(&char::from(self.byte).to_string())
    }

    /// The ways to write it in JSON: the bare byte, and an escape.
    fn written(self) -> [Vec<u8>; 2] {
        let [front, back] = self.sides();
        let bare = [front.as_bytes(), &[self.byte], back.as_bytes()].concat();
        [bare, self.around(&format!("\\u{:04x}", self.byte)).into_bytes()]
    }

    fn around(self, middle: &str) -> String {
        let [front, back] = self.sides();
        format!("{front}{middle}{back}")
    }

    // A backslash in front of an x or a quote begins no escape.
    fn sides(self) -> [&'static str; 2] {
        [["", "xyz"], ["xy", "xy"], ["xyz", ""]][self.position]
    }
}

/// Only what a header carries as it is (RFC 6750 section 2.1, as wide as issuers are).
fn fits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| (0x21..=0x7E).contains(&byte))
}

/// What a token answer says, read by nobody's rule but that of JSON.
fn said_by(json: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(json).ok()?;
    Some(answer["access_token"].as_str()?.to_owned())
}

fn answer(written: &[u8]) -> Vec<u8> {
    [br#"{"token_type":"Bearer","access_token":""#, written, br#"","expires_in":3600}"#].concat()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    sent: usize,
    refused: usize,
}

impl Tally {
    fn count(&mut self, sent: bool) {
        if sent {
            self.sent += 1;
        } else {
            self.refused += 1;
        }
    }
}

/// 256 values in three positions, of which 94 fit.
const AS_TEXT: Tally = Tally { sent: 3 * 94, refused: 3 * 162 };

/// The same bare in JSON and escaped; bare, a quote and a backslash mean something else.
const AS_JSON: Tally = Tally { sent: 3 * (92 + 94), refused: 3 * (164 + 162) };

/// An API that answers everything, and the connections to it.
struct Api {
    server: RawServer,
    http: reqwest::Client,
}

impl Api {
    async fn start() -> Self {
        let server = RawServer::start(|_| Reply::whole("200 OK", "text/plain", b"hello")).await;
        Self { server, http: reqwest::Client::new() }
    }

    /// Sends one request of this session: the bytes of its header as they came over the wire.
    async fn sent(&self, session: &Session) -> Result<Option<Vec<u8>>, reqwest_middleware::Error> {
        let auth = AuthRefresh::new(session, Origins::new(self.server.url("")).unwrap());
        let client = ClientBuilder::new(self.http.clone()).with(auth).build();
        assert_eq!(client.get(self.server.url("/me")).send().await?.text().await.unwrap(), "hello");
        let asked = self.server.take_asked();
        assert_eq!(asked.len(), 1);
        Ok(asked[0].header("authorization"))
    }

    async fn expect_sent(&self, session: &Session, token: &str) {
        let sent = self.sent(session).await.unwrap();
        assert_eq!(sent.unwrap(), format!("Bearer {token}").into_bytes(), "{token:?}");
    }
}

fn idle() -> Session {
    Session::new(|_: RefreshRequest| async { Err(RefreshError::unavailable("nobody asks")) })
}

#[tokio::test]
async fn a_login_takes_what_can_be_sent_as_it_is() {
    let api = Api::start().await;
    let (mut as_text, mut as_json) = (Tally::default(), Tally::default());
    let session = idle();
    for case in cases() {
        let text = case.text();
        let tokens = Tokens::new(text.as_str());
        assert_eq!(tokens.is_ok(), fits(&text), "{case:?}");
        as_text.count(tokens.is_ok());
        if let Ok(tokens) = tokens {
            session.login(tokens).await.unwrap();
            api.expect_sent(&session, &text).await;
        }
        for written in case.written() {
            let json = answer(&written);
            let expected = said_by(&json).filter(|text| fits(text));
            let tokens = Tokens::from_json(&json);
            assert_eq!(tokens.is_ok(), expected.is_some(), "{case:?}");
            as_json.count(tokens.is_ok());
            if let (Ok(tokens), Some(text)) = (tokens, expected) {
                session.login(tokens).await.unwrap();
                api.expect_sent(&session, &text).await;
            }
        }
    }
    assert_eq!((as_text, as_json), (AS_TEXT, AS_JSON));
    println!("figure: token_bytes_login = {} cases", 3 * 256 * 3);
}

/// What a refresh that brought this, or nothing, leads to.
async fn check_refreshed(api: &Api, session: &Session, expected: Option<&str>) {
    let refreshed = session.refresh().await;
    let State::LoggedIn { version, saved: true, .. } = session.state() else {
        panic!("kept, whatever came: {:?}", session.state());
    };
    if let Some(text) = expected {
        refreshed.unwrap();
        assert_eq!(version.generation, 1);
        api.expect_sent(session, text).await;
    } else {
        let error = refreshed.unwrap_err();
        assert!(error.is_transient() && !error.is_timeout() && !error.needs_login(), "{error:?}");
        assert_eq!(version.generation, 0);
        api.expect_sent(session, "kept").await;
    }
}

#[tokio::test]
async fn a_refresh_by_closure_yields_what_can_be_sent_or_an_error() {
    let api = Api::start().await;
    let mut tally = Tally::default();
    for case in cases() {
        let text = case.text();
        let yielded = text.clone();
        let session = Session::new(move |_: RefreshRequest| {
            let tokens = Tokens::new(yielded.as_str()).map_err(RefreshError::unavailable);
            async { tokens }
        });
        session.login(Tokens::new("kept").unwrap()).await.unwrap();
        check_refreshed(&api, &session, Some(text.as_str()).filter(|text| fits(text))).await;
        tally.count(fits(&text));
    }
    assert_eq!(tally, AS_TEXT);
    println!("figure: token_bytes_refresh_by_closure = {} cases", 3 * 256);
}

/// A refresh token may hold anything, since a form can carry anything.
#[tokio::test]
async fn a_refresh_over_the_wire_yields_what_can_be_sent_or_an_error_and_sends_any_refresh_token() {
    let api = Api::start().await;
    let said = Arc::new(Mutex::new(Vec::new()));
    let saying = Arc::clone(&said);
    let reply = move |_: &_| Reply::whole("200 OK", "application/json", &answer(&saying.lock().unwrap()));
    let issuer = RawServer::start(reply).await;
    let grant = RefreshGrant::new(issuer.url("/token"), "my-app").unwrap();
    let mut tally = Tally::default();
    for case in cases() {
        for written in case.written() {
            let expected = said_by(&answer(&written)).filter(|text| fits(text));
            *said.lock().unwrap() = written;
            let session = Session::new(grant.clone());
            let tokens = Tokens::new("kept").unwrap().with_refresh_token(case.text());
            session.login(tokens).await.unwrap();
            check_refreshed(&api, &session, expected.as_deref()).await;
            let asked = issuer.take_asked();
            assert_eq!(asked.len(), 1, "an answer that was heard is not asked for again");
            assert_eq!(asked[0].form("refresh_token"), Some(case.text()));
            tally.count(expected.is_some());
        }
    }
    assert_eq!(tally, AS_JSON);
    println!("figure: token_bytes_refresh_over_the_wire = {} cases", 3 * 256 * 2);
}

/// A store that keeps bytes as they are, and sets aside what is no record.
#[derive(Clone, Default)]
struct Bytes(Arc<Mutex<Option<Vec<u8>>>>);

#[async_trait]
impl TokenStore for Bytes {
    async fn load(&self, _: &SessionId) -> Result<Option<Record>, StoreError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = kept.as_deref().map(Record::from_bytes).transpose();
        if read.as_ref().is_err_and(StoreError::is_unreadable) {
            *kept = None;
        }
        read
    }

    async fn swap(&self, id: &SessionId, expected: Option<Version>, new: &Record) -> Result<Swap, StoreError> {
        if let Some(found) = found_instead(self, id, expected).await? {
            return Ok(found);
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(new.to_bytes().to_vec());
        Ok(Swap::Done)
    }

    async fn remove(&self, _: &SessionId) -> Result<(), StoreError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

/// What has happened so far.
fn happened(events: &mut Events) -> Vec<Event> {
    std::iter::from_fn(|| events.next().now_or_never().flatten()).collect()
}

#[tokio::test]
async fn a_stored_record_yields_what_can_be_sent_or_is_unreadable_and_reported() {
    const MARK: &str = "the-token-goes-here";
    let api = Api::start().await;
    let version = Version::new(LoginId::from_bits(7), 3);
    let good = Record::of_tokens("default", version, Tokens::new(MARK).unwrap().with_refresh_token("r")).to_bytes();
    let good = String::from_utf8(good.to_vec()).unwrap();
    let (front, back) = good.split_once(MARK).unwrap();
    let mut tally = Tally::default();
    for case in cases() {
        for written in case.written() {
            let expected = said_by(&answer(&written)).filter(|text| fits(text));
            tally.count(expected.is_some());
            let store = Bytes::default();
            *store.0.lock().unwrap() = Some([front.as_bytes(), &written, back.as_bytes()].concat());
            let nobody = |_: RefreshRequest| async { Err(RefreshError::unavailable("nobody asks")) };
            let session = Session::builder(nobody).store(store.clone()).build();
            let mut events = session.events();
            if let Some(text) = expected {
                api.expect_sent(&session, &text).await;
                assert!(
                    matches!(happened(&mut events)[..], [Event::Now(State::NotLoaded), Event::LoggedIn(found)] if found == version)
                );
                continue;
            }
            let error = api.sent(&session).await.unwrap_err();
            assert!(AuthError::find(&error).is_some_and(AuthError::needs_login), "{case:?}: {error:?}");
            assert_eq!(api.server.take_asked().len(), 0, "nothing is sent");
            let [Event::Now(_), Event::StoreFailed(failed), Event::NeedsLogin(NeedsLogin::RecordUnreadable)] =
                &happened(&mut events)[..]
            else {
                panic!("{case:?}");
            };
            let source = std::error::Error::source(failed).and_then(|source| source.downcast_ref::<StoreError>());
            assert!(failed.is_store() && source.is_some_and(StoreError::is_unreadable), "{failed:?}");
            let tombstone = Record::from_bytes(store.0.lock().unwrap().as_deref().unwrap()).unwrap();
            assert!(tombstone.ending().is_some(), "said in the next run too");
            session.login(Tokens::new("again").unwrap()).await.unwrap();
            api.expect_sent(&session, "again").await;
        }
    }
    assert_eq!(tally, AS_JSON);
    println!("figure: token_bytes_store = {} cases", 3 * 256 * 2);
}
