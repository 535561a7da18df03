//! How a law is held against a subject, here and in a browser.

use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use crate::platform;
use crate::store::conformance::subject::Subject;
use crate::store::contract::TokenStore;
use crate::store::error::StoreError;

/// What a law comes to: a broken one panics, and the store's own error ends it.
pub type Outcome = Result<(), StoreError>;

/// A law over the subject of its test, by name.
pub type Law = (&'static str, fn() -> Result<(), Box<dyn Error>>);

/// A law waits for several things at most, each with the subject's patience.
const WAITS: u32 = 4;

/// Polls this often and gives up; what came of it, if it was done by then.
pub(crate) async fn polled<T>(times: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _poll in 0..times {
        let poll = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if let Poll::Ready(value) = poll {
            return Some(value);
        }
        tokio::task::yield_now().await;
    }
    None
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use tokio::runtime::{Builder, Handle};
    use tokio::sync::mpsc::unbounded_channel;

    use super::{Arc, Error, Future, Outcome, Subject, TokenStore, WAITS};
    use crate::platform::Elapsed;

    /// Holds one law against a subject, on a runtime of its own.
    ///
    /// # Errors
    ///
    /// The store's own error, or that the law has waited in vain.
    pub fn hold<L>(subject: impl Future<Output = Subject>, law: L) -> Result<(), Box<dyn Error>>
    where
        L: AsyncFnOnce(&Subject) -> Outcome,
    {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let kept = runtime.block_on(async {
            let subject = subject.await;
            tokio::time::timeout(subject.bound() * WAITS, law(&subject)).await.map_err(|_elapsed| Elapsed)
        });
        // Not with what a wrong store waits for.
        runtime.shutdown_background();
        Ok(kept.map_err(|Elapsed| "the law waits for something that does not happen")??)
    }

    /// Does this with each handle at the same time, each on a thread of its own and all on the law's runtime.
    pub(crate) async fn side_by_side<F>(
        handles: Vec<Arc<dyn TokenStore>>,
        each: impl Fn(usize, Arc<dyn TokenStore>) -> F,
    ) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let (sender, mut all) = unbounded_channel();
        for (nth, store) in handles.into_iter().enumerate() {
            let (future, sender, runtime) = (each(nth, store), sender.clone(), Handle::current());
            let _ends_with_the_future = std::thread::spawn(move || {
                let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(future)));
                // Nobody hears it when another one has failed.
                let _heard = sender.send(ended);
            });
        }
        drop(sender);
        while let Some(ended) = all.recv().await {
            ended.unwrap_or_else(|panic| resume_unwind(panic))?;
        }
        Ok(())
    }
}

#[cfg(target_arch = "wasm32")]
mod browser {
    use super::{Arc, Future, Outcome, Subject, TokenStore, WAITS, platform};

    /// Holds one law against a subject; panics when it is not kept.
    pub async fn hold<L>(subject: impl Future<Output = Subject>, law: L)
    where
        L: AsyncFnOnce(&Subject) -> Outcome,
    {
        let subject = subject.await;
        let kept = platform::within(subject.bound() * WAITS, law(&subject)).await;
        assert!(matches!(kept, Ok(Ok(()))), "{kept:?}");
    }

    /// Does this with each handle at the same time.
    pub(crate) async fn side_by_side<F>(
        handles: Vec<Arc<dyn TokenStore>>,
        each: impl Fn(usize, Arc<dyn TokenStore>) -> F,
    ) -> Outcome
    where
        F: Future<Output = Outcome> + 'static,
    {
        let all = handles.into_iter().enumerate().map(|(nth, store)| each(nth, store));
        futures_util::future::try_join_all(all).await.map(drop)
    }
}

#[cfg(target_arch = "wasm32")]
pub use browser::hold;
#[cfg(target_arch = "wasm32")]
pub(crate) use browser::side_by_side;
#[cfg(not(target_arch = "wasm32"))]
pub use native::hold;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::side_by_side;

/// Waits for what must happen within the subject's patience.
pub(crate) async fn soon<T>(
    subject: &Subject,
    what: &str,
    future: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let mut late = pin!(platform::sleep(subject.bound()));
    let mut future = pin!(future);
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Pending => {
            let elapsed = late.as_mut().poll(context);
            elapsed
                .map(|()| Err(StoreError::unavailable(format!("{what} has not happened within {:?}", subject.bound()))))
        }
        Poll::Ready(value) => Poll::Ready(value),
    })
    .await
}
