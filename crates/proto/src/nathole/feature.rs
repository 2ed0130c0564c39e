//! Which kind of NAT is a peer behind (frp `pkg/nathole/classify.go`)? It shows in what servers at different
//! addresses see of one socket.

use std::net::{IpAddr, SocketAddr};

use crate::named;

named! {
    /// Whether peers can know the port at which the NAT takes their datagrams.
    pub enum NatType {
        /// Every destination sees the same address.
        Easy = "EasyNAT",
        /// Each destination sees another.
        Hard = "HardNAT",
    }
}

named! {
    /// What differs between destinations.
    pub enum Behavior {
        /// Nothing.
        NoChange = "BehaviorNoChange",
        /// The IP address.
        IpChanged = "BehaviorIPChanged",
        /// The port.
        PortChanged = "BehaviorPortChanged",
        /// Both.
        BothChanged = "BehaviorBothChanged",
    }
}

/// What is known of a NAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NatFeature {
    /// What differs between destinations.
    pub behavior: Behavior,
    /// The distance between the highest and the lowest port, where only the port differs; else 0.
    pub ports_difference: u16,
    /// The machine has an address that the world sees: there is no NAT.
    pub public_network: bool,
}

/// One address tells nothing about a NAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not enough addresses")]
pub struct NotEnoughAddresses;

/// Differences of ports up to this one can be guessed.
const MAX_REGULAR_DIFFERENCE: u16 = 5;

impl NatFeature {
    /// The kind of NAT.
    pub fn nat_type(&self) -> NatType {
        match self.behavior {
            Behavior::NoChange => NatType::Easy,
            Behavior::IpChanged | Behavior::PortChanged | Behavior::BothChanged => NatType::Hard,
        }
    }

    /// Whether the port for the next destination can be guessed.
    pub fn regular_ports_change(&self) -> bool {
        (1..=MAX_REGULAR_DIFFERENCE).contains(&self.ports_difference)
    }
}

/// What servers that saw the same socket at `addresses` say of the NAT of a machine with the addresses
/// `local_ips`.
///
/// # Errors
/// There are fewer than two addresses.
pub fn classify(
    addresses: &[SocketAddr],
    local_ips: &[IpAddr],
) -> Result<NatFeature, NotEnoughAddresses> {
    let [first, _, ..] = addresses else {
        return Err(NotEnoughAddresses);
    };
    let ports = || addresses.iter().map(SocketAddr::port);
    let ip_changed = addresses.iter().any(|addr| addr.ip() != first.ip());
    let port_changed = ports().any(|port| port != first.port());
    let behavior = match (ip_changed, port_changed) {
        (false, false) => Behavior::NoChange,
        (true, false) => Behavior::IpChanged,
        (false, true) => Behavior::PortChanged,
        (true, true) => Behavior::BothChanged,
    };
    let ports_difference = match behavior {
        Behavior::PortChanged => ports().max().unwrap_or(0) - ports().min().unwrap_or(0),
        _ => 0,
    };
    Ok(NatFeature {
        behavior,
        ports_difference,
        public_network: addresses.iter().any(|addr| local_ips.contains(&addr.ip())),
    })
}
