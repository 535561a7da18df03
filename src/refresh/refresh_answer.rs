//! An endpoint's answer, as a predicate sees it.

use std::fmt;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::member_path::MemberPath;
use crate::token_answer::TokenAnswer;

/// An endpoint's answer to a refresh, as the predicates of a [`Dialect`](crate::Dialect) see it.
///
/// `Debug` shows the status, and neither headers nor body: they may hold tokens.
pub struct RefreshAnswer<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) html: bool,
    pub(crate) code: Option<&'a str>,
    pub(crate) members: Option<&'a TokenAnswer<'a>>,
}

impl RefreshAnswer<'_> {
    /// The status. Redirects are not followed: a 302 is seen as one.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.headers
    }

    /// Whether this is a page of HTML, by its content type or its look: a firewall, a proxy or a crash speaks, and not the
    /// endpoint. A JSON object is none, whatever it is called; an empty answer is one if it is called so.
    #[must_use]
    pub fn is_html(&self) -> bool {
        self.html
    }

    /// The error code, where the dialect [finds one](crate::Dialect::error_code): a text, or a number in digits.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.filter(|code| !code.is_empty())
    }

    /// The member at this path, which is written as in [`MemberPaths`](crate::MemberPaths); `None` if it is not there, or
    /// the answer is neither a JSON object nor a form. Of a member that comes twice, and that the dialect does not read, the
    /// last one is seen.
    #[must_use]
    pub fn member(&self, path: &str) -> Option<&Value> {
        self.members?.member(&MemberPath::new(path))
    }
}

impl fmt::Debug for RefreshAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshAnswer").field("status", &self.status).field("html", &self.html).finish_non_exhaustive()
    }
}
