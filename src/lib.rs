//! Keeps a `reqwest` client logged in.

mod clock;
mod error;
mod event;
mod id;
mod platform;
mod policy;
mod refresh;
mod session;
mod store;
mod tokens;

pub use async_trait::async_trait;
pub use clock::*;
pub use error::AuthError;
pub use event::*;
pub use id::*;
pub use refresh::{contract::*, error::*};
pub use store::{contract::*, error::*, record::*};
pub use tokens::*;
/// x
#[derive(Debug)]
pub struct Session;
impl Session {
    /// x
    pub fn new(_r: impl Sized) -> Self {
        Self
    }
}
