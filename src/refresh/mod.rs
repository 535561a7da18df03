//! What turns old tokens into new ones.

#[cfg(feature = "refresh-grant")]
mod client;
pub(crate) mod contract;
#[cfg(feature = "refresh-grant")]
mod endpoint;
pub(crate) mod error;
#[cfg(feature = "refresh-grant")]
mod failure;
mod func;
#[cfg(feature = "refresh-grant")]
mod refresh_grant;
#[cfg(feature = "refresh-grant")]
mod retry_after;
#[cfg(feature = "refresh-grant")]
mod setup;
#[cfg(feature = "refresh-grant")]
mod wire;

#[cfg(feature = "refresh-grant")]
pub use refresh_grant::RefreshGrant;
#[cfg(feature = "refresh-grant")]
pub use setup::SetupError;
