//! A token for a WebSocket: its handshake is no request of the client's, so it asks the session for the token itself.
//!
//! The server takes the first token no longer. The program says so, asks again, and is let in. The handshake (RFC 6455
//! section 4.1) is written by hand here; with `tokio-tungstenite` the token goes into the same header.
//!
//! Run it with `cargo run --example websocket_token`.

#[path = "quickstart/story.rs"]
#[allow(dead_code, reason = "the quickstart tells more")]
mod story;
#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use reqwest_auth_refresh::{ExposeSecret, RefreshGrant, SecretString, Session, Tokens};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::story::{Story, Table};
use crate::support::{Grants, Issuer};

/// What is left of a connection after the handshake, with what has come already.
type Socket = BufReader<TcpStream>;

/// Shakes hands with this token: a socket, when the server lets us in.
async fn shake_hands(server: &str, token: &SecretString) -> io::Result<Option<Socket>> {
    let mut stream = BufReader::new(TcpStream::connect(server).await?);
    let head = format!(
        "GET /feed HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {}\r\n\r\n",
        token.expose_secret()
    );
    stream.write_all(head.as_bytes()).await?;
    let (mut status, mut line) = (String::new(), String::new());
    stream.read_line(&mut status).await?;
    while stream.read_line(&mut line).await? > 2 {
        line.clear();
    }
    Ok(status.starts_with("HTTP/1.1 101").then_some(stream))
}

/// Connects, with a new token if the first one is refused.
async fn connect(server: &str, session: &Session) -> Result<Option<Socket>, Box<dyn Error>> {
    let token = session.access_token().await?;
    if let Some(stream) = shake_hands(server, &token).await? {
        return Ok(Some(stream));
    }
    // Whoever needs it next gets a new one first.
    session.invalidate(&token);
    Ok(shake_hands(server, &session.access_token().await?).await?)
}

/// A server that looks at the token of each handshake, and then sends one text frame.
async fn serve(listener: TcpListener, grants: Grants) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let mut stream = BufReader::new(stream);
        let (mut line, mut token) = (String::new(), None);
        while stream.read_line(&mut line).await? > 2 {
            token = line.strip_prefix("Authorization: Bearer ").map(|token| token.trim().to_owned()).or(token);
            line.clear();
        }
        let good = token.is_some_and(|token| grants.check(&token, std::time::SystemTime::now()).is_ok());
        let answer: &[u8] = if good {
            // The answer to the key above is the one of the RFC; then "hello" in one unmasked frame.
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x05hello"
        } else {
            b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        };
        stream.write_all(answer).await?;
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let story = Story::begin();
    let issuer = Issuer::start().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = listener.local_addr()?.to_string();
    let serving = tokio::spawn(serve(listener, issuer.grants().clone()));
    let session = Arc::new(Session::new(RefreshGrant::new(issuer.token_url(), "app")?));
    session.login(Tokens::from_json(issuer.login("alice").to_string())?).await?;

    let fresh = connect(&server, &session).await?.is_some();
    story.tell("the socket", "open");
    issuer.revoke_access("alice");
    let mut stream = connect(&server, &session).await?;
    story.tell("the socket", "open again, with a new token");
    let mut frame = [0; 7];
    if let Some(stream) = &mut stream {
        stream.read_exact(&mut frame).await?;
    }
    serving.abort();

    let mut table = Table::begin();
    Table::heading("counted", "expected");
    table.same("let in with the first token", usize::from(fresh), 1);
    table.same("a frame came after the second handshake", usize::from(frame == *b"\x81\x05hello"), 1);
    table.same("calls of the issuer", issuer.counts().token_calls, 1);
    let right = table.is_all_right();
    let closing = if right { "the socket is open" } else { "the counts do not agree" };
    Story::close(&format!("websocket_token: {closing}"));
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
