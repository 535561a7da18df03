//! Which requests are ours to sign.

use std::time::SystemTime;

use http::Extensions;
use http::header::{AUTHORIZATION, COOKIE};
use reqwest::Request;

use crate::cookies::OURS;
use crate::error::{AuthError, Kind};
use crate::id::SessionId;
use crate::middleware::ambient;
use crate::middleware::auth_refresh::AuthRefresh;
use crate::middleware::options::RequestOptions;
use crate::middleware::serving::{Acting, Unserved};
use crate::middleware::special::Special;

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
    #[inline]
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
        if request.headers().contains_key(AUTHORIZATION) {
            return Pick::Leave("it has an Authorization header of its own");
        }
        if let Some(why) = self.special.as_ref().and_then(|special| leave_specially(special, request)) {
            return Pick::Leave(why);
        }
        let ambient;
        let named = match options.and_then(|options| options.session.as_ref()) {
            None => {
                ambient = ambient::session();
                ambient.as_ref()
            }
            named => named,
        };
        if let Some(what) = self.special.as_ref().and_then(|special| self.lacks_guard(special)) {
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

    /// Why requests of this door must not be signed: its client did not go through the guard, and has to.
    #[cold]
    fn lacks_guard(&self, special: &Special) -> Option<&'static str> {
        let needs_cookies = special.cookies.is_some() && OURS;
        if !(special.placement.survives_redirects() || needs_cookies) || self.guarded.is_set() {
            return None;
        }
        Some(if needs_cookies {
            "this session lives in cookies, and the client does not share them: build it from `auth.guard(..)`"
        } else {
            "a redirect would carry the token to another origin, in a header that reqwest leaves on: build the client from \
             `auth.guard(..)`, or accept that by `dangerous_unguarded`"
        })
    }
}

/// Why a request is left alone by a door that has something special about it.
#[cold]
fn leave_specially(special: &Special, request: &Request) -> Option<&'static str> {
    if let Some(cookies) = &special.cookies {
        if cookies.is_login_path(request.url()) {
            return Some("it goes to where people log in");
        }
        if request.headers().contains_key(COOKIE) {
            return Some("it has a Cookie header of its own");
        }
    }
    let own = special.placement.own_header().is_some_and(|name| request.headers().contains_key(name));
    own.then_some("it has a header of its own where the token would be placed")
}

#[cold]
fn refuse<'a>(named: Option<&SessionId>, what: &'static str) -> Pick<'a> {
    let nobody = SessionId::default;
    Pick::Fail(AuthError::new(Kind::Misconfigured, &named.cloned().unwrap_or_else(nobody), what))
}
