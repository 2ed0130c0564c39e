//! What a device on the path remembers of each connection, and how it ends one.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::time::Instant;

use super::middlebox::{Middlebox, Verdict};
use super::packet::{Packet, RST, Tcp, reset, too_long};

/// How much of what the opening side says first is kept for the device to look at.
const OPENING: usize = 1024;

/// One connection through the device, or what two ports exchange by UDP.
#[derive(Debug)]
pub struct Flow {
    /// Who sent its first packet.
    pub initiator: SocketAddrV4,
    /// To whom.
    pub responder: SocketAddrV4,
    /// The first bytes of the initiator, that of the packet at hand included: up to 1024.
    pub opening: Vec<u8>,
    /// When a packet passed last; for a new one, now.
    pub last_passed: Instant,
    /// The sequence number behind `opening`.
    opening_end: u32,
    /// What initiator and responder expect next of each other.
    next_to: [Option<u32>; 2],
    ended: Option<Verdict>,
}

/// All connections that the device has seen.
#[derive(Debug, Default)]
pub(super) struct Flows(HashMap<(u8, SocketAddrV4, SocketAddrV4), Flow>);

impl Flows {
    /// Whether `packet` goes on. What the device says itself, to whom, is added to `said`.
    pub(super) fn passes(
        &mut self,
        packet: &Packet<'_>,
        device: &mut dyn Middlebox,
        now: Instant,
        said: &mut Vec<Vec<u8>>,
    ) -> bool {
        let ends = [packet.from, packet.to];
        let key = (packet.protocol, ends[0].min(ends[1]), ends[0].max(ends[1]));
        if packet.tcp.is_some_and(Tcp::opens) {
            // The port may have been used before; sent again, it is judged again.
            self.0.remove(&key);
        }
        let flow = self.0.entry(key).or_insert_with(|| Flow::new(packet, now));
        flow.look(packet);
        let verdict = match flow.ended {
            Some(verdict) => verdict,
            None => device.judge(flow, packet, now),
        };
        match (verdict, packet.tcp) {
            (Verdict::Pass, _) => {
                flow.passed(packet, now);
                return true;
            }
            (Verdict::Drop, _) => {}
            (Verdict::TooLong(mtu), _) => said.push(too_long(packet, mtu)),
            (Verdict::Forget, _) => flow.ended = Some(verdict),
            (Verdict::Reset, Some(tcp)) => flow.reset(packet, tcp, said),
            (Verdict::Reset, None) => {}
        }
        false
    }
}

impl Flow {
    fn new(packet: &Packet<'_>, now: Instant) -> Self {
        Self {
            initiator: packet.from,
            responder: packet.to,
            opening: Vec::new(),
            last_passed: now,
            opening_end: packet.tcp.map_or(0, |tcp| tcp.seq.wrapping_add(1)),
            next_to: [None, None],
            ended: None,
        }
    }

    /// Takes what comes in order from the initiator; nobody says the first bytes twice differently.
    fn look(&mut self, packet: &Packet<'_>) {
        let in_order = packet.tcp.is_some_and(|tcp| tcp.seq == self.opening_end);
        let room = OPENING.saturating_sub(self.opening.len());
        if packet.from == self.initiator && in_order && room > 0 {
            let taken = packet.payload.len().min(room);
            self.opening.extend(&packet.payload[..taken]);
            self.opening_end = self.opening_end.wrapping_add(taken as u32);
        }
    }

    fn passed(&mut self, packet: &Packet<'_>, now: Instant) {
        self.last_passed = now;
        let Some(tcp) = packet.tcp else { return };
        let end = packet.end(tcp);
        let next = &mut self.next_to[usize::from(packet.to == self.responder)];
        if next.is_none_or(|next| end.wrapping_sub(next).cast_signed() > 0) {
            *next = Some(end);
        }
    }

    /// Ends both sides. Whoever goes on talking has missed it and is told again.
    fn reset(&mut self, packet: &Packet<'_>, tcp: Tcp, said: &mut Vec<Vec<u8>>) {
        let again = self.ended.replace(Verdict::Reset).is_some();
        if tcp.has(RST) {
            return;
        }
        let [to_initiator, to_responder] = self.next_to;
        let (to_sender, to_receiver) = if packet.from == self.initiator {
            (to_initiator, to_responder)
        } else {
            (to_responder, to_initiator)
        };
        // Only the number that is expected next is believed at once (RFC 5961); what was on its
        // way may have been lost, and then the one that the sender named is right.
        let seq = if again { None } else { to_sender };
        let seq = seq.unwrap_or(tcp.ack);
        said.push(reset(packet.to, packet.from, seq, packet.end(tcp)));
        if let (Some(seq), false) = (to_receiver, again) {
            let ack = to_sender.unwrap_or(tcp.ack);
            said.push(reset(packet.from, packet.to, seq, ack));
        }
    }
}
