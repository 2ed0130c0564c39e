//! A pipe of which something was read before it was known what it is.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::below::Below;

/// A pipe whose first bytes were already read, to find out what it is, and are read again first.
/// It also remembers the first bytes that came from the peer, so that a failed handshake can say
/// what the peer answered instead.
#[derive(Debug)]
pub struct Rewind<T> {
    prefix: Bytes,
    io: T,
    first: [u8; FIRST],
    first_len: u8,
}

/// Enough to tell `HTTP/1.1 400`, an SSH banner and a TLS record apart.
const FIRST: usize = 16;

impl<T> Rewind<T> {
    /// `prefix` is read before anything that `io` still has.
    pub fn new(prefix: Bytes, io: T) -> Self {
        Self {
            prefix,
            io,
            first: [0; FIRST],
            first_len: 0,
        }
    }

    /// The first bytes (at most 16) that were read through this pipe.
    pub fn first_bytes(&self) -> &[u8] {
        self.first
            .get(..usize::from(self.first_len))
            .unwrap_or_default()
    }

    /// The pipe below.
    pub fn io(&self) -> &T {
        &self.io
    }

    /// The pipe below, whose prefix must have been read.
    pub fn into_io(self) -> T {
        debug_assert!(self.prefix.is_empty(), "bytes would be lost");
        self.io
    }

    /// What is still to be read first, and the pipe below.
    pub fn into_parts(self) -> (Bytes, T) {
        (self.prefix, self.io)
    }

    fn remember(&mut self, read: &[u8]) {
        let at = usize::from(self.first_len);
        let n = read.len().min(FIRST - at);
        self.first[at..at + n].copy_from_slice(&read[..n]);
        self.first_len += n as u8;
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Rewind<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = if this.prefix.is_empty() {
            Pin::new(&mut this.io).poll_read(cx, buf)
        } else {
            let n = this.prefix.len().min(buf.remaining());
            buf.put_slice(&this.prefix[..n]);
            this.prefix.advance(n);
            if this.prefix.is_empty() {
                // Gives back the buffer that the first bytes were read into.
                this.prefix = Bytes::new();
            }
            Poll::Ready(Ok(()))
        };
        if usize::from(this.first_len) < FIRST {
            this.remember(&buf.filled()[before..]);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Rewind<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

impl<T: Below> Below for Rewind<T> {
    fn poll_clear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_clear(cx)
    }

    fn limit_unsent(&self, bytes: u32) {
        self.io.limit_unsent(bytes);
    }

    fn limit_unread(&self) {
        self.io.limit_unread();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn rewind_reads_the_prefix_first_and_remembers_what_came() {
        let mut pipe = Rewind::new(Bytes::from_static(b"HTTP/1.1 "), &b"400 Bad Request"[..]);
        let mut all = String::new();
        pipe.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "HTTP/1.1 400 Bad Request");
        assert_eq!(pipe.first_bytes(), b"HTTP/1.1 400 Bad");
    }
}
