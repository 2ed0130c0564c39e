//! How are many packets given to the system at once? Packets of a TCP flow that follow each other become one write
//! to the device, as what [`split`](crate::split) makes many of.
//!
//! The system takes the checksum of such a write for granted, so only packets whose own is right are joined. What
//! cannot be joined goes alone and as it is, and the system judges it.

use crate::checksum::Sum;
use crate::packet::{IPV4_HEADER, IPV6_HEADER};
use crate::virtio::{self, HEADER, PROTOCOL_TCP, TCP_CHECKSUM};

/// Bytes of a write without the header of virtio.
const MOST: usize = 65_535;

const ACK: u8 = 0x10;
const PSH: u8 = 0x08;

/// Collects packets and writes them.
#[derive(Debug, Default)]
pub(crate) struct Join {
    /// The header of virtio and a packet, or many.
    bytes: Vec<u8>,
    open: Option<Open>,
}

/// A packet that others may follow.
#[derive(Debug)]
struct Open {
    segment: Segment,
    count: usize,
    /// The sequence number behind the last one.
    next: u32,
}

/// What a packet of TCP says that others may be joined to.
#[derive(Debug, Clone, Copy)]
struct Segment {
    is_v6: bool,
    /// Where TCP begins, and where its payload does.
    start: usize,
    head: usize,
    payload: usize,
    sequence: u32,
    pushes: bool,
}

impl Join {
    /// Takes a packet; what cannot be joined to it is written.
    pub(crate) fn add(&mut self, packet: &[u8], write: &mut impl FnMut(&[u8])) {
        let segment = Segment::of(packet);
        if let (Some(open), Some(segment)) = (&mut self.open, segment) {
            let held = self.bytes.get(HEADER..).unwrap_or_default();
            if open.takes(&segment, held, packet) {
                let payload = packet.get(segment.head..).unwrap_or_default();
                self.bytes.extend_from_slice(payload);
                open.count += 1;
                open.next = open.next.wrapping_add(segment.payload as u32);
                // A shorter one is the last, and so is one that is to be delivered at once.
                if segment.pushes || segment.payload < open.segment.payload {
                    open.segment.pushes |= segment.pushes;
                    self.flush(write);
                }
                return;
            }
        }
        self.flush(write);
        self.bytes.extend_from_slice(&virtio::WHOLE);
        self.bytes.extend_from_slice(packet);
        match segment {
            Some(segment) if !segment.pushes && segment.is_intact(packet) => {
                self.open = Some(Open {
                    segment,
                    count: 1,
                    next: segment.sequence.wrapping_add(segment.payload as u32),
                });
            }
            _ => self.flush(write),
        }
    }

    /// Writes what is left.
    pub(crate) fn flush(&mut self, write: &mut impl FnMut(&[u8])) {
        if let Some(open) = self.open.take()
            && open.count > 1
        {
            open.seal(&mut self.bytes);
        }
        if !self.bytes.is_empty() {
            write(&self.bytes);
            self.bytes.clear();
        }
    }
}

impl Open {
    /// Whether `packet` goes on where `held` ends.
    fn takes(&self, segment: &Segment, held: &[u8], packet: &[u8]) -> bool {
        let first = &self.segment;
        segment.is_v6 == first.is_v6
            && segment.start == first.start
            && segment.head == first.head
            && segment.sequence == self.next
            && segment.payload <= first.payload
            && held.len() + segment.payload <= MOST
            && same_but_for_lengths(segment, held, packet)
            && segment.is_intact(packet)
    }

    /// Makes the headers those of all.
    fn seal(&self, bytes: &mut [u8]) {
        let Segment {
            is_v6,
            start,
            head,
            payload,
            pushes,
            ..
        } = self.segment;
        let Some((virtio, packet)) = bytes.split_first_chunk_mut::<HEADER>() else {
            return;
        };
        *virtio = virtio::many(is_v6, start as u16, (head - start) as u16, payload as u16);
        let length = packet.len();
        let put = |packet: &mut [u8], at: usize, value: [u8; 2]| {
            if let Some(place) = packet.get_mut(at..at + 2) {
                place.copy_from_slice(&value);
            }
        };
        if is_v6 {
            put(packet, 4, ((length - IPV6_HEADER) as u16).to_be_bytes());
        } else {
            put(packet, 2, (length as u16).to_be_bytes());
            put(packet, 10, [0; 2]);
            let header = packet.get(..start).unwrap_or_default();
            let sum = Sum::default().add(header).complement();
            put(packet, 10, sum);
        }
        if pushes && let Some(flags) = packet.get_mut(start + 13) {
            *flags |= PSH;
        }
        let pseudo = pseudo_header(is_v6, packet, length - start);
        put(packet, start + TCP_CHECKSUM, pseudo.folded());
    }
}

impl Segment {
    /// Of a packet that might be joined: TCP without anything unusual, and with a payload.
    fn of(packet: &[u8]) -> Option<Self> {
        let is_v6 = match packet.first()? {
            0x45 => false,
            first if first >> 4 == 6 => true,
            _ => return None,
        };
        let start = if is_v6 {
            (*packet.get(6)? == PROTOCOL_TCP).then_some(IPV6_HEADER)?
        } else {
            // No part of a packet that was cut.
            let &[high, low] = packet.get(6..)?.first_chunk()?;
            let is_part = high & 0x3f != 0 || low != 0;
            (!is_part && *packet.get(9)? == PROTOCOL_TCP).then_some(IPV4_HEADER)?
        };
        let tcp = packet.get(start..)?;
        let length = usize::from(tcp.get(12)? >> 4) * 4;
        let flags = tcp.get(13)? & !PSH;
        let payload = tcp.len().checked_sub(length)?;
        if length < 20 || flags != ACK || payload == 0 {
            return None;
        }
        Some(Self {
            is_v6,
            start,
            head: start + length,
            payload,
            sequence: u32::from_be_bytes(*tcp.get(4..)?.first_chunk()?),
            pushes: tcp.get(13)? & PSH != 0,
        })
    }

    /// Whether its checksums are right.
    fn is_intact(&self, packet: &[u8]) -> bool {
        let (header, tcp) = packet.split_at_checked(self.start).unwrap_or_default();
        let header_is_right = self.is_v6 || Sum::default().add(header).is_right();
        header_is_right
            && pseudo_header(self.is_v6, packet, tcp.len())
                .add(tcp)
                .is_right()
    }
}

fn pseudo_header(is_v6: bool, packet: &[u8], length: usize) -> Sum {
    let addresses = packet.get(if is_v6 { 8..40 } else { 12..20 });
    Sum::default()
        .add(addresses.unwrap_or_default())
        .add_u16(PROTOCOL_TCP.into())
        .add_u16(length as u16)
}

/// Whether the headers say the same but for lengths, checksums, the sequence number and the number of the packet.
fn same_but_for_lengths(segment: &Segment, held: &[u8], packet: &[u8]) -> bool {
    let start = segment.start;
    let ip: &[_] = if segment.is_v6 {
        &[0..4, 6..40]
    } else {
        &[0..2, 6..10, 12..20]
    };
    let ports_and_acknowledged = [start..start + 4, start + 8..start + 13];
    let window_and_options = [start + 14..start + 16, start + 18..segment.head];
    ip.iter()
        .chain(&ports_and_acknowledged)
        .chain(&window_and_options)
        .all(|part| held.get(part.clone()) == packet.get(part.clone()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
