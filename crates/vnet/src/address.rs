//! The address of this machine in the virtual network, and the network.

use std::fmt;
use std::net::IpAddr;

/// An address and how many bits of it all machines of the network have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Of this machine.
    pub ip: IpAddr,
    /// Bits.
    pub prefix: u8,
}

impl Address {
    /// Whether `other` is in the same network.
    #[must_use]
    pub fn is_with(&self, other: IpAddr) -> bool {
        let differ = match (self.ip, other) {
            (IpAddr::V4(ip), IpAddr::V4(other)) => (ip.to_bits() ^ other.to_bits()).leading_zeros(),
            (IpAddr::V6(ip), IpAddr::V6(other)) => (ip.to_bits() ^ other.to_bits()).leading_zeros(),
            _ => return false,
        };
        differ >= self.prefix.into()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn machines_of_a_network_have_its_first_bits() {
        let with = |ip: &str, prefix, other: &str| {
            let ip = ip.parse().unwrap();
            Address { ip, prefix }.is_with(other.parse().unwrap())
        };
        assert!(with("100.86.0.1", 24, "100.86.0.255"));
        assert!(!with("100.86.0.1", 24, "100.86.1.1"));
        assert!(with("10.0.0.1", 0, "8.8.8.8") && with("10.0.0.1", 32, "10.0.0.1"));
        assert!(!with("10.0.0.1", 32, "10.0.0.2") && !with("10.0.0.1", 0, "fd00::1"));
        assert!(with("fd00::1", 64, "fd00::ffff") && !with("fd00::1", 64, "fd00:0:0:1::1"));
    }
}
