//! What does the server go by? Its settings fall into two: what it is [`Bound`] to as long as it runs
//! (addresses, ports), and the [`Policy`] (credentials, limits, certificates, texts), which may be
//! replaced meanwhile.
//!
//! Whoever decides something takes one snapshot by `Core::policy` and decides all of it by that: a
//! connection that arrives, a login, a new proxy, a user. What has been decided stays: a session keeps
//! the credentials, the key and the heartbeat timeout that it logged in under, a proxy its port and
//! packet size, a connection its certificate.
//!
//! All that follows from the settings is made when the policy is: no decision reads a file.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use frp_config::{Secret, ServerConfig, ServerTls, ServerTransport, WebServer, WebsocketOptions};
use frp_log::Level;
use frp_net::quic::{self, NoInitialCipherSuite};
use frp_net::tls::{self, TlsFiles, TlsSetupError};
use frp_net::websocket::handshake::{Accepted, Field};
use tokio::sync::watch;

use crate::auth::{Auth, Keeper};
use crate::plugins::{PluginSetupError, Plugins};
use crate::ports::AllowedPorts;

/// What holds as long as the server runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) bind_addr: String,
    pub(crate) bind_port: u16,
    /// Where proxies listen.
    pub(crate) proxy_bind_addr: String,
    pub(crate) kcp_port: Option<u16>,
    pub(crate) quic_port: Option<u16>,
    pub(crate) vhost_http_port: Option<u16>,
    pub(crate) vhost_https_port: Option<u16>,
    pub(crate) tcpmux_port: Option<u16>,
    /// With its password and certificate: those who have shown it hold on to what they were given.
    pub(crate) web: Option<WebServer>,
    /// The clients that are there have the same.
    pub(crate) tcp_mux: bool,
}

/// What may be replaced while the server runs.
#[derive(Debug)]
pub(crate) struct Policy {
    /// For its own: a session keeps it.
    pub(crate) auth: Arc<Auth>,
    pub(crate) tls: Arc<rustls::ServerConfig>,
    /// No connections without TLS.
    pub(crate) tls_force: bool,
    pub(crate) quic: quic::ServerSettings,
    /// Which websocket requests are taken.
    pub(crate) websocket: Accepted,
    pub(crate) tcp_keepalive: Option<Duration>,
    pub(crate) mux_keepalive: Duration,
    /// `None` for never.
    pub(crate) heartbeat_timeout: Option<Duration>,
    pub(crate) allow_ports: AllowedPorts,
    /// 0 for no limit.
    pub(crate) max_ports_per_client: u64,
    pub(crate) max_pool_count: i64,
    /// How long a user waits for a work connection.
    pub(crate) user_conn_timeout: Duration,
    /// Bytes.
    pub(crate) udp_packet_size: i64,
    /// Empty for none.
    pub(crate) sub_domain_host: String,
    /// How long a service may take to answer a request.
    pub(crate) vhost_http_timeout: Duration,
    pub(crate) tcpmux_passthrough: bool,
    pub(crate) custom_404_page: Option<PathBuf>,
    pub(crate) enable_prometheus: bool,
    pub(crate) log_level: Level,
    pub(crate) plugins: Plugins,
    detailed_errors_to_client: bool,
}

/// Why settings cannot be gone by.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// `transport.tls` names files that cannot be used.
    #[error("transport.tls: {0}")]
    Tls(#[from] TlsSetupError),
    /// TLS does not do for QUIC.
    #[error("transport.tls, for quicBindPort: {0}")]
    Quic(#[from] NoInitialCipherSuite),
    /// A plugin cannot be asked.
    #[error("{0}")]
    Plugin(#[from] PluginSetupError),
    /// They differ from those of the running server in what it is bound to.
    #[error("{} cannot change while frps runs; restart it", .0.join(", "))]
    Bound(Vec<&'static str>),
}

/// The settings of each kind; a new one does not compile until it has been given its place.
pub(crate) fn divide(
    cfg: ServerConfig,
    former: Option<&Policy>,
) -> Result<(Bound, Policy, Option<Keeper>), PolicyError> {
    let ServerConfig {
        auth,
        oidc,
        bind_addr,
        bind_port,
        proxy_bind_addr,
        kcp_bind_port,
        quic_bind_port,
        vhost_http_port,
        vhost_http_timeout,
        vhost_https_port,
        tcpmux_http_connect_port,
        tcpmux_passthrough,
        sub_domain_host,
        custom_404_page,
        ssh_tunnel_gateway: _,
        web_server,
        enable_prometheus,
        log,
        transport,
        detailed_errors_to_client,
        max_ports_per_client,
        user_conn_timeout,
        udp_packet_size,
        nathole_analysis_data_reserve_hours: _,
        allow_ports,
        http_plugins,
    } = cfg;
    let ServerTransport {
        tcp_mux,
        tcp_mux_keepalive_interval,
        tcp_keepalive,
        max_pool_count,
        heartbeat_timeout,
        quic,
        websocket,
        tls:
            ServerTls {
                force: tls_force,
                cert_file,
                key_file,
                trusted_ca_file,
            },
    } = transport;
    let tls = tls::server_config(&TlsFiles {
        cert: cert_file,
        key: key_file,
        trusted_ca: trusted_ca_file,
    })?;
    let options = quic::Options {
        keepalive: quic.keepalive_period,
        idle: quic.max_idle_timeout,
        max_streams: quic.max_incoming_streams,
    };
    let quic = quic::ServerSettings::new(&tls, &options)?;
    let (auth, keeper) = Auth::new(auth, &oidc, former.map(|former| &*former.auth));
    let policy = Policy {
        auth: Arc::new(auth),
        tls,
        tls_force,
        quic,
        websocket: accepted_websockets(websocket),
        tcp_keepalive,
        mux_keepalive: tcp_mux_keepalive_interval,
        heartbeat_timeout,
        allow_ports: AllowedPorts::new(allow_ports),
        max_ports_per_client,
        max_pool_count,
        user_conn_timeout,
        udp_packet_size,
        sub_domain_host,
        vhost_http_timeout,
        tcpmux_passthrough,
        custom_404_page,
        enable_prometheus,
        log_level: log.level,
        plugins: Plugins::new(http_plugins)?,
        detailed_errors_to_client,
    };
    let bound = Bound {
        bind_addr,
        bind_port,
        proxy_bind_addr,
        kcp_port: kcp_bind_port,
        quic_port: quic_bind_port,
        vhost_http_port,
        vhost_https_port,
        tcpmux_port: tcpmux_http_connect_port,
        web: web_server,
        tcp_mux,
    };
    Ok((bound, policy, keeper))
}

fn accepted_websockets(settings: WebsocketOptions) -> Accepted {
    let field = |(name, value): (String, Secret)| Field {
        name,
        value: value.expose().to_owned(),
    };
    Accepted {
        path: settings.path,
        fields: settings.headers.into_iter().map(field).collect(),
    }
}

impl Bound {
    /// The keys in which the two differ.
    pub(crate) fn differing_from(&self, other: &Self) -> Vec<&'static str> {
        [
            ("bindAddr", self.bind_addr != other.bind_addr),
            ("bindPort", self.bind_port != other.bind_port),
            (
                "proxyBindAddr",
                self.proxy_bind_addr != other.proxy_bind_addr,
            ),
            ("kcpBindPort", self.kcp_port != other.kcp_port),
            ("quicBindPort", self.quic_port != other.quic_port),
            (
                "vhostHTTPPort",
                self.vhost_http_port != other.vhost_http_port,
            ),
            (
                "vhostHTTPSPort",
                self.vhost_https_port != other.vhost_https_port,
            ),
            (
                "tcpmuxHTTPConnectPort",
                self.tcpmux_port != other.tcpmux_port,
            ),
            ("webServer", self.web != other.web),
            ("transport.tcpMux", self.tcp_mux != other.tcp_mux),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect()
    }
}

impl Policy {
    /// The error text that a peer may see: the whole of it, or only its kind where
    /// `detailedErrorsToClient` is off.
    pub(crate) fn text_for_peer(&self, kind: &str, detail: &str) -> String {
        if self.detailed_errors_to_client {
            detail.to_owned()
        } else {
            kind.to_owned()
        }
    }
}

/// The policy that is in force.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) policy: watch::Sender<Arc<Policy>>,
    /// A policy is made with a look at the one before, by one at a time.
    pub(crate) writing: Mutex<()>,
}

impl InForce {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy: watch::Sender::new(Arc::new(policy)),
            writing: Mutex::default(),
        }
    }

    pub(crate) fn snapshot(&self) -> Arc<Policy> {
        self.policy.borrow().clone()
    }
}
