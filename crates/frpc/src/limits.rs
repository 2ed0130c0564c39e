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
