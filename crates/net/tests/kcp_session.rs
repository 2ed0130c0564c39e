//! KCP sessions without sockets: two of them over a network that loses, delays, doubles and
//! reorders, driven by a clock of its own. The same seed gives the same run.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use frp_net::kcp::fec::{Packet, parse};
use frp_net::kcp::params::{MTU, WINDOWS};
use frp_net::kcp::segment::{Command, split};
use frp_net::kcp::session::{Datagrams, KcpSession, Opening, ask_for_echo, conv_of, echo, opening};
use frp_net::limits::KCP_FIRST_WINDOW;
use proptest::prelude::*;

const CONV: u32 = 0x1122_3344;

/// What the network does, in shares of 1000, and how long it takes.
#[derive(Debug, Clone, Copy)]
struct Network {
    lost: u64,
    doubled: u64,
    delay: u64,
    /// Added at random: more than the time between packets reorders them.
    jitter: u64,
}

const CLEAN: Network = Network {
    lost: 0,
    doubled: 0,
    delay: 25,
    jitter: 0,
};

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}

/// One end, what it has to send, and what it got.
struct End {
    session: KcpSession,
    to_send: Vec<u8>,
    sent: usize,
    finished: bool,
    got: Vec<u8>,
    /// Bytes that its application reads in one go; 0: it does not.
    reads: usize,
    datagrams: usize,
}

impl End {
    fn new(session: KcpSession, to_send: Vec<u8>) -> Self {
        Self {
            session,
            to_send,
            sent: 0,
            finished: false,
            got: Vec::new(),
            reads: 64 * 1024,
            datagrams: 0,
        }
    }

    fn work(&mut self, now: u64) -> Vec<Vec<u8>> {
        let mut buf = vec![0; self.reads];
        loop {
            let n = self.session.arq_mut().read(&mut buf);
            self.got.extend_from_slice(&buf[..n]);
            if n == 0 {
                break;
            }
        }
        if !self.finished {
            let arq = self.session.arq_mut();
            self.sent += arq.write(&self.to_send[self.sent..], now);
            if self.sent == self.to_send.len() {
                arq.finish();
                self.finished = true;
            } else {
                arq.flush();
            }
        }
        let all = transmit_all(&mut self.session, now);
        self.datagrams += all.len();
        all
    }

    fn is_done(&self) -> bool {
        self.finished && self.session.arq().is_delivered() && self.session.arq().is_ended()
    }
}

struct Run {
    ends: [End; 2],
    network: Network,
    random: Random,
    now: u64,
    under_way: BTreeMap<(u64, u64), (usize, Vec<u8>)>,
    count: u64,
    /// Goes on when both are done.
    endless: bool,
}

impl Run {
    fn new(ends: [End; 2], network: Network, seed: u64) -> Self {
        Self {
            ends,
            network,
            random: Random(seed | 1),
            now: 0,
            under_way: BTreeMap::new(),
            count: 0,
            endless: false,
        }
    }

    fn send(&mut self, to: usize, datagram: Vec<u8>) {
        if self.random.below(1000) < self.network.lost {
            return;
        }
        let copies = 1 + usize::from(self.random.below(1000) < self.network.doubled);
        for _ in 0..copies {
            let at = self.now + self.network.delay + self.random.below(self.network.jitter + 1);
            self.count += 1;
            self.under_way
                .insert((at, self.count), (to, datagram.clone()));
        }
    }

    /// Until both are done, or `limit` milliseconds are over.
    fn until_done(&mut self, limit: u64) -> bool {
        loop {
            for k in 0..2 {
                for datagram in self.ends[k].work(self.now) {
                    self.send(1 - k, datagram);
                }
            }
            if !self.endless && self.ends.iter().all(End::is_done) {
                return true;
            }
            let arrival = self.under_way.keys().next().map(|(at, _)| *at);
            let deadline = |k: usize| self.ends[k].session.deadline();
            let next = deadline(0)
                .min(deadline(1))
                .min(arrival.unwrap_or(u64::MAX));
            // A deadline that has passed and did nothing would be an endless loop.
            self.now = next.max(self.now + u64::from(arrival.is_none_or(|at| at > self.now)));
            if self.now > limit {
                return false;
            }
            while let Some(first) = self.under_way.first_entry()
                && first.key().0 <= self.now
            {
                let (to, datagram) = first.remove();
                let _ = self.ends[to].session.receive(&datagram, self.now);
            }
        }
    }
}

fn transmit_all(session: &mut KcpSession, now: u64) -> Vec<Vec<u8>> {
    let (mut all, mut out) = (Vec::new(), Datagrams::default());
    loop {
        let more = session.transmit(now, 60_000, &mut out);
        all.extend(out.iter().map(<[u8]>::to_vec));
        out.clear();
        if !more {
            return all;
        }
    }
}

fn content(len: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed | 1);
    (0..len).map(|_| random.below(256) as u8).collect()
}

fn pair(fec: bool, up: Vec<u8>, down: Vec<u8>) -> [End; 2] {
    let mut accepted = KcpSession::accepted(Opening { conv: CONV, fec }, WINDOWS, 0);
    accepted.establish();
    let dialled = if fec {
        KcpSession::dialled(CONV, WINDOWS, 0)
    } else {
        KcpSession::accepted(Opening { conv: CONV, fec }, WINDOWS, 0)
    };
    [End::new(dialled, up), End::new(accepted, down)]
}

fn carries(network: Network, fec: bool, seed: u64) -> Run {
    let (up, down) = (content(300_000, seed), content(500_000, seed + 1));
    let mut run = Run::new(pair(fec, up.clone(), down.clone()), network, seed);
    assert!(run.until_done(600_000), "not done: {network:?} seed {seed}");
    assert!(run.ends[0].got == down && run.ends[1].got == up);
    run
}

#[test]
fn bytes_arrive_in_order_whatever_the_network_does() {
    for seed in 1..6 {
        for lost in [0, 50, 200, 400] {
            for fec in [true, false] {
                let network = Network {
                    lost,
                    doubled: 50,
                    delay: 30,
                    jitter: 40,
                };
                carries(network, fec, seed);
            }
        }
    }
}

#[test]
fn without_loss_nothing_is_sent_twice() {
    let run = carries(CLEAN, true, 3);
    // 300 000 bytes are 227 segments, and 68 parities; acknowledgements come on top.
    let up = run.ends[0].datagrams;
    assert!((227 + 68..500).contains(&up), "{up} datagrams");
}

#[test]
fn error_correction_saves_round_trips() {
    let network = Network {
        lost: 50,
        doubled: 0,
        delay: 100,
        jitter: 0,
    };
    let slow: u64 = (1..6).map(|seed| carries(network, false, seed).now).sum();
    let fast: u64 = (1..6).map(|seed| carries(network, true, seed).now).sum();
    assert!(fast < slow, "{fast} ms with it, {slow} ms without");
}

#[test]
fn a_reader_that_stops_stops_the_writer_and_goes_on() {
    let down = content(5_000_000, 9);
    let mut run = Run::new(pair(true, Vec::new(), down.clone()), CLEAN, 9);
    run.ends[0].reads = 0;
    assert!(!run.until_done(20_000));
    let written = run.ends[1].sent;
    assert!(written < 2_500_000, "{written} bytes without a reader");
    run.ends[0].reads = 64 * 1024;
    assert!(run.until_done(60_000));
    assert!(run.ends[0].got == down);
}

#[test]
fn a_reader_that_never_reads_is_kept_little_for_and_one_that_reads_gets_all_there_is() {
    let windows = WINDOWS;
    let mut ends = pair(true, Vec::new(), content(6_000_000, 4));
    ends[0].session = KcpSession::dialled(CONV, windows, 0);
    let mut run = Run::new(ends, CLEAN, 4);
    run.ends[0].reads = 0;
    assert!(!run.until_done(20_000));
    // The writer has its own queue of the same size.
    let unread = run.ends[1].sent;
    assert!(unread <= 2 * 256 * 1024, "{unread} bytes");
    run.ends[0].reads = 64 * 1024;
    let before = run.now;
    assert!(run.until_done(60_000));
    // In flight at a time, on a path of 50 ms: not the first window for ever.
    let round_trips = (run.now - before) / 50;
    assert!(round_trips < 20, "{round_trips} round trips");
}

#[test]
fn a_peer_that_takes_nothing_learns_that_the_conversation_is_broken_off() {
    let mut run = Run::new(pair(true, Vec::new(), content(5_000_000, 9)), CLEAN, 9);
    run.ends[0].reads = 0;
    assert!(!run.until_done(20_000));
    let [reader, writer] = &mut run.ends;
    assert!(writer.session.arq().stuck_since().is_some());
    writer.session.break_off(20_000);
    let told = transmit_all(&mut writer.session, 20_000);
    assert_eq!(told.len(), 1);
    // What kcp-go takes for the size of a window.
    let Some(Packet::Data { mut packet, .. }) = parse(&told[0]) else {
        panic!("no data");
    };
    assert_eq!(split(&mut packet).unwrap().unwrap().command, Command::Tell);
    assert!(!reader.session.arq().is_broken_off());
    let _ = reader.session.receive(&told[0], 20_000);
    assert!(reader.session.arq().is_broken_off());
    // It is said again to who has not heard it.
    let mut other = KcpSession::dialled(CONV, WINDOWS, 0);
    other.arq_mut().write(b"more", 0);
    other.arq_mut().flush();
    let more = transmit_all(&mut other, 0);
    let _ = writer.session.receive(&more[0], 20_010);
    assert_eq!(transmit_all(&mut writer.session, 20_010).len(), 1);
}

#[test]
fn what_nobody_flushed_goes_out_soon() {
    let mut session = KcpSession::dialled(CONV, WINDOWS, 0);
    session.arq_mut().write(b"hello ", 100);
    session.arq_mut().write(b"world", 110);
    let mut out = Datagrams::default();
    session.transmit(110, 60_000, &mut out);
    assert!(out.is_empty());
    assert_eq!(session.deadline(), 120);
    session.transmit(120, 60_000, &mut out);
    assert_eq!(out.count(), 1);
}

/// Recorded from kcp-go v5.6.13: the packet of `Send("hello "), Send("world")`, and what a receiver
/// with frp's windows answers, with WASK and WINS.
const PUSH: &str = "44332211510000020000000000000000000000000b00000068656c6c6f20776f726c64";
const ANSWER: &str = "443322115200ff0301020000000000000100000000000000\
                      443322115300ff0301020000000000000100000000000000\
                      443322115400ff0301020000000000000100000000000000";

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// kcp-go has its whole window from the start.
fn with_window(mut packet: Vec<u8>, window: u16) -> Vec<u8> {
    packet[6..8].copy_from_slice(&window.to_le_bytes());
    packet
}

#[test]
fn a_packet_is_that_of_kcp_go() {
    let mut session = KcpSession::dialled(CONV, WINDOWS, 0);
    session.arq_mut().write(b"hello ", 0);
    session.arq_mut().write(b"world", 0);
    session.arq_mut().flush();
    let mut out = Datagrams::default();
    session.transmit(0, 60_000, &mut out);
    let datagram = out.iter().next().unwrap();
    let Some(Packet::Data {
        number: 0, packet, ..
    }) = parse(datagram)
    else {
        panic!("{datagram:?}");
    };
    assert_eq!(packet, with_window(unhex(PUSH), KCP_FIRST_WINDOW));
    assert_eq!(&datagram[..8], [0, 0, 0, 0, 0xf1, 0, 37, 0]);
}

#[test]
fn an_answer_of_kcp_go_is_understood_and_ours_is_like_it() {
    let mut sender = KcpSession::dialled(CONV, WINDOWS, 0);
    sender.arq_mut().write(b"hello world", 0);
    sender.arq_mut().flush();
    sender.transmit(0, 60_000, &mut Datagrams::default());
    assert!(!sender.arq().is_delivered());
    let _ = sender.receive(&unhex(ANSWER), 30);
    assert!(sender.arq().is_delivered());

    let mut push = unhex(PUSH);
    push[8..10].copy_from_slice(&[1, 2]);
    let mut receiver = KcpSession::accepted(opening(&push).unwrap(), WINDOWS, 0);
    receiver.establish();
    let _ = receiver.receive(&push, 0);
    let mut out = Datagrams::default();
    receiver.transmit(10, 60_000, &mut out);
    assert!(
        out.iter()
            .next()
            .unwrap()
            .starts_with(&with_window(unhex(&ANSWER[..48]), KCP_FIRST_WINDOW - 1))
    );
}

#[test]
fn a_peer_without_error_correction_is_answered_without_it() {
    let push = unhex(PUSH);
    let found = opening(&push).unwrap();
    assert_eq!(
        found,
        Opening {
            conv: CONV,
            fec: false
        }
    );
    let mut session = KcpSession::accepted(found, WINDOWS, 0);
    let _ = session.receive(&push, 0);
    let mut out = Datagrams::default();
    session.transmit(50, 60_000, &mut out);
    let answer = out.iter().next().unwrap();
    assert!(matches!(parse(answer), Some(Packet::Bare(_))));
    assert_eq!(conv_of(answer), Some(CONV));
}

#[test]
fn only_the_start_of_a_conversation_opens_one() {
    let mut other = unhex(PUSH);
    other[12..16].copy_from_slice(&1000u32.to_le_bytes());
    assert_eq!(opening(&other), None, "from the middle");
    let mut other = unhex(PUSH);
    other[16] = 7;
    assert_eq!(opening(&other), None, "it has had answers");
    assert_eq!(opening(&unhex(ANSWER)), None, "no data");
    let parity = [&[10, 0, 0, 0, 0xf2, 0][..], &[7; 60]].concat();
    assert_eq!(opening(&parity), None, "parity");
    assert_eq!(conv_of(&parity), None);
}

#[test]
fn a_silent_peer_is_asked_and_then_given_up() {
    let mut session = KcpSession::dialled(CONV, WINDOWS, 0);
    let mut asked = 0;
    let mut now = 0;
    while !session.arq().is_dead(now) {
        now = session.deadline();
        let mut out = Datagrams::default();
        session.transmit(now, 60_000, &mut out);
        asked += out.iter().filter(|d| d.get(12) == Some(&83)).count();
        assert!(now < 600_000, "never given up");
    }
    assert_eq!(now, 90_000);
    assert!((2..10).contains(&asked), "asked {asked} times");
}

#[test]
fn an_answered_question_keeps_a_session() {
    let mut run = Run::new(pair(true, content(10, 1), Vec::new()), CLEAN, 1);
    run.endless = true;
    assert!(!run.until_done(3_600_000));
    assert!(
        run.ends
            .iter()
            .all(|end| !end.session.arq().is_dead(run.now))
    );
    assert!(run.ends[0].datagrams < 300, "{}", run.ends[0].datagrams);
}

/// As long as frps waits for a login, and for the rest of what it sent.
const STRANGER_STAYS: u64 = 15_000;

/// What an address gets that may be forged, and what came from there, in bytes. `says` makes the `n`th
/// packet that comes from there, one each 10 ms.
fn burden(says: impl Fn(u32) -> Option<Vec<u8>>) -> usize {
    let with = burden_of(first(true), &says);
    with.min(burden_of(first(false), &says))
}

/// A first packet, with error correction or without.
fn first(fec: bool) -> Vec<u8> {
    let push = unhex(PUSH);
    if !fec {
        return push;
    }
    let mut sealed = vec![0, 0, 0, 0, 0xf1, 0];
    sealed.extend((push.len() as u16 + 2).to_le_bytes());
    sealed.extend(push);
    sealed
}

fn burden_of(push: Vec<u8>, says: impl Fn(u32) -> Option<Vec<u8>>) -> usize {
    let mut session = KcpSession::accepted(opening(&push).unwrap(), WINDOWS, 0);
    session.distrust(CLOCK, 0);
    let (mut got, mut came) = (0, push.len());
    let _ = session.receive(&push, 0);
    session.arq_mut().write(&[7; 30_000], 0);
    session.arq_mut().flush();
    for now in (0..STRANGER_STAYS).step_by(10) {
        got += transmit_all(&mut session, now).concat().len();
        // Whatever waits for the peer, waits without turning.
        assert!(session.deadline() > now);
        if let Some(packet) = says((now / 10) as u32) {
            came += packet.len();
            let _ = session.receive(&packet, now);
            assert!(!session.is_proven());
        }
        assert!(got <= 3 * came, "{got} bytes for {came}");
    }
    got
}

/// The clock that only the peer sees.
const CLOCK: u32 = 0x7a3c_91e5;

#[test]
fn a_forged_address_gets_three_times_what_came_from_it() {
    assert!(burden(|_| None) > 0);
}

/// Acknowledgements can be forged, too: all numbers begin at 0, and clocks are alike.
#[test]
fn forged_acknowledgements_bring_no_more() {
    burden(|n| (n == 0).then(|| segment(ACKS, 32, 0, 0)));
    burden(|n| (n == 0).then(|| segment(ACKS, 32, u32::MAX, 0)));
    for number in [0, 1, 2, u32::MAX] {
        for ago in [0, 1, 200] {
            burden(|n| {
                let mut packet = segment(ACKS, 32, number, 0);
                let time = (n * 10).wrapping_sub(ago);
                packet[8..12].copy_from_slice(&time.to_le_bytes());
                Some(packet)
            });
        }
    }
}

/// Whoever sends back what it was sent is there, whatever it acknowledges with it, and gets the rest.
/// What shows it comes as the peer sends itself: the kcp-go of frp 0.52 drops all else.
#[test]
fn an_echo_shows_that_the_peer_is_there() {
    for (data, fec) in [(0, false), (30_000, false), (0, true), (30_000, true)] {
        let push = first(fec);
        let mut session = KcpSession::accepted(opening(&push).unwrap(), WINDOWS, 0);
        session.distrust(CLOCK, 0);
        let _ = session.receive(&push, 0);
        session.arq_mut().write(&vec![7; data], 0);
        session.arq_mut().flush();
        let sent = transmit_all(&mut session, 3);
        let mut echoes = 0;
        for datagram in sent {
            let mut rest = match parse(&datagram) {
                Some(Packet::Bare(packet)) if !fec => packet,
                Some(Packet::Data { packet, .. }) if fec => packet,
                other => panic!("{other:?}"),
            };
            while let Ok(Some(pushed)) = split(&mut rest) {
                if pushed.command == Command::Push {
                    assert!(pushed.data.is_empty() || pushed.number != u32::MAX);
                    let mut ack = segment(ACKS, 1024, pushed.number, 0);
                    ack[8..12].copy_from_slice(&pushed.time.to_le_bytes());
                    echoes += usize::from(session.receive(&ack, 40).proved);
                }
            }
        }
        assert_eq!(echoes, 1);
        assert!(session.is_proven());
        let rest = transmit_all(&mut session, 50).concat().len();
        assert!(rest >= data);
    }
}

/// What is asked before a session begins is no larger than what asks for it, and the answer is known
/// again, with and without error correction.
#[test]
fn the_question_is_answered_by_every_kcp() {
    for fec in [false, true] {
        let began = first(fec);
        let asked = ask_for_echo(opening(&began).unwrap(), 99);
        let question: Vec<&[u8]> = asked.iter().collect();
        assert_eq!(question.len(), 1);
        assert!(question[0].len() < began.len());
        assert!(match parse(question[0]) {
            Some(Packet::Data { packet, .. }) => fec && packet.len() == 24,
            Some(Packet::Bare(packet)) => !fec && packet.len() == 24,
            _ => false,
        });
        assert_eq!(opening(question[0]), None);
        let mut peer = match fec {
            true => KcpSession::dialled(CONV, WINDOWS, 0),
            false => KcpSession::accepted(Opening { conv: CONV, fec }, WINDOWS, 0),
        };
        assert!(!peer.receive(question[0], 1).data);
        let answer = transmit_all(&mut peer, 50);
        assert_eq!(echo(&answer[0]), Some((Opening { conv: CONV, fec }, 99)));
        assert!(!peer.arq().is_ended());
    }
}

#[test]
fn a_stranger_is_kept_little_of() {
    let mut push = unhex(PUSH);
    let mut session = KcpSession::accepted(opening(&push).unwrap(), WINDOWS, 0);
    let mut kept = 0;
    for number in 0u32..2000 {
        push[12..16].copy_from_slice(&number.to_le_bytes());
        push.truncate(24);
        push[20..24].copy_from_slice(&1400u32.to_le_bytes());
        push.resize(24 + 1400, 7);
        let _ = session.receive(&push, 0);
    }
    let mut buf = vec![0; 4096];
    loop {
        let n = session.arq_mut().read(&mut buf);
        kept += n;
        if n == 0 {
            break;
        }
    }
    assert!(kept <= 40 * 1476, "{kept} bytes");
}

#[test]
fn a_peers_impossible_acknowledgement_changes_nothing() {
    let mut session = KcpSession::dialled(CONV, WINDOWS, 0);
    session.arq_mut().write(b"hello world", 0);
    session.arq_mut().flush();
    session.transmit(0, 60_000, &mut Datagrams::default());
    let mut forged = unhex(ANSWER);
    forged.truncate(24);
    forged[16..20].copy_from_slice(&7u32.to_le_bytes());
    let _ = session.receive(&forged, 1);
    assert!(!session.arq().is_delivered());
}

/// A packet of one segment of the peer, as a program without error correction sends it.
fn segment(command: u8, window: u16, number: u32, next: u32) -> Vec<u8> {
    let mut packet = CONV.to_le_bytes().to_vec();
    packet.extend([command, 0]);
    packet.extend(window.to_le_bytes());
    packet.extend(0u32.to_le_bytes());
    packet.extend(number.to_le_bytes());
    packet.extend(next.to_le_bytes());
    packet.extend(0u32.to_le_bytes());
    packet
}

const PUSHES: u8 = 81;
const ACKS: u8 = 82;
const ASKS: u8 = 83;
const TELLS: u8 = 84;

/// The commands of the first segments in what is due.
fn due(session: &mut KcpSession, now: u64) -> Vec<u8> {
    let all = transmit_all(session, now);
    let packet = |datagram: &Vec<u8>| match parse(datagram) {
        Some(Packet::Bare(packet) | Packet::Data { packet, .. }) => Some(packet[4]),
        _ => None,
    };
    all.iter().filter_map(packet).collect()
}

/// kcp-go acknowledges what it cannot move to its reader yet; that it could is said once, and that
/// word may get lost.
#[test]
fn a_peer_that_has_taken_everything_out_of_order_is_asked() {
    let mut session = KcpSession::dialled(CONV, WINDOWS, 0);
    session.arq_mut().write(&[7; 100], 0);
    session.arq_mut().flush();
    assert_eq!(due(&mut session, 0), [PUSHES]);
    let _ = session.receive(&segment(ACKS, 0, 0, 0), 10);
    let mut now = 10;
    let mut asked = false;
    while !asked && now < 20_000 {
        now = session.deadline();
        asked = due(&mut session, now).contains(&ASKS);
    }
    assert!(asked, "not asked until {now} ms");
    let _ = session.receive(&segment(TELLS, 32, 0, 1), now);
    assert!(session.arq().is_delivered());
}

#[test]
fn an_overtaken_packet_does_not_open_the_window() {
    let mut session = KcpSession::dialled(CONV, WINDOWS, 0);
    session.arq_mut().write(&[7; 2 * (MTU - 24)], 0);
    session.arq_mut().flush();
    assert_eq!(due(&mut session, 0), [PUSHES, PUSHES]);
    // Both have come and nobody reads: the window is closed. What was sent before comes after.
    let _ = session.receive(&segment(ACKS, 0, 1, 2), 10);
    let _ = session.receive(&segment(ACKS, 32, 0, 1), 11);
    session.arq_mut().write(&[7; 100], 12);
    session.arq_mut().flush();
    assert!(due(&mut session, 12).is_empty());
    let _ = session.receive(&segment(TELLS, 32, 0, 2), 20);
    assert_eq!(due(&mut session, 20), [PUSHES]);
}

#[test]
fn what_nobody_will_read_is_acknowledged_and_not_kept() {
    let push = unhex(PUSH);
    let mut session = KcpSession::accepted(opening(&push).unwrap(), WINDOWS, 0);
    let _ = session.receive(&push, 0);
    session.arq_mut().discard();
    assert!(!session.arq().is_readable());
    let mut second = push.clone();
    second[12..16].copy_from_slice(&1u32.to_le_bytes());
    let _ = session.receive(&second, 1);
    assert!(!session.arq().is_readable());
    let all = transmit_all(&mut session, 50);
    let last = all.last().unwrap();
    // No room, and both are here.
    assert_eq!(last[6..8], [0, 0], "{last:?}");
    assert_eq!(last[16..20], [2, 0, 0, 0], "{last:?}");
}

#[test]
fn what_came_before_a_fault_is_told_to_the_reader() {
    let mut session = KcpSession::dialled(CONV, WINDOWS, 0);
    let mut packet = unhex(PUSH);
    packet.extend(CONV.to_le_bytes());
    packet.extend([200; 20]);
    let brought = session.receive(&packet, 0);
    assert!(brought.data && brought.heard);
    let nobody = session.receive(b"x", 0);
    assert!(!nobody.heard);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_network_that_lets_something_through_is_enough(
        lost in 0u64..500,
        doubled in 0u64..300,
        delay in 0u64..300,
        jitter in 0u64..200,
        fec: bool,
        up in 0usize..60_000,
        down in 0usize..60_000,
        seed in 1u64..,
    ) {
        let network = Network { lost, doubled, delay, jitter };
        let (up, down) = (content(up, seed), content(down, seed ^ 5));
        let mut run = Run::new(pair(fec, up.clone(), down.clone()), network, seed);
        prop_assert!(run.until_done(3_600_000));
        prop_assert!(run.ends[0].got == down && run.ends[1].got == up);
    }

    #[test]
    fn no_packet_is_too_long(len in 1usize..20_000) {
        let mut session = KcpSession::dialled(CONV, WINDOWS, 0);
        session.arq_mut().write(&content(len, 1), 0);
        session.arq_mut().flush();
        let all = transmit_all(&mut session, 0);
        prop_assert!(all.iter().all(|datagram| datagram.len() <= MTU + 8));
    }
}
