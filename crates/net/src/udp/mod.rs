//! Datagrams of udp and sudp proxies, and the stream of messages that carries them.
//!
//! One end of a stream has [`Users`]: a socket that users send to (frps, and a sudp visitor). The
//! other has [`Locals`]: a socket of its own for each user, connected to the local service (frpc).
//! [`mod@carry`] moves datagrams between such an end and the stream in one task, without a task, a
//! channel or an allocation per datagram: what has come is taken in one go, becomes one write, and
//! what was read goes out in one system call where the system can (frp `pkg/proto/udp/udp.go`).
//!
//! A datagram arrives whole or not at all. Whatever is dropped is counted and said ([`Losses`]).

mod bridge;
mod carry;
mod incoming;
mod locals;
mod losses;
mod outgoing;
mod socket;
mod target;
mod users;

use std::task::{Context, Poll};

pub use self::bridge::{Bridged, bridge};
pub use self::carry::{CarryError, Heartbeat, carry, meanwhile, wait_for_datagram};
pub use self::incoming::Incoming;
pub use self::locals::{LocalOptions, Locals, Reached, Tell};
pub use self::losses::Losses;
pub use self::outgoing::Outgoing;
pub use self::socket::{bind, bind_at};
pub use self::target::Target;
pub use self::users::{Gate, Users};

/// The sockets at one end of a stream.
pub trait Ends: Send {
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
fn packet_limit(udp_packet_size: i64) -> usize {
    usize::try_from(udp_packet_size)
        .unwrap_or(0)
        .clamp(1, MAX_DATAGRAM)
}
