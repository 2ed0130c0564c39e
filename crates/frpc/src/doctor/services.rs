//! Is a proxy's local service there, and can its visitors listen?

use std::io;

use frp_ask::doctor::{Mark, Step};
use frp_config::{ClientPlugin, ProxyConfig, ProxyKind, VisitorConfig, VisitorKind};
use frp_net::dial::{DialOptions, dial};
use frp_net::go_text::{go_text, join_host_port};
use frp_net::listen::{Host, any, listen};
use frp_net::resolve::lookup;
use frp_proto::address::without_brackets;
use tokio::net::{UdpSocket, UnixStream};
use tokio::time::timeout;

use crate::admin::cure::cure;
use crate::dial::LOCAL;
use crate::health;
use crate::limits::{DOCTOR_STEP, REFUSED_BY_UDP};

const STEP: &str = "localService";

/// Looks, as frpc itself would.
pub(super) async fn look(proxy: &ProxyConfig) -> Step {
    if let Some(plugin) = &proxy.plugin {
        return of_plugin(&proxy.name, plugin).await;
    }
    let at = join_host_port(&proxy.local_ip, proxy.local_port);
    let is_udp = matches!(proxy.kind, ProxyKind::Udp(_) | ProxyKind::Sudp(_));
    let checked = match &proxy.health_check {
        Some(check) => health::check_once(proxy, check)
            .await
            .map_err(|e| e.to_string()),
        None if is_udp => by_udp(proxy).await,
        None => by_tcp(&proxy.local_ip, proxy.local_port).await,
    };
    match checked {
        Ok(()) if is_udp => {
            let found = format!("{at}: the UDP port is not closed");
            Step::new(STEP, &proxy.name, Mark::Ok, found)
        }
        Ok(()) => Step::new(STEP, &proxy.name, Mark::Ok, format!("{at} answers")),
        Err(why) => {
            let step = Step::new(STEP, &proxy.name, Mark::Failed, why);
            let status = match proxy.health_check.is_some() {
                true => "check failed",
                false => "",
            };
            let cure = cure(status, "connect to local service").unwrap_or_default();
            step.because(
                format!("nothing serves users at {at} (localIP, localPort)"),
                cure,
            )
        }
    }
}

/// What a plugin serves users from, where that can be looked at.
async fn of_plugin(name: &str, plugin: &ClientPlugin) -> Step {
    let kind = plugin.as_str();
    let (looked, (what, key)) = match plugin {
        ClientPlugin::Http2Https(it) => by_addr(&it.forward.local_addr).await,
        ClientPlugin::Https2Http(it) => by_addr(&it.forward.local_addr).await,
        ClientPlugin::Https2Https(it) => by_addr(&it.https.forward.local_addr).await,
        ClientPlugin::Http2Http(it) => by_addr(&it.local_addr).await,
        ClientPlugin::Tls2Raw(it) => by_addr(&it.local_addr).await,
        ClientPlugin::UnixDomainSocket(it) => {
            let opened = UnixStream::connect(&it.unix_path).await;
            let opened = opened.map(drop).map_err(|e| go_text(&e).to_string());
            (
                opened,
                (it.unix_path.display().to_string(), "plugin.unixPath"),
            )
        }
        ClientPlugin::StaticFile(it) => {
            let opened = std::fs::read_dir(&it.local_path);
            let opened = opened.map(drop).map_err(|e| go_text(&e).to_string());
            (
                opened,
                (it.local_path.display().to_string(), "plugin.localPath"),
            )
        }
        ClientPlugin::HttpProxy(_) | ClientPlugin::Socks5(_) | ClientPlugin::VirtualNet => {
            let found = format!("the plugin {kind} serves users itself");
            return Step::new(STEP, name, Mark::Ok, found);
        }
    };
    match looked {
        Ok(()) => {
            let found = format!("the plugin {kind}; {what} is there");
            Step::new(STEP, name, Mark::Ok, found)
        }
        Err(why) => Step::new(STEP, name, Mark::Failed, why).because(
            format!("the plugin {kind} has nothing to serve users from at {what} ({key})"),
            format!("start what users are to reach there, or correct {key}"),
        ),
    }
}

type Looked = (Result<(), String>, (String, &'static str));

/// `host:port` of a plugin.
async fn by_addr(addr: &str) -> Looked {
    let looked = match addr
        .rsplit_once(':')
        .map(|(host, port)| (host, port.parse()))
    {
        Some((host, Ok(port))) => by_tcp(without_brackets(host), port).await,
        _ => Err("missing port in address".to_owned()),
    };
    (looked, (addr.to_owned(), "plugin.localAddr"))
}

async fn by_tcp(host: &str, port: u16) -> Result<(), String> {
    let options = DialOptions {
        timeout: DOCTOR_STEP,
        ..LOCAL
    };
    let dialled = dial(host, port, &options).await;
    dialled.map(drop).map_err(|e| e.to_string())
}

/// An empty datagram, which no protocol takes for anything: where nothing listens, the system says so.
async fn by_udp(proxy: &ProxyConfig) -> Result<(), String> {
    let addrs = lookup(&proxy.local_ip, proxy.local_port)
        .await
        .map_err(|e| e.to_string())?;
    let Some(addr) = addrs.first() else {
        return Err("no such host".to_owned());
    };
    let asked = async {
        let socket = UdpSocket::bind(any(addr.ip())).await?;
        socket.connect(addr).await?;
        socket.send(&[]).await?;
        let mut byte = [0; 1];
        timeout(REFUSED_BY_UDP, socket.recv(&mut byte))
            .await
            .map_or(Ok(0), |answer| answer)
    };
    let answered = asked.await;
    answered
        .map(drop)
        .map_err(|e| format!("udp {addr}: {}", go_text(&e)))
}

/// Whether a visitor can listen. `runs`: the frpc that does so runs already.
pub(super) fn visitor(visitor: &VisitorConfig, runs: bool) -> Step {
    const STEP: &str = "visitor";
    let name = &visitor.name;
    let Some(port) = visitor.bind_port else {
        return Step::new(STEP, name, Mark::Ok, "listens at no port, as configured");
    };
    let at = join_host_port(&visitor.bind_addr, port);
    let opened = match visitor.kind {
        VisitorKind::Sudp => udp_socket(&visitor.bind_addr, port),
        _ => listen(&visitor.bind_addr, port).map(drop),
    };
    match opened {
        Ok(()) if runs => {
            let step = Step::new(STEP, name, Mark::Warning, format!("nobody listens at {at}"));
            step.because(
                "the frpc that runs does not have this visitor",
                "frpc reload",
            )
        }
        Ok(()) => Step::new(STEP, name, Mark::Ok, format!("{at} is free to listen at")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && runs => Step::new(
            STEP,
            name,
            Mark::Ok,
            format!("{at} is in use, as it should by the frpc that runs"),
        ),
        Err(error) => {
            let step = Step::new(
                STEP,
                name,
                Mark::Failed,
                format!("{at}: {}", go_text(&error)),
            );
            match error.kind() {
                io::ErrorKind::AddrInUse => step.because(
                    "another program has the port",
                    "set another bindPort of the visitor, or stop that program",
                ),
                _ => step.because(
                    "the visitor cannot listen there",
                    "set bindAddr and bindPort of the visitor to what this machine has",
                ),
            }
        }
    }
}

fn udp_socket(host: &str, port: u16) -> io::Result<()> {
    match Host::resolve(host)? {
        Host::Everywhere => std::net::UdpSocket::bind(("0.0.0.0", port)).map(drop),
        Host::At(mut at) => {
            at.set_port(port);
            std::net::UdpSocket::bind(at).map(drop)
        }
    }
}
