//! What a stream has received and its application has not taken yet.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// Pieces below this many bytes are copied out of the read buffer: a 5-byte frame must not keep
/// a buffer of 64 KiB alive.
const COPY_BELOW: usize = 2 * 1024;

/// Copied pieces are gathered until a chunk has this many bytes.
const TAIL_MAX: usize = 32 * 1024;

/// A stream whose unread slices keep more than this many bytes of read buffers alive (and four
/// times what it really holds) gets copies instead.
const PINNED_FREE: usize = 256 * 1024;

/// The read buffer that a piece is cut from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// Distinguishes buffers; never 0.
    pub(super) buffer: u32,
    /// Bytes that the buffer occupies as long as one slice of it lives.
    pub(super) capacity: u32,
}

#[derive(Debug)]
struct Chunk {
    data: Bytes,
    /// `None`: memory of its own.
    origin: Option<Origin>,
}

/// A queue of byte chunks in the order of arrival. Costs nothing while empty.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    chunks: VecDeque<Chunk>,
    /// Small pieces, later than everything in `chunks`.
    tail: BytesMut,
    queued: usize,
    pinned: usize,
    /// Bytes that were taken, and of which nobody knows that they have been used.
    lent: usize,
    /// Nothing was left when some of them were taken.
    emptied: bool,
}

impl Inbox {
    /// Bytes that have not been used: unread ones, and those that the application holds.
    pub(super) fn unused(&self) -> usize {
        self.queued + self.lent
    }

    /// What was taken has been used, but for `kept` bytes. How many that were, and whether nothing else
    /// was there when they were taken.
    pub(super) fn settle(&mut self, kept: usize) -> (usize, bool) {
        let used = self.lent.saturating_sub(kept);
        self.lent -= used;
        (used, used > 0 && std::mem::take(&mut self.emptied))
    }

    /// Unread bytes.
    pub(super) fn len(&self) -> usize {
        self.queued
    }

    /// Moves the first `n` bytes of `buf` in; `n` is at most `buf.len()`.
    pub(super) fn push(&mut self, buf: &mut BytesMut, n: usize, origin: Origin) {
        let new_run = self.chunks.back().and_then(|c| c.origin).map(|o| o.buffer)
            != Some(origin.buffer)
            || !self.tail.is_empty();
        let capacity = origin.capacity as usize;
        let would_pin = self.pinned + capacity;
        let copy = n < COPY_BELOW
            || new_run && would_pin > PINNED_FREE && would_pin > 4 * (self.queued + n);
        self.queued += n;
        if copy {
            self.push_copy(buf, n);
            return;
        }
        self.seal_tail();
        if new_run {
            self.pinned += capacity;
        }
        self.chunks.push_back(Chunk {
            data: buf.split_to(n).freeze(),
            origin: Some(origin),
        });
    }

    /// Takes the next chunk, `None` when nothing is queued.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let chunk = self.pop_queued()?;
        self.lent += chunk.len();
        self.emptied |= self.queued == 0;
        Some(chunk)
    }

    fn pop_queued(&mut self) -> Option<Bytes> {
        let Some(chunk) = self.chunks.pop_front() else {
            if self.tail.is_empty() {
                return None;
            }
            let data = std::mem::take(&mut self.tail).freeze();
            self.queued -= data.len();
            return Some(data);
        };
        self.queued -= chunk.data.len();
        if let Some(origin) = chunk.origin {
            let next = self.chunks.front().and_then(|c| c.origin).map(|o| o.buffer);
            if next != Some(origin.buffer) {
                self.pinned -= origin.capacity as usize;
            }
        }
        Some(chunk.data)
    }

    fn push_copy(&mut self, buf: &mut BytesMut, n: usize) {
        let piece = buf.get(..n).unwrap_or_default();
        if self.queued == n {
            // The usual small message: one exact allocation.
            self.chunks.push_back(Chunk {
                data: Bytes::copy_from_slice(piece),
                origin: None,
            });
        } else {
            self.tail.extend_from_slice(piece);
            if self.tail.len() >= TAIL_MAX {
                self.seal_tail();
            }
        }
        buf.advance(n);
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            let data = std::mem::take(&mut self.tail).freeze();
            self.chunks.push_back(Chunk { data, origin: None });
        }
    }

    /// Bytes of read buffers that unread slices keep alive.
    #[cfg(test)]
    pub(super) fn pinned(&self) -> usize {
        self.pinned
    }

    #[cfg(test)]
    pub(super) fn chunks(&self) -> usize {
        self.chunks.len() + usize::from(!self.tail.is_empty())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn origin(buffer: u32) -> Origin {
        Origin {
            buffer,
            capacity: 64 * 1024,
        }
    }

    #[test]
    fn a_flood_of_one_byte_frames_costs_about_its_bytes() {
        let mut inbox = Inbox::default();
        for i in 0..1_000_000u32 {
            inbox.push(&mut BytesMut::from(&[i as u8][..]), 1, origin(1 + i / 100));
        }
        assert_eq!(inbox.len(), 1_000_000);
        assert!(inbox.chunks() < 64, "{} chunks", inbox.chunks());
        assert_eq!(inbox.pinned(), 0);
        let mut expected = 0u32;
        while let Some(chunk) = inbox.pop() {
            for byte in chunk {
                assert_eq!(byte, expected as u8);
                expected += 1;
            }
        }
        assert_eq!(expected, 1_000_000);
        assert_eq!(inbox.len(), 0);
    }

    #[test]
    fn an_unread_stream_pins_a_bounded_number_of_buffers() {
        let mut inbox = Inbox::default();
        for i in 0..3000u32 {
            inbox.push(&mut BytesMut::from(&[0; 2048][..]), 2048, origin(1 + i));
        }
        assert!(
            inbox.pinned() <= (4 * inbox.len()).max(PINNED_FREE),
            "{} pinned",
            inbox.pinned()
        );
        while inbox.pop().is_some() {}
        assert_eq!((inbox.pinned(), inbox.len()), (0, 0));
    }

    #[test]
    fn what_was_taken_counts_until_it_has_been_used() {
        let mut inbox = Inbox::default();
        for n in 1..4 {
            inbox.push(&mut BytesMut::from(&[0; 4096][..]), 4096, origin(n));
        }
        assert_eq!(inbox.settle(0), (0, false));
        inbox.pop().unwrap();
        inbox.pop().unwrap();
        assert_eq!((inbox.len(), inbox.unused()), (4096, 3 * 4096));
        assert_eq!(inbox.settle(usize::MAX), (0, false));
        assert_eq!(inbox.settle(5000), (8192 - 5000, false));
        inbox.pop().unwrap();
        inbox.push(&mut BytesMut::from(&[0; 4096][..]), 4096, origin(4));
        assert_eq!(inbox.settle(0), (5000 + 4096, true));
        assert_eq!((inbox.len(), inbox.unused()), (4096, 4096));
    }

    proptest::proptest! {
        #[test]
        fn order_and_accounts_hold(pieces in proptest::collection::vec((1usize..6000, 1u32..5, proptest::bool::ANY), 1..200)) {
            let mut inbox = Inbox::default();
            let (mut sent, mut got) = (Vec::new(), Vec::new());
            for (n, buffer, read) in pieces {
                let data: Vec<u8> = (0..n).map(|i| (sent.len() + i) as u8).collect();
                inbox.push(&mut BytesMut::from(&data[..]), n, origin(buffer));
                sent.extend(data);
                if read {
                    got.extend(inbox.pop().unwrap());
                }
                proptest::prop_assert_eq!(inbox.len(), sent.len() - got.len());
            }
            while let Some(chunk) = inbox.pop() {
                got.extend(chunk);
            }
            proptest::prop_assert_eq!(inbox.pinned(), 0);
            proptest::prop_assert!(sent == got);
        }
    }
}
