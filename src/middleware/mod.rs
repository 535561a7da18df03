//! The door: signs requests, and does nothing else.

mod ambient;
mod auth_refresh;
mod cookie_trip;
#[cfg(not(target_arch = "wasm32"))]
mod guard;
#[cfg_attr(target_arch = "wasm32", allow(dead_code, reason = "a browser follows redirects in its own way"))]
mod guarded;
mod judge;
mod keep;
mod marks;
mod named_origins;
mod options;
mod pick;
mod serving;
mod special;
mod trip;
mod write;

pub use ambient::{acting_for, carry};
pub use auth_refresh::AuthRefresh;
pub use marks::{NotRetryable, Retried};
pub use options::RequestBuilderExt;
pub use serving::Serving;
