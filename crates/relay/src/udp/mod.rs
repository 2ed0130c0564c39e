//! Datagrams of udp and sudp proxies, and the stream of messages that carries them.
//!
//! One end of a stream has [`Users`]: a socket that users send to (frps, and a sudp visitor). The
//! other has [`Locals`]: a socket of its own for each user, connected to the local service (frpc).
//! [`mod@carry`] moves datagrams between such an end and the stream in one task, without a task, a
//! channel or an allocation per datagram: what has come is taken in one go, becomes one write, and
//! what was read goes out in one system call where the system can (frp `pkg/proto/udp/udp.go`).
//!
//! A datagram arrives whole or not at all. Whatever is dropped is counted and said ([`mod@losses`]).

mod bridge;
mod carry;
mod ends;
mod incoming;
mod local_service;
mod locals;
mod losses;
mod outgoing;
mod roll;
mod socket;
mod users;

pub use self::bridge::{Bridged, bridge};
pub use self::carry::{CarryError, Datagrams};
pub use self::ends::{Ends, Heartbeat, MAX_DATAGRAM};
pub use self::local_service::LocalService;
pub use self::locals::{LocalOptions, Locals, Reached, Tell};
pub use self::roll::{Listed, Roll, roll};
pub use self::users::{Activity, Gate, Users};
