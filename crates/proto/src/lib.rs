//! What frp's bytes mean: messages, wire framing v1 and v2, ciphers, digests, names.
//!
//! Everything here is a pure function or a byte machine. The crate opens no socket, reads no clock,
//! environment or random source: addresses, time and randomness are arguments. That keeps every
//! rule testable against bytes recorded from frp itself (`tests/golden`).
//!
//! - [`msg`]: the 18 messages and the one table of their wire types
//! - [`wire`]: how messages are framed (v1, v2) and how a v2 connection is opened
//! - [`crypto`]: the v1 stream cipher and the v2 AEAD records
//! - [`scram`]: the proof of the token between programs of ours
//! - [`auth`], [`naming`], [`proxy_protocol`]: digests, proxy names, PROXY headers
//! - [`names`]: enums whose variants have names, such as the types of proxies
//! - [`address`], [`network`]: IP addresses, `host:port`, `10.0.0.0/8`
//! - [`jwt`]: tokens of an OpenID Connect issuer
//! - [`plugin`]: what server plugins are asked over HTTP, and answer
//! - [`sni`]: which server a TLS client asks for
//! - [`fingerprint`]: what a server's key is called
//! - [`nathole`], [`stun`]: direct paths through NATs
#![deny(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)
)]

/// The release of frp whose behaviour this is; both programs present themselves as it, because
/// scripts and dashboards compare it.
pub const VERSION: &str = "0.70.1";

pub mod address;
pub mod auth;
pub mod crypto;
pub mod features;
pub mod fingerprint;
mod json;
pub mod jwt;
pub mod msg;
pub mod names;
pub mod naming;
pub mod nathole;
pub mod network;
pub mod plugin;
pub mod proxy_protocol;
pub mod proxy_url;
pub mod scram;
pub mod sni;
pub mod stun;
pub mod wire;
