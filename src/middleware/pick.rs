//! Which requests are ours to sign.

use std::time::SystemTime;

use http::Extensions;
use http::header::{AUTHORIZATION, COOKIE};
use reqwest::Request;

use crate::cookies::OURS;
use crate::error::{AuthError, Kind};
use crate::id::SessionId;
use crate::middleware::ambient;
use crate::middleware::options::RequestOptions;
use crate::middleware::serving::{Acting, Unserved};
use crate::middleware::signer::Signer;
use crate::middleware::special::Special;

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
    },
    Fail(AuthError),
}

impl Signer {
    #[inline]
    pub(crate) fn pick(&self, request: &Request, extensions: &Extensions) -> Pick<'_> {
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
        if let Some(pick) = self.special.as_ref().and_then(|special| pick_specially(special, request, options)) {
            return pick;
        }
        let ambient;
        let named = match options.and_then(|options| options.session.as_ref()) {
            None => {
                ambient = ambient::session();
                ambient.as_ref()
            }
            named => named,
        };
        let now = self.whom.shared().time();
        match self.whom.acting(named, now) {
            Ok(acting) => Pick::Sign {
                acting,
                now,
                named: named.is_some(),
                refresh_first: options.is_some_and(|options| options.refresh_first),
            },
            Err(Unserved::Foreign) => refuse(named, "the request names a session that this client does not serve"),
            Err(Unserved::Unnamed) => refuse(None, "the request names no session, and this client serves many"),
        }
    }
}

/// What is done with a request by a middleware that has something special about it, if that is not to sign it.
#[cold]
fn pick_specially<'a>(special: &Special, request: &Request, options: Option<&RequestOptions>) -> Option<Pick<'a>> {
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
    let lacks_cookies = special.cookies.is_some() && OURS && !special.tied;
    lacks_cookies.then(|| {
        let named = options.and_then(|options| options.session.clone()).or_else(ambient::session);
        refuse(
            named.as_ref(),
            "this session lives in cookies, and the client does not share them: build the client by `auth.client(..)`",
        )
    })
}

#[cold]
fn refuse<'a>(named: Option<&SessionId>, what: &'static str) -> Pick<'a> {
    let nobody = SessionId::default;
    Pick::Fail(AuthError::new(Kind::Misconfigured, &named.cloned().unwrap_or_else(nobody), what))
}
