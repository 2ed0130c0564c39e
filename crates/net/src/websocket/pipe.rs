//! The bytes of a websocket.
//!
//! A read takes what came into the reader's own memory and takes the frames apart there; a write
//! becomes one frame, masked while it is copied where we are the client, and written from where it
//! lies where we are the server and the connection takes it. A pipe at rest owns no buffer.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame::{
    CONTROL_MAX, Decoder, Head, Mask, NORMAL, Opcode, PROTOCOL_ERROR, ReadEnd, Role, apply_mask,
    head,
};
use crate::below::Below;
use crate::limits::MAX_FRUITLESS_READS;
use crate::outgoing::Outgoing;
use crate::turn;

/// Payload of one frame, bytes: as much as one system call should carry.
const FRAME: usize = 256 * 1024;
/// Slices of one write, and one for the header.
const SLICES: usize = 64;
/// Frames that are masked by what was asked of the system's generator at a time.
const KEYS: usize = 16;

/// A websocket over a byte pipe. What is written must be flushed once no more follows at once.
///
/// Shutdown sends the closing frame and so ends our direction; the peer's goes on, as with any other
/// pipe. The stream below is shut down once both have ended, for a proxy in between would cut off
/// the peer's direction. A stream that ends without a closing frame is an `UnexpectedEof` error: it
/// may have been cut by someone else.
pub struct WebsocketPipe<T> {
    io: T,
    decoder: Decoder,
    /// Came behind the handshake.
    held: Bytes,
    out: Outgoing,
    /// A client's, to mask with.
    keys: Option<Keys>,
    closed: bool,
}

impl<T> WebsocketPipe<T> {
    /// After the handshake; `held` was read behind it.
    pub(super) fn new(io: T, role: Role, held: Bytes) -> Self {
        Self {
            io,
            decoder: Decoder::new(role),
            held,
            out: Outgoing::default(),
            keys: (role == Role::Client).then(Keys::default),
            closed: false,
        }
    }

    /// The stream below.
    pub(crate) fn io(&self) -> &T {
        &self.io
    }

    /// The stream below, to be cut off.
    pub(crate) fn into_io(self) -> T {
        self.io
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> WebsocketPipe<T> {
    /// Reads once, and leaves in `buf` what of it is payload.
    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.held.is_empty() {
            ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
            if buf.filled().len() == before {
                return Poll::Ready(Err(cut_off()));
            }
        } else {
            let n = self.held.len().min(buf.remaining());
            buf.put_slice(self.held.get(..n).unwrap_or_default());
            self.held.advance(n);
            if self.held.is_empty() {
                self.held = Bytes::new();
            }
        }
        let came = buf.filled_mut().get_mut(before..).unwrap_or_default();
        let payload = self.decoder.decode(came);
        buf.set_filled(before + payload);
        Poll::Ready(Ok(()))
    }

    /// Answers what the peer said beside the payload, as far as the connection takes it now.
    fn answer(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        // Behind a frame that waits for the connection there is no room for more than the last.
        if self.closed || !self.out.is_empty() {
            return Ok(());
        }
        let mut said = [0; CONTROL_MAX];
        let (opcode, len) = match self.decoder.end() {
            Some(ReadEnd::Broken(_)) => {
                self.closed = true;
                (Opcode::Close, put(&mut said, &PROTOCOL_ERROR.to_be_bytes()))
            }
            _ => match self.decoder.take_ping() {
                Some(ping) => (Opcode::Pong, put(&mut said, ping)),
                None => return Ok(()),
            },
        };
        self.queue(opcode, said.get(..len).unwrap_or_default())?;
        self.out.write(cx, &mut self.io)
    }

    /// Puts a whole frame in the way of the connection.
    fn queue(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        self.queue_slices(opcode, &[IoSlice::new(payload)], payload.len())
    }

    /// The same with the first `len` bytes of `bufs`.
    fn queue_slices(&mut self, opcode: Opcode, bufs: &[IoSlice<'_>], len: usize) -> io::Result<()> {
        let mask = self.keys.as_mut().map(Keys::next).transpose()?;
        let head = head(opcode, len, mask);
        let head = head.as_ref();
        let room = self.out.room(head.len() + len);
        put(room, head);
        let body = room.get_mut(head.len()..).unwrap_or_default();
        let mut at = 0;
        for buf in bufs {
            let part = body.get_mut(at..len).unwrap_or_default();
            at += put(part, buf);
        }
        if let Some(mask) = mask {
            apply_mask(body.get_mut(..len).unwrap_or_default(), mask, 0);
        }
        self.out.add(head.len() + len);
        Ok(())
    }

    /// Writes a frame of up to `len` bytes from where they are. What the connection does not take is
    /// copied, so that the frame is whole whatever the caller does next.
    fn poll_write_direct(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
        len: usize,
    ) -> Poll<io::Result<usize>> {
        let mut len = len;
        let mut slices = [IoSlice::new(&[]); SLICES];
        let used = take_slices(&mut slices, bufs, &mut len);
        let head: Head = head(Opcode::Binary, len, None);
        let [first, ..] = &mut slices;
        *first = IoSlice::new(head.as_ref());
        let slices = slices.get(..used).unwrap_or_default();
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, slices))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let mut skip = written;
        for slice in slices {
            let rest = slice.get(skip.min(slice.len())..).unwrap_or_default();
            skip = skip.saturating_sub(slice.len());
            if !rest.is_empty() {
                put(self.out.room(rest.len()), rest);
                self.out.add(rest.len());
            }
        }
        Poll::Ready(Ok(len))
    }
}

impl<T: Below> Below for WebsocketPipe<T> {
    fn poll_clear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.out.poll_drain(cx, &mut self.io))?;
        self.io.poll_clear(cx)
    }

    fn limit_unsent(&self, bytes: u32) {
        self.io.limit_unsent(bytes);
    }

    fn limit_unread(&self) {
        self.io.limit_unread();
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebsocketPipe<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        for _ in 0..MAX_FRUITLESS_READS {
            match this.decoder.end() {
                None => {}
                Some(ReadEnd::Closed) => return Poll::Ready(Ok(())),
                Some(ReadEnd::Broken(e)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, e)));
                }
            }
            ready!(this.poll_fill(cx, buf))?;
            // An answer that cannot be written fails the next write.
            let _ = this.answer(cx);
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
        turn::give_way(cx);
        Poll::Pending
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebsocketPipe<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let len = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(FRAME);
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        ready!(this.out.poll_drain(cx, &mut this.io))?;
        // What had to wait for its turn: a pong, or the closing frame, behind which nothing may follow.
        this.answer(cx)?;
        if this.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if this.keys.is_none() && this.out.is_empty() && this.io.is_write_vectored() {
            return this.poll_write_direct(cx, bufs, len);
        }
        this.queue_slices(Opcode::Binary, bufs, len)?;
        this.out.write(cx, &mut this.io)?;
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.out.poll_drain(cx, &mut this.io))?;
        this.answer(cx)?;
        ready!(this.out.poll_drain(cx, &mut this.io))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closed {
            ready!(this.out.poll_drain(cx, &mut this.io))?;
            this.queue(Opcode::Close, &NORMAL.to_be_bytes())?;
            this.closed = true;
        }
        ready!(this.out.poll_drain(cx, &mut this.io))?;
        if this.decoder.end().is_some() {
            Pin::new(&mut this.io).poll_shutdown(cx)
        } else {
            Pin::new(&mut this.io).poll_flush(cx)
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for WebsocketPipe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebsocketPipe")
            .field("io", &self.io)
            .finish_non_exhaustive()
    }
}

/// Random masks, so that nobody can have a client send bytes of their choice (RFC 6455, section
/// 10.3).
#[derive(Default)]
struct Keys {
    ready: [Mask; KEYS],
    left: usize,
}

impl Keys {
    fn next(&mut self) -> io::Result<Mask> {
        if self.left == 0 {
            let filled = aws_lc_rs::rand::fill(self.ready.as_flattened_mut());
            filled.map_err(|_| super::no_entropy())?;
            self.left = KEYS;
        }
        self.left -= 1;
        Ok(self.ready.get(self.left).copied().unwrap_or_default())
    }
}

/// Copies as much of `from` as `to` has room for, and returns how much.
fn put(to: &mut [u8], from: &[u8]) -> usize {
    let n = to.len().min(from.len());
    if let (Some(to), Some(from)) = (to.get_mut(..n), from.get(..n)) {
        to.copy_from_slice(from);
    }
    n
}

/// Fills `to` behind its first place with the first `len` bytes of `from`, or fewer, and returns the
/// places used; `len` becomes the bytes that are in them.
fn take_slices<'a>(to: &mut [IoSlice<'a>], from: &'a [IoSlice<'_>], len: &mut usize) -> usize {
    let mut used = 1;
    let mut taken = 0;
    for slice in from.iter().filter(|slice| !slice.is_empty()) {
        let part = slice
            .get(..slice.len().min(*len - taken))
            .unwrap_or_default();
        let Some(place) = to.get_mut(used).filter(|_| !part.is_empty()) else {
            break;
        };
        *place = IoSlice::new(part);
        taken += part.len();
        used += 1;
    }
    *len = taken;
    used
}

fn cut_off() -> io::Error {
    let text = "peer closed connection without a websocket closing frame";
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}
