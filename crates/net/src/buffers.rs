//! Read buffers that are handed on instead of copied, and come back by themselves.
//!
//! A buffer is lent out as `Bytes` and can be filled again once the last of those is gone. Freed
//! and made anew it would go back to the system and be faulted in page by page each time, which
//! costs as much as a copy. The buffers in use are few and recent, so they stay in the cache.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;

/// Bytes of one buffer.
pub const BUFFER_LEN: usize = 128 * 1024;

/// A buffer with less room than this is not filled any further.
const ROOM_MIN: usize = BUFFER_LEN / 2;

/// Buffers remembered: 4 MiB, the queues of sixteen busy streams.
const REMEMBERED: usize = 32;

/// Remembered buffers that are looked at for a free one: the oldest are the likeliest.
const LOOK_AT: usize = 4;

/// After this time without use the memory is given back.
const REST_AFTER: Duration = Duration::from_secs(5);

static POOL: Mutex<Pool> = Mutex::new(Pool {
    buffers: VecDeque::new(),
    used: None,
});

struct Pool {
    buffers: VecDeque<BytesMut>,
    used: Option<Instant>,
}

fn lock() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An empty buffer with room for at least half of [`BUFFER_LEN`]. Split off what was read, and
/// [`remember`] the rest.
pub fn take() -> BytesMut {
    let mut pool = lock();
    pool.used = Some(Instant::now());
    for _ in 0..LOOK_AT {
        let Some(mut buffer) = pool.buffers.pop_front() else {
            break;
        };
        if buffer.capacity() >= ROOM_MIN || buffer.try_reclaim(BUFFER_LEN) {
            return buffer;
        }
        pool.buffers.push_back(buffer);
    }
    drop(pool);
    BytesMut::with_capacity(BUFFER_LEN)
}

/// Keeps what is left of a buffer for later.
pub fn remember(mut buffer: BytesMut) {
    buffer.clear();
    let buffers = &mut lock().buffers;
    if buffer.capacity() >= ROOM_MIN {
        buffers.push_front(buffer);
        buffers.truncate(REMEMBERED);
    } else if buffers.len() < REMEMBERED {
        buffers.push_back(buffer);
    }
}

/// Gives the memory back if nothing was read in bulk for a while; to be called by whoever comes
/// to rest.
pub fn rest() {
    let mut pool = lock();
    if pool.used.is_some_and(|used| used.elapsed() >= REST_AFTER) {
        pool.used = None;
        let buffers = std::mem::take(&mut pool.buffers);
        drop(pool);
        drop(buffers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_out_is_never_filled_again() {
        let mut lent = Vec::new();
        for i in 0..200u8 {
            let mut buffer = take();
            assert!(buffer.is_empty() && buffer.capacity() >= ROOM_MIN);
            let n = ROOM_MIN - usize::from(i) * 100;
            buffer.extend_from_slice(&vec![i; n]);
            lent.push((i, buffer.split().freeze()));
            remember(buffer);
            if i % 3 == 0 {
                lent.remove(lent.len() / 2);
            }
            if i == 150 {
                rest();
            }
        }
        for (i, bytes) in lent {
            assert!(bytes.iter().all(|&b| b == i));
        }
    }
}
