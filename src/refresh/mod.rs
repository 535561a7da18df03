//! What turns old tokens into new ones.

#[cfg(feature = "_endpoint")]
#[cfg_attr(
    not(all(feature = "refresh-grant", feature = "json-refresh", feature = "cookie-refresh")),
    allow(dead_code, reason = "each refresher uses its own part")
)]
mod answer;
#[cfg(feature = "_endpoint")]
#[cfg_attr(
    not(all(feature = "refresh-grant", feature = "json-refresh", feature = "cookie-refresh")),
    allow(dead_code, reason = "each refresher uses its own part")
)]
mod client;
pub(crate) mod contract;
#[cfg(feature = "cookie-refresh")]
mod cookie_refresh;
#[cfg(feature = "_endpoint")]
mod dialect;
#[cfg(feature = "_endpoint")]
mod endpoint;
pub(crate) mod error;
#[cfg(feature = "_endpoint")]
mod failure;
mod func;
pub(crate) mod info;
#[cfg(feature = "_endpoint")]
#[cfg(test)]
mod issuers;
#[cfg(feature = "json-refresh")]
mod json_refresh;
#[cfg(any(feature = "json-refresh", feature = "cookie-refresh"))]
#[cfg_attr(not(feature = "json-refresh"), allow(dead_code, reason = "each refresher uses its own part"))]
mod json_request;
#[cfg(feature = "_endpoint")]
mod member_paths;
#[cfg(feature = "_endpoint")]
mod refresh_answer;
#[cfg(feature = "refresh-grant")]
mod refresh_grant;
#[cfg(feature = "_endpoint")]
mod retry_after;
#[cfg(feature = "refresh-grant")]
mod revocation;
mod setup;
#[cfg(feature = "_endpoint")]
#[cfg_attr(
    not(all(feature = "refresh-grant", feature = "json-refresh", feature = "cookie-refresh")),
    allow(dead_code, reason = "each refresher uses its own part")
)]
mod wire;

#[cfg(feature = "cookie-refresh")]
pub use cookie_refresh::CookieRefresh;
#[cfg(feature = "_endpoint")]
pub use dialect::Dialect;
#[cfg(feature = "json-refresh")]
pub use json_refresh::JsonRefresh;
#[cfg(feature = "_endpoint")]
pub use member_paths::MemberPaths;
#[cfg(feature = "_endpoint")]
pub use refresh_answer::RefreshAnswer;
#[cfg(feature = "refresh-grant")]
pub use refresh_grant::RefreshGrant;
pub use setup::SetupError;
