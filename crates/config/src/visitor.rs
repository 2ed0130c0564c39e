//! Settings of one visitor of frpc.

use std::net::IpAddr;
use std::time::Duration;

use crate::Secret;

/// One entry of `visitors`, checked and with defaults filled in.
///
/// Two equal values mean that a reload leaves the running visitor alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisitorConfig {
    /// `name`
    pub name: String,
    /// `transport.useEncryption`: on the visitor's leg, with `secretKey`.
    pub use_encryption: bool,
    /// `transport.useCompression`: on the visitor's leg.
    pub use_compression: bool,
    /// `secretKey`: the one of the proxy.
    pub secret_key: Secret,
    /// `serverUser`: user of the proxy; empty for one's own.
    pub server_user: String,
    /// `serverName`: name of the proxy, without user.
    pub server_name: String,
    /// `bindAddr`
    pub bind_addr: String,
    /// `bindPort`, `None` for no listener.
    pub bind_port: Option<u16>,
    /// `plugin`: takes the place of the listener.
    pub plugin: Option<VisitorPlugin>,
    /// `type` and the keys that only this type has.
    pub kind: VisitorKind,
}

/// The kind of the proxy that is visited, with the keys of that kind.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum VisitorKind {
    /// `stcp`
    Stcp,
    /// `sudp`
    Sudp,
    /// `xtcp`
    Xtcp(XtcpVisitor),
}

/// Keys of type xtcp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XtcpVisitor {
    /// `protocol`
    pub protocol: XtcpProtocol,
    /// `keepTunnelOpen`
    pub keep_tunnel_open: bool,
    /// `maxRetriesAnHour`
    pub max_retries_an_hour: i64,
    /// `minRetryInterval`
    pub min_retry_interval: Duration,
    /// `fallbackTo`: name of a visitor; empty for none.
    pub fallback_to: String,
    /// `fallbackTimeoutMs`
    pub fallback_timeout: Duration,
    /// `natTraversal.disableAssistedAddrs`
    pub disable_assisted_addrs: bool,
}

/// What runs over the direct connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XtcpProtocol {
    /// `quic`
    Quic,
    /// `kcp`
    Kcp,
}

/// `visitors[].plugin`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum VisitorPlugin {
    /// The virtual network; `destinationIP` is reached through the visitor.
    VirtualNet {
        /// `destinationIP`, `None` when none is given.
        destination_ip: Option<IpAddr>,
    },
}
