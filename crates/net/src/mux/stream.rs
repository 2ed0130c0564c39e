//! One stream of a session.

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    error::MuxError,
    shared::{Inner, Shared},
    state::{Received, SendError},
};
use crate::cut::Cut;

/// One stream of a session, an ordered pipe of bytes in both directions.
///
/// - Shutdown ends our direction after what was written (FIN); the other goes on.
/// - Drop does the same and discards what the peer still sends. It never resets a stream that
///   works, for a reset makes a Go peer lose what it has not read yet. A peer that
///   [half-closes](super::Mux::peer_half_closes) is told by a reset that nobody reads any more.
/// - Flush does nothing: what is written goes out as soon as the connection takes it.
/// - Errors are `io::Error`s around a [`MuxError`]; data received before the error comes first.
pub struct MuxStream {
    shared: Arc<Shared>,
    id: u32,
    /// Taken from the session, not yet read through `AsyncRead`.
    rest: Bytes,
    released: bool,
}

impl MuxStream {
    pub(super) fn new(shared: Arc<Shared>, id: u32) -> Self {
        Self {
            shared,
            id,
            rest: Bytes::new(),
            released: false,
        }
    }

    /// The number of the stream, unique within its session.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The next bytes without a copy; `None` at the end of the peer's direction. Taking a chunk is
    /// what lets the peer send more.
    pub fn poll_read_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.rest))));
        }
        let received = self
            .shared
            .with(|inner| match inner.state.poll_read(self.id, cx) {
                Poll::Pending => match inner.closed() {
                    Some(error) => Poll::Ready(Err(error)),
                    None => Poll::Pending,
                },
                Poll::Ready(received) => Poll::Ready(Ok(received)),
            });
        match ready!(received) {
            Ok(Received::Chunk(chunk)) => Poll::Ready(Ok(Some(chunk))),
            Ok(Received::End) => Poll::Ready(Ok(None)),
            Ok(Received::Reset) => Poll::Ready(Err(MuxError::Reset.into())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    /// Takes as much of `chunk` as the peer's window and the send queue (256 KiB) allow, without a
    /// copy; the rest stays in `chunk`. Ready when at least one byte was taken or `chunk` is empty.
    pub fn poll_write_chunk(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Bytes,
    ) -> Poll<io::Result<()>> {
        if chunk.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.shared
            .with(|inner| {
                let room = ready!(inner.poll_room(self.id, cx))?;
                let taken = chunk.split_to(room.min(chunk.len()));
                inner.state.send(self.id, taken);
                Poll::Ready(Ok(()))
            })
            .map_err(|error: MuxError| error.into())
    }

    /// Kills the stream in both directions at once; what is queued is lost.
    pub fn reset(mut self) {
        self.released = true;
        self.shared.with(|inner| inner.state.reset(self.id));
    }

    /// Ends the stream so that the peer sees a failure and no end, but not before it has had what
    /// was written: a reset right behind data makes a Go peer lose the data, so that comes a second
    /// later. A peer that [half-closes](super::Mux::peer_half_closes) gets it at once.
    pub fn abort(mut self) {
        self.released = true;
        let now = self.shared.now();
        self.shared.with(|inner| inner.state.abort(self.id, now));
    }

    /// How the peer has cut the stream off: reset it, behind its end or not, or ended its direction, or
    /// the session is over.
    pub fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        let mut inner = self.shared.lock();
        match inner.closed() {
            Some(_) => Poll::Ready(Cut::Reset),
            None => inner.state.poll_cut(self.id, cx),
        }
    }

    fn poll_room(&self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        self.shared
            .lock()
            .poll_room(self.id, cx)
            .map_err(Into::into)
    }

    fn send(&self, data: Bytes) {
        self.shared.with(|inner| inner.state.send(self.id, data));
    }
}

impl AsyncRead for MuxStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if this.rest.is_empty() {
            match ready!(this.poll_read_chunk(cx))? {
                Some(chunk) => this.rest = chunk,
                None => return Poll::Ready(Ok(())),
            }
        }
        let n = this.rest.len().min(buf.remaining());
        buf.put_slice(this.rest.get(..n).unwrap_or_default());
        if n == this.rest.len() {
            // Lets go of the read buffer.
            this.rest = Bytes::new();
        } else {
            this.rest.advance(n);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MuxStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        // Room can only grow until we send, so the copy is made without the lock.
        let n = ready!(self.poll_room(cx))?.min(buf.len());
        self.send(Bytes::copy_from_slice(buf.get(..n).unwrap_or_default()));
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        if total == 0 {
            return Poll::Ready(Ok(0));
        }
        let n = ready!(self.poll_room(cx))?.min(total);
        let mut data = BytesMut::with_capacity(n);
        for buf in bufs {
            let part = buf.len().min(n - data.len());
            data.extend_from_slice(buf.get(..part).unwrap_or_default());
        }
        self.send(data.freeze());
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.with(|inner| inner.state.finish(self.id));
        Poll::Ready(Ok(()))
    }
}

impl Drop for MuxStream {
    fn drop(&mut self) {
        if !self.released {
            let now = self.shared.now();
            self.shared.with(|inner| inner.state.release(self.id, now));
        }
    }
}

impl fmt::Debug for MuxStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MuxStream")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn closed(&self) -> Option<MuxError> {
        self.end.clone().map(MuxError::Closed)
    }

    fn poll_room(&mut self, id: u32, cx: &Context<'_>) -> Poll<Result<usize, MuxError>> {
        if let Some(error) = self.closed() {
            return Poll::Ready(Err(error));
        }
        self.state.poll_room(id, cx).map_err(|error| match error {
            SendError::Reset => MuxError::Reset,
            SendError::Unread => MuxError::Unread,
            SendError::Finished => MuxError::Finished,
        })
    }
}

impl From<MuxError> for io::Error {
    fn from(error: MuxError) -> Self {
        let kind = match &error {
            MuxError::Closed(_) => io::ErrorKind::ConnectionAborted,
            MuxError::Reset => io::ErrorKind::ConnectionReset,
            MuxError::Unread | MuxError::Finished => io::ErrorKind::BrokenPipe,
            MuxError::GoAway | MuxError::Exhausted => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
