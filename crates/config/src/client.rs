//! Settings of frpc.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use frp_proto::wire::WireProtocol;

use crate::{Auth, LogConfig, ProxyConfig};

/// Everything that frpc needs to know, checked and with defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientConfig {
    /// `auth`
    pub auth: Auth,
    /// `user`: on the wire a proxy is called `user.name`; empty for no prefix.
    pub user: String,
    /// `clientID`: a stable name of this client at frps; empty for none.
    pub client_id: String,
    /// `serverAddr`: host name or address of frps.
    pub server_addr: String,
    /// `serverPort`
    pub server_port: u16,
    /// `loginFailExit`: end the program when the first login fails, instead of trying again.
    pub login_fail_exit: bool,
    /// `log`
    pub log: LogConfig,
    /// `transport`
    pub transport: ClientTransport,
    /// `metadatas`: sent with the login.
    pub metadatas: BTreeMap<String, String>,
    /// The proxies to run: after the filters `start` and `enabled`, sorted by name.
    pub proxies: Vec<ProxyConfig>,
}

/// How frpc reaches frps (`transport.*`). The protocol is always tcp so far.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientTransport {
    /// `transport.wireProtocol`
    pub wire_protocol: WireProtocol,
    /// `transport.dialServerTimeout`
    pub dial_server_timeout: Duration,
    /// `transport.dialServerKeepalive`: interval of TCP keep-alive probes, `None` for none.
    pub dial_server_keepalive: Option<Duration>,
    /// `transport.connectServerLocalIP`: local address to dial from.
    pub connect_server_local_ip: Option<IpAddr>,
    /// `transport.poolCount`: work connections kept ready. The sign is passed on as frp does.
    pub pool_count: i64,
    /// `transport.tcpMux`: all streams over one connection; must be the same on frps.
    pub tcp_mux: bool,
    /// `transport.tcpMuxKeepaliveInterval`
    pub tcp_mux_keepalive_interval: Duration,
    /// `transport.heartbeatInterval`: time between Pings, `None` for no Pings.
    pub heartbeat_interval: Option<Duration>,
    /// `transport.heartbeatTimeout`: give up after this long without a Pong, `None` for never.
    pub heartbeat_timeout: Option<Duration>,
    /// `transport.tls`
    pub tls: ClientTls,
}

/// TLS towards frps (`transport.tls.*`). Files are read when the connection is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// `transport.tls.enable`
    pub enable: bool,
    /// `transport.tls.disableCustomTLSFirstByte`: when false, 0x17 precedes the TLS hello.
    pub disable_custom_first_byte: bool,
    /// `transport.tls.certFile`: PEM, the client's certificate.
    pub cert_file: Option<PathBuf>,
    /// `transport.tls.keyFile`: PEM, its key.
    pub key_file: Option<PathBuf>,
    /// `transport.tls.trustedCaFile`: PEM; without it the server's certificate is not verified.
    pub trusted_ca_file: Option<PathBuf>,
    /// `transport.tls.serverName`: expected name, `serverAddr` when absent.
    pub server_name: Option<String>,
}
