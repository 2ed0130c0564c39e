//! Every wait and size of this program that a client, a user or a stranger can cause; those of the pipes
//! stand in `frp_net::limits`. Waits are [`Duration`]s, sizes are bytes unless a name says otherwise. A value
//! that frp fixes carries frp's file.

use std::time::Duration;

use frp_net::limits::HANDSHAKE_WAIT;

/// How long a multiplexed connection may stay without a session once it is up. frp keeps such
/// connections for ever; nothing honest needs longer than one login.
pub(crate) const MUX_WITHOUT_SESSION: Duration = HANDSHAKE_WAIT;

/// How long a frps that ends waits until its peers have been told, and have let go of what they are
/// told about. Most are in a round trip; who does not answer is not waited for.
pub(crate) const FAREWELL: Duration = Duration::from_millis(500);

/// A client whose names another one wants has this long to show that it is there. Less than the 2 s after which a
/// frpc that was started again asks a second time.
pub(crate) const DOUBT: Duration = Duration::from_millis(1500);

/// How often the clock on the wall is looked at whether a token has expired, which is sooner where it is due sooner.
pub(crate) const EXPIRY_LOOK: Duration = Duration::from_secs(60);

/// The same once the connection has a session: work and visitor connections being opened.
pub(crate) const MAX_STREAMS_IN_GREETING: usize = 1024;

/// From a user's connection to an https or tcpmux vhost until it has said whom it is for (frp
/// `server/service.go`: vhostReadWriteTimeout).
pub(crate) const USER_HEAD: Duration = Duration::from_secs(30);

/// Bytes that it may take to say so. A ClientHello has some 200 to 2000, a CONNECT request fewer.
pub(crate) const MAX_USER_HEAD: usize = 64 * 1024;

/// How long a login, a ping or a work connection may wait for the issuer of its token, where that
/// takes a question to it. Less than the client's own patience (`LOGIN_ANSWER` in frpc), so that the client
/// is told.
pub(crate) const ISSUER_WAIT: Duration = Duration::from_secs(8);

/// How long they wait for the issuer where its keys are known, but old.
pub(crate) const ISSUER_REVALIDATE: Duration = Duration::from_secs(3);

/// Between two questions to an issuer that answers: tokens with unknown keys, which any stranger can
/// make, cause no more than that.
pub(crate) const ISSUER_PAUSE: Duration = Duration::from_secs(5);

/// The first wait after an issuer did not answer; it doubles with each failure. Also the pause that
/// logins cannot shorten.
pub(crate) const ISSUER_FIRST_RETRY: Duration = Duration::from_secs(1);

/// The longest wait after an issuer did not answer.
pub(crate) const ISSUER_LAST_RETRY: Duration = Duration::from_secs(60);

/// How long an issuer's keys may be used where it does not say so.
pub(crate) const ISSUER_KEYS_LIFE: Duration = Duration::from_secs(60 * 60);

/// The least that it can say.
pub(crate) const ISSUER_KEYS_LIFE_MIN: Duration = Duration::from_secs(60);

/// The most that it can say.
pub(crate) const ISSUER_KEYS_LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long all server plugins together may take to decide about an operation. Less than the client's own
/// patience (`LOGIN_ANSWER` in frpc), so that the client is told. frp waits for ever.
pub(crate) const PLUGINS_WAIT: Duration = Duration::from_secs(8);

/// Bytes of a plugin's answer: a message as large as any that a client can send, and some.
pub(crate) const MAX_PLUGIN_ANSWER: usize = 256 * 1024;

/// Requests to one plugin about one operation at a time, each with a connection; others wait.
pub(crate) const MAX_PLUGIN_QUESTIONS: usize = 256;

/// Of those, about the users of one client.
pub(crate) const MAX_PLUGIN_QUESTIONS_OF_CLIENT: usize = 32;

/// Connections to a plugin that are kept between requests.
pub(crate) const MAX_PLUGIN_CONNECTIONS_KEPT: usize = 16;

/// Ends of proxies that plugins are told of at a time.
pub(crate) const MAX_CLOSINGS_TOLD: usize = 16;

/// Ends that wait for that: those of the largest client, whose names have some hundred kB.
pub(crate) const MAX_CLOSINGS_WAITING: usize = MAX_PROXIES;

// What one client of frps may have at a time; see docs/limits.md. No honest client meets these.

/// Proxies of one client.
pub(crate) const MAX_PROXIES: usize = 10_000;

/// Routes of one client, over all its proxies: host names, of type http each with every location.
/// A route takes up to 1 KB of frps.
pub(crate) const MAX_ROUTES: usize = 10_000;

/// Entries that each table of a proxy may have: metadata, annotations, headers of requests and of
/// answers. Headers cost time with each request.
pub(crate) const MAX_PROXY_ENTRIES: usize = 1000;

/// Bytes of all texts in the registrations of one client's proxies, [`TEXT_OVERHEAD`] for each text
/// included. Ten thousand ordinary proxies have some 8 MB.
pub(crate) const MAX_CLIENT_TEXT: usize = 16 * 1024 * 1024;

/// What a text costs beside its bytes: its place in a list or table, and the allocation.
pub(crate) const TEXT_OVERHEAD: usize = 64;

/// What others have told a client that does not read, messages; more is lost.
pub(crate) const MAX_OUTBOX: usize = 256;

/// Direct paths that a client is being told of as a visitor, at a time. Each is told in seconds.
pub(crate) const MAX_HOLES_OF_VISITOR: usize = 64;

/// Visitors that wait for the addresses of one client, which has proxies of type xtcp.
pub(crate) const MAX_HOLES_WAITING: usize = 256;

/// Direct paths that one client was told of and has not reported about.
pub(crate) const MAX_HOLES_REPORTED: usize = 256;

/// How long it may take to report: the longest that it is told to wait, and 30 s (frp
/// `pkg/nathole/controller.go`).
pub(crate) const HOLE_REPORT: Duration = Duration::from_secs(10 + 38 + 30);

/// From a visitor's wish until the proxy's client has said its addresses, which takes it two questions to
/// STUN servers (frp `pkg/nathole/controller.go`: NatHoleTimeout).
pub(crate) const HOLE_WAIT: Duration = Duration::from_secs(10);

/// How much later the sender is told than the receiver (frp `pkg/nathole/controller.go`).
pub(crate) const HOLE_HEAD_START: Duration = Duration::from_secs(1);

/// Addresses of an end as STUN servers see it that are passed on: frpc has two.
pub(crate) const MAX_MAPPED_ADDRS: usize = 4;

/// And of its own: frpc has at most ten of IPv4, ours as many of IPv6 and one of its router.
pub(crate) const MAX_ASSISTED_ADDRS: usize = 21;

/// Pairs of networks for which it is remembered what worked, some 400 bytes each.
pub(crate) const MAX_NETWORK_PAIRS: usize = 10_000;

/// Sessions on one multiplexed connection. frpc has one.
pub(crate) const MAX_SESSIONS_ON_CONNECTION: usize = 16;

/// Members of a group that are tried for one user; each has half of the time that is left.
pub(crate) const MAX_MEMBERS_TRIED: usize = 16;

/// Removals in a row at the end of a session, before others on its thread have their turn.
pub(crate) const ENDED_IN_A_ROW: usize = 64;

/// Routes that are taken out of the table under one lock.
pub(crate) const ROUTES_UNDER_LOCK: usize = 256;

/// Routes of one proxy that are logged one by one; of the others there is one line.
pub(crate) const MAX_LOGGED_ROUTES: usize = 100;

/// Proxies that have ended and are remembered: for the statistics, and in each of the tables of tcp
/// and udp ports for the random port that they had. The longest ended go first.
pub(crate) const MAX_ENDED: usize = 10_000;

/// Bytes of names that are kept of them.
pub(crate) const MAX_ENDED_TEXT: usize = 4 * 1024 * 1024;

/// Between two times that the traffic of the last days is written to `store.path`: what a frps that is
/// killed forgets.
pub(crate) const SAVE_TRAFFIC: Duration = Duration::from_secs(15);

/// Proxies that are kept there: twice [`MAX_ENDED`] and more, each with some 250 bytes.
pub(crate) const MAX_KEPT_PROXIES: usize = 50_000;

/// Bytes that they take there, so that it can be read again.
pub(crate) const MAX_KEPT_TEXT: usize = frp_process::limits::MAX_FILE as usize - 64 * 1024;

/// How long the proxies that ran before a restart have to come back, until those count among the ones that
/// have ended ([`MAX_ENDED`]).
pub(crate) const COME_BACK: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// Answers of the web server's API that are made at a time, away from the threads of connections.
pub(crate) const MAX_API_ANSWERS: usize = 2;

/// Proxies that are looked at under one lock for such an answer.
pub(crate) const STATS_UNDER_LOCK: usize = 1000;

/// Clients that are looked at under one lock.
pub(crate) const CLIENTS_UNDER_LOCK: usize = 256;

/// Sources that are counted at one proxy, and at all of them together, some 300 bytes each; only where guards count.
pub(crate) const MAX_COUNTED_SOURCES: usize = 16_384;

/// Between two looks at the files of addresses; one that has changed is read once two looks find it the same.
pub(crate) const LOOK_AT_LISTS: Duration = Duration::from_secs(1);

/// Lines of such a file that are named because they hold no address.
pub(crate) const MAX_WRONG_LINES_TOLD: usize = 10;

/// Sources that have failed, and may be banned, some 600 bytes each.
pub(crate) const MAX_BANNED_SOURCES: usize = 16_384;

/// The longest ban for failures, whatever the settings say: a clock can count it.
pub(crate) const LONGEST_BAN: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Users of one client that are remembered because it says what becomes of them, some 300 bytes each.
pub(crate) const MAX_VISITS: usize = 16_384;

/// Users of one source that wait because others of it are awaited: those of a person who begins much at once.
pub(crate) const MAX_VISITS_WAITING: usize = 16;

/// How long each of them does. Less than the 10 s in which frp's visitor wants an answer.
pub(crate) const VISIT_TURN: Duration = Duration::from_secs(8);

/// How long a user is awaited who says nothing, longer than OpenSSH's LoginGraceTime of 120 s.
pub(crate) const VISIT_LOGIN: Duration = Duration::from_secs(150);

/// How long it is awaited what is said of one who has left: a line in a log takes its way through the system's log, and
/// from there through frpc.
pub(crate) const REPORT_WAIT: Duration = Duration::from_secs(5);

/// How long it is believed at all.
pub(crate) const REPORT_LATEST: Duration = Duration::from_secs(60);

/// Networks that operators have banned.
pub(crate) const MAX_ADDED_BANS: usize = 10_000;

/// Bytes of what an operator says of a ban.
pub(crate) const MAX_BAN_REASON: usize = 256;

/// Between two times that the bans are written to the file beside `store.path`.
pub(crate) const SAVE_BANS: Duration = Duration::from_millis(500);

/// Between two times that bans which are over are forgotten.
pub(crate) const FORGET_BANS: Duration = Duration::from_secs(30);

/// Logins of a source that may fail before the next ones have to wait: an old token in a service file.
pub(crate) const FREE_FAILED_LOGINS: u32 = 2;

/// The pause between two logins of a source after that; it doubles with each failure.
pub(crate) const SLOW_LOGIN: Duration = Duration::from_millis(250);

/// The longest, which is that of a banned source, too: 1200 guesses in an hour.
pub(crate) const SLOWEST_LOGIN: Duration = Duration::from_secs(3);

/// Logins of one source that wait for their turn; the last of them is answered within the patience of
/// frpc (`LOGIN_ANSWER`).
pub(crate) const MAX_LOGINS_WAITING: usize = 2;

/// Sources of failed logins that are remembered, each with each cause.
pub(crate) const MAX_FAILED_LOGINS: usize = 200;

/// Between two pings that measure a client's round trip because somebody looks at it.
pub(crate) const MEASURE_EVERY: Duration = Duration::from_secs(5);

// The SSH gateway.

/// From the connection of an ssh client to its login: in between its user may compare a fingerprint and type a
/// passphrase (OpenSSH's server: LoginGraceTime). A client that says nothing at all has `HANDSHAKE_WAIT`.
pub(crate) const SSH_LOGIN: Duration = Duration::from_secs(120);

/// From there to the command and the forwarded port. frp has 3 s, which a slow path can take for three round trips
/// after losses.
pub(crate) const SSH_REQUEST: Duration = Duration::from_secs(10);

/// How long frps itself may take to let the client of a tunnel log in, and then to start its proxy: as long as
/// server plugins may take, and some.
pub(crate) const SSH_ANSWER: Duration = Duration::from_secs(10);

/// An ssh client that is silent for this long is asked whether it is there.
pub(crate) const SSH_KEEPALIVE: Duration = Duration::from_secs(15);

/// Questions without an answer that end the connection.
pub(crate) const SSH_KEEPALIVES: usize = 2;

/// How long an ssh client may take nothing of what is sent to it.
pub(crate) const SSH_STUCK: Duration = Duration::from_secs(60);

/// Attempts to log in on one connection: an agent may have this many keys.
pub(crate) const SSH_ATTEMPTS: usize = 20;

/// Bytes that an ssh client may send before its tunnel has logged in: key exchange and twenty keys of the largest
/// kind.
pub(crate) const SSH_STRANGER_BYTES: usize = 128 * 1024;

/// Bytes of a command.
pub(crate) const MAX_SSH_COMMAND: usize = 16 * 1024;

/// Commands of one ssh connection at a time, each of which is a client of frps, and ports that it has forwarded.
pub(crate) const MAX_SSH_TUNNELS: usize = 16;

/// Users of one tunnel whose service the ssh client has not reached yet; OpenSSH answers when it has.
pub(crate) const MAX_SSH_OPENING: usize = 256;

/// How long it may take for that. A service that does not answer at all keeps OpenSSH waiting for two minutes.
pub(crate) const SSH_OPEN: Duration = Duration::from_secs(30);

/// Bytes that an ssh client may send ahead of a user who has read nothing yet, as of a stream of the mux.
pub(crate) const SSH_WINDOW: u32 = 256 * 1024;

/// The same for one who reads (`golang.org/x/crypto/ssh`: channelWindowSize).
pub(crate) const SSH_WINDOW_MAX: u32 = 2 * 1024 * 1024;

/// Bytes of one packet of data.
pub(crate) const SSH_PACKET: u32 = 32 * 1024;

/// Work connections of one tunnel that wait for users.
pub(crate) const MAX_SSH_WAITING: usize = 4096;

/// Verifiers of tokens that are kept: one for each token, and more only while tokens are replaced.
pub(crate) const MAX_VERIFIERS: usize = 4096;

/// Streams of a session that may come before one that was opened earlier, and is on its way still: as many as a client
/// opens at a time.
pub(crate) const MAX_STREAMS_OUT_OF_ORDER: usize = 4096;

/// How long nobody else may have the run id of a client that has gone and has a key for it, and how many of these are
/// kept: a client comes back within minutes, or is restarted and has no run id.
pub(crate) const RUN_KEY_KEPT: Duration = Duration::from_secs(60 * 60);
/// See [`RUN_KEY_KEPT`].
pub(crate) const MAX_RUN_KEYS: usize = 4096;

/// What the doctor takes in all: somebody waits for it.
#[cfg(feature = "doctor")]
pub(crate) const DOCTOR: Duration = Duration::from_secs(30);

/// One of its questions, to a program on this machine or to DNS.
#[cfg(feature = "doctor")]
pub(crate) const DOCTOR_STEP: Duration = Duration::from_secs(5);
