//! What lies between a stream and its payload: bandwidth limit, cipher and compression for work
//! and visitor connections, ciphers for control connections.
//!
//! A layer owns no buffer while nothing is under way. It may hold encoded bytes that the inner
//! stream did not take yet, so whoever writes must flush when it has no more to write.

mod aead;
mod cipher;
mod control;
mod limit;
mod outbox;
mod snappy;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use frp_proto::crypto::cfb;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub use self::aead::AeadStream;
pub use self::cipher::CipherStream;
pub use self::control::{ControlIo, ControlPipe, Negotiated, Pipe, control};
pub use self::limit::{Bucket, LimitStream};
pub use self::snappy::{SnappyError, SnappyStream};
use frp_net::cut::Cut;
use frp_net::stream::Stream;
use frp_net::tls::TlsPipe;

/// Which layers a connection has.
#[derive(Clone, Debug, Default)]
pub struct LayerOptions {
    /// `transport.useEncryption`: the key derived from the token, or from the proxy's `secretKey`
    /// on a visitor's leg.
    pub cipher: Option<cfb::Key>,
    /// `transport.useCompression`.
    pub compress: bool,
    /// `transport.bandwidthLimit`: the proxy's bucket, if this program is the one that limits.
    pub limit: Option<Arc<Bucket>>,
}

/// Which program stacks the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// frpc: the limit lies next to the wire and counts what goes over it.
    Client,
    /// frps: the limit lies next to the user and counts plain bytes.
    Server,
}

/// Puts the layers of `opts` over `stream`, in the order that frp has on this `side`; `leftover` is
/// what was read from the stream beyond the last message.
///
/// On the wire both orders are the same: data is compressed, then enciphered. Only what the limit
/// counts differs (frp `client/proxy/proxy.go`, `server/proxy/proxy.go`).
pub fn wrap(stream: Stream, leftover: Bytes, opts: &LayerOptions, side: Side) -> Carried {
    if opts.cipher.is_none() && !opts.compress && opts.limit.is_none() {
        return Carried::Plain { stream, leftover };
    }
    let (near_wire, near_user) = match side {
        Side::Client => (opts.limit.clone(), None),
        Side::Server => (None, opts.limit.clone()),
    };
    let mut io: Box<dyn Duplex> = Box::new(Carried::Plain { stream, leftover });
    if let Some(bucket) = near_wire {
        io = Box::new(LimitStream::new(io, bucket));
    }
    if let Some(key) = &opts.cipher {
        io = Box::new(CipherStream::new(io, key.clone()));
    }
    if opts.compress {
        io = Box::new(SnappyStream::new(io));
    }
    if let Some(bucket) = near_user {
        io = Box::new(LimitStream::new(io, bucket));
    }
    Carried::Layered(io)
}

/// A byte stream that can be cut off.
pub trait Duplex: Pipe {
    /// Ends the stream so that the peer sees a failure instead of an end, where its kind can.
    fn abort(self: Box<Self>);

    /// The TCP connection below, if it carries this stream alone.
    fn socket(&self) -> Option<&TcpStream> {
        None
    }

    /// How the peer has cut the stream off. Only where the stream itself can tell: those that have a
    /// [socket](Self::socket) are told by that.
    fn poll_cut(&mut self, _cx: &mut Context<'_>) -> Poll<Cut> {
        Poll::Pending
    }
}

/// The stream that carries a connection's payload.
pub enum Carried {
    /// The stream itself.
    Plain {
        /// The pipe.
        stream: Stream,
        /// Payload that was read from it already.
        leftover: Bytes,
    },
    /// A stream under layers, or any other kind of pipe.
    Layered(Box<dyn Duplex>),
    /// One whose end of input is the end of both directions, see [`Carried::of_peer`].
    EndsBoth(Box<Self>),
}

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain { .. } => "Carried::Plain",
            Self::Layered(_) => "Carried::Layered",
            Self::EndsBoth(_) => "Carried::EndsBoth",
        })
    }
}

impl Carried {
    /// Any other kind of pipe, such as a Unix socket; [`Duplex::abort`] just closes it.
    pub fn other(io: impl Pipe + 'static) -> Self {
        Self::Layered(Box::new(Foreign(io)))
    }

    /// The same stream as that of a program of frp's protocol, which ends one direction at a time if
    /// it `half_closes` ([`frp_proto::features::HALF_CLOSE`]). Otherwise its first end is that of both,
    /// for frp itself closes both then, and the mux has no other word for that.
    pub fn of_peer(self, half_closes: bool) -> Self {
        match self {
            Self::EndsBoth(carried) if half_closes => *carried,
            Self::EndsBoth(_) => self,
            _ if half_closes => self,
            _ => Self::EndsBoth(Box::new(self)),
        }
    }

    /// Whether an end of input is that of one direction only.
    pub fn half_closes(&self) -> bool {
        !matches!(self, Self::EndsBoth(_))
    }
}

impl From<TcpStream> for Carried {
    fn from(tcp: TcpStream) -> Self {
        Self::from(Stream::Tcp(tcp))
    }
}

impl From<Stream> for Carried {
    fn from(stream: Stream) -> Self {
        Self::Plain {
            stream,
            leftover: Bytes::new(),
        }
    }
}

/// Reads its payload after what was read from it before.
impl AsyncRead for Carried {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain { stream, leftover } => poll_read_after(stream, leftover, cx, buf),
            Self::Layered(io) => Pin::new(io).poll_read(cx, buf),
            Self::EndsBoth(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Carried {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain { stream, .. } => Pin::new(stream).poll_write(cx, buf),
            Self::Layered(io) => Pin::new(io).poll_write(cx, buf),
            Self::EndsBoth(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain { stream, .. } => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Layered(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Self::EndsBoth(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain { stream, .. } => stream.is_write_vectored(),
            Self::Layered(io) => io.is_write_vectored(),
            Self::EndsBoth(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain { stream, .. } => Pin::new(stream).poll_flush(cx),
            Self::Layered(io) => Pin::new(io).poll_flush(cx),
            Self::EndsBoth(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain { stream, .. } => Pin::new(stream).poll_shutdown(cx),
            Self::Layered(io) => Pin::new(io).poll_shutdown(cx),
            Self::EndsBoth(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

impl Duplex for Carried {
    fn abort(self: Box<Self>) {
        match *self {
            Self::Plain { stream, .. } => stream.abort(),
            Self::Layered(io) => io.abort(),
            Self::EndsBoth(io) => io.abort(),
        }
    }

    fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain { stream, .. } => stream.socket(),
            Self::Layered(io) => io.socket(),
            Self::EndsBoth(io) => io.socket(),
        }
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        match self {
            Self::Plain { stream, .. } => stream.poll_cut(cx),
            Self::Layered(io) => io.poll_cut(cx),
            Self::EndsBoth(io) => io.poll_cut(cx),
        }
    }
}

impl Duplex for Stream {
    fn abort(self: Box<Self>) {
        (*self).abort();
    }

    fn socket(&self) -> Option<&TcpStream> {
        Self::socket(self)
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        Self::poll_cut(self, cx)
    }
}

impl Duplex for LimitStream<Box<dyn Duplex>> {
    fn abort(self: Box<Self>) {
        self.into_inner().abort();
    }

    fn socket(&self) -> Option<&TcpStream> {
        self.inner().socket()
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        self.inner_mut().poll_cut(cx)
    }
}

impl Duplex for CipherStream<Box<dyn Duplex>> {
    fn abort(self: Box<Self>) {
        self.into_inner().abort();
    }

    fn socket(&self) -> Option<&TcpStream> {
        self.inner().socket()
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        self.inner_mut().poll_cut(cx)
    }
}

impl Duplex for SnappyStream<Box<dyn Duplex>> {
    fn abort(self: Box<Self>) {
        self.into_inner().abort();
    }

    fn socket(&self) -> Option<&TcpStream> {
        self.inner().socket()
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        self.inner_mut().poll_cut(cx)
    }
}

/// The TLS of a user, over the stream that stands for the user.
impl<T: Duplex> Duplex for TlsPipe<T> {
    fn abort(self: Box<Self>) {
        // Without its closing record the peer knows that the session was cut.
        Box::new(self.into_io()).abort();
    }

    fn socket(&self) -> Option<&TcpStream> {
        self.io().socket()
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        self.io_mut().poll_cut(cx)
    }
}

/// A pipe of a kind that cannot be cut off otherwise than by closing it.
struct Foreign<T>(T);

impl<T: AsyncRead + Unpin> AsyncRead for Foreign<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Foreign<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

impl<T: Pipe> Duplex for Foreign<T> {
    fn abort(self: Box<Self>) {}
}

fn poll_read_after(
    stream: &mut Stream,
    leftover: &mut Bytes,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    if leftover.is_empty() {
        return Pin::new(stream).poll_read(cx, buf);
    }
    let n = leftover.len().min(buf.remaining());
    buf.put_slice(leftover.get(..n).unwrap_or_default());
    leftover.advance(n);
    if leftover.is_empty() {
        *leftover = Bytes::new();
    }
    Poll::Ready(Ok(()))
}
