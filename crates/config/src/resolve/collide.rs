//! Names and ports that two parts of a configuration claim.

use std::collections::BTreeMap;

use super::{is_active, port};
use crate::report::Report;
use crate::section::Section;

/// Duplicates count even when they would not run, as in frp.
pub(super) fn names(entries: &[Section], what: &str, report: &mut Report<'_>) {
    let mut first = BTreeMap::new();
    for entry in entries {
        let name = entry.text("name");
        let at = entry.value_at("name");
        if let Some(before) = first.get(&name) {
            let place = report.sources.place(*before, at);
            report.error(
                at,
                format!("{what} name [{name}] is duplicated: {place} has it, too"),
                "give each its own name",
            );
        } else {
            first.insert(name, at);
        }
    }
}

/// Ports of frps that two proxies ask for; the members of a group share theirs.
pub(super) fn remote_ports(entries: &[Section], start: &[String], report: &mut Report<'_>) {
    let mut seen = BTreeMap::new();
    for entry in entries.iter().filter(|entry| is_active(entry, start)) {
        let Some(field) = entry.fields.get("remotePort") else {
            continue;
        };
        let (name, number) = (entry.text("name"), port(entry, "remotePort"));
        if number == 0 {
            continue;
        }
        let group = entry.text("loadBalancer.group");
        let key = (entry.text("type"), number);
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
    root: &Section,
    visitors: &[Section],
    start: &[String],
    report: &mut Report<'_>,
) {
    let mut listeners = vec![listener(root, "webServer.port", "webServer.addr", false, 0)];
    for entry in visitors.iter().filter(|entry| is_active(entry, start)) {
        let udp = entry.text("type") == "sudp";
        let mut one = listener(entry, "bindPort", "bindAddr", udp, 0);
        one.what = format!("visitor {}", entry.text("name"));
        listeners.push(one);
    }
    overlaps(listeners, report);
}

/// Ports of frps that two of its listeners claim.
pub(super) fn server_listeners(root: &Section, report: &mut Report<'_>) {
    let bind_addr = root.text("bindAddr");
    let proxy_addr = match root.some_text("proxyBindAddr") {
        Some(addr) => addr,
        None => bind_addr.clone(),
    };
    // HTTP and HTTPS can share the port that frpc connects to, if the address is the same.
    let shared = u8::from(bind_addr == proxy_addr);
    let mut listeners = vec![
        listener(root, "bindPort", "bindAddr", false, shared),
        listener(root, "kcpBindPort", "bindAddr", true, 0),
        listener(root, "quicBindPort", "bindAddr", true, 0),
        listener(root, "sshTunnelGateway.bindPort", "bindAddr", false, 0),
        listener(root, "webServer.port", "webServer.addr", false, 0),
    ];
    let bind_port = port(root, "bindPort");
    for (key, may_share) in [
        ("vhostHTTPPort", true),
        ("vhostHTTPSPort", true),
        ("tcpmuxHTTPConnectPort", false),
    ] {
        let mut one = listener(root, key, "bindAddr", false, 0);
        one.addr.clone_from(&proxy_addr);
        if may_share && one.port == bind_port {
            one.class = shared;
        }
        listeners.push(one);
    }
    overlaps(listeners, report);
}

fn listener(section: &Section, port_key: &str, addr_key: &str, udp: bool, class: u8) -> Listener {
    Listener {
        what: port_key.to_owned(),
        udp,
        addr: section.text(addr_key),
        port: port(section, port_key),
        at: section.value_at(port_key),
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
