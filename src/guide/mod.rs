//! Longer texts, each about one way to use this crate.

#[doc = include_str!("many_users.md")]
pub mod many_users {}
