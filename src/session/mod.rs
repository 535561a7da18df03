//! A session: one identity, its tokens, and the one flight that renews them.

mod admission;
mod bounds;
mod core;
mod credential;
mod engine;
mod events;
mod exchange;
mod guarded;
mod handle;
mod lending;
mod outbox;
mod reentrance;
mod registry;
mod sessions;
mod shared;
mod waiting;

pub(crate) use self::admission::Admission;
pub(crate) use self::bounds::Bounds;
pub(crate) use self::core::{Need, Registration, Rules};
pub(crate) use self::credential::Credential;
pub(crate) use self::engine::Engine;
pub use self::events::Events;
pub use self::handle::{LogoutReport, Session};
pub(crate) use self::registry::Registry;
pub use self::sessions::{AllEvents, Missed, Sessions};
pub(crate) use self::shared::{OnNeedsLogin, Shared};
pub(crate) use self::waiting::{Loan, lend};
