//! Settings of one proxy of frpc.

use std::collections::BTreeMap;

use frp_proto::proxy_protocol::Version;

use crate::BandwidthLimit;

/// One entry of `proxies`, checked and with defaults filled in.
///
/// Two equal values mean that a reload leaves the running proxy alone.
#[derive(Debug, Clone, PartialEq)]
pub struct ProxyConfig {
    /// `name`, without the `user` prefix.
    pub name: String,
    /// `annotations`: shown by frps.
    pub annotations: BTreeMap<String, String>,
    /// `metadatas`: for plugins of frps.
    pub metadatas: BTreeMap<String, String>,
    /// `transport`
    pub transport: ProxyTransport,
    /// `localIP`: host name or address of the local service.
    pub local_ip: String,
    /// `localPort`
    pub local_port: u16,
    /// `type` and the keys that only this type has.
    pub kind: ProxyKind,
}

/// How the bytes of a proxy travel (`proxies[].transport.*`).
#[derive(Debug, Clone, PartialEq)]
pub struct ProxyTransport {
    /// `transport.useEncryption`
    pub use_encryption: bool,
    /// `transport.useCompression`
    pub use_compression: bool,
    /// `transport.bandwidthLimit`
    pub bandwidth_limit: Option<BandwidthLimit>,
    /// `transport.bandwidthLimitMode`
    pub bandwidth_limit_mode: BandwidthLimitMode,
    /// `transport.proxyProtocolVersion`: header for the local service.
    pub proxy_protocol: Option<Version>,
}

/// Which program holds the bytes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BandwidthLimitMode {
    /// frpc
    Client,
    /// frps
    Server,
}

/// The kind of a proxy with the keys of that kind.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyKind {
    /// A TCP port of frps leads to the local service.
    Tcp {
        /// `remotePort`: 0 lets frps pick one.
        remote_port: u16,
    },
}
