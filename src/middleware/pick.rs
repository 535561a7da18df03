//! Which requests are ours to sign.

use std::time::SystemTime;

use http::Extensions;
use http::header::{AUTHORIZATION, COOKIE};
use reqwest::Request;

use crate::error::{AuthError, Kind};
use crate::id::SessionId;
use crate::middleware::ambient;
use crate::middleware::auth_refresh::AuthRefresh;
use crate::middleware::options::RequestOptions;
use crate::middleware::serving::{Acting, Unserved};

/// Why a request is left alone that goes elsewhere.
pub(crate) const OTHER_ORIGIN: &str = "its origin is not one that tokens may be sent to";

/// What is done with a request.
pub(crate) enum Pick<'a> {
    /// It passes untouched, for this reason.
    Leave(&'static str),
    Sign {
        acting: Acting<'a>,
        now: SystemTime,
        /// It named its session, so it never goes out unsigned.
        named: bool,
        refresh_first: bool,
        /// Only if its tokens say that this is their place.
        if_named: bool,
    },
    Fail(AuthError),
}

impl AuthRefresh {
    pub(crate) fn pick(&self, request: &Request, extensions: &Extensions) -> Pick<'_> {
        let given = self.origins.allows(request.url());
        if !given && !self.named.as_ref().is_some_and(|named| named.within.allows(request.url())) {
            return Pick::Leave(OTHER_ORIGIN);
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
        let ambient;
        let named = match options.and_then(|options| options.session.as_ref()) {
            None => {
                ambient = ambient::session();
                ambient.as_ref()
            }
            named => named,
        };
        if let Some(what) = self.lacks_guard() {
            return refuse(named, what);
        }
        let now = self.whom.shared().time();
        match self.whom.acting(named, now) {
            Ok(acting) => Pick::Sign {
                acting,
                now,
                named: named.is_some(),
                refresh_first: options.is_some_and(|options| options.refresh_first),
                if_named: !given,
            },
            Err(Unserved::Foreign) => refuse(named, "the request names a session that this client does not serve"),
            Err(Unserved::Unnamed) => refuse(None, "the request names no session, and this client serves many"),
        }
    }
}

#[cold]
fn refuse<'a>(named: Option<&SessionId>, what: &'static str) -> Pick<'a> {
    let nobody = SessionId::default;
    Pick::Fail(AuthError::new(Kind::Misconfigured, &named.cloned().unwrap_or_else(nobody), what))
}
