//! Every wait and size that a peer can make us spend, in one place. Waits are [`Duration`]s, sizes
//! are bytes unless a name says otherwise. A value that frp fixes carries frp's file.

use std::time::Duration;

/// From accept to the first complete message, per stage: sniff, TLS handshake, first message on a
/// stream (frp `server/service.go`: connReadTimeout).
pub const BEFORE_LOGIN: Duration = Duration::from_secs(10);

/// How long a multiplexed connection may stay without a session once it is up. frp keeps such
/// connections for ever; nothing honest needs longer than one login.
pub const MUX_WITHOUT_SESSION: Duration = BEFORE_LOGIN;

/// Writing an answer to a login (frp `server/service.go`: connWriteTimeout).
pub const LOGIN_ANSWER_WRITE: Duration = Duration::from_secs(5);

/// frpc's wait for the answer to its login (frp `client/control_session.go`).
pub const LOGIN_ANSWER: Duration = Duration::from_secs(10);

/// How long frpc that is told to stop waits for the server to let go (frp `cmd/frpc/sub/root.go`).
pub const LEAVE: Duration = Duration::from_millis(500);

/// How long a frpc that ends waits for its tasks, which may still have to deliver something to a peer
/// that does not take it.
pub const LAST_TASKS: Duration = Duration::from_secs(1);

/// How long a frps that ends waits until its peers have been told, and have let go of what they are
/// told about. Most are in a round trip; who does not answer is not waited for.
pub const FAREWELL: Duration = Duration::from_millis(500);

/// How long a frpc that was asked to end may take for it, whatever hangs; whole seconds. More than
/// [`LEAVE`] and [`LAST_TASKS`] together.
pub const GRACEFUL_END: Duration = Duration::from_secs(3);

/// How long a program that ends by a signal may take to write its last lines; whole seconds.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

/// frpc's wait for the answer to a visitor's request (frp `client/visitor/visitor.go`).
pub const VISITOR_ANSWER: Duration = Duration::from_secs(10);

/// A write on an established control connection that makes no progress for this long ends the
/// session: the peer does not read.
pub const CONTROL_WRITE: Duration = Duration::from_secs(10);

/// frpc's dial of the local service (frp `client/proxy/proxy.go`).
pub const LOCAL_DIAL: Duration = Duration::from_secs(10);

/// A local name that was not found is looked up again after these times, then always after the last,
/// so that a service that comes up is reached within 30 s, the look-up's own time included.
pub const LOOK_UP_AGAIN: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// While a local service cannot be reached, the log counts the failures no more often than this.
pub const UNREACHABLE_AGAIN: Duration = Duration::from_secs(60);

/// Finding and reaching a target that the user of a proxy plugin names, as Go's `http.Transport`
/// has it.
pub const FORWARD_DIAL: Duration = Duration::from_secs(30);

/// A wrong password is answered after this time, so that guessing takes its time (frp
/// `pkg/util/http/server.go`, `pkg/plugin/client/http_proxy.go`).
pub const WRONG_PASSWORD: Duration = Duration::from_millis(200);

/// How long a user of HTTP/2 may take to answer whether it is still there.
pub const HTTP2_ALIVE: Duration = Duration::from_secs(20);

/// TLS with a user that frpc's plugins end (frp `pkg/plugin/client/internal/httpsserver`).
pub const USER_HANDSHAKE: Duration = Duration::from_secs(60);

/// From the start of a user's connection to a plugin that speaks HTTP, or of an idle time, until a
/// request's head is in. frp allows 60 s from the first byte on and any idle time; this must be
/// longer than the 60 s that frps keeps an idle work connection, lest both let go of it at once.
pub const USER_REQUEST_HEAD: Duration = Duration::from_secs(120);

/// How long a plugin keeps an idle connection to its local service, as Go's `http.Transport`.
pub const BACKEND_IDLE: Duration = Duration::from_secs(90);

/// Idle connections that a plugin keeps to its local service.
pub const MAX_IDLE_BACKENDS: usize = 64;

/// Fields that the head of a user's request, or of a service's answer to it, may have. frp counts
/// bytes only; hyper needs a number, and room for as many with each head.
pub const MAX_HTTP_FIELDS: usize = 2048;

/// Bytes that the head of a user's request of HTTP/1 may have, as in frp.
pub const MAX_HTTP_HEAD: usize = 1024 * 1024;

/// Bytes of such a head that each connection has for itself; the others come out of [`HTTP_HEADS_POOL`].
pub const HTTP_HEAD_SHARE: usize = 64 * 1024;

/// Bytes that the heads of all requests under way may have beyond the share of each.
pub const HTTP_HEADS_POOL: usize = 64 * 1024 * 1024;

/// Bytes that the head of a request of HTTP/2 may have, each of whose connections has many at a time,
/// and that of a service's answer.
pub const MAX_HTTP_OTHER_HEAD: usize = 256 * 1024;

/// Bytes of a request's target that are given to hyper, whose `Uri` has room for 65,534.
pub const HTTP_TARGET_WHOLE: usize = 32 * 1024;

/// Bytes that are read at a time where HTTP is spoken: hyper reads into twice as many, and holds them
/// for a peer that does not read.
pub const HTTP_READ: u64 = 16 * 1024;

/// Bytes of a body that wait in hyper to be written, before more of it is taken.
pub const HTTP_UNWRITTEN: usize = 32 * 1024;

/// Bytes of informational answers (1xx) that may wait to be told to one user. Browsers are sent
/// some hundreds; what exceeds this is left out.
pub const MAX_HINTS: usize = 64 * 1024;

/// Connections that have not logged in yet, over all sources, where there are descriptors for them.
/// Beyond it one of the most crowded source is closed. What all of them may hold together is at most
/// 64 MiB: see [`MUX_STRANGER_SHARE`], [`FIRST_MESSAGE_SHARE`], [`STRANGERS_POOL`],
/// [`KCP_STRANGER_WINDOW`], [`QUIC_STRANGER_WINDOW`].
pub const MAX_BEFORE_LOGIN: usize = 1024;

/// The least of them, however few descriptors there are.
pub const MIN_BEFORE_LOGIN: usize = 16;

/// Of these, those from addresses of clients that are logged in, which have places of their own: the
/// work connections that are being opened without the mux.
pub const MAX_BEFORE_LOGIN_GUESTS: usize = 256;

/// Streams of one multiplexed connection that may wait for their first message at a time while the
/// connection has no session.
pub const MAX_STREAMS_BEFORE_LOGIN: usize = 2;

/// The same once the connection has a session: work and visitor connections being opened.
pub const MAX_STREAMS_IN_GREETING: usize = 1024;

/// Bytes that a multiplexed connection may have sent before its login and nobody has read, over all its
/// streams: the largest login and what comes with it. yamux lets a peer send more on a stream unasked.
pub const MUX_STRANGER_BYTES: usize = 96 * 1024;

/// Of these, those that each has for itself; the others come out of [`STRANGERS_POOL`]. A login of wire
/// v1 has less than 10 kB.
pub const MUX_STRANGER_SHARE: usize = 12 * 1024;

/// Bytes of a connection's first message that it may have to itself, on each of its streams. Most
/// logins have some hundreds.
pub const FIRST_MESSAGE_SHARE: usize = 4 * 1024;

/// Bytes that all who have not logged in may hold beyond the share of each.
pub const STRANGERS_POOL: usize = 8 * 1024 * 1024;

/// Bytes of a multiplexed connection that has logged in, over all its streams, which nobody has read:
/// beyond, no stream may have more than yamux gives to everybody. Each of 160 users who read nothing
/// can hold 256 KiB; windows of 6 MiB are for those who read.
pub const MUX_UNREAD_BYTES: usize = 64 * 1024 * 1024;

/// Bytes that the system takes for a user or a service before it has sent those that it has; more
/// would wait there instead of where it came from, and hide that nobody reads. What is on its way is
/// not among them, so a long path is filled all the same.
pub const UNSENT_TO_ENDS: u32 = 256 * 1024;

/// A user or service to which the end was passed on, and that acknowledges nothing for this time, has
/// gone. The system goes on sending to it for a quarter of an hour.
pub const END_UNANSWERED: Duration = Duration::from_secs(60);

/// The same for one of which nothing was ever heard, not even that it has taken the first byte: a service
/// that is too busy to accept the connection.
pub const END_UNHEARD: Duration = Duration::from_secs(10);

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

/// From a user's connection to an https or tcpmux vhost until it has said whom it is for (frp
/// `server/service.go`: vhostReadWriteTimeout).
pub const USER_HEAD: Duration = Duration::from_secs(30);

/// Bytes that it may take to say so. A ClientHello has some 200 to 2000, a CONNECT request fewer.
pub const MAX_USER_HEAD: usize = 64 * 1024;

/// How long a user that is refused may take to read why.
pub const REFUSAL: Duration = Duration::from_secs(2);

/// Silence before a user's and a local service's connection is probed, and the time between probes:
/// a peer that vanished would hold its connection, the stream and the service's end for ever. As
/// Go's `net` does for frp.
pub const END_KEEPALIVE: Duration = Duration::from_secs(15);

/// Probes without an answer that end a connection, as in Go.
pub const KEEPALIVE_PROBES: u32 = 9;

/// How often the proxy's side of a udp or sudp stream says that it is there (frp
/// `client/proxy/udp.go`).
pub const UDP_PING: Duration = Duration::from_secs(30);

/// The users' side gives a udp or sudp stream up after this time without a byte (frp
/// `server/proxy/udp.go`).
pub const UDP_SILENCE: Duration = Duration::from_secs(60);

/// A udp user's socket in frpc is closed after this time without a datagram either way (frp
/// `pkg/proto/udp/udp.go`).
pub const UDP_USER_IDLE: Duration = Duration::from_secs(30);

/// Users of one udp or sudp stream at a time; each takes a socket of frpc. Source addresses are
/// easily forged.
pub const MAX_UDP_USERS: usize = 4096;

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

/// Segments that are kept for the reader of a kcp session at first: 250 KB. More, up to what frp gives
/// from the start, as it shows that it reads.
pub const KCP_FIRST_WINDOW: u16 = 192;

/// How long a kcp peer may take nothing of what a connection that was broken off still has for it.
pub const KCP_BREAK_OFF: Duration = Duration::from_millis(500);

/// Kcp sessions with one remote address: one that stays, because a forged first packet must not end
/// it, and the newest.
pub const MAX_KCP_AT_ADDRESS: usize = 2;

/// A request of the programs themselves to an OpenID Connect issuer, from dialling to the last byte
/// of the answer, redirects included. frp waits for ever; but frps gives up a login that takes longer.
pub const HTTP_ANSWER: Duration = BEFORE_LOGIN;

/// Bytes of such an answer; tokens, keys and discovery documents have some thousands (1 MB is what
/// golang.org/x/oauth2 reads).
pub const MAX_HTTP_ANSWER: usize = 1024 * 1024;

/// Redirects that such a request follows, as Go's `http.Client`.
pub const MAX_REDIRECTS: usize = 10;

/// A file or program that holds frpc's token must give it within this time, for the same reason.
pub const TOKEN_SOURCE: Duration = BEFORE_LOGIN;

/// Bytes of such a token. A message of wire v1 takes less than 10 kB.
pub const MAX_TOKEN_SOURCE: usize = 64 * 1024;

/// How long a login, a ping or a work connection may wait for the issuer of its token, where that
/// takes a question to it. Less than the client's own patience ([`LOGIN_ANSWER`]), so that the client
/// is told.
pub const ISSUER_WAIT: Duration = Duration::from_secs(8);

/// How long they wait for the issuer where its keys are known, but old.
pub const ISSUER_REVALIDATE: Duration = Duration::from_secs(3);

/// Between two questions to an issuer that answers: tokens with unknown keys, which any stranger can
/// make, cause no more than that.
pub const ISSUER_PAUSE: Duration = Duration::from_secs(5);

/// The first wait after an issuer did not answer; it doubles with each failure. Also the pause that
/// logins cannot shorten.
pub const ISSUER_FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest wait after an issuer did not answer.
pub const ISSUER_LAST_RETRY: Duration = Duration::from_secs(60);

/// How long an issuer's keys may be used where it does not say so.
pub const ISSUER_KEYS_LIFE: Duration = Duration::from_secs(60 * 60);

/// The least that it can say.
pub const ISSUER_KEYS_LIFE_MIN: Duration = Duration::from_secs(60);

/// The most that it can say.
pub const ISSUER_KEYS_LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

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

// What one client of frps may have at a time; see docs/limits.md. No honest client meets these.

/// Proxies of one client.
pub const MAX_PROXIES: usize = 10_000;

/// Routes of one client, over all its proxies: host names, of type http each with every location.
/// A route takes up to 1 KB of frps.
pub const MAX_ROUTES: usize = 10_000;

/// Bytes of a name: of a proxy, a group, a user, a client, a host, and of what else identifies or
/// unlocks something.
pub const MAX_NAME: usize = 1024;

/// Entries that each table of a proxy may have: metadata, annotations, headers of requests and of
/// answers. Headers cost time with each request.
pub const MAX_PROXY_ENTRIES: usize = 1000;

/// Bytes of all texts in the registrations of one client's proxies, [`TEXT_OVERHEAD`] for each text
/// included. Ten thousand ordinary proxies have some 8 MB.
pub const MAX_CLIENT_TEXT: usize = 16 * 1024 * 1024;

/// What a text costs beside its bytes: its place in a list or table, and the allocation.
pub const TEXT_OVERHEAD: usize = 64;

/// Sessions on one multiplexed connection. frpc has one.
pub const MAX_SESSIONS_ON_CONNECTION: usize = 16;

/// Members of a group that are tried for one user; each has half of the time that is left.
pub const MAX_MEMBERS_TRIED: usize = 16;

/// Removals in a row at the end of a session, before others on its thread have their turn.
pub const ENDED_IN_A_ROW: usize = 64;

/// Routes that are taken out of the table under one lock.
pub const ROUTES_UNDER_LOCK: usize = 256;

/// Routes of one proxy that are logged one by one; of the others there is one line.
pub const MAX_LOGGED_ROUTES: usize = 100;

/// Proxies that have ended and are remembered: for the statistics, and in each of the tables of tcp
/// and udp ports for the random port that they had. The longest ended go first.
pub const MAX_ENDED: usize = 10_000;

/// Bytes of names that are kept of them.
pub const MAX_ENDED_TEXT: usize = 4 * 1024 * 1024;

/// Answers of the web server's API that are made at a time, away from the threads of connections.
pub const MAX_API_ANSWERS: usize = 2;

/// Proxies that are looked at under one lock for such an answer.
pub const STATS_UNDER_LOCK: usize = 1000;

/// Bytes that frpc keeps of the reason for which a proxy was refused.
pub const MAX_KEPT_REASON: usize = 4096;
