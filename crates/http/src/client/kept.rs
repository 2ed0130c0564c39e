//! Connections that have answered, kept for the next request to the same place.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use tokio::time::Instant;

use super::exchange::Open;
use crate::limits::KEPT_IDLE;

/// See the module.
pub(super) struct Kept {
    most: usize,
    /// The one that was asked last is at the end.
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    place: String,
    since: Instant,
    open: Open<Full<Bytes>>,
}

impl Kept {
    /// Keeps at most so many.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            idle: Mutex::default(),
        }
    }

    /// One to `place` that is up, as far as is known.
    pub(super) async fn take(&self, place: &str) -> Option<Open<Full<Bytes>>> {
        while let Some(mut open) = self.pop(place) {
            if open.is_free().await {
                return Some(open);
            }
        }
        None
    }

    fn pop(&self, place: &str) -> Option<Open<Full<Bytes>>> {
        let mut idle = self.lock();
        idle.retain(|idle| idle.since.elapsed() < KEPT_IDLE);
        let at = idle.iter().rposition(|idle| idle.place == place)?;
        Some(idle.remove(at).open)
    }

    /// For the next request to `place`.
    pub(super) async fn keep(&self, place: String, mut open: Open<Full<Bytes>>) {
        if !open.is_free().await {
            return;
        }
        let mut idle = self.lock();
        if idle.len() < self.most {
            idle.push(Idle {
                place,
                since: Instant::now(),
                open,
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kept").field(&self.lock().len()).finish()
    }
}
