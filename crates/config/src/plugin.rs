//! Settings of the plugins of frpc.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::Secret;

/// What serves the users of a proxy instead of a local service (`proxies[].plugin`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientPlugin {
    /// HTTP in, HTTPS to the local service.
    Http2Https(ForwardPlugin),
    /// A forward proxy.
    HttpProxy(PluginLogin),
    /// HTTPS in, HTTP to the local service.
    Https2Http(HttpsForwardPlugin),
    /// HTTPS in, HTTPS to the local service.
    Https2Https(HttpsForwardPlugin),
    /// HTTP in, HTTP to the local service.
    Http2Http(ForwardPlugin),
    /// A SOCKS5 server.
    Socks5(PluginLogin),
    /// A web server for files.
    StaticFile {
        /// `localPath`
        local_path: PathBuf,
        /// `stripPrefix`
        strip_prefix: String,
        /// `httpUser`, `httpPassword`
        login: PluginLogin,
    },
    /// A Unix socket.
    UnixDomainSocket {
        /// `unixPath`
        unix_path: PathBuf,
    },
    /// TLS in, plain bytes to the local service.
    Tls2Raw {
        /// `localAddr`
        local_addr: String,
        /// `crtPath`, `keyPath`
        tls: PluginTls,
    },
    /// The virtual network.
    VirtualNet,
}

impl ClientPlugin {
    /// The `type` in the file.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Http2Https(_) => "http2https",
            Self::HttpProxy(_) => "http_proxy",
            Self::Https2Http(_) => "https2http",
            Self::Https2Https(_) => "https2https",
            Self::Http2Http(_) => "http2http",
            Self::Socks5(_) => "socks5",
            Self::StaticFile { .. } => "static_file",
            Self::UnixDomainSocket { .. } => "unix_domain_socket",
            Self::Tls2Raw { .. } => "tls2raw",
            Self::VirtualNet => "virtual_net",
        }
    }
}

/// Where requests go, and how they are changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardPlugin {
    /// `localAddr`: `host:port`
    pub local_addr: String,
    /// `hostHeaderRewrite`
    pub host_header_rewrite: String,
    /// `requestHeaders.set`
    pub request_headers: BTreeMap<String, String>,
    /// `backendTrustedCaFile`, `backendServerName`; empty where requests go on without TLS.
    pub backend_tls: BackendTls,
}

/// Whom a plugin trusts that sends requests on by TLS. frp trusts anybody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackendTls {
    /// `backendTrustedCaFile`: PEM; `None` trusts anybody.
    pub trusted_ca_file: Option<PathBuf>,
    /// `backendServerName`: sent and checked instead of the host of `localAddr`.
    pub server_name: Option<String>,
}

/// The same for plugins that users reach by HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsForwardPlugin {
    /// Where requests go.
    pub forward: ForwardPlugin,
    /// `enableHTTP2`
    pub enable_http2: bool,
    /// `crtPath`, `keyPath`
    pub tls: PluginTls,
}

/// Certificate and key that users see; self-signed when one of them is not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginTls {
    /// `crtPath`: PEM.
    pub crt_path: Option<PathBuf>,
    /// `keyPath`: PEM.
    pub key_path: Option<PathBuf>,
}

/// User name and password that are asked for; none when both are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginLogin {
    /// `httpUser` or `username`
    pub user: String,
    /// `httpPassword` or `password`
    pub password: Secret,
}
