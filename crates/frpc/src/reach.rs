//! Whether a proxy's local service can be reached: said once, then counted, and shown in the status
//! until it can.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::limits::UNREACHABLE_AGAIN;
use frp_log::{Level, Log, event, info};
use tokio::time::Instant;

/// What the last attempts to reach the service came to.
#[derive(Debug)]
pub(crate) struct Reach {
    log: Log,
    /// Whether there is a [`Failing`], so that a success takes no lock.
    fails: AtomicBool,
    failing: Mutex<Option<Failing>>,
}

#[derive(Debug)]
struct Failing {
    /// Of the last attempt.
    cause: String,
    attempts: u64,
    said: Instant,
    /// Attempts that the log has counted.
    counted: u64,
}

impl Reach {
    /// What changes is said in `log`.
    pub(crate) const fn new(log: Log) -> Self {
        Self {
            log,
            fails: AtomicBool::new(false),
            failing: Mutex::new(None),
        }
    }

    /// An attempt failed. The first one is a line of this level, later ones are counted.
    pub(crate) fn failed(&self, level: Level, cause: String) {
        let now = Instant::now();
        let line = {
            let mut failing = self.lock();
            let Some(failing) = &mut *failing else {
                self.fails.store(true, Ordering::Release);
                *failing = Some(Failing {
                    cause: cause.clone(),
                    attempts: 1,
                    said: now,
                    counted: 1,
                });
                drop(failing);
                return event!(level, self.log, "{cause}");
            };
            failing.attempts += 1;
            failing.cause = cause;
            let passed = now - failing.said;
            (passed >= UNREACHABLE_AGAIN).then(|| {
                let times = failing.attempts - failing.counted;
                failing.said = now;
                failing.counted = failing.attempts;
                let seconds = passed.as_secs();
                format!("{} ({times} times in the last {seconds} s)", failing.cause)
            })
        };
        if let Some(line) = line {
            event!(level, self.log, "{line}");
        }
    }

    /// The service was reached. Says so where it had not been.
    pub(crate) fn succeeded(&self) {
        if !self.fails.load(Ordering::Acquire) {
            return;
        }
        let failing = {
            let mut failing = self.lock();
            self.fails.store(false, Ordering::Release);
            failing.take()
        };
        if let Some(Failing { attempts, .. }) = failing {
            info!(
                self.log,
                "the local service can be reached again, after {attempts} failed attempts"
            );
        }
    }

    /// Why the service cannot be reached, if it cannot.
    pub(crate) fn cause(&self) -> Option<String> {
        self.lock().as_ref().map(|failing| failing.cause.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_cause_is_shown_until_the_service_is_reached() {
        let reach = Reach::new(Log::root());
        assert_eq!(reach.cause(), None);
        for cause in ["no such host", "connection refused"] {
            reach.failed(Level::Error, cause.to_owned());
            assert_eq!(reach.cause().as_deref(), Some(cause));
        }
        reach.succeeded();
        assert_eq!(reach.cause(), None);
    }
}
