//! A server that refuses an upload before it has read it. What it does with the rest of the bytes is its own affair: the
//! request is sent again if the refusal was heard, and ends with the error of the connection if not, which HTTP/1 cannot always
//! help. Nothing hangs.

use std::sync::{Arc, Mutex};

use futures_util::stream;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use reqwest::Body;
use reqwest_auth_refresh::{
    AuthError, AuthRefresh, Origins, RefreshError, RefreshRequest, RequestBuilderExt, Retried, Session, Tokens,
};
use reqwest_middleware::ClientBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::{body_hash, bounded};
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
        // Whatever breaks is the connection's end.
        Self::serving(move |stream, accepted| async move { drop(serve(stream, manner, &accepted).await) }).await
    }

    async fn serving<F>(serve: impl Fn(TcpStream, Arc<Mutex<Vec<u64>>>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let (mut serving, done) = (JoinSet::new(), Arc::clone(&accepted));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&done)));
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

/// A server as frameworks have them: it answers before it has read the upload, and leaves the rest to hyper.
async fn hyper_serves(stream: TcpStream, accepted: Arc<Mutex<Vec<u64>>>) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let accepted = Arc::clone(&accepted);
        async move {
            let mut answer = hyper::Response::new(Full::<Bytes>::from("no"));
            *answer.status_mut() = StatusCode::UNAUTHORIZED;
            if request.headers().get("authorization").is_some_and(|header| header == "Bearer new") {
                let body = request.into_body().collect().await?.to_bytes();
                accepted.lock().unwrap().push(body_hash(&body));
                *answer.status_mut() = StatusCode::OK;
            }
            Ok::<_, hyper::Error>(answer)
        }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}

/// One upload to this server: the outcome, and the hashes of what was accepted.
async fn send(
    server: Server,
    http: reqwest::ClientBuilder,
    bytes: &Bytes,
    streams: bool,
) -> (reqwest_middleware::Result<reqwest::Response>, Vec<u64>) {
    let refresher = |_: RefreshRequest| async { Tokens::new("new").map_err(RefreshError::unavailable) };
    let session = Session::new(refresher);
    session.login(Tokens::new("old").unwrap()).await.unwrap();
    let auth = AuthRefresh::new(&session, Origins::new(&server.url).unwrap());
    let client = ClientBuilder::new(http.build().unwrap()).with(auth).build();
    let request = client.post(format!("{}/films", server.url));
    let request = if streams {
        let bytes = bytes.clone();
        let body = move || {
            let bytes = bytes.clone();
            let chunk = move |nth| Ok::<_, std::io::Error>(bytes.slice(nth * READ..(nth + 1) * READ));
            Body::wrap_stream(stream::iter((0..UPLOAD / READ).map(chunk)))
        };
        request.header(CONTENT_LENGTH, UPLOAD).body(body()).resend_with(body)
    } else {
        request.body(bytes.clone())
    };
    let outcome = bounded(|| "the upload's answer", request.send()).await;
    let accepted = server.accepted.lock().unwrap().clone();
    (outcome, accepted)
}

fn http() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_in_the_middle_of_an_upload_is_heard_and_the_upload_is_sent_again() {
    let bytes = wire_world::body(UPLOAD);
    for manner in [Manner::ReadsOn, Manner::ClosesAfterReading, Manner::StopsReading] {
        for streams in [false, true] {
            let (outcome, accepted) = send(Server::start(manner).await, http(), &bytes, streams).await;
            let response = outcome.unwrap_or_else(|error| panic!("{manner:?}, streams: {streams}: {error:?}"));
            assert_eq!(response.status(), StatusCode::OK, "{manner:?}, streams: {streams}");
            assert!(response.extensions().get::<Retried>().is_some());
            assert_eq!(accepted, [body_hash(&bytes)], "{manner:?}, streams: {streams}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http_2_a_refusal_is_heard_whatever_the_server_does_with_the_rest() {
    let bytes = wire_world::body(UPLOAD);
    for round in 0..10 {
        let server = Server::serving(hyper_serves).await;
        let (outcome, accepted) = send(server, http().http2_prior_knowledge(), &bytes, round % 2 == 0).await;
        let response = outcome.unwrap_or_else(|error| panic!("round {round}: {error:?}"));
        assert_eq!((response.status(), accepted), (StatusCode::OK, vec![body_hash(&bytes)]), "round {round}");
        assert!(response.extensions().get::<Retried>().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_is_lost_on_the_way_is_an_error_of_the_connection() {
    let bytes = wire_world::body(UPLOAD);
    for by_hyper in [false, true] {
        let mut lost = 0;
        for round in 0..10 {
            let server =
                if by_hyper { Server::serving(hyper_serves).await } else { Server::start(Manner::HangsUp).await };
            match send(server, http(), &bytes, round % 2 == 0).await {
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
        let server = if by_hyper { "a_server_of_hyper" } else { "hanging_up" };
        println!("figure: early_refusals_lost_by_{server} = {lost} of 10");
    }
}
