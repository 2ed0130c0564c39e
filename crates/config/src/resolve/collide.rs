//! Names and ports that two parts of a configuration claim.

use std::collections::BTreeMap;

use super::entry::is_active;
use crate::keys::{At, Listed, Setting};
use crate::report::Report;
use crate::{
    ClientConfig, LoadBalancer, PortProxy, ProxyConfig, ServerConfig, SshTunnelGateway,
    VisitorConfig, VisitorKind, WebServer,
};

/// Duplicates count even when they would not run, as in frp.
pub(super) fn names<E: Listed>(entries: &[At<'_, E>], report: &mut Report<'_>) {
    let mut first = BTreeMap::new();
    for entry in entries {
        let name = entry.of(E::NAME).text();
        let at = entry.of(E::NAME).value_at();
        if let Some(before) = first.get(&name) {
            let place = report.sources.place(*before, at);
            report.error(
                at,
                format!(
                    "{} name [{name}] is duplicated: {place} has it, too",
                    E::TAGGED.what
                ),
                "give each its own name",
            );
        } else {
            first.insert(name, at);
        }
    }
}

/// Ports of frps that two proxies ask for; the members of a group share theirs.
pub(super) fn remote_ports(
    entries: &[At<'_, ProxyConfig>],
    start: &[String],
    report: &mut Report<'_>,
) {
    let mut seen = BTreeMap::new();
    for entry in entries.iter().filter(|entry| is_active(entry, start)) {
        let port = entry.cast().of(PortProxy::remote_port);
        let Some(field) = port.field() else {
            continue;
        };
        let (name, number) = (entry.of(ProxyConfig::name).text(), port.read());
        if number == 0 {
            continue;
        }
        let balancer = entry.of(ProxyConfig::load_balancer).some();
        let group = balancer.of(LoadBalancer::group).text();
        let key = (entry.of(ProxyConfig::kind).text(), number);
        let Some((other, other_group, at)) = seen.get(&key) else {
            seen.insert(key, (name, group, field.value_at));
            continue;
        };
        if !group.is_empty() && group == *other_group {
            continue;
        }
        let place = report.sources.place(*at, field.value_at);
        report.warn(
            field.value_at,
            format!(
                "proxy {name}: remote port {number} is also that of proxy {other} ({place}); \
                 frps gives it to the first of them only"
            ),
            "choose another port",
        );
    }
}

/// Something that listens.
struct Listener {
    what: String,
    udp: bool,
    addr: String,
    port: u16,
    at: usize,
    /// Listeners of one class may share a port: frps tells their connections apart.
    class: u8,
}

/// Addresses that two visitors listen on, or a visitor and the admin interface.
pub(super) fn client_listeners(
    root: &At<'_, ClientConfig>,
    visitors: &[At<'_, VisitorConfig>],
    start: &[String],
    report: &mut Report<'_>,
) {
    let mut listeners = vec![web_listener(&root.of(ClientConfig::web_server))];
    for entry in visitors.iter().filter(|entry| is_active(entry, start)) {
        let kind = entry.of(VisitorConfig::kind).text();
        let port = entry.of(VisitorConfig::bind_port);
        let addr = entry.of(VisitorConfig::bind_addr).text();
        let udp = kind == VisitorKind::Sudp.as_str();
        let mut one = listener(&port, &addr, udp, 0);
        one.what = format!("visitor {}", entry.of(VisitorConfig::name).text());
        listeners.push(one);
    }
    overlaps(listeners, report);
}

/// Ports of frps that two of its listeners claim.
pub(super) fn server_listeners(root: &At<'_, ServerConfig>, report: &mut Report<'_>) {
    let addr = root.of(ServerConfig::bind_addr).text();
    let proxy_addr = root.of(ServerConfig::proxy_bind_addr).some_text();
    let proxy_addr = proxy_addr.unwrap_or_else(|| addr.clone());
    // HTTP and HTTPS can share the port that frpc connects to, if the address is the same.
    let shared = u8::from(addr == proxy_addr);
    let ssh = root.of(ServerConfig::ssh_tunnel_gateway).some();
    let bind = listener(&root.of(ServerConfig::bind_port), &addr, false, shared);
    let vhost = |key, may_share: bool| {
        let one = listener(&root.of(key), &proxy_addr, false, 0);
        match may_share && one.port == bind.port {
            true => Listener {
                class: shared,
                ..one
            },
            false => one,
        }
    };
    let others = [
        listener(&root.of(ServerConfig::kcp_bind_port), &addr, true, 0),
        listener(&root.of(ServerConfig::quic_bind_port), &addr, true, 0),
        listener(&ssh.of(SshTunnelGateway::bind_port), &addr, false, 0),
        web_listener(&root.of(ServerConfig::web_server)),
        vhost(ServerConfig::vhost_http_port, true),
        vhost(ServerConfig::vhost_https_port, true),
        vhost(ServerConfig::tcpmux_http_connect_port, false),
    ];
    let mut listeners = vec![bind];
    listeners.extend(others);
    overlaps(listeners, report);
}

fn web_listener(at: &At<'_, Option<WebServer>>) -> Listener {
    let at = at.some();
    let addr = at.of(WebServer::addr).text();
    listener(&at.of(WebServer::port), &addr, false, 0)
}

fn listener<P: Setting>(port: &At<'_, P>, addr: &str, udp: bool, class: u8) -> Listener {
    Listener {
        what: port.path().to_owned(),
        udp,
        addr: addr.to_owned(),
        port: u16::try_from(port.int()).unwrap_or(0),
        at: port.value_at(),
        class,
    }
}

fn overlaps(listeners: Vec<Listener>, report: &mut Report<'_>) {
    let any = |addr: &str| matches!(addr, "" | "0.0.0.0" | "::" | "[::]");
    let mut seen: BTreeMap<(bool, u16), Vec<Listener>> = BTreeMap::new();
    for one in listeners.into_iter().filter(|one| one.port != 0) {
        let others = seen.entry((one.udp, one.port)).or_default();
        let other = others.iter().find(|other| {
            let same = other.addr == one.addr || any(&other.addr) || any(&one.addr);
            same && (one.class == 0 || one.class != other.class)
        });
        if let Some(other) = other {
            let (at, place) = if one.at >= other.at {
                (one.at, report.sources.place(other.at, one.at))
            } else {
                (other.at, report.sources.place(one.at, other.at))
            };
            report.warn(
                at,
                format!(
                    "{}: port {} is also that of {} ({place}); only one can listen on it",
                    one.what, one.port, other.what
                ),
                "choose another port",
            );
        }
        others.push(one);
    }
}
