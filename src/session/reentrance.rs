//! The mark under which a flight runs: whoever asks for the same session's tokens under it would wait for itself.

use std::future::Future;
use std::sync::Arc;

use crate::error::{AuthError, Kind};
use crate::session::engine::Engine;

tokio::task_local! {
    // Not the task-local map that carries the ambient session: that one's swap would hide the mark.
    static FLYING: usize;
}

/// Runs `future` as part of a flight of this session.
pub(crate) async fn marked<T>(engine: &Arc<Engine>, future: impl Future<Output = T>) -> T {
    FLYING.scope(address(engine), future).await
}

/// Fails within a flight of that session.
pub(crate) fn check(engine: &Arc<Engine>) -> Result<(), AuthError> {
    if FLYING.try_with(|flying| *flying == address(engine)).unwrap_or(false) {
        let what = "a refresher asked for the tokens of the session that it was refreshing";
        return Err(AuthError::new(Kind::Reentrant, &engine.id, what));
    }
    Ok(())
}

fn address(engine: &Arc<Engine>) -> usize {
    Arc::as_ptr(engine) as usize
}
