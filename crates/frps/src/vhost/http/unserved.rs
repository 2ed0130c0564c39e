//! What a user has sent of a request, as long as nobody serves that user: it counts as what strangers
//! hold, who all share one pool.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use frp_http::limits::MAX_HTTP_HEAD;
use frp_net::stranger_bytes::PoolShare;
use frp_relay::limits::FIRST_MESSAGE_SHARE;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The bytes of a request that has begun. Shared by a user's connection and its requests.
#[derive(Debug, Default)]
pub(super) struct Unserved(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    bytes: usize,
    share: PoolShare,
    served: bool,
}

impl Unserved {
    /// A request is whole, which is what the bytes were.
    pub(super) fn heard(&self) {
        self.set(false);
    }

    /// The user is no stranger any more.
    pub(super) fn served(&self) {
        self.set(true);
    }

    fn set(&self, served: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.served |= served;
        state.bytes = 0;
        state.share = PoolShare::default();
    }

    fn came(&self, bytes: usize) -> io::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.served {
            return Ok(());
        }
        // No more than that is kept of a head.
        let bytes = state.bytes.saturating_add(bytes).min(MAX_HTTP_HEAD);
        state.bytes = bytes;
        match state.share.hold(bytes, FIRST_MESSAGE_SHARE) {
            true => Ok(()),
            false => Err(io::Error::other("too much for a stranger now")),
        }
    }
}

/// A user's connection, whose bytes are counted.
#[derive(Debug)]
pub(super) struct Counted<T> {
    io: T,
    unserved: Arc<Unserved>,
}

impl<T> Counted<T> {
    pub(super) fn new(io: T, unserved: &Arc<Unserved>) -> Self {
        Self {
            io,
            unserved: unserved.clone(),
        }
    }

    pub(super) fn into_inner(self) -> T {
        self.io
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        Poll::Ready(self.unserved.came(buf.filled().len() - before))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
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
