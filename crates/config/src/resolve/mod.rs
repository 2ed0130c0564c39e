//! Checked sections to typed settings: what their types do not say, and rules that concern several
//! keys.

mod auth;
mod collide;
mod entry;
mod guard;
mod http_plugin;
mod identity;
mod order;
mod outbound_proxy;
mod proxy;
mod tokens;
mod visitor;
mod websocket;

use std::path::PathBuf;
use std::time::Duration;

use frp_proto::address::ScopedIp;

use crate::keys::{At, Listed, Of, PortRangeKeys};
use crate::report::Report;
use crate::section::Section;
use crate::way::Transport;
use crate::{
    ClientConfig, ClientTls, ClientTransport, PortRange, ProxyConfig, ServerConfig,
    ServerTransport, TransportProtocol, VisitorConfig, WebServer, WebTls,
};

/// The features that can be switched on (frp `pkg/policy/featuregate`).
const VIRTUAL_NET: &str = "VirtualNet";

pub(crate) fn client(
    root: &Section,
    proxies: &[Section],
    visitors: &[Section],
    legacy: bool,
    report: &mut Report<'_>,
) -> ClientConfig {
    let root = At::<ClientConfig>::root(root);
    let mut settings = root.read();
    let proxies = entries(proxies);
    let visitors = entries(visitors);
    collide::names(&proxies, report);
    collide::names(&visitors, report);
    let named = names(&proxies).chain(names(&visitors)).collect();
    check_start(&root, named, legacy, report);
    auth::check(&root.flat(ClientConfig::auth), report);
    auth::check_client(&root, &settings, report);
    web_server(
        &root.of(ClientConfig::web_server),
        settings.web_server.as_ref(),
        "admin interface",
        legacy,
        report,
    );
    let at = root.of(ClientConfig::transport);
    client_transport(&at, &mut settings.transport, report);
    settings.proxies = proxy::proxies(&proxies, &settings.start, legacy, report);
    settings.visitors = visitor::visitors(&visitors, &settings.start, legacy, report);
    check_gates(&root, &settings, report);
    check_heartbeat(&at, &settings.transport, legacy, report);
    check_unused_tls(&at, &settings.transport, report);
    identity::check_client(&at, &settings.transport, report);
    collide::remote_ports(&proxies, &settings.start, report);
    collide::client_listeners(&root, &visitors, &settings.start, report);
    settings
}

pub(crate) fn server(root: &Section, legacy: bool, report: &mut Report<'_>) -> ServerConfig {
    let root = At::<ServerConfig>::root(root);
    let mut settings = root.read();
    collide::server_listeners(&root, report);
    auth::check(&root.flat(ServerConfig::auth), report);
    auth::check_server(&root, &settings, report);
    tokens::check(&root, &settings, report);
    web_server(
        &root.of(ServerConfig::web_server),
        settings.web_server.as_ref(),
        "dashboard",
        legacy,
        report,
    );
    if settings.proxy_bind_addr.is_empty() {
        settings.proxy_bind_addr.clone_from(&settings.bind_addr);
    }
    let at = root.of(ServerConfig::transport);
    let transport = &mut settings.transport;
    transport.heartbeat_timeout = heartbeat(
        &at.of(ServerTransport::heartbeat_timeout),
        transport.tcp_mux,
        90,
    );
    websocket::check_server(
        &at.of(ServerTransport::websocket),
        &mut transport.websocket,
        report,
    );
    identity::check_server(&at.of(ServerTransport::tls), report);
    transport.tls.force |= transport.tls.trusted_ca_file.is_some();
    check_ports(&root.of(ServerConfig::allow_ports), report);
    check_ports(&root.of(ServerConfig::accept_proxy_protocol_ports), report);
    guard::check(
        &root.of(ServerConfig::guard),
        &mut settings.guard.ban,
        report,
    );
    http_plugin::check(
        &root.of(ServerConfig::http_plugins),
        ServerConfig::http_plugins.key.needs.of(""),
        report,
    );
    settings
}

/// An entry that stands by itself, in the store of frpc.
pub(crate) trait Single: Listed + Clone {
    /// Reports what keeps it from running.
    fn check(&self, entry: &At<'_, Self>, report: &mut Report<'_>);
}

impl Single for ProxyConfig {
    fn check(&self, entry: &At<'_, Self>, report: &mut Report<'_>) {
        proxy::check_all(entry, self, false, report);
    }
}

impl Single for VisitorConfig {
    fn check(&self, entry: &At<'_, Self>, report: &mut Report<'_>) {
        visitor::check_all(entry, self, false, report);
    }
}

/// Names that two entries have.
pub(crate) fn names_collide<E: Listed>(sections: &[Section], report: &mut Report<'_>) {
    collide::names(&entries::<E>(sections), report);
}

fn entries<E: Listed>(sections: &[Section]) -> Vec<At<'_, E>> {
    sections.iter().map(At::root).collect()
}

fn names<E: Listed>(entries: &[At<'_, E>]) -> impl Iterator<Item = String> {
    entries.iter().map(|entry| entry.of(E::NAME).text())
}

/// Says more than frp where it is open or cannot be had.
fn web_server(
    at: &At<'_, Option<WebServer>>,
    web: Option<&WebServer>,
    what: &str,
    legacy: bool,
    report: &mut Report<'_>,
) {
    let at = at.some();
    check_web_tls(&at.of(WebServer::tls), report);
    let Some(web) = web else { return };
    warn_if_open(&at, web, what, legacy, report);
}

fn check_web_tls(at: &At<'_, Option<WebTls>>, report: &mut Report<'_>) {
    let Some(table) = at.table() else { return };
    let at = at.some();
    let files = [WebTls::cert_file, WebTls::key_file];
    let is_missing = |file: &&Of<WebTls, PathBuf>| at.of(**file).text().is_empty();
    let Some(missing) = files.iter().find(is_missing) else {
        return;
    };
    let given = files.iter().filter_map(|file| at.of(*file).field());
    report.error(
        given.map(|field| field.at).min().unwrap_or(table),
        format!(
            "{} must be specified when tls is enabled",
            WebServer::tls.some().below(*missing)
        ),
        &format!("set {}, too, or neither", at.of(*missing).path()),
    );
}

/// frp says nothing; whoever reaches the port then sees every client and proxy, or has frpc do
/// what they like.
fn warn_if_open(
    at: &At<'_, WebServer>,
    web: &WebServer,
    what: &str,
    legacy: bool,
    report: &mut Report<'_>,
) {
    let local = match web.addr.parse::<ScopedIp>() {
        Ok(ScopedIp { ip, .. }) => ip.is_loopback(),
        Err(_) => web.addr == "localhost",
    };
    if local || !web.user.is_empty() || !web.password.expose().is_empty() {
        return;
    }
    let user = at.of(WebServer::user).name(legacy);
    let password = at.of(WebServer::password).name(legacy);
    report.warn(
        at.of(WebServer::port).field().map_or(0, |field| field.at),
        format!(
            "the {what} at {} is open to everybody who reaches that address: neither {user} nor \
             {password} is set",
            web.addr
        ),
        &format!("set {user} and {password}, or listen on 127.0.0.1"),
    );
}

fn client_transport(
    at: &At<'_, ClientTransport>,
    transport: &mut ClientTransport,
    report: &mut Report<'_>,
) {
    outbound_proxy::settle(&at.of(ClientTransport::proxy_url), transport, report);
    let websocket = at.of(ClientTransport::websocket);
    websocket::check(&websocket, &mut transport.websocket, report);
    order::settle(at, transport, report);
    let interval = at.of(ClientTransport::heartbeat_interval);
    let timeout = at.of(ClientTransport::heartbeat_timeout);
    transport.heartbeat_interval = heartbeat(&interval, transport.tcp_mux, 30);
    transport.heartbeat_timeout = heartbeat(&timeout, transport.tcp_mux, 90);
}

/// The mux has a keep-alive of its own, so heartbeats are off with it unless asked for.
fn heartbeat(
    at: &At<'_, Option<Duration>>,
    tcp_mux: bool,
    seconds_without_mux: u64,
) -> Option<Duration> {
    match at.int() {
        0 if tcp_mux => None,
        0 => Some(Duration::from_secs(seconds_without_mux)),
        _ => at.read(),
    }
}

fn check_ports(at: &At<'_, Vec<PortRange>>, report: &mut Report<'_>) {
    for entry in at.items() {
        if let Err((start, end)) = entry.cast::<PortRangeKeys>().read().range() {
            report.refuse(
                entry.section().at,
                format!(
                    "{}: the range from {start} to {end} holds no port",
                    at.path()
                ),
                "give start and end with start <= end, or single",
            );
        }
    }
}

fn check_heartbeat(
    at: &At<'_, ClientTransport>,
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
    let keys = [
        at.of(ClientTransport::heartbeat_timeout),
        at.of(ClientTransport::heartbeat_interval),
    ];
    let text = if legacy {
        "parse config error: invalid heartbeat_timeout, heartbeat_timeout is less than \
         heartbeat_interval"
    } else {
        "invalid transport.heartbeatTimeout, heartbeat timeout should not less than heartbeat \
         interval"
    };
    let field = keys.iter().find_map(At::field);
    report.error(
        field.map_or(0, |field| field.value_at),
        format!(
            "{text}: these are {} and {} seconds",
            timeout.as_secs(),
            interval.as_secs()
        ),
        "make the timeout some times the interval",
    );
}

fn check_unused_tls(
    at: &At<'_, ClientTransport>,
    transport: &ClientTransport,
    report: &mut Report<'_>,
) {
    // wss is TLS in any case, and so may be whatever is chosen.
    let is_tls = match transport.protocol {
        Transport::One(protocol) => protocol == TransportProtocol::Wss,
        Transport::Auto(_) => true,
    };
    if transport.tls.enable || is_tls {
        return;
    }
    let at = at.of(ClientTransport::tls);
    for file in [
        at.of(ClientTls::cert_file),
        at.of(ClientTls::key_file),
        at.of(ClientTls::trusted_ca_file),
    ] {
        if let Some(field) = file.filled() {
            report.warn(
                field.at,
                format!(
                    "{} is invalid when transport.tls.enable is false",
                    file.path()
                ),
                "turn TLS on, or remove the key",
            );
        }
    }
}

/// frp's `verify` leaves the gates out of account; a verdict without them is no use.
fn check_gates(root: &At<'_, ClientConfig>, settings: &ClientConfig, report: &mut Report<'_>) {
    for name in settings.feature_gates.keys() {
        if name != VIRTUAL_NET {
            report.error(
                root.of(ClientConfig::feature_gates).value_at(),
                format!("unrecognized feature gate: {name}"),
                &format!("the one gate is {VIRTUAL_NET}"),
            );
        }
    }
    let on = settings.feature_gates.get(VIRTUAL_NET) == Some(&true);
    if settings.virtual_net_address.is_some() && !on {
        report.error(
            root.of(ClientConfig::virtual_net_address).value_at(),
            "VirtualNet feature is not enabled; enable it by setting the appropriate feature gate \
             flag",
            "add featureGates = { VirtualNet = true }",
        );
    }
}

/// A name in `start` that no proxy has is most likely misspelled.
fn check_start(
    root: &At<'_, ClientConfig>,
    known: Vec<String>,
    legacy: bool,
    report: &mut Report<'_>,
) {
    // An INI section that could not be read has been reported, and is not known.
    let start = root.of(ClientConfig::start);
    for name in start.read() {
        if !known.contains(&name) && !legacy {
            report.warn(
                start.value_at(),
                format!("start names {name:?}, but there is no such proxy"),
                "correct the name; only the proxies named here run",
            );
        }
    }
}
