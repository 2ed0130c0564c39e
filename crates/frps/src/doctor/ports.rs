//! Can frps have its ports, and who holds them else?

use std::io;
use std::net::UdpSocket;

use frp_ask::doctor::{Mark, Report, Step};
use frp_config::ServerConfig;
use frp_net::listen::{Host, listen};

use crate::holder::{Network, holder};

/// Whether each port that is configured can be opened. `runs`: frps does, and has them.
pub(super) fn look(cfg: &ServerConfig, runs: bool, report: &Report) {
    let gateway = cfg
        .ssh_tunnel_gateway
        .as_ref()
        .map(|gateway| gateway.bind_port);
    let (bind, proxies) = (cfg.bind_addr.as_str(), cfg.proxy_bind_addr.as_str());
    let web = cfg.web_server.as_ref();
    let wanted = [
        ("bindPort", Network::Tcp, bind, Some(cfg.bind_port)),
        ("quicBindPort", Network::Udp, bind, cfg.quic_bind_port),
        ("kcpBindPort", Network::Udp, bind, cfg.kcp_bind_port),
        ("vhostHTTPPort", Network::Tcp, proxies, cfg.vhost_http_port),
        (
            "vhostHTTPSPort",
            Network::Tcp,
            proxies,
            cfg.vhost_https_port,
        ),
        (
            "tcpmuxHTTPConnectPort",
            Network::Tcp,
            proxies,
            cfg.tcpmux_http_connect_port,
        ),
        ("sshTunnelGateway.bindPort", Network::Tcp, bind, gateway),
        (
            "webServer.port",
            Network::Tcp,
            web.map_or("", |web| &web.addr),
            web.map(|web| web.port),
        ),
    ];
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
        report.add(one(key, network, addr, port, runs));
    }
}

fn one(key: &str, network: Network, addr: &str, port: u16, runs: bool) -> Step {
    let about = format!("{key} ({network} {port})");
    let error = match open(network, addr, port) {
        Ok(()) if runs && key == "bindPort" => {
            return Step::new("port", about, Mark::Ok, "free, though an frps answers");
        }
        Ok(()) => return Step::new("port", about, Mark::Ok, "free"),
        Err(error) => error,
    };
    let holder = || holder(network, port).unwrap_or_else(|| "it is in use".to_owned());
    match error.kind() {
        io::ErrorKind::AddrInUse if runs => Step::new("port", about, Mark::Ok, holder()),
        io::ErrorKind::AddrInUse => Step::new("port", about, Mark::Failed, holder()).because(
            "another program has the port, and frps cannot start",
            format!("stop that program, or set {key} to another port"),
        ),
        io::ErrorKind::PermissionDenied => Step::new("port", about, Mark::Failed, "permission denied").because(
            "ports below 1024 need root or CAP_NET_BIND_SERVICE",
            format!("add AmbientCapabilities=CAP_NET_BIND_SERVICE to the systemd unit, or set {key} above 1023"),
        ),
        _ => Step::new("port", about, Mark::Failed, error.to_string()).because(
            format!("frps cannot listen at {addr}"),
            "set bindAddr (proxyBindAddr, webServer.addr) to an address of this machine",
        ),
    }
}

fn open(network: Network, addr: &str, port: u16) -> io::Result<()> {
    match network {
        Network::Tcp => listen(addr, port).map(drop),
        Network::Udp => match Host::resolve(addr)? {
            Host::Everywhere => UdpSocket::bind(("0.0.0.0", port)).map(drop),
            Host::At(mut at) => {
                at.set_port(port);
                UdpSocket::bind(at).map(drop)
            }
        },
    }
}
