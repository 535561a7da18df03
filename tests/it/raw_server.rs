//! A server on loopback that says whatever bytes it is told to, as slowly and for as long as it is told to, and writes down
//! what it was asked, byte by byte. For what no well-behaved HTTP library would say.

use std::iter;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::bounded;

/// One request as it came.
#[derive(Clone)]
pub(crate) struct Asked {
    head: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    /// The bytes of this header, which comes at most once.
    pub(crate) fn header(&self, name: &str) -> Option<Vec<u8>> {
        let lines = self.head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let mut values = lines.filter_map(|line| {
            let (own, value) = line.split_at_checked(name.len())?;
            let value = value.strip_prefix(b": ").filter(|_| own.eq_ignore_ascii_case(name.as_bytes()))?;
            Some(value.to_vec())
        });
        let value = values.next();
        assert!(values.next().is_none(), "{name} comes twice");
        value
    }

    /// Whether this text is anywhere in it.
    pub(crate) fn shows(&self, text: &str) -> bool {
        let shows = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        shows(&self.head) || shows(&self.body)
    }

    /// The path and the query that were asked for.
    pub(crate) fn target(&self) -> String {
        let line = self.head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        String::from_utf8_lossy(line).into_owned()
    }

    /// This member of the form in the body.
    pub(crate) fn form(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(&self.body).find(|(own, _)| own == name).map(|(_, value)| value.into_owned())
    }
}

/// What is said to one request.
pub(crate) struct Reply {
    pieces: Box<dyn Iterator<Item = Vec<u8>> + Send>,
    pause: Duration,
    then: Then,
}

/// What becomes of the connection when everything was said.
enum Then {
    Listen,
    Close,
    /// It stays, and nobody says a word, until the other side leaves.
    Hang,
}

impl Reply {
    /// Says these bytes and listens for the next request.
    pub(crate) fn saying(bytes: impl Into<Vec<u8>>) -> Self {
        Self::in_pieces(iter::once(bytes.into()))
    }

    /// Says one piece after the other; there may be no end of them.
    pub(crate) fn in_pieces(pieces: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Self {
        Self { pieces: Box::new(pieces), pause: Duration::ZERO, then: Then::Listen }
    }

    /// A whole answer.
    pub(crate) fn whole(status: &str, content_type: &str, body: &[u8]) -> Self {
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n", body.len());
        Self::saying([head.as_bytes(), body].concat())
    }

    /// Waits so long after each piece.
    pub(crate) fn pausing(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    pub(crate) fn closing(self) -> Self {
        Self { then: Then::Close, ..self }
    }

    pub(crate) fn hanging(self) -> Self {
        Self { then: Then::Hang, ..self }
    }
}

/// Stops, with all its connections, when it is dropped.
pub(crate) struct RawServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    open: watch::Receiver<usize>,
    _serving: JoinSet<()>,
}

impl RawServer {
    /// Serves on the current runtime. `answer` says what is said to each request.
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (count, open) = watch::channel(0);
        let (answer, written_down) = (Arc::new(answer), Arc::clone(&asked));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, written_down, count) = (Arc::clone(&answer), Arc::clone(&written_down), count.clone());
                count.send_modify(|open| *open += 1);
                connections.spawn(async move {
                    serve(stream, &*answer, &written_down).await;
                    count.send_modify(|open| *open -= 1);
                });
            }
        });
        Self { address, asked, open, _serving: serving }
    }

    /// An address on this server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything that was asked since this was called last.
    pub(crate) fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// Waits until everyone has hung up.
    pub(crate) async fn left_alone(&self) {
        let mut open = self.open.clone();
        let left = bounded(|| "everyone to hang up", open.wait_for(|open| *open == 0)).await;
        drop(left.expect("the server is up"));
    }
}

async fn serve(mut stream: TcpStream, answer: &(dyn Fn(&Asked) -> Reply + Send + Sync), asked: &Mutex<Vec<Asked>>) {
    let mut read = Vec::new();
    while let Some(request) = next_request(&mut stream, &mut read).await {
        let reply = answer(&request);
        asked.lock().unwrap().push(request);
        for piece in reply.pieces {
            if stream.write_all(&piece).await.is_err() {
                return;
            }
            if !reply.pause.is_zero() && is_left_within(&mut stream, reply.pause).await {
                return;
            }
        }
        match reply.then {
            Then::Listen => {}
            Then::Close => return,
            Then::Hang => {
                while !is_left_within(&mut stream, Duration::MAX).await {}
                return;
            }
        }
    }
}

/// Whether the other side hangs up within this time.
async fn is_left_within(stream: &mut TcpStream, time: Duration) -> bool {
    let read = tokio::time::timeout(time, stream.read(&mut [0; 64])).await;
    read.is_ok_and(|read| !matches!(read, Ok(1..)))
}

/// The next request; `read` keeps what came after it.
async fn next_request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Asked> {
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let mut asked = Asked { head: read[..end].to_vec(), body: Vec::new() };
            let length = asked.header("content-length").map_or(0, |length| {
                let length = String::from_utf8(length).unwrap();
                length.parse().unwrap()
            });
            let whole = end + 4 + length;
            if read.len() >= whole {
                asked.body = read[end + 4..whole].to_vec();
                read.drain(..whole);
                return Some(asked);
            }
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}
