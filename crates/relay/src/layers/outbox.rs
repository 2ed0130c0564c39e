//! The unwritten rest of a layer's output.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Encoded bytes that the inner stream did not take yet; owns no memory when empty.
///
/// An encoder cannot take its output back, so a layer reports input as written once it is encoded
/// and keeps here what is left. The layer drains this before it encodes more, which bounds it to
/// one encoded write.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pending: Bytes,
}

impl Outbox {
    /// Writes `wire` as far as `inner` takes it now and keeps the rest. Call only when drained.
    pub(super) fn send<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        inner: &mut W,
        mut wire: &[u8],
    ) -> io::Result<()> {
        debug_assert!(
            self.pending.is_empty(),
            "send before the outbox was drained"
        );
        while !wire.is_empty() {
            match Pin::new(&mut *inner).poll_write(cx, wire) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => wire = wire.get(n..).unwrap_or_default(),
                Poll::Ready(Err(e)) => return Err(e),
                Poll::Pending => {
                    self.pending = Bytes::copy_from_slice(wire);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Ready once nothing is pending.
    pub(super) fn poll_drain<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        inner: &mut W,
    ) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            match ready!(Pin::new(&mut *inner).poll_write(cx, &self.pending))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.pending.advance(n),
            }
        }
        self.pending = Bytes::new();
        Poll::Ready(Ok(()))
    }

    /// Flushes `inner` once nothing is pending.
    pub(super) fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        inner: &mut W,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx, inner))?;
        Pin::new(inner).poll_flush(cx)
    }

    /// Ends our direction of `inner` behind what is pending.
    pub(super) fn poll_shutdown<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        inner: &mut W,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx, inner))?;
        Pin::new(inner).poll_shutdown(cx)
    }
}
