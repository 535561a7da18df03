//! An HTTP/1 server on loopback that can be taken away and brought back on the same port.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::answer::Answer;

/// Connections that may wait to be accepted: more than the 1,000 that a test opens at once.
const BACKLOG: u32 = 2048;

pub(super) type Handler = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Answer> + Send + Sync>;

/// Serves until it is dropped, on the runtime it was started on.
pub(super) struct Server {
    address: SocketAddr,
    handler: Handler,
    /// Bound but not listening, so that nobody else gets the port while connections are refused; where the system has no
    /// such thing, `None`.
    reserve: Option<TcpSocket>,
    listening: Mutex<Option<Listening>>,
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
        let listening = Mutex::new(Some(listen(listener, Arc::clone(&handler))));
        Ok(Self { address, handler, reserve, listening })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
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
            *listening = Some(listen(listener, Arc::clone(&self.handler)));
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

fn listen(listener: TcpListener, handler: Handler) -> Listening {
    let (stop, stopped) = watch::channel(());
    Listening { stop, task: tokio::spawn(accept(listener, handler, stopped)) }
}

async fn accept(listener: TcpListener, handler: Handler, mut stopped: watch::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(stream, Arc::clone(&handler)))),
                // Out of files, most likely: others may close some.
                Err(_later) => tokio::task::yield_now().await,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn serve(stream: TcpStream, handler: Handler) {
    drop(stream.set_nodelay(true));
    let service = service_fn(move |request: Request<Incoming>| {
        let handler = Arc::clone(&handler);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            // An error of the service closes the connection.
            handler(Request::from_parts(head, body)).await.ok_or_else(|| io::Error::other("closed on purpose"))
        }
    });
    // What a client does to its connection is no concern of the server.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}
