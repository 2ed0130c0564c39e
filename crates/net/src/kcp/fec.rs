//! kcp-go's forward error correction on the wire: a header in front of each KCP packet, and three
//! parity packets after each ten.
//!
//! ```text
//! u32 number · u16 kind (f1 data, f2 parity) · data: u16 size of itself and the packet · packet
//! ```
//!
//! Little-endian. Numbers run over data and parity. Parity covers what follows the kind, with
//! zeros up to the longest packet of its group. Source: xtaci/kcp-go v5.6.13 `fec.go`.

use super::params::DATAGRAM_MAX;
use super::reed_solomon::{self as code, DATA, PARITY, SHARD, Shard};

/// Number and kind.
const HEADER: usize = 6;
/// What a data packet has in front of its KCP packet, bytes.
pub(super) const DATA_HEADER: usize = HEADER + 2;

const KIND_DATA: u16 = 0x00f1;
const KIND_PARITY: u16 = 0x00f2;

/// Packets of a group.
const GROUP: u32 = (DATA + PARITY) as u32;
/// Numbers start again from zero here, so that groups stay whole.
const NUMBERS: u32 = u32::MAX / GROUP * GROUP;

/// Packets that a decoder keeps, some five groups: reordering within them does no harm.
const KEPT: usize = 64;

const _: () = assert!(DATAGRAM_MAX - HEADER <= SHARD);

/// What a datagram is, by its fifth and sixth byte: there a bare KCP packet has a command from 81
/// to 84.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A KCP packet without this header.
    Bare(&'a [u8]),
    /// A KCP packet in a group.
    Data {
        /// Its number.
        number: u32,
        /// The KCP packet.
        packet: &'a [u8],
        /// What parity covers.
        shard: &'a [u8],
    },
    /// Parity of a group.
    Parity {
        /// Its number.
        number: u32,
        /// Its content.
        shard: &'a [u8],
    },
}

/// Takes a datagram apart; `None`: it is too short or too long for what it says to be. The size of
/// a data packet is believed only where the packet was restored, as in kcp-go.
pub fn parse(datagram: &[u8]) -> Option<Packet<'_>> {
    if datagram.len() > DATAGRAM_MAX {
        return None;
    }
    let (header, shard) = datagram.split_first_chunk::<HEADER>()?;
    let [a, b, c, d, e, f] = *header;
    let number = u32::from_le_bytes([a, b, c, d]);
    match u16::from_le_bytes([e, f]) {
        KIND_DATA => Some(Packet::Data {
            number,
            packet: shard.get(2..)?,
            shard,
        }),
        KIND_PARITY => Some(Packet::Parity { number, shard }),
        _ => Some(Packet::Bare(datagram)),
    }
}

/// Puts the header in front of packets, and makes parity.
#[derive(Debug, Default)]
pub struct Encoder {
    next: u32,
    group: Option<Box<Group>>,
}

#[derive(Debug)]
struct Group {
    data: [Shard; DATA],
    lens: [usize; DATA],
    /// The first packets were let go of: this group goes without parity.
    partial: bool,
    count: usize,
}

impl Encoder {
    /// `out` ends with [`DATA_HEADER`] bytes of room and a KCP packet, from `start` on. Fills in the
    /// header. The end of each datagram, this one's and that of parity that becomes due and is
    /// appended, goes to `end`.
    pub(super) fn seal(&mut self, out: &mut Vec<u8>, start: usize, mut end: impl FnMut(usize)) {
        let shard = out.len() - start - HEADER;
        let number = self.mark(out, start);
        end(out.len());

        let group = self.group.get_or_insert_with(|| {
            Box::new(Group {
                data: [[0; SHARD]; DATA],
                lens: [0; DATA],
                partial: false,
                count: 0,
            })
        });
        // After memory was given back, `count` is where the number says.
        let place = (number % GROUP) as usize;
        group.partial |= place != group.count;
        group.count = place + 1;
        let len = shard.min(SHARD);
        group.data[place][..len].copy_from_slice(&out[start + HEADER..start + HEADER + len]);
        group.lens[place] = len;
        if group.count == DATA {
            self.seal_group(out, end);
        }
    }

    /// The same for a packet that no parity is made of, nor of the others of its group. The kcp-go of
    /// frp 0.52 takes no packet without a header from a peer that it sends such packets to.
    pub(super) fn seal_alone(&mut self, out: &mut [u8], start: usize) {
        self.group = None;
        let number = self.mark(out, start);
        if number % GROUP == DATA as u32 - 1 {
            self.skip_parity();
        }
    }

    /// Fills in the header; the number in it.
    fn mark(&mut self, out: &mut [u8], start: usize) -> u32 {
        let size = u16::try_from(out.len() - start - HEADER).unwrap_or(u16::MAX);
        let number = self.take_number();
        let header = &mut out[start..start + DATA_HEADER];
        header[..4].copy_from_slice(&number.to_le_bytes());
        header[4..6].copy_from_slice(&KIND_DATA.to_le_bytes());
        header[6..].copy_from_slice(&size.to_le_bytes());
        number
    }

    /// A group of the peer's begins where ours does, with or without parity.
    fn skip_parity(&mut self) {
        for _ in 0..PARITY {
            self.take_number();
        }
    }

    fn seal_group(&mut self, out: &mut Vec<u8>, mut end: impl FnMut(usize)) {
        let Some(group) = self.group.as_mut() else {
            return;
        };
        let partial = std::mem::take(&mut group.partial);
        group.count = 0;
        let len = group.lens.iter().copied().max().unwrap_or(0);
        if partial {
            self.skip_parity();
            return;
        }
        for (shard, own) in group.data.iter_mut().zip(group.lens) {
            shard[own..len.next_multiple_of(64).min(SHARD)].fill(0);
        }
        let mut parity = [[0; SHARD]; PARITY];
        code::encode(&group.data, len, &mut parity);
        for shard in &parity {
            let number = self.take_number();
            out.extend_from_slice(&number.to_le_bytes());
            out.extend_from_slice(&KIND_PARITY.to_le_bytes());
            out.extend_from_slice(&shard[..len]);
            end(out.len());
        }
    }

    fn take_number(&mut self) -> u32 {
        let number = self.next;
        self.next = (number + 1) % NUMBERS;
        number
    }

    /// Gives back memory; the group that is begun goes without parity.
    pub(super) fn rest(&mut self) {
        self.group = None;
    }

    /// For packets in no group of a session: theirs is the last one before numbers start again.
    pub(super) fn outside() -> Self {
        Self {
            next: NUMBERS - GROUP,
            group: None,
        }
    }

    #[cfg(test)]
    pub(super) fn starting_at(next: u32) -> Self {
        Self { next, group: None }
    }
}

/// Restores data packets that did not come from those of their group that did.
///
/// A peer of kcp-go 5.6 leaves parity away after a pause without skipping its numbers, so groups do
/// not always begin at multiples of thirteen: a data packet beside a parity packet tells where.
/// What does not fit is left alone.
#[derive(Debug, Default)]
pub struct Decoder {
    /// By number.
    kept: Vec<Kept>,
    /// Where groups begin, modulo their size.
    phase: u32,
}

#[derive(Debug, Default)]
struct Kept {
    number: u32,
    kind: KeptKind,
    shard: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum KeptKind {
    #[default]
    Nothing,
    Data,
    Parity,
}

impl Decoder {
    /// Takes a data packet, which has gone to KCP already. Whatever can be restored now goes to
    /// `restored`, as KCP packets.
    pub fn data(&mut self, number: u32, shard: &[u8], restored: impl FnMut(&[u8])) {
        if !self.keep(number, KeptKind::Data, shard) {
            return;
        }
        if self.kind(number.wrapping_sub(1)) == KeptKind::Parity {
            self.phase = number % GROUP;
        } else if self.kind(number.wrapping_add(1)) == KeptKind::Parity {
            self.phase = (number % GROUP + 1 + PARITY as u32) % GROUP;
        }
        let first = self.group_of(number);
        let has_parity = (0..PARITY as u32)
            .any(|k| self.kind(first.wrapping_add(DATA as u32 + k)) == KeptKind::Parity);
        if has_parity {
            self.restore(first, restored);
        }
    }

    /// Takes parity.
    pub fn parity(&mut self, number: u32, shard: &[u8], restored: impl FnMut(&[u8])) {
        if !self.keep(number, KeptKind::Parity, shard) {
            return;
        }
        if self.kind(number.wrapping_sub(1)) == KeptKind::Data {
            self.phase = (number % GROUP + PARITY as u32) % GROUP;
        } else if self.kind(number.wrapping_add(1)) == KeptKind::Data {
            self.phase = (number % GROUP + 1) % GROUP;
        }
        self.restore(self.group_of(number), restored);
    }

    /// Gives back memory.
    pub(super) fn rest(&mut self) {
        self.kept = Vec::new();
    }

    /// `false`: it is here already.
    fn keep(&mut self, number: u32, kind: KeptKind, shard: &[u8]) -> bool {
        if self.kept.is_empty() {
            self.kept.resize_with(KEPT, Kept::default);
        }
        let Some(place) = self.kept.get_mut(number as usize % KEPT) else {
            return false;
        };
        if place.number == number && place.kind != KeptKind::Nothing {
            return false;
        }
        place.number = number;
        place.kind = kind;
        place.shard.clear();
        place.shard.extend_from_slice(shard);
        true
    }

    fn find(&self, number: u32) -> Option<&Kept> {
        let kept = self.kept.get(number as usize % KEPT)?;
        (kept.number == number && kept.kind != KeptKind::Nothing).then_some(kept)
    }

    fn kind(&self, number: u32) -> KeptKind {
        self.find(number)
            .map_or(KeptKind::Nothing, |kept| kept.kind)
    }

    /// The first number of the group that has `number`.
    fn group_of(&self, number: u32) -> u32 {
        let into = (number % GROUP + GROUP - self.phase) % GROUP;
        number.wrapping_sub(into)
    }

    fn restore(&mut self, first: u32, mut restored: impl FnMut(&[u8])) {
        let number = |k: usize| first.wrapping_add(k as u32);
        let fits = (0..DATA).all(|k| self.kind(number(k)) != KeptKind::Parity)
            && (DATA..DATA + PARITY).all(|k| self.kind(number(k)) != KeptKind::Data);
        let missing: Vec<usize> = (0..DATA)
            .filter(|k| self.find(number(*k)).is_none())
            .collect();
        if !fits || missing.is_empty() || missing.len() > PARITY {
            return;
        }
        let there = |k: &usize| self.find(number(*k)).is_some();
        if (DATA..DATA + PARITY).filter(there).count() < missing.len() {
            return;
        }

        let mut len = 0;
        let mut shards = [[0; SHARD]; DATA + PARITY];
        for (k, shard) in shards.iter_mut().enumerate() {
            if let Some(kept) = self.find(number(k)) {
                let n = kept.shard.len().min(SHARD);
                shard[..n].copy_from_slice(&kept.shard[..n]);
                len = len.max(n);
            }
        }
        let Some((data, parity)) = shards.split_first_chunk_mut::<DATA>() else {
            return;
        };
        let parity: Vec<(usize, &Shard)> = parity
            .iter()
            .enumerate()
            .filter(|(row, _)| self.find(number(DATA + row)).is_some())
            .collect();
        if !code::restore(data, &missing, &parity, len) {
            return;
        }
        for k in missing {
            let Some(shard) = data[k].get(..len) else {
                continue;
            };
            // Not asked for again, whatever it is.
            self.keep(number(k), KeptKind::Data, shard);
            if let Some(packet) = restored_packet(shard) {
                restored(packet);
            }
        }
    }
}

/// What a restored shard holds: its size, a packet, and zeros. Anything else was no group.
fn restored_packet(shard: &[u8]) -> Option<&[u8]> {
    let (size, _) = shard.split_first_chunk::<2>()?;
    let size = usize::from(u16::from_le_bytes(*size));
    let (packet, padding) = (shard.get(2..size)?, shard.get(size..)?);
    padding.iter().all(|byte| *byte == 0).then_some(packet)
}
