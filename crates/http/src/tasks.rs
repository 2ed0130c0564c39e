//! Tasks that hyper starts.

use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Has them be tasks of `tracker`, which end with `stop`.
#[derive(Debug, Clone)]
pub struct Tracked {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tracked {
    /// See above.
    pub fn new(tracker: &TaskTracker, stop: &CancellationToken) -> Self {
        Self {
            tracker: tracker.clone(),
            stop: stop.clone(),
        }
    }
}

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                _ = future => {}
                () = stop.cancelled() => {}
            }
        });
    }
}
