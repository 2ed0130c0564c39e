//! Async byte pipes: everything between a socket and the messages and bytes that go over it, with no
//! notion of a login or a proxy.
//!
//! In the order in which a connection meets them:
//! [`listen`]/[`dial`] (sockets; names by [`resolve`], proxies by [`outbound_proxy`]) → [`sniff`] (first
//! bytes) → [`websocket`] → [`tls`] → [`mux`], or [`quic`] in the place of all that ([`carrier`]:
//! streams) → `frp-relay`.
//!
//! The features `kcp`, `quic` and `websocket` are those transports; where one lacks, `absent` has what
//! stands in its place.

#![cfg_attr(
    not(all(feature = "kcp", feature = "quic", feature = "websocket")),
    allow(
        dead_code,
        unreachable_code,
        reason = "used only by a transport that this build lacks"
    )
)]

#[cfg(not(all(feature = "kcp", feature = "quic", feature = "websocket")))]
#[macro_use]
mod absent;

pub mod abort;
pub mod below;
pub mod buffers;
pub mod carrier;
pub mod crowd;
pub mod cut;
pub mod dial;
#[doc(hidden)]
pub mod fuzzed;
pub mod go_text;
#[cfg_attr(not(feature = "kcp"), path = "absent/kcp.rs")]
pub mod kcp;
pub mod limits;
pub mod listen;
pub mod literal;
pub mod memory;
pub mod mux;
pub mod or_never;
pub mod outbound_proxy;
mod outgoing;
pub mod own_ips;
pub mod proxied;
mod queue_limit;
#[cfg_attr(not(feature = "quic"), path = "absent/quic.rs")]
pub mod quic;
pub mod resolve;
pub mod rewind;
pub mod scratch;
pub mod sniff;
pub mod stranger_bytes;
pub mod strangers;
pub mod stream;
pub mod stun;
pub mod tls;
pub mod turn;
pub mod udp_socket;
#[cfg_attr(not(feature = "websocket"), path = "absent/websocket.rs")]
pub mod websocket;
