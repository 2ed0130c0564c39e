//! Which way worked on which network. For the life of the process: after a restart a race costs a
//! second or two, and a file could be stale, foreign or in the way.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::time::Instant;

/// What was found is looked for again when a session is lost after this time: the device that was
/// in the way may be gone, and a better way open.
const LOOK_AGAIN: Duration = Duration::from_secs(60 * 60);

/// So many networks are remembered; the oldest is forgotten first.
const NETWORKS: usize = 16;

/// What tells networks apart: the address that this machine has towards the rest of the world. Two
/// networks may give the same one; then the remembered way is tried first in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network(Option<IpAddr>);

#[derive(Debug, Default)]
pub(super) struct Memory(Vec<Found>);

#[derive(Debug)]
struct Found {
    network: Network,
    way: usize,
    at: Instant,
}

impl Memory {
    /// The way to begin with on `network`, if one was found there lately.
    pub(super) fn way(&self, network: Network, now: Instant) -> Option<usize> {
        let found = self.0.iter().find(|found| found.network == network)?;
        (now.duration_since(found.at) < LOOK_AGAIN).then_some(found.way)
    }

    /// `way` has just won over all that were to be tried before it.
    pub(super) fn remember(&mut self, network: Network, way: usize, now: Instant) {
        self.0.retain(|found| found.network != network);
        if self.0.len() >= NETWORKS {
            self.0.remove(0);
        }
        self.0.push(Found {
            network,
            way,
            at: now,
        });
    }
}

impl Network {
    /// The one that this machine is on now.
    pub(super) fn here() -> Self {
        // Addresses for documentation (RFC 5737, RFC 3849): they lead where the default route
        // does. Connecting a UDP socket sends nothing.
        let v4 = source_towards("0.0.0.0:0", "192.0.2.1:9");
        let v6 = || source_towards("[::]:0", "[2001:db8::1]:9").map(prefix);
        Self(v4.or_else(v6))
    }
}

fn source_towards(from: &str, to: &str) -> Option<IpAddr> {
    let socket = UdpSocket::bind(from).ok()?;
    socket.connect(to).ok()?;
    socket.local_addr().ok().as_ref().map(SocketAddr::ip)
}

/// The lower half of an IPv6 address changes from day to day (RFC 8981).
fn prefix(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn network(ip: &str) -> Network {
        Network(Some(ip.parse().unwrap()))
    }

    #[tokio::test(start_paused = true)]
    async fn each_network_has_its_way_and_for_an_hour() {
        let (office, home) = (network("10.1.2.3"), network("192.168.1.7"));
        let mut memory = Memory::default();
        let start = Instant::now();
        memory.remember(office, 2, start);
        memory.remember(home, 0, start);
        memory.remember(home, 1, start);
        assert_eq!(memory.way(office, start), Some(2));
        assert_eq!(memory.way(home, start), Some(1));
        assert_eq!(memory.way(Network(None), start), None);
        assert_eq!(memory.way(office, start + LOOK_AGAIN), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_network_is_forgotten() {
        let mut memory = Memory::default();
        let now = Instant::now();
        for i in 0..=NETWORKS {
            memory.remember(network(&format!("10.0.0.{i}")), i, now);
        }
        assert_eq!(memory.way(network("10.0.0.0"), now), None);
        assert_eq!(memory.way(network("10.0.0.1"), now), Some(1));
        assert_eq!(memory.0.len(), NETWORKS);
    }

    #[test]
    fn of_an_ipv6_address_the_network_counts() {
        let ip = |ip: &str| ip.parse::<IpAddr>().unwrap();
        assert_eq!(prefix(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
        assert_eq!(prefix(ip("10.1.2.3")), ip("10.1.2.3"));
    }
}
