//! What has happened in the server since its start that only its metrics tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

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
