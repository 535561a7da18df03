//! What differs between a native program and one in a browser: time, timers, tasks, chance. The only place for `cfg` of
//! that kind beside the two `async_trait` lines of each contract.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

use reqwest::{Request, Response};

/// A bound has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Elapsed;

/// There is no runtime to run a task on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRuntime;

/// 128 random bits; from the system, or where it has none to give, from the hasher's own seed.
pub(crate) fn random() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_ok() {
        return u128::from_le_bytes(bytes);
    }
    let word = || u128::from(RandomState::new().hash_one(0_u8));
    (word() << 64) | word()
}

/// 32 random bits, to spread what would happen at one moment.
pub(crate) fn jitter() -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "any 32 of the bits will do")]
    let jitter = (random() >> 64) as u32;
    jitter
}

/// Drops what a panic carried, which may panic in turn.
pub(crate) fn drop_quietly(panic: Box<dyn std::any::Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}

/// A function of the program panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panicked;

/// What a function of the program returns, or that it panicked.
pub(crate) fn caught<T>(ask: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(ask)).map_err(|panic| {
        drop_quietly(panic);
        Panicked
    })
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use super::{Duration, Elapsed, Future, NoRuntime, Request, Response, SystemTime};
    use futures_util::FutureExt;
    use std::sync::OnceLock;
    use std::time::Instant;
    use tokio::runtime::Handle;

    /// What a future that is handed to a task must be: `Send` here, anything in a browser.
    pub(crate) trait MaybeSend: Send {}
    impl<T: Send> MaybeSend for T {}

    pub(crate) type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

    pub(crate) fn wall() -> SystemTime {
        SystemTime::now()
    }

    pub(crate) fn monotonic() -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }

    #[cfg(any(feature = "refresh-grant", feature = "conformance"))]
    pub(crate) async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    pub(crate) async fn within<T>(bound: Duration, future: impl Future<Output = T> + MaybeSend) -> Result<T, Elapsed> {
        if Handle::try_current().is_err() {
            // Without a runtime there is no timer, and nobody would end the waiting: what is not there yet is too late.
            return future.now_or_never().ok_or(Elapsed);
        }
        tokio::time::timeout(bound, future).await.map_err(|_elapsed| Elapsed)
    }

    /// Runs `task` on the current runtime; if there is none, `task` is dropped.
    pub(crate) fn spawn(task: impl Future<Output = ()> + MaybeSend + 'static) -> Result<(), NoRuntime> {
        let runtime = Handle::try_current().map_err(|_none| NoRuntime)?;
        drop(runtime.spawn(task));
        Ok(())
    }

    /// Leaves a mark in the response's extensions.
    pub(crate) fn mark<T: Clone + Send + Sync + 'static>(response: &mut Response, mark: T) {
        let _before = response.extensions_mut().insert(mark);
    }

    /// Reads what is left of a body, up to `most` bytes and `bound`, so that its connection can be used again.
    pub(crate) async fn drain(mut response: Response, most: usize, bound: Duration) {
        let mut read = 0;
        let draining = async {
            while let Ok(Some(chunk)) = response.chunk().await {
                read += chunk.len();
                if read > most {
                    return;
                }
            }
        };
        let _drained = within(bound, draining).await;
    }

    /// The same request with no body.
    pub(crate) fn without_body(request: &Request) -> Request {
        let mut head = Request::new(request.method().clone(), request.url().clone());
        *head.headers_mut() = request.headers().clone();
        *head.timeout_mut() = request.timeout().copied();
        *head.version_mut() = request.version();
        head
    }
}

#[cfg(target_arch = "wasm32")]
mod browser {
    use super::{Duration, Elapsed, Future, NoRuntime, Request, Response, SystemTime};
    use futures_util::future::{Either, select};
    use std::pin::pin;

    pub(crate) trait MaybeSend {}
    impl<T> MaybeSend for T {}

    pub(crate) type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + 'a>>;

    pub(crate) fn wall() -> SystemTime {
        let since = web_time::SystemTime::now().duration_since(web_time::UNIX_EPOCH).unwrap_or_default();
        SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    pub(crate) fn monotonic() -> Duration {
        thread_local!(static START: web_time::Instant = web_time::Instant::now());
        START.with(web_time::Instant::elapsed)
    }

    pub(crate) async fn sleep(duration: Duration) {
        gloo_timers::future::sleep(duration).await;
    }

    pub(crate) async fn within<T>(bound: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
        match select(pin!(future), pin!(sleep(bound))).await {
            Either::Left((value, _)) => Ok(value),
            Either::Right(_) => Err(Elapsed),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "the native half can fail")]
    pub(crate) fn spawn(task: impl Future<Output = ()> + 'static) -> Result<(), NoRuntime> {
        wasm_bindgen_futures::spawn_local(task);
        Ok(())
    }

    /// A browser's response has no extensions.
    pub(crate) fn mark<T>(_response: &mut Response, _mark: T) {}

    /// A browser looks after its connections by itself.
    pub(crate) async fn drain(response: Response, _most: usize, _bound: Duration) {
        drop(response);
    }

    pub(crate) fn without_body(request: &Request) -> Request {
        let mut head = Request::new(request.method().clone(), request.url().clone());
        *head.headers_mut() = request.headers().clone();
        *head.timeout_mut() = request.timeout().copied();
        head
    }
}

#[cfg(target_arch = "wasm32")]
pub(crate) use browser::*;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::*;
