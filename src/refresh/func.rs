//! A closure as a refresher.

use std::future::Future;

use async_trait::async_trait;

use crate::platform::MaybeSend;
use crate::refresh::contract::{RefreshRequest, Refresher};
use crate::refresh::error::RefreshError;
use crate::tokens::Tokens;

/// A closure needs no name and no type of its own; what it captures is borrowed for each call, so clone what the future
/// is to own. Its [`info`](Refresher::info) is the default: a
/// person logs in first, and it names no endpoints and no registration. It revokes nothing.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl<F, Fut> Refresher for F
where
    F: Fn(RefreshRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Tokens, RefreshError>> + MaybeSend + 'static,
{
    async fn refresh(&self, request: RefreshRequest) -> Result<Tokens, RefreshError> {
        self(request).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::refresh::contract::{RefreshReason, Revocation};
    use crate::refresh::info::FirstLogin;

    #[tokio::test]
    async fn a_closure_is_a_refresher() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let refresher: Box<dyn Refresher> = Box::new(move |request: RefreshRequest| {
            let call = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                match request.refresh_token() {
                    Some(_) => {
                        Tokens::new(format!("{}-{call}", request.session().as_str())).map_err(RefreshError::unavailable)
                    }
                    None => Err(RefreshError::rejected("no_refresh_token")),
                }
            }
        });
        let ask = |tokens| RefreshRequest::new("alice".into(), tokens, RefreshReason::Due, Duration::from_secs(1));
        let old = Arc::new(Tokens::unseen().with_refresh_token("rt"));

        assert_eq!(refresher.refresh(ask(Some(old))).await.unwrap().texts()[0], Some("alice-0"));
        assert_eq!(refresher.refresh(ask(None)).await.unwrap_err().code(), Some("no_refresh_token"));
        assert_eq!(calls.load(Ordering::SeqCst), 2);
        assert_eq!((refresher.info().first_login(), refresher.info().endpoints().len()), (FirstLogin::Interactive, 0));
        assert_eq!(refresher.revoke(ask(None)).await.unwrap(), Revocation::NotConfigured);
    }
}
