//! IPv4 packets as far as a device on the path cares: who with whom, what TCP says, and resets.

use std::net::{Ipv4Addr, SocketAddrV4};

/// The protocol numbers of IP.
pub const TCP: u8 = 6;
/// See [`TCP`].
pub const UDP: u8 = 17;
const ICMP: u8 = 1;

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const ACK: u8 = 0x10;

const IP_HEADER: usize = 20;
const TCP_HEADER: usize = 20;

/// One packet on its way.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// From where; the port is 0 unless it is TCP or UDP.
    pub from: SocketAddrV4,
    /// To where.
    pub to: SocketAddrV4,
    /// [`TCP`], [`UDP`] or another.
    pub protocol: u8,
    /// What TCP says in its header.
    pub tcp: Option<Tcp>,
    /// What it carries.
    pub payload: &'a [u8],
    /// All of it, headers included.
    pub whole: &'a [u8],
    /// It must not be cut into fragments.
    pub(super) stays_whole: bool,
}

/// What a device on the path reads of a TCP header.
#[derive(Clone, Copy, Debug)]
pub struct Tcp {
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
}

impl Tcp {
    pub(super) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether it resets one.
    #[must_use]
    pub fn resets(self) -> bool {
        self.has(RST)
    }

    /// Whether it opens a connection.
    pub(super) fn opens(self) -> bool {
        self.has(SYN) && !self.has(ACK)
    }
}

impl<'a> Packet<'a> {
    /// None: not IPv4, or cut short.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let ip = bytes.get(..IP_HEADER)?;
        if ip[0] >> 4 != 4 {
            return None;
        }
        let header = usize::from(ip[0] & 15) * 4;
        let whole = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
        let body = bytes.get(header..whole)?;
        let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
        let protocol = ip[9];
        // A later fragment has none; what stands there instead makes a flow of its own.
        let port = |at: usize| {
            body.get(at..at + 2)
                .map(|b| u16::from_be_bytes([b[0], b[1]]))
        };
        let (ports, tcp, payload) = match protocol {
            TCP => {
                let head = body.get(..TCP_HEADER)?;
                let word = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
                let tcp = Tcp {
                    seq: word(4),
                    ack: word(8),
                    flags: head[13],
                };
                let payload = body.get(usize::from(head[12] >> 4) * 4..)?;
                ((port(0)?, port(2)?), Some(tcp), payload)
            }
            UDP => ((port(0)?, port(2)?), None, body.get(8..)?),
            _ => ((0, 0), None, body),
        };
        Some(Self {
            from: SocketAddrV4::new(address(12), ports.0),
            to: SocketAddrV4::new(address(16), ports.1),
            protocol,
            tcp,
            payload,
            whole: &bytes[..whole],
            stays_whole: ip[6] & 0x40 != 0,
        })
    }

    /// Whether it is one of several that were one.
    pub(super) fn is_fragment(&self) -> bool {
        u16::from_be_bytes([self.whole[6], self.whole[7]]) & 0x3fff != 0
    }

    /// The sequence number behind a TCP packet.
    pub(super) fn end(&self, tcp: Tcp) -> u32 {
        let marks = u32::from(tcp.has(SYN)) + u32::from(tcp.has(FIN));
        tcp.seq
            .wrapping_add(self.payload.len() as u32)
            .wrapping_add(marks)
    }
}

/// A packet that resets a connection: `from` says so to `to`, who expects `seq` next and has sent
/// all before `ack`.
pub(super) fn reset(from: SocketAddrV4, to: SocketAddrV4, seq: u32, ack: u32) -> Vec<u8> {
    let mut packet = ip_packet(TCP, *from.ip(), *to.ip(), TCP_HEADER);
    let (ip, tcp) = packet.split_at_mut(IP_HEADER);
    tcp[..2].copy_from_slice(&from.port().to_be_bytes());
    tcp[2..4].copy_from_slice(&to.port().to_be_bytes());
    tcp[4..8].copy_from_slice(&seq.to_be_bytes());
    tcp[8..12].copy_from_slice(&ack.to_be_bytes());
    tcp[12] = (TCP_HEADER as u8 / 4) << 4;
    tcp[13] = RST | ACK;
    let ends: u32 = ip[12..20].chunks_exact(2).map(word).sum();
    let sum = checksum(ends + u32::from(TCP) + TCP_HEADER as u32, tcp);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// A packet that tells the sender of `packet` that only `mtu` bytes pass (RFC 1191).
pub(super) fn too_long(packet: &Packet<'_>, mtu: u16) -> Vec<u8> {
    // The header that came, and the ports behind it.
    let quoted = &packet.whole[..IP_HEADER + 8];
    let (from, to) = (*packet.to.ip(), *packet.from.ip());
    let mut answer = ip_packet(ICMP, from, to, 8 + quoted.len());
    let icmp = &mut answer[IP_HEADER..];
    icmp[..2].copy_from_slice(&[3, 4]);
    icmp[6..8].copy_from_slice(&mtu.to_be_bytes());
    icmp[8..].copy_from_slice(quoted);
    let sum = checksum(0, icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    answer
}

/// A header, and so many zeros.
fn ip_packet(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, body: usize) -> Vec<u8> {
    let mut packet = vec![0; IP_HEADER + body];
    let len = packet.len() as u16;
    let ip = &mut packet[..IP_HEADER];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&len.to_be_bytes());
    ip[8] = 64; // Hops it may make.
    ip[9] = protocol;
    ip[12..16].copy_from_slice(&from.octets());
    ip[16..20].copy_from_slice(&to.octets());
    let sum = checksum(0, ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn word(pair: &[u8]) -> u32 {
    u32::from(u16::from_be_bytes([pair[0], pair[1]]))
}

/// RFC 1071, over an even number of bytes and what was summed before.
fn checksum(before: u32, bytes: &[u8]) -> u16 {
    let mut sum = before + bytes.chunks_exact(2).map(word).sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_reads_back_and_its_checksums_are_right() {
        let from = "10.1.2.3:7000".parse().unwrap();
        let to = "10.3.2.1:40000".parse().unwrap();
        let bytes = reset(from, to, 0xfedc_ba98, 7);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!((packet.from, packet.to), (from, to));
        let tcp = packet.tcp.unwrap();
        assert_eq!((tcp.seq, tcp.ack, tcp.flags), (0xfedc_ba98, 7, RST | ACK));
        // Sums that include a right checksum come to zero.
        assert_eq!(checksum(0, &bytes[..IP_HEADER]), 0);
        let ends: u32 = bytes[12..20].chunks_exact(2).map(word).sum();
        assert_eq!(checksum(ends + 6 + 20, &bytes[IP_HEADER..]), 0);
    }

    #[test]
    fn what_is_cut_short_is_no_packet() {
        let from = "10.1.2.3:7000".parse().unwrap();
        let bytes = reset(from, from, 1, 2);
        for n in 0..bytes.len() {
            assert!(Packet::parse(&bytes[..n]).is_none(), "{n}");
        }
    }
}
