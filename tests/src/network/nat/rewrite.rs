//! Other addresses, ports and hops in a packet, with the checksums that follow from them.

use std::net::SocketAddrV4;

use super::super::packet::{TCP, UDP};

/// Which end of a packet gets another address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    From,
    To,
}

/// Puts `addr` there. The packet is one that `Packet::parse` takes; of what is neither TCP nor UDP only
/// the address changes.
pub(super) fn readdress(packet: &mut [u8], side: Side, addr: SocketAddrV4) {
    let (ip_at, port_at) = match side {
        Side::From => (12, 0),
        Side::To => (16, 2),
    };
    let header = usize::from(packet[0] & 15) * 4;
    let (sum_at, optional) = match packet[9] {
        TCP => (Some(header + 16), false),
        UDP => (Some(header + 6), true),
        _ => (None, false),
    };
    // A datagram without a sum stays without.
    let sum_at = sum_at.filter(|at| !(optional && packet[*at..*at + 2] == [0, 0]));
    let octets = addr.ip().octets();
    for (at, new) in [(ip_at, &octets[..2]), (ip_at + 2, &octets[2..])] {
        let old = replace(packet, at, new);
        adjust(packet, 10, old, new);
        if let Some(sum_at) = sum_at {
            adjust(packet, sum_at, old, new);
        }
    }
    if matches!(packet[9], TCP | UDP) {
        let new = addr.port().to_be_bytes();
        let old = replace(packet, header + port_at, &new);
        if let Some(sum_at) = sum_at {
            adjust(packet, sum_at, old, &new);
        }
    }
}

/// Takes so many hops off what the packet may still make. False: it goes no further.
pub(super) fn spend_hops(packet: &mut [u8], hops: u8) -> bool {
    if packet[8] <= hops {
        return false;
    }
    let new = [packet[8] - hops, packet[9]];
    let old = replace(packet, 8, &new);
    adjust(packet, 10, old, &new);
    true
}

fn replace(packet: &mut [u8], at: usize, new: &[u8]) -> [u8; 2] {
    let old = [packet[at], packet[at + 1]];
    packet[at..at + 2].copy_from_slice(new);
    old
}

/// RFC 1624: the sum at `at` follows a word that was `old` and is `new`.
fn adjust(packet: &mut [u8], at: usize, old: [u8; 2], new: &[u8]) {
    let word = |bytes: &[u8]| u32::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    let mut sum = (!word(&packet[at..]) & 0xffff) + (!word(&old) & 0xffff) + word(new);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::super::packet::{Packet, reset};
    use super::*;

    #[test]
    fn a_packet_with_other_addresses_is_what_it_would_have_been_with_them_from_the_start() {
        let [a, b, c, d]: [SocketAddrV4; 4] = [
            "192.168.1.2:7000",
            "203.0.113.9:1",
            "198.51.100.1:40000",
            "10.0.0.255:65535",
        ]
        .map(|addr| addr.parse().unwrap());
        let mut packet = reset(a, b, 77, 0xffff_fffe);
        readdress(&mut packet, Side::From, c);
        assert_eq!(packet, reset(c, b, 77, 0xffff_fffe));
        readdress(&mut packet, Side::To, d);
        assert_eq!(packet, reset(c, d, 77, 0xffff_fffe));
        assert!(spend_hops(&mut packet, 63));
        let sum: u32 = packet[..20]
            .chunks_exact(2)
            .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])))
            .sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
        assert!(!spend_hops(&mut packet, 1));
        assert_eq!(Packet::parse(&packet).unwrap().to, d);
    }
}
