//! `frpc nathole discover`: which kind of NAT is this machine behind (frp `cmd/frpc/sub/nathole.go`)?

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use frp_config::cli::Discover;
use frp_net::go_text::go_text;
use frp_net::own_ips::own_ips;
use frp_net::resolve::{LookupError, lookup};
use frp_net::stun::{StunError, discover};
use frp_proto::address::split_port;
use frp_proto::nathole::feature::{NatFeature, classify};
use serde_json::json;
use tokio::net::UdpSocket;

/// Why it is not known; the texts are frp's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiscoverError {
    #[error("nat_hole_stun_server can not be empty")]
    NoServer,
    #[error("discover error: {0}")]
    Stun(#[from] StunError),
    #[error("discover error: {0}")]
    Lookup(#[from] LookupError),
    #[error("discover error: address {0}: missing port in address")]
    LocalAddr(String),
    #[error("discover error: listen udp {at}: {}", go_text(.why))]
    Listen { at: SocketAddr, why: io::Error },
    #[error("discover error: can not get enough addresses, need 2, got: [{}]", joined(.0))]
    NotEnough(Vec<SocketAddr>),
}

/// What shows from asking a STUN server, as frp prints it or as JSON.
pub(crate) async fn run(asked: &Discover) -> Result<String, DiscoverError> {
    if asked.stun_server.is_empty() {
        return Err(DiscoverError::NoServer);
    }
    let at = local_addr(&asked.local_addr).await?;
    let listen = |why| DiscoverError::Listen { at, why };
    let socket = UdpSocket::bind(at).await.map_err(listen)?;
    let local = socket.local_addr().map_err(listen)?;
    let seen = discover(&socket, &asked.stun_server).await?;
    let Ok(feature) = classify(&seen, &own_ips()) else {
        return Err(DiscoverError::NotEnough(seen));
    };
    Ok(match asked.json {
        true => as_json(&asked.stun_server, &feature, &seen, local),
        false => as_text(&asked.stun_server, &feature, &seen, local),
    })
}

fn as_text(server: &str, feature: &NatFeature, seen: &[SocketAddr], local: SocketAddr) -> String {
    format!(
        "STUN server: {server}\n\
         Your NAT type is: {}\n\
         Behavior is: {}\n\
         External address is: [{}]\n\
         Local address is: {local}\n\
         Public Network: {}",
        feature.nat_type(),
        feature.behavior,
        joined(seen),
        feature.public_network
    )
}

fn as_json(server: &str, feature: &NatFeature, seen: &[SocketAddr], local: SocketAddr) -> String {
    json!({
        "stunServer": server,
        "natType": feature.nat_type().as_str(),
        "behavior": feature.behavior.as_str(),
        "regularPortsChange": feature.regular_ports_change(),
        "externalAddrs": seen,
        "localAddr": local,
        "publicNetwork": feature.public_network,
    })
    .to_string()
}

/// The address to ask from; of IPv4, unless it says otherwise.
async fn local_addr(text: &str) -> Result<SocketAddr, DiscoverError> {
    if text.is_empty() {
        return Ok((Ipv4Addr::UNSPECIFIED, 0).into());
    }
    let (host, Some(Ok(port))) = split_port(text) else {
        return Err(DiscoverError::LocalAddr(text.to_owned()));
    };
    if host.is_empty() {
        return Ok((Ipv4Addr::UNSPECIFIED, port).into());
    }
    let found = lookup(host, port).await?;
    let v4 = found.iter().find(|addr| addr.is_ipv4()).or(found.first());
    v4.copied()
        .ok_or_else(|| DiscoverError::LocalAddr(text.to_owned()))
}

fn joined(addrs: &[SocketAddr]) -> String {
    let texts: Vec<String> = addrs.iter().map(SocketAddr::to_string).collect();
    texts.join(" ")
}
