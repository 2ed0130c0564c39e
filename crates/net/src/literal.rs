//! Hosts that are IP addresses, with the zone in the system's numbers.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use frp_proto::address::ScopedIp;

/// The address that `host` is, at `port`; `None`: it is a name, or its zone is no interface of this
/// machine. Any address may have a zone, as in Go.
pub fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    socket_addr(&host.parse().ok()?, port)
}

/// As [`literal`].
pub fn socket_addr(scoped: &ScopedIp, port: u16) -> Option<SocketAddr> {
    match (scoped.ip, scoped.zone.as_deref()) {
        (IpAddr::V6(ip), Some(zone)) => {
            let scope = zone.parse().ok().or_else(|| interface(zone))?;
            Some(SocketAddrV6::new(ip, port, 0, scope).into())
        }
        (ip, _) => Some(SocketAddr::new(ip, port)),
    }
}

/// The number of a network interface.
#[cfg(target_os = "linux")]
fn interface(name: &str) -> Option<u32> {
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0)).ok()?;
    rustix::net::netdevice::name_to_index(socket, name).ok()
}

/// Elsewhere the system's resolver is asked for the address as a whole.
#[cfg(not(target_os = "linux"))]
fn interface(_: &str) -> Option<u32> {
    None
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_an_interface_of_this_machine() {
        let lo = literal("[fe80::1%lo]", 22).unwrap();
        assert_eq!(lo, "[fe80::1%1]:22".parse().unwrap());
        assert_eq!(literal("fe80::1%7", 22), "[fe80::1%7]:22".parse().ok());
        assert_eq!(literal("::1%lo", 22).unwrap().ip().to_string(), "::1");
        assert_eq!(literal("fe80::1%no-such-device", 22), None);
        assert_eq!(literal("a.example", 22), None);
    }
}
