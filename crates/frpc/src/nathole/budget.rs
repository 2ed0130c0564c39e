//! How much may be sent to find peers, by all of the program together. A server and a peer say where to; so
//! it must be little, whatever they say and however often.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::limits::{
    ALL_HOLE_SOCKETS, HOLE_PACKETS_BURST, HOLE_PACKETS_PER_SECOND, MAX_HOLES, MAX_TUNNELS,
};

/// What there is left. One for the program.
#[derive(Debug)]
pub(crate) struct Budget {
    packets: Mutex<Packets>,
    sockets: Arc<Semaphore>,
    holes: Arc<Semaphore>,
    tunnels: Arc<Semaphore>,
}

/// Those that may go at once; it grows until it is full.
#[derive(Debug)]
struct Packets {
    /// Below zero: those who wait have taken what comes.
    left: f64,
    at: Instant,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            packets: Mutex::new(Packets {
                left: f64::from(HOLE_PACKETS_BURST),
                at: Instant::now(),
            }),
            sockets: Arc::new(Semaphore::new(ALL_HOLE_SOCKETS)),
            holes: Arc::new(Semaphore::new(MAX_HOLES)),
            tunnels: Arc::new(Semaphore::new(MAX_TUNNELS)),
        }
    }
}

impl Budget {
    /// A place among those who dig; `None` where there are too many.
    pub(crate) fn begin(&self) -> Option<OwnedSemaphorePermit> {
        self.holes.clone().try_acquire_owned().ok()
    }

    /// A place among the paths that stand.
    pub(crate) fn tunnel(&self) -> Option<OwnedSemaphorePermit> {
        self.tunnels.clone().try_acquire_owned().ok()
    }

    /// Places for at most `wanted` more sockets of one hole, and how many.
    pub(super) fn sockets(&self, wanted: usize) -> (usize, Option<OwnedSemaphorePermit>) {
        let mut wanted = wanted.min(self.sockets.available_permits());
        while wanted > 0 {
            let some = u32::try_from(wanted).unwrap_or(u32::MAX);
            if let Ok(places) = self.sockets.clone().try_acquire_many_owned(some) {
                return (wanted, Some(places));
            }
            // Somebody else was faster.
            wanted /= 2;
        }
        (0, None)
    }

    /// Completes when one more packet may be sent.
    pub(super) async fn packet(&self) {
        let wait = self.take(Instant::now());
        if let Some(until) = wait {
            sleep_until(until).await;
        }
    }

    /// Takes one; when it comes, where there is none.
    fn take(&self, now: Instant) -> Option<Instant> {
        let rate = f64::from(HOLE_PACKETS_PER_SECOND);
        let mut packets = self.packets.lock().unwrap_or_else(PoisonError::into_inner);
        let more = now.saturating_duration_since(packets.at).as_secs_f64() * rate;
        packets.left = (packets.left + more).min(f64::from(HOLE_PACKETS_BURST)) - 1.0;
        packets.at = now;
        let missing = -packets.left;
        (missing > 0.0).then(|| now + Duration::from_secs_f64(missing / rate))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn packets_come_as_one_burst_and_then_at_a_rate() {
        let budget = Budget::default();
        let start = Instant::now();
        for _ in 0..HOLE_PACKETS_BURST {
            budget.packet().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..10 * HOLE_PACKETS_PER_SECOND {
            budget.packet().await;
        }
        let took = start.elapsed().as_secs_f64();
        assert!((9.9..10.1).contains(&took), "{took}");
    }

    #[test]
    fn sockets_are_few_and_come_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            let budget = Budget::default();
            let (all, places) = budget.sockets(usize::MAX);
            assert_eq!(all, ALL_HOLE_SOCKETS);
            assert_eq!(budget.sockets(1).0, 0);
            drop(places);
            assert_eq!(budget.sockets(1).0, 1);
        });
    }
}
