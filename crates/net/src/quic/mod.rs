//! QUIC in the place of TCP, TLS and the mux: one connection per session, each of its streams what
//! a mux stream is elsewhere (frp `client/connector.go`, `server/service.go`: HandleQUICListener).
//!
//! quinn does the protocol. Here are its settings, what it may spend on strangers, and streams that
//! end as frp's do.

mod any_name;
mod congestion;
mod conn;
mod dial;
mod end;
mod listener;
mod reset;
mod stream;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::{
    AckFrequencyConfig, AsyncTimer, AsyncUdpSocket, EndpointConfig, IdleTimeout,
    MtuDiscoveryConfig, Runtime, TokioRuntime, TransportConfig, VarInt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio_util::task::TaskTracker;

pub use quinn::crypto::rustls::NoInitialCipherSuite;

pub use self::conn::QuicConn;
pub use self::dial::{connect, connect_over};
pub use self::end::{NO_APPLICATION_PROTOCOL, QuicDialError, QuicEnd};
pub use self::listener::{Arriving, Listener, ServerSettings};
pub use self::reset::ResetSecret;
pub use self::stream::QuicStream;
use crate::limits::{MAX_STRANGER_STREAMS, QUIC_STRANGER_WINDOW};

/// What both ends say in the TLS handshake (frp `client/connector.go`).
const ALPN: &[u8] = b"frp";

/// Bytes that a peer may send ahead of a reader that keeps up, as on a stream of the mux. So one stream
/// has 60 MB/s at a round trip of 100 ms, 300 MB/s at 20 ms.
///
/// Before [`WINDOW_AFTER`] it is [`FIRST_WINDOW`]. One limit for all streams of a connection there is none:
/// unread ones would stall the others and the control stream, as with quic-go, which gives a stream 512 KiB
/// to 6 MiB and a connection 15 MiB.
const STREAM_WINDOW: u32 = 6 * 1024 * 1024;

/// Bytes that a user who never reads may hold, as on the mux.
const FIRST_WINDOW: u32 = 256 * 1024;

/// Bytes that have to be read of a stream before it has the whole window: more than what the system takes
/// of a user who never reads, which is 256 KiB and more.
const WINDOW_AFTER: u64 = 768 * 1024;

/// Bytes that may be on their way to the peer of a connection: 1 Gbit/s at 130 ms. quic-go allows
/// 15 MiB.
const SEND_WINDOW: u64 = 16 * 1024 * 1024;

/// Bytes of a datagram that are tried on the loopback, where no link is in between: ten of them are what
/// the system takes at once, and most of what QUIC costs is for each datagram. Elsewhere quinn finds out
/// what an Ethernet takes.
const LOOPBACK_DATAGRAM: u16 = 6400;

/// Packets of a peer with the same extension (draft-ietf-quic-ack-frequency) that are acknowledged together:
/// an acknowledgement costs the receiver a system call, and wakes the sender.
const ACK_EVERY: u32 = 10;

/// An acknowledgement waits at most this long for company.
const ACK_DELAY: Duration = Duration::from_millis(2);

/// `transport.quic`
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Time between keep-alives; `None` for none.
    pub keepalive: Option<Duration>,
    /// Time without a packet until the end of a connection. The lower of both ends' counts.
    pub idle: Duration,
    /// Streams that a peer that has logged in may have open.
    pub max_streams: u64,
}

/// Who opens streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// frpc.
    Client,
    /// frps, which opens none.
    Server,
}

/// `peer` is at the other end of the connection.
fn transport(options: &Options, role: Role, peer: IpAddr) -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    let (streams, window) = match role {
        Role::Client => (VarInt::from_u32(0), VarInt::MAX),
        Role::Server => {
            let streams = options.max_streams.min(MAX_STRANGER_STREAMS as u64);
            (varint(streams), varint(QUIC_STRANGER_WINDOW))
        }
    };
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(ACK_EVERY))
        .max_ack_delay(Some(ACK_DELAY));
    let mut datagrams = MtuDiscoveryConfig::default();
    if peer.to_canonical().is_loopback() {
        datagrams.upper_bound(LOOPBACK_DATAGRAM);
    }
    // An idle connection is asked at least twice before it is given up.
    let keepalive = options.keepalive.map(|time| time.min(options.idle / 2));
    transport
        .max_concurrent_bidi_streams(streams)
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(IdleTimeout::try_from(options.idle).ok())
        .keep_alive_interval(keepalive.filter(|time| !time.is_zero()))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .first_stream_receive_window(VarInt::from_u32(FIRST_WINDOW), WINDOW_AFTER)
        .receive_window(window)
        .send_window(SEND_WINDOW)
        .ack_frequency_config(Some(acks))
        .mtu_discovery_config(Some(datagrams))
        .congestion_controller_factory(Arc::new(congestion::Factory::new()));
    Arc::new(transport)
}

/// As large as any that [`transport`] sends.
fn take_large_datagrams(config: &mut EndpointConfig) {
    // Refused only below 1200.
    let _ = config.max_udp_payload_size(LOOPBACK_DATAGRAM);
}

fn varint(value: u64) -> VarInt {
    VarInt::from_u64(value).unwrap_or(VarInt::MAX)
}

/// Opens a socket.
fn bind(addr: SocketAddr, dual_stack: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(!dual_stack)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// tokio, with quinn's own tasks tracked like all others.
#[derive(Debug)]
struct Tracked(TaskTracker);

impl Runtime for Tracked {
    fn new_timer(&self, at: Instant) -> std::pin::Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.spawn(task);
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}
