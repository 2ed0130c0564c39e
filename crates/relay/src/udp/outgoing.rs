//! Datagrams on their way into the stream, as messages.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use frp_proto::msg::{Message, Ping};
use frp_proto::wire::datagram::{self, AddrText, Payload};
use frp_proto::wire::{self, WireProtocol};
use tokio::io::AsyncWrite;

use super::losses::Losses;

/// Datagrams that may wait for the stream (frp `server/proxy/udp.go`: sendCh).
const QUEUE: usize = 1024;

/// The same in bytes, for the big ones.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// Kept at rest, bytes.
const IDLE_BUFFER: usize = 4 * 1024;

/// Messages that wait for the stream; more than 1,024 are dropped. They also wait for a stream
/// that is not there yet.
#[derive(Debug)]
pub struct Outgoing {
    protocol: WireProtocol,
    buf: BytesMut,
    /// Where each message in `buf` ends, counted from the first byte ever.
    ends: VecDeque<u64>,
    written: u64,
    /// The end of the last message of which all is written.
    sent: u64,
    /// Layers may hold what they were given.
    flush: bool,
    datagram_bytes: usize,
}

impl Outgoing {
    /// None yet, for streams that speak `protocol`.
    pub(super) fn new(protocol: WireProtocol) -> Self {
        Self {
            protocol,
            buf: BytesMut::new(),
            ends: VecDeque::new(),
            written: 0,
            sent: 0,
            flush: false,
            datagram_bytes: 0,
        }
    }

    /// How the messages are framed.
    pub(super) fn protocol(&self) -> WireProtocol {
        self.protocol
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// Puts a datagram of `remote` behind the others.
    pub(super) fn push(&mut self, content: &[u8], remote: &AddrText, losses: &mut Losses) {
        if self.ends.len() >= QUEUE || self.buf.len() >= QUEUE_BYTES {
            return losses.overflow();
        }
        match datagram::encode(self.protocol, content, remote, &mut self.buf) {
            Ok(()) => {
                self.datagram_bytes += content.len();
                self.end_message();
            }
            Err(_) => losses.too_long(content.len()),
        }
    }

    /// Puts a Ping behind the others.
    pub(super) fn ping(&mut self) {
        if wire::encode(
            self.protocol,
            &Message::Ping(Ping::default()),
            &mut self.buf,
        )
        .is_ok()
        {
            self.end_message();
        }
    }

    /// Bytes of datagrams that were put here since this was last asked.
    pub(super) fn take_count(&mut self) -> usize {
        std::mem::take(&mut self.datagram_bytes)
    }

    /// The next stream, which speaks `protocol`, begins with a whole message: one that went into
    /// the last stream only in part is dropped. What is whole waits for the stream.
    pub(super) fn begin_stream(&mut self, protocol: WireProtocol, losses: &mut Losses) {
        self.flush = false;
        if self.written > self.sent
            && let Some(end) = self.ends.pop_front()
        {
            self.buf.advance((end - self.written) as usize);
            (self.written, self.sent) = (end, end);
        }
        if self.protocol != protocol {
            self.frame_anew(protocol, losses);
        }
    }

    fn frame_anew(&mut self, protocol: WireProtocol, losses: &mut Losses) {
        let before = std::mem::replace(self, Self::new(protocol));
        let mut rest = &before.buf[..];
        let mut content = Vec::new();
        while let Ok(Some((used, payload))) = datagram::decode(before.protocol, rest, &mut content)
        {
            if let Payload::Datagram(Some(remote)) = payload {
                self.push(&content, &AddrText::from(&remote), losses);
            }
            content.clear();
            rest = rest.get(used..).unwrap_or_default();
        }
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.protocol);
    }

    /// Writes and flushes until all is out.
    pub(super) fn poll_write<T: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut T,
    ) -> Poll<io::Result<()>> {
        while !self.buf.is_empty() {
            let n = ready!(Pin::new(&mut *io).poll_write(cx, &self.buf))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.flush = true;
            self.advance(n);
        }
        if self.flush {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.flush = false;
        }
        Poll::Ready(Ok(()))
    }

    fn end_message(&mut self) {
        self.ends.push_back(self.written + self.buf.len() as u64);
    }

    fn advance(&mut self, n: usize) {
        self.buf.advance(n);
        self.written += n as u64;
        while let Some(end) = self.ends.front().filter(|end| **end <= self.written) {
            self.sent = *end;
            self.ends.pop_front();
        }
        if self.buf.is_empty() && self.buf.capacity() > IDLE_BUFFER {
            self.buf = BytesMut::new();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use frp_proto::msg::UdpAddr;
    use std::task::Waker;
    use tokio::io::{AsyncReadExt as _, duplex};

    use super::*;

    fn losses() -> Losses {
        Losses::new(tracing::Span::none())
    }

    fn push(out: &mut Outgoing, content: &[u8], losses: &mut Losses) {
        let remote = UdpAddr::from("192.0.2.1:53".parse::<std::net::SocketAddr>().unwrap());
        out.push(content, &AddrText::from(&remote), losses);
    }

    #[test]
    fn beyond_the_queue_datagrams_are_dropped_and_counted() {
        let mut out = Outgoing::new(WireProtocol::V1);
        let mut losses = losses();
        for _ in 0..QUEUE + 5 {
            push(&mut out, b"x", &mut losses);
        }
        assert_eq!(losses.total(), 5);
        push(
            &mut Outgoing::new(WireProtocol::V1),
            &[0; 8000],
            &mut losses,
        );
        assert_eq!(losses.total(), 6, "too long for wire v1");
        let mut v2 = Outgoing::new(WireProtocol::V2);
        push(&mut v2, &[0; 8000], &mut losses);
        assert_eq!(losses.total(), 6);
        let said = losses.due().unwrap();
        assert_eq!(losses.due(), None);
        assert!(said.contains("5 because the connection"), "{said}");
        assert!(said.contains("the longest 8000 bytes"), "{said}");
    }

    #[test]
    fn what_waits_for_a_stream_is_framed_as_the_stream_wants() {
        let mut losses = losses();
        let (mut out, mut other) = (
            Outgoing::new(WireProtocol::V2),
            Outgoing::new(WireProtocol::V1),
        );
        for content in [&b"one"[..], b"", b"two"] {
            push(&mut out, content, &mut losses);
            push(&mut other, content, &mut losses);
        }
        push(&mut out, &[0; 8000], &mut losses);
        out.begin_stream(WireProtocol::V1, &mut losses);
        assert_eq!(out.buf, other.buf);
        assert_eq!(out.ends, other.ends);
        assert_eq!(losses.total(), 1);
    }

    #[tokio::test]
    async fn a_new_stream_begins_with_a_whole_message() {
        let mut out = Outgoing::new(WireProtocol::V1);
        let mut losses = losses();
        for content in [b"one", b"two", b"six"] {
            push(&mut out, content, &mut losses);
        }
        let mut cx = Context::from_waker(Waker::noop());
        let (mut narrow, far) = duplex(100);
        assert!(out.poll_write(&mut cx, &mut narrow).is_pending());
        drop((narrow, far));
        out.begin_stream(WireProtocol::V1, &mut losses);
        let (mut wide, mut far) = duplex(1000);
        assert!(out.poll_write(&mut cx, &mut wide).is_ready());
        drop(wide);
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        let mut content = Vec::new();
        let first = datagram::decode(WireProtocol::V1, &all, &mut content);
        let (used, payload) = first.unwrap().unwrap();
        assert!(matches!(payload, Payload::Datagram(Some(_))));
        assert_eq!(content, b"six", "the second was cut");
        assert_eq!(used, all.len());
        assert!(out.buf.is_empty() && out.ends.is_empty());
    }
}
