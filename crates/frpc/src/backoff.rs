//! How soon to try again.
//!
//! frp's schedule (2, 4, 8, ... seconds, behind every failure the same) is for a server that answers and does not
//! let us in. One that is not there costs nothing to look for, and is missed: it is found within half a second if
//! it was away for less than ten, else within a twentieth of the time that it was away. Every wait is spread
//! over half its length, so that the clients of a restarted server do not come back in step.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// What an attempt came upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nobody: the server's host, or a router, says so at once.
    Nobody,
    /// Nothing: no answer came.
    Nothing,
    /// Someone, with whom it did not work out.
    Someone,
}

/// The longest wait while nobody is there: at first, and after a while.
const NOBODY_FIRST: Duration = Duration::from_millis(500);
const NOBODY_MAX: Duration = Duration::from_millis(2200);

/// Of the time that nobody was there, so much may be waited more.
const NOBODY_SHARE: u32 = 20;

/// Between the beginnings of attempts that have no answer. One takes as long by itself, and the system asks all
/// the while.
const NOTHING_MAX: Duration = Duration::from_secs(10);

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
    /// Since when it is tried.
    began: Instant,
}

impl LoginBackoff {
    /// Before the first login of the process.
    pub(crate) fn first(now: Instant) -> Self {
        Self {
            ceiling: Duration::from_secs(1),
            max: FIRST_LOGIN_MAX,
            began: now,
        }
    }

    /// After a session was lost.
    pub(crate) fn again(now: Instant) -> Self {
        Self {
            max: LOGIN_MAX,
            ..Self::first(now)
        }
    }

    /// The wait after an attempt that took from `began` until `now`. `random` is from 0 to 1.
    pub(crate) fn next(
        &mut self,
        found: Found,
        began: Instant,
        now: Instant,
        random: f64,
    ) -> Duration {
        self.ceiling = (self.ceiling * 2).min(self.max);
        let share = now.duration_since(self.began) / NOBODY_SHARE;
        let soon = share.clamp(NOBODY_FIRST, NOBODY_MAX);
        let spread = |wait: Duration| wait.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
        match found {
            Found::Nobody => spread(self.ceiling.min(soon)),
            Found::Nothing => {
                let wait = spread(self.ceiling.min(NOTHING_MAX));
                let took = now.duration_since(began);
                wait.saturating_sub(took).max(spread(NOBODY_FIRST))
            }
            Found::Someone => spread(self.ceiling),
        }
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

    const ALWAYS: Duration = Duration::from_secs(3600);

    /// The waits of one who is not there, or does not answer, `within` a time, where an attempt takes `each`.
    fn waits(found: Found, each: Duration, within: Duration, random: f64) -> Vec<Duration> {
        let begin = Instant::now();
        let mut now = begin;
        let mut backoff = LoginBackoff::again(now);
        let mut waits = Vec::new();
        while now < begin + within {
            let began = now;
            now += each;
            let wait = backoff.next(found, began, now, random);
            waits.push(wait);
            now += wait;
        }
        waits
    }

    #[test]
    fn a_server_that_does_not_let_us_in_is_asked_as_frp_asks() {
        let now = Instant::now();
        let next = |backoff: &mut LoginBackoff| {
            let wait = backoff.next(Found::Someone, now, now, 1.0);
            wait.as_secs()
        };
        let mut again = LoginBackoff::again(now);
        let waits: Vec<u64> = (0..6).map(|_| next(&mut again)).collect();
        assert_eq!(waits, [2, 4, 8, 16, 20, 20]);
        let mut first = LoginBackoff::first(now);
        let waits: Vec<u64> = (0..5).map(|_| next(&mut first)).collect();
        assert_eq!(waits, [2, 4, 8, 10, 10]);
    }

    #[test]
    fn a_server_that_is_down_is_found_soon_after_it_is_back() {
        let each = Duration::from_millis(1);
        let soon = waits(Found::Nobody, each, Duration::from_secs(10), 1.0);
        assert!(soon.iter().all(|wait| *wait <= NOBODY_FIRST), "{soon:?}");
        let long = waits(Found::Nobody, each, ALWAYS, 1.0);
        assert!(long.iter().all(|wait| *wait <= NOBODY_MAX));
        // And looked for no more often than needed.
        assert!(long.len() < 1750, "{} attempts in an hour", long.len());
    }

    #[test]
    fn there_is_always_an_attempt_under_way_to_a_server_that_does_not_answer() {
        let each = Duration::from_secs(10);
        let long = waits(Found::Nothing, each, ALWAYS, 1.0);
        assert!(long.iter().all(|wait| *wait <= NOBODY_FIRST), "{long:?}");
        // An attempt may have a lower limit of its own.
        let long = waits(Found::Nothing, Duration::from_secs(1), ALWAYS, 1.0);
        assert!(long.len() < 400, "{} attempts in an hour", long.len());
    }

    #[test]
    fn clients_do_not_come_back_in_step() {
        for (found, spread) in [
            (Found::Nobody, 250),
            (Found::Nothing, 1000),
            (Found::Someone, 1000),
        ] {
            let now = Instant::now();
            let wait = |random| LoginBackoff::again(now).next(found, now, now, random);
            let between = wait(1.0) - wait(0.0);
            assert_eq!(between, Duration::from_millis(spread), "{found:?}");
        }
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
