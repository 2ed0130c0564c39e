//! Where in a TLS connection its end came.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Kind, version and length.
const HEADING: usize = 5;

/// The raw side of a TLS connection, which follows the records that are read.
#[derive(Debug)]
pub(super) struct Records<T> {
    io: T,
    heading: [u8; HEADING],
    /// Bytes of `heading` that are there.
    headed: usize,
    /// Bytes of the record that are still to come, once its heading is there.
    left: usize,
}

impl<T> Records<T> {
    pub(super) const fn new(io: T) -> Self {
        Self {
            io,
            heading: [0; HEADING],
            headed: 0,
            left: 0,
        }
    }

    /// Whether all that was read are whole records.
    pub(super) const fn at_boundary(&self) -> bool {
        self.headed == 0 && self.left == 0
    }

    fn follow(&mut self, mut read: &[u8]) {
        while !read.is_empty() {
            let wanted = if self.left > 0 {
                self.left
            } else {
                HEADING - self.headed
            };
            let (now, later) = read.split_at(wanted.min(read.len()));
            read = later;
            if self.left > 0 {
                self.left -= now.len();
                continue;
            }
            for (to, byte) in self.heading.iter_mut().skip(self.headed).zip(now) {
                *to = *byte;
            }
            self.headed += now.len();
            if self.headed == HEADING {
                let [.., high, low] = self.heading;
                self.left = usize::from(u16::from_be_bytes([high, low]));
                self.headed = 0;
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Records<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        this.follow(buf.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Records<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_found_however_the_bytes_come() {
        let bytes = b"\x17\x03\x03\0\x03abc\x17\x03\x03\0\0\x15\x03\x03\0\x01!";
        let boundaries = [0, 8, 13, 19];
        for step in 1..=bytes.len() {
            let mut records = Records::new(());
            let mut at = 0;
            for part in bytes.chunks(step) {
                assert_eq!(records.at_boundary(), boundaries.contains(&at), "{at}");
                records.follow(part);
                at += part.len();
            }
            assert!(records.at_boundary());
        }
    }
}
