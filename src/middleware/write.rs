//! Writing what a request is to carry: tokens, where they can be seen, and what goes with cookies.

use http::header::AUTHORIZATION;
use reqwest::Request;

use crate::error::{AuthError, Kind};
use crate::event::Event;
use crate::middleware::auth_refresh::AuthRefresh;
use crate::platform::{Panicked, caught};
use crate::policy::placement::Place;
use crate::session::{Credential, Engine};

impl AuthRefresh {
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
        if self.placement.place().is_some() || self.cookies.is_some() {
            return self.write_otherwise(engine, request, credential);
        }
        if let Some(bearer) = &credential.bearer {
            let _vacant = request.headers_mut().insert(AUTHORIZATION, bearer.clone());
        }
        Ok(())
    }

    #[cold]
    fn write_otherwise(
        &self,
        engine: &Engine,
        request: &mut Request,
        credential: &Credential,
    ) -> Result<(), AuthError> {
        let placed = match self.placement.place() {
            None => {
                if let Some(bearer) = &credential.bearer {
                    let _vacant = request.headers_mut().insert(AUTHORIZATION, bearer.clone());
                }
                Ok(())
            }
            Some(Place::Header(name, prefix)) => {
                if let Some(value) = credential.behind(prefix) {
                    let _vacant = request.headers_mut().insert(name.clone(), value);
                }
                Ok(())
            }
            Some(Place::Function(place)) => caught(|| place(request, &credential.tokens)),
        };
        let written = placed.and_then(|()| self.write_csrf(request));
        written.map_err(|panicked| callback_failed(engine, panicked, "writing the tokens on a request"))
    }

    /// Reads the CSRF header anew and writes it, unless the request has one of its own.
    fn write_csrf(&self, request: &mut Request) -> Result<(), Panicked> {
        let Some(cookies) = &self.cookies else { return Ok(()) };
        if let Some((name, value)) = cookies.csrf(request.url())? {
            let _own = request.headers_mut().entry(name).or_insert(value);
        }
        Ok(())
    }
}

/// A function of the program panicked: that is told, and ends the one request that it was called for.
pub(crate) fn callback_failed(engine: &Engine, _panicked: Panicked, doing: &str) -> AuthError {
    engine.tell(Event::CallbackFailed);
    let what = format!("the program's own function for {doing} panicked");
    AuthError::new(Kind::Misconfigured, &engine.id, what)
}
