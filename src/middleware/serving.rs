//! Whom a door serves, and for which session one request acts.

use std::ops::Deref;
use std::sync::Arc;
use std::time::SystemTime;

use crate::clock::Wall;
use crate::id::SessionId;
use crate::session::{Engine, Session, Sessions, Shared};

/// Whom an [`AuthRefresh`](crate::AuthRefresh) serves: one [`Session`], or of many [`Sessions`] the one that a request names.
///
/// Made from either, or from a reference to it.
#[derive(Debug, Clone)]
pub struct Serving(pub(crate) Whom);

#[derive(Debug, Clone)]
pub(crate) enum Whom {
    One(Session),
    Many(Sessions),
}

impl From<Session> for Serving {
    fn from(session: Session) -> Self {
        Self(Whom::One(session))
    }
}

impl From<&Session> for Serving {
    fn from(session: &Session) -> Self {
        session.clone().into()
    }
}

impl From<Sessions> for Serving {
    fn from(sessions: Sessions) -> Self {
        Self(Whom::Many(sessions))
    }
}

impl From<&Sessions> for Serving {
    fn from(sessions: &Sessions) -> Self {
        sessions.clone().into()
    }
}

/// Why a request has no session to act for.
pub(crate) enum Unserved {
    Unnamed,
    Foreign,
}

impl Whom {
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        match self {
            Self::One(session) => &session.engine().shared,
            Self::Many(sessions) => &sessions.registry().shared,
        }
    }

    /// The session of a request that names this one, or none. It never falls back to another one than the one that is named.
    #[inline]
    pub(crate) fn acting(&self, named: Option<&SessionId>, now: SystemTime) -> Result<Acting<'_>, Unserved> {
        match (self, named) {
            (Self::One(session), None) => Ok(Acting::Own(session.engine())),
            (Self::One(session), Some(named)) if named == session.id() => Ok(Acting::Own(session.engine())),
            (Self::One(_), Some(_)) => Err(Unserved::Foreign),
            (Self::Many(sessions), Some(named)) => Ok(Acting::Named(sessions.registry().engine(named, Wall::of(now)))),
            (Self::Many(_), None) => Err(Unserved::Unnamed),
        }
    }
}

/// The session that one request acts for. It is not forgotten during the request's trip.
pub(crate) enum Acting<'a> {
    Own(&'a Arc<Engine>),
    Named(Arc<Engine>),
}

impl Deref for Acting<'_> {
    type Target = Arc<Engine>;

    #[inline]
    fn deref(&self) -> &Arc<Engine> {
        match self {
            Self::Own(engine) => engine,
            Self::Named(engine) => engine,
        }
    }
}
