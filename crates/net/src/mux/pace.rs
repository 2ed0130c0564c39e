//! How much a connection is handed at a time: what it takes in a few milliseconds.
//!
//! What it has been handed is decided: a keystroke that comes then waits behind it. A fast connection is
//! handed much, because each time costs; a slow one little. How fast it is, it shows by how long we have to
//! wait until it has sent what it was handed.

use std::time::Duration;

/// How long what is handed on at a time should take.
const AIM: Duration = Duration::from_millis(4);
/// Bytes handed on at a time, at least: at 2 Mbit/s they take 16 ms, and headers and records are one per cent.
pub(super) const MIN: usize = 4 * 1024;
/// At most. Larger ones were not faster.
pub(super) const MAX: usize = 256 * 1024;
/// To begin with.
const FIRST: usize = 32 * 1024;

#[derive(Debug)]
pub(super) struct Pace {
    most: usize,
    /// Bytes per second that the connection takes, as it seems.
    rate: f64,
    /// What was handed on and may not have gone out.
    handed: Option<Handed>,
}

#[derive(Debug)]
struct Handed {
    at: Duration,
    bytes: usize,
    /// We had to wait.
    waited: bool,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            most: FIRST,
            rate: FIRST as f64 / AIM.as_secs_f64(),
            handed: None,
        }
    }

    /// Bytes to hand on at a time; a power of two.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Whether nothing was handed on since the connection was clear last.
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

    /// The connection takes no more now.
    pub(super) fn wait(&mut self) {
        if let Some(handed) = &mut self.handed {
            handed.waited = true;
        }
    }

    /// What was handed on has gone out. Whether [`most`](Self::most) is another now.
    pub(super) fn clear(&mut self, now: Duration) -> bool {
        let Some(handed) = self.handed.take() else {
            return false;
        };
        if handed.waited {
            // The time that a few bytes take says more of what was in front of them.
            if handed.bytes < MIN {
                return false;
            }
            let took = now.saturating_sub(handed.at).as_secs_f64().max(1e-6);
            // Nor does one moment in which all went out say that this will last.
            let seen = (handed.bytes as f64 / took).min(4.0 * self.rate);
            // A connection that has become slow is believed sooner: too much in it makes others wait.
            self.rate += (seen - self.rate) / if seen < self.rate { 2.0 } else { 4.0 };
        } else if handed.bytes >= self.most {
            // It takes all at once.
            self.rate = self.rate.max(2.0 * self.most as f64 / AIM.as_secs_f64());
        }
        let before = self.most;
        let wanted = (self.rate * AIM.as_secs_f64()).clamp(MIN as f64, MAX as f64) as usize;
        if wanted < before || wanted >= 2 * before {
            self.most = (1 << wanted.ilog2()).min(2 * before);
        }
        self.most != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Hands on as much as may be for `time`, on a connection that sends `rate` bytes a second. `full`: there is
    /// no more than so many bytes to hand on at a time.
    fn run(pace: &mut Pace, rate: f64, time: Duration, full: usize) {
        let mut now = Duration::ZERO;
        while now < time {
            let bytes = pace.most().min(full);
            pace.hand_on(bytes, now);
            pace.wait();
            now += Duration::from_secs_f64(bytes as f64 / rate);
            pace.clear(now);
        }
    }

    #[test]
    fn a_slow_connection_is_handed_what_it_takes_in_a_few_milliseconds() {
        for (rate, expected) in [(250e3, MIN), (2.5e6, 8 * 1024), (25e6, 64 * 1024)] {
            for before in [1e3, 1e9] {
                let mut pace = Pace::new();
                run(&mut pace, before, Duration::from_secs(10), MAX);
                run(&mut pace, rate, Duration::from_secs(10), MAX);
                assert_eq!(pace.most(), expected, "{rate} after {before}");
            }
        }
    }

    #[test]
    fn it_shows_also_where_there_is_never_a_full_batch() {
        let mut pace = Pace::new();
        run(&mut pace, 1e9, MS * 100, MAX);
        assert_eq!(pace.most(), MAX);
        run(&mut pace, 2.5e6, MS * 500, MAX / 4);
        assert_eq!(pace.most(), 8 * 1024);
    }

    #[test]
    fn one_that_takes_all_at_once_is_handed_more() {
        let mut pace = Pace::new();
        for _ in 0..5 {
            pace.hand_on(pace.most(), MS);
            pace.clear(MS);
        }
        assert_eq!(pace.most(), MAX);
        // Little to send, or a pause, says nothing.
        pace.hand_on(100, MS);
        pace.wait();
        assert!(!pace.clear(MS * 500));
        assert!(!pace.clear(MS * 900));
        assert_eq!(pace.most(), MAX);
    }

    #[test]
    fn a_hiccup_is_soon_forgotten() {
        let mut pace = Pace::new();
        run(&mut pace, 1e9, MS * 100, MAX);
        run(&mut pace, 5e6, MS, MAX);
        run(&mut pace, 1e9, MS * 5, MAX);
        assert_eq!(pace.most(), MAX);
    }
}
