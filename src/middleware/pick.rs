//! Which requests are ours to sign.

use http::Extensions;
use http::header::{AUTHORIZATION, COOKIE};
use reqwest::Request;

use crate::cookies::OURS;
use crate::error::{AuthError, Kind};
use crate::middleware::ambient;
use crate::middleware::auth_refresh::AuthRefresh;
use crate::middleware::options::RequestOptions;
use crate::middleware::special::Special;

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
    #[inline]
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
        if request.headers().contains_key(AUTHORIZATION) {
            return Pick::Leave("it has an Authorization header of its own");
        }
        if let Some(special) = &self.special
            && let Some(pick) = self.pick_specially(special, request)
        {
            return pick;
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

    #[cold]
    fn pick_specially(&self, special: &Special, request: &Request) -> Option<Pick> {
        if let Some(cookies) = &special.cookies {
            if cookies.is_login_path(request.url()) {
                return Some(Pick::Leave("it goes to where people log in"));
            }
            if request.headers().contains_key(COOKIE) {
                return Some(Pick::Leave("it has a Cookie header of its own"));
            }
        }
        if special.placement.own_header().is_some_and(|name| request.headers().contains_key(name)) {
            return Some(Pick::Leave("it has a header of its own where the token would be placed"));
        }
        let lacks = self.lacks_guard()?;
        Some(Pick::Fail(AuthError::new(Kind::Misconfigured, self.session.id(), lacks)))
    }

    /// Why requests of this door must not be signed: its client did not go through the guard, and has to.
    fn lacks_guard(&self) -> Option<&'static str> {
        let special = self.special.as_ref()?;
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
