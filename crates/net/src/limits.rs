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

/// frpc's wait for the answer to a visitor's request (frp `client/visitor/visitor.go`).
pub const VISITOR_ANSWER: Duration = Duration::from_secs(10);

/// A write on an established control connection that makes no progress for this long ends the
/// session: the peer does not read.
pub const CONTROL_WRITE: Duration = Duration::from_secs(10);

/// frpc's dial of the local service (frp `client/proxy/proxy.go`).
pub const LOCAL_DIAL: Duration = Duration::from_secs(10);

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

/// Fields that the head of a plugin's request or answer may have.
pub const MAX_HTTP_FIELDS: usize = 256;

/// Bytes that the head of a plugin's request or answer may have. frp allows 1 MB, which every
/// connection could then hold.
pub const MAX_HTTP_HEAD: usize = 256 * 1024;

/// Connections that have not logged in yet, over all sources. Beyond it the oldest one is closed:
/// an honest login is over long before its turn comes.
pub const MAX_BEFORE_LOGIN: usize = 1024;

/// Streams of one multiplexed connection that may wait for their first message at a time while the
/// connection has no session.
pub const MAX_STREAMS_BEFORE_LOGIN: usize = 16;

/// The same once the connection has a session: work and visitor connections being opened.
pub const MAX_STREAMS_IN_GREETING: usize = 1024;

/// Bytes that a multiplexed connection may have sent before its login and nobody has read, over all its
/// streams. A login has some hundreds; yamux lets a peer send as much on a stream unasked.
pub const MUX_STRANGER_BYTES: usize = 256 * 1024;

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

/// Pause of an accept loop when the process is out of file descriptors or memory.
pub const ACCEPT_BACKOFF_MAX: Duration = Duration::from_secs(1);

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

/// Kcp sessions that have not logged in, at one port; beyond them the oldest makes room.
pub const MAX_KCP_STRANGERS: usize = MAX_BEFORE_LOGIN;

/// Segments (of at most 1476 bytes) that are kept for the reader of a kcp session that has not
/// logged in. A login needs few, and strangers are many.
pub const KCP_STRANGER_WINDOW: u16 = 32;

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
pub const QUIC_STRANGER_WINDOW: u64 = 256 * 1024;

/// QUIC handshakes under way with addresses that may be forged; each holds some 10 KiB and answers
/// with at most three times what came. Beyond, a client has to show first where it is.
pub const MAX_QUIC_UNPROVEN: usize = 64;

/// First packets of QUIC connections that wait to be looked at.
pub const MAX_QUIC_WAITING: usize = 256;

/// Bytes that may come behind such a packet meanwhile, of one connection and of all.
pub const MAX_QUIC_WAITING_BYTES: u64 = 16 * 1024;
/// See [`MAX_QUIC_WAITING_BYTES`].
pub const MAX_QUIC_WAITING_TOTAL: u64 = 1024 * 1024;
