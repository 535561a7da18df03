//! The ambient session: for code that cannot reach its requests, such as a generated client.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use task_local_extensions::{Extensions, get_local_item, with_extensions};

use crate::id::SessionId;

/// The session that requests act for unless they name one themselves.
#[derive(Clone)]
struct Ambient(SessionId);

/// Whether this program has ever had one. It costs a third of all that a request pays to look where there never is any.
static EVER: AtomicBool = AtomicBool::new(false);

/// Runs `future` with this session for every request in it that names none itself.
///
/// The way for code that hides its requests. Where they can be reached, name the session
/// [on the request](crate::RequestBuilderExt::acting_for); where a client can be had for each session, make one, over one
/// shared `reqwest::Client`.
///
/// The name goes with the future, over every `.await`, and not into tasks that it spawns: wrap those in [`carry`]. (Only a
/// `LocalSet` that is run within runs its tasks within.) Items that
/// other crates keep in `task-local-extensions` cannot be seen inside.
///
/// ```
/// use reqwest_auth_refresh::{acting_for, carry};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # async fn list_orders() -> usize { 3 }
/// let orders = acting_for("alice", async {
///     let beside = tokio::spawn(carry(list_orders()));
///     list_orders().await + beside.await.unwrap_or_default()
/// });
/// assert_eq!(orders.await, 6);
/// # }
/// ```
///
/// # Panics
///
/// When `future` does; the session outside is then the one it was.
pub fn acting_for<F: Future>(session: impl Into<SessionId>, future: F) -> impl Future<Output = F::Output> {
    within(Some(session.into()), future)
}

/// The same future with the ambient session of where this is called, or with none if there is none, for handing it to `tokio::spawn`.
pub fn carry<F: Future>(future: F) -> impl Future<Output = F::Output> {
    within(session(), future)
}

/// The future with this ambient session, or with none, whatever there is where it is awaited.
async fn within<F: Future>(session: Option<SessionId>, future: F) -> F::Output {
    let mut extensions = Extensions::new();
    if let Some(session) = session {
        // Whoever runs within has this done before, in the same task.
        EVER.store(true, Ordering::Relaxed);
        extensions.insert(Ambient(session));
    }
    // The crate swaps its map in and out, and a panic that passed through it would leave the wrong one in.
    let (_left, output) = with_extensions(extensions, AssertUnwindSafe(future).catch_unwind()).await;
    output.unwrap_or_else(|panic| resume_unwind(panic))
}

/// The ambient session, if there is one.
#[inline]
pub(crate) fn session() -> Option<SessionId> {
    if EVER.load(Ordering::Relaxed) { look() } else { None }
}

fn look() -> Option<SessionId> {
    get_local_item::<Ambient>().now_or_never().flatten().map(|Ambient(session)| session)
}
