//! How fast a connection sends: Cubic (RFC 9438), never slower than the peers it replaces, and no more than
//! what goes through the path without waiting there.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quinn::congestion::{
    Controller, ControllerFactory, ControllerMetrics, Cubic, CubicConfig, NewReno, NewRenoConfig,
};
use quinn_proto::RttEstimator;

use crate::queue_limit::QueueLimit;

/// Bytes that may be sent before the first acknowledgement, as quic-go: 32 packets.
const INITIAL_WINDOW: u64 = 32 * 1200;

/// What is left of Reno's window after a loss. quic-go keeps 0.7 as one connection; this one carries
/// those of many users and counts as two, as Chromium's QUIC does: (1 + 0.7) / 2.
const AFTER_LOSS: f32 = 0.85;

/// Where losses are many and the window is small, Cubic alone grows by half a packet per round trip,
/// and quic-go's Reno, which grows by one, is faster; where the window is large, Reno alone takes
/// minutes to grow back. So both count, and the larger window is in force.
#[derive(Debug, Clone)]
struct CubicOrReno {
    cubic: Cubic,
    reno: NewReno,
    queue: QueueLimit,
    start: Instant,
    mtu: u16,
}

/// Makes the controllers of connections.
#[derive(Debug)]
pub(super) struct Factory {
    cubic: Arc<CubicConfig>,
    reno: Arc<NewRenoConfig>,
}

impl Factory {
    pub(super) fn new() -> Self {
        let (mut cubic, mut reno) = (CubicConfig::default(), NewRenoConfig::default());
        cubic.initial_window(INITIAL_WINDOW);
        reno.initial_window(INITIAL_WINDOW)
            .loss_reduction_factor(AFTER_LOSS);
        Self {
            cubic: Arc::new(cubic),
            reno: Arc::new(reno),
        }
    }
}

impl ControllerFactory for Factory {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(CubicOrReno {
            cubic: Cubic::new(Arc::clone(&self.cubic), now, mtu),
            reno: NewReno::new(Arc::clone(&self.reno), now, mtu),
            queue: QueueLimit::none(),
            start: now,
            mtu,
        })
    }
}

impl CubicOrReno {
    /// By losses alone.
    fn by_losses(&self) -> u64 {
        self.cubic.window().max(self.reno.window())
    }
}

impl Controller for CubicOrReno {
    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        let window = self.by_losses();
        let [now_at, sent_at] = [now, sent].map(|time| time.duration_since(self.start));
        let sizes = (window, u64::from(self.mtu));
        self.queue
            .acknowledged(now_at, sent_at, bytes, sizes, !app_limited);
        // What is not used tells nothing of losses.
        if self.queue.of(window) == window {
            self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
            self.reno.on_ack(now, sent, bytes, app_limited, rtt);
        }
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, lost: u64) {
        self.cubic.on_congestion_event(now, sent, persistent, lost);
        self.reno.on_congestion_event(now, sent, persistent, lost);
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.mtu = mtu;
        self.cubic.on_mtu_update(mtu);
        self.reno.on_mtu_update(mtu);
    }

    fn window(&self) -> u64 {
        self.queue.of(self.by_losses())
    }

    fn metrics(&self) -> ControllerMetrics {
        match self.cubic.window() > self.reno.window() {
            true => self.cubic.metrics(),
            false => self.reno.metrics(),
        }
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        INITIAL_WINDOW
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
