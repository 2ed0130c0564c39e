//! Every wait and size of this program that a server, a user or a local service can cause; those of the pipes
//! stand in `frp_net::limits`. Waits are [`Duration`]s, sizes are bytes unless a name says otherwise. A value
//! that frp fixes carries frp's file.

use std::time::Duration;

use frp_net::limits::HANDSHAKE_WAIT;

/// frpc's wait for the answer to its login (frp `client/control_session.go`).
pub(crate) const LOGIN_ANSWER: Duration = Duration::from_secs(10);

/// How long frpc that is told to stop waits for the server to let go (frp `cmd/frpc/sub/root.go`).
pub(crate) const LEAVE: Duration = Duration::from_millis(500);

/// How long a frpc that ends waits for its tasks, which may still have to deliver something to a peer
/// that does not take it.
pub(crate) const LAST_TASKS: Duration = Duration::from_secs(1);

/// A server that would not tell of its end is asked whether it is there this long after the last time, while users
/// come. The answer to that may be that it was restarted, so this is a part of an outage.
pub(crate) const ASK_AGAIN: Duration = Duration::from_millis(600);

/// Nor is it asked that more seldom than this: the keep-alives of QUIC have the same interval.
pub(crate) const ASK_NO_MORE: Duration = Duration::from_secs(10);

/// Users of proxies with `transport.realIP = "loopback"` that have left and are remembered, so that `frpc who` tells
/// who they were; some 300 bytes each.
pub(crate) const MAX_LEFT_USERS: usize = 10_000;

/// Proxies that are remembered of each.
pub(crate) const MAX_USED_PROXIES: usize = 8;

/// The same trouble with the server is told again in the log no sooner than this.
pub(crate) const TELL_AGAIN: Duration = Duration::from_secs(2);

/// frpc's wait for the answer to a visitor's request (frp `client/visitor/visitor.go`).
pub(crate) const VISITOR_ANSWER: Duration = Duration::from_secs(10);

/// frpc's wait before it connects again to a machine of the virtual network whose connection has ended (frp
/// `pkg/plugin/visitor/virtual_net.go`).
pub(crate) const VISIT_AGAIN: Duration = Duration::from_secs(10);

/// The same where the connection could not be opened: the first wait, and the longest.
pub(crate) const VISIT_AGAIN_MIN: Duration = Duration::from_secs(60);
/// See [`VISIT_AGAIN_MIN`].
pub(crate) const VISIT_AGAIN_MAX: Duration = Duration::from_secs(300);

/// Where a packet waits for that, it is tried no more often than this.
pub(crate) const VISIT_WANTED: Duration = Duration::from_secs(5);

/// While a local service cannot be reached, the log counts the failures no more often than this.
pub(crate) const UNREACHABLE_AGAIN: Duration = Duration::from_secs(60);

/// Finding and reaching a target that the user of a proxy plugin names, as Go's `http.Transport`
/// has it.
pub(crate) const FORWARD_DIAL: Duration = Duration::from_secs(30);

/// How long a user of HTTP/2 may take to answer whether it is still there.
pub(crate) const HTTP2_ALIVE: Duration = Duration::from_secs(20);

/// TLS with a user that frpc's plugins end (frp `pkg/plugin/client/internal/httpsserver`).
pub(crate) const USER_HANDSHAKE: Duration = Duration::from_secs(60);

/// From the start of a user's connection to a plugin that speaks HTTP, or of an idle time, until a
/// request's head is in. frp allows 60 s from the first byte on and any idle time; this must be
/// longer than the 60 s that frps keeps an idle work connection, lest both let go of it at once.
pub(crate) const USER_REQUEST_HEAD: Duration = Duration::from_secs(120);

/// How long a plugin keeps an idle connection to its local service, as Go's `http.Transport`.
pub(crate) const BACKEND_IDLE: Duration = Duration::from_secs(90);

/// Idle connections that a plugin keeps to its local service.
pub(crate) const MAX_IDLE_BACKENDS: usize = 64;

/// A file or program that holds frpc's token must give it within this time, for the same reason.
pub(crate) const TOKEN_SOURCE: Duration = HANDSHAKE_WAIT;

/// Bytes of such a token. A message of wire v1 takes less than 10 kB.
pub(crate) const MAX_TOKEN_SOURCE: usize = 64 * 1024;

/// Bytes that frpc keeps of the reason for which a proxy was refused.
pub(crate) const MAX_KEPT_REASON: usize = 4096;

/// Bytes of a request that asks for one proxy or visitor.
pub(crate) const MAX_ENTRY: usize = 1024 * 1024;

/// Bytes of a text that is to be verified.
pub(crate) const MAX_VERIFIED: usize = 4 * 1024 * 1024;

/// How long a reload may wait to be confirmed, at most.
pub(crate) const MAX_CONFIRM: Duration = Duration::from_secs(24 * 60 * 60);

/// frps' answer whether a xtcp proxy is there (frp `client/visitor/xtcp.go`).
pub(crate) const HOLE_PRECHECK: Duration = Duration::from_secs(5);

/// frps' answer to the addresses of one side of a hole: it waits 10 s for those of the other, and has the one
/// that sends begin a second later. frp waits 5 s, in which a peer may still be asking its STUN server.
pub(crate) const HOLE_ANSWER: Duration = Duration::from_secs(12);

/// What a work connection of a xtcp proxy is for.
pub(crate) const HOLE_SID: Duration = Duration::from_secs(10);

/// From the start of one attempt at a hole to the next (frp `client/visitor/xtcp.go`).
pub(crate) const HOLE_ROUND: Duration = Duration::from_secs(10);

/// How long a hole is waited for where frps does not say (frp `pkg/nathole/nathole.go`).
pub(crate) const HOLE_WAIT: Duration = Duration::from_secs(5);

/// The longest that frps may have a hole take; its own longest is 40 s (frp `pkg/nathole/controller.go`).
pub(crate) const MAX_HOLE_WAIT: Duration = Duration::from_secs(45);

/// The longest that frps may have the first datagram wait; its own longest is 10 s (frp
/// `pkg/nathole/analysis.go`).
pub(crate) const MAX_HOLE_DELAY: Duration = Duration::from_secs(15);

/// What a hole may take beyond that, while ports are tried in order.
pub(crate) const HOLE_GUESSING: Duration = Duration::from_secs(3);

/// Addresses of a peer that are sent to, of those that it sees itself at and of its own; frp names at most
/// two and ten.
pub(crate) const MAX_HOLE_ADDRESSES: usize = 16;

/// IP addresses whose ports are tried.
pub(crate) const MAX_HOLE_IPS: usize = 2;

/// Ports of a peer that are tried in order; frp's most is 21.
pub(crate) const MAX_HOLE_PORTS: u16 = 32;

/// Ports of a peer that are guessed; frp's number (frp `pkg/nathole/analysis.go`).
pub(crate) const MAX_HOLE_RANDOM_PORTS: usize = 1000;

/// Sockets of one hole beside the first; frp's number, of the same place.
pub(crate) const MAX_HOLE_SOCKETS: usize = 256;

/// Packets, of some 150 bytes, that one hole may cost, whoever says where to. frp's most is 2600: five ports
/// at two addresses from each of 257 sockets.
pub(crate) const MAX_HOLE_PACKETS: usize = 2600;

/// Packets that all holes of the program may cost at once.
pub(crate) const HOLE_PACKETS_BURST: u32 = 4096;

/// The same, each second, behind that.
pub(crate) const HOLE_PACKETS_PER_SECOND: u32 = 100;

/// Sockets of all holes beside the first of each.
pub(crate) const ALL_HOLE_SOCKETS: usize = 512;

/// Holes that are dug at once. Whoever visits a proxy has one dug, and each has a socket or two.
pub(crate) const MAX_HOLES: usize = 256;

/// Direct paths to visitors that stand at once, each with a socket.
pub(crate) const MAX_TUNNELS: usize = 4096;

/// Addresses of IPv6 that a peer is told.
pub(crate) const MAX_IPV6_OFFERED: usize = 4;

/// Datagrams to the few addresses that are known are sent again after this time.
pub(crate) const HOLE_AGAIN: Duration = Duration::from_secs(1);

/// How long IPv6 has, which needs no hole, before IPv4 is tried.
pub(crate) const HOLE_IPV6_FIRST: Duration = Duration::from_millis(200);

/// Between two ports that are tried in order (frp `pkg/nathole/nathole.go`).
pub(crate) const HOLE_RANGE_PACE: Duration = Duration::from_millis(2);

/// Between two ports that are guessed (the same).
pub(crate) const HOLE_GUESS_PACE: Duration = Duration::from_millis(15);

/// The peer has so long to answer the first packets of a direct path; quic-go's limit.
pub(crate) const TUNNEL_HANDSHAKE: Duration = Duration::from_secs(5);

/// The visitor has so long to begin with it.
pub(crate) const TUNNEL_ACCEPT: Duration = Duration::from_secs(10);

/// Whether the peer of a direct path was heard is looked at this often, and if it was not, it is asked.
pub(crate) const TUNNEL_LOOK: Duration = Duration::from_secs(2);

/// A direct path is lost when its peer was not heard for so long; with what passes between two looks that is
/// less than 10 s. Mappings of NATs live 30 s and more.
pub(crate) const TUNNEL_SILENT: Duration = Duration::from_secs(6);

/// A peer that was heard this long ago need not be asked before a user is sent its way.
pub(crate) const TUNNEL_FRESH: Duration = Duration::from_secs(1);

/// How long it may take to answer then, where there is no `fallbackTimeoutMs`.
pub(crate) const TUNNEL_CHECK: Duration = Duration::from_secs(2);

/// How long a user waits for a direct path where there is nothing else (frp `client/visitor/xtcp.go`).
pub(crate) const TUNNEL_WAIT: Duration = Duration::from_secs(20);

/// Attempts to replace a path that was lost, where nobody comes: at once, after 10 s, 20 s and so on, the last
/// after ten minutes.
pub(crate) const TUNNEL_REPLACE_TRIES: u32 = 7;

/// Visitors that a user is handed on by, of those that fall back to others.
pub(crate) const MAX_FALLBACKS: usize = 4;

/// How much longer a hole may take because the router is asked for a port. One in the same house answers within
/// milliseconds.
pub(crate) const PORT_MAPPING_WAIT: Duration = Duration::from_millis(250);

/// All that the router may take to lend a port, or to renew that.
pub(crate) const PORT_MAPPING_ANSWER: Duration = Duration::from_secs(4);

/// A question by PCP or NAT-PMP is asked again after this time, then after twice as long (RFC 6886, section 3.1).
pub(crate) const PORT_MAPPING_AGAIN: Duration = Duration::from_millis(250);

/// How long routers that speak UPnP are searched for.
pub(crate) const PORT_MAPPING_SEARCH: Duration = Duration::from_millis(1500);

/// What is asked for, and renewed at half of it. It is what stays open if this program is killed.
pub(crate) const PORT_MAPPING_LEASE: Duration = Duration::from_secs(600);

/// A port that would be lost sooner than this is not used: renewing it would be all that is done.
pub(crate) const SHORTEST_PORT_MAPPING: Duration = Duration::from_secs(10);

/// How long giving a port back may take; less than [`LAST_TASKS`].
pub(crate) const PORT_MAPPING_GIVE_BACK: Duration = Duration::from_millis(800);

/// A router that lends nothing is asked again after this time.
pub(crate) const NO_PORT_MAPPING_AGAIN: Duration = Duration::from_secs(600);

/// Ports of the router at once; its own table may have no more than some hundred.
pub(crate) const MAX_PORT_MAPPINGS: usize = 64;

/// How long a server that has proven the token is the only one that is let answer, counted from the first who answers
/// in its place without a proof: a stranger does not stay so long, and who has put frp's there is not locked out.
pub(crate) const INSIST_ON_PROOF: Duration = Duration::from_secs(3600);

/// What the doctor takes in all: somebody waits for it.
pub(crate) const DOCTOR: Duration = Duration::from_secs(45);

/// One of its questions: a path that takes longer for a round trip carries nobody.
pub(crate) const DOCTOR_STEP: Duration = Duration::from_secs(5);

/// Its login, which waits for a dial, a handshake and an answer.
pub(crate) const DOCTOR_LOGIN: Duration = Duration::from_secs(12);

/// How long a closed UDP port of this machine may take to say so.
pub(crate) const REFUSED_BY_UDP: Duration = Duration::from_millis(200);

// Logs of ssh servers (`sshd.log`).

/// Between two looks at a log in which a line is waited for: others of the same source wait for it, too.
pub(crate) const LOOK_AT_LOG: Duration = Duration::from_millis(50);

/// Between two looks at another one.
pub(crate) const LOOK_AT_QUIET_LOG: Duration = Duration::from_secs(1);

/// How long a line of a user is waited for who says nothing: longer than OpenSSH's LoginGraceTime of 120 s.
pub(crate) const SSH_LOGIN: Duration = Duration::from_secs(150);

/// How long it is waited for once the user has left: as frps does.
pub(crate) const LOG_LINE_WAIT: Duration = Duration::from_secs(5);

/// How long a line is taken for that of a user who has left; then another may have the same port.
pub(crate) const LOG_LINE_LATEST: Duration = Duration::from_secs(60);

/// Processes of a ssh server that have said something of a connection, and not yet of which.
pub(crate) const MAX_LOG_PROCESSES: usize = 256;

/// What has become of users and frps has not been told, messages; what is older is lost.
pub(crate) const MAX_USER_REPORTS: usize = 4096;

/// A `journalctl` that has ended is started again after this time, which doubles.
pub(crate) const JOURNAL_AGAIN: Duration = Duration::from_secs(1);
/// Up to this one.
pub(crate) const JOURNAL_AGAIN_MAX: Duration = Duration::from_secs(60);
