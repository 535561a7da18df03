//! The issuer of the virtual world. It is strict: a refresh token buys tokens once, and whoever comes with a spent one is
//! rejected. It also knows which access tokens an API should take.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::StatusCode;
use reqwest_auth_refresh::{RefreshError, RefreshRequest, Refresher, Tokens};
use secrecy::ExposeSecret;

/// One grant at an issuer. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Issuer(Arc<Mutex<Book>>);

#[derive(Debug)]
struct Book {
    /// How long an answer takes.
    takes: Duration,
    /// How long an access token lives; zero: that is not said.
    life: Duration,
    calls: usize,
    /// Calls with a refresh token that was spent before.
    reuses: usize,
    newest: u64,
    /// The first generation whose access token the API takes.
    good_from: u64,
    failure: Option<RefreshError>,
    repeats_itself: bool,
}

impl Issuer {
    /// Answers after 100 ms, with access tokens that live for an hour.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Book {
            takes: Duration::from_millis(100),
            life: Duration::from_secs(3600),
            calls: 0,
            reuses: 0,
            newest: 0,
            good_from: 0,
            failure: None,
            repeats_itself: false,
        })))
    }

    pub(crate) fn taking(self, takes: Duration) -> Self {
        self.book().takes = takes;
        self
    }

    pub(crate) fn with_life(self, life: Duration) -> Self {
        self.book().life = life;
        self
    }

    /// The newest tokens, as a login would yield them.
    pub(crate) fn tokens(&self) -> Tokens {
        self.book().tokens()
    }

    pub(crate) fn calls(&self) -> usize {
        self.book().calls
    }

    pub(crate) fn reuses(&self) -> usize {
        self.book().reuses
    }

    /// From now on the API takes none of the access tokens issued so far.
    pub(crate) fn end_access_tokens(&self) {
        let mut book = self.book();
        book.good_from = book.newest + 1;
    }

    /// From now on every call ends so.
    pub(crate) fn fail(&self, failure: RefreshError) {
        self.book().failure = Some(failure);
    }

    pub(crate) fn recover(&self) {
        self.book().failure = None;
    }

    /// From now on the access token stays the same, whatever is spent for it.
    pub(crate) fn repeat_itself(&self) {
        self.book().repeats_itself = true;
    }

    /// Whether an API should take this access token.
    pub(crate) fn accepts(&self, access_token: Option<&str>) -> bool {
        let book = self.book();
        (book.good_from..=book.newest).any(|generation| access_token == Some(&*format!("access-{generation}")))
    }

    /// One call of the token endpoint. What it does to the grant is done when it arrives.
    pub(crate) async fn refresh(self, request: RefreshRequest) -> Result<Tokens, RefreshError> {
        let (answer, takes) = {
            let mut book = self.book();
            (book.answer(&request), book.takes)
        };
        tokio::time::sleep(takes).await;
        answer
    }

    pub(crate) fn refresher(&self) -> impl Refresher + use<> {
        let issuer = self.clone();
        move |request: RefreshRequest| issuer.clone().refresh(request)
    }

    /// An API that judges a token when it comes, and answers after this time.
    pub(crate) fn api(
        &self,
        latency: Duration,
    ) -> impl Fn(Option<String>) -> BoxFuture<'static, StatusCode> + Send + Sync + use<> {
        let issuer = self.clone();
        move |bearer| {
            let status = if issuer.accepts(bearer.as_deref()) { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            Box::pin(async move {
                tokio::time::sleep(latency).await;
                status
            })
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn tokens(&self) -> Tokens {
        let access = if self.repeats_itself { "access-0".to_owned() } else { format!("access-{}", self.newest) };
        let tokens = Tokens::new(access).expect("a token that can be sent");
        tokens.with_refresh_token(format!("refresh-{}", self.newest)).with_expires_in(self.life)
    }

    fn answer(&mut self, request: &RefreshRequest) -> Result<Tokens, RefreshError> {
        self.calls += 1;
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let spent = request.refresh_token().map(|token| token.expose_secret().to_owned());
        if spent.as_deref() != Some(&*format!("refresh-{}", self.newest)) {
            self.reuses += 1;
            return Err(RefreshError::rejected("invalid_grant"));
        }
        self.newest += 1;
        Ok(self.tokens())
    }
}
