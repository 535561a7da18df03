//! Looking at the front of a response's body, and leaving the body whole.

#[cfg(target_arch = "wasm32")]
mod browser;
#[cfg(not(target_arch = "wasm32"))]
mod native;

#[cfg(target_arch = "wasm32")]
pub(crate) use browser::peek;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::peek;
