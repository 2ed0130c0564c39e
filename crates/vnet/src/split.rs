//! Which packets did the system send? What one read of the device gave, as packets for the wire, each with its
//! headers and its checksums.

use crate::checksum::Sum;
use crate::packet::{IPV4_HEADER, IPV6_HEADER};
use crate::virtio::{self, Meaning, PROTOCOL_TCP, PROTOCOL_UDP, TCP_CHECKSUM, UDP_CHECKSUM};

/// Flags of TCP that only the last of many packets has.
const FIN_PSH: u8 = 0x01 | 0x08;
/// A flag of TCP that only the first has.
const CWR: u8 = 0x80;

/// Not as the system writes it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// Gives each packet to `each`, as its headers and what follows.
pub(crate) fn split(
    meaning: Meaning,
    packet: &mut [u8],
    mut each: impl FnMut(&[u8], &[u8]),
) -> Result<(), Unreadable> {
    match meaning {
        Meaning::Whole => each(packet, &[]),
        Meaning::Unsummed { start, offset } => {
            complete(packet, start, offset).ok_or(Unreadable)?;
            each(packet, &[]);
        }
        Meaning::Many {
            protocol,
            start,
            payload,
        } => {
            let mut many = Many::new(packet, protocol, start).ok_or(Unreadable)?;
            let count = many.payload.len().div_ceil(payload);
            for (nth, part) in many.payload.chunks(payload).enumerate() {
                many.head
                    .become_of(nth, nth + 1 == count, nth * payload, part);
                each(many.head.bytes, part);
            }
        }
    }
    Ok(())
}

/// Puts the checksum where that of the pseudo header stands.
fn complete(packet: &mut [u8], start: usize, offset: usize) -> Option<()> {
    let summed = packet.get_mut(start..)?;
    let sum = Sum::default().add(summed).complement();
    let place = summed.get_mut(offset..)?.first_chunk_mut::<2>()?;
    // To UDP 0 means that there is none.
    *place = if sum == [0; 2] { [0xff; 2] } else { sum };
    Some(())
}

struct Many<'a> {
    head: Head<'a>,
    payload: &'a [u8],
}

/// The headers, which become those of one packet after the other.
struct Head<'a> {
    bytes: &'a mut [u8],
    is_v6: bool,
    protocol: u8,
    start: usize,
    /// As they came: of IPv4, and of TCP.
    id: u16,
    sequence: u32,
    flags: u8,
    /// Over what is the same in all packets of the pseudo header.
    addresses: Sum,
}

impl<'a> Many<'a> {
    fn new(packet: &'a mut [u8], protocol: u8, start: usize) -> Option<Self> {
        let is_v6 = packet.first()? >> 4 == 6;
        let least = if is_v6 { IPV6_HEADER } else { IPV4_HEADER };
        if start < least {
            return None;
        }
        let length = match protocol {
            PROTOCOL_TCP => usize::from(packet.get(start + 12)? >> 4) * 4,
            _ => 8,
        };
        if protocol == PROTOCOL_TCP && length < 20 {
            return None;
        }
        let (bytes, payload) = packet.split_at_mut_checked(start + length)?;
        let sequence = bytes.get(start + 4..)?.first_chunk::<4>()?;
        let head = Head {
            id: u16::from_be_bytes(*bytes.get(4..)?.first_chunk::<2>()?),
            sequence: u32::from_be_bytes(*sequence),
            flags: bytes.get(start + 13).copied().unwrap_or_default(),
            addresses: Sum::default().add(bytes.get(if is_v6 { 8..40 } else { 12..20 })?),
            bytes,
            is_v6,
            protocol,
            start,
        };
        Some(Self { head, payload })
    }
}

impl Head<'_> {
    /// Those of the `nth` packet, whose `part` of the payload begins at `offset`.
    fn become_of(&mut self, nth: usize, is_last: bool, offset: usize, part: &[u8]) {
        let transport = self.bytes.len() - self.start + part.len();
        let all = as_u16(self.start + transport);
        if self.is_v6 {
            let payload = as_u16(self.start + transport - IPV6_HEADER);
            self.put(4, &payload.to_be_bytes());
        } else {
            self.put(2, &all.to_be_bytes());
            let id = self.id.wrapping_add(as_u16(nth));
            self.put(4, &id.to_be_bytes());
            self.put(10, &[0; 2]);
            let header = self.bytes.get(..self.start).unwrap_or_default();
            let sum = Sum::default().add(header).complement();
            self.put(10, &sum);
        }
        let checksum = match self.protocol {
            PROTOCOL_TCP => {
                let sequence = self.sequence.wrapping_add(offset as u32);
                self.put(self.start + 4, &sequence.to_be_bytes());
                let mut flags = self.flags;
                if !is_last {
                    flags &= !FIN_PSH;
                }
                if nth > 0 {
                    flags &= !CWR;
                }
                self.put(self.start + 13, &[flags]);
                TCP_CHECKSUM
            }
            _ => {
                self.put(self.start + 4, &as_u16(transport).to_be_bytes());
                UDP_CHECKSUM
            }
        };
        self.put(self.start + checksum, &[0; 2]);
        let header = self.bytes.get(self.start..).unwrap_or_default();
        // Only the part may have an odd length.
        let sum = self.addresses.add_u16(self.protocol.into());
        let sum = sum.add_u16(as_u16(transport)).add(header).add(part);
        let sum = match sum.complement() {
            [0, 0] if self.protocol == PROTOCOL_UDP => [0xff; 2],
            sum => sum,
        };
        self.put(self.start + checksum, &sum);
    }

    fn put(&mut self, at: usize, value: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    }
}

fn as_u16(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// What `bytes`, with a header of virtio, are as packets.
pub(crate) fn packets(bytes: &mut [u8]) -> Result<Vec<Vec<u8>>, Unreadable> {
    let (meaning, packet) = virtio::read(bytes).ok_or(Unreadable)?;
    let mut packets = Vec::new();
    split(meaning, packet, |head, part| {
        packets.push([head, part].concat());
    })?;
    Ok(packets)
}
