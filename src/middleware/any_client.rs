//! Into which clients a middleware may be put.

/// Into any client: the tokens stand in `Authorization`, which `reqwest` takes off a request that a redirect leads to another
/// origin.
///
/// The default of [`AuthRefresh`](crate::AuthRefresh), and the only form of it that is a
/// [`Middleware`](reqwest_middleware::Middleware).
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum AnyClient {}

/// Only into a client that the [`AuthRefresh`](crate::AuthRefresh) builds itself: the tokens stand where no redirect takes
/// them off, so the client must not follow one away from the origins.
///
/// This form is no [`Middleware`](reqwest_middleware::Middleware). See
/// [`AuthRefresh::placement`](crate::AuthRefresh::placement).
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum OwnClient {}
