//! Settings of one proxy of frpc.

use std::collections::BTreeMap;
use std::time::Duration;

use frp_proto::proxy_protocol::Version;

use crate::{BandwidthLimit, ClientPlugin, Secret};

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
    /// `loadBalancer`
    pub load_balancer: Option<LoadBalancer>,
    /// `healthCheck`
    pub health_check: Option<HealthCheck>,
    /// `plugin`: serves users instead of the local service.
    pub plugin: Option<ClientPlugin>,
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

impl BandwidthLimitMode {
    /// The mode as files and messages spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// Proxies of one group share what they publish (`loadBalancer.*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadBalancer {
    /// `group`, not empty.
    pub group: String,
    /// `groupKey`: the same in the whole group.
    pub group_key: Secret,
}

/// `healthCheck.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// `type`
    pub kind: HealthCheckKind,
    /// `timeoutSeconds`
    pub timeout: Duration,
    /// `maxFailed`: failures in a row until the proxy is withdrawn.
    pub max_failed: u64,
    /// `intervalSeconds`
    pub interval: Duration,
}

/// What is asked of the local service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCheckKind {
    /// That it accepts connections.
    Tcp,
    /// That it answers an HTTP request with success.
    Http {
        /// `path`
        path: String,
        /// `httpHeaders`
        headers: Vec<(String, String)>,
    },
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
    /// A UDP port of frps leads to the local service.
    Udp {
        /// `remotePort`: 0 lets frps pick one.
        remote_port: u16,
    },
    /// HTTP requests for certain hosts.
    Http(HttpProxy),
    /// TLS connections for certain hosts, passed on as they are.
    Https(Domains),
    /// Streams asked for by HTTP CONNECT.
    Tcpmux(TcpmuxProxy),
    /// TCP, only for visitors.
    Stcp(SecretAccess),
    /// UDP, only for visitors.
    Sudp(SecretAccess),
    /// TCP, only for visitors, which are reached directly.
    Xtcp {
        /// Who may visit.
        access: SecretAccess,
        /// `natTraversal.disableAssistedAddrs`
        disable_assisted_addrs: bool,
    },
}

impl ProxyKind {
    /// The `type` as files and messages spell it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Tcp { .. } => "tcp",
            Self::Udp { .. } => "udp",
            Self::Http(_) => "http",
            Self::Https(_) => "https",
            Self::Tcpmux(_) => "tcpmux",
            Self::Stcp(_) => "stcp",
            Self::Sudp(_) => "sudp",
            Self::Xtcp { .. } => "xtcp",
        }
    }
}

/// Which hosts a proxy is for; at least one is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domains {
    /// `customDomains`; `*.` stands for anything below.
    pub custom_domains: Vec<String>,
    /// `subdomain`: below `subDomainHost` of frps; empty for none.
    pub subdomain: String,
}

/// Keys of type http.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpProxy {
    /// `customDomains`, `subdomain`
    pub domains: Domains,
    /// `locations`: prefixes of the path; empty for all.
    pub locations: Vec<String>,
    /// `httpUser`
    pub http_user: String,
    /// `httpPassword`
    pub http_password: Secret,
    /// `hostHeaderRewrite`
    pub host_header_rewrite: String,
    /// `requestHeaders.set`
    pub request_headers: BTreeMap<String, String>,
    /// `responseHeaders.set`
    pub response_headers: BTreeMap<String, String>,
    /// `routeByHTTPUser`
    pub route_by_http_user: String,
}

/// Keys of type tcpmux. The multiplexer always is `httpconnect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpmuxProxy {
    /// `customDomains`, `subdomain`
    pub domains: Domains,
    /// `httpUser`
    pub http_user: String,
    /// `httpPassword`
    pub http_password: Secret,
    /// `routeByHTTPUser`
    pub route_by_http_user: String,
}

/// Who may visit a proxy of type stcp, sudp or xtcp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretAccess {
    /// `secretKey`
    pub secret_key: Secret,
    /// `allowUsers`: empty for the own user only, `*` for all.
    pub allow_users: Vec<String>,
}
