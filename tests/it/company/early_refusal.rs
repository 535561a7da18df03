//! A server that refuses an upload before it has read it. What it does with the rest of the bytes is its own affair: the
//! request is sent again if the refusal was heard, and ends with the error of the connection if not. Nothing hangs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use hyper::body::Bytes;
use reqwest::Body;
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, Origins, RefreshError, RefreshRequest, RequestBuilderExt, Retried, Session, Tokens,
};
use reqwest_middleware::ClientBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::body_hash;
use crate::wire_world;

/// More than the buffers of both ends can hold.
const UPLOAD: usize = 16 * 1024 * 1024;
/// So much is read before the refusal.
const READ: usize = 64 * 1024;
const REFUSAL: &[u8] = b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer\r\ncontent-length: 2\r\n\r\nno";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Reads the rest and goes on serving.
    ReadsOn,
    /// Says that it is done, and reads the rest until the other side has gone.
    ClosesAfterReading,
    /// Reads no more, and keeps the connection.
    StopsReading,
    /// Closes at once, with unread bytes: what was said may be lost on the way.
    HangsUp,
}

struct Server {
    url: String,
    /// The hashes of the uploads that were accepted.
    accepted: Arc<Mutex<Vec<u64>>>,
    _serving: JoinSet<()>,
}

impl Server {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let (mut serving, done) = (JoinSet::new(), Arc::clone(&accepted));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let done = Arc::clone(&done);
                // Whatever breaks is the connection's end.
                connections.spawn(async move { drop(serve(stream, manner, &done).await) });
            }
        });
        Self { url, accepted, _serving: serving }
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, accepted: &Mutex<Vec<u64>>) -> std::io::Result<()> {
    loop {
        let mut read = Vec::new();
        let body = loop {
            if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&read[..body]).to_ascii_lowercase();
        assert!(head.contains(&format!("content-length: {UPLOAD}\r\n")), "{head}");
        let good = head.contains("authorization: bearer new\r\n");
        let mut body = read.split_off(body);
        let mut rest = (&mut stream).take(if good { UPLOAD } else { READ } as u64 - body.len().min(READ) as u64);
        rest.read_to_end(&mut body).await?;
        if good {
            accepted.lock().unwrap().push(body_hash(&body));
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
            continue;
        }
        stream.write_all(REFUSAL).await?;
        match manner {
            Manner::ReadsOn => {
                let mut rest = (&mut stream).take((UPLOAD - body.len()) as u64);
                tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
            }
            Manner::ClosesAfterReading => {
                stream.shutdown().await?;
                tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
                return Ok(());
            }
            Manner::StopsReading => std::future::pending().await,
            Manner::HangsUp => return Ok(()),
        }
    }
}

/// One upload to a server of this manner: the outcome, and the hashes of what was accepted.
async fn send(
    manner: Manner,
    bytes: &Bytes,
    streams: bool,
) -> (reqwest_middleware::Result<reqwest::Response>, Vec<u64>) {
    let server = Server::start(manner).await;
    let refresher = |_: RefreshRequest| async { Tokens::new("new").map_err(RefreshError::unavailable) };
    let session = Session::new(refresher);
    session.login(Tokens::new("old").unwrap()).await.unwrap();
    let auth = AuthRefresh::new(&session, Origins::new(&server.url).unwrap());
    let client = ClientBuilder::new(reqwest::Client::new()).with(auth).build();
    let request = client.post(format!("{}/films", server.url));
    let request = if streams {
        let bytes = bytes.clone();
        let body = move || {
            let bytes = bytes.clone();
            let chunks =
                (0..UPLOAD / READ).map(move |nth| Ok::<_, std::io::Error>(bytes.slice(nth * READ..(nth + 1) * READ)));
            Body::wrap_stream(stream::iter(chunks))
        };
        request.header(CONTENT_LENGTH, UPLOAD).body(body()).resend_with(body)
    } else {
        request.body(bytes.clone())
    };
    let outcome = tokio::time::timeout(Duration::from_secs(20), request.send()).await.expect("nothing hangs");
    let accepted = server.accepted.lock().unwrap().clone();
    (outcome, accepted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_in_the_middle_of_an_upload_is_heard_and_the_upload_is_sent_again() {
    let bytes = wire_world::body(UPLOAD);
    for manner in [Manner::ReadsOn, Manner::ClosesAfterReading, Manner::StopsReading] {
        for streams in [false, true] {
            let (outcome, accepted) = send(manner, &bytes, streams).await;
            let response = outcome.unwrap_or_else(|error| panic!("{manner:?}, streams: {streams}: {error:?}"));
            assert_eq!(response.status(), StatusCode::OK, "{manner:?}, streams: {streams}");
            assert!(response.extensions().get::<Retried>().is_some());
            assert_eq!(accepted, [body_hash(&bytes)], "{manner:?}, streams: {streams}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_is_lost_on_the_way_is_an_error_of_the_connection() {
    let bytes = wire_world::body(UPLOAD);
    let mut lost = 0;
    for round in 0..10 {
        match send(Manner::HangsUp, &bytes, round % 2 == 0).await {
            (Ok(response), accepted) => {
                assert_eq!((response.status(), accepted), (StatusCode::OK, vec![body_hash(&bytes)]));
            }
            (Err(error), accepted) => {
                lost += 1;
                assert!(error.is_request() && AuthError::find(&error).is_none(), "{error:?}");
                assert!(accepted.is_empty());
            }
        }
    }
    println!("figure: early_refusals_lost_by_hanging_up = {lost} of 10");
}
