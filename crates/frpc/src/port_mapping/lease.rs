//! What routers lend, in the three languages that they speak.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::num::NonZeroU16;
use std::time::Duration;

use crab_nat::{
    GatewayAddress, InternetProtocol, MappingFailure, PortMappingOptions, PortMappingType,
    TimeoutConfig, natpmp,
};
use igd_next::aio::Gateway;
use igd_next::aio::tokio::{Tokio, search_gateway};
use igd_next::{
    AddAnyPortError, AddPortError, GetExternalIpError, PortMappingProtocol, RemovePortError,
    SearchError, SearchOptions,
};

use super::router::Router;
use crate::limits::{PORT_MAPPING_AGAIN, PORT_MAPPING_LEASE, PORT_MAPPING_SEARCH};

/// What the router calls it, where it lists what it has lent.
const DESCRIPTION: &str = "frpc xtcp";

/// The port of SSDP (UPnP Device Architecture, 1.3.2).
const SSDP: u16 = 1900;

/// How a router is asked.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// PCP, or NAT-PMP where it says that it has no more.
    Pcp,
    /// UPnP.
    Upnp(Box<Gateway<Tokio>>),
}

/// A port that the router has lent.
#[derive(Debug)]
pub(super) enum Lease {
    Pcp {
        mapping: crab_nat::PortMapping,
        ip: Ipv4Addr,
    },
    Upnp {
        gateway: Box<Gateway<Tokio>>,
        external: SocketAddrV4,
        inside: SocketAddrV4,
    },
}

/// Why a router lends none.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeaseError {
    #[error("it speaks neither PCP nor NAT-PMP ({0}) nor UPnP ({1})")]
    Speechless(natpmp::Failure, SearchError),
    #[error("{0}")]
    Pcp(#[from] MappingFailure),
    #[error("NAT-PMP({0})")]
    NatPmp(#[from] natpmp::Failure),
    #[error("UPnP: {0}")]
    UpnpAddress(#[from] GetExternalIpError),
    #[error("UPnP: {0}")]
    UpnpAdd(#[from] AddAnyPortError),
    #[error("UPnP: {0}")]
    UpnpRenew(#[from] AddPortError),
    #[error("UPnP: {0}")]
    UpnpRemove(#[from] RemovePortError),
    #[error("it says that its address is {0}, which is none of IPv4")]
    NotIpv4(IpAddr),
    #[error("port 0 cannot be mapped")]
    NoPort,
}

impl Way {
    /// Finds out what the router speaks: PCP is asked for first, and answered at once where it is spoken.
    pub(super) async fn find(router: Router) -> Result<Self, LeaseError> {
        // A question that changes nothing: both versions answer it (RFC 6887, section 9).
        let address = async {
            let gateway = GatewayAddress::IpV4(router.ip);
            natpmp::external_address(gateway, Some(patience())).await
        };
        let search = search(router);
        tokio::pin!(address, search);
        tokio::select! {
            asked = &mut address => match asked {
                Err(error) if !answers(&error) => match search.await {
                    Ok(gateway) => Ok(Self::Upnp(gateway)),
                    Err(none) => Err(LeaseError::Speechless(error, none)),
                },
                _ => Ok(Self::Pcp),
            },
            found = &mut search => match found {
                Ok(gateway) => Ok(Self::Upnp(gateway)),
                Err(none) => match address.await {
                    Err(error) if !answers(&error) => Err(LeaseError::Speechless(error, none)),
                    _ => Ok(Self::Pcp),
                },
            },
        }
    }
}

/// Whether somebody is there who speaks it: one that has PCP alone says that it has another version.
fn answers(error: &natpmp::Failure) -> bool {
    !matches!(error, natpmp::Failure::Socket(_) | natpmp::Failure::Timeout)
}

fn patience() -> TimeoutConfig {
    TimeoutConfig {
        initial_timeout: PORT_MAPPING_AGAIN,
        max_retries: 2,
        max_retry_timeout: None,
    }
}

/// Only the router itself is believed: anybody in the network may answer. Where another was quicker, the
/// router is asked alone.
async fn search(router: Router) -> Result<Box<Gateway<Tokio>>, SearchError> {
    let found = search_at(router, None).await?;
    if found.addr.ip() == IpAddr::V4(router.ip) {
        return Ok(Box::new(found));
    }
    let alone = SocketAddr::from((router.ip, SSDP));
    let found = search_at(router, Some(alone)).await?;
    match found.addr.ip() == IpAddr::V4(router.ip) {
        true => Ok(Box::new(found)),
        false => Err(SearchError::InvalidResponse),
    }
}

async fn search_at(router: Router, to: Option<SocketAddr>) -> Result<Gateway<Tokio>, SearchError> {
    let mut options = SearchOptions::default();
    // The device that leads to the router, not whichever the system prefers for groups.
    options.bind_addr = (router.own, 0).into();
    options.timeout = Some(PORT_MAPPING_SEARCH);
    if let Some(to) = to {
        options.broadcast_address = to;
    }
    search_gateway(options).await
}

impl Lease {
    /// A port that leads to `inside`.
    pub(super) async fn of(
        way: &Way,
        router: Router,
        inside: SocketAddrV4,
    ) -> Result<Self, LeaseError> {
        match way {
            Way::Pcp => {
                let gateway = GatewayAddress::IpV4(router.ip);
                let port = NonZeroU16::new(inside.port()).ok_or(LeaseError::NoPort)?;
                let options = PortMappingOptions {
                    external_port: Some(port),
                    lifetime_seconds: Some(seconds(PORT_MAPPING_LEASE)),
                    timeout_config: Some(patience()),
                };
                let own = IpAddr::V4(router.own);
                let protocol = InternetProtocol::Udp;
                let mapping =
                    crab_nat::PortMapping::new(gateway, own, protocol, port, options).await?;
                let ip = match mapping.mapping_type() {
                    PortMappingType::Pcp { external_ip, .. } => external_ip,
                    PortMappingType::NatPmp => natpmp::external_address(gateway, Some(patience()))
                        .await?
                        .into(),
                };
                match ip {
                    IpAddr::V4(ip) => Ok(Self::Pcp { mapping, ip }),
                    IpAddr::V6(_) => Err(LeaseError::NotIpv4(ip)),
                }
            }
            Way::Upnp(gateway) => {
                let ip = match gateway.get_external_ip().await? {
                    IpAddr::V4(ip) => ip,
                    ip @ IpAddr::V6(_) => return Err(LeaseError::NotIpv4(ip)),
                };
                // One that lends for ever only is not asked to: what is left after a crash would stay open.
                let udp = PortMappingProtocol::UDP;
                let lease = seconds(PORT_MAPPING_LEASE);
                let port = gateway
                    .add_any_port(udp, inside.into(), lease, DESCRIPTION)
                    .await?;
                Ok(Self::Upnp {
                    gateway: gateway.clone(),
                    external: SocketAddrV4::new(ip, port),
                    inside,
                })
            }
        }
    }

    pub(super) fn external(&self) -> SocketAddrV4 {
        match self {
            Self::Pcp { mapping, ip } => SocketAddrV4::new(*ip, mapping.external_port().get()),
            Self::Upnp { external, .. } => *external,
        }
    }

    pub(super) fn lifetime(&self) -> Duration {
        match self {
            Self::Pcp { mapping, .. } => Duration::from_secs(mapping.lifetime().into()),
            Self::Upnp { .. } => PORT_MAPPING_LEASE,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Pcp { mapping, .. } => match mapping.mapping_type() {
                PortMappingType::Pcp { .. } => "PCP",
                PortMappingType::NatPmp => "NAT-PMP",
            },
            Self::Upnp { .. } => "UPnP",
        }
    }

    pub(super) async fn renew(&mut self) -> Result<(), LeaseError> {
        match self {
            Self::Pcp { mapping, ip } => {
                mapping.renew().await?;
                if let PortMappingType::Pcp { external_ip, .. } = mapping.mapping_type() {
                    match external_ip {
                        IpAddr::V4(now) => *ip = now,
                        IpAddr::V6(_) => return Err(LeaseError::NotIpv4(external_ip)),
                    }
                }
                Ok(())
            }
            Self::Upnp {
                gateway,
                external,
                inside,
            } => {
                let udp = PortMappingProtocol::UDP;
                let lease = seconds(PORT_MAPPING_LEASE);
                let port = external.port();
                Ok(gateway
                    .add_port(udp, port, (*inside).into(), lease, DESCRIPTION)
                    .await?)
            }
        }
    }

    pub(super) async fn give_back(self) -> Result<(), LeaseError> {
        match self {
            Self::Pcp { mapping, .. } => {
                Ok(mapping.try_drop().await.map_err(|(error, _)| error)?)
            }
            Self::Upnp {
                gateway, external, ..
            } => {
                let udp = PortMappingProtocol::UDP;
                Ok(gateway.remove_port(udp, external.port()).await?)
            }
        }
    }
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
