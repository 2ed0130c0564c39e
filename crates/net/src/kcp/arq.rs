//! KCP's protocol without I/O and clock: numbered segments, acknowledgements, retransmission.
//!
//! A byte stream in each direction (kcp's stream mode, fragments are always 0). Time is an argument:
//! milliseconds of any clock that does not go back.
//!
//! The rules are those of xtaci/kcp-go v5.6.13 `kcp.go` with frp's settings (no congestion window,
//! fast retransmission after two later acknowledgements). The structure is not: nothing ticks.
//! Whoever has changed something asks for packets ([`Arq::prepare`], [`Arq::packet`]) and when to
//! come again ([`Arq::deadline`]).
//!
//! Beyond kcp-go: an empty segment ends its direction, and a second one says that its sender does not
//! read any more. kcp-go takes them for segments without data, and knows no end at all. They wait behind
//! data that the peer does not take; that the conversation is broken off is said by a window that has a
//! number, which kcp-go does not look at. A peer that does not answer any more is given up.

use super::params::{
    ACK_DELAY, ACK_DELAY_AT_GAP, ACK_EVERY, INTERVAL, KEEPALIVE_AGAIN, MTU, PROBE_FIRST, PROBE_MAX,
};
use super::receiving::Receiving;
use super::segment::{self, Command, HEADER, Segment};
use super::sending::Sending;
use crate::limits::{KCP_ASK_AGAIN, KCP_KEEPALIVE, KCP_UNANSWERED};

/// See the module.
#[derive(Debug)]
pub struct Arq {
    conv: u32,
    sending: Sending,
    receiving: Receiving,
    acks: Acks,
    /// To ask for the peer's window, or whether it is there.
    ask: bool,
    /// To tell ours.
    tell: bool,
    /// Stuck until the peer says more: when to ask, and how long to wait then.
    probe: Option<(u64, u64)>,
    /// When the peer was heard last, and when it is asked whether it is there.
    heard: u64,
    ask_alive_at: u64,
    /// Since when the peer owes an answer.
    waiting_since: Option<u64>,
    /// When bytes that nobody flushed go out.
    corked_until: Option<u64>,
    /// The clock that the peer sees is ahead by so much.
    clock: u32,
    /// Whether the peer is where it says has to be shown.
    proving: Option<Proving>,
    /// Since when the peer takes nothing.
    stuck_since: Option<u64>,
    /// To tell that the conversation is broken off: when next, and how long to wait then.
    breaking: Option<(u64, u64)>,
    /// The peer has done that.
    broken_off: bool,
}

/// The peer's address may be forged. Only who is there knows what time it read on a segment, because
/// that clock is anywhere ([`Arq::distrust`]), and gives it back in the acknowledgement.
///
/// Where there is nothing to send yet, or no more may be, a segment is sent whose number is before the
/// first: every KCP acknowledges it, and passes nothing on to its reader.
#[derive(Debug)]
struct Proving {
    /// When segments were sent.
    sent: Vec<u32>,
    /// When to ask, and how long to wait then.
    ask_at: u64,
    wait: u64,
}

/// Acknowledgements to be sent.
#[derive(Debug, Default)]
struct Acks {
    /// Number and the sender's time.
    due: Vec<(u32, u32)>,
    /// Segments in order that the last one of these speaks for.
    in_order: usize,
    /// When they go, at the latest.
    at: Option<u64>,
}

/// The number of a segment that only asks for an acknowledgement: the one before the first.
pub(super) const ECHO: u32 = u32::MAX;

/// The number on a [`Command::Tell`] that says that the conversation is broken off. No KCP looks at it
/// elsewhere.
pub(super) const BREAK: u32 = u32::MAX;

/// That is said again after this time, milliseconds, then each time after twice as long.
const BREAKS_AGAIN: u64 = 50;

/// More than one packet of acknowledgements for each segment of the largest window.
const MAX_ACKS: usize = 4096;

/// Times that are remembered of segments to a peer whose address may be forged. What it may be sent
/// comes to fewer packets, unless it says much and acknowledges nothing.
const MAX_SENT_UNPROVEN: usize = 64;

/// What a packet brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Brought {
    /// It was the peer's, of this conversation.
    pub heard: bool,
    /// There is more to read, or the end.
    pub data: bool,
    /// Something was acknowledged: there is room to write.
    pub room: bool,
    /// The peer has shown that it is where it says.
    pub proved: bool,
}

impl Brought {
    /// What another packet brought, too.
    pub fn add(&mut self, other: Self) {
        self.heard |= other.heard;
        self.data |= other.data;
        self.room |= other.room;
        self.proved |= other.proved;
    }
}

impl Arq {
    /// A conversation; `windows` are the segments that may be in flight and that are kept for a
    /// reader that keeps up.
    pub fn new(conv: u32, windows: (u16, u16), now: u64) -> Self {
        Self {
            conv,
            sending: Sending::new(windows.0),
            receiving: Receiving::new(windows.1),
            acks: Acks::default(),
            ask: false,
            tell: false,
            probe: None,
            heard: now,
            ask_alive_at: now + millis(KCP_KEEPALIVE),
            waiting_since: None,
            corked_until: None,
            clock: 0,
            proving: None,
            stuck_since: None,
            breaking: None,
            broken_off: false,
        }
    }

    /// The peer's address may be forged, until a segment comes back with the time that it was sent at.
    /// `clock`, which nobody can know, is how much the clock that it sees is ahead.
    pub fn distrust(&mut self, clock: u32, now: u64) {
        self.clock = clock;
        self.proving = Some(Proving {
            sent: Vec::new(),
            ask_at: now,
            wait: millis(KCP_ASK_AGAIN),
        });
    }

    /// The conversation.
    pub fn conv(&self) -> u32 {
        self.conv
    }

    /// The peer may be a forged address: what it does not acknowledge goes there less often.
    pub fn set_patient(&mut self, patient: bool) {
        self.sending.set_patient(patient);
    }

    /// Nobody reads any more: what comes is acknowledged and not kept, and the peer is told that there
    /// is no room.
    pub fn discard(&mut self) {
        self.receiving.discard();
        self.tell = true;
    }

    /// Changes how many segments are kept for a reader that keeps up.
    pub fn set_receive_window(&mut self, segments: u16) {
        self.tell |= self.receiving.set_most(segments);
    }

    /// Forgets all, and tells the peer that the conversation is broken off, until the session ends.
    pub fn break_off(&mut self, now: u64) {
        self.end();
        self.breaking = Some((now, BREAKS_AGAIN));
    }

    /// From here to the peer and back, milliseconds, smoothed; `None` before there was a measure.
    pub fn round_trip(&self) -> Option<u64> {
        self.sending.round_trip()
    }

    /// The peer is to say that it is there.
    pub fn ask(&mut self) {
        self.ask = true;
    }

    /// Whether the peer has broken the conversation off.
    pub fn is_broken_off(&self) -> bool {
        self.broken_off
    }

    /// Since when the peer takes nothing of what there is for it.
    pub fn stuck_since(&self) -> Option<u64> {
        self.stuck_since
    }

    /// Takes a packet, from the network (`regular`) or restored by error correction. The latter is
    /// older than it looks: it says nothing about the peer's window and the round trip. What is
    /// malformed or of another conversation is not looked at, nor what is behind it.
    pub fn input(&mut self, packet: &[u8], regular: bool, now: u64) -> Brought {
        let mut rest = packet;
        let mut brought = Brought::default();
        let mut acked = Acked::default();
        while let Ok(Some(segment)) = segment::split(&mut rest) {
            if segment.conv != self.conv {
                break;
            }
            if self.breaking.is_some() {
                // It has not heard of that yet.
                self.tell = true;
                break;
            }
            if !self.sending.may_acknowledge(segment.next) {
                // Of what was never sent: no peer of this conversation says that.
                continue;
            }
            self.hear(now);
            brought.heard = true;
            if regular && !self.sending.is_stale(segment.next) {
                brought.room |= self.sending.set_peer_window(segment.window);
            }
            brought.room |= self.sending.acknowledge_before(segment.next);
            match segment.command {
                Command::Ack => {
                    let time = segment.time.wrapping_sub(self.clock);
                    if self
                        .proving
                        .as_ref()
                        .is_some_and(|p| p.sent.contains(&time))
                    {
                        self.proving = None;
                        brought.proved = true;
                    }
                    // Of an echo that was asked for before this session began the time is none.
                    if segment.number != ECHO && self.sending.acknowledge(segment.number) {
                        acked.add(segment.number, time);
                    }
                }
                Command::Push => brought.data |= self.push(segment, now),
                Command::Ask => self.tell = true,
                Command::Tell => self.broken_off |= segment.number == BREAK,
            }
        }
        if let Some(time) = acked.latest {
            self.sending.count_skipped(&acked.highest);
            if regular {
                self.sending.measure(time, now);
            }
        }
        if !self.sending.is_idle() {
            self.waiting_since = self.waiting_since.or(Some(now));
        }
        brought
    }

    fn hear(&mut self, now: u64) {
        self.heard = now;
        self.ask_alive_at = now + millis(KCP_KEEPALIVE);
        self.waiting_since = None;
    }

    fn push(&mut self, segment: Segment<'_>, now: u64) -> bool {
        let Some(taken) = self.receiving.push(segment.number, segment.data) else {
            return false;
        };
        // Those before the last one that are in order say nothing: `next` does.
        if let Some(last) = self.acks.due.last()
            && self.receiving.is_before_next(last.0)
        {
            self.acks.due.pop();
            self.acks.in_order += 1;
        }
        if self.acks.due.len() < MAX_ACKS {
            self.acks.due.push((segment.number, segment.time));
        }
        let delay = match self.receiving.has_gap() {
            true => ACK_DELAY_AT_GAP,
            false => ACK_DELAY,
        };
        let at = self.acks.at.unwrap_or(u64::MAX);
        self.acks.at = Some(at.min(now + delay));
        taken
    }

    /// Appends to what is to be sent, as much as there is room for; how much that was. It goes out
    /// in full segments at once, the rest when flushed or after some 20 ms.
    pub fn write(&mut self, bytes: &[u8], now: u64) -> usize {
        let n = self.sending.write(bytes);
        if n > 0 {
            self.corked_until = self.corked_until.or(Some(now + INTERVAL));
        }
        n
    }

    /// Whether [`write`](Self::write) takes a fair amount.
    pub fn is_writable(&self) -> bool {
        self.sending.is_writable()
    }

    /// Whether the writer has filled what is to be sent at once.
    pub fn has_full_segments(&self, n: usize) -> bool {
        self.sending.queued() >= n * (MTU - HEADER) || !self.is_writable()
    }

    /// What was written is to go out now.
    pub fn flush(&mut self) {
        self.sending.flush();
        self.corked_until = None;
    }

    /// Ends our direction behind what was written.
    pub fn finish(&mut self) {
        self.sending.finish();
        self.flush();
    }

    /// The same, and says that nobody reads here any more, unless the peer has ended its direction.
    pub fn cut(&mut self) {
        self.sending.finish();
        if !self.receiving.has_end() {
            self.sending.cut();
        }
        self.flush();
    }

    /// Whether the peer reads no more.
    pub fn is_cut(&self) -> bool {
        self.receiving.is_cut()
    }

    /// Whether the peer has everything that was written, and the end if there is one.
    pub fn is_delivered(&self) -> bool {
        self.sending.is_idle()
    }

    /// Reads what came in order; 0: nothing is there, or the end was reached.
    pub fn read(&mut self, buf: &mut [u8]) -> usize {
        let n = self.receiving.read(buf);
        self.tell |= self.receiving.grow(n) || self.receiving.has_reopened();
        n
    }

    /// Whether there is room for nothing more, because nobody reads.
    pub fn is_full(&self) -> bool {
        self.receiving.free() == 0
    }

    /// Whether there is something to read.
    pub fn is_readable(&self) -> bool {
        self.receiving.is_readable()
    }

    /// Whether the peer has ended its direction, and everything before was read.
    pub fn is_ended(&self) -> bool {
        self.receiving.is_ended()
    }

    /// Whether something is to be told now, without waiting for a deadline.
    pub fn wants_to_tell(&self) -> bool {
        self.tell
    }

    /// Finds out what is due; to be called before packets are taken.
    pub fn prepare(&mut self, now: u64) {
        if let Some((at, wait)) = &mut self.breaking {
            if *at <= now {
                self.tell = true;
                *at = now + *wait;
                *wait = wait.saturating_mul(2);
            }
            return;
        }
        if self.corked_until.is_some_and(|at| at <= now) {
            self.flush();
        }
        self.sending.find_lost(now);
        self.probe(now);
        if now >= self.ask_alive_at {
            self.ask = true;
            self.ask_alive_at = now + KEEPALIVE_AGAIN;
        }
    }

    fn probe(&mut self, now: u64) {
        if !self.sending.is_stuck() {
            self.probe = None;
            self.stuck_since = None;
            return;
        }
        self.stuck_since.get_or_insert(now);
        let (at, wait) = *self.probe.get_or_insert((now + PROBE_FIRST, PROBE_FIRST));
        if now >= at {
            self.ask = true;
            let wait = (wait + wait / 2).min(PROBE_MAX);
            self.probe = Some((now + wait, wait));
        }
    }

    /// Appends one packet of at most `most` bytes, no more than [`MTU`]; `false`: nothing is due now
    /// that is as short.
    pub fn packet(&mut self, now: u64, most: usize, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let limit = start + most.min(MTU);
        let mut header = Segment {
            conv: self.conv,
            command: Command::Ack,
            window: self.receiving.free(),
            time: now as u32,
            number: 0,
            next: self.receiving.next(),
            data: &[],
        };
        let control = self.ask || self.tell;
        let echo_due = self.proving.as_ref().is_some_and(|p| p.ask_at <= now);
        if control || echo_due || self.acks.are_due(now) || self.sending.has_due() {
            self.put_acks(header, limit, out);
        }
        header.time = 0;
        if self.breaking.is_some() {
            header.number = BREAK;
        }
        for (wanted, command) in [
            (&mut self.ask, Command::Ask),
            (&mut self.tell, Command::Tell),
        ] {
            if *wanted && out.len() + HEADER <= limit {
                *wanted = false;
                header.command = command;
                header.encode_header(0, out);
                if command == Command::Ask {
                    self.waiting_since = self.waiting_since.or(Some(now));
                }
            }
        }
        header.command = Command::Push;
        header.time = (now as u32).wrapping_add(self.clock);
        let mut asked = false;
        if let Some(proving) = &mut self.proving
            && echo_due
            && out.len() + HEADER <= limit
        {
            proving.ask_at = now + proving.wait;
            proving.wait *= 2;
            header.number = ECHO;
            header.encode_header(0, out);
            asked = true;
        }
        let sent = self.sending.put(header, now, limit, out);
        if sent {
            self.waiting_since = self.waiting_since.or(Some(now));
        }
        if let Some(proving) = &mut self.proving
            && (sent || asked)
            && proving.sent.len() < MAX_SENT_UNPROVEN
        {
            proving.sent.push(now as u32);
        }
        let any = out.len() > start;
        if any {
            self.receiving.told(header.window);
        }
        any
    }

    fn put_acks(&mut self, mut header: Segment<'_>, limit: usize, out: &mut Vec<u8>) {
        let room = limit.saturating_sub(out.len()) / HEADER;
        let n = self.acks.due.len().min(room);
        for (number, time) in self.acks.due.drain(..n) {
            header.number = number;
            header.time = time;
            header.encode_header(0, out);
        }
        if self.acks.due.is_empty() {
            self.acks.at = None;
            self.acks.in_order = 0;
        }
    }

    /// When something is to be done next, if nothing comes and nobody calls before.
    pub fn deadline(&self) -> u64 {
        if let Some((at, _)) = self.breaking {
            return at;
        }
        let dead = self.waiting_since.map(|at| at + millis(KCP_UNANSWERED));
        [
            dead,
            self.acks.at,
            self.corked_until,
            self.probe.map(|(at, _)| at),
            self.sending.next_resend(),
            self.proving.as_ref().map(|proving| proving.ask_at),
        ]
        .into_iter()
        .flatten()
        .fold(self.ask_alive_at, u64::min)
    }

    /// The same where nothing may be sent before something comes.
    pub fn deadline_without_sending(&self) -> u64 {
        let dead = self.waiting_since.map(|at| at + millis(KCP_UNANSWERED));
        dead.unwrap_or(u64::MAX).min(self.ask_alive_at)
    }

    /// Whether the peer has owed an answer for too long.
    pub fn is_dead(&self, now: u64) -> bool {
        let since = self.waiting_since;
        since.is_some_and(|since| now >= since + millis(KCP_UNANSWERED))
    }

    /// Whether nothing is under way in either direction.
    pub fn is_quiet(&self) -> bool {
        self.sending.is_idle() && self.acks.due.is_empty() && self.receiving.is_quiet()
    }

    /// Gives back memory that only a busy session needs.
    pub fn rest(&mut self) {
        self.sending.rest();
        self.receiving.rest();
        self.acks.due = Vec::new();
    }

    /// Forgets everything but what is there to be read.
    pub fn end(&mut self) {
        let nothing = Self::new(self.conv, (0, 0), self.heard);
        let receiving = std::mem::replace(&mut self.receiving, nothing.receiving);
        *self = Self {
            receiving,
            ..nothing
        };
    }
}

impl Acks {
    fn are_due(&self, now: u64) -> bool {
        self.due.len() + self.in_order >= ACK_EVERY || self.at.is_some_and(|at| at <= now)
    }
}

/// What the acknowledgements of one packet say together.
#[derive(Debug, Default)]
struct Acked {
    /// The sender's time in the last one.
    latest: Option<u32>,
    /// The highest numbers, as many as it takes to call one before them lost, each with its time.
    highest: [Option<(u32, u32)>; 2],
}

impl Acked {
    fn add(&mut self, number: u32, time: u32) {
        self.latest = Some(time);
        let mut new = Some((number, time));
        for place in &mut self.highest {
            let is_higher = |old: &(u32, u32)| number.wrapping_sub(old.0).cast_signed() <= 0;
            if !place.as_ref().is_some_and(is_higher) {
                std::mem::swap(place, &mut new);
            }
        }
    }
}

pub(super) fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
