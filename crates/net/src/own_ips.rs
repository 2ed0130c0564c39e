//! At which addresses may others reach this machine?
#![allow(
    unsafe_code,
    reason = "no crate here lists the addresses of interfaces"
)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses of a family that are told a peer (frp `pkg/nathole/nathole.go`).
const MAX_OF_FAMILY: usize = 10;

/// The addresses of this machine, at most ten of IPv4 and behind them as many of IPv6: none of the
/// loopback device, and none of one link alone.
pub fn own_ips() -> Vec<IpAddr> {
    let (mut v4, mut v6): (Vec<IpAddr>, Vec<IpAddr>) = of_interfaces()
        .into_iter()
        .filter(is_for_others)
        .partition(IpAddr::is_ipv4);
    v4.truncate(MAX_OF_FAMILY);
    v6.truncate(MAX_OF_FAMILY);
    v4.append(&mut v6);
    v4
}

/// Those of IPv4, which frp knows alone (frp `pkg/nathole/utils.go`: ListLocalIPsForNatHole).
pub fn own_ipv4s() -> Vec<IpAddr> {
    own_ips().into_iter().filter(IpAddr::is_ipv4).collect()
}

fn is_for_others(ip: &IpAddr) -> bool {
    let of_a_link = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !of_a_link && !ip.is_loopback() && !ip.is_unspecified()
}

/// In the system's order; none where it does not tell.
#[cfg(unix)]
fn of_interfaces() -> Vec<IpAddr> {
    let mut first = std::ptr::null_mut();
    // SAFETY: writes `first`, a list that is ours until it is freed below, or fails.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Vec::new();
    }
    let mut ips = Vec::new();
    let mut at: *const libc::ifaddrs = first;
    // SAFETY: the system's list, whose last `ifa_next` is null.
    while let Some(entry) = unsafe { at.as_ref() } {
        at = entry.ifa_next;
        // SAFETY: null, or an address that begins with its family.
        let Some(addr) = (unsafe { entry.ifa_addr.as_ref() }) else {
            continue;
        };
        match i32::from(addr.sa_family) {
            libc::AF_INET => {
                // SAFETY: that is what an address of this family is.
                let v4 = unsafe { entry.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned() };
                ips.push(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).into());
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let v6 = unsafe { entry.ifa_addr.cast::<libc::sockaddr_in6>().read_unaligned() };
                ips.push(Ipv6Addr::from(v6.sin6_addr.s6_addr).into());
            }
            _ => {}
        }
    }
    // SAFETY: what getifaddrs has given, once; nothing points there any more.
    unsafe { libc::freeifaddrs(first) };
    ips
}

#[cfg(not(unix))]
fn of_interfaces() -> Vec<IpAddr> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_those_of_the_interfaces() {
        let all = of_interfaces();
        assert!(all.contains(&Ipv4Addr::LOCALHOST.into()), "{all:?}");
        assert!(own_ips().iter().all(is_for_others));
        assert!(own_ipv4s().iter().all(IpAddr::is_ipv4));
    }
}
