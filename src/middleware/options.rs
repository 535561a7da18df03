//! What one request wants differently.

use std::fmt;
use std::sync::Arc;

use http::Extensions;
use reqwest::Body;
use reqwest_middleware::RequestBuilder;

use crate::id::SessionId;

/// The wishes of one request: one extension, so that looking for it costs one look.
#[derive(Clone, Default)]
pub(crate) struct RequestOptions {
    pub(crate) session: Option<SessionId>,
    pub(crate) unsigned: bool,
    pub(crate) refresh_first: bool,
    pub(crate) send_once: bool,
    pub(crate) resend_with: Option<Arc<dyn Fn() -> Body + Send + Sync>>,
}

/// What a single request can ask of [`AuthRefresh`](crate::AuthRefresh), on the builder of `reqwest-middleware`.
///
/// ```no_run
/// use reqwest_auth_refresh::RequestBuilderExt;
///
/// # async fn send(client: reqwest_middleware::ClientWithMiddleware) -> Result<(), reqwest_middleware::Error> {
/// // The login call needs no tokens, and its 401 means a wrong password.
/// client.post("https://api.example.com/login").unsigned().body("…").send().await?;
/// # Ok(())
/// # }
/// ```
pub trait RequestBuilderExt: Sized + sealed::Sealed {
    /// For this session, by name. A client that serves one session refuses a request that names another one, and sends
    /// nothing; a named session that is logged out is an error and never goes out unsigned.
    #[must_use]
    fn acting_for(self, session: impl Into<SessionId>) -> Self;

    /// Without tokens: the request passes untouched, and so does its response. Wins over everything else.
    #[must_use]
    fn unsigned(self) -> Self;

    /// With new tokens, whatever the ones at hand are worth. When somebody is logged in and they cannot be had, nothing is
    /// sent. Holds for the first
    /// trip only, not for what an outer retry layer sends again.
    #[must_use]
    fn refresh_first(self) -> Self;

    /// Never sent a second time by us: a 401 still leads to new tokens, and is returned, marked
    /// [`NotRetryable`](crate::NotRetryable). So that it does not meet a rotation, it waits for a refresh that is under way,
    /// and for one of tokens that expire soon.
    #[must_use]
    fn send_once(self) -> Self;

    /// With a way to make the body anew, for one that streams and cannot be cloned. Called when the request is to be sent a
    /// second time.
    ///
    /// Not for a `multipart::Form`: another one has another boundary than the header says. Write the form out to bytes first,
    /// which can be cloned, or frame it by hand with a boundary of your own.
    #[must_use]
    fn resend_with<F, B>(self, body: F) -> Self
    where
        F: Fn() -> B + Send + Sync + 'static,
        B: Into<Body>;
}

impl RequestBuilderExt for RequestBuilder {
    fn acting_for(self, session: impl Into<SessionId>) -> Self {
        let session = session.into();
        with(self, |options| options.session = Some(session))
    }

    fn unsigned(self) -> Self {
        with(self, |options| options.unsigned = true)
    }

    fn refresh_first(self) -> Self {
        with(self, |options| options.refresh_first = true)
    }

    fn send_once(self) -> Self {
        with(self, |options| options.send_once = true)
    }

    fn resend_with<F, B>(self, body: F) -> Self
    where
        F: Fn() -> B + Send + Sync + 'static,
        B: Into<Body>,
    {
        with(self, |options| options.resend_with = Some(Arc::new(move || body().into())))
    }
}

fn with(mut builder: RequestBuilder, set: impl FnOnce(&mut RequestOptions)) -> RequestBuilder {
    set(builder.extensions().get_or_insert_default());
    builder
}

impl RequestOptions {
    /// The wish for new tokens, which is granted once.
    pub(crate) fn take_refresh_first(extensions: &mut Extensions) -> bool {
        extensions.get_mut::<Self>().is_some_and(|options| std::mem::take(&mut options.refresh_first))
    }
}

impl fmt::Debug for RequestOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestOptions")
            .field("session", &self.session)
            .field("unsigned", &self.unsigned)
            .field("refresh_first", &self.refresh_first)
            .field("send_once", &self.send_once)
            .field("resend_with", &self.resend_with.is_some())
            .finish()
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for reqwest_middleware::RequestBuilder {}
}
