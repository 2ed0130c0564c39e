//! What the two ends of a stream have in common.

use std::task::{Context, Poll};

use super::incoming::Incoming;
use super::losses::Losses;
use super::outgoing::Outgoing;

/// What this side does for the other to know that it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// The proxy's side: a Ping every 30 s.
    Send,
    /// The users' side: the stream is given up after 60 s without a byte.
    Expect,
}

/// The sockets at one end of a stream.
pub trait Ends: Send {
    /// What this end does for the other to know that it is there.
    const HEARTBEAT: Heartbeat;

    /// Takes what has come, a bounded number of datagrams, and puts it to `out`. Ready when there
    /// was something.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outgoing,
        losses: &mut Losses,
    ) -> Poll<()>;

    /// Sends what is in `incoming`. Pending while a socket takes no more; what is left stays.
    fn poll_deliver(
        &mut self,
        cx: &mut Context<'_>,
        incoming: &mut Incoming,
        losses: &mut Losses,
    ) -> Poll<()>;

    /// Forgets users that are long silent, and looks the local service's name up again.
    fn poll_upkeep(&mut self, cx: &mut Context<'_>);
}

/// The longest datagram there is, bytes.
pub const MAX_DATAGRAM: usize = 65_535;

/// `udpPacketSize` as a length: datagrams of any kind have at least one byte and at most these.
pub(super) fn packet_limit(udp_packet_size: i64) -> usize {
    usize::try_from(udp_packet_size)
        .unwrap_or(0)
        .clamp(1, MAX_DATAGRAM)
}
