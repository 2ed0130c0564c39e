//! Who sends a packet, and to whom? The headers of IPv4 (RFC 791) and IPv6 (RFC 8200), as far as that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of the shortest header of IPv4.
pub(crate) const IPV4_HEADER: usize = 20;
/// Bytes of the header of IPv6.
pub(crate) const IPV6_HEADER: usize = 40;

/// A whole packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Who sends it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// All of it, and nothing behind it.
    pub bytes: &'a [u8],
}

/// Why bytes are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Neither IPv4 nor IPv6.
    #[error("neither IPv4 nor IPv6")]
    Version,
    /// The header has not all come, or is shorter than a header.
    #[error("its header is cut short")]
    Header,
    /// The packet is longer than what came.
    #[error("it is cut short")]
    Length,
}

impl<'a> Packet<'a> {
    /// Looks at the header.
    ///
    /// # Errors
    /// It is none, or the packet is longer than the bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        match bytes.first().map(|first| first >> 4) {
            Some(4) => Self::parse_v4(bytes),
            Some(6) => Self::parse_v6(bytes),
            _ => Err(Malformed::Version),
        }
    }

    fn parse_v4(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let header: &[u8; IPV4_HEADER] = bytes.first_chunk().ok_or(Malformed::Header)?;
        let &[
            first,
            _,
            high,
            low,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ] = header;
        let header_length = usize::from(first & 15) * 4;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if header_length < IPV4_HEADER || length < header_length {
            return Err(Malformed::Header);
        }
        Ok(Self {
            source: Ipv4Addr::new(s0, s1, s2, s3).into(),
            destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
            bytes: bytes.get(..length).ok_or(Malformed::Length)?,
        })
    }

    fn parse_v6(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let header: &[u8; IPV6_HEADER] = bytes.first_chunk().ok_or(Malformed::Header)?;
        let address = |at: usize| -> Option<Ipv6Addr> {
            Some(Ipv6Addr::from(*header.get(at..)?.first_chunk::<16>()?))
        };
        let &[_, _, _, _, high, low, ..] = header;
        let length = IPV6_HEADER + usize::from(u16::from_be_bytes([high, low]));
        Ok(Self {
            source: address(8).ok_or(Malformed::Header)?.into(),
            destination: address(24).ok_or(Malformed::Header)?.into(),
            bytes: bytes.get(..length).ok_or(Malformed::Length)?,
        })
    }
}

/// Whether packets go from and to this address between machines: it is of one machine, and not of the own link
/// or the machine itself.
pub(crate) fn is_routable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            let [first, ..] = ip.octets();
            !(first == 0
                || first >= 240
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast())
        }
        IpAddr::V6(ip) => {
            let mapped = ip.to_ipv4_mapped().is_some();
            !(mapped
                || ip.is_unspecified()
                || ip.is_loopback()
                || ip.is_multicast()
                || ip.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v4() -> Vec<u8> {
        let mut packet = vec![
            0x45, 0, 0, 24, 0, 0, 0x40, 0, 64, 17, 0, 0, 100, 86, 0, 1, 100, 86, 0, 2,
        ];
        packet.extend([1, 2, 3, 4]);
        packet
    }

    fn v6() -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 2, 17, 64];
        for end in ["fd00::1", "fd00::2"] {
            packet.extend(end.parse::<Ipv6Addr>().unwrap().octets());
        }
        packet.extend([1, 2]);
        packet
    }

    #[test]
    fn both_versions_say_who_and_to_whom() {
        let (four, six) = (v4(), v6());
        let packet = Packet::parse(&four).unwrap();
        assert_eq!(packet.source.to_string(), "100.86.0.1");
        assert_eq!(packet.destination.to_string(), "100.86.0.2");
        assert_eq!(packet.bytes, four);
        let packet = Packet::parse(&six).unwrap();
        assert_eq!(packet.source.to_string(), "fd00::1");
        assert_eq!(packet.destination.to_string(), "fd00::2");
        assert_eq!(packet.bytes, six);
    }

    #[test]
    fn what_is_cut_short_is_no_packet_and_what_follows_is_cut_off() {
        for whole in [v4(), v6()] {
            for n in 0..whole.len() {
                assert!(Packet::parse(&whole[..n]).is_err(), "{n}");
            }
            let mut longer = whole.clone();
            longer.extend([0; 10]);
            assert_eq!(Packet::parse(&longer).unwrap().bytes, whole);
        }
        let mut short_header = v4();
        short_header[0] = 0x44;
        assert_eq!(Packet::parse(&short_header), Err(Malformed::Header));
        let mut shorter_than_header = v4();
        shorter_than_header[3] = 19;
        assert_eq!(Packet::parse(&shorter_than_header), Err(Malformed::Header));
        assert_eq!(Packet::parse(&[0x50; 60]), Err(Malformed::Version));
    }

    #[test]
    fn addresses_that_lead_nowhere() {
        for address in [
            "0.0.0.0",
            "127.0.0.1",
            "169.254.1.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::",
            "::1",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(!is_routable(address.parse().unwrap()), "{address}");
        }
        for address in [
            "100.86.0.1",
            "10.0.0.255",
            "8.8.8.8",
            "fd00::1",
            "2001:db8::1",
        ] {
            assert!(is_routable(address.parse().unwrap()), "{address}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(first: u8, mut bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(byte) = bytes.first_mut() {
                *byte = first;
            }
            if let Ok(packet) = Packet::parse(&bytes) {
                prop_assert!(bytes.starts_with(packet.bytes) && packet.bytes.len() >= IPV4_HEADER);
            }
        }
    }
}
