//! The sockets of one side, and at which addresses the other may reach them: those that STUN servers see, and
//! its own (frp `pkg/nathole/nathole.go`: Prepare).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use frp_net::own_ips::own_ips;
use frp_net::stun::discover;
use frp_proto::nathole::feature::{NatFeature, classify};
use tokio::net::UdpSocket;

use super::error::PrepareError;
use crate::limits::MAX_IPV6_OFFERED;

/// The sockets that the peer is told of; at least one is there.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// What the NAT is about.
    pub(super) v4: Option<UdpSocket>,
    /// Where this machine has a global address.
    pub(super) v6: Option<UdpSocket>,
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

/// Opens sockets and finds out about them. `own`: our own addresses may be told (`disableAssistedAddrs` is
/// off).
pub(crate) async fn prepare(stun_server: &str, own: bool) -> Result<Prepared, PrepareError> {
    let sockets = Sockets::open(own).await?;
    // Addresses that lead to the sockets and that nobody else can know of, such as one that a router maps.
    let extra = Vec::new();
    sockets.prepared(stun_server, own, extra).await
}

impl Sockets {
    async fn open(own: bool) -> io::Result<Self> {
        let v4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await;
        let v6 = match own && !global_ipv6().is_empty() {
            true => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await.ok(),
            false => None,
        };
        match (v4, v6) {
            (Ok(v4), v6) => Ok(Self { v4: Some(v4), v6 }),
            (Err(_), Some(v6)) => Ok(Self {
                v4: None,
                v6: Some(v6),
            }),
            (Err(e), None) => Err(e),
        }
    }

    /// `extra` are told like our own addresses.
    async fn prepared(
        self,
        stun_server: &str,
        own: bool,
        extra: Vec<SocketAddr>,
    ) -> Result<Prepared, PrepareError> {
        let ips = own_ips();
        let port = |socket: &Option<UdpSocket>| {
            let addr = socket.as_ref().and_then(|socket| socket.local_addr().ok());
            addr.map(|addr| addr.port())
        };
        let seen = match &self.v4 {
            Some(socket) => discover(socket, stun_server).await,
            None => Ok(Vec::new()),
        };
        let ipv6: Vec<_> = port(&self.v6)
            .into_iter()
            .flat_map(|port| {
                global_ipv6()
                    .into_iter()
                    .map(move |ip| SocketAddr::new(ip, port))
            })
            .collect();
        let ipv4 = port(&self.v4).filter(|_| own).into_iter();
        let ipv4 = ipv4.flat_map(|port| {
            let ips = ips.iter().filter(|ip| ip.is_ipv4());
            ips.map(move |ip| SocketAddr::new(*ip, port))
        });
        let assisted = ipv4.chain(extra).chain(ipv6.iter().copied()).collect();
        let server = || stun_server.to_owned();
        let (mapped, nat) = match (seen, ipv6.first()) {
            (Ok(seen), _) if seen.len() >= 2 => {
                let nat = classify(&seen, &ips).ok();
                (seen, nat)
            }
            // The world sees these as they are, and frps wants to know two.
            (_, Some(first)) => (vec![*first, *first], None),
            (Ok(_), None) => return Err(PrepareError::OneAddress { server: server() }),
            (Err(error), None) => {
                let server = server();
                return Err(PrepareError::Discover { error, server });
            }
        };
        Ok(Prepared {
            sockets: self,
            mapped,
            assisted,
            nat,
        })
    }
}

impl Prepared {
    /// For the log, in frp's words.
    pub(crate) fn shown(&self) -> String {
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
