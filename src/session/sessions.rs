//! The handle of many sessions: what a program keeps that acts for many users.

use std::fmt;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::error::AuthError;
use crate::event::Event;
use crate::id::SessionId;
use crate::session::handle::Session;
use crate::session::registry::Registry;
use crate::session::shared::Shared;

/// Many logins behind their ids, each a [`Session`] of its own: for a program that acts for many users.
///
/// They share a refresher, a store and settings, and nothing else: one user's failure is that user's. Sessions never wait for
/// each other, unless more want new tokens than [may at once](crate::SessionBuilder::most_refreshes_at_once); where
/// tenants have issuers of their own, one `Sessions` for each keeps a slow one from taking those places from the others. Cloning is cheap, and all clones are one.
///
/// ```
/// use reqwest_auth_refresh::{AuthRefresh, Origins, RefreshError, RefreshRequest, RequestBuilderExt, Sessions, Tokens};
/// use reqwest_middleware::ClientBuilder;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use wiremock::{Mock, MockServer, ResponseTemplate, matchers::header};
/// # let api = MockServer::start().await;
/// # Mock::given(header("authorization", "Bearer hers")).respond_with(ResponseTemplate::new(200)).expect(1).mount(&api).await;
/// # let api = api.uri();
/// let sessions = Sessions::new(|request: RefreshRequest| async move {
///     Tokens::new(format!("new-for-{}", request.session().as_str())).map_err(RefreshError::unavailable)
/// });
/// sessions.session("alice").login(Tokens::new("hers")?).await?;
///
/// let auth = AuthRefresh::new(&sessions, Origins::new(&api)?);
/// let client = ClientBuilder::new(reqwest::Client::new()).with(auth).build();
/// assert_eq!(client.get(&api).acting_for("alice").send().await?.status(), 200);
///
/// // Nothing is sent for somebody who is not logged in, or for nobody.
/// assert!(client.get(&api).acting_for("bob").send().await.is_err());
/// assert!(client.get(&api).send().await.is_err());
/// # Ok(())
/// # }
/// ```
///
/// # What is kept
///
/// A session is read from the store when it is first asked for, and forgotten when it was not asked for in
/// [ten minutes](crate::SessionBuilder::idle); the next request reads it again. Nothing is forgotten that would be missed: not
/// while somebody holds the [`Session`] or a subscription to it, while a refresh is under way, while tokens are not saved, or
/// while it rests after a failure. There is no task that sees to this: whoever uses one session forgets a few others.
///
/// With the default store, the tokens themselves stay in memory: give one that keeps them elsewhere.
///
/// # Issuers of their own
///
/// A refresher is told [whose tokens](crate::RefreshRequest::session) are to be replaced, and may ask another issuer, or as
/// another client, for each session: a tenant's own. Let it take back what an issuer's failure says about
/// [every session](crate::RefreshError::for_every_session) with [`for_this_session`](crate::RefreshError::for_this_session),
/// or one tenant's outage rests all.
///
/// # Cookies
///
/// A refresher whose session lives in cookies serves one session, since it has one place for cookies. Here all its sessions
/// would be whoever logged in last, so that they are refused, with an error that
/// [`is_misconfigured`](AuthError::is_misconfigured). Make a [`Session`] with its own refresher for each user.
#[derive(Clone)]
pub struct Sessions(Arc<Registry>);

impl Sessions {
    pub(crate) fn of(registry: Registry) -> Self {
        Self(Arc::new(registry))
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0
    }

    /// The session with this id. Nothing is read for it yet.
    ///
    /// While somebody holds the handle the session is not forgotten.
    #[must_use]
    pub fn session(&self, id: impl Into<SessionId>) -> Session {
        Session::of(self.0.engine(&id.into(), self.0.shared.wall()))
    }

    /// How many sessions are in memory at the moment.
    #[must_use]
    pub fn in_memory(&self) -> usize {
        self.0.len()
    }

    /// Forgets all that are idle now, and not only a few as by and by; for a program that knows a good moment.
    pub fn forget_idle(&self) {
        self.0.forget_idle();
    }

    /// Everything that happens to any of these sessions from now on.
    #[must_use]
    pub fn events(&self) -> AllEvents {
        AllEvents { _shared: Arc::clone(&self.0.shared), receiver: self.0.shared.listen() }
    }

    /// Waits until every refresh under way has landed and everything is stored; for the end of a program.
    ///
    /// # Errors
    ///
    /// As [`Session::flush`], for the first session that fails; the others are waited for all the same.
    ///
    /// # Cancel safety
    ///
    /// Safe: what is under way goes on.
    pub async fn flush(&self) -> Result<(), AuthError> {
        let all = self.0.engines().into_iter().map(Session::of);
        join_all(all.map(|session| async move { session.flush().await })).await.into_iter().collect()
    }

    /// Ends all work: every session is [shut down](Session::shutdown), also those that are asked for later.
    ///
    /// # Errors
    ///
    /// As [`Session::shutdown`], for the first session that fails; the others are shut down all the same.
    ///
    /// # Cancel safety
    ///
    /// Once polled, nothing new is begun. What is under way goes on when this is dropped.
    pub async fn shutdown(&self) -> Result<(), AuthError> {
        self.0.shared.closed.store(true, std::sync::atomic::Ordering::Release);
        let all = self.0.engines().into_iter().map(Session::of);
        join_all(all.map(|session| async move { session.shutdown().await })).await.into_iter().collect()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("in_memory", &self.in_memory()).finish_non_exhaustive()
    }
}

/// What happens to any of many sessions; see [`Sessions::events`].
#[derive(Debug)]
pub struct AllEvents {
    /// The sending side stays.
    _shared: Arc<Shared>,
    receiver: Receiver<(SessionId, Event)>,
}

/// A reader of the events of all sessions was too slow, and missed so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} events were missed by a reader that was too slow")]
pub struct Missed(pub u64);

impl AllEvents {
    /// The next event and whose it is; waits until there is one. Those of one session come in their order. Never `None` while
    /// this is alive; the option is there for `while let`.
    ///
    /// # Errors
    ///
    /// [`Missed`] when this reader has fallen more than 1,024 events behind, which slows nobody else down. It goes on from
    /// there.
    ///
    /// # Cancel safety
    ///
    /// Safe: an event is not lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<(SessionId, Event), Missed>> {
        match self.receiver.recv().await {
            Ok(event) => Some(Ok(event)),
            Err(RecvError::Lagged(missed)) => Some(Err(Missed(missed))),
            Err(RecvError::Closed) => None,
        }
    }
}
