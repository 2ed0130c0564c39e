//! Settings of frps.

use std::path::PathBuf;
use std::time::Duration;

use crate::{Auth, LogConfig, PortRange, Secret};

/// Everything that frps needs to know, checked and with defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// `auth`
    pub auth: Auth,
    /// `bindAddr`: address to accept frpc on.
    pub bind_addr: String,
    /// `bindPort`
    pub bind_port: u16,
    /// `proxyBindAddr`: address that proxies listen on; `bindAddr` when not given.
    pub proxy_bind_addr: String,
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
    /// `allowPorts`: ports that clients may ask for; empty for all.
    pub allow_ports: Vec<PortRange>,
    /// `webServer`: the HTTP API, `None` where its port is 0.
    pub web_server: Option<WebServer>,
    /// `enablePrometheus`: metrics at `/metrics` of the web server.
    pub enable_prometheus: bool,
}

/// The HTTP API of frps (`webServer.*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebServer {
    /// `webServer.addr`
    pub addr: String,
    /// `webServer.port`: not 0.
    pub port: u16,
    /// `webServer.user`; with an empty user and password nobody is asked for either.
    pub user: String,
    /// `webServer.password`
    pub password: Secret,
    /// `webServer.pprofEnable`: tell at `/debug/pprof/goroutine` what is alive.
    pub pprof_enable: bool,
    /// `webServer.tls`: `None` for plain HTTP.
    pub tls: Option<WebTls>,
}

/// TLS of the HTTP API (`webServer.tls.*`). The files are read at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebTls {
    /// `webServer.tls.certFile`: PEM.
    pub cert_file: PathBuf,
    /// `webServer.tls.keyFile`: PEM.
    pub key_file: PathBuf,
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
