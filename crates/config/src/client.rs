//! Settings of frpc.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use frp_proto::proxy_url::ProxyUrl;
use frp_proto::wire::WireProtocol;

use crate::{
    Auth, DnsServer, LogConfig, ProxyConfig, QuicOptions, Secret, ValueSource, VisitorConfig, Way,
    WebServer, WebsocketOptions,
};

/// Everything that frpc needs to know, checked and with defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientConfig {
    /// `auth`
    pub auth: Auth,
    /// `auth.oidc`
    pub oidc: ClientOidc,
    /// `user`: on the wire a proxy is called `user.name`; empty for no prefix.
    pub user: String,
    /// `clientID`: a stable name of this client at frps; empty for none.
    pub client_id: String,
    /// `serverAddr`: host name or address of frps.
    pub server_addr: String,
    /// `serverPort`
    pub server_port: u16,
    /// `natHoleStunServer`
    pub nat_hole_stun_server: String,
    /// `dnsServer`: asked instead of the system's, by the whole process.
    pub dns_server: Option<DnsServer>,
    /// `loginFailExit`: end the program when the first login fails, instead of trying again.
    pub login_fail_exit: bool,
    /// `start`: names of the proxies and visitors that run; empty for all. Applied already to
    /// `proxies` and `visitors`.
    pub start: Vec<String>,
    /// `log`
    pub log: LogConfig,
    /// `webServer`, `None` when its port is 0.
    pub web_server: Option<WebServer>,
    /// `transport`
    pub transport: ClientTransport,
    /// `virtualNet.address`: CIDR.
    pub virtual_net_address: Option<String>,
    /// `featureGates`
    pub feature_gates: BTreeMap<String, bool>,
    /// `udpPacketSize`, bytes.
    pub udp_packet_size: i64,
    /// `metadatas`: sent with the login.
    pub metadatas: BTreeMap<String, String>,
    /// `includes`: the files whose proxies and visitors are among those here.
    pub includes: Vec<String>,
    /// `store.path`, as written: relative to the directory of the file.
    pub store_path: Option<PathBuf>,
    /// The proxies to run: after the filters `start` and `enabled`, sorted by name.
    pub proxies: Vec<ProxyConfig>,
    /// The visitors to run: after the filters `start` and `enabled`, sorted by name.
    pub visitors: Vec<VisitorConfig>,
}

/// `auth.oidc.*` of frpc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOidc {
    /// `clientID`
    pub client_id: String,
    /// `clientSecret`
    pub client_secret: Secret,
    /// `audience`
    pub audience: String,
    /// `scope`
    pub scope: String,
    /// `tokenEndpointURL`
    pub token_endpoint_url: String,
    /// `additionalEndpointParams`
    pub additional_endpoint_params: BTreeMap<String, Secret>,
    /// `trustedCaFile`: PEM.
    pub trusted_ca_file: Option<PathBuf>,
    /// `insecureSkipVerify`
    pub insecure_skip_verify: bool,
    /// `proxyURL`; may hold a password.
    pub proxy_url: Option<Secret>,
    /// `tokenSource`: read anew for each message that carries the token.
    pub token_source: Option<ValueSource>,
}

/// `transport.protocol`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportProtocol {
    /// `tcp`
    Tcp,
    /// `kcp`
    Kcp,
    /// `quic`
    Quic,
    /// `websocket`
    Websocket,
    /// `wss`
    Wss,
}

/// How frpc reaches frps (`transport.*`).
#[derive(Debug, Clone, PartialEq)]
pub struct ClientTransport {
    /// `transport.protocol`; `Tcp` where that is `auto`.
    pub protocol: TransportProtocol,
    /// `transport.order`: what to choose from, best first, not empty. `None` unless
    /// `transport.protocol` is `auto`.
    pub order: Option<Vec<Way>>,
    /// `transport.wireProtocol`
    pub wire_protocol: WireProtocol,
    /// `transport.dialServerTimeout`
    pub dial_server_timeout: Duration,
    /// `transport.dialServerKeepalive`: interval of TCP keep-alive probes, `None` for none.
    pub dial_server_keepalive: Option<Duration>,
    /// `transport.connectServerLocalIP`: local address to dial from.
    pub connect_server_local_ip: Option<IpAddr>,
    /// `transport.proxyURL`, else the environment variable `http_proxy`: the proxy that leads to
    /// frps. Not for kcp and quic.
    pub proxy_url: Option<ProxyUrl>,
    /// Whether `proxy_url` is from the environment.
    pub proxy_from_environment: bool,
    /// `transport.quic`
    pub quic: QuicOptions,
    /// `transport.websocket`: headers are sent; `Host` and `Origin` take the place of frp's.
    pub websocket: WebsocketOptions,
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
