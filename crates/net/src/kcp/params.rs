//! The numbers of KCP: those that the wire and frp fix, and how this side goes about it. Times are
//! milliseconds, as KCP counts, sizes bytes unless a name says otherwise. What a stranger can make us
//! spend stands in [`crate::limits`].

/// The largest KCP packet that is sent, without the header of error correction (frp
/// `pkg/util/net/kcp.go`: `SetMtu(1350)`).
pub const MTU: usize = 1350;
/// The largest datagram that is taken (kcp-go `mtuLimit`).
pub const DATAGRAM_MAX: usize = 1500;

/// Segments in flight, and kept for a reader that keeps up. frp has 1024 and 1024 in frps (frp
/// `pkg/util/net/kcp.go`), 128 and 512 in frpc (golib `net/dial.go`), and 128 segments are 14 Mbit/s at a
/// round trip of 100 ms; these are 430. The lower of what the one end has in flight and the other keeps
/// counts, and what would only wait in a queue of the path is not sent.
pub const WINDOWS: (u16, u16) = (4096, 4096);
/// Segments that are in flight before any was acknowledged, as with quic-go.
pub(super) const FIRST_FLIGHT: usize = 32;
/// The peer's window before it has told.
pub(super) const FIRST_WINDOW: u16 = 32;

/// The time of kcp's flush (frp: `SetNoDelay(1, 20, 2, 1)`): bytes that nobody flushed go out after
/// it, and no retransmission is due earlier after an answer than this.
pub(super) const INTERVAL: u64 = 20;
/// Later segments that must have been acknowledged before one counts as lost (`SetNoDelay`).
pub(super) const FAST_RESEND: u8 = 2;
/// The retransmission time: before an answer, the least and the most.
pub(super) const RTO_FIRST: u64 = 200;
pub(super) const RTO_MIN: u64 = 30;
pub(super) const RTO_MAX: u64 = 60_000;

/// An acknowledgement waits this long for company; one that tells of a gap less.
pub(super) const ACK_DELAY: u64 = 10;
pub(super) const ACK_DELAY_AT_GAP: u64 = 2;
/// Segments that are acknowledged without delay.
pub(super) const ACK_EVERY: usize = 16;

/// A closed window of the peer is asked for after this time, then less and less often. kcp-go asks
/// after 7 s, which is how long the loss of one packet holds up a connection there.
pub(super) const PROBE_FIRST: u64 = 500;
pub(super) const PROBE_MAX: u64 = 10_000;

/// Whether a peer that was silent is there is asked again after this time.
pub(super) const KEEPALIVE_AGAIN: u64 = 5_000;

/// After this time without traffic a session keeps no buffers.
pub(super) const REST: u64 = 1_000;
