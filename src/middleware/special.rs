//! What is special about a middleware: everything beyond a bearer header and the default judgement.

use std::sync::Arc;

use crate::cookies::Cookies;
use crate::middleware::judge::Judge;
use crate::policy::placement::Placement;

/// What is special about a middleware. Most have none of it, and their requests pay one look for finding that out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Special {
    pub(crate) placement: Placement,
    pub(crate) judge: Judge,
    pub(crate) cookies: Option<Arc<Cookies>>,
    /// It is inside a client that was built for it, which shares its cookies.
    pub(crate) tied: bool,
}
