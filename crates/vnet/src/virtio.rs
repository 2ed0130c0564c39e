//! What does the system say of a packet, and we to it? The header of virtio in front of each packet of a device
//! (Linux `include/uapi/linux/virtio_net.h`), by which one read or write carries many packets of a flow as one
//! that is longer than any packet may be.

/// Bytes of the header.
pub(crate) const HEADER: usize = 10;

/// The transport's checksum is not there yet: only that of the pseudo header is.
const NEEDS_CHECKSUM: u8 = 1;

const TCP_V4: u8 = 1;
const TCP_V6: u8 = 4;
const UDP: u8 = 5;
/// The sender of the packets was told of congestion.
const ECN: u8 = 0x80;

/// The protocol numbers of IP.
pub(crate) const PROTOCOL_TCP: u8 = 6;
pub(crate) const PROTOCOL_UDP: u8 = 17;

/// Where TCP and UDP have their checksum.
pub(crate) const TCP_CHECKSUM: usize = 16;
pub(crate) const UDP_CHECKSUM: usize = 6;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// One packet, as it is.
    Whole,
    /// One packet whose checksum is to be completed: over all behind `start`, to stand at `start + offset`.
    Unsummed { start: usize, offset: usize },
    /// Many packets of a flow, each with so much of the payload.
    Many {
        protocol: u8,
        /// Where the header of the protocol begins.
        start: usize,
        payload: usize,
    },
}

/// What the system has put in front of a packet, and the packet. `None`: not as the system writes it.
pub(crate) fn read(bytes: &mut [u8]) -> Option<(Meaning, &mut [u8])> {
    let (header, packet) = bytes.split_first_chunk_mut::<HEADER>()?;
    let &mut [flags, kind, _, _, p0, p1, s0, s1, o0, o1] = header;
    let number = |a, b| usize::from(u16::from_ne_bytes([a, b]));
    let (payload, start, offset) = (number(p0, p1), number(s0, s1), number(o0, o1));
    let many = |protocol| Meaning::Many {
        protocol,
        start,
        payload,
    };
    let meaning = match kind & !ECN {
        0 if flags & NEEDS_CHECKSUM != 0 => Meaning::Unsummed { start, offset },
        0 => Meaning::Whole,
        TCP_V4 | TCP_V6 if payload > 0 => many(PROTOCOL_TCP),
        UDP if payload > 0 => many(PROTOCOL_UDP),
        _ => return None,
    };
    Some((meaning, packet))
}

/// In front of a packet as it is.
pub(crate) const WHOLE: [u8; HEADER] = [0; HEADER];

/// In front of many packets of a TCP flow: their headers are `start + tcp` bytes, and each has so much of the
/// payload.
pub(crate) fn many(is_v6: bool, start: u16, tcp: u16, payload: u16) -> [u8; HEADER] {
    let kind = if is_v6 { TCP_V6 } else { TCP_V4 };
    let [h0, h1] = (start + tcp).to_ne_bytes();
    let [p0, p1] = payload.to_ne_bytes();
    let [s0, s1] = start.to_ne_bytes();
    let [o0, o1] = (TCP_CHECKSUM as u16).to_ne_bytes();
    [NEEDS_CHECKSUM, kind, h0, h1, p0, p1, s0, s1, o0, o1]
}
