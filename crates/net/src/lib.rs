//! Async byte pipes: everything between a socket and a message, with no notion of a login or a
//! proxy.
//!
//! In the order in which a connection meets them:
//! [`listen`]/[`dial`] (sockets; through a proxy by [`way_out`]) → [`sniff`] (first bytes) → [`tls`] → [`mux`] (streams) →
//! [`msg_stream`] (messages) → [`layers`] (limit, cipher, compression) → [`relay`] (bytes) or
//! [`udp`] (datagrams).

pub mod before_login;
mod buffers;
pub mod dial;
pub mod go_text;
pub mod http_client;
pub mod layers;
pub mod limits;
pub mod listen;
pub mod msg_stream;
pub mod mux;
pub mod process;
pub mod relay;
pub mod sniff;
pub mod stream;
pub mod threads;
pub mod tls;
pub mod udp;
pub mod way_out;
pub mod web;
