//! Per-thread working memory, so that no connection owns a buffer while it is idle.
//!
//! A poll borrows a buffer, reads or encodes into it, hands the bytes on in the same poll and gives
//! the buffer back. What could not be handed on is copied to memory that the connection owns.

use std::cell::RefCell;

/// Bytes in one scratch buffer: room for a 64 KiB snappy block at its worst expansion and for a
/// 64 KiB AEAD record.
pub const SCRATCH_LEN: usize = 128 * 1024;

/// Layers nest (relay, a user's TLS, compression, cipher, TLS), and each level borrows its own buffer.
const KEPT_PER_THREAD: usize = 5;

thread_local! {
    static POOL: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` with a buffer of [`SCRATCH_LEN`] bytes whose content is unspecified.
pub fn with_scratch<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buf = POOL
        .with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| vec![0; SCRATCH_LEN].into_boxed_slice());
    let result = work(&mut buf);
    POOL.with_borrow_mut(|pool| {
        if pool.len() < KEPT_PER_THREAD {
            pool.push(buf);
        }
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_borrows_are_distinct_buffers() {
        with_scratch(|outer| {
            outer[0] = 1;
            with_scratch(|inner| inner[0] = 2);
            assert_eq!(outer[0], 1);
            assert_eq!(outer.len(), SCRATCH_LEN);
        });
    }
}
