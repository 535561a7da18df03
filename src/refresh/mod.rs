//! What turns old tokens into new ones.

#[cfg(feature = "_endpoint")]
mod client;
pub(crate) mod contract;
#[cfg(feature = "_endpoint")]
mod endpoint;
pub(crate) mod error;
#[cfg(feature = "_endpoint")]
mod failure;
mod func;
#[cfg(feature = "refresh-grant")]
mod refresh_grant;
#[cfg(feature = "_endpoint")]
mod retry_after;
#[cfg(feature = "_endpoint")]
mod setup;
#[cfg(feature = "_endpoint")]
mod wire;

#[cfg(feature = "refresh-grant")]
pub use refresh_grant::RefreshGrant;
#[cfg(feature = "_endpoint")]
pub use setup::SetupError;
