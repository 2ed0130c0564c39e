//! What has happened in the server since its start that only its metrics tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) pools: Arc<PoolCounts>,
    pub(crate) reloads: ReloadCounts,
}

/// Users that found no work connection ready.
#[derive(Debug, Default)]
pub(crate) struct PoolCounts {
    /// All of them.
    pub(crate) misses: AtomicU64,
    /// Those that got none in time.
    pub(crate) timeouts: AtomicU64,
}

/// How often the configuration file was read again.
#[derive(Debug)]
pub(crate) struct ReloadCounts {
    pub(crate) done: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Whether the last one was.
    pub(crate) is_refused: AtomicBool,
    /// When settings were taken last, Unix seconds.
    pub(crate) taken_at: AtomicI64,
}

/// What has become of the calls of one server plugin about one operation.
#[derive(Debug, Default)]
pub(crate) struct CallCounts {
    results: [AtomicU64; CallEnd::ALL.len()],
    /// By the first of [`CALL_TIMES`] that they took no longer than; the last are those that took longer.
    times: [AtomicU64; CALL_TIMES.len() + 1],
    /// Of all of them.
    micros: AtomicU64,
}

/// What has become of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallEnd {
    Accepted,
    /// It may pass otherwise than it came.
    Changed,
    Rejected,
    /// No answer, or one that means nothing.
    Failed,
    /// Whoever waited for it has gone.
    Abandoned,
}

/// Milliseconds; no call takes longer than a moment more than `PLUGINS_WAIT`, which is between the last two.
pub(crate) const CALL_TIMES: [u64; 11] = [1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000];

/// A call that is under way; abandoned, unless its end is told.
#[derive(Debug)]
pub(crate) struct Calling<'a> {
    counts: &'a CallCounts,
    begun: Instant,
    end: CallEnd,
}

impl CallCounts {
    pub(crate) fn begin(&self) -> Calling<'_> {
        Calling {
            counts: self,
            begun: Instant::now(),
            end: CallEnd::Abandoned,
        }
    }

    /// How many there were of each end.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (CallEnd, u64)> {
        let counts = self.results.iter();
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        CallEnd::ALL.into_iter().zip(counts)
    }

    /// How many took no longer than each of [`CALL_TIMES`], the next, and so on; the last are all of them.
    pub(crate) fn within(&self) -> impl Iterator<Item = u64> {
        let counts = self.times.iter();
        counts.scan(0, |sum, count| {
            *sum += count.load(Ordering::Relaxed);
            Some(*sum)
        })
    }

    /// Together.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }

    fn count(&self, end: CallEnd, took: Duration) {
        let at = CALL_TIMES
            .iter()
            .position(|most| took <= Duration::from_millis(*most))
            .unwrap_or(CALL_TIMES.len());
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        for counter in [self.results.get(end as usize), self.times.get(at)]
            .into_iter()
            .flatten()
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Calling<'_> {
    pub(crate) fn ends(mut self, end: CallEnd) {
        self.end = end;
    }
}

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        self.counts.count(self.end, self.begun.elapsed());
    }
}

impl CallEnd {
    pub(crate) const ALL: [Self; 5] = [
        Self::Accepted,
        Self::Changed,
        Self::Rejected,
        Self::Failed,
        Self::Abandoned,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Changed => "changed",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

impl Default for ReloadCounts {
    fn default() -> Self {
        Self {
            done: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            is_refused: AtomicBool::new(false),
            taken_at: AtomicI64::new(Timestamp::now().as_second()),
        }
    }
}

impl ReloadCounts {
    pub(crate) fn count(&self, done: bool) {
        self.is_refused.store(!done, Ordering::Relaxed);
        let counter = match done {
            true => &self.done,
            false => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if done {
            let now = Timestamp::now().as_second();
            self.taken_at.store(now, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_counted_once_with_its_time() {
        let counts = CallCounts::default();
        counts.begin().ends(CallEnd::Changed);
        drop(counts.begin());
        for millis in [1, 2, 10_001] {
            counts.count(CallEnd::Failed, Duration::from_millis(millis));
        }
        let ends: Vec<_> = counts.ends().map(|(_, count)| count).collect();
        assert_eq!(ends, [0, 1, 0, 3, 1]);
        let within: Vec<_> = counts.within().collect();
        assert_eq!(within.len(), CALL_TIMES.len() + 1);
        assert_eq!((within[9], within[10], within[11]), (4, 4, 5));
        assert!(within.is_sorted());
        assert!(counts.time() >= Duration::from_millis(10_004));
    }
}
