//! Datagrams that came out of the stream and go to sockets.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use frp_proto::msg::UdpAddr;
use frp_proto::wire::WireProtocol;
use frp_proto::wire::datagram::{self, Payload};
use tokio::io::{AsyncRead, ReadBuf};

use crate::msg_stream::RecvError;
use frp_net::scratch::with_scratch;

/// What the buffers keep at rest, bytes and datagrams.
const IDLE_CONTENT: usize = 4 * 1024;
const IDLE_DATAGRAMS: usize = 16;

/// Datagrams of one read, as they go to the sockets.
#[derive(Debug, Default)]
pub struct Incoming {
    /// The start of a message that has not come whole.
    partial: BytesMut,
    content: Vec<u8>,
    datagrams: Vec<(UdpAddr, Range<usize>)>,
    next: usize,
}

impl Incoming {
    /// Whether all of them went to their sockets.
    pub(super) fn is_empty(&self) -> bool {
        self.next >= self.datagrams.len()
    }

    /// The datagrams that are left, in order.
    pub(super) fn left(&self) -> impl Iterator<Item = (&UdpAddr, &[u8])> {
        let left = self.datagrams.get(self.next..).unwrap_or_default();
        left.iter()
            .map(|(remote, range)| (remote, self.content.get(range.clone()).unwrap_or_default()))
    }

    /// The first of those that are left.
    pub(super) fn first(&self) -> Option<(&UdpAddr, &[u8])> {
        self.left().next()
    }

    /// The first `n` of those that are left are done.
    pub(super) fn done(&mut self, n: usize) {
        self.next += n;
        if self.is_empty() {
            self.next = 0;
            self.datagrams.clear();
            self.content.clear();
        }
    }

    /// Bytes of the datagrams that are here.
    pub(super) fn bytes(&self) -> usize {
        self.content.len()
    }

    /// Gives back what only a busy stream needs.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            self.content.shrink_to(IDLE_CONTENT);
            self.datagrams.shrink_to(IDLE_DATAGRAMS);
        }
        if self.partial.is_empty() {
            self.partial = BytesMut::new();
        }
    }

    /// Reads once, and takes all datagrams that came whole. Only to be called when
    /// [`is_empty`](Self::is_empty).
    pub(super) fn poll_read<T: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut T,
        protocol: WireProtocol,
    ) -> Poll<Result<(), RecvError>> {
        with_scratch(|scratch| {
            let mut read = ReadBuf::new(scratch);
            ready!(Pin::new(io).poll_read(cx, &mut read)).map_err(io_error)?;
            let read = read.filled();
            if read.is_empty() {
                return Poll::Ready(Err(match self.partial.is_empty() {
                    true => RecvError::Closed,
                    false => RecvError::Truncated,
                }));
            }
            if self.partial.is_empty() {
                let used = self.take_all(read, protocol)?;
                self.partial
                    .extend_from_slice(read.get(used..).unwrap_or_default());
            } else {
                let mut all = std::mem::take(&mut self.partial);
                all.extend_from_slice(read);
                let used = self.take_all(&all, protocol)?;
                all.advance(used);
                self.partial = all;
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Takes the whole messages that `bytes` starts with; how many bytes they take.
    fn take_all(&mut self, bytes: &[u8], protocol: WireProtocol) -> Result<usize, RecvError> {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            let start = self.content.len();
            let Some((n, payload)) = datagram::decode(protocol, rest, &mut self.content)? else {
                break;
            };
            used += n;
            if let Payload::Datagram(Some(remote)) = payload {
                self.datagrams.push((remote, start..self.content.len()));
            } else {
                // A datagram of nobody, a Ping, or what has no meaning here, as in frp.
                self.content.truncate(start);
            }
        }
        Ok(used)
    }
}

fn io_error(e: io::Error) -> RecvError {
    RecvError::Io(e)
}
