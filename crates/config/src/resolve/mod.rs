//! Checked sections to typed settings: defaults, and rules that concern several keys.

mod auth;
mod collide;
mod order;
mod proxy;
mod visitor;
mod way_out;
mod websocket;

use std::path::PathBuf;
use std::time::Duration;

use frp_proto::address::ScopedIp;
use frp_proto::wire::WireProtocol;

pub(crate) use self::way_out::dns_server;
use crate::check::not_supported;
use crate::report::Report;
use crate::section::Section;
use crate::{
    ClientConfig, ClientTls, ClientTransport, HttpPlugin, LogConfig, LogLevel, LogTarget,
    PortRange, QuicOptions, Secret, ServerConfig, ServerTls, ServerTransport, SshTunnelGateway,
    TransportProtocol, WebServer, WebTls,
};

/// Longest time that a setting may mean: about 31 years, far below where time overflows.
const LONGEST: u64 = 1_000_000_000;

/// The features that can be switched on (frp `pkg/policy/featuregate`).
const VIRTUAL_NET: &str = "VirtualNet";

pub(crate) fn client(
    root: &Section,
    proxies: &[Section],
    visitors: &[Section],
    legacy: bool,
    report: &mut Report<'_>,
) -> ClientConfig {
    let start = root.texts("start");
    collide::names(proxies, "proxy", report);
    collide::names(visitors, "visitor", report);
    check_start(root, &[proxies, visitors], &start, legacy, report);
    let auth = auth::auth(root, report);
    let settings = ClientConfig {
        oidc: auth::client_oidc(root, auth.method, report),
        auth,
        user: root.text("user"),
        client_id: root.text("clientID"),
        server_addr: root.text("serverAddr"),
        server_port: port(root, "serverPort"),
        nat_hole_stun_server: root.text("natHoleStunServer"),
        dns_server: root.some_text("dnsServer").and_then(|at| dns_server(&at)),
        login_fail_exit: root.bool("loginFailExit"),
        log: log(root),
        web_server: web_server(root, &ADMIN, legacy, report),
        transport: client_transport(root, report),
        virtual_net_address: root.some_text("virtualNet.address"),
        feature_gates: root.switches("featureGates"),
        udp_packet_size: root.int("udpPacketSize"),
        metadatas: root.map("metadatas"),
        includes: root.texts("includes"),
        store_path: path(root, "store.path"),
        proxies: proxy::proxies(proxies, &start, legacy, report),
        visitors: visitor::visitors(visitors, &start, legacy, report),
        start,
    };
    check_gates(root, &settings, report);
    check_heartbeat(root, &settings.transport, legacy, report);
    check_unused_tls(root, &settings.transport, report);
    collide::remote_ports(proxies, &settings.start, report);
    collide::client_listeners(root, visitors, &settings.start, report);
    settings
}

pub(crate) fn server(root: &Section, legacy: bool, report: &mut Report<'_>) -> ServerConfig {
    let bind_addr = root.text("bindAddr");
    let some_port = |key: &str| Some(port(root, key)).filter(|port| *port != 0);
    collide::server_listeners(root, report);
    let auth = auth::auth(root, report);
    ServerConfig {
        oidc: auth::server_oidc(root, auth.method, report),
        auth,
        bind_port: port(root, "bindPort"),
        proxy_bind_addr: root
            .some_text("proxyBindAddr")
            .unwrap_or_else(|| bind_addr.clone()),
        bind_addr,
        kcp_bind_port: some_port("kcpBindPort"),
        quic_bind_port: some_port("quicBindPort"),
        vhost_http_port: some_port("vhostHTTPPort"),
        vhost_http_timeout: match root.int("vhostHTTPTimeout") {
            given if given > 0 => seconds(given),
            _ => seconds(60),
        },
        vhost_https_port: some_port("vhostHTTPSPort"),
        tcpmux_http_connect_port: some_port("tcpmuxHTTPConnectPort"),
        tcpmux_passthrough: root.bool("tcpmuxPassthrough"),
        sub_domain_host: root.text("subDomainHost"),
        custom_404_page: path(root, "custom404Page"),
        ssh_tunnel_gateway: some_port("sshTunnelGateway.bindPort").map(|bind_port| {
            SshTunnelGateway {
                bind_port,
                private_key_file: path(root, "sshTunnelGateway.privateKeyFile"),
                auto_gen_private_key_path: root
                    .text("sshTunnelGateway.autoGenPrivateKeyPath")
                    .into(),
                authorized_keys_file: path(root, "sshTunnelGateway.authorizedKeysFile"),
            }
        }),
        web_server: web_server(root, &DASHBOARD, legacy, report),
        enable_prometheus: root.bool("enablePrometheus"),
        log: log(root),
        transport: server_transport(root, report),
        detailed_errors_to_client: root.bool("detailedErrorsToClient"),
        // Negative numbers mean no limit in frp.
        max_ports_per_client: u64::try_from(root.int("maxPortsPerClient")).unwrap_or(0),
        user_conn_timeout: seconds(root.int("userConnTimeout")),
        udp_packet_size: root.int("udpPacketSize"),
        nathole_analysis_data_reserve_hours: root.int("natholeAnalysisDataReserveHours"),
        allow_ports: allow_ports(root, report),
        http_plugins: root.items("httpPlugins").iter().map(http_plugin).collect(),
    }
}

fn http_plugin(item: &Section) -> HttpPlugin {
    HttpPlugin {
        name: item.text("name"),
        addr: item.text("addr"),
        path: item.text("path"),
        ops: item.texts("ops"),
        tls_verify: item.bool("tlsVerify"),
    }
}

fn web_server_as_given(root: &Section, report: &mut Report<'_>) -> Option<WebServer> {
    let tls = root.tables.get("webServer.tls").and_then(|at| {
        for key in ["certFile", "keyFile"] {
            if root.text(&format!("webServer.tls.{key}")).is_empty() {
                let given = ["certFile", "keyFile"].iter();
                let given =
                    given.filter_map(|key| root.fields.get(&format!("webServer.tls.{key}")));
                report.error(
                    given.map(|field| field.at).min().unwrap_or(*at),
                    format!("tls.{key} must be specified when tls is enabled"),
                    &format!("set webServer.tls.{key}, too, or neither"),
                );
                return None;
            }
        }
        Some(WebTls {
            cert_file: root.text("webServer.tls.certFile").into(),
            key_file: root.text("webServer.tls.keyFile").into(),
        })
    });
    Some(WebServer {
        addr: root.text("webServer.addr"),
        port: port(root, "webServer.port"),
        user: root.text("webServer.user"),
        password: Secret::from(root.text("webServer.password")),
        allowed_hosts: root.texts("webServer.allowedHosts"),
        assets_dir: path(root, "webServer.assetsDir"),
        pprof_enable: root.bool("webServer.pprofEnable"),
        tls,
    })
    .filter(|server| server.port != 0)
}

/// How the web server of a program is called.
struct WebTerms {
    what: &'static str,
    /// Of legacy files: user and password.
    legacy: (&'static str, &'static str),
}

const ADMIN: WebTerms = WebTerms {
    what: "admin interface",
    legacy: ("admin_user", "admin_pwd"),
};

const DASHBOARD: WebTerms = WebTerms {
    what: "dashboard",
    legacy: ("dashboard_user", "dashboard_pwd"),
};

/// Says more than frp where it is open or cannot be had.
fn web_server(
    root: &Section,
    terms: &WebTerms,
    legacy: bool,
    report: &mut Report<'_>,
) -> Option<WebServer> {
    let web = web_server_as_given(root, report)?;
    if web.assets_dir.is_some()
        && let Some(pages) = root.fields.get("webServer.assetsDir")
    {
        not_supported("", &pages.written, pages.value_at, report);
    }
    let at = root.fields.get("webServer.port").map_or(0, |f| f.at);
    warn_if_open(&web, terms, legacy, at, report);
    Some(web)
}

/// frp says nothing; whoever reaches the port then sees every client and proxy, or has frpc do
/// what they like.
fn warn_if_open(
    web: &WebServer,
    terms: &WebTerms,
    legacy: bool,
    at: usize,
    report: &mut Report<'_>,
) {
    let local = match web.addr.parse::<ScopedIp>() {
        Ok(ScopedIp { ip, .. }) => ip.is_loopback(),
        Err(_) => web.addr == "localhost",
    };
    if local || !web.user.is_empty() || !web.password.expose().is_empty() {
        return;
    }
    let (user, password) = match legacy {
        true => terms.legacy,
        false => ("webServer.user", "webServer.password"),
    };
    report.warn(
        at,
        format!(
            "the {} at {} is open to everybody who reaches that address: neither {user} nor \
             {password} is set",
            terms.what, web.addr
        ),
        &format!("set {user} and {password}, or listen on 127.0.0.1"),
    );
}

fn quic(root: &Section) -> QuicOptions {
    QuicOptions {
        keepalive_period: switchable(root.int("transport.quic.keepalivePeriod")),
        max_idle_timeout: seconds(root.int("transport.quic.maxIdleTimeout")),
        max_incoming_streams: u64::try_from(root.int("transport.quic.maxIncomingStreams"))
            .unwrap_or(0),
    }
}

fn log(root: &Section) -> LogConfig {
    LogConfig {
        to: match root.text("log.to").as_str() {
            "console" => LogTarget::Console,
            file => LogTarget::File(PathBuf::from(file)),
        },
        level: match root.text("log.level").as_str() {
            "trace" => LogLevel::Trace,
            "debug" => LogLevel::Debug,
            "warn" => LogLevel::Warn,
            "error" => LogLevel::Error,
            _ => LogLevel::Info,
        },
        max_days: root.int("log.maxDays"),
        disable_print_color: root.bool("log.disablePrintColor"),
    }
}

fn client_transport(root: &Section, report: &mut Report<'_>) -> ClientTransport {
    let tcp_mux = root.bool("transport.tcpMux");
    let protocol = match root.text("transport.protocol").as_str() {
        "kcp" => TransportProtocol::Kcp,
        "quic" => TransportProtocol::Quic,
        "websocket" => TransportProtocol::Websocket,
        "wss" => TransportProtocol::Wss,
        _ => TransportProtocol::Tcp,
    };
    let proxy = way_out::proxy(root, protocol, report);
    let websocket = websocket::client(root, report);
    ClientTransport {
        protocol,
        order: order::order(root, proxy.is_some(), report),
        proxy_from_environment: proxy.as_ref().is_some_and(|proxy| proxy.from_environment),
        proxy_url: proxy.map(|proxy| proxy.url),
        quic: quic(root),
        websocket,
        wire_protocol: match root.text("transport.wireProtocol").as_str() {
            "v2" => WireProtocol::V2,
            _ => WireProtocol::V1,
        },
        dial_server_timeout: seconds(root.int("transport.dialServerTimeout")),
        dial_server_keepalive: switchable(root.int("transport.dialServerKeepalive")),
        connect_server_local_ip: root
            .some_text("transport.connectServerLocalIP")
            .and_then(|ip| ip.parse::<ScopedIp>().ok())
            // Its zone is that of the server.
            .map(|scoped| scoped.ip),
        pool_count: root.int("transport.poolCount"),
        tcp_mux,
        tcp_mux_keepalive_interval: seconds(root.int("transport.tcpMuxKeepaliveInterval")),
        heartbeat_interval: heartbeat(root, "transport.heartbeatInterval", tcp_mux, 30),
        heartbeat_timeout: heartbeat(root, "transport.heartbeatTimeout", tcp_mux, 90),
        tls: ClientTls {
            enable: root.bool("transport.tls.enable"),
            disable_custom_first_byte: root.bool("transport.tls.disableCustomTLSFirstByte"),
            cert_file: path(root, "transport.tls.certFile"),
            key_file: path(root, "transport.tls.keyFile"),
            trusted_ca_file: path(root, "transport.tls.trustedCaFile"),
            server_name: root.some_text("transport.tls.serverName"),
        },
    }
}

fn server_transport(root: &Section, report: &mut Report<'_>) -> ServerTransport {
    let tcp_mux = root.bool("transport.tcpMux");
    let trusted_ca_file = path(root, "transport.tls.trustedCaFile");
    ServerTransport {
        tcp_mux,
        tcp_mux_keepalive_interval: seconds(root.int("transport.tcpMuxKeepaliveInterval")),
        tcp_keepalive: switchable(root.int("transport.tcpKeepalive")),
        max_pool_count: root.int("transport.maxPoolCount"),
        heartbeat_timeout: heartbeat(root, "transport.heartbeatTimeout", tcp_mux, 90),
        quic: quic(root),
        websocket: websocket::server(root, report),
        tls: ServerTls {
            force: root.bool("transport.tls.force") || trusted_ca_file.is_some(),
            cert_file: path(root, "transport.tls.certFile"),
            key_file: path(root, "transport.tls.keyFile"),
            trusted_ca_file,
        },
    }
}

/// The mux has a keep-alive of its own, so heartbeats are off with it unless asked for.
fn heartbeat(root: &Section, key: &str, tcp_mux: bool, without_mux: i64) -> Option<Duration> {
    let default = if tcp_mux { -1 } else { without_mux };
    let given = root.int(key);
    switchable(if given == 0 { default } else { given })
}

/// A time that a negative number switches off.
fn switchable(value: i64) -> Option<Duration> {
    (value > 0).then(|| seconds(value))
}

fn seconds(value: i64) -> Duration {
    Duration::from_secs(u64::try_from(value).unwrap_or(0).min(LONGEST))
}

fn path(section: &Section, key: &str) -> Option<PathBuf> {
    section.some_text(key).map(PathBuf::from)
}

/// A port; one that is out of range has been reported.
fn port(section: &Section, key: &str) -> u16 {
    u16::try_from(section.int(key)).unwrap_or(0)
}

fn allow_ports(root: &Section, report: &mut Report<'_>) -> Vec<PortRange> {
    let mut ranges = Vec::new();
    for entry in root.items("allowPorts") {
        let single = port(entry, "single");
        let (start, end) = match single {
            0 => (port(entry, "start"), port(entry, "end")),
            port => (port, port),
        };
        if end < start {
            report.refuse(
                entry.at,
                format!("allowPorts: the range from {start} to {end} holds no port"),
                "give start and end with start <= end, or single",
            );
            continue;
        }
        ranges.push(PortRange { start, end });
    }
    ranges
}

fn check_heartbeat(
    root: &Section,
    transport: &ClientTransport,
    legacy: bool,
    report: &mut Report<'_>,
) {
    let (Some(interval), Some(timeout)) =
        (transport.heartbeat_interval, transport.heartbeat_timeout)
    else {
        return;
    };
    if timeout >= interval {
        return;
    }
    let keys = ["transport.heartbeatTimeout", "transport.heartbeatInterval"];
    let at = keys.iter().find_map(|key| root.fields.get(*key));
    let text = if legacy {
        "parse config error: invalid heartbeat_timeout, heartbeat_timeout is less than \
         heartbeat_interval"
    } else {
        "invalid transport.heartbeatTimeout, heartbeat timeout should not less than heartbeat \
         interval"
    };
    report.error(
        at.map_or(0, |field| field.value_at),
        format!(
            "{text}: these are {} and {} seconds",
            timeout.as_secs(),
            interval.as_secs()
        ),
        "make the timeout some times the interval",
    );
}

fn check_unused_tls(root: &Section, transport: &ClientTransport, report: &mut Report<'_>) {
    // wss is TLS in any case, and so may be whatever is chosen.
    let is_tls = transport.protocol == TransportProtocol::Wss || transport.order.is_some();
    if transport.tls.enable || is_tls {
        return;
    }
    for key in ["certFile", "keyFile", "trustedCaFile"] {
        let key = format!("transport.tls.{key}");
        if let Some(field) = root.fields.get(&key).filter(|f| !f.value.is_zero()) {
            report.warn(
                field.at,
                format!("{key} is invalid when transport.tls.enable is false"),
                "turn TLS on, or remove the key",
            );
        }
    }
}

fn is_active(entry: &Section, start: &[String]) -> bool {
    entry.bool("enabled") && (start.is_empty() || start.contains(&entry.text("name")))
}

/// frp's `verify` leaves the gates out of account; a verdict without them is no use.
fn check_gates(root: &Section, settings: &ClientConfig, report: &mut Report<'_>) {
    for name in settings.feature_gates.keys() {
        if name != VIRTUAL_NET {
            report.error(
                root.value_at("featureGates"),
                format!("unrecognized feature gate: {name}"),
                &format!("the one gate is {VIRTUAL_NET}"),
            );
        }
    }
    let on = settings.feature_gates.get(VIRTUAL_NET) == Some(&true);
    if settings.virtual_net_address.is_some() && !on {
        report.error(
            root.value_at("virtualNet.address"),
            "VirtualNet feature is not enabled; enable it by setting the appropriate feature gate \
             flag",
            "add featureGates = { VirtualNet = true }",
        );
    }
}

/// A name in `start` that no proxy has is most likely misspelled.
fn check_start(
    root: &Section,
    lists: &[&[Section]],
    start: &[String],
    legacy: bool,
    report: &mut Report<'_>,
) {
    let Some(field) = root.fields.get("start") else {
        return;
    };
    for name in start {
        let mut entries = lists.iter().flat_map(|list| list.iter());
        let known = entries.any(|entry| entry.text("name") == *name);
        // An INI section that could not be read has been reported, and is not in `entries`.
        if !known && !legacy {
            report.warn(
                field.value_at,
                format!("start names {name:?}, but there is no such proxy"),
                "correct the name; only the proxies named here run",
            );
        }
    }
}
