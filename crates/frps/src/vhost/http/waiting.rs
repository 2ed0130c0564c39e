//! How long a user's connection may be without a request. One timer per connection looks now and
//! then; a request only writes down when it was over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// From the start of a connection until the head of its first request is in (frp
/// `server/service.go`: ReadHeaderTimeout).
const FIRST_HEAD: Duration = Duration::from_secs(60);

/// From an answer to the head of the next request. frp waits for ever; load balancers in front of
/// us keep their connections for a minute, and must be the ones who close them.
const NEXT_HEAD: Duration = Duration::from_secs(300);

/// See the module.
#[derive(Debug)]
pub(super) struct Waiting {
    start: Instant,
    /// Requests under way.
    busy: AtomicUsize,
    /// When the last of them was over, in milliseconds after `start`; 0: there was none.
    since: AtomicU64,
}

/// A request under way, until dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<Waiting>);

impl Waiting {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            busy: AtomicUsize::new(0),
            since: AtomicU64::new(0),
        })
    }

    /// When the first head must be in.
    pub(super) fn first_head(&self) -> Instant {
        self.start + FIRST_HEAD
    }

    /// A request has come.
    pub(super) fn interrupt(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Completes when the user has waited too long with its next request.
    pub(super) async fn too_long(&self) {
        loop {
            let now = Instant::now();
            let is_busy = self.busy.load(Ordering::Relaxed) > 0;
            let until = match self.since.load(Ordering::Relaxed) {
                _ if is_busy => now + NEXT_HEAD,
                0 => self.first_head(),
                since => self.start + Duration::from_millis(since) + NEXT_HEAD,
            };
            if until <= now {
                return;
            }
            sleep_until(until).await;
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let now = self.0.start.elapsed().as_millis() as u64;
        self.0.since.store(now.max(1), Ordering::Relaxed);
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use tokio::time::{advance, timeout};

    const BLINK: Duration = Duration::from_millis(1);

    async fn is_over(waiting: &Waiting) -> bool {
        timeout(BLINK, waiting.too_long()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_request_must_come_within_a_minute() {
        let waiting = Waiting::new();
        advance(FIRST_HEAD - 5 * BLINK).await;
        assert!(!is_over(&waiting).await);
        advance(5 * BLINK).await;
        assert!(is_over(&waiting).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_may_take_any_time_and_the_next_may_come_late() {
        let waiting = Waiting::new();
        let busy = waiting.interrupt();
        let other = waiting.interrupt();
        advance(100 * NEXT_HEAD).await;
        assert!(!is_over(&waiting).await);
        drop(other);
        advance(100 * NEXT_HEAD).await;
        assert!(!is_over(&waiting).await);
        drop(busy);
        advance(NEXT_HEAD - 5 * BLINK).await;
        assert!(!is_over(&waiting).await);
        advance(5 * BLINK).await;
        assert!(is_over(&waiting).await);
    }
}
