//! The door: signs requests, and does nothing else.

mod ambient;
mod auth_refresh;
mod cookie_trip;
mod guard;
mod guarded;
mod judge;
mod keep;
mod marks;
mod named_origins;
mod options;
mod pick;
mod serving;
mod trip;
mod write;

pub use ambient::{acting_for, carry};
pub use auth_refresh::AuthRefresh;
pub use marks::{NotRetryable, Retried};
pub use options::RequestBuilderExt;
pub use serving::Serving;
