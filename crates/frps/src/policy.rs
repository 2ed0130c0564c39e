//! What does the server go by? Its settings fall into two: what it is [`Bound`] to as long as it runs
//! (addresses, ports), and the [`Policy`] (credentials, limits, certificates, texts), which may be
//! replaced meanwhile.
//!
//! Whoever decides something takes one snapshot by `Core::policy` and decides all of it by that: a
//! connection that arrives, a login, a new proxy, a user. What has been decided stays: a session keeps
//! the credentials, the key and the heartbeat timeout that it logged in under, a proxy its port and
//! packet size, a connection its certificate. But a session ends when its token is no longer one of
//! `auth.tokens`.
//!
//! All that follows from the settings is made when the policy is: no decision reads a file.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use frp_config::{
    AuthMethod, Challenge, Secret, ServerConfig, ServerTls, ServerTransport, WebsocketOptions,
};
use frp_log::InitError;
use frp_net::quic::{self, NoInitialCipherSuite};
use frp_net::tls::{self, TlsFiles, TlsSetupError};
use frp_net::websocket::handshake::{Accepted, Field};
use frp_proto::fingerprint::Fingerprint;
use tokio::sync::watch;

use crate::access::{self, Access};
use crate::auth::{Auth, Keeper};
use crate::guards::{Guards, ListError};
use crate::key_store::{self, KeyStoreError};
use crate::plugins::{PluginSetupError, Plugins};
use crate::ports::AllowedPorts;
use crate::trusted::Trusted;

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
    pub(crate) ssh: Option<SshGateway>,
    /// Address and port of the web server.
    pub(crate) web: Option<(String, u16)>,
    /// The file of the traffic that survives.
    pub(crate) store_path: Option<PathBuf>,
    /// The clients that are there have the same.
    pub(crate) tcp_mux: bool,
}

/// Where ssh clients come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SshGateway {
    pub(crate) port: u16,
    /// The host key; without it, it is in the file that follows, and made where there is none.
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) made_key_file: PathBuf,
}

/// What may be replaced while the server runs.
#[derive(Debug)]
pub(crate) struct Policy {
    /// For its own: a session keeps it.
    pub(crate) auth: Arc<Auth>,
    pub(crate) tls: Arc<rustls::ServerConfig>,
    /// Of its key.
    pub(crate) fingerprint: Fingerprint,
    /// The key is in no file.
    pub(crate) key_is_fleeting: bool,
    /// Clients prove their token by a challenge, and TLS says so.
    pub(crate) by_challenge: bool,
    /// How far the clock of clients may be away that do not.
    pub(crate) max_clock_skew: Option<Duration>,
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
    /// Proxies in front of us that are believed.
    pub(crate) proxies: Trusted,
    /// Who may come to proxies.
    pub(crate) guards: Guards,
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
    /// Whom the web server lets in, where there is one.
    pub(crate) web: Option<Arc<Access>>,
    /// How long it is remembered what worked for two networks.
    pub(crate) hole_scores_kept: Duration,
    pub(crate) enable_prometheus: bool,
    pub(crate) plugins: Plugins,
    /// The keys of the ssh clients that may log in; without it, any may that has the token.
    pub(crate) ssh_keys: Option<PathBuf>,
    detailed_errors_to_client: bool,
}

/// Why settings cannot be gone by.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// `transport.tls` names files that cannot be used.
    #[error("transport.tls: {0}")]
    Tls(#[from] TlsSetupError),
    /// `transport.tls.keyStore` cannot be used.
    #[error("transport.tls.keyStore: {0}")]
    KeyStore(#[from] KeyStoreError),
    /// TLS does not do for QUIC.
    #[error("transport.tls, for quicBindPort: {0}")]
    Quic(#[from] NoInitialCipherSuite),
    /// A plugin cannot be asked.
    #[error("{0}")]
    Plugin(#[from] PluginSetupError),
    /// A file of addresses cannot be read.
    #[error("{0}")]
    Guard(#[from] ListError),
    /// `webServer.tls` names files that cannot be used.
    #[error("webServer.tls: {0}")]
    Web(#[source] TlsSetupError),
    /// The log cannot go where it should.
    #[error("{0}")]
    Log(#[from] InitError),
}

/// The settings that a policy was made of, and the policy.
#[derive(Debug)]
pub(crate) struct Former {
    pub(crate) settings: ServerConfig,
    pub(crate) policy: Arc<Policy>,
}

/// Leaves what cannot change while a server of the settings `now` runs, and names the keys in which `new`
/// differs there.
pub(crate) fn keep_bound(new: &mut ServerConfig, now: &ServerConfig) -> Vec<&'static str> {
    fn kept<T: PartialEq + Clone>(new: &mut T, now: &T) -> bool {
        let differs = new != now;
        if differs {
            new.clone_from(now);
        }
        differs
    }
    let mut left = Vec::new();
    macro_rules! keep {
        ($($key:literal $($field:ident).+;)*) => { $(
            if kept(&mut new.$($field).+, &now.$($field).+) {
                left.push($key);
            }
        )* };
    }
    keep! {
        "bindAddr" bind_addr;
        "bindPort" bind_port;
        "proxyBindAddr" proxy_bind_addr;
        "kcpBindPort" kcp_bind_port;
        "quicBindPort" quic_bind_port;
        "vhostHTTPPort" vhost_http_port;
        "vhostHTTPSPort" vhost_https_port;
        "tcpmuxHTTPConnectPort" tcpmux_http_connect_port;
        "store.path" store_path;
        "transport.tcpMux" transport.tcp_mux;
    }
    // Whether clients send heartbeats goes by the mux.
    if left.contains(&"transport.tcpMux") {
        keep! { "transport.heartbeatTimeout" transport.heartbeat_timeout; }
    }
    match (&mut new.ssh_tunnel_gateway, &now.ssh_tunnel_gateway) {
        (Some(new), Some(now)) => {
            let (key, now_key) = (&mut new.private_key_file, &now.private_key_file);
            let (made, now_made) = (
                &mut new.auto_gen_private_key_path,
                &now.auto_gen_private_key_path,
            );
            for (key, kept) in [
                (
                    "sshTunnelGateway.bindPort",
                    kept(&mut new.bind_port, &now.bind_port),
                ),
                ("sshTunnelGateway.privateKeyFile", kept(key, now_key)),
                (
                    "sshTunnelGateway.autoGenPrivateKeyPath",
                    kept(made, now_made),
                ),
            ] {
                left.extend(kept.then_some(key));
            }
        }
        (new, now) => left.extend(kept(new, now).then_some("sshTunnelGateway.bindPort")),
    }
    match (&mut new.web_server, &now.web_server) {
        (Some(new), Some(now)) => {
            for (key, kept) in [
                ("webServer.addr", kept(&mut new.addr, &now.addr)),
                ("webServer.port", kept(&mut new.port, &now.port)),
            ] {
                left.extend(kept.then_some(key));
            }
        }
        (new, now) => left.extend(kept(new, now).then_some("webServer.port")),
    }
    left
}

/// The settings of each kind; a new one does not compile until it has been given its place.
pub(crate) fn divide(
    cfg: ServerConfig,
    former: Option<&Former>,
) -> Result<(Bound, Policy, Option<Keeper>), PolicyError> {
    let ServerConfig {
        auth,
        oidc,
        tokens,
        strict_users,
        max_clock_skew,
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
        ssh_tunnel_gateway,
        web_server,
        enable_prometheus,
        log: _,
        transport,
        detailed_errors_to_client,
        max_ports_per_client,
        user_conn_timeout,
        udp_packet_size,
        nathole_analysis_data_reserve_hours,
        allow_ports,
        accept_proxy_protocol,
        accept_proxy_protocol_ports,
        guard,
        store_path,
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
        tls: tls_files,
    } = transport;
    let tls_force = tls_files.force;
    let key_is_fleeting = is_fleeting(&tls_files);
    let by_challenge = auth.method == AuthMethod::Token && auth.challenge != Challenge::Off;
    let (tls, fingerprint) = server_tls(tls_files, by_challenge, former)?;
    let web_access = web_server.as_ref().map(access::of).transpose();
    let web_access = web_access.map_err(PolicyError::Web)?.map(Arc::new);
    let options = quic::Options {
        keepalive: quic.keepalive_period,
        idle: quic.max_idle_timeout,
        max_streams: quic.max_incoming_streams,
    };
    let quic = quic::ServerSettings::new(&tls, &options)?;
    let (ssh, ssh_keys) = match ssh_tunnel_gateway {
        Some(gateway) => {
            let ssh = SshGateway {
                port: gateway.bind_port,
                key_file: gateway.private_key_file,
                made_key_file: gateway.auto_gen_private_key_path,
            };
            (Some(ssh), gateway.authorized_keys_file)
        }
        None => (None, None),
    };
    let (auth, keeper) = Auth::new(
        auth,
        (tokens, strict_users),
        &oidc,
        former.map(|former| &*former.policy.auth),
    );
    let policy = Policy {
        auth: Arc::new(auth),
        tls,
        fingerprint,
        key_is_fleeting,
        tls_force,
        by_challenge,
        max_clock_skew: (max_clock_skew > 0).then(|| Duration::from_secs(max_clock_skew)),
        quic,
        websocket: accepted_websockets(websocket),
        tcp_keepalive,
        mux_keepalive: tcp_mux_keepalive_interval,
        heartbeat_timeout,
        allow_ports: AllowedPorts::new(allow_ports),
        guards: Guards::new(guard, &accept_proxy_protocol)?,
        proxies: Trusted::new(accept_proxy_protocol, accept_proxy_protocol_ports),
        max_ports_per_client,
        max_pool_count,
        user_conn_timeout,
        udp_packet_size,
        sub_domain_host,
        vhost_http_timeout,
        tcpmux_passthrough,
        custom_404_page,
        web: web_access,
        hole_scores_kept: hours(nathole_analysis_data_reserve_hours),
        enable_prometheus,
        plugins: Plugins::new(http_plugins, former.map(|former| &former.policy.plugins))?,
        ssh_keys,
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
        ssh,
        web: web_server.map(|web| (web.addr, web.port)),
        store_path,
        tcp_mux,
    };
    Ok((bound, policy, keeper))
}

/// Fewer than none are none.
fn hours(n: i64) -> Duration {
    Duration::from_secs(u64::try_from(n).unwrap_or(0).saturating_mul(60 * 60))
}

/// Whether frps makes a key for as long as it runs.
fn is_fleeting(files: &ServerTls) -> bool {
    files.key_store.is_none() && (files.cert_file.is_none() || files.key_file.is_none())
}

/// TLS by what is in the files now. A key that frps makes for as long as it runs stays the same.
fn server_tls(
    files: ServerTls,
    by_challenge: bool,
    former: Option<&Former>,
) -> Result<(Arc<rustls::ServerConfig>, Fingerprint), PolicyError> {
    let is_same = |former: &&Former| {
        files.trusted_ca_file.is_none()
            && former.settings.transport.tls == files
            && former.policy.by_challenge == by_challenge
    };
    if let Some(former) = former.filter(is_same).filter(|_| is_fleeting(&files)) {
        return Ok((former.policy.tls.clone(), former.policy.fingerprint));
    }
    let trusted_ca = files.trusted_ca_file;
    let (tls, fingerprint) = match files.key_store {
        Some(store) => key_store::open(&store, trusted_ca)?,
        None => tls::server(&TlsFiles {
            cert: files.cert_file,
            key: files.key_file,
            trusted_ca,
        })?,
    };
    let tls = match by_challenge {
        true => tls::marked(&tls),
        false => tls,
    };
    Ok((tls, fingerprint))
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
    /// What it was made of, held by whoever makes the next one.
    pub(crate) settings: Mutex<ServerConfig>,
    /// Files are read in the order of the wishes to read them.
    pub(crate) reading: Arc<tokio::sync::Mutex<()>>,
}

impl InForce {
    pub(crate) fn new(policy: Policy, settings: ServerConfig) -> Self {
        Self {
            policy: watch::Sender::new(Arc::new(policy)),
            settings: Mutex::new(settings),
            reading: Arc::default(),
        }
    }

    pub(crate) fn snapshot(&self) -> Arc<Policy> {
        self.policy.borrow().clone()
    }
}
