//! Can frps have its ports, and who holds them else?

use std::io;

use frp_ask::doctor::{Mark, Report, Step};
use frp_config::ServerConfig;
use frp_net::go_text::go_text;
use frp_net::listen::listen;
use frp_net::udp_socket;

use super::running::Runs;
use crate::holder::{self, Network};

/// A port that is configured.
struct Wanted<'a> {
    key: &'static str,
    network: Network,
    addr: &'a str,
    port: u16,
}

/// Whether each port that is configured can be opened, or is held by the frps that runs.
pub(super) fn look(cfg: &ServerConfig, runs: Runs, report: &Report) {
    use Network::{Tcp, Udp};
    let gateway = cfg.ssh_tunnel_gateway.as_ref();
    let (bind, proxies) = (cfg.bind_addr.as_str(), cfg.proxy_bind_addr.as_str());
    let web = cfg.web_server.as_ref();
    let web_addr = web.map_or("", |web| web.addr.as_str());
    let wanted = [
        ("bindPort", Tcp, bind, Some(cfg.bind_port)),
        ("quicBindPort", Udp, bind, cfg.quic_bind_port),
        ("kcpBindPort", Udp, bind, cfg.kcp_bind_port),
        ("vhostHTTPPort", Tcp, proxies, cfg.vhost_http_port),
        ("vhostHTTPSPort", Tcp, proxies, cfg.vhost_https_port),
        (
            "tcpmuxHTTPConnectPort",
            Tcp,
            proxies,
            cfg.tcpmux_http_connect_port,
        ),
        (
            "sshTunnelGateway.bindPort",
            Tcp,
            bind,
            gateway.map(|gateway| gateway.bind_port),
        ),
        ("webServer.port", Tcp, web_addr, web.map(|web| web.port)),
    ];
    let ours = match runs {
        Runs::Frps => holder::who(Tcp, cfg.bind_port),
        _ => None,
    };
    let mut seen = Vec::new();
    for (key, network, addr, port) in wanted {
        let Some(port) = port.filter(|port| *port > 0) else {
            continue;
        };
        // Several may share one.
        if seen.contains(&(network, port)) {
            continue;
        }
        seen.push((network, port));
        let wanted = Wanted {
            key,
            network,
            addr,
            port,
        };
        report.add(one(&wanted, runs, ours.as_deref()));
    }
}

fn one(wanted: &Wanted<'_>, runs: Runs, ours: Option<&str>) -> Step {
    let Wanted {
        key,
        network,
        addr,
        port,
    } = *wanted;
    let about = format!("{key} ({network} {port})");
    let opened = match network {
        Network::Tcp => listen(addr, port).map(drop),
        Network::Udp => udp_socket::bind(addr, port).map(drop),
    };
    let Err(error) = opened else {
        return match runs {
            Runs::Frps => Step::new("port", about, Mark::Warning, "free, though frps runs")
                .because(
                    "the frps that runs goes by another file, or this one has changed since",
                    "restart frps: ports are opened at its start",
                ),
            _ => Step::new("port", about, Mark::Ok, "free"),
        };
    };
    if error.kind() == io::ErrorKind::AddrInUse {
        let holder = holder::who(network, port);
        let is_ours =
            runs == Runs::Frps && (holder.is_none() || ours.is_none() || holder.as_deref() == ours);
        let found = holder.map_or_else(
            || "in use".to_owned(),
            |holder| format!("in use by {holder}"),
        );
        return match is_ours {
            true => Step::new("port", about, Mark::Ok, found),
            false => Step::new("port", about, Mark::Failed, found).because(
                "another program has the port, and frps cannot start",
                format!("end that program, or set {key} to another port"),
            ),
        };
    }
    let step = Step::new("port", about, Mark::Failed, go_text(&error).to_string());
    match error.kind() {
        io::ErrorKind::PermissionDenied => step.because(
            "ports below 1024 need root or CAP_NET_BIND_SERVICE",
            format!(
                "add AmbientCapabilities=CAP_NET_BIND_SERVICE to the systemd unit, or set {key} above 1023"
            ),
        ),
        _ => step.because(
            format!("frps cannot listen at {addr}"),
            "set bindAddr (proxyBindAddr, webServer.addr) to an address of this machine",
        ),
    }
}
