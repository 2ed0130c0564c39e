//! How soon to try again.
//!
//! frp's schedule (2, 4, 8, ... seconds, behind every failure the same) is the ceiling here, not
//! the measure. A server that refuses connections is cheap to ask again, so it is asked within
//! [`REFUSED_MAX`] and found soon after it listens again; and every wait is spread over half its
//! length, so that the clients of a restarted server do not come back in step.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The longest wait while the server's host answers that nobody listens.
const REFUSED_MAX: Duration = Duration::from_millis(2200);

/// The longest wait between two logins (frp `client/service.go`).
const LOGIN_MAX: Duration = Duration::from_secs(20);

/// The same before the first login has succeeded.
const FIRST_LOGIN_MAX: Duration = Duration::from_secs(10);

/// Losses within this time count as one bad patch.
const LOSS_WINDOW: Duration = Duration::from_secs(60);

/// So many losses in a window are followed by a quick new attempt.
const QUICK_RETRIES: u32 = 3;

/// Waits between failed logins.
#[derive(Debug)]
pub(crate) struct LoginBackoff {
    ceiling: Duration,
    max: Duration,
}

impl LoginBackoff {
    /// Before the first login of the process.
    pub(crate) fn first() -> Self {
        Self {
            ceiling: Duration::from_secs(1),
            max: FIRST_LOGIN_MAX,
        }
    }

    /// After a session was lost.
    pub(crate) fn again() -> Self {
        Self {
            ceiling: Duration::from_secs(1),
            max: LOGIN_MAX,
        }
    }

    /// The wait after a failure. `refused`: nobody listens at the server's port. `random` is from
    /// 0 to 1.
    pub(crate) fn next(&mut self, refused: bool, random: f64) -> Duration {
        self.ceiling = (self.ceiling * 2).min(self.max);
        let ceiling = if refused {
            self.ceiling.min(REFUSED_MAX)
        } else {
            self.ceiling
        };
        ceiling.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }
}

/// Waits between the loss of a session and the next login.
#[derive(Debug, Default)]
pub(crate) struct LossBackoff {
    recent: VecDeque<Instant>,
}

impl LossBackoff {
    /// The wait after a session was lost at `now`: next to none at first, more the more often
    /// sessions were lost within the last minute. `random` is from 0 to 1.
    pub(crate) fn next(&mut self, now: Instant, random: f64) -> Duration {
        while self
            .recent
            .front()
            .is_some_and(|at| now.duration_since(*at) > LOSS_WINDOW)
        {
            self.recent.pop_front();
        }
        let losses = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        self.recent.push_back(now);
        let random = random.clamp(0.0, 1.0);
        match losses {
            0 => Duration::from_millis(100).mul_f64(random),
            1..=QUICK_RETRIES => Duration::from_millis(200).mul_f64(1.0 + random / 2.0),
            more => {
                let doubled = 1_u64 << (more - QUICK_RETRIES).min(6);
                Duration::from_secs(doubled)
                    .min(LOGIN_MAX)
                    .mul_f64(0.5 + random / 2.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frps_schedule_is_the_ceiling() {
        let mut backoff = LoginBackoff::again();
        let waits: Vec<u64> = (0..6).map(|_| backoff.next(false, 1.0).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 20, 20]);
        let mut first = LoginBackoff::first();
        let waits: Vec<u64> = (0..5).map(|_| first.next(false, 1.0).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 10, 10]);
    }

    #[test]
    fn a_server_that_is_down_is_found_soon_after_it_is_back() {
        let mut backoff = LoginBackoff::again();
        for _ in 0..100 {
            assert!(backoff.next(true, 1.0) <= REFUSED_MAX);
        }
    }

    #[test]
    fn clients_do_not_come_back_in_step() {
        let spread =
            LoginBackoff::again().next(false, 1.0) - LoginBackoff::again().next(false, 0.0);
        assert_eq!(spread, Duration::from_secs(1));
    }

    #[test]
    fn repeated_losses_slow_down_and_a_quiet_minute_forgives() {
        let mut backoff = LossBackoff::default();
        let start = Instant::now();
        let waits: Vec<u128> = (0..9)
            .map(|_| backoff.next(start, 1.0).as_millis())
            .collect();
        assert_eq!(waits, [100, 300, 300, 300, 2000, 4000, 8000, 16000, 20000]);
        let later = start + LOSS_WINDOW + Duration::from_secs(1);
        assert_eq!(backoff.next(later, 1.0).as_millis(), 100);
    }
}
