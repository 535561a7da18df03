//! The ways to sign a request that are compared.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use futures_util::FutureExt;
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderValue, Method};
use reqwest::{Request, Response, Url};
use reqwest_auth_refresh::{
    AuthRefresh, Origins, RefreshError, RefreshRequest, Refresher, RefresherInfo, RequestBuilderExt, Session, Sessions,
    Tokens,
};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next, Result};

use crate::support::{API, Canned};

/// A way to sign a request, or not to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Nothing but the canned answer: what every other one is net of.
    Unsigned,
    /// A prepared header is inserted.
    Header,
    /// The request is cloned, so that it could be sent again, and a prepared header is inserted: the least that a
    /// middleware which retries can do. Ours is held against it.
    CloneAndHeader,
    /// The header is written anew for each request from a token behind a lock.
    Format,
    /// The same with a clone: what people write by hand.
    CloneAndFormat,
    /// This crate, with one session that is logged in with a token that has an expiry.
    Ours,
    /// This crate, with one door for many sessions, and another one of them named on each request.
    BySession,
}

/// How many sessions there are where requests name theirs.
const SESSIONS: usize = 10_000;

impl Variant {
    pub(crate) const ALL: [Self; 7] = [
        Self::Unsigned,
        Self::Header,
        Self::CloneAndHeader,
        Self::Format,
        Self::CloneAndFormat,
        Self::Ours,
        Self::BySession,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Header => "header",
            Self::CloneAndHeader => "clone-and-header",
            Self::Format => "format",
            Self::CloneAndFormat => "clone-and-format",
            Self::Ours => "ours",
            Self::BySession => "by-session",
        }
    }

    /// A client that signs in this way and ends in [`Canned`].
    pub(crate) fn client(self) -> anyhow::Result<Client> {
        self.client_of(ClientBuilder::new(reqwest::Client::new()))
    }

    /// The same with a middleware before the one that signs.
    pub(crate) fn client_behind(self, outer: impl Middleware) -> anyhow::Result<Client> {
        self.client_of(ClientBuilder::new(reqwest::Client::new()).with(outer))
    }

    fn client_of(self, builder: ClientBuilder) -> anyhow::Result<Client> {
        let builder = match self {
            Self::Unsigned => builder,
            Self::Header => builder.with(Header(header()?)),
            Self::CloneAndHeader => builder.with(CloneAndHeader(header()?)),
            Self::Format => builder.with(Format(Mutex::new(token()))),
            Self::CloneAndFormat => builder.with(CloneAndFormat(Mutex::new(token()))),
            Self::Ours => builder.with(ours()?),
            Self::BySession => builder.with(by_session()?),
        };
        let client = builder.with(Canned).build();
        let request = Request::new(Method::GET, Url::parse(API)?.join("/me")?);
        // What a request says of itself is made once, so that only looking it up is counted.
        let said = match self {
            Self::BySession => {
                (0..SESSIONS).map(|nth| client.get(API).acting_for(name(nth)).extensions().clone()).collect()
            }
            Self::Unsigned | Self::Header | Self::CloneAndHeader | Self::Format | Self::CloneAndFormat | Self::Ours => {
                vec![Extensions::new()]
            }
        };
        Ok(Client { chain: client, request, said: RefCell::new(said), turn: Cell::new(0) })
    }
}

/// A client, and the request that it sends.
#[derive(Debug)]
pub(crate) struct Client {
    chain: ClientWithMiddleware,
    request: Request,
    /// What the requests say of themselves, in turn.
    said: RefCell<Vec<Extensions>>,
    turn: Cell<usize>,
}

impl Client {
    /// Sends the request so many times, one after the other.
    pub(crate) fn send(&self, times: u32) -> anyhow::Result<()> {
        for _ in 0..times {
            let request = self.request.try_clone().context("a body that streams")?;
            let mut said = self.said.borrow_mut();
            // No two that follow each other are neighbours.
            self.turn.set((self.turn.get() + 7_919) % said.len());
            let extensions = &mut said[self.turn.get()];
            let response =
                self.chain.execute_with_extensions(request, extensions).now_or_never().context("something waits")??;
            drop(std::hint::black_box(response));
        }
        Ok(())
    }
}

/// As long as a signed token often is.
fn token() -> String {
    "t".repeat(860)
}

fn header() -> anyhow::Result<HeaderValue> {
    let mut header = HeaderValue::try_from(format!("Bearer {}", token()))?;
    header.set_sensitive(true);
    Ok(header)
}

/// As the README shows it.
fn ours() -> anyhow::Result<AuthRefresh> {
    let session = Session::new(Unasked);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(session.login(tokens()?))?;
    Ok(AuthRefresh::new(&session, Origins::new(API)?))
}

fn tokens() -> anyhow::Result<Tokens> {
    Ok(Tokens::new(token())?.with_refresh_token("refresh").with_expires_in(Duration::from_secs(3600)))
}

/// A door for all of them, each logged in.
fn by_session() -> anyhow::Result<AuthRefresh> {
    let sessions = Sessions::new(Unasked);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        for nth in 0..SESSIONS {
            sessions.session(name(nth)).login(tokens()?).await?;
        }
        anyhow::Ok(())
    })?;
    anyhow::ensure!(sessions.in_memory() == SESSIONS, "{} sessions are in memory", sessions.in_memory());
    Ok(AuthRefresh::new(&sessions, Origins::new(API)?))
}

/// As long as a mail address often is.
fn name(nth: usize) -> String {
    format!("user-{nth:05}@example.com")
}

/// Has its endpoint elsewhere, as a refresh grant usually does, and is never called, since the token is good for an hour.
#[derive(Debug)]
struct Unasked;

#[async_trait]
impl Refresher for Unasked {
    async fn refresh(&self, _: RefreshRequest) -> std::result::Result<Tokens, RefreshError> {
        Err(RefreshError::rejected("unasked"))
    }

    fn info(&self) -> RefresherInfo {
        RefresherInfo::default().with_endpoints(Url::parse("https://issuer.example/token"))
    }
}

struct Header(HeaderValue);

#[async_trait]
impl Middleware for Header {
    async fn handle(&self, mut request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        let _vacant = request.headers_mut().insert(AUTHORIZATION, self.0.clone());
        next.run(request, extensions).await
    }
}

struct CloneAndHeader(HeaderValue);

impl Middleware for CloneAndHeader {
    // As tight as can be, so that nothing is gained by comparing with it.
    fn handle<'a, 'b, 'c, 'trip>(
        &'a self,
        mut request: Request,
        extensions: &'b mut Extensions,
        next: Next<'c>,
    ) -> Pin<Box<dyn Future<Output = Result<Response>> + Send + 'trip>>
    where
        'a: 'trip,
        'b: 'trip,
        'c: 'trip,
        Self: 'trip,
    {
        let clone = request.try_clone();
        let _vacant = request.headers_mut().insert(AUTHORIZATION, self.0.clone());
        Box::pin(async move {
            let response = next.run(request, extensions).await;
            drop(clone);
            response
        })
    }
}

struct Format(Mutex<String>);

#[async_trait]
impl Middleware for Format {
    async fn handle(&self, mut request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        let header = format(&self.0)?;
        let _vacant = request.headers_mut().insert(AUTHORIZATION, header);
        next.run(request, extensions).await
    }
}

struct CloneAndFormat(Mutex<String>);

#[async_trait]
impl Middleware for CloneAndFormat {
    async fn handle(&self, mut request: Request, extensions: &mut Extensions, next: Next<'_>) -> Result<Response> {
        let clone = request.try_clone();
        let header = format(&self.0)?;
        let _vacant = request.headers_mut().insert(AUTHORIZATION, header);
        let response = next.run(request, extensions).await;
        drop(clone);
        response
    }
}

fn format(token: &Mutex<String>) -> Result<HeaderValue> {
    let token = token.lock().unwrap_or_else(PoisonError::into_inner);
    format!("Bearer {token}").parse().map_err(reqwest_middleware::Error::middleware)
}
