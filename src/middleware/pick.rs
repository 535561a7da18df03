//! Which requests are ours to sign.

use http::Extensions;
use http::header::{AUTHORIZATION, COOKIE};
use reqwest::Request;

use crate::error::{AuthError, Kind};
use crate::middleware::ambient;
use crate::middleware::auth_refresh::AuthRefresh;
use crate::middleware::options::RequestOptions;

/// What is done with a request.
pub(crate) enum Pick {
    /// It passes untouched, for this reason.
    Leave(&'static str),
    Sign {
        /// It named its session, so it never goes out unsigned.
        named: bool,
        refresh_first: bool,
    },
    Fail(AuthError),
}

impl AuthRefresh {
    pub(crate) fn pick(&self, request: &Request, extensions: &Extensions) -> Pick {
        if !self.origins.allows(request.url()) {
            return Pick::Leave("its origin is not one that tokens may be sent to");
        }
        let options = extensions.get::<RequestOptions>();
        if options.is_some_and(|options| options.unsigned) {
            return Pick::Leave("it asked to be sent unsigned");
        }
        if self.excluded.contains(request.url()) {
            return Pick::Leave("its path is excluded");
        }
        if self.cookies.as_ref().is_some_and(|cookies| cookies.is_login_path(request.url())) {
            return Pick::Leave("it goes to where people log in");
        }
        if request.headers().contains_key(AUTHORIZATION) {
            return Pick::Leave("it has an Authorization header of its own");
        }
        if self.placement.own_header().is_some_and(|name| request.headers().contains_key(name)) {
            return Pick::Leave("it has a header of its own where the token would be placed");
        }
        if self.cookies.is_some() && request.headers().contains_key(COOKIE) {
            return Pick::Leave("it has a Cookie header of its own");
        }
        if let Some(what) = self.lacks_guard() {
            return Pick::Fail(AuthError::new(Kind::Misconfigured, self.session.id(), what));
        }
        let ambient = ambient::session();
        let named = options.and_then(|options| options.session.as_ref()).or(ambient.as_ref());
        if let Some(named) = named
            && named != self.session.id()
        {
            let what = "the request names a session that this client does not serve";
            return Pick::Fail(AuthError::new(Kind::Misconfigured, named, what));
        }
        Pick::Sign { named: named.is_some(), refresh_first: options.is_some_and(|options| options.refresh_first) }
    }
}
