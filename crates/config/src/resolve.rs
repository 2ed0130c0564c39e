//! Checked sections to typed settings: defaults, and rules that concern several keys.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use frp_proto::proxy_protocol::Version;
use frp_proto::wire::WireProtocol;

use crate::bandwidth::parse_bandwidth;
use crate::check::{judge, not_supported};
use crate::keys::{PROXY, Support};
use crate::report::Report;
use crate::section::Section;
use crate::{
    Auth, BandwidthLimitMode, ClientConfig, ClientTls, ClientTransport, LogConfig, LogLevel,
    LogTarget, PortRange, ProxyConfig, ProxyKind, ProxyTransport, Secret, ServerConfig, ServerTls,
    ServerTransport, WebServer, WebTls,
};

/// Longest time that a setting may mean: about 31 years, far below where time overflows.
const LONGEST: u64 = 1_000_000_000;

pub(crate) fn client(
    root: &Section,
    entries: &[Section],
    legacy: bool,
    report: &mut Report<'_>,
) -> ClientConfig {
    let settings = ClientConfig {
        auth: auth(root),
        user: root.text("user"),
        client_id: root.text("clientID"),
        server_addr: root.text("serverAddr"),
        server_port: port(root, "serverPort"),
        login_fail_exit: root.bool("loginFailExit"),
        log: log(root),
        transport: client_transport(root),
        metadatas: root.map("metadatas"),
        proxies: proxies(root, entries, legacy, report),
    };
    check_heartbeat(root, &settings.transport, legacy, report);
    check_unused_tls(root, &settings.transport, report);
    visitors(root, report);
    settings
}

pub(crate) fn server(root: &Section, legacy: bool, report: &mut Report<'_>) -> ServerConfig {
    let bind_addr = root.text("bindAddr");
    ServerConfig {
        auth: auth(root),
        bind_port: port(root, "bindPort"),
        proxy_bind_addr: root
            .some_text("proxyBindAddr")
            .unwrap_or_else(|| bind_addr.clone()),
        bind_addr,
        log: log(root),
        transport: server_transport(root),
        detailed_errors_to_client: root.bool("detailedErrorsToClient"),
        // Negative numbers mean no limit in frp.
        max_ports_per_client: u64::try_from(root.int("maxPortsPerClient")).unwrap_or(0),
        user_conn_timeout: seconds(root.int("userConnTimeout")),
        allow_ports: allow_ports(root, report),
        web_server: web_server(root, legacy, report),
        enable_prometheus: root.bool("enablePrometheus"),
    }
}

fn web_server(root: &Section, legacy: bool, report: &mut Report<'_>) -> Option<WebServer> {
    let tls = web_tls(root, report);
    let port = port(root, "webServer.port");
    if port == 0 {
        return None;
    }
    if let Some(pages) = root.fields.get("webServer.assetsDir")
        && !pages.value.is_zero()
    {
        not_supported("", &pages.written, pages.value_at, report);
    }
    let web = WebServer {
        addr: match root.some_text("webServer.addr") {
            // frp kept the old default for the old format.
            None if legacy => "0.0.0.0".to_owned(),
            _ => root.text("webServer.addr"),
        },
        port,
        user: root.text("webServer.user"),
        password: Secret::from(root.text("webServer.password")),
        pprof_enable: root.bool("webServer.pprofEnable"),
        tls,
    };
    let at = root.fields.get("webServer.port").map_or(0, |f| f.at);
    warn_if_open(&web, legacy, at, report);
    Some(web)
}

/// frp says nothing; whoever reaches the port then sees every client and proxy.
fn warn_if_open(web: &WebServer, legacy: bool, at: usize, report: &mut Report<'_>) {
    let local = match web.addr.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback(),
        Err(_) => web.addr == "localhost",
    };
    if local || !web.user.is_empty() || !web.password.expose().is_empty() {
        return;
    }
    let (user, password) = match legacy {
        true => ("dashboard_user", "dashboard_pwd"),
        false => ("webServer.user", "webServer.password"),
    };
    report.warn(
        at,
        format!(
            "the dashboard at {} is open to everybody who reaches that address: neither {user} \
             nor {password} is set",
            web.addr
        ),
        &format!("set {user} and {password}, or listen on 127.0.0.1"),
    );
}

/// Both files or none; the texts are frp's.
fn web_tls(root: &Section, report: &mut Report<'_>) -> Option<WebTls> {
    let files = [
        ("webServer.tls.certFile", "tls.certFile"),
        ("webServer.tls.keyFile", "tls.keyFile"),
    ];
    match files.map(|(key, _)| path(root, key)) {
        [None, None] => None,
        [Some(cert_file), Some(key_file)] => Some(WebTls {
            cert_file,
            key_file,
        }),
        given => {
            let at = files.iter().find_map(|(key, _)| root.fields.get(*key));
            let missing = if given[0].is_none() {
                files[0]
            } else {
                files[1]
            };
            report.error(
                at.map_or(0, |field| field.at),
                format!("{} must be specified when tls is enabled", missing.1),
                &format!("set {}, too, or neither", missing.0),
            );
            None
        }
    }
}

fn auth(root: &Section) -> Auth {
    let scopes = root.texts("auth.additionalScopes");
    let has = |scope: &str| scopes.iter().any(|given| given == scope);
    Auth {
        token: Secret::from(root.text("auth.token")),
        scope_heartbeats: has("HeartBeats"),
        scope_new_work_conns: has("NewWorkConns"),
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

fn client_transport(root: &Section) -> ClientTransport {
    let tcp_mux = root.bool("transport.tcpMux");
    ClientTransport {
        wire_protocol: match root.text("transport.wireProtocol").as_str() {
            "v2" => WireProtocol::V2,
            _ => WireProtocol::V1,
        },
        dial_server_timeout: seconds(root.int("transport.dialServerTimeout")),
        dial_server_keepalive: switchable(root.int("transport.dialServerKeepalive")),
        connect_server_local_ip: root
            .some_text("transport.connectServerLocalIP")
            .and_then(|ip| ip.parse().ok()),
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

fn server_transport(root: &Section) -> ServerTransport {
    let tcp_mux = root.bool("transport.tcpMux");
    let trusted_ca_file = path(root, "transport.tls.trustedCaFile");
    ServerTransport {
        tcp_mux,
        tcp_mux_keepalive_interval: seconds(root.int("transport.tcpMuxKeepaliveInterval")),
        tcp_keepalive: switchable(root.int("transport.tcpKeepalive")),
        max_pool_count: root.int("transport.maxPoolCount"),
        heartbeat_timeout: heartbeat(root, "transport.heartbeatTimeout", tcp_mux, 90),
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
        judge(entry, "allowPorts: ", false, report);
        let single = port(entry, "single");
        let (start, end) = match single {
            0 => (port(entry, "start"), port(entry, "end")),
            port => (port, port),
        };
        if end < start {
            report.error(
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
    if transport.tls.enable {
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

/// The proxies that are to run; only those must be free of unsupported and invalid values.
fn proxies(
    root: &Section,
    entries: &[Section],
    legacy: bool,
    report: &mut Report<'_>,
) -> Vec<ProxyConfig> {
    check_names(entries, "proxy", report);
    let start = root.texts("start");
    check_start(root, entries, &start, legacy, report);
    let mut proxies = Vec::new();
    let mut remote_ports = BTreeMap::new();
    for entry in entries.iter().filter(|entry| is_active(entry, &start)) {
        let name = entry.text("name");
        let prefix = format!("proxy {name}: ");
        if name.is_empty() {
            report.error(
                entry.at,
                format!("{prefix}name should not be empty"),
                "add name = \"...\"",
            );
        }
        let kind = entry.text("type");
        let tag = PROXY.tag(&kind);
        if tag.is_some_and(|tag| tag.support != Support::Ready) {
            let at = entry.fields.get("type").map_or(entry.at, |f| f.value_at);
            not_supported(&prefix, &format!("type = {kind:?}"), at, report);
            continue;
        }
        judge(entry, &prefix, legacy, report);
        check_remote_port(entry, &name, &mut remote_ports, report);
        proxies.push(proxy(entry, name));
    }
    proxies.sort_by(|a, b| a.name.cmp(&b.name));
    proxies
}

fn proxy(entry: &Section, name: String) -> ProxyConfig {
    ProxyConfig {
        name,
        annotations: entry.map("annotations"),
        metadatas: entry.map("metadatas"),
        transport: ProxyTransport {
            use_encryption: entry.bool("transport.useEncryption"),
            use_compression: entry.bool("transport.useCompression"),
            bandwidth_limit: parse_bandwidth(&entry.text("transport.bandwidthLimit"))
                .unwrap_or_default(),
            bandwidth_limit_mode: match entry.text("transport.bandwidthLimitMode").as_str() {
                "server" => BandwidthLimitMode::Server,
                _ => BandwidthLimitMode::Client,
            },
            proxy_protocol: match entry.text("transport.proxyProtocolVersion").as_str() {
                "v1" => Some(Version::V1),
                "v2" => Some(Version::V2),
                _ => None,
            },
        },
        local_ip: entry.text("localIP"),
        local_port: port(entry, "localPort"),
        kind: ProxyKind::Tcp {
            remote_port: port(entry, "remotePort"),
        },
    }
}

fn is_active(entry: &Section, start: &[String]) -> bool {
    entry.bool("enabled") && (start.is_empty() || start.contains(&entry.text("name")))
}

/// Duplicates count even when they would not run, as in frp.
fn check_names(entries: &[Section], what: &str, report: &mut Report<'_>) {
    let mut first = BTreeMap::new();
    for entry in entries {
        let name = entry.text("name");
        let at = entry.fields.get("name").map_or(entry.at, |f| f.value_at);
        if let Some(before) = first.get(&name) {
            let line = report.source.line(*before);
            report.error(
                at,
                format!("{what} name [{name}] is duplicated: line {line} has it, too"),
                "give each its own name",
            );
        } else {
            first.insert(name, at);
        }
    }
}

/// A name in `start` that no proxy has is most likely misspelled.
fn check_start(
    root: &Section,
    entries: &[Section],
    start: &[String],
    legacy: bool,
    report: &mut Report<'_>,
) {
    let Some(field) = root.fields.get("start") else {
        return;
    };
    for name in start {
        let known = entries.iter().any(|entry| entry.text("name") == *name)
            || root
                .items("visitors")
                .iter()
                .any(|v| v.text("name") == *name);
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

fn check_remote_port(
    entry: &Section,
    name: &str,
    seen: &mut BTreeMap<u16, (String, usize)>,
    report: &mut Report<'_>,
) {
    let (port, Some(field)) = (port(entry, "remotePort"), entry.fields.get("remotePort")) else {
        return;
    };
    if port == 0 {
        return;
    }
    if let Some((other, at)) = seen.get(&port) {
        let line = report.source.line(*at);
        report.warn(
            field.value_at,
            format!(
                "proxy {name}: remote port {port} is also that of proxy {other} (line {line}); \
                 frps gives it to the first of them only"
            ),
            "choose another port",
        );
        return;
    }
    seen.insert(port, (name.to_owned(), field.value_at));
}

/// Visitors are not there yet; those that would not run do no harm.
fn visitors(root: &Section, report: &mut Report<'_>) {
    let entries = root.items("visitors");
    check_names(entries, "visitor", report);
    let start = root.texts("start");
    for entry in entries.iter().filter(|entry| is_active(entry, &start)) {
        let name = entry.text("name");
        not_supported(
            "",
            &format!("visitor {name}: [[visitors]]"),
            entry.at,
            report,
        );
    }
}
