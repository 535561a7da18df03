//! An HTTP server on loopback that can be taken away and brought back on the same port.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::answer::Answer;

/// Connections that may wait to be accepted: more than the 1,000 that a test opens at once.
const BACKLOG: u32 = 2048;

pub(super) type Handler = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Answer> + Send + Sync>;

/// The number of the connection that a request came on, from 1: among its extensions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connection(pub(super) usize);

/// Serves until it is dropped, on the runtime it was started on.
pub(super) struct Server {
    address: SocketAddr,
    handler: Handler,
    /// Bound but not listening, so that nobody else gets the port while connections are refused; where the system has no
    /// such thing, `None`.
    reserve: Option<TcpSocket>,
    listening: Mutex<Option<Listening>>,
    connections: Arc<Connections>,
}

/// How many connections there were, and how many there may be together.
struct Connections {
    accepted: AtomicUsize,
    most: AtomicUsize,
}

/// Ends, with all its connections, when it is dropped.
struct Listening {
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    #[expect(clippy::unused_async, reason = "it needs a runtime, and says so by being async")]
    pub(super) async fn start(handler: Handler) -> io::Result<Self> {
        let socket = bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = socket.local_addr()?;
        let (reserve, listener) = match bind(address).and_then(|second| second.listen(BACKLOG)) {
            Ok(listener) => (Some(socket), listener),
            Err(_in_use) => (None, socket.listen(BACKLOG)?),
        };
        let connections = Arc::new(Connections { accepted: AtomicUsize::new(0), most: AtomicUsize::new(usize::MAX) });
        let listening = Mutex::new(Some(listen(listener, Arc::clone(&handler), Arc::clone(&connections))));
        Ok(Self { address, handler, reserve, listening, connections })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were accepted so far.
    pub(super) fn connections(&self) -> usize {
        self.connections.accepted.load(Ordering::SeqCst)
    }

    /// How many connections may be open together from now on; others wait to be accepted.
    pub(super) fn set_most(&self, most: usize) {
        self.connections.most.store(most, Ordering::SeqCst);
    }

    /// Refuses connections from the moment this returns; those that were open are cut.
    pub(super) async fn close(&self) {
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Listening { stop, task }) = listening {
            drop(stop);
            // An error says that the runtime has gone, and the listener with it.
            drop(task.await);
        }
    }

    /// Listens again, on the same port.
    pub(super) fn reopen(&self) -> io::Result<()> {
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        if listening.is_none() {
            let listener = bind(self.address)?.listen(BACKLOG)?;
            *listening = Some(listen(listener, Arc::clone(&self.handler), Arc::clone(&self.connections)));
        }
        Ok(())
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn listen(listener: TcpListener, handler: Handler, connections: Arc<Connections>) -> Listening {
    let (stop, stopped) = watch::channel(());
    Listening { stop, task: tokio::spawn(accept(listener, handler, connections, stopped)) }
}

async fn accept(
    listener: TcpListener,
    handler: Handler,
    connections: Arc<Connections>,
    mut stopped: watch::Receiver<()>,
) {
    let mut open = JoinSet::new();
    loop {
        let free = open.len() < connections.most.load(Ordering::SeqCst);
        tokio::select! {
            _ = stopped.changed() => break,
            accepted = listener.accept(), if free => match accepted {
                Ok((stream, _)) => {
                    let number = Connection(connections.accepted.fetch_add(1, Ordering::SeqCst) + 1);
                    drop(open.spawn(serve(stream, number, Arc::clone(&handler))));
                }
                // Out of files, most likely: others may close some.
                Err(_later) => tokio::task::yield_now().await,
            },
            Some(_ended) = open.join_next() => {}
        }
    }
    drop(listener);
    open.shutdown().await;
}

async fn serve(stream: TcpStream, number: Connection, handler: Handler) {
    drop(stream.set_nodelay(true));
    let service = service_fn(move |mut request: Request<Incoming>| {
        let handler = Arc::clone(&handler);
        async move {
            let _none = request.extensions_mut().insert(number);
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            // An error of the service closes the connection, or ends the stream.
            handler(Request::from_parts(head, body)).await.ok_or_else(|| io::Error::other("closed on purpose"))
        }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    // What a client does to its connection is no concern of the server.
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}
