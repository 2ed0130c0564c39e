//! What strangers have sent that is still held: a little for each, and more out of one pool for all.
//!
//! A login may have 64 KiB, and a thousand strangers are let in. Nearly every login is small, so few
//! need the pool; where a crowd has emptied it, only those are refused who ask for more.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::{HTTP_HEADS_POOL, STRANGERS_POOL};

/// The pool of the process.
static STRANGERS: Pool = Pool::new(STRANGERS_POOL);

/// That of large heads of users' HTTP requests.
static HEADS: Pool = Pool::new(HTTP_HEADS_POOL);

#[derive(Debug)]
struct Pool {
    /// Bytes.
    size: usize,
    taken: AtomicUsize,
}

/// What one holder has taken out of the pool. Given back on drop.
#[derive(Debug)]
pub struct PoolShare {
    pool: &'static Pool,
    /// Bytes.
    taken: usize,
}

impl Pool {
    const fn new(size: usize) -> Self {
        Self {
            size,
            taken: AtomicUsize::new(0),
        }
    }

    fn take(&self, more: usize) -> bool {
        let fits = |taken: usize| taken.checked_add(more).filter(|taken| *taken <= self.size);
        let took = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        took.is_ok()
    }

    fn give_back(&self, less: usize) {
        self.taken.fetch_sub(less, Ordering::Relaxed);
    }
}

impl Default for PoolShare {
    fn default() -> Self {
        Self::of(&STRANGERS)
    }
}

impl PoolShare {
    /// Of the pool for heads of HTTP requests.
    pub const fn of_heads() -> Self {
        Self::of(&HEADS)
    }

    const fn of(pool: &'static Pool) -> Self {
        Self { pool, taken: 0 }
    }

    /// Holds `held` bytes from now on, of which `free` need not come out of the pool. `false`: the pool
    /// has not as many, and the share is as it was.
    #[must_use]
    pub fn hold(&mut self, held: usize, free: usize) -> bool {
        let wanted = held.saturating_sub(free);
        match wanted.checked_sub(self.taken) {
            Some(more) if !self.pool.take(more) => return false,
            Some(_) => {}
            None => self.pool.give_back(self.taken - wanted),
        }
        self.taken = wanted;
        true
    }
}

impl Drop for PoolShare {
    fn drop(&mut self) {
        self.pool.give_back(self.taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_is_for_all_and_gets_back_what_it_gave() {
        static POOL: Pool = Pool::new(100);
        let mut greedy = PoolShare::of(&POOL);
        assert!(greedy.hold(70, 10));
        let mut other = PoolShare::of(&POOL);
        assert!(!other.hold(60, 10));
        assert!(other.hold(10, 10), "what is free is not out of the pool");
        assert!(other.hold(50, 10));
        assert!(greedy.hold(20, 10));
        assert!(other.hold(100, 10));
        drop(other);
        assert!(greedy.hold(100, 0));
        drop(greedy);
        assert_eq!(POOL.taken.load(Ordering::Relaxed), 0);
    }
}
