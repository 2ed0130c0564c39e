//! Settings of frps.

use std::path::PathBuf;
use std::time::Duration;

use crate::{Auth, LogConfig, PortRange, QuicOptions, WebServer, WebsocketOptions};

/// Everything that frps needs to know, checked and with defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// `auth`
    pub auth: Auth,
    /// `auth.oidc`
    pub oidc: ServerOidc,
    /// `bindAddr`: address to accept frpc on.
    pub bind_addr: String,
    /// `bindPort`
    pub bind_port: u16,
    /// `proxyBindAddr`: address that proxies listen on; `bindAddr` when not given.
    pub proxy_bind_addr: String,
    /// `kcpBindPort`: UDP.
    pub kcp_bind_port: Option<u16>,
    /// `quicBindPort`: UDP.
    pub quic_bind_port: Option<u16>,
    /// `vhostHTTPPort`
    pub vhost_http_port: Option<u16>,
    /// `vhostHTTPTimeout`: how long a backend may take to answer.
    pub vhost_http_timeout: Duration,
    /// `vhostHTTPSPort`
    pub vhost_https_port: Option<u16>,
    /// `tcpmuxHTTPConnectPort`
    pub tcpmux_http_connect_port: Option<u16>,
    /// `tcpmuxPassthrough`
    pub tcpmux_passthrough: bool,
    /// `subDomainHost`; empty for none.
    pub sub_domain_host: String,
    /// `custom404Page`
    pub custom_404_page: Option<PathBuf>,
    /// `sshTunnelGateway`, `None` when its port is 0.
    pub ssh_tunnel_gateway: Option<SshTunnelGateway>,
    /// `webServer`, `None` when its port is 0.
    pub web_server: Option<WebServer>,
    /// `enablePrometheus`
    pub enable_prometheus: bool,
    /// `log`
    pub log: LogConfig,
    /// `transport`
    pub transport: ServerTransport,
    /// `detailedErrorsToClient`: tell frpc the reason, not only that something failed.
    pub detailed_errors_to_client: bool,
    /// `maxPortsPerClient`: 0 for no limit.
    pub max_ports_per_client: u64,
    /// `userConnTimeout`: how long a user waits for a work connection.
    pub user_conn_timeout: Duration,
    /// `udpPacketSize`, bytes.
    pub udp_packet_size: i64,
    /// `natholeAnalysisDataReserveHours`
    pub nathole_analysis_data_reserve_hours: i64,
    /// `allowPorts`: ports that clients may ask for; empty for all.
    pub allow_ports: Vec<PortRange>,
    /// `httpPlugins`
    pub http_plugins: Vec<HttpPlugin>,
}

/// `auth.oidc.*` of frps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerOidc {
    /// `issuer`
    pub issuer: String,
    /// `audience`; empty for any.
    pub audience: String,
    /// `skipExpiryCheck`
    pub skip_expiry_check: bool,
    /// `skipIssuerCheck`
    pub skip_issuer_check: bool,
}

/// `sshTunnelGateway.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshTunnelGateway {
    /// `bindPort`, never 0.
    pub bind_port: u16,
    /// `privateKeyFile`
    pub private_key_file: Option<PathBuf>,
    /// `autoGenPrivateKeyPath`
    pub auto_gen_private_key_path: PathBuf,
    /// `authorizedKeysFile`
    pub authorized_keys_file: Option<PathBuf>,
}

/// One entry of `httpPlugins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpPlugin {
    /// `name`
    pub name: String,
    /// `addr`: `host:port`, or a URL without path.
    pub addr: String,
    /// `path`
    pub path: String,
    /// `ops`
    pub ops: Vec<String>,
    /// `tlsVerify`
    pub tls_verify: bool,
}

/// How frps talks to frpc (`transport.*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTransport {
    /// `transport.tcpMux`: must be the same on frpc.
    pub tcp_mux: bool,
    /// `transport.tcpMuxKeepaliveInterval`
    pub tcp_mux_keepalive_interval: Duration,
    /// `transport.tcpKeepalive`: interval of TCP keep-alive probes, `None` for none.
    pub tcp_keepalive: Option<Duration>,
    /// `transport.maxPoolCount`: ceiling of a client's `poolCount`.
    pub max_pool_count: i64,
    /// `transport.heartbeatTimeout`: end a session after this long without a Ping, `None` for never.
    pub heartbeat_timeout: Option<Duration>,
    /// `transport.quic`
    pub quic: QuicOptions,
    /// `transport.websocket`: requests without these headers are refused.
    pub websocket: WebsocketOptions,
    /// `transport.tls`
    pub tls: ServerTls,
}

/// TLS towards frpc (`transport.tls.*`). Files are read at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// `transport.tls.force`: refuse plain connections. Always true with `trustedCaFile`.
    pub force: bool,
    /// `transport.tls.certFile`: PEM; without certificate or key a self-signed one is made.
    pub cert_file: Option<PathBuf>,
    /// `transport.tls.keyFile`: PEM.
    pub key_file: Option<PathBuf>,
    /// `transport.tls.trustedCaFile`: PEM; clients must then show a certificate.
    pub trusted_ca_file: Option<PathBuf>,
}
