//! A session: one identity, its tokens, and the one flight that renews them.

mod bounds;
mod core;
mod credential;
mod engine;
mod events;
mod exchange;
mod handle;
mod outbox;
mod reentrance;
mod waiting;

pub(crate) use self::bounds::Bounds;
pub(crate) use self::core::{Need, Rules};
pub(crate) use self::credential::Credential;
pub(crate) use self::engine::Engine;
pub use self::events::Events;
pub use self::handle::{LogoutReport, Session};
pub(crate) use self::outbox::{OnNeedsLogin, Outbox};
pub(crate) use self::waiting::{Loan, lend};
