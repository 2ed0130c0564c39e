//! Does a listener of events read them? One that does not is cut off: else it would hold its place, and what
//! waits for it, for ever.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use frp_net::below::unacknowledged;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::limits::SLOW_LISTENER;

/// Whether a connection's peer has to read what it is sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Patience(Arc<AtomicBool>);

/// A user's connection whose writes fail once its peer takes nothing for [`SLOW_LISTENER`], where its
/// [`Patience`] is limited.
#[derive(Debug)]
pub(super) struct Watched {
    io: TcpStream,
    patience: Patience,
    /// Bytes that the peer had not acknowledged at the last look, and since when there are no fewer.
    left: usize,
    since: Instant,
    /// While a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// From now on it has to.
    pub(super) fn limit(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_limited(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Watched {
    pub(super) fn new(io: TcpStream, patience: Patience) -> Self {
        Self {
            io,
            patience,
            left: 0,
            since: Instant::now(),
            waiting: None,
        }
    }

    /// Events go out once a second, so that this is asked as often.
    fn look(&mut self) -> io::Result<()> {
        let left = unacknowledged(&self.io);
        // What was written since the last look is among them.
        if left == 0 || left < self.left {
            self.since = Instant::now();
        }
        self.left = left;
        match self.since.elapsed() >= SLOW_LISTENER {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(()),
        }
    }

    fn poll_watched(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if !self.patience.is_limited() {
            return write(Pin::new(&mut self.io), cx);
        }
        self.look()?;
        let written = write(Pin::new(&mut self.io), cx);
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(sleep(SLOW_LISTENER)));
        match waiting.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .poll_watched(cx, |io, cx| io.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .poll_watched(cx, |io, cx| io.poll_write_vectored(cx, bufs))
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
