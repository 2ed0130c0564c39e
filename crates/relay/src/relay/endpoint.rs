//! One end of a relay: what the paths need to tell apart.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::layers::{Carried, Duplex};
use crate::limits::{END_UNANSWERED, END_UNHEARD};
use frp_net::below::unacknowledged;
use frp_net::cut::Cut;
use frp_net::mux::MuxStream;
use frp_net::stream::Stream;

pub(super) enum Endpoint {
    Tcp(TcpStream),
    Mux(MuxStream),
    Other(Box<dyn Duplex>),
}

impl Endpoint {
    /// The end, the bytes that were read from it already, and whether it
    /// [half-closes](Carried::half_closes).
    pub(super) fn of(carried: Carried) -> (Self, Bytes, bool) {
        let half_closes = carried.half_closes();
        let (end, leftover) = match carried.of_peer(true) {
            Carried::Plain {
                stream: Stream::Tcp(tcp),
                leftover,
            } => (Self::Tcp(tcp), leftover),
            Carried::Plain {
                stream: Stream::Mux(mux),
                leftover,
            } => (Self::Mux(mux), leftover),
            Carried::Plain { stream, leftover } => (Self::Other(Box::new(stream)), leftover),
            Carried::Layered(io) => (Self::Other(io), Bytes::new()),
            Carried::EndsBoth(io) => (Self::Other(io), Bytes::new()),
        };
        (end, leftover, half_closes)
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Mux(mux) => Pin::new(mux).poll_read(cx, buf),
            Self::Other(io) => Pin::new(io).poll_read(cx, buf),
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Mux(mux) => Pin::new(mux).poll_write(cx, buf),
            Self::Other(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            // A socket holds nothing back, and a mux session writes on its own.
            Self::Tcp(_) | Self::Mux(_) => Poll::Ready(Ok(())),
            Self::Other(io) => Pin::new(io).poll_flush(cx),
        }
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Mux(mux) => Pin::new(mux).poll_shutdown(cx),
            Self::Other(io) => Pin::new(io).poll_shutdown(cx),
        }
    }

    /// The TCP connection that carries the stream alone, if there is one.
    pub(super) fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            Self::Mux(_) => None,
            Self::Other(io) => io.socket(),
        }
    }

    /// Whether the system knows that there is no peer any more. Streams that share a connection are
    /// told by that.
    pub(super) fn is_gone(&self) -> bool {
        self.socket().is_some_and(|tcp| tcp.peer_addr().is_err())
    }

    /// The same of any stream, although nobody reads from it or writes to it. A connection that was reset
    /// behind the peer's end has been ended.
    pub(super) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        let Some(tcp) = self.socket() else {
            return self.poll_cut(cx);
        };
        match tcp.take_error() {
            Ok(Some(e)) if e.kind() != io::ErrorKind::BrokenPipe => Poll::Ready(Cut::Reset),
            _ if self.is_gone() => Poll::Ready(Cut::ReadsNoMore),
            _ => Poll::Pending,
        }
    }

    /// Whether a peer to which the end was passed on has acknowledged nothing for too long; `written`
    /// and `read` are the bytes that went there and came from there.
    pub(super) fn is_unanswered(&self, written: u64, read: u64) -> bool {
        let Some(tcp) = self.socket() else {
            return false;
        };
        let waits = unanswered(tcp);
        waits >= END_UNANSWERED || waits >= END_UNHEARD && self.is_unheard(written, read)
    }

    /// Whether nothing came from the peer, not even that it has the first byte.
    pub(super) fn is_unheard(&self, written: u64, read: u64) -> bool {
        let Some(tcp) = self.socket() else {
            return false;
        };
        read == 0 && written > 0 && unacknowledged(tcp) as u64 >= written
    }

    /// How the peer of a stream without a [`socket`](Self::socket) has cut it off.
    pub(super) fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        match self {
            Self::Tcp(_) => Poll::Pending,
            Self::Mux(mux) => mux.poll_cut(cx),
            Self::Other(io) => io.poll_cut(cx),
        }
    }

    /// Ends the stream so that the peer sees a failure and not an end, as far as its kind can.
    pub(super) fn abort(self) {
        match self {
            Self::Tcp(tcp) => Stream::Tcp(tcp).abort(),
            Self::Mux(mux) => mux.abort(),
            Self::Other(io) => io.abort(),
        }
    }
}

/// Since when nothing came from a peer that owes an acknowledgement; zero where it owes none, or the
/// system cannot tell. One that has no room for more owes none: it may read on at any time.
#[cfg(target_os = "linux")]
fn unanswered(tcp: &TcpStream) -> Duration {
    use std::os::fd::AsRawFd;

    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open as long as `tcp` is borrowed; the system writes at most `len` bytes
    // to `info`, for which all bits zero are a value.
    #[allow(unsafe_code)]
    let info = unsafe {
        let fd = tcp.as_raw_fd();
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
        if libc::getsockopt(fd, level, name, info.as_mut_ptr().cast(), &raw mut len) != 0 {
            return Duration::ZERO;
        }
        info.assume_init()
    };
    match info.tcpi_unacked {
        0 => Duration::ZERO,
        _ => Duration::from_millis(info.tcpi_last_ack_recv.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn unanswered(_tcp: &TcpStream) -> Duration {
    Duration::ZERO
}
