//! Keeps a `reqwest` client logged in.

mod builder;
mod clock;
mod error;
mod event;
mod flight;
mod id;
mod members;
mod middleware;
mod platform;
mod policy;
mod refresh;
mod session;
mod store;
mod token_answer;
mod tokens;

pub use async_trait::async_trait;
pub use builder::SessionBuilder;
pub use clock::{Clock, SystemClock};
pub use error::AuthError;
pub use event::{Ending, Event, NeedsLogin, State};
pub use id::{LoginId, SessionId, Version};
pub use middleware::{AuthRefresh, NotRetryable, RequestBuilderExt, Retried, acting_for, carry};
pub use policy::origins::{InvalidOrigin, Origins};
pub use refresh::contract::{RefreshReason, RefreshRequest, Refresher, Revocation, Start};
pub use refresh::error::RefreshError;
#[cfg(feature = "refresh-grant")]
pub use refresh::{RefreshGrant, SetupError};
pub use secrecy::{ExposeSecret, SecretString};
pub use session::{Events, LogoutReport, Session};
pub use store::{Lock, LockGuard, MemoryStore, Record, StoreError, Swap, TokenStore};
pub use tokens::{InvalidToken, Tokens};
