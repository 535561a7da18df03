//! The cookies of a session that lives in them.

mod csrf;
mod jar;
#[cfg(all(not(feature = "cookie-refresh"), not(target_arch = "wasm32")))]
#[path = "no_provider.rs"]
mod provider;
#[cfg(all(feature = "cookie-refresh", not(target_arch = "wasm32")))]
mod provider;
mod sent;
mod session_cookies;

pub use csrf::CookieView;
pub(crate) use jar::OURS;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use provider::provide;
pub(crate) use sent::Sent;
pub use session_cookies::Cookies;
