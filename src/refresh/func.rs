//! A closure as a refresher.

use std::future::Future;

use async_trait::async_trait;

use crate::platform::MaybeSend;
use crate::refresh::contract::{RefreshRequest, Refresher};
use crate::refresh::error::RefreshError;
use crate::tokens::Tokens;

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl<F, Fut> Refresher for F
where
    F: Fn(RefreshRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Tokens, RefreshError>> + MaybeSend,
{
    async fn refresh(&self, request: RefreshRequest) -> Result<Tokens, RefreshError> {
        self(request).await
    }
}
