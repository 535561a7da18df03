//! The mark under which a flight runs: whoever asks for the same session's tokens under it would wait for itself.

use std::future::Future;
use std::sync::Arc;

use crate::session::engine::Engine;

tokio::task_local! {
    // Not the task-local map that carries the ambient session: that one's swap would hide the mark.
    static FLYING: usize;
}

/// Runs `future` as part of a flight of this session.
pub(crate) async fn marked<T>(engine: &Arc<Engine>, future: impl Future<Output = T>) -> T {
    FLYING.scope(address(engine), future).await
}

/// Whether this runs within a flight of that session.
pub(crate) fn is_marked(engine: &Arc<Engine>) -> bool {
    FLYING.try_with(|flying| *flying == address(engine)).unwrap_or(false)
}

fn address(engine: &Arc<Engine>) -> usize {
    Arc::as_ptr(engine) as usize
}
