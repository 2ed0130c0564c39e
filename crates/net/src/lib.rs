//! Async byte pipes: everything between a socket and the messages and bytes that go over it, with no
//! notion of a login or a proxy.
//!
//! In the order in which a connection meets them:
//! [`listen`]/[`dial`] (sockets; names by [`resolve`], proxies by [`outbound_proxy`]) → [`sniff`] (first
//! bytes) → [`websocket`] → [`tls`] → [`mux`], or [`quic`] in the place of all that ([`carrier`]:
//! streams) → `frp-relay`.

pub mod abort;
pub mod below;
pub mod buffers;
pub mod carrier;
pub mod crowd;
pub mod cut;
pub mod dial;
pub mod go_text;
pub mod kcp;
pub mod limits;
pub mod listen;
pub mod literal;
pub mod memory;
pub mod mux;
pub mod or_never;
pub mod outbound_proxy;
mod outgoing;
mod queue_limit;
pub mod quic;
pub mod resolve;
pub mod rewind;
pub mod scratch;
pub mod sniff;
pub mod stranger_bytes;
pub mod strangers;
pub mod stream;
pub mod tls;
pub mod turn;
pub mod udp_socket;
pub mod websocket;
