//! The door: signs requests, and does nothing else.

pub(crate) mod ambient;
mod keep;
mod marks;
mod options;
mod pick;
mod trip;

pub use ambient::{acting_for, carry};
pub use marks::{NotRetryable, Retried};
pub use options::RequestBuilderExt;
pub use trip::AuthRefresh;
