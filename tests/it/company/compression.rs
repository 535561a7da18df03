//! Compressed responses: the refusal is drained through the same decoder, and what is handed on can be read.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::StatusCode;
use reqwest_auth_refresh::{
    AuthRefresh, NotRetryable, Origins, RefreshError, RefreshRequest, RequestBuilderExt, Retried, Session, Tokens,
};
use reqwest_middleware::ClientBuilder;

use crate::raw_server::{Asked, RawServer, Reply};

fn gzipped(status: &str, text: &str) -> Reply {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    let body = encoder.finish().unwrap();
    let head = format!("HTTP/1.1 {status}\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
    Reply::saying([head.as_bytes(), &body].concat())
}

#[tokio::test]
async fn a_compressed_401_and_a_compressed_200() {
    let sorry = "no longer good ".repeat(2_000);
    let api = RawServer::start({
        let sorry = sorry.clone();
        move |asked: &Asked| match asked.header("authorization").as_deref() {
            Some(b"Bearer new") => gzipped("200 OK", &"yours ".repeat(1_000)),
            _ => gzipped("401 Unauthorized", &sorry),
        }
    })
    .await;
    let refresher = |_: RefreshRequest| async { Tokens::new("new").map_err(RefreshError::unavailable) };
    let client = || async {
        let session = Session::new(refresher);
        session.login(Tokens::new("old").unwrap()).await.unwrap();
        let auth = AuthRefresh::new(&session, Origins::new(api.url("")).unwrap());
        let http = reqwest::Client::builder().gzip(true).build().unwrap();
        ClientBuilder::new(http).with(auth).build()
    };

    let response = client().await.get(api.url("/me")).send().await.unwrap();
    assert!(response.extensions().get::<Retried>().is_some());
    assert_eq!((response.status(), response.text().await.unwrap()), (StatusCode::OK, "yours ".repeat(1_000)));
    let accepted: Vec<_> = api.take_asked().iter().map(|asked| asked.header("accept-encoding").unwrap()).collect();
    assert_eq!(accepted, [b"gzip", b"gzip"]);

    let response = client().await.get(api.url("/me")).send_once().send().await.unwrap();
    assert_eq!(response.extensions().get(), Some(&NotRetryable::SendOnce));
    assert_eq!((response.status(), response.text().await.unwrap()), (StatusCode::UNAUTHORIZED, sorry));
    assert_eq!(api.take_asked().len(), 1);
}
