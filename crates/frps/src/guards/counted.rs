//! How many users are there, of each source and in all, and how many has a source sent within a minute?

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Why;
use crate::bans::sources::Sources;
use crate::limits::MAX_COUNTED_SOURCES;

const MINUTE: Duration = Duration::from_secs(60);

/// How many there may be; 0: any number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// New ones of a source, within any minute.
    pub(crate) per_minute: u64,
    /// Of a source, at a time.
    pub(crate) per_source: u64,
    /// At a time.
    pub(crate) all: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Counted(Mutex<State>);

#[derive(Debug)]
struct State {
    open: u64,
    sources: Sources<Source>,
    swept: Option<Instant>,
}

#[derive(Debug, Default)]
struct Source {
    open: u64,
    /// The minute that goes on, and how many have come in it and in the one before.
    begun: Option<Instant>,
    now: u64,
    before: u64,
}

/// One that is there, until dropped.
#[derive(Debug)]
pub(crate) struct Counting {
    ip: IpAddr,
    of: Arc<Counted>,
}

impl Limits {
    fn are_none(self) -> bool {
        self == Self::default()
    }

    /// Of each the lower.
    pub(super) fn stricter(self, other: Self) -> Self {
        let lower = |one: u64, other: u64| match (one, other) {
            (0, some) | (some, 0) => some,
            (one, other) => one.min(other),
        };
        Self {
            per_minute: lower(self.per_minute, other.per_minute),
            per_source: lower(self.per_source, other.per_source),
            all: lower(self.all, other.all),
        }
    }
}

impl Default for Counted {
    fn default() -> Self {
        Self(Mutex::new(State {
            open: 0,
            sources: Sources::new(MAX_COUNTED_SOURCES),
            swept: None,
        }))
    }
}

impl Counted {
    /// One comes from `ip`; without limits it is not counted.
    pub(crate) fn enter(
        self: &Arc<Self>,
        ip: IpAddr,
        limits: Limits,
    ) -> Result<Option<Counting>, Why> {
        if limits.are_none() {
            return Ok(None);
        }
        let now = Instant::now();
        let mut state = self.lock();
        state.sweep(now);
        let is_full = limits.all > 0 && state.open >= limits.all;
        let Some(source) = state.sources.at(ip) else {
            return Err(Why::Full);
        };
        source.turn(now);
        if limits.per_minute > 0 && source.within_a_minute(now) + 1.0 > limits.per_minute as f64 {
            return Err(Why::Rate);
        }
        if limits.per_source > 0 && source.open >= limits.per_source {
            return Err(Why::Source);
        }
        if is_full {
            return Err(Why::Full);
        }
        source.now = source.now.saturating_add(1);
        source.open += 1;
        state.open += 1;
        Ok(Some(Counting {
            ip,
            of: self.clone(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets who is not there and has not come for a while.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now - swept < MINUTE) {
            return;
        }
        self.swept = Some(now);
        let is_quiet = |begun: Instant| now - begun >= 2 * MINUTE;
        self.sources
            .retain(|_, source| source.open > 0 || !source.begun.is_none_or(is_quiet));
    }
}

impl Source {
    /// Begins the minute that it is now.
    fn turn(&mut self, now: Instant) {
        let Some(begun) = self.begun else {
            self.begun = Some(now);
            return;
        };
        let passed = now - begun;
        if passed < MINUTE {
            return;
        }
        self.before = if passed < 2 * MINUTE { self.now } else { 0 };
        self.now = 0;
        self.begun = Some(if passed < 2 * MINUTE {
            begun + MINUTE
        } else {
            now
        });
    }

    /// As if those of the minute before had come evenly.
    fn within_a_minute(&self, now: Instant) -> f64 {
        let passed = self.begun.map_or(0.0, |begun| (now - begun).as_secs_f64());
        let left = 1.0 - (passed / MINUTE.as_secs_f64()).min(1.0);
        self.now as f64 + self.before as f64 * left
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let mut state = self.of.lock();
        state.open = state.open.saturating_sub(1);
        if let Some(source) = state.sources.get(self.ip) {
            source.open = source.open.saturating_sub(1);
        }
    }
}
