//! Encoded bytes (TLS records, websocket frames) on their way to the connection below.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Bytes of a buffer: sixteen TLS records, as many as one system call should carry, and what rustls sends
/// of its own in front of them.
pub(crate) const OUT_LEN: usize = 16 * (16 * 1024 + 64) + 1024;

/// Buffers kept per thread. Filling and emptying one happens in one poll unless the socket blocks,
/// so busy connections share few, which stay in the cache.
const KEPT_PER_THREAD: usize = 2;

/// What the socket did not take gets memory of its own size up to this; beyond, the buffer stays
/// with the connection, as that is a copy less.
const COPY_UP_TO: usize = 32 * 1024;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that wait for the socket; owns no memory when empty.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Initialised over its whole length; `start..end` waits.
    buf: Vec<u8>,
    start: usize,
    end: usize,
}

impl Outgoing {
    /// Writable memory of at least `wanted` bytes behind what waits.
    pub(crate) fn room(&mut self, wanted: usize) -> &mut [u8] {
        if self.buf.is_empty() {
            self.buf = POOL
                .with_borrow_mut(Vec::pop)
                .unwrap_or_else(|| vec![0; OUT_LEN]);
        }
        if self.buf.len() < self.end + wanted {
            self.buf.resize(self.end + wanted, 0);
        }
        self.buf.get_mut(self.end..).unwrap_or_default()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// `n` bytes of the room have been filled.
    pub(crate) fn add(&mut self, n: usize) {
        self.end += n;
        debug_assert!(self.end <= self.buf.len());
    }

    /// Ready once everything is written.
    pub(crate) fn poll_drain<T: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut T,
    ) -> Poll<io::Result<()>> {
        while self.start < self.end {
            let waiting = self.buf.get(self.start..self.end).unwrap_or_default();
            match ready!(Pin::new(&mut *io).poll_write(cx, waiting)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => self.start += n,
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
        self.give_back();
        Poll::Ready(Ok(()))
    }

    /// Writes what the socket takes now.
    pub(crate) fn write<T: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut T,
    ) -> io::Result<()> {
        match self.poll_drain(cx, io) {
            Poll::Ready(result) => result,
            Poll::Pending => {
                let waiting = self.buf.get(self.start..self.end).unwrap_or_default();
                if waiting.len() <= COPY_UP_TO {
                    let own = waiting.to_vec();
                    self.give_back();
                    self.end = own.len();
                    self.buf = own;
                }
                Ok(())
            }
        }
    }

    /// What waits, as the peer would get it.
    #[cfg(test)]
    pub(crate) fn take_bytes(&mut self) -> Vec<u8> {
        let waiting = self.buf.get(self.start..self.end).unwrap_or_default();
        let bytes = waiting.to_vec();
        self.give_back();
        bytes
    }

    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        self.buf.capacity()
    }

    fn give_back(&mut self) {
        let buf = std::mem::take(&mut self.buf);
        self.start = 0;
        self.end = 0;
        if buf.len() == OUT_LEN {
            POOL.with_borrow_mut(|pool| {
                if pool.len() < KEPT_PER_THREAD {
                    pool.push(buf);
                }
            });
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.give_back();
    }
}
