//! The middleware: signs requests, and does nothing else.

mod ambient;
mod any_client;
mod auth_refresh;
#[cfg(not(target_arch = "wasm32"))]
mod client;
mod cookie_trip;
mod judge;
mod keep;
mod marks;
mod options;
mod pick;
mod serving;
mod signer;
mod special;
mod trip;
mod write;

pub use ambient::{acting_for, carry};
pub use any_client::{AnyClient, OwnClient};
pub use auth_refresh::AuthRefresh;
#[cfg(not(target_arch = "wasm32"))]
pub use client::AuthClientBuilder;
pub use marks::{NotRetryable, Retried};
pub use options::RequestBuilderExt;
pub use serving::Serving;
