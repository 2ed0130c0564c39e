//! KCP over UDP, as frp has it: a byte pipe with retransmission of its own and forward error
//! correction, which holds its speed where TCP takes loss for congestion.
//!
//! From the network up: [`socket`] datagrams, many at once → [`fec`] error correction, with the code
//! in [`reed_solomon`] → [`segment`] and [`arq`] numbered segments become bytes (`sending`,
//! `receiving`) → [`session`] all of that for one peer. None of these has I/O or a clock except the
//! first. [`pipe`] makes an async byte pipe of a session; [`dial`](mod@dial) and [`listener`] are
//! the two ends, `newcomers` who has to show first where it is.
//!
//! The wire is that of xtaci/kcp-go v5.6.13 with the settings of frp's `pkg/util/net/kcp.go` and
//! golib's `net/dial.go`. Also served: a peer without error correction.
//!
//! Why not the crate `kcp`: it cannot be told that a packet was restored (such a packet must not
//! change the window and the round trip), searches all segments for each acknowledgement, ticks
//! while idle, and its arithmetic on the peer's numbers overflows where those wrap.

pub mod arq;
mod dial;
pub mod fec;
#[cfg(test)]
mod fec_tests;
mod listener;
mod newcomers;
pub mod params;
mod pipe;
mod receiving;
mod reed_solomon;
pub mod segment;
mod sending;
pub mod session;
mod socket;

pub use self::dial::{connect, dial};
pub use self::listener::{Accepted, Driver, KcpListener, Stranger};
pub use self::pipe::{KcpStream, Peer};
