//! Tasks that hyper starts.

use std::future::Future;

use crate::service::Tasks;

/// Starts tasks that end with the client.
#[derive(Debug, Clone)]
pub(super) struct Tracked(pub(super) Tasks);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        let stop = self.0.stop.clone();
        self.0.tracker.spawn(async move {
            tokio::select! {
                _ = future => {}
                () = stop.cancelled() => {}
            }
        });
    }
}
