//! An arm of `select!` that may have nothing to wait for.

use std::future::Future;

/// What the future comes to; without one, waits for ever.
pub async fn or_never<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
