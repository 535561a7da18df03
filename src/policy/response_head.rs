//! What can be said of a response before its body is read.

use std::fmt;

use http::{HeaderMap, StatusCode};
use reqwest::{Response, Url};

use crate::policy::unauthorized::is_unauthorized;

/// A response's status, headers and address, for a program that [judges](crate::AuthRefresh::unauthorized_when) by itself
/// whether it says that the tokens are no longer good.
pub struct ResponseHead<'a> {
    signed: &'a Url,
    response: &'a Response,
}

impl<'a> ResponseHead<'a> {
    /// The head of this response to a request that was signed for `signed`.
    pub(crate) fn of(signed: &'a Url, response: &'a Response) -> Self {
        Self { signed, response }
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Its headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Where it came from.
    #[must_use]
    pub fn url(&self) -> &Url {
        self.response.url()
    }

    /// What is said of it where the program does not judge: true for a 401 that is not about something else (RFC 6750
    /// section 3.1).
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        is_unauthorized(self.signed, self.status(), self.url(), self.headers())
    }
}

/// Without the URL's query and the headers, which may hold secrets.
impl fmt::Debug for ResponseHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead").field("status", &self.status()).finish_non_exhaustive()
    }
}
