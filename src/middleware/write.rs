//! Writing what a request is to carry: tokens, where they can be seen, and what goes with cookies.

use http::header::AUTHORIZATION;
use reqwest::Request;

use crate::cookies::Cookies;
use crate::error::{AuthError, Kind};
use crate::event::Event;
use crate::middleware::signer::Signer;
use crate::middleware::special::Special;
use crate::platform::{Panicked, caught};
use crate::policy::placement::{Place, hide};
use crate::session::{Credential, Engine};

impl Signer {
    /// Signs a request that is about to be sent.
    ///
    /// # Errors
    ///
    /// When a function of the program panics.
    #[inline]
    pub(crate) fn write(
        &self,
        engine: &Engine,
        request: &mut Request,
        credential: &Credential,
    ) -> Result<(), AuthError> {
        if let Some(special) = &self.special {
            return write_specially(special, engine, request, credential);
        }
        write_bearer(request, credential);
        Ok(())
    }
}

#[cold]
fn write_specially(
    special: &Special,
    engine: &Engine,
    request: &mut Request,
    credential: &Credential,
) -> Result<(), AuthError> {
    let placed = match special.placement.place() {
        None => {
            write_bearer(request, credential);
            Ok(())
        }
        Some(Place::Header(name, prefix)) => {
            if let Some(value) = credential.behind(prefix) {
                let _placed = request.headers_mut().entry(name).or_insert(value);
            }
            Ok(())
        }
        Some(Place::Function(place)) => {
            let placed = caught(|| place(request, &credential.tokens));
            hide(&credential.tokens, request.headers_mut());
            placed
        }
    };
    placed.map_err(|panicked| callback_failed(engine, panicked, "writing the tokens on a request"))?;
    special.cookies.as_ref().map_or(Ok(()), |cookies| write_csrf(cookies, engine, request))
}

/// Writes the prepared header; tokens that cannot be seen need none.
#[inline]
fn write_bearer(request: &mut Request, credential: &Credential) {
    if let Some(bearer) = &credential.bearer {
        let _vacant = request.headers_mut().insert(AUTHORIZATION, bearer.clone());
    }
}

/// Reads the CSRF header anew and writes it, unless the request has one of its own.
pub(crate) fn write_csrf(cookies: &Cookies, engine: &Engine, request: &mut Request) -> Result<(), AuthError> {
    let csrf = cookies.csrf(request.url());
    let csrf =
        csrf.map_err(|panicked| callback_failed(engine, panicked, "reading the CSRF header from the cookies"))?;
    if let Some((name, value)) = csrf {
        let _own = request.headers_mut().entry(name).or_insert(value);
    }
    Ok(())
}

/// A function of the program panicked: that is told, and ends the one request that it was called for.
pub(crate) fn callback_failed(engine: &Engine, _panicked: Panicked, doing: &str) -> AuthError {
    engine.tell(Event::CallbackFailed);
    let what = format!("the program's own function for {doing} panicked");
    AuthError::new(Kind::Misconfigured, &engine.id, what)
}
