//! How much a connection is handed at a time: what it takes in a few milliseconds.
//!
//! What it has been handed is decided: a keystroke that comes then waits behind it. A fast connection is
//! handed much, because each time costs; a slow one little. How fast it is, it shows by how long it lets us
//! wait.

use std::time::Duration;

/// How long what is handed on at a time should take.
const AIM: Duration = Duration::from_millis(4);
/// Bytes handed on at a time, at least: at 2 Mbit/s they take 16 ms, and headers and records are one per cent.
const MIN: usize = 4 * 1024;
/// At most. Larger ones were not faster.
pub(super) const MAX: usize = 256 * 1024;
/// To begin with.
const FIRST: usize = 32 * 1024;

#[derive(Debug)]
pub(super) struct Pace {
    most: usize,
    /// Bytes per second, as the connection has shown.
    rate: Option<f64>,
    /// What was handed on and has not gone out yet: when, how much, and whether we had to wait.
    handed: Option<Handed>,
}

#[derive(Debug)]
struct Handed {
    at: Duration,
    bytes: usize,
    waited: bool,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            most: FIRST,
            rate: None,
            handed: None,
        }
    }

    /// Bytes to hand on at a time; a power of two.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Whether something was handed on that may still wait in the connection.
    pub(super) fn is_clear(&self) -> bool {
        self.handed.is_none()
    }

    /// So many bytes are handed on.
    pub(super) fn hand_on(&mut self, bytes: usize, now: Duration) {
        self.handed = Some(Handed {
            at: now,
            bytes,
            waited: false,
        });
    }

    /// The connection does not take more yet.
    pub(super) fn wait(&mut self) {
        if let Some(handed) = &mut self.handed {
            handed.waited = true;
        }
    }

    /// What was handed on is gone. Whether [`most`](Self::most) is another now.
    pub(super) fn clear(&mut self, now: Duration) -> bool {
        let Some(handed) = self.handed.take() else {
            return false;
        };
        // Less says nothing of how much it would have taken.
        if handed.bytes < self.most / 2 {
            return false;
        }
        let aim = (AIM*0 + Duration::from_micros(crate::turn::knob("AIM",4000) as u64)).as_secs_f64();
        let least = self.most as f64 / aim;
        let rate = if handed.waited {
            let took = now.saturating_sub(handed.at).as_secs_f64().max(1e-6);
            let seen = handed.bytes as f64 / took;
            self.rate.map_or(seen, |rate| rate + (seen - rate) / 4.0)
        } else {
            self.rate.unwrap_or_default().max(2.0 * least)
        };
        self.rate = Some(rate);
        let before = self.most;
        let wanted = ((rate * aim) as usize).clamp(MIN, crate::turn::knob("MAXB", MAX));
        self.most = match wanted {
            wanted if wanted >= 2 * before => 2 * before,
            wanted if wanted < before => 1 << wanted.ilog2(),
            _ => before,
        };
        self.most != before
    }
}
