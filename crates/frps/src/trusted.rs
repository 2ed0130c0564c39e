//! Which proxies in front of us are believed when they say from whom a connection is?

use std::net::IpAddr;

use frp_config::PortRange;
use frp_proto::network::Network;

/// `acceptProxyProtocol`, and at which ports.
#[derive(Debug, Default)]
pub(crate) struct Trusted {
    networks: Vec<Network>,
    /// Where; empty for all ports.
    ports: Vec<PortRange>,
}

impl Trusted {
    pub(crate) fn new(networks: Vec<Network>, ports: Vec<PortRange>) -> Self {
        Self { networks, ports }
    }

    /// Whether `peer` is such a proxy.
    pub(crate) fn is_proxy(&self, peer: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(peer))
    }

    /// Whether proxies come to `port` of ours.
    pub(crate) fn is_port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.iter().any(|range| range.contains(port))
    }
}
