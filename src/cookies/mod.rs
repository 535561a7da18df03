//! The cookies of a session that lives in them.

mod closing;
mod csrf;
mod jar;
mod session_cookies;

pub use csrf::CookieView;
pub(crate) use jar::OURS;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use jar::{CookiePlace, provide};
pub use session_cookies::Cookies;
