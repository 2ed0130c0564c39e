//! Every wait and size of the pipes that a peer can make us spend, in one place. Waits are [`Duration`]s, sizes
//! are bytes unless a name says otherwise. A value that frp fixes carries frp's file.

use std::time::Duration;

/// From accept to the first complete message, per stage: sniff, TLS handshake, first message on a
/// stream (frp `server/service.go`: connReadTimeout).
pub const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);

/// Certificates of servers that are remembered to have been marked: a client has one server, or a few.
pub const MAX_MARKED: usize = 64;

/// Connections that have not logged in yet, over all sources, where there are descriptors for them.
/// Beyond it one of the most crowded source is closed. What all of them may hold together is at most
/// 64 MiB: see [`MUX_STRANGER_SHARE`], `FIRST_MESSAGE_SHARE` of `frp-relay`, [`STRANGERS_POOL`],
/// [`KCP_STRANGER_WINDOW`], [`QUIC_STRANGER_WINDOW`].
pub const MAX_STRANGERS: usize = 1024;

/// The least of them, however few descriptors there are.
pub const MIN_STRANGERS: usize = 16;

/// Those from addresses of clients that are logged in, which have places of their own: the work
/// connections that are being opened without the mux. Where they are more, the places of strangers do.
pub const MAX_GUESTS: usize = 256;

/// From accept to the end of the PROXY protocol's header, which a proxy sends at once: at least the 3 s in which a
/// lost packet is sent again (the specification, section 2).
pub const PROXY_HEADER: Duration = Duration::from_secs(5);

/// Streams of one multiplexed connection that may wait for their first message at a time while the
/// connection has no session.
pub const MAX_STRANGER_STREAMS: usize = 2;

/// Bytes that a multiplexed connection may have sent before its login and nobody has read, over all its
/// streams: the largest login and what comes with it. yamux lets a peer send more on a stream unasked.
pub const MUX_STRANGER_BYTES: usize = 96 * 1024;

/// Of these, those that each has for itself; the others come out of [`STRANGERS_POOL`]. A login of wire
/// v1 has less than 10 kB.
pub const MUX_STRANGER_SHARE: usize = 12 * 1024;

/// Bytes that it may have sent in all before its login, frames of every kind: what yamux lets each of its two streams
/// send unasked. A login is one message and a few frames beside it.
pub const MUX_STRANGER_TOTAL: usize = 512 * 1024;

/// Bytes that all who have not logged in may hold beyond the share of each.
pub const STRANGERS_POOL: usize = 8 * 1024 * 1024;

/// Bytes of a multiplexed connection that has logged in, over all its streams, which nobody has read:
/// beyond, no stream may have more than yamux gives to everybody. Each of 160 users who read nothing
/// can hold 256 KiB; windows of 6 MiB are for those who read.
pub const MUX_UNREAD_BYTES: usize = 64 * 1024 * 1024;

/// Bytes that a direction of a pipe within the program holds.
pub const MEMORY_PIPE: usize = 64 * 1024;

/// Pipes that one end of a connection within the program has opened and the other has not taken.
pub const MEMORY_BACKLOG: usize = 16;

/// Bytes that the system takes for a user or a service before it has sent those that it has; more
/// would wait there instead of where it came from, and hide that nobody reads. What is on its way is
/// not among them, so a long path is filled all the same.
pub const UNSENT_TO_ENDS: u32 = 256 * 1024;

/// Reads of a stream in a row of which nothing was left once it was taken apart, because they were empty frames, or
/// parts of a long one. Then it is the turn of others: a peer may send empty ones without end.
pub const MAX_FRUITLESS_READS: u32 = 4;

/// Pause of an accept loop when the process is out of file descriptors or memory, from the first to
/// the longest.
pub const ACCEPT_BACKOFF_MIN: Duration = Duration::from_millis(5);
/// See [`ACCEPT_BACKOFF_MIN`]. Whoever waits behind it wants an answer within a second.
pub const ACCEPT_BACKOFF_MAX: Duration = Duration::from_millis(100);

/// How often an accept loop says that it cannot accept.
pub const ACCEPT_SAYS: Duration = Duration::from_secs(10);

/// Connections that are taken in one go, before those that make room for them have had a chance to
/// leave.
pub const ACCEPT_BATCH: u32 = 16;

/// How long a user that is refused may take to read why.
pub const REFUSAL: Duration = Duration::from_secs(2);

/// A wrong password is answered after this time, so that guessing takes its time (frp
/// `pkg/util/http/server.go`, `pkg/plugin/client/http_proxy.go`).
pub const WRONG_PASSWORD: Duration = Duration::from_millis(200);

/// Silence before a user's and a local service's connection is probed, and the time between probes:
/// a peer that vanished would hold its connection, the stream and the service's end for ever. As
/// Go's `net` does for frp.
pub const END_KEEPALIVE: Duration = Duration::from_secs(15);

/// Probes without an answer that end a connection, as in Go.
pub const KEEPALIVE_PROBES: u32 = 9;

/// Between two stateless resets of a QUIC server. Each is shorter than the packet that it answers, and costs
/// less; all clients of a server that was restarted ask for theirs within a second.
pub const QUIC_RESET_PAUSE: Duration = Duration::from_micros(100);

/// A QUIC client asks this often whether anything listens at the port at all, while its handshake has no answer.
pub const QUIC_KNOCK: Duration = Duration::from_millis(250);

/// The handshake goes on for this long after the answer was no.
pub const QUIC_REFUSED: Duration = Duration::from_millis(100);

/// A kcp peer that is silent for this long is asked whether it is there: KCP has no end of a
/// connection on the wire, so one whose peer has gone would stay for ever.
pub const KCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// A kcp peer that owes an answer for this long has gone.
pub const KCP_UNANSWERED: Duration = Duration::from_secs(30);

/// How long a kcp connection that was let go of may take to deliver what was written.
pub const KCP_LINGER: Duration = Duration::from_secs(5);

/// Kcp sessions that had logged in and have ended, which are remembered at one port, some 70 bytes
/// each.
pub const MAX_KCP_ENDED: usize = 16_384;

/// Kcp sessions at one port with addresses that may be forged. Beyond, a client has to show first where
/// it is.
pub const MAX_KCP_UNPROVEN: usize = 64;

/// First packets of kcp clients that have to show where they are; those of the crowd are forgotten
/// first, and their clients repeat them.
pub const MAX_KCP_WAITING: usize = 2048;

/// Packets that are kept of one of them: a TLS hello has up to two, behind a byte of its own.
pub const MAX_KCP_WAITING_PACKETS: usize = 3;

/// Bytes that are kept of all.
pub const MAX_KCP_WAITING_BYTES: usize = 2 * 1024 * 1024;

/// What goes to an address that may be forged, in bytes for each that came (RFC 9000, section 8.1).
pub const MAX_AMPLIFICATION: u64 = 3;

/// How long a client that was asked where it is may take to answer, at least; at most twice that.
pub const KCP_ASKED: Duration = Duration::from_secs(10);

/// Whether a kcp peer is where it says is asked again after this time, then each time after twice as
/// long.
pub const KCP_ASK_AGAIN: Duration = Duration::from_millis(300);

/// Segments (of at most 1476 bytes) that are kept for the reader of a kcp session that has not
/// logged in. A login needs few, and strangers are many.
pub const KCP_STRANGER_WINDOW: u16 = 16;

/// Segments that are kept for the reader of a kcp session at first: 170 KB, beside 64 KiB that a relay may
/// have in its hands. More, up to 6 MB, as it shows that it reads.
pub const KCP_FIRST_WINDOW: u16 = 128;

/// How long a kcp peer may take nothing of what a connection that was broken off still has for it.
pub const KCP_BREAK_OFF: Duration = Duration::from_millis(500);

/// Kcp sessions with one remote address: one that stays, because a forged first packet must not end
/// it, and the newest.
pub const MAX_KCP_AT_ADDRESS: usize = 2;

/// A proxy's answer, once it has been reached. It dials the server itself meanwhile, and many give
/// up only after 20 s; frp waits for ever.
pub const PROXY_ANSWER: Duration = Duration::from_secs(30);

/// Bytes that the head of a proxy's answer may have.
pub const MAX_PROXY_HEAD: usize = 64 * 1024;

/// Fields that it may have.
pub const MAX_PROXY_FIELDS: usize = 128;

/// Bytes that the page behind an NTLM challenge may have.
pub const MAX_PROXY_ANSWER: u64 = 1024 * 1024;

/// An answer of `dnsServer`, by UDP and then by TCP (resolv.conf(5): timeout).
pub const DNS_ANSWER: Duration = Duration::from_secs(5);

/// How often it is asked (resolv.conf(5): attempts). Whoever wants the name may give up earlier.
pub const DNS_TRIES: u32 = 2;

/// Once `dnsServer` has told the addresses of one family, those of the other are waited for so long
/// where all are wanted at once.
pub const DNS_OTHER_FAMILY: Duration = Duration::from_secs(1);

/// An answer of a STUN server (frp `pkg/nathole/discovery.go`).
pub const STUN_ANSWER: Duration = Duration::from_secs(3);

/// When it is asked again meanwhile (RFC 8489, section 6.2.1); frp asks once.
pub const STUN_REPEATS: [Duration; 2] = [Duration::from_millis(500), Duration::from_millis(1500)];

/// Bytes of such an answer: two addresses, and what servers say of themselves.
pub const MAX_STUN_ANSWER: usize = 2048;

/// Bytes that the head of a websocket request or of its answer may have: ours has 200, a CDN adds
/// some. frp allows 1 MB, which every stranger could then hold.
pub const MAX_WEBSOCKET_HEAD: usize = 16 * 1024;

/// Fields in it.
pub const MAX_WEBSOCKET_FIELDS: usize = 128;

/// Bytes that a QUIC connection may send before its login, over all its streams.
pub const QUIC_STRANGER_WINDOW: u64 = 32 * 1024;

/// QUIC handshakes under way with addresses that may be forged; each holds some 10 KiB and answers
/// with at most three times what came. Beyond, a client has to show first where it is.
pub const MAX_QUIC_UNPROVEN: usize = 64;

/// First packets of QUIC connections that wait to be looked at.
pub const MAX_QUIC_WAITING: usize = 256;

/// Bytes that may come behind such a packet meanwhile, of one connection and of all.
pub const MAX_QUIC_WAITING_BYTES: u64 = 16 * 1024;
/// See [`MAX_QUIC_WAITING_BYTES`].
pub const MAX_QUIC_WAITING_TOTAL: u64 = 1024 * 1024;

/// Bytes of a name: of a proxy, a group, a user, a client, a host, and of what else identifies or
/// unlocks something.
pub const MAX_NAME: usize = 1024;

/// Certificate files are read again this often, to see whether they were renewed.
pub const CERTIFICATE_LOOK: Duration = Duration::from_secs(2);

/// From a change that was seen until it is taken, if it is still the same then: certificate and key are
/// written one after the other.
pub const CERTIFICATE_SETTLE: Duration = Duration::from_millis(300);

/// Bytes of a certificate file that a change is looked for in: bundles of CAs have some 200 KB.
pub const MAX_CERTIFICATE_FILE: u64 = 4 * 1024 * 1024;
