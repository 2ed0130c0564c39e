//! What the way itself does to packets: it takes time, loses some, delivers some late or twice, and is only so wide.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// A way between the hosts, the same in both directions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Path {
    /// How long a packet takes: half of the round trip.
    pub delay: Duration,
    /// How many of a thousand packets get lost, by a generator with a fixed start.
    pub lost_of_1000: u32,
    /// How many arrive that much later than others, which overtake them.
    pub late_of_1000: u32,
    /// See there.
    pub late_by: Duration,
    /// How many arrive twice.
    pub twice_of_1000: u32,
    /// How wide it is in one direction; None for no limit.
    pub rate: Option<Rate>,
}

/// How wide a way is, and what happens to what does not fit.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Bytes per second, headers of IP included.
    pub bytes: u32,
    /// A packet that would wait longer than this for the way to be free is lost.
    pub queue: Duration,
}

/// The packets on their way.
#[derive(Debug)]
pub(super) struct Line {
    queue: BinaryHeap<Reverse<(Instant, u64, Bound)>>,
    count: u64,
    random: u64,
    /// When the way to each host is free.
    free: Vec<Option<Instant>>,
}

/// A packet, and the number of the host that it goes to.
type Bound = (usize, Vec<u8>);

impl Line {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            queue: BinaryHeap::new(),
            count: 0,
            random: 0x9E37_79B9_7F4A_7C15,
            free: vec![None; hosts],
        }
    }

    /// Sends `bytes` to host number `to`, unless they get lost.
    pub(super) fn send(&mut self, path: &Path, now: Instant, to: usize, bytes: Vec<u8>) {
        if self.is_one(path.lost_of_1000) {
            return;
        }
        let mut sent = now;
        if let Some(rate) = path.rate {
            let free = self.free[to].map_or(now, |free| free.max(now));
            if free.duration_since(now) > rate.queue {
                return;
            }
            sent = free + Duration::from_secs_f64(bytes.len() as f64 / f64::from(rate.bytes));
            self.free[to] = Some(sent);
        }
        let mut due = sent + path.delay;
        if self.is_one(path.late_of_1000) {
            due += path.late_by;
        }
        if self.is_one(path.twice_of_1000) {
            self.push(due, (to, bytes.clone()));
        }
        self.push(due, (to, bytes));
    }

    fn push(&mut self, due: Instant, bound: Bound) {
        self.count += 1;
        self.queue.push(Reverse((due, self.count, bound)));
    }

    /// The next packet that has arrived by `now`, in order.
    pub(super) fn arrived(&mut self, now: Instant) -> Option<Bound> {
        if self.next_due()? > now {
            return None;
        }
        self.queue.pop().map(|Reverse((_, _, bound))| bound)
    }

    /// When the next packet arrives.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((due, _, _))| *due)
    }

    /// Whether this one is among so many.
    fn is_one(&mut self, of_1000: u32) -> bool {
        if of_1000 == 0 {
            return false;
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 1000 < u64::from(of_1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_arrive_in_order_and_in_time() {
        let now = Instant::now();
        let delay = Duration::from_millis(100);
        let path = Path {
            delay,
            ..Path::default()
        };
        let mut line = Line::new(1);
        for i in 0..3 {
            line.send(&path, now, 0, vec![i]);
        }
        assert_eq!(line.next_due(), Some(now + delay));
        assert!(line.arrived(now).is_none());
        let arrived: Vec<_> = std::iter::from_fn(|| line.arrived(now + delay)).collect();
        assert_eq!(arrived, [(0, vec![0]), (0, vec![1]), (0, vec![2])]);
    }

    #[test]
    fn some_are_overtaken_and_some_arrive_twice() {
        let now = Instant::now();
        let late_by = Duration::from_millis(5);
        let path = Path {
            late_of_1000: 100,
            late_by,
            twice_of_1000: 100,
            ..Path::default()
        };
        let mut line = Line::new(1);
        for _ in 0..10_000 {
            line.send(&path, now, 0, Vec::new());
        }
        let in_time = std::iter::from_fn(|| line.arrived(now)).count();
        let late = std::iter::from_fn(|| line.arrived(now + late_by)).count();
        assert!((9_600..=10_200).contains(&in_time), "{in_time}");
        assert!((10_800..=11_200).contains(&(in_time + late)), "{late}");
    }

    #[test]
    fn one_in_a_hundred_gets_lost_and_a_narrow_way_queues() {
        let now = Instant::now();
        let lossy = Path {
            lost_of_1000: 10,
            ..Path::default()
        };
        let mut line = Line::new(1);
        for _ in 0..100_000 {
            line.send(&lossy, now, 0, Vec::new());
        }
        let arrived = std::iter::from_fn(|| line.arrived(now)).count();
        assert!((98_500..=99_500).contains(&arrived), "{arrived}");

        let narrow = Path {
            rate: Some(Rate {
                bytes: 1000,
                queue: Duration::from_millis(100),
            }),
            ..Path::default()
        };
        let mut line = Line::new(1);
        for _ in 0..1000 {
            line.send(&narrow, now, 0, vec![0; 10]);
        }
        // 10 ms each: those that would wait for more than 100 ms are lost.
        let later = now + Duration::from_secs(10);
        assert_eq!(std::iter::from_fn(|| line.arrived(later)).count(), 11);
    }
}
