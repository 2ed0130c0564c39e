//! The tasks of a client: what counts them and what ends them.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of a client, which may outlive the session that they began in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    pub(crate) tracker: TaskTracker,
    /// Ends them all.
    pub(crate) stop: CancellationToken,
}
