//! Counts the bytes of a pipe that no relay moves.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::relay::Traffic;

/// Is told what passes.
pub trait Count {
    /// So many bytes were read.
    ///
    /// # Errors
    /// That the read then has: they are too many.
    fn read(&self, bytes: usize) -> io::Result<()>;

    /// So many bytes were written.
    fn written(&self, _bytes: usize) {}
}

/// The pipe is the far side.
impl Count for Traffic {
    fn read(&self, bytes: usize) -> io::Result<()> {
        self.add_far_to_near(bytes);
        Ok(())
    }

    fn written(&self, bytes: usize) {
        self.add_near_to_far(bytes);
    }
}

/// A pipe whose bytes are counted by `C`.
#[derive(Debug)]
pub struct Counted<T, C> {
    io: T,
    count: Arc<C>,
}

impl<T, C> Counted<T, C> {
    /// Counts what passes from here on.
    pub const fn new(io: T, count: Arc<C>) -> Self {
        Self { io, count }
    }

    /// The pipe, for whoever counts by itself.
    pub fn into_inner(self) -> T {
        self.io
    }
}

impl<T: AsyncRead + Unpin, C: Count> AsyncRead for Counted<T, C> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        Poll::Ready(this.count.read(buf.filled().len() - before))
    }
}

impl<T: AsyncWrite + Unpin, C: Count> AsyncWrite for Counted<T, C> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, buf))?;
        this.count.written(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.io).poll_write_vectored(cx, bufs))?;
        this.count.written(written);
        Poll::Ready(Ok(written))
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
