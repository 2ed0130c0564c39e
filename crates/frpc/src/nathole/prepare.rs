//! The sockets of one side, and at which addresses the other may reach them: those that STUN servers see, and
//! its own (frp `pkg/nathole/nathole.go`: Prepare).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use frp_config::NatTraversal;
use frp_log::{Log, debug, info};
use frp_net::own_ips::own_ips;
use frp_net::stun::{StunError, discover};
use frp_proto::nathole::feature::{NatFeature, classify};
use tokio::net::UdpSocket;

use crate::client::Client;
use crate::limits::MAX_IPV6_OFFERED;
use crate::port_mapping::PortMapping;

/// The sockets that the peer is told of; at least one is there.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// What the NAT is about.
    pub(super) v4: Option<UdpSocket>,
    /// Where this machine has a global address.
    pub(super) v6: Option<UdpSocket>,
    /// What a router has mapped to the first.
    pub(super) mapping: Option<PortMapping>,
}

/// What the peer is to know.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) sockets: Sockets,
    /// As servers see us.
    pub(crate) mapped: Vec<SocketAddr>,
    /// What else may lead here.
    pub(crate) assisted: Vec<SocketAddr>,
    /// What the NAT is like, where servers have said.
    pub(crate) nat: Option<NatFeature>,
}

/// Why this side does not know how the world sees it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    #[error(
        "discover error: {error}: which addresses the NAT gives could not be learned from the STUN server \
         {server}; UDP to it must pass, or name another one by natHoleStunServer"
    )]
    Discover { error: StunError, server: String },
    #[error(
        "discover error: not enough addresses: the STUN server {server} has only one address of its own, \
         which does not show the kind of NAT; name another one by natHoleStunServer"
    )]
    OneAddress { server: String },
    #[error("listen local udp addr error: {0}")]
    Socket(#[from] io::Error),
}

/// Opens sockets and finds out about them.
pub(crate) async fn prepare(
    client: &Client,
    cfg: &NatTraversal,
    log: &Log,
) -> Result<Prepared, PrepareError> {
    let server = &client.cfg.nat_hole_stun_server;
    let own = !cfg.disable_assisted_addrs;
    let mut sockets = Sockets::open(own).await?;
    let seen = match &sockets.v4 {
        Some(socket) => discover(socket, server).await,
        None => Ok(Vec::new()),
    };
    if let (true, Ok(seen)) = (cfg.port_mapping, &seen) {
        sockets.map(seen, client, log).await;
    }
    let ipv6 = sockets.own_ipv6();
    let mut assisted = match own {
        true => sockets.own_ipv4(),
        false => Vec::new(),
    };
    assisted.extend(sockets.mapping.as_ref().map(|mapping| mapping.external));
    assisted.extend(&ipv6);
    let (mapped, nat) = match (seen, ipv6.first()) {
        (Ok(seen), _) if seen.len() >= 2 => {
            let nat = classify(&seen, &own_ips()).ok();
            (seen, nat)
        }
        // The world sees these as they are, and frps wants to know two.
        (_, Some(first)) => (vec![*first, *first], None),
        (Ok(_), None) => {
            let server = server.clone();
            return Err(PrepareError::OneAddress { server });
        }
        (Err(error), None) => {
            let server = server.clone();
            return Err(PrepareError::Discover { error, server });
        }
    };
    let prepared = Prepared {
        sockets,
        mapped,
        assisted,
        nat,
    };
    info!(log, "nathole prepare success, {}", prepared.shown());
    Ok(prepared)
}

impl Sockets {
    /// `own`: our own addresses may be told, without which nobody would come by IPv6.
    async fn open(own: bool) -> io::Result<Self> {
        let v4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await;
        let v6 = match own && !global_ipv6().is_empty() {
            true => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await.ok(),
            false => None,
        };
        match (v4, v6) {
            (Ok(v4), v6) => Ok(Self {
                v4: Some(v4),
                v6,
                mapping: None,
            }),
            (Err(_), Some(v6)) => Ok(Self {
                v4: None,
                v6: Some(v6),
                mapping: None,
            }),
            (Err(e), None) => Err(e),
        }
    }

    /// Asks the router for a port, which servers have seen us behind.
    async fn map(&mut self, seen: &[SocketAddr], client: &Client, log: &Log) {
        let addr = self.v4.as_ref().and_then(|socket| socket.local_addr().ok());
        let Some(port) = addr.map(|addr| addr.port()).filter(|_| !seen.is_empty()) else {
            return;
        };
        match client.ports.map(port, seen, &client.tasks, log).await {
            Ok(mapping) => self.mapping = Some(mapping),
            Err(why) => debug!(log, "no port of a router: {why}"),
        }
    }

    fn own_ipv4(&self) -> Vec<SocketAddr> {
        let ips = own_ips().into_iter().filter(IpAddr::is_ipv4);
        at_port_of(self.v4.as_ref(), ips.collect())
    }

    fn own_ipv6(&self) -> Vec<SocketAddr> {
        at_port_of(self.v6.as_ref(), global_ipv6())
    }
}

fn at_port_of(socket: Option<&UdpSocket>, ips: Vec<IpAddr>) -> Vec<SocketAddr> {
    let addr = socket.and_then(|socket| socket.local_addr().ok());
    let Some(port) = addr.map(|addr| addr.port()) else {
        return Vec::new();
    };
    let addrs = ips.into_iter().map(|ip| SocketAddr::new(ip, port));
    addrs.collect()
}

impl Prepared {
    /// For the log, in frp's words.
    fn shown(&self) -> String {
        let nat = self.nat.map_or_else(
            || "nat type: unknown, behavior: unknown".to_owned(),
            |nat| {
                let (kind, behavior) = (nat.nat_type().as_str(), nat.behavior.as_str());
                format!("nat type: {kind}, behavior: {behavior}")
            },
        );
        format!(
            "{nat}, addresses: [{}], assistedAddresses: [{}]",
            words(&self.mapped).join(" "),
            words(&self.assisted).join(" ")
        )
    }
}

/// As they go into messages.
pub(crate) fn words(addrs: &[SocketAddr]) -> Vec<String> {
    addrs.iter().map(SocketAddr::to_string).collect()
}

/// Our addresses that hold everywhere, or in all of a site (RFC 4193).
fn global_ipv6() -> Vec<IpAddr> {
    let is_global = |ip: &IpAddr| match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => matches!(ip.segments()[0], 0x2000..=0x3fff | 0xfc00..=0xfdff),
    };
    let mut ips: Vec<_> = own_ips().into_iter().filter(is_global).collect();
    ips.truncate(MAX_IPV6_OFFERED);
    ips
}
