//! What a kcp session does to a link that is narrower than its windows: it fills the link, and neither the
//! queue in front of it nor the ground behind that.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;

use frp_net::kcp::params::WINDOWS;
use frp_net::kcp::session::{Datagrams, KcpSession, Opening};

const CONV: u32 = 0x1122_3344;

/// One direction. Times are milliseconds.
struct Link {
    bytes_per_ms: f64,
    delay: f64,
    /// A datagram that would wait for longer is lost.
    queue: f64,
    free: f64,
    under_way: VecDeque<(f64, Vec<u8>)>,
    taken: u32,
    lost: u32,
}

impl Link {
    fn new(mbit: f64, round_trip: f64, queue: f64) -> Self {
        Self {
            bytes_per_ms: mbit * 125.0,
            delay: round_trip / 2.0,
            queue,
            free: 0.0,
            under_way: VecDeque::new(),
            taken: 0,
            lost: 0,
        }
    }

    fn send(&mut self, now: f64, datagram: &[u8]) {
        self.taken += 1;
        let free = self.free.max(now);
        if free - now > self.queue {
            self.lost += 1;
            return;
        }
        // With the headers of IP and UDP.
        self.free = free + (datagram.len() + 28) as f64 / self.bytes_per_ms;
        let arrives = self.free + self.delay;
        self.under_way.push_back((arrives, datagram.to_vec()));
    }

    fn arrived(&mut self, now: f64) -> Option<Vec<u8>> {
        let is_there = self.under_way.front().is_some_and(|(at, _)| *at <= now);
        is_there.then(|| self.under_way.pop_front().unwrap().1)
    }
}

/// What a writer that never stops does from the third to the last second: the share of the link that bytes
/// of the stream take, the mean queue in ms, and the share of datagrams that were lost.
fn fill(mbit: f64, round_trip: f64, queue: f64, seconds: u64) -> (f64, f64, f64) {
    let mut links = [(); 2].map(|()| Link::new(mbit, round_trip, queue));
    let mut accepted = KcpSession::accepted(
        Opening {
            conv: CONV,
            fec: true,
        },
        WINDOWS,
        0,
    );
    accepted.establish();
    let mut ends = [KcpSession::dialled(CONV, WINDOWS, 0), accepted];
    let (mut read, mut waited) = (0, 0.0);
    let mut buffer = vec![0; 1 << 20];
    let mut out = Datagrams::default();
    for now in 0..seconds * 1000 {
        let at = now as f64;
        if now == 2000 {
            (read, waited) = (0, 0.0);
            (links[0].taken, links[0].lost) = (0, 0);
        }
        for (end, link) in ends.iter_mut().zip([1, 0]) {
            while let Some(datagram) = links[link].arrived(at) {
                end.receive(&datagram, now);
            }
        }
        while ends[0].arq().is_writable() && ends[0].arq_mut().write(&[7; 16_384], now) > 0 {}
        loop {
            match ends[1].arq_mut().read(&mut buffer) {
                0 => break,
                n => read += n,
            }
        }
        for (end, link) in ends.iter_mut().zip(&mut links) {
            out.clear();
            end.transmit(now, usize::MAX, &mut out);
            out.iter().for_each(|datagram| link.send(at, datagram));
        }
        waited += (links[0].free - at).max(0.0);
    }
    let counted = (seconds - 2) as f64 * 1000.0;
    (
        read as f64 / (counted * links[0].bytes_per_ms),
        waited / counted,
        f64::from(links[0].lost) / f64::from(links[0].taken),
    )
}

#[test]
fn a_narrow_link_is_filled_and_its_queue_is_not() {
    let (used, waited, lost) = fill(20.0, 20.0, 20.0, 8);
    // Error correction takes three of thirteen.
    assert!(used > 0.7, "{used}");
    assert!(waited < 12.0, "{waited} ms");
    assert!(lost < 0.01, "{lost}");
}

#[test]
fn a_deep_queue_is_not_filled_either() {
    let (used, waited, _) = fill(20.0, 20.0, 1000.0, 8);
    assert!(used > 0.7, "{used}");
    assert!(waited < 20.0, "{waited} ms");
}

#[test]
fn a_link_of_some_packets_carries_more_than_what_is_lost() {
    let (used, _, lost) = fill(2.0, 20.0, 20.0, 12);
    assert!(used > 0.6, "{used}");
    assert!(lost < 0.3, "{lost}");
}

#[test]
fn a_long_and_wide_link_is_filled() {
    let (used, _, _) = fill(200.0, 100.0, 100.0, 8);
    assert!(used > 0.6, "{used}");
}
