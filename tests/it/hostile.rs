//! Whatever a token endpoint says, and however slowly, the requests that wait for it end within their bounds with an error that
//! says *later*, the session keeps its tokens, and the next good answer is as good as ever.

use std::iter;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use http::StatusCode;
use reqwest_auth_refresh::{AuthError, Clock, RefreshGrant, Session, State, SystemClock, Tokens};

use crate::raw_server::{RawServer, Reply};
use crate::support::{PATIENCE, bounded};
use crate::virtual_world::{API, Canned, client};

/// The machine's clock, set forward by so many seconds. What it counts pauses by stands still but for that, so that none
/// passes however slow the machine is.
#[derive(Clone, Default)]
struct Ahead(Arc<AtomicU64>);

impl Ahead {
    fn by(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

impl Clock for Ahead {
    fn wall(&self) -> SystemTime {
        SystemClock.wall() + self.by()
    }

    fn monotonic(&self) -> Duration {
        self.by()
    }
}

const GOOD: &[u8] = br#"{"access_token":"new","token_type":"Bearer","expires_in":3600,"refresh_token":"r2"}"#;

/// How a hostile answer is met.
enum Met {
    /// It was heard and is no good.
    Heard,
    /// Nobody knows what it would have been, so the refresh token is sent once more.
    Lost,
    /// The same, and only the bound of the attempt puts an end to it.
    Endless,
}

type Hostile = (&'static str, fn() -> Reply, Met);

fn json(body: &[u8]) -> Reply {
    Reply::whole("200 OK", "application/json", body)
}

fn html(status: &str) -> Reply {
    Reply::whole(
        status,
        "text/html",
        b"<html><a href='?x&access_token=stolen&error=invalid_grant&y'>Sign in</a></html>",
    )
}

/// This head, then these bytes without end; or so many of them that nobody should have read on, and then silence.
fn endless(head: &'static str, bytes: &'static [u8]) -> Reply {
    let pieces = iter::repeat_with(|| bytes.repeat(64)).take(100_000);
    Reply::in_pieces(iter::once(head.as_bytes().to_vec()).chain(pieces)).hanging()
}

/// This head, then one byte each second.
fn drip(head: &'static str, bytes: &'static [u8]) -> Reply {
    let drops = bytes.iter().cycle().map(|byte| vec![*byte]);
    let pieces = iter::once(head.as_bytes().to_vec()).filter(|head| !head.is_empty()).chain(drops);
    Reply::in_pieces(pieces).pausing(Duration::from_secs(1))
}

fn deep(open: &str, close: &str) -> Reply {
    let (open, close) = (open.repeat(100_000), close.repeat(100_000));
    json(format!(r#"{{"access_token":"new","x":{open}{close}}}"#).as_bytes())
}

const HOSTILE: &[Hostile] = &[
    // too much
    ("10 MiB, announced", || json(&[GOOD, &b" ".repeat(10 << 20)].concat()), Met::Heard),
    (
        "10 MiB, announced and never sent",
        || Reply::saying("HTTP/1.1 200 OK\r\ncontent-length: 10485760\r\n\r\n").hanging(),
        Met::Heard,
    ),
    (
        "10 MiB in chunks",
        || {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let chunk = [b"100000\r\n".as_slice(), &b" ".repeat(1 << 20), b"\r\n"].concat();
            let pieces = iter::once(head.into()).chain(iter::repeat_n(chunk, 10)).chain([b"0\r\n\r\n".to_vec()]);
            Reply::in_pieces(pieces)
        },
        Met::Heard,
    ),
    (
        "chunks without end",
        || endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"10\r\n                \r\n"),
        Met::Heard,
    ),
    ("a body until the connection ends, which it does not", || endless("HTTP/1.1 200 OK\r\n\r\n", b"    "), Met::Heard),
    ("headers without end", || endless("HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n"), Met::Lost),
    ("one header without end", || endless("HTTP/1.1 200 OK\r\nx-more: ", b"more"), Met::Lost),
    ("a status without end", || endless("HTTP/1.1 200 ", b"OK"), Met::Lost),
    ("go on without end", || endless("", b"HTTP/1.1 100 Continue\r\n\r\n"), Met::Endless),
    // too slow
    ("silence", || Reply::in_pieces(iter::empty()).hanging(), Met::Endless),
    ("1 byte/s from the first", || drip("", b"HTTP/1.1 200 OK\r\n"), Met::Endless),
    ("1 byte/s of headers", || drip("HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n"), Met::Endless),
    ("1 byte/s of body", || drip("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", b" "), Met::Endless),
    (
        "a good body that lacks its end",
        || {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", GOOD.len() + 1);
            Reply::saying([head.as_bytes(), GOOD].concat()).hanging()
        },
        Met::Endless,
    ),
    // cut short
    ("nothing", || Reply::in_pieces(iter::empty()).closing(), Met::Lost),
    ("half a head", || Reply::saying("HTTP/1.1 200 OK\r\ncontent-le").closing(), Met::Lost),
    (
        "half a body",
        || {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", GOOD.len() * 2);
            Reply::saying([head.as_bytes(), GOOD].concat()).closing()
        },
        Met::Lost,
    ),
    (
        "half of the chunks",
        || {
            let head = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n", GOOD.len());
            Reply::saying([head.as_bytes(), GOOD, b"\r\n"].concat()).closing()
        },
        Met::Lost,
    ),
    ("half of the JSON", || json(&GOOD[..GOOD.len() / 2]), Met::Heard),
    ("an empty body", || json(b""), Met::Heard),
    ("no content", || Reply::saying("HTTP/1.1 204 No Content\r\n\r\n"), Met::Heard),
    // no HTTP, or two of it
    ("no HTTP", || Reply::saying("SSH-2.0-OpenSSH_9.6\r\n\r\n").closing(), Met::Lost),
    (
        "two lengths",
        || {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\ncontent-length: 1\r\n\r\n", GOOD.len());
            Reply::saying([head.as_bytes(), GOOD].concat()).closing()
        },
        Met::Lost,
    ),
    ("a length below nothing", || Reply::saying("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n").closing(), Met::Lost),
    (
        "a header with a control character",
        || Reply::saying("HTTP/1.1 200 OK\r\nx-\x01: new\r\ncontent-length: 0\r\n\r\n").closing(),
        Met::Lost,
    ),
    // no token answer
    ("arrays, 100,000 deep", || deep("[", "]"), Met::Heard),
    ("arrays, 100,000 deep and never closed", || deep("[", ""), Met::Heard),
    ("objects, 100,000 deep", || deep(r#"{"x":"#, "}"), Met::Heard),
    ("HTML with 200", || html("200 OK"), Met::Heard),
    ("HTML with 403", || html("403 Forbidden"), Met::Heard),
    ("HTML called JSON", || json(b"<html>access_token=stolen</html>"), Met::Heard),
    (
        "HTML called a form",
        || Reply::whole("200 OK", "application/x-www-form-urlencoded", b"<html>&access_token=not a token&</html>"),
        Met::Heard,
    ),
    ("a picture", || Reply::whole("200 OK", "image/png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), Met::Heard),
    (
        "JSON in UTF-16",
        || {
            let text = String::from_utf8_lossy(GOOD).encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
            Reply::whole("200 OK", "application/json; charset=utf-16", &text)
        },
        Met::Heard,
    ),
    ("a list", || json(&[b"[", GOOD, b"]"].concat()), Met::Heard),
    ("two answers", || json(&[GOOD, GOOD].concat()), Met::Heard),
    ("an access token twice", || json(br#"{"access_token":"new","expires_in":1,"access_token":"stolen"}"#), Met::Heard),
    (
        "a refresh token twice",
        || json(br#"{"access_token":"new","refresh_token":"r2","refresh_token":"stolen"}"#),
        Met::Heard,
    ),
    ("an access token of another kind", || json(br#"{"access_token":["new"]}"#), Met::Heard),
    ("an access token that splits the header", || json(br#"{"access_token":"new\r\nx-stolen: 1"}"#), Met::Heard),
    ("a number beyond numbers", || json(br#"{"access_token":"new","expires_in":1e400}"#), Met::Heard),
    ("a type of token that nobody knows", || json(br#"{"access_token":"new","token_type":"mac"}"#), Met::Heard),
    (
        "a JSON error of no known code",
        || Reply::whole("400 Bad Request", "application/json", br#"{"error":"teapot","access_token":"stolen"}"#),
        Met::Heard,
    ),
];

/// The rest of the ways to be wrong about the content type are harmless: what is plainly JSON, or plainly a form, is read.
const MISLABELLED: &[(&str, &[u8])] = &[
    ("text/html", GOOD),
    ("application/x-www-form-urlencoded", GOOD),
    ("not a content type", GOOD),
    ("application/json", b"access_token=new&refresh_token=r2&expires_in=3600"),
];

struct World {
    issuer: RawServer,
    says: Arc<Mutex<fn() -> Reply>>,
    grant: RefreshGrant,
}

impl World {
    async fn new() -> Self {
        let says: Arc<Mutex<fn() -> Reply>> = Arc::new(Mutex::new(|| json(GOOD)));
        let saying = Arc::clone(&says);
        let issuer = RawServer::start(move |_| saying.lock().unwrap()()).await;
        let grant = RefreshGrant::new(issuer.url("/token"), "my-app").unwrap();
        Self { issuer, says, grant }
    }

    fn says(&self, reply: fn() -> Reply) {
        *self.says.lock().unwrap() = reply;
    }

    /// How often the issuer was asked since the last look, each time with this refresh token.
    fn asked(&self, refresh_token: &str) -> usize {
        let asked = self.issuer.take_asked();
        assert!(asked.iter().all(|asked| asked.form("refresh_token").as_deref() == Some(refresh_token)));
        asked.len()
    }
}

fn api() -> Canned<impl Fn(Option<String>) -> std::future::Ready<StatusCode> + Send + Sync + 'static> {
    let (api, _) = Canned::new(|token: Option<String>| {
        let good = token.as_deref() == Some("new");
        std::future::ready(if good { StatusCode::OK } else { StatusCode::UNAUTHORIZED })
    });
    api
}

/// One case. What is hostile is hostile for ever: that this ends is due to a bound of ours.
async fn costs_an_error_and_nothing_else((name, hostile, met): &Hostile) {
    // What ends by itself does so long before its attempt does, or it would be asked for once more.
    let (calls, attempt) = match met {
        Met::Heard => (1, 2 * PATIENCE),
        Met::Lost => (2, 2 * PATIENCE),
        Met::Endless => (2, Duration::from_secs(3)),
    };
    let (world, clock) = (World::new().await, Ahead::default());
    let session = Session::builder(world.grant.clone()).clock(clock.clone()).attempt_timeout(attempt).build();
    session.login(Tokens::new("old").unwrap().with_refresh_token("r1")).await.unwrap();
    let client = client(&session, api());
    world.says(*hostile);

    let error = bounded(|| format!("an error instead of {name}"), client.get(API).send()).await.unwrap_err();
    let error = AuthError::find(&error).unwrap_or_else(|| panic!("{name}: {error:?}"));
    assert!(error.is_transient() && !error.is_timeout() && !error.needs_login(), "{name}: {error:?}");
    assert_eq!((error.status(), error.code()), (Some(StatusCode::UNAUTHORIZED), None), "{name}");
    assert!(error.retry_after().is_some() && std::error::Error::source(error).is_some(), "{name}: {error:?}");
    world.issuer.left_alone().await;
    assert_eq!(world.asked("r1"), calls, "{name}: {error:?}");

    let again = client.get(API).send().await.unwrap_err();
    assert!(AuthError::find(&again).is_some_and(AuthError::is_transient), "{name}: {again:?}");
    assert_eq!(world.asked("r1"), 0, "{name}: the session rests");
    let State::LoggedIn { version, saved: true, .. } = session.state() else { panic!("{name}") };
    assert_eq!(version.generation, 0, "{name}");

    world.says(|| json(GOOD));
    clock.0.store(3600, Ordering::Relaxed);
    assert_eq!(client.get(API).send().await.unwrap().status(), StatusCode::OK, "{name}");
    assert_eq!(world.asked("r1"), 1, "{name}");
    let State::LoggedIn { version, saved: true, .. } = session.state() else { panic!("{name}") };
    assert_eq!(version.generation, 1, "{name}");
}

#[tokio::test]
async fn a_hostile_answer_costs_an_error_and_nothing_else() {
    let (endless, others): (Vec<_>, Vec<_>) = HOSTILE.iter().partition(|(_, _, met)| matches!(met, Met::Endless));
    for case in others {
        costs_an_error_and_nothing_else(case).await;
    }
    // These take their time, and nothing else, so all of them do so together.
    join_all(endless.into_iter().map(costs_an_error_and_nothing_else)).await;
    println!("figure: hostile_answers = {} cases", HOSTILE.len());
}

#[tokio::test]
async fn an_answer_under_a_wrong_name_is_read_all_the_same() {
    for (content_type, body) in MISLABELLED {
        let issuer = RawServer::start(|_| Reply::whole("200 OK", content_type, body)).await;
        let session = Session::new(RefreshGrant::new(issuer.url("/token"), "my-app").unwrap());
        session.login(Tokens::new("old").unwrap().with_refresh_token("r1")).await.unwrap();
        let response = client(&session, api()).get(API).send().await.unwrap();
        assert_eq!((response.status(), issuer.take_asked().len()), (StatusCode::OK, 1), "{content_type}");
    }
}
