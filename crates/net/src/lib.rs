//! Async byte pipes: everything between a socket and a message, with no notion of a login or a
//! proxy.
//!
//! In the order in which a connection meets them:
//! [`listen`]/[`dial`] (sockets; names by [`resolve`], proxies by [`outbound_proxy`]) → [`sniff`] (first
//! bytes) → [`websocket`] → [`tls`] → [`mux`], or [`quic`] in the place of all that ([`carrier`]:
//! streams) → [`msg_stream`] (messages) → [`layers`] (limit, cipher, compression) → [`relay`] (bytes)
//! or [`udp`] (datagrams).

pub mod abort;
pub mod below;
mod buffers;
pub mod carrier;
pub mod crowd;
pub mod cut;
pub mod dial;
pub mod go_text;
pub mod kcp;
pub mod layers;
pub mod limits;
pub mod listen;
pub mod literal;
pub mod memory;
pub mod msg_stream;
pub mod mux;
pub mod or_never;
pub mod outbound_proxy;
mod outgoing;
pub mod process;
pub mod quic;
pub mod relay;
pub mod resolve;
pub mod signals;
pub mod sniff;
pub mod stranger_bytes;
pub mod strangers;
pub mod stream;
pub mod threads;
pub mod tls;
pub mod turn;
pub mod udp;
pub mod websocket;
