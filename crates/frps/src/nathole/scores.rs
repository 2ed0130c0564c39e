//! What is tried for two networks, by what has worked for them before (frp `pkg/nathole/analysis.go`): of the
//! ways that fit, the one with the best score. It falls by one with each use and rises by two with each
//! success.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use frp_proto::nathole::Role;
use frp_proto::nathole::feature::{Behavior as Change, NatFeature, NatType};
use tokio::time::Instant;

use super::behaviors::{MODES, Way, way};
use crate::limits::MAX_NETWORK_PAIRS;

/// The best score of a way.
const BEST: i32 = 10;

/// What a success adds.
const SUCCESS: i32 = 2;

/// A network, as far as it matters what works for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Network {
    /// The first address at which it was seen.
    ip: IpAddr,
    change: Change,
    regular: bool,
}

/// The network of the proxy's client, and that of the visitor.
pub(super) type Pair = (Network, Network);

/// What was decided for a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decided {
    pair: Pair,
    pub(super) mode: u8,
    pub(super) index: u8,
}

/// Of all pairs that have been seen lately.
#[derive(Debug, Default)]
pub(super) struct Scores {
    pairs: HashMap<Pair, Ways>,
    looked_through: Option<Instant>,
}

#[derive(Debug)]
struct Ways {
    scores: Vec<Score>,
    used: Instant,
}

#[derive(Debug)]
struct Score {
    mode: u8,
    index: u8,
    score: i32,
}

impl Network {
    pub(super) fn new(ip: IpAddr, feature: &NatFeature) -> Self {
        Self {
            ip,
            change: feature.behavior,
            regular: feature.regular_ports_change(),
        }
    }
}

impl Scores {
    /// What the proxy's client and the visitor do next. Pairs that were not seen for `kept` are forgotten.
    pub(super) fn decide(
        &mut self,
        pair: Pair,
        (client, visitor): (&NatFeature, &NatFeature),
        kept: Duration,
    ) -> (Decided, Way) {
        let now = Instant::now();
        self.forget(now, kept);
        let fresh = || Ways {
            scores: fitting(client, visitor),
            used: now,
        };
        let ways = self.pairs.entry(pair).or_insert_with(fresh);
        ways.used = now;
        let mut best: Option<&mut Score> = None;
        for score in &mut ways.scores {
            // Of equal ones the first.
            if best.as_ref().is_none_or(|best| score.score > best.score) {
                best = Some(score);
            }
        }
        let (mode, index) = best.map_or((0, 0), |best| {
            best.score = best.score.saturating_sub(1);
            (best.mode, best.index)
        });
        let decided = Decided { pair, mode, index };
        (decided, assigned(mode, index, client))
    }

    /// What was decided has worked.
    pub(super) fn succeeded(&mut self, decided: &Decided) {
        let Some(ways) = self.pairs.get_mut(&decided.pair) else {
            return;
        };
        ways.used = Instant::now();
        let mut scores = ways.scores.iter_mut();
        let of = |score: &&mut Score| (score.mode, score.index) == (decided.mode, decided.index);
        if let Some(score) = scores.find(of) {
            score.score = score.score.saturating_add(SUCCESS).min(BEST);
        }
    }

    /// Old ones now and then; where there are too many, the longest unused eighth, too.
    fn forget(&mut self, now: Instant, kept: Duration) {
        let every = Duration::from_secs(60 * 60).min(kept);
        let is_full = self.pairs.len() >= MAX_NETWORK_PAIRS;
        let since = |at: Instant| now.saturating_duration_since(at);
        if !is_full && self.looked_through.is_some_and(|at| since(at) < every) {
            return;
        }
        self.looked_through = Some(now);
        self.pairs.retain(|_, ways| since(ways.used) <= kept);
        if self.pairs.len() >= MAX_NETWORK_PAIRS {
            let mut used: Vec<Instant> = self.pairs.values().map(|ways| ways.used).collect();
            let (_, oldest, _) = used.select_nth_unstable(MAX_NETWORK_PAIRS / 8);
            let oldest = *oldest;
            self.pairs.retain(|_, ways| ways.used > oldest);
        }
    }
}

/// The ways for two such networks, with their first scores, in the order in which they are tried.
fn fitting(client: &NatFeature, visitor: &NatFeature) -> Vec<Score> {
    let mut scores = Vec::new();
    let mut add = |mode: u8, first: fn(&Way) -> i32| {
        let ways = MODES.get(usize::from(mode)).copied().unwrap_or_default();
        scores.extend((0_u8..).zip(ways).map(|(index, way)| Score {
            mode,
            index,
            score: first(way),
        }));
    };
    // Who has no NAT is best the receiver.
    let easy: fn(&Way) -> i32 = match (client.public_network, visitor.public_network) {
        (true, _) => |(client, _)| i32::from(client.role == Role::Receiver),
        (false, true) => |(client, _)| i32::from(client.role == Role::Sender),
        (false, false) => |_| 0,
    };
    let is_hard = |of: &&NatFeature| of.nat_type() == NatType::Hard;
    let hard = [client, visitor].into_iter().filter(is_hard);
    let regular = hard.clone().filter(|of| of.regular_ports_change());
    match (hard.count(), regular.count()) {
        (0, _) => add(0, easy),
        (1, 1) => {
            add(1, |_| 0);
            add(2, |_| 0);
            add(0, easy);
        }
        (1, _) => {
            add(2, |_| 0);
            add(1, |_| 0);
            add(0, easy);
        }
        (_, 2) => {
            add(3, |_| 0);
            add(4, |_| 0);
        }
        (_, 1) => add(4, |_| 0),
        // Hardly ever works.
        _ => {
            add(0, |_| 1);
            add(1, |_| 1);
            add(3, |_| 1);
        }
    }
    scores
}

/// Who does what: in three modes the kind of NAT says it.
fn assigned(mode: u8, index: u8, client: &NatFeature) -> Way {
    let (first, second) = way(mode, index);
    let exchanged = match mode {
        // The one whose port changes is the sender.
        1 => client.nat_type() == NatType::Easy,
        // And here the receiver.
        2 => client.nat_type() == NatType::Hard,
        // The one whose port can be guessed is the sender.
        4 => !client.regular_ports_change(),
        _ => false,
    };
    match exchanged {
        true => (second, first),
        false => (first, second),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::nathole::behaviors::Behavior;
    use serde_json::Value;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn feature(name: &str) -> NatFeature {
        let (behavior, ports_difference, public_network) = match name {
            "easy" => (Change::NoChange, 0, false),
            "public" => (Change::NoChange, 0, true),
            "regular" => (Change::PortChanged, 2, false),
            "hard_public" => (Change::PortChanged, 2, true),
            "irregular" => (Change::PortChanged, 1000, false),
            "ip" => (Change::IpChanged, 0, false),
            "both" => (Change::BothChanged, 0, false),
            other => panic!("{other}"),
        };
        NatFeature {
            behavior,
            ports_difference,
            public_network,
        }
    }

    fn pair(n: u32) -> Pair {
        let network = |n| Network::new(IpAddr::V4(n), &feature("easy"));
        (network(n.into()), network([192, 0, 2, 1].into()))
    }

    fn shown(behavior: &Behavior) -> String {
        let Behavior {
            role,
            ttl,
            send_delay_ms,
            ports_range,
            random_ports,
            listen_ports,
        } = behavior;
        format!(
            "{role} ttl={ttl} delay={send_delay_ms} range={ports_range} random={random_ports} \
             listen={listen_ports}"
        )
    }

    /// Recorded from frp's own analysis: "MODE/INDEX" and the client's role, `+` where it was reported to
    /// have worked.
    #[tokio::test]
    async fn what_is_tried_is_what_frp_tries() {
        let golden: Value =
            serde_json::from_str(include_str!("../../tests/golden/nathole.json")).unwrap();
        let known = golden["behaviors"].as_array().unwrap();
        let decisions = golden["decisions"].as_array().unwrap();
        assert_eq!(decisions.len(), 49);
        for vector in decisions {
            let of = |side: &str| feature(vector[side].as_str().unwrap());
            let (client, visitor) = (of("client"), of("visitor"));
            let mut scores = Scores::default();
            for step in vector["steps"].as_str().unwrap().split(' ') {
                let (decided, way) = scores.decide(pair(1), (&client, &visitor), DAY);
                let Decided { mode, index, .. } = decided;
                let role = &way.0.role.as_str()[..1];
                let expected = step.trim_end_matches('+');
                assert_eq!(format!("{mode}/{index}{role}"), expected, "{vector}");
                let told = format!("{mode}/{index} {}|{}", shown(&way.0), shown(&way.1));
                assert!(known.iter().any(|known| *known == told), "{told}");
                if step.ends_with('+') {
                    scores.succeeded(&decided);
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_for_long_is_forgotten() {
        let easy = feature("easy");
        let mut scores = Scores::default();
        let mut decide = |n: u32| scores.decide(pair(n), (&easy, &easy), DAY).0.index;
        assert_eq!([decide(1), decide(1)], [0, 1]);
        tokio::time::advance(DAY / 2).await;
        assert_eq!(decide(2), 0);
        tokio::time::advance(DAY / 2 + Duration::from_secs(1)).await;
        assert_eq!([decide(1), decide(2)], [0, 1], "the first is new again");
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_networks_there_are_so_many_are_remembered() {
        let easy = feature("easy");
        let mut scores = Scores::default();
        for n in 0..u32::try_from(MAX_NETWORK_PAIRS + 10).unwrap() {
            tokio::time::advance(Duration::from_millis(1)).await;
            scores.decide(pair(n), (&easy, &easy), DAY);
            assert!(scores.pairs.len() <= MAX_NETWORK_PAIRS);
        }
        assert!(!scores.pairs.contains_key(&pair(0)), "the oldest go");
        assert!(scores.pairs.len() > MAX_NETWORK_PAIRS / 2);
    }
}
