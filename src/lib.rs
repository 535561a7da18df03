//! Keeps a [`reqwest`] client logged in, so that a program that talks to an API with expiring tokens never notices that they
//! expire.
//!
//! [`AuthRefresh`] is a middleware for [`reqwest_middleware`]. It attaches the access token of a [`Session`]; when that has
//! expired, or a response says that it is no longer good, the session gets new tokens, once for everybody who needs them, saves
//! them, and the request is sent again.
//!
//! ```
//! use reqwest_auth_refresh::{AuthRefresh, Origins, RefreshError, RefreshRequest, Session, Tokens};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use wiremock::{Mock, MockServer, ResponseTemplate, matchers::header};
//! # let api = MockServer::start().await;
//! # let answer = |token: &str, status| {
//! #     Mock::given(header("authorization", format!("Bearer {token}"))).respond_with(ResponseTemplate::new(status)).expect(1)
//! # };
//! # answer("old", 401).mount(&api).await;
//! # answer("new", 200).mount(&api).await;
//! # let api = api.uri();
//! // Where new tokens come from: a closure, the OAuth refresh grant, or anything that implements `Refresher`.
//! let session = Session::new(|_request: RefreshRequest| async {
//!     Tokens::new("new").map_err(RefreshError::unavailable)
//! });
//! // Where they may be sent.
//! let origins = Origins::new(&api)?;
//! let client = AuthRefresh::new(&session, origins).client(reqwest::Client::builder())?;
//!
//! session.login(Tokens::new("old")?).await?;
//!
//! // The API no longer takes "old". Nobody notices.
//! assert_eq!(client.get(&api).send().await?.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | logging in and out, watching, tokens outside HTTP | [`Session`], [`SessionBuilder`], [`Event`] |
//! | which requests are signed, where the token is written, and what is done with them | [`AuthRefresh`], [`Origins`], [`Placement`], [`RequestBuilderExt`] |
//! | acting for many users | [`Sessions`], and the guide "One process, many users" ([`guide::many_users`]) |
//! | what went wrong | [`AuthError`], and the marks [`Retried`] and [`NotRetryable`] |
//! | what an API asks for that a refresh cannot give | [`Demand`] |
//! | where new tokens come from | [`Refresher`]; ready-made: `RefreshGrant`, `JsonRefresh`, `CookieRefresh` with its [`Cookies`] |
//! | where tokens are kept | [`TokenStore`], [`MemoryStore`], and for stores that last the features `file-store`, `keyring` and `sealed` |
//!
//! The README says what is promised, which test holds each promise, and what a caller gets in each case.
//!
//! # Features
//!
//! - `refresh-grant`, on by default: the refresh token grant of OAuth 2.0 (RFC 6749 section 6).
//! - `json-refresh`: home-grown endpoints that take and give tokens as JSON.
//! - `cookie-refresh`: sessions that live in cookies.
//! - `retry`: a strategy for `reqwest-retry`.
//! - `file-store`, `sealed`, `keyring`: stores that last.
//! - `conformance`: the laws that every store must keep, for the tests of your own.
//!
//! TLS is chosen by the features of `reqwest`.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer_shape;
mod answer_time;
mod builder;
mod clock;
#[cfg_attr(not(feature = "cookie-refresh"), allow(dead_code, reason = "no refresher that comes with it has cookies"))]
mod cookies;
mod error;
mod event;
mod flight;
#[cfg(any(doc, doctest))]
pub mod guide;
mod id;
mod member_path;
mod members;
mod middleware;
#[cfg(doctest)]
mod must_not_compile;
mod peek;
mod platform;
mod policy;
mod refresh;
#[cfg(feature = "retry")]
mod retry_strategy;
mod session;
mod store;
mod token_answer;
mod tokens;

pub use async_trait::async_trait;
pub use builder::SessionBuilder;
pub use clock::{Clock, SystemClock};
pub use cookies::{CookieView, Cookies};
pub use error::AuthError;
pub use event::{Ending, Event, NeedsLogin, State};
pub use id::{LoginId, SessionId, Version};
#[cfg(all(feature = "keyring", not(target_arch = "wasm32")))]
pub use keyring_core;
#[cfg(not(target_arch = "wasm32"))]
pub use middleware::AuthClientBuilder;
pub use middleware::{
    AnyClient, AuthRefresh, NotRetryable, OwnClient, RequestBuilderExt, Retried, Serving, acting_for, carry,
};
pub use policy::demand::Demand;
pub use policy::origins::{InvalidOrigin, Origins};
pub use policy::placement::{InvalidPlacement, Placement};
pub use policy::response_head::ResponseHead;
#[cfg(feature = "cookie-refresh")]
pub use refresh::CookieRefresh;
#[cfg(feature = "json-refresh")]
pub use refresh::JsonRefresh;
#[cfg(feature = "refresh-grant")]
pub use refresh::RefreshGrant;
pub use refresh::SetupError;
pub use refresh::contract::{RefreshReason, RefreshRequest, Refresher, Revocation};
pub use refresh::error::RefreshError;
pub use refresh::info::{FirstLogin, RefresherInfo};
#[cfg(feature = "_endpoint")]
pub use refresh::{Dialect, MemberPaths, RefreshAnswer};
#[cfg(feature = "retry")]
pub use retry_strategy::AuthRetryStrategy;
pub use secrecy::{ExposeSecret, SecretString};
pub use session::{AllEvents, Events, LogoutReport, Missed, Session, Sessions};
#[cfg(feature = "conformance")]
pub use store::conformance;
#[cfg(all(feature = "file-store", not(target_arch = "wasm32")))]
pub use store::{FileStore, NoAppFolder};
#[cfg(feature = "sealed")]
pub use store::{InvalidKey, Sealed, SealingKey, SealingKeys};
#[cfg(all(feature = "keyring", not(target_arch = "wasm32")))]
pub use store::{KeyringOrFile, KeyringStore};
pub use store::{Lock, LockGuard, LockReach, LockRequest, MemoryStore, Record, StoreError, Swap, TokenStore};
pub use tokens::{InvalidToken, Tokens};

/// The README's examples, compiled.
#[cfg(all(
    doctest,
    feature = "refresh-grant",
    feature = "json-refresh",
    feature = "cookie-refresh",
    feature = "retry"
))]
#[doc = include_str!("../README.md")]
struct Readme;

// A session is kept by programs of every kind, in a browser too.
const _: () = {
    const fn anywhere<T: Send + Sync + 'static>() {}
    anywhere::<Session>();
    anywhere::<Sessions>();
    anywhere::<AuthRefresh>();
    anywhere::<AuthRefresh<OwnClient>>();
};
