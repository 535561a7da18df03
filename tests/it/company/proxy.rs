//! A forward proxy: what counts is where a request goes, not who carries it; what the proxy itself refuses is not about tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use reqwest_auth_refresh::{AuthRefresh, NotRetryable, Origins, Retried};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::raw_server::{Asked, RawServer, Reply};
use crate::wire_world::{Wire, answered};

/// Carries every connection to the server that its first request names.
struct Proxy {
    url: String,
    carried: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let carried = Arc::new(AtomicUsize::new(0));
        let (mut serving, count) = (JoinSet::new(), Arc::clone(&carried));
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                connections.spawn(async move { drop(carry(stream).await) });
            }
        });
        Self { url, carried, _serving: serving }
    }
}

async fn carry(mut stream: TcpStream) -> std::io::Result<()> {
    let mut read = Vec::new();
    while !read.contains(&b'\n') {
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
    let line = String::from_utf8_lossy(&read).into_owned();
    let authority = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap();
    // A server takes the whole address in a request as well (RFC 9112 section 3.2.2).
    let mut server = TcpStream::connect(authority).await?;
    server.write_all(&read).await?;
    copy_bidirectional(&mut stream, &mut server).await?;
    Ok(())
}

fn through(proxy: &str, auth: AuthRefresh) -> ClientWithMiddleware {
    let proxy = reqwest::Proxy::http(proxy).unwrap();
    ClientBuilder::new(reqwest::Client::builder().proxy(proxy).build().unwrap()).with(auth).build()
}

#[tokio::test]
async fn a_request_through_a_proxy_is_signed_for_where_it_goes() {
    let (wire, proxy) = (Wire::unauthorized().await, Proxy::start().await);
    let response =
        through(&proxy.url, wire.auth()).post(wire.api.at("/orders?page=2")).body("order").send().await.unwrap();
    assert!(response.status().is_success() && response.extensions().get::<Retried>().is_some());
    assert_eq!(wire.counts(), (1, answered(1, 1)), "the refresher's own client goes its own way");
    assert!(proxy.carried.load(Ordering::SeqCst) > 0);
    let whole = wire.api.at("/orders?page=2");
    assert!(wire.api.take_arrived().iter().all(|arrived| arrived.target == whole), "as proxies are asked");

    // The proxy's own address among the origins gives it nothing.
    let auth = AuthRefresh::new(&wire.session, Origins::new(&proxy.url).unwrap());
    let response = through(&proxy.url, auth).get(wire.api.at("/me")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!((wire.api.counts().unsigned, wire.counts().0), (answered(0, 1), 1));
}

#[tokio::test]
async fn a_407_never_refreshes() {
    // The control: a 401 of a proxy cannot be told from the API's own.
    for (status, calls) in [("407 Proxy Authentication Required", 0), ("401 Unauthorized", 1)] {
        let wire = Wire::unauthorized().await;
        let proxy = RawServer::start(move |_: &Asked| {
            let asks = "proxy-authenticate: Basic\r\nwww-authenticate: Bearer error=\"invalid_token\"";
            Reply::saying(format!("HTTP/1.1 {status}\r\n{asks}\r\ncontent-length: 0\r\n\r\n"))
        })
        .await;
        let response = through(&proxy.url(""), wire.auth()).get(wire.api.at("/me")).send().await.unwrap();
        assert!(status.starts_with(response.status().as_str()));
        assert_eq!(response.extensions().get::<Retried>().is_some(), calls == 1);
        assert!(response.extensions().get::<NotRetryable>().is_none());
        assert_eq!((proxy.take_asked().len(), wire.counts()), (1 + calls, (calls, answered(0, 0))), "{status}");
    }
}
