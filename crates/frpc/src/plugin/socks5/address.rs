//! Addresses as bytes (RFC 1928, section 5).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use frp_relay::layers::Carried;

use super::wire::{SocksError, bytes, some_bytes};

const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: Host,
    pub(crate) port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Ip(IpAddr),
    Name(String),
}

/// How the types of addresses are numbered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Numbering {
    /// 1, 3, 4.
    Socks,
    /// 0, 2, 1: sing-box's packets.
    Sing,
}

impl Address {
    pub(super) async fn read(user: &mut Carried) -> Result<Self, SocksError> {
        let [kind] = bytes(user).await?;
        let host = match kind {
            IPV4 => Host::Ip(Ipv4Addr::from(bytes::<4>(user).await?).into()),
            IPV6 => Host::Ip(Ipv6Addr::from(bytes::<16>(user).await?).into()),
            NAME => {
                let [len] = bytes(user).await?;
                let name = some_bytes(user, len).await?;
                let port = u16::from_be_bytes(bytes(user).await?);
                let host = Host::name(&name).ok_or(SocksError::Name)?;
                return Ok(Self { host, port });
            }
            other => return Err(SocksError::AddressType(other)),
        };
        let port = u16::from_be_bytes(bytes(user).await?);
        Ok(Self { host, port })
    }

    /// The address at the start of `bytes`, and what is behind it. `Ok(None)`: there is more of it
    /// to come.
    pub(crate) fn parse(
        bytes: &[u8],
        numbering: Numbering,
    ) -> Result<Option<(Self, &[u8])>, SocksError> {
        let Some((kind, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let kind = numbering.kind(*kind)?;
        let host_and_rest = match kind {
            IPV4 => rest
                .split_first_chunk::<4>()
                .map(|(ip, rest)| (Some(Host::Ip(Ipv4Addr::from(*ip).into())), rest)),
            IPV6 => rest
                .split_first_chunk::<16>()
                .map(|(ip, rest)| (Some(Host::Ip(Ipv6Addr::from(*ip).into())), rest)),
            _ => rest.split_first().and_then(|(len, rest)| {
                let (name, rest) = rest.split_at_checked(usize::from(*len))?;
                Some((Host::name(name), rest))
            }),
        };
        let Some((host, rest)) = host_and_rest else {
            return Ok(None);
        };
        let Some((port, rest)) = rest.split_first_chunk() else {
            return Ok(None);
        };
        let host = host.ok_or(SocksError::Name)?;
        let port = u16::from_be_bytes(*port);
        Ok(Some((Self { host, port }, rest)))
    }

    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        self.write_as(Numbering::Socks, into);
    }

    pub(crate) fn write_as(&self, numbering: Numbering, into: &mut Vec<u8>) {
        match &self.host {
            Host::Ip(IpAddr::V4(ip)) => {
                into.push(numbering.number(IPV4));
                into.extend(ip.octets());
            }
            Host::Ip(IpAddr::V6(ip)) => {
                into.push(numbering.number(IPV6));
                into.extend(ip.octets());
            }
            Host::Name(name) => {
                into.push(numbering.number(NAME));
                // Names come from a byte's length.
                into.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
                into.extend(name.bytes().take(usize::from(u8::MAX)));
            }
        }
        into.extend(self.port.to_be_bytes());
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        Self {
            host: Host::Ip(addr.ip().to_canonical()),
            port: addr.port(),
        }
    }
}

impl Host {
    /// Some users write addresses as names.
    fn name(name: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        if let Ok(ip) = name.parse() {
            return Some(Self::Ip(ip));
        }
        let plain = !name.is_empty() && !name.chars().any(|c| c.is_control() || c == ' ');
        plain.then(|| Self::Name(name.to_owned()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Numbering {
    fn kind(self, number: u8) -> Result<u8, SocksError> {
        match (self, number) {
            (Self::Socks, IPV4 | NAME | IPV6) => Ok(number),
            (Self::Sing, 0) => Ok(IPV4),
            (Self::Sing, 1) => Ok(IPV6),
            (Self::Sing, 2) => Ok(NAME),
            (_, other) => Err(SocksError::AddressType(other)),
        }
    }

    fn number(self, kind: u8) -> u8 {
        match (self, kind) {
            (Self::Socks, kind) => kind,
            (Self::Sing, IPV4) => 0,
            (Self::Sing, IPV6) => 1,
            (Self::Sing, _) => 2,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        let ip = |text: &str| Host::Ip(text.parse().unwrap());
        for (bytes, host) in [
            (&b"\x01\x7f\0\0\x01\0\x50"[..], ip("127.0.0.1")),
            (b"\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x50", ip("::1")),
            (b"\x03\x04host\0\x50", Host::Name("host".to_owned())),
        ] {
            let address = Address { host, port: 80 };
            let more = [bytes, b"rest"].concat();
            let (parsed, rest) = Address::parse(&more, Numbering::Socks).unwrap().unwrap();
            assert_eq!((&parsed, rest), (&address, &b"rest"[..]));
            let mut written = Vec::new();
            address.write(&mut written);
            assert_eq!(written, bytes);
            for cut in 0..bytes.len() {
                let parsed = Address::parse(&bytes[..cut], Numbering::Socks);
                assert!(parsed.unwrap().is_none(), "{cut} bytes of {bytes:?}");
            }
            let mut sing = Vec::new();
            address.write_as(Numbering::Sing, &mut sing);
            let (parsed, _) = Address::parse(&sing, Numbering::Sing).unwrap().unwrap();
            assert_eq!(parsed, address);
        }
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for bytes in [
            &b"\x03\0\0\x50"[..],
            b"\x03\x01\xff\0\x50",
            b"\x03\x03a\0b\0\x50",
        ] {
            assert!(
                Address::parse(bytes, Numbering::Socks).is_err(),
                "{bytes:?}"
            );
        }
        let (parsed, _) = Address::parse(b"\x03\x03::1\0\x50", Numbering::Socks)
            .unwrap()
            .unwrap();
        assert_eq!(parsed.host, Host::Ip("::1".parse().unwrap()));
        assert!(Address::parse(b"\x02", Numbering::Socks).is_err());
    }
}
