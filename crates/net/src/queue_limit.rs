//! How much may be under way before it waits in a queue of the path, which makes everything behind it wait?
//!
//! A sender that only knows losses fills whatever queue stands before the narrowest link, and then a
//! keystroke waits behind all of it. Here the shortest round trip of each round tells: what even the
//! luckiest packet of a whole round has waited is a standing queue (as RFC 8289 has it), and so much less
//! is sent. Jitter does not look so, for some packets of a round have none.
//!
//! Where the queue stays although less is sent, it is somebody else's. Then this side fills it as well for
//! a while: it would get nothing otherwise.

use std::time::Duration;

/// Bytes that may be under way. Times count from any moment that stays the same.
#[derive(Debug, Clone)]
pub(crate) struct QueueLimit {
    /// None: as much as the window allows.
    limit: Option<u64>,
    /// Of a sender that no loss slows down.
    carried: Option<Carried>,
    /// The shortest round trips: of this period, and of the one before.
    shortest: [Duration; 2],
    period: Duration,
    /// The round is over when something is acknowledged that was sent after this.
    round: Duration,
    round_shortest: Duration,
    round_full: bool,
    /// What is acknowledged in this round was sent before the limit was.
    unsettled: bool,
    /// Reductions one after the other.
    unheeded: u32,
    /// Until then the limit is not lowered.
    pause: Duration,
    /// The limit before the queue was emptied to see how long the path is.
    emptied: Option<u64>,
}

/// Waiting that is no standing queue: half of the shortest round trip, and at least this, which is what
/// the programs at both ends need for a turn.
const LEAST_QUEUE: Duration = Duration::from_millis(2);

/// Bytes that are never too many where the round trip takes no longer than [`LEAST_QUEUE`]: the queue there
/// is one of the systems and programs, and less would make them work in small pieces.
const NEAR: u64 = 256 * 1024;

/// Packets that are never too many.
const FEW: u64 = 5;

/// A path may become longer: the shortest round trip of the last one or two such periods counts.
const PERIOD: Duration = Duration::from_secs(20);

/// Reductions without effect after which the queue is somebody else's.
const UNHEEDED: u32 = 6;

/// How long the queue is taken to be somebody else's.
const PAUSE: Duration = Duration::from_secs(10);

impl QueueLimit {
    /// No limit at first.
    pub(crate) fn none() -> Self {
        Self {
            limit: None,
            carried: None,
            shortest: [Duration::MAX; 2],
            period: Duration::ZERO,
            round: Duration::ZERO,
            round_shortest: Duration::MAX,
            round_full: false,
            unsettled: false,
            unheeded: 0,
            pause: Duration::ZERO,
            emptied: None,
        }
    }

    /// For a sender that no loss slows down: no more than twice of what the path has carried lately within
    /// a round trip. So many bytes at first.
    pub(crate) fn by_what_is_carried(first: u64) -> Self {
        Self {
            carried: Some(Carried {
                limit: first,
                ..Carried::default()
            }),
            ..Self::none()
        }
    }

    /// What may be under way where the window is so large.
    pub(crate) fn of(&self, window: u64) -> u64 {
        let carried = self
            .carried
            .as_ref()
            .map_or(window, |carried| carried.limit);
        self.limit.unwrap_or(window).min(carried).min(window)
    }

    /// So many bytes have been acknowledged, the last of which were sent at `sent`. `window` and `packet` are
    /// bytes, `full` tells whether more would have been under way if it were allowed.
    pub(crate) fn acknowledged(
        &mut self,
        now: Duration,
        sent: Duration,
        bytes: u64,
        (window, packet): (u64, u64),
        full: bool,
    ) {
        if let Some(carried) = &mut self.carried {
            carried.bytes += bytes;
        }
        let took = now.saturating_sub(sent);
        if now >= self.period + PERIOD {
            self.period = now;
            self.shortest = [took, self.shortest[0]];
            self.empty(window);
        }
        self.shortest[0] = self.shortest[0].min(took);
        self.round_shortest = self.round_shortest.min(took);
        self.round_full |= full;
        if sent < self.round {
            return;
        }
        let started = std::mem::replace(&mut self.round, now);
        let round = std::mem::replace(&mut self.round_shortest, Duration::MAX);
        let full = std::mem::take(&mut self.round_full);
        let shortest = self.shortest[0].min(self.shortest[1]);
        if let Some(carried) = &mut self.carried {
            carried.round(now - started, shortest, packet, full);
        }
        if std::mem::take(&mut self.unsettled) {
            return;
        }
        if let Some(before) = self.emptied.take() {
            self.limit = Some(before);
            return;
        }
        let allowed = LEAST_QUEUE.max(shortest / 2);
        if round <= shortest + allowed {
            self.unheeded = 0;
            if full {
                self.raise(window, packet);
            }
        } else if full && now >= self.pause {
            let goal = shortest + allowed * 3 / 4;
            let least = match shortest <= LEAST_QUEUE {
                true => NEAR,
                false => FEW * packet,
            };
            self.lower(now, window, goal.as_secs_f64() / round.as_secs_f64(), least);
        }
    }

    fn raise(&mut self, window: u64, packet: u64) {
        let Some(limit) = self.limit else { return };
        let more = packet.max(limit / 32);
        self.limit = Some(limit + more).filter(|limit| *limit < window.saturating_mul(2));
    }

    fn lower(&mut self, now: Duration, window: u64, to: f64, least: u64) {
        self.unheeded += 1;
        if self.unheeded > UNHEEDED {
            self.unheeded = 0;
            self.limit = None;
            self.pause = now + PAUSE;
            return;
        }
        let lowered = (self.of(window) as f64 * to) as u64;
        self.limit = Some(lowered.max(least));
        self.unsettled = true;
    }

    /// For a round, so that what the path itself takes can be seen under all that is sent.
    fn empty(&mut self, window: u64) {
        if let (Some(limit), None) = (self.limit, self.emptied) {
            self.emptied = Some(limit);
            self.limit = Some(self.of(window) / 2);
            self.unsettled = true;
        }
    }
}

/// What the path has carried in the last rounds.
#[derive(Debug, Clone, Default)]
struct Carried {
    /// Bytes that may be under way.
    limit: u64,
    /// Of this round.
    bytes: u64,
    /// Bytes a second, of rounds that could have carried more, one after the other.
    rates: [f64; CARRIED_ROUNDS],
    next: usize,
}

/// Of what was carried in a round, so much may be under way in the next. More, and who does not heed losses
/// causes them.
const MORE: f64 = 1.6;

/// Rounds of which the one with the most counts.
const CARRIED_ROUNDS: usize = 8;

/// A round trip counts as at least this long: kcp-go collects acknowledgements for so long.
const LEAST_ROUND: Duration = Duration::from_millis(20);

impl Carried {
    fn round(&mut self, took: Duration, shortest: Duration, packet: u64, full: bool) {
        let bytes = std::mem::take(&mut self.bytes);
        let rate = bytes as f64 / took.max(Duration::from_millis(1)).as_secs_f64();
        let most = self.rates.iter().copied().fold(0.0, f64::max);
        if full || rate > most {
            self.rates[self.next % CARRIED_ROUNDS] = rate;
            self.next += 1;
        }
        let most = self.rates.iter().copied().fold(0.0, f64::max);
        let within = shortest.max(LEAST_ROUND).as_secs_f64();
        self.limit = ((MORE * most * within) as u64).max(FEW * packet);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PACKET: u64 = 1000;

    /// A link of so many bytes a second, `rtt` there and back, behind a queue without end. What others send
    /// there waits `theirs` long.
    struct Link {
        rate: f64,
        rtt: Duration,
        theirs: Duration,
        jitter: Duration,
    }

    impl Link {
        /// Sends as much as it may for `seconds`. The longest and the last round trip of the last
        /// second, and the share of the link that was used in it.
        fn run(&self, limit: &mut QueueLimit, window: u64, seconds: u64) -> (Duration, f64) {
            let mut under_way = std::collections::VecDeque::new();
            let (mut bytes, mut free) = (0, Duration::ZERO);
            let mut now = Duration::ZERO;
            let end = Duration::from_secs(seconds);
            let (mut longest, mut carried, mut count) = (Duration::ZERO, 0, 0_u32);
            while now < end {
                while bytes + PACKET <= limit.of(window) {
                    free = free.max(now) + Duration::from_secs_f64(PACKET as f64 / self.rate);
                    count += 1;
                    let late = if count.is_multiple_of(5) {
                        Duration::ZERO
                    } else {
                        self.jitter
                    };
                    under_way.push_back((now, free + self.rtt + self.theirs + late));
                    bytes += PACKET;
                }
                let (sent, arrives) = under_way.pop_front().unwrap();
                bytes -= PACKET;
                now = now.max(arrives);
                if now + Duration::from_secs(1) > end {
                    longest = longest.max(now - sent);
                    carried += PACKET;
                }
                limit.acknowledged(now, sent, PACKET, (window, PACKET), true);
            }
            (longest, carried as f64 / self.rate)
        }
    }

    const SLOW: Link = Link {
        rate: 2.5e6,
        rtt: Duration::from_millis(20),
        theirs: Duration::ZERO,
        jitter: Duration::ZERO,
    };

    #[test]
    fn a_large_window_fills_the_link_and_no_queue() {
        for mut limit in [
            QueueLimit::none(),
            QueueLimit::by_what_is_carried(16 * PACKET),
        ] {
            let (longest, used) = SLOW.run(&mut limit, 2_000_000, 30);
            assert!(longest < Duration::from_millis(35), "{longest:?}");
            assert!(used > 0.97, "{used}");
        }
    }

    #[test]
    fn a_queue_of_somebody_else_is_shared() {
        let mut limit = QueueLimit::none();
        // They come after the path was measured.
        SLOW.run(&mut limit, 50_000, 2);
        let mut crowded = limit;
        crowded.shortest = [SLOW.rtt; 2];
        crowded.period = Duration::from_secs(1);
        let link = Link {
            theirs: Duration::from_millis(200),
            ..SLOW
        };
        let (_, used) = link.run(&mut crowded, 550_000, 9);
        assert!(used > 0.9, "{used}");
    }

    #[test]
    fn jitter_is_no_queue() {
        let link = Link {
            jitter: Duration::from_millis(30),
            ..SLOW
        };
        let mut limit = QueueLimit::none();
        let (_, used) = link.run(&mut limit, 200_000, 10);
        assert!(used > 0.9, "{used}");
    }

    #[test]
    fn a_path_that_became_longer_is_not_a_queue_for_ever() {
        let mut limit = QueueLimit::by_what_is_carried(16 * PACKET);
        SLOW.run(&mut limit, 2_000_000, 10);
        let link = Link {
            rtt: Duration::from_millis(200),
            ..SLOW
        };
        limit.round = Duration::ZERO;
        limit.period = Duration::ZERO;
        let (longest, used) = link.run(&mut limit, 2_000_000, 90);
        assert!(used > 0.9, "{used}");
        assert!(longest < Duration::from_millis(400), "{longest:?}");
    }
}
