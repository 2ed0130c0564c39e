//! How does a server end? In two steps: first nobody new comes in, while users who are there may finish;
//! then all that is left ends, and every peer is told.

use tokio_util::sync::CancellationToken;

/// Ends a server. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Stop {
    drain: CancellationToken,
    now: CancellationToken,
}

impl Stop {
    /// One that nobody has used yet.
    #[must_use]
    #[allow(clippy::new_without_default)] // a stop of nobody's is of no use
    pub fn new() -> Self {
        let now = CancellationToken::new();
        Self {
            drain: now.child_token(),
            now,
        }
    }

    /// Nobody new is taken from here on: ports are closed, logins and visitors refused. Users who are
    /// there go on, with the sessions of the clients that serve them, until the last has left. Datagrams have no
    /// such end: a udp proxy goes on until nobody has sent it any for 30 s, and users of sudp visitors are not
    /// waited for.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Ends what there is, whoever is there.
    pub fn now(&self) {
        self.now.cancel();
    }

    /// Completes after either.
    pub(crate) async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Completes after [`now`](Self::now).
    pub(crate) async fn stopping(&self) {
        self.now.cancelled().await;
    }
}
