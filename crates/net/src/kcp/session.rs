//! A KCP session without I/O and clock: datagrams ↔ bytes, with or without error correction.

use super::arq::{Arq, BREAK, Brought, ECHO};
use super::fec::{self, DATA_HEADER, Decoder, Encoder, Packet};
use super::params::MTU;
use super::segment::{self, Command, HEADER, Segment};
use crate::limits::{KCP_STRANGER_WINDOW, MAX_AMPLIFICATION};

/// See the module.
#[derive(Debug)]
pub struct KcpSession {
    arq: Arq,
    /// As the peer does: one that sends without error correction may not understand it.
    encoder: Option<Encoder>,
    decoder: Decoder,
    /// The window for the reader once the peer has logged in, if it has not.
    stranger: Option<u16>,
    /// The peer's address may be forged: what it may still be sent.
    unproven: Option<Allowance>,
}

/// What may go to an address that may be forged, in bytes of UDP (RFC 9000, section 8.1).
#[derive(Debug, Default)]
struct Allowance {
    left: u64,
    /// More is due than that: nothing happens before the peer is heard.
    short: bool,
}

/// Datagrams one after the other, and where each ends.
#[derive(Debug, Default)]
pub struct Datagrams {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// The start of a conversation, as the first packet of a peer tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Opening {
    /// The conversation.
    pub conv: u32,
    /// With error correction.
    pub fec: bool,
}

/// The conversation that a datagram belongs to; `None`: parity, which does not say, or no KCP.
pub fn conv_of(datagram: &[u8]) -> Option<u32> {
    match fec::parse(datagram)? {
        Packet::Bare(packet) | Packet::Data { packet, .. } => {
            let mut packet = packet;
            segment::split(&mut packet).ok()?.map(|first| first.conv)
        }
        Packet::Parity { .. } => None,
    }
}

/// Whether a datagram may be the first of a peer: it begins with data from the start of the stream,
/// and nothing of ours has come there. Leftovers of a session that has ended do not look so.
pub fn opening(datagram: &[u8]) -> Option<Opening> {
    let (mut packet, fec) = match fec::parse(datagram)? {
        Packet::Bare(packet) => (packet, false),
        Packet::Data { packet, .. } => (packet, true),
        Packet::Parity { .. } => return None,
    };
    let first = segment::split(&mut packet).ok()??;
    let opens = first.command == Command::Push
        && first.next == 0
        && first.number < u32::from(KCP_STRANGER_WINDOW);
    opens.then_some(Opening {
        conv: first.conv,
        fec,
    })
}

/// A packet that asks who began a conversation to send `time` back, which shows that it is where it says.
/// It has no more bytes than the shortest that opens a conversation in the same way.
pub fn ask_for_echo(opening: Opening, time: u32) -> Datagrams {
    alone(
        opening,
        Segment {
            conv: opening.conv,
            command: Command::Push,
            window: KCP_STRANGER_WINDOW,
            time,
            number: ECHO,
            next: 0,
            data: &[],
        },
    )
}

/// Whether a datagram is of a peer that has had something from its other end: a session that is not known has been
/// forgotten.
pub fn forgotten(datagram: &[u8]) -> Option<Opening> {
    let (mut packet, fec) = match fec::parse(datagram)? {
        Packet::Bare(packet) => (packet, false),
        Packet::Data { packet, .. } => (packet, true),
        Packet::Parity { .. } => return None,
    };
    let first = segment::split(&mut packet).ok()??;
    let conv = first.conv;
    (first.next != 0).then_some(Opening { conv, fec })
}

/// A packet that says that a conversation is broken off. None is shorter, and it is no answer's reason itself.
pub fn broken_off(of: Opening) -> Datagrams {
    alone(
        of,
        Segment {
            conv: of.conv,
            command: Command::Tell,
            window: KCP_STRANGER_WINDOW,
            time: 0,
            number: BREAK,
            next: 0,
            data: &[],
        },
    )
}

/// One segment in one packet, of no session.
fn alone(of: Opening, segment: Segment<'_>) -> Datagrams {
    let mut out = Datagrams::default();
    if of.fec {
        out.bytes.resize(DATA_HEADER, 0);
    }
    segment.encode_header(0, &mut out.bytes);
    if of.fec {
        Encoder::outside().seal_alone(&mut out.bytes, 0);
    }
    out.ends.push(out.bytes.len());
    out
}

/// The answer to that: the conversation, and what is sent back.
pub fn echo(datagram: &[u8]) -> Option<(Opening, u32)> {
    let (mut packet, fec) = match fec::parse(datagram)? {
        Packet::Bare(packet) => (packet, false),
        Packet::Data { packet, .. } => (packet, true),
        Packet::Parity { .. } => return None,
    };
    while let Ok(Some(segment)) = segment::split(&mut packet) {
        if segment.command == Command::Ack && segment.number == ECHO {
            let conv = segment.conv;
            return Some((Opening { conv, fec }, segment.time));
        }
    }
    None
}

impl KcpSession {
    /// Of a dialler. `windows` are the segments in flight and for the reader.
    pub fn dialled(conv: u32, windows: (u16, u16), now: u64) -> Self {
        Self {
            arq: Arq::new(conv, windows, now),
            encoder: Some(Encoder::default()),
            decoder: Decoder::default(),
            stranger: None,
            unproven: None,
        }
    }

    /// Of a listener. Until [`establish`](Self::establish) little is kept for the reader.
    pub fn accepted(opening: Opening, windows: (u16, u16), now: u64) -> Self {
        let narrow = (windows.0, windows.1.min(KCP_STRANGER_WINDOW));
        let mut arq = Arq::new(opening.conv, narrow, now);
        arq.set_patient(true);
        Self {
            arq,
            encoder: opening.fec.then(Encoder::default),
            decoder: Decoder::default(),
            stranger: Some(windows.1),
            unproven: None,
        }
    }

    /// The peer's address may be forged, see [`Arq::distrust`]. Until it has shown that it is there, it is
    /// sent no more than three times what came from there.
    pub fn distrust(&mut self, clock: u32, now: u64) {
        self.arq.distrust(clock, now);
        self.unproven = Some(Allowance::default());
    }

    /// The peer has logged in.
    pub fn establish(&mut self) {
        if let Some(window) = self.stranger.take() {
            self.arq.set_receive_window(window);
            self.arq.set_patient(false);
        }
    }

    /// Whether it has not.
    pub fn is_stranger(&self) -> bool {
        self.stranger.is_some()
    }

    /// Whether the peer has shown that it is where it says.
    pub fn is_proven(&self) -> bool {
        self.unproven.is_none()
    }

    /// When something is to be done next, if nothing comes and nobody calls before.
    pub fn deadline(&self) -> u64 {
        match &self.unproven {
            Some(Allowance { short: true, .. }) => self.arq.deadline_without_sending(),
            _ => self.arq.deadline(),
        }
    }

    /// The protocol of the bytes.
    pub fn arq(&self) -> &Arq {
        &self.arq
    }

    /// The same.
    pub fn arq_mut(&mut self) -> &mut Arq {
        &mut self.arq
    }

    /// Takes a datagram. What is malformed in it is not looked at.
    pub fn receive(&mut self, datagram: &[u8], now: u64) -> Brought {
        if let Some(allowance) = &mut self.unproven {
            allowance.left += MAX_AMPLIFICATION * datagram.len() as u64;
            allowance.short = false;
        }
        let Self { arq, decoder, .. } = self;
        // Nothing is kept for strangers that they can do without.
        let corrects = self.stranger.is_none();
        let mut all = Brought::default();
        let mut input = |arq: &mut Arq, packet: &[u8], regular| {
            all.add(arq.input(packet, regular, now));
        };
        match fec::parse(datagram) {
            Some(Packet::Bare(packet)) => input(arq, packet, true),
            Some(Packet::Data {
                number,
                packet,
                shard,
            }) => {
                input(arq, packet, true);
                if corrects {
                    decoder.data(number, shard, |packet| input(arq, packet, false));
                }
            }
            Some(Packet::Parity { number, shard }) if corrects => {
                decoder.parity(number, shard, |packet| input(arq, packet, false));
            }
            Some(Packet::Parity { .. }) | None => {}
        }
        if all.proved {
            self.unproven = None;
        }
        all
    }

    /// Appends datagrams that are due, until they have some `enough` bytes. Whether more are due.
    pub fn transmit(&mut self, now: u64, enough: usize, out: &mut Datagrams) -> bool {
        self.arq.prepare(now);
        let header = self.encoder.as_ref().map_or(0, |_| DATA_HEADER);
        while out.bytes.len() < enough {
            let start = out.bytes.len();
            let most = match &self.unproven {
                Some(allowance) => usize::try_from(allowance.left).unwrap_or(MTU),
                None => MTU + header,
            };
            let most = most.saturating_sub(header);
            out.bytes.resize(start + header, 0);
            if most < HEADER || !self.arq.packet(now, most, &mut out.bytes) {
                out.bytes.truncate(start);
                if let Some(allowance) = &mut self.unproven {
                    allowance.short = self.arq.deadline() <= now;
                }
                return false;
            }
            match (&mut self.encoder, &mut self.unproven) {
                (Some(encoder), None) => {
                    encoder.seal(&mut out.bytes, start, |end| out.ends.push(end));
                }
                // Parity would count, too.
                (encoder, Some(allowance)) => {
                    if let Some(encoder) = encoder {
                        encoder.seal_alone(&mut out.bytes, start);
                    }
                    allowance.left -= (out.bytes.len() - start) as u64;
                    out.ends.push(out.bytes.len());
                }
                (None, None) => out.ends.push(out.bytes.len()),
            }
        }
        true
    }

    /// Gives back memory that only a busy session needs.
    pub fn rest(&mut self) {
        self.arq.rest();
        self.decoder.rest();
        if let Some(encoder) = &mut self.encoder {
            encoder.rest();
        }
    }

    /// Forgets all, and tells the peer so.
    pub fn break_off(&mut self, now: u64) {
        self.arq.break_off(now);
        self.rest();
    }

    /// Forgets everything but what is there to be read.
    pub fn end(&mut self) {
        self.arq.end();
        self.rest();
    }
}

impl Datagrams {
    /// None are there.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Those from the number `from` on that have the size of the first, but for the last of them,
    /// which may be shorter; at most `most`. The bytes, the size, and how many they are.
    pub(super) fn run(&self, from: usize, most: usize) -> Option<(&[u8], usize, usize)> {
        let start = match from {
            0 => 0,
            n => *self.ends.get(n - 1)?,
        };
        let size = self.ends.get(from)? - start;
        let (mut end, mut n) = (start, 0);
        for next in self.ends.get(from..)?.iter().take(most) {
            if next - end > size || next - start > RUN_MAX {
                break;
            }
            n += 1;
            let is_last = next - end < size;
            end = *next;
            if is_last {
                break;
            }
        }
        Some((self.bytes.get(start..end)?, size, n))
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Each datagram.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let datagram = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            datagram
        })
    }
}

/// Bytes that the system takes at once.
const RUN_MAX: usize = 65_000;
