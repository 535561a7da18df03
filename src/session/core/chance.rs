//! What the core may not draw by itself.

use crate::id::LoginId;

/// Chance, drawn by the engine for each report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chance {
    /// Spreads pauses and early refreshes.
    pub(crate) jitter: u32,
    /// The id of a login, should this step begin one.
    pub(crate) login: LoginId,
}
