//! The byte pipes that carry frp: what is left of a connection once it has been accepted or
//! dialled, and perhaps wrapped in TLS or taken from a mux.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::below::Below;
use crate::cut::Cut;
use crate::kcp::{self, KcpStream};
use crate::memory::MemoryPipe;
use crate::mux::MuxStream;
use crate::quic::QuicStream;
use crate::tls::{Channel, TlsPipe};
use crate::websocket::WebsocketPipe;

/// One bidirectional byte pipe. An enum rather than a trait object: the relay asks which kind it
/// has, because each kind has its own fastest way to move bytes.
#[derive(Debug)]
pub enum Stream {
    /// A bare TCP connection.
    Tcp(TcpStream),
    /// KCP over UDP.
    Kcp(KcpStream),
    /// TLS over another of these.
    Tls(Box<TlsPipe<Self>>),
    /// A websocket over any of the others.
    Websocket(Box<WebsocketPipe<Self>>),
    /// One stream of a multiplexed connection.
    Mux(MuxStream),
    /// One stream of a QUIC connection.
    Quic(Box<QuicStream>),
    /// A pipe within the program.
    Memory(Box<MemoryPipe>),
}

/// What carries a connection, below TLS and the mux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// KCP over UDP.
    Kcp,
    /// QUIC.
    Quic,
    /// A websocket.
    Websocket,
    /// Nothing: both ends are in this program.
    Inside,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Inside,
        Self::Kcp,
        Self::Quic,
        Self::Tcp,
        Self::Websocket,
    ];

    /// As in `transport.protocol`; `inside` is none of those.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Kcp => "kcp",
            Self::Quic => "quic",
            Self::Websocket => "websocket",
            Self::Inside => "inside",
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(conn: TcpStream) -> Self {
        Self::Tcp(conn)
    }
}

impl Stream {
    /// Ends a stream that is not wanted at once, in both directions.
    pub fn refuse(self) {
        match self {
            Self::Mux(stream) => stream.reset(),
            Self::Quic(stream) => stream.reset(),
            Self::Memory(pipe) => pipe.abort(),
            Self::Tcp(_) | Self::Kcp(_) | Self::Tls(_) | Self::Websocket(_) => {}
        }
    }

    /// Ends the stream so that the peer sees a failure instead of an end, where its kind can.
    pub fn abort(self) {
        match self {
            // If a reset cannot be set, it will be a normal close.
            Self::Tcp(tcp) => drop(tcp.set_zero_linger()),
            Self::Mux(mux) => mux.abort(),
            Self::Quic(quic) => quic.abort(),
            Self::Kcp(kcp) => kcp.abort(),
            Self::Memory(pipe) => pipe.abort(),
            // Without its closing record the peer knows that the session was cut.
            Self::Tls(tls) => tls.into_io().abort(),
            Self::Websocket(websocket) => websocket.into_io().abort(),
        }
    }

    /// The certificate that the peer has shown, DER, where TLS is among the layers.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        match self {
            Self::Tls(io) => io.peer_certificate(),
            Self::Websocket(io) => io.io().peer_certificate(),
            _ => None,
        }
    }

    /// What carries the stream, and whether TLS is among its layers. One of many streams counts as what
    /// carries them where it can be nothing else.
    pub fn transport(&self) -> (Transport, bool) {
        match self {
            Self::Tcp(_) | Self::Mux(_) => (Transport::Tcp, false),
            Self::Kcp(_) => (Transport::Kcp, false),
            Self::Quic(_) => (Transport::Quic, true),
            Self::Memory(_) => (Transport::Inside, false),
            Self::Tls(io) => (io.io().transport().0, true),
            Self::Websocket(io) => (Transport::Websocket, io.io().transport().1),
        }
    }

    /// What the TLS connection is known by that carries this stream alone.
    pub fn channel(&self) -> Option<Channel> {
        match self {
            Self::Tls(io) => io.channel(),
            Self::Websocket(io) => io.io().channel(),
            Self::Tcp(_) | Self::Kcp(_) | Self::Mux(_) | Self::Quic(_) | Self::Memory(_) => None,
        }
    }

    /// The peer of the kcp session below, if one carries this stream alone.
    pub(crate) fn kcp_peer(&self) -> Option<kcp::Peer> {
        match self {
            Self::Kcp(io) => Some(io.peer()),
            Self::Tls(io) => io.io().kcp_peer(),
            Self::Websocket(io) => io.io().kcp_peer(),
            Self::Tcp(_) | Self::Mux(_) | Self::Quic(_) | Self::Memory(_) => None,
        }
    }

    /// How the peer has cut the stream off; never where only the [`socket`](Self::socket) can tell.
    pub fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        match self {
            Self::Mux(io) => io.poll_cut(cx),
            Self::Quic(io) => io.poll_cut(cx),
            Self::Memory(io) => io.poll_cut(cx),
            Self::Kcp(_) | Self::Tls(_) | Self::Websocket(_) => match self.kcp_peer() {
                Some(peer) => peer.poll_cut(cx),
                None => Poll::Pending,
            },
            Self::Tcp(_) => Poll::Pending,
        }
    }

    /// The TCP connection below, if it carries this stream alone.
    pub fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(io) => Some(io),
            Self::Tls(io) => io.io().socket(),
            Self::Websocket(io) => io.io().socket(),
            Self::Kcp(_) | Self::Mux(_) | Self::Quic(_) | Self::Memory(_) => None,
        }
    }
}

macro_rules! each {
    ($stream:expr, $io:ident => $call:expr) => {
        match $stream.get_mut() {
            Stream::Tcp($io) => $call,
            Stream::Kcp($io) => $call,
            Stream::Tls($io) => $call,
            Stream::Websocket($io) => $call,
            Stream::Mux($io) => $call,
            Stream::Quic($io) => $call,
            Stream::Memory($io) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(io) => io.is_write_vectored(),
            Self::Kcp(io) => io.is_write_vectored(),
            Self::Tls(io) => io.is_write_vectored(),
            Self::Websocket(io) => io.is_write_vectored(),
            Self::Mux(io) => io.is_write_vectored(),
            Self::Quic(io) => io.is_write_vectored(),
            Self::Memory(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_shutdown(cx))
    }
}

impl Below for Stream {
    fn poll_clear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(io) => io.poll_clear(cx),
            Self::Tls(io) => io.poll_clear(cx),
            Self::Websocket(io) => io.poll_clear(cx),
            Self::Kcp(_) | Self::Mux(_) | Self::Quic(_) | Self::Memory(_) => Poll::Ready(Ok(())),
        }
    }

    fn limit_unsent(&self, bytes: u32) {
        match self {
            Self::Tcp(io) => io.limit_unsent(bytes),
            Self::Tls(io) => io.limit_unsent(bytes),
            Self::Websocket(io) => io.limit_unsent(bytes),
            Self::Kcp(_) | Self::Mux(_) | Self::Quic(_) | Self::Memory(_) => {}
        }
    }

    fn limit_unread(&self) {
        match self {
            Self::Tcp(io) => io.limit_unread(),
            Self::Tls(io) => io.limit_unread(),
            Self::Websocket(io) => io.limit_unread(),
            Self::Kcp(_) | Self::Mux(_) | Self::Quic(_) | Self::Memory(_) => {}
        }
    }
}
