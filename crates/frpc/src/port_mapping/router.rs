//! Which router does this machine send to whatever is not near?

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

/// A router, and the address at which it knows this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Router {
    pub(super) ip: Ipv4Addr,
    pub(super) own: Ipv4Addr,
}

/// Why none was found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoRouter {
    #[error("this machine has no default route by IPv4")]
    NoRoute,
    #[error("/proc/net/route: {0}")]
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "it is Linux that has the file")
    )]
    Unreadable(io::Error),
    #[error("the router {0} cannot be reached: {1}")]
    Unreachable(Ipv4Addr, io::Error),
    #[error("the router cannot be found on this system, only on Linux")]
    #[cfg_attr(target_os = "linux", expect(dead_code, reason = "it is found here"))]
    OtherSystem,
}

impl Router {
    /// The one of the default route.
    pub(super) fn find() -> Result<Self, NoRouter> {
        let ip = default_route()?;
        let own = own_towards(ip).map_err(|e| NoRouter::Unreachable(ip, e))?;
        Ok(Self { ip, own })
    }
}

impl fmt::Display for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip.fmt(f)
    }
}

#[cfg(target_os = "linux")]
fn default_route() -> Result<Ipv4Addr, NoRouter> {
    let table = std::fs::read_to_string("/proc/net/route").map_err(NoRouter::Unreadable)?;
    default_of(&table).ok_or(NoRouter::NoRoute)
}

#[cfg(not(target_os = "linux"))]
fn default_route() -> Result<Ipv4Addr, NoRouter> {
    Err(NoRouter::OtherSystem)
}

/// The gateway of the default route that counts, the one with the lowest metric (proc(5), net/route: a line of
/// headings, addresses as hexadecimal words in the order of the machine).
pub(crate) fn default_of(table: &str) -> Option<Ipv4Addr> {
    /// `RTF_UP | RTF_GATEWAY` of `linux/route.h`.
    const UP_BY_GATEWAY: u32 = 0x3;
    let word = |text: &str| u32::from_str_radix(text, 16).ok();
    let routes = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, target, gateway, flags, _, _, metric, mask, ..] = fields[..] else {
            return None;
        };
        let is_default = word(target)? == 0 && word(mask)? == 0;
        let by_gateway = word(flags)? & UP_BY_GATEWAY == UP_BY_GATEWAY;
        let gateway = Ipv4Addr::from(word(gateway)?.to_ne_bytes());
        (is_default && by_gateway).then_some((metric.parse::<u32>().ok()?, gateway))
    });
    routes
        .min_by_key(|(metric, _)| *metric)
        .map(|(_, gateway)| gateway)
}

/// The address by which the system speaks to `ip`. No packet is sent.
fn own_towards(ip: Ipv4Addr) -> io::Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((ip, crab_nat::GATEWAY_PORT))?;
    match socket.local_addr()? {
        SocketAddr::V4(own) => Ok(*own.ip()),
        SocketAddr::V6(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADINGS: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_default_route_with_the_lowest_metric_counts() {
        let table = format!(
            "{HEADINGS}\
             wlan0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
             eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
             eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
             tun0\t00000000\t00000000\t0001\t0\t0\t1\t00000000\t0\t0\t0\n"
        );
        assert_eq!(default_of(&table), Some(Ipv4Addr::new(192, 168, 1, 1)));
    }

    #[test]
    fn a_table_without_one_has_none() {
        assert_eq!(default_of(""), None);
        assert_eq!(default_of(HEADINGS), None);
        assert_eq!(default_of("x\nlo\tzz\t\n\u{1F600}\n"), None);
    }
}
