//! Every wait and size of messages and bytes under way that a peer can make us spend; those of the pipes
//! below stand in `frp_net::limits`. Waits are [`Duration`]s, sizes are bytes unless a name says otherwise. A value
//! that frp fixes carries frp's file.

use std::time::Duration;

/// Writing an answer to a login (frp `server/service.go`: connWriteTimeout).
pub const ANSWER_WRITE: Duration = Duration::from_secs(5);

/// A write on an established control connection that makes no progress for this long ends the
/// session: the peer does not read.
pub const MESSAGE_WRITE: Duration = Duration::from_secs(10);

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

/// Bytes of a connection's first message that it may have to itself, on each of its streams. Most
/// logins have some hundreds.
pub const FIRST_MESSAGE_SHARE: usize = 4 * 1024;

/// A user or service to which the end was passed on, and that acknowledges nothing for this time, has
/// gone. The system goes on sending to it for a quarter of an hour.
pub const END_UNANSWERED: Duration = Duration::from_secs(60);

/// The same for one of which nothing was ever heard, not even that it has taken the first byte: a service
/// that is too busy to accept the connection.
pub const END_UNHEARD: Duration = Duration::from_secs(10);

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
