//! `proxies`: entries to settings.

use std::net::IpAddr;
use std::path::Path;

use super::entry::{is_active, refuse_type, require};
use crate::check::{judge, judge_decoding, lacking};
use crate::keys::{At, HealthCheckKeys, PLUGIN, PluginKeys};
use crate::report::Report;
use crate::{
    ClientPlugin, ForwardPlugin, HttpProxy, ProxyConfig, ProxyKind, ProxySshd, ProxyTransport,
    RealIpMode, StaticFilePlugin, TcpmuxProxy, UnixSocketPlugin,
};

/// The proxies that are to run; only those must be free of unsupported and invalid values.
pub(super) fn proxies(
    entries: &[At<'_, ProxyConfig>],
    start: &[String],
    legacy: bool,
    report: &mut Report<'_>,
) -> Vec<ProxyConfig> {
    let mut proxies = Vec::new();
    for entry in entries {
        let proxy = entry.read();
        let prefix = format!("proxy {}: ", proxy.name);
        judge_decoding(entry.section(), &prefix, report);
        if !is_active(entry, start) {
            continue;
        }
        check_all(entry, &proxy, legacy, report);
        proxies.push(proxy);
    }
    proxies.sort_by(|a, b| a.name.cmp(&b.name));
    proxies
}

/// What must hold for a proxy that runs.
pub(super) fn check_all(
    entry: &At<'_, ProxyConfig>,
    proxy: &ProxyConfig,
    legacy: bool,
    report: &mut Report<'_>,
) {
    let prefix = format!("proxy {}: ", proxy.name);
    if proxy.name.is_empty() {
        report.error(
            entry.section().at,
            format!("{prefix}name should not be empty"),
            "add name = \"...\"",
        );
    }
    refuse_type(entry, &prefix, report);
    judge(entry.section(), &prefix, legacy, report);
    check(entry, &proxy.kind, &prefix, report);
    check_plugin(entry, proxy.plugin.as_ref(), &prefix, report);
    check_real_ip(entry, proxy, &prefix, report);
    check_sshd(entry, proxy, &prefix, report);
}

/// Where no ssh server can be, or where its log would tell of nobody.
fn check_sshd(
    entry: &At<'_, ProxyConfig>,
    proxy: &ProxyConfig,
    prefix: &str,
    report: &mut Report<'_>,
) {
    let log = proxy.sshd.log.as_str();
    if log.is_empty() {
        return;
    }
    let key = entry.of(ProxyConfig::sshd).of(ProxySshd::log);
    let (why, advice) = match &proxy.kind {
        ProxyKind::Udp(_) | ProxyKind::Sudp(_) | ProxyKind::Http(_) | ProxyKind::Https(_) => (
            "no ssh server is reached by this type",
            "use type tcp, stcp or tcpmux, or remove the key",
        ),
        ProxyKind::Xtcp(_) => (
            "users of this type do not pass frps, which could not ban them",
            "use type tcp, stcp or tcpmux, or remove the key",
        ),
        _ if proxy.plugin.is_some() => {
            ("a plugin serves the users", "remove the key, or the plugin")
        }
        _ if log != ProxySshd::JOURNAL && !Path::new(log).is_absolute() => (
            "it is neither \"journal\" nor the whole path of a file",
            "set sshd.log = \"journal\", or a path such as \"/var/log/auth.log\"",
        ),
        _ => return,
    };
    report.error(
        key.value_at(),
        format!("{prefix}sshd.log = \"{log}\" does not go here: {why}"),
        advice,
    );
}

/// Where nobody would see who the user is, or another than it is.
fn check_real_ip(
    entry: &At<'_, ProxyConfig>,
    proxy: &ProxyConfig,
    prefix: &str,
    report: &mut Report<'_>,
) {
    let Some(mode) = proxy.transport.real_ip else {
        return;
    };
    let key = entry.of(ProxyConfig::transport).of(ProxyTransport::real_ip);
    let host = proxy.local_ip.as_str();
    let ip = host.parse::<IpAddr>().ok();
    let is_here = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
    let (why, advice) = match (&proxy.kind, mode) {
        (ProxyKind::Udp(_) | ProxyKind::Sudp(_), _) => (
            "datagrams of all users go the same way".to_owned(),
            "set transport.proxyProtocolVersion, or remove the key",
        ),
        (ProxyKind::Http(_), _) => (
            "a connection to the local service carries the requests of many users".to_owned(),
            "the service finds each user in X-Forwarded-For; remove the key",
        ),
        (ProxyKind::Xtcp(_), _) => (
            "only the other frpc knows its users".to_owned(),
            "remove the key",
        ),
        _ if proxy.plugin.is_some() => (
            "a plugin serves the users".to_owned(),
            "remove the key, or the plugin",
        ),
        (_, RealIpMode::Loopback) if !is_here || ip.is_some_and(|ip| ip.is_ipv6()) => (
            format!("localIP {host:?} is no address of IPv4 in 127.0.0.0/8"),
            "have the service listen on 127.0.0.1, and set localIP = \"127.0.0.1\"",
        ),
        (_, RealIpMode::Transparent) if !is_here => (
            format!(
                "localIP {host:?} is elsewhere, and would send its answers to the users and not to frpc"
            ),
            "run frpc beside the service, with localIP = \"127.0.0.1\", or set transport.proxyProtocolVersion",
        ),
        _ => return,
    };
    report.error(
        key.value_at(),
        format!(
            "{prefix}transport.realIP = \"{}\" does not go here: {why}",
            mode.as_str()
        ),
        advice,
    );
}

/// Rules that concern several keys.
fn check(entry: &At<'_, ProxyConfig>, kind: &ProxyKind, prefix: &str, report: &mut Report<'_>) {
    let at = entry.of(ProxyConfig::kind).value_at();
    if let ProxyKind::Http(HttpProxy { domains, .. })
    | ProxyKind::Https(domains)
    | ProxyKind::Tcpmux(TcpmuxProxy { domains, .. }) = kind
        && domains.subdomain.is_empty()
        && domains.custom_domains.is_empty()
    {
        report.error(
            at,
            format!("{prefix}subdomain and custom domains should not be both empty"),
            "add customDomains = [\"...\"] or subdomain",
        );
    }
    let multiplexer = entry.cast().of(TcpmuxProxy::multiplexer);
    if matches!(kind, ProxyKind::Tcpmux(_)) && multiplexer.text().is_empty() {
        report.error(
            at,
            format!("{prefix}not support multiplexer: "),
            "add multiplexer = \"httpconnect\"",
        );
    }
    let health = entry.of(ProxyConfig::health_check).cast();
    let kind = health.of(HealthCheckKeys::kind);
    if kind.text() == "http" && health.of(HealthCheckKeys::path).text().is_empty() {
        report.error(
            kind.value_at(),
            format!("{prefix}health check path should not be empty"),
            "add healthCheck.path, such as \"/\"",
        );
    }
}

fn check_plugin(
    entry: &At<'_, ProxyConfig>,
    plugin: Option<&ClientPlugin>,
    prefix: &str,
    report: &mut Report<'_>,
) {
    let list = entry.of(ProxyConfig::plugin).list();
    let (Some(table), Some(plugin)) = (list.and_then(|list| list.items.first()), plugin) else {
        return;
    };
    let name = plugin.as_str();
    if let Some(tag) = PLUGIN.tag(name) {
        let at = At::root(table).of(PluginKeys::kind).value_at();
        let what = format!("plugin.type = {name:?}");
        lacking(prefix, &what, tag.needs.of(name), at, report);
    }
    let required = match plugin {
        ClientPlugin::Http2Https(_)
        | ClientPlugin::Https2Http(_)
        | ClientPlugin::Https2Https(_)
        | ClientPlugin::Tls2Raw(_) => ForwardPlugin::local_addr.path(),
        ClientPlugin::StaticFile(_) => StaticFilePlugin::local_path.path(),
        ClientPlugin::UnixDomainSocket(_) => UnixSocketPlugin::unix_path.path(),
        ClientPlugin::Http2Http(_)
        | ClientPlugin::HttpProxy(_)
        | ClientPlugin::Socks5(_)
        | ClientPlugin::VirtualNet => return,
    };
    require(table, &required, (prefix, name), "", report);
}
