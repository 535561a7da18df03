//! What a response tells of its trip, and what a request tells inner middleware.

use http::Extensions;

/// The request was sent a second time, with newer tokens.
///
/// Found in the extensions of the request during its second sending, for middleware further in, and in those of the
/// response that came of it: `response.extensions().get::<Retried>()`. The request's flag is gone when the trip ends,
/// however it ends, and nothing is ever decided by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Retried;

/// The response says that its tokens were no longer good, they were refreshed, and yet the request was not sent again.
///
/// Found in the extensions of the response, which is otherwise as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotRetryable {
    /// Its body streams and cannot be sent twice; see [`resend_with`](crate::RequestBuilderExt::resend_with).
    Body,
    /// It asked to be [sent once](crate::RequestBuilderExt::send_once).
    SendOnce,
    /// The refresh yielded the very access token that was refused.
    SameToken,
}

/// The flag on a request during its second sending.
pub(crate) struct Flag<'a> {
    extensions: &'a mut Extensions,
    before: Option<Retried>,
}

impl<'a> Flag<'a> {
    pub(crate) fn raise(extensions: &'a mut Extensions) -> Self {
        let before = extensions.insert(Retried);
        Self { extensions, before }
    }

    pub(crate) fn extensions(&mut self) -> &mut Extensions {
        self.extensions
    }
}

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        // Another `AuthRefresh` further out may have raised its own.
        if self.before.is_none() {
            let _raised = self.extensions.remove::<Retried>();
        }
    }
}
