//! What frps tells one side of a hole to do, as far as it is followed.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use frp_config::XtcpProtocol;
use frp_log::shown_name;
use frp_proto::msg::{NatHoleResp, PortsRange};
use frp_proto::nathole::Role;
use frp_proto::nathole::feature::{NatFeature, NatType, classify};
use frp_proto::nathole::reach::may_be_sent_to;

use crate::limits::{
    HOLE_WAIT, MAX_HOLE_ADDRESSES, MAX_HOLE_DELAY, MAX_HOLE_IPS, MAX_HOLE_PORTS,
    MAX_HOLE_RANDOM_PORTS, MAX_HOLE_SOCKETS, MAX_HOLE_WAIT,
};

/// One side's part in a hole.
#[derive(Debug)]
pub(crate) struct Orders {
    /// Which hole.
    pub(crate) sid: String,
    pub(crate) protocol: XtcpProtocol,
    pub(super) role: Role,
    /// Hops that datagrams to [`seen`](Self::seen) may go, lest the peer's NAT take offence at them.
    pub(super) ttl: Option<u32>,
    /// Until the first datagram.
    pub(super) delay: Duration,
    /// How long to wait for the peer behind it.
    pub(super) wait: Duration,
    /// The peer, as the world sees it.
    pub(super) seen: Vec<SocketAddr>,
    /// The peer's own addresses, and what else may lead to it.
    pub(super) own: Vec<SocketAddr>,
    /// Ports that the peer's NAT may have given it for us.
    pub(super) ports: Vec<RangeInclusive<u16>>,
    /// How many ports to guess.
    pub(super) random_ports: usize,
    /// Sockets to open beside the first.
    pub(super) sockets: usize,
}

/// What frps says makes no hole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrdersError {
    #[error("the server names no address of the peer")]
    NoAddress,
    #[error("the server names no address of the peer that may be sent to: {0}")]
    NoneAllowed(String),
}

impl Orders {
    /// `parties` as for [`may_be_sent_to`].
    pub(crate) fn new(answer: &NatHoleResp, parties: &[IpAddr]) -> Result<Self, OrdersError> {
        if answer.candidate_addrs.is_empty() {
            return Err(OrdersError::NoAddress);
        }
        let seen = addresses(&answer.candidate_addrs, parties);
        let own = addresses(&answer.assisted_addrs, parties);
        if seen.is_empty() && own.is_empty() {
            let named = answer.candidate_addrs.iter().take(2);
            let named: Vec<_> = named.map(|addr| shown_name(addr)).collect();
            return Err(OrdersError::NoneAllowed(named.join(" ")));
        }
        let behavior = &answer.detect_behavior;
        Ok(Self {
            sid: answer.sid.clone(),
            protocol: match answer.protocol.as_str() {
                "kcp" => XtcpProtocol::Kcp,
                _ => XtcpProtocol::Quic,
            },
            role: match behavior.role.as_str() {
                "sender" => Role::Sender,
                _ => Role::Receiver,
            },
            ttl: u32::try_from(behavior.ttl)
                .ok()
                .filter(|ttl| (1..=255).contains(ttl)),
            delay: millis(behavior.send_delay_ms).min(MAX_HOLE_DELAY),
            wait: match millis(behavior.read_timeout) {
                Duration::ZERO => HOLE_WAIT,
                wait => wait.min(MAX_HOLE_WAIT),
            },
            ports: port_ranges(&behavior.candidate_ports),
            random_ports: count(behavior.send_random_ports, MAX_HOLE_RANDOM_PORTS),
            sockets: count(behavior.listen_random_ports, MAX_HOLE_SOCKETS),
            seen,
            own,
        })
    }

    /// The peer's IP addresses of IPv4 as the world sees them, for whoever guesses its ports.
    pub(super) fn ips(&self) -> Vec<IpAddr> {
        let mut ips = Vec::new();
        for ip in self.seen.iter().map(SocketAddr::ip) {
            if ip.is_ipv4() && !ips.contains(&ip) && ips.len() < MAX_HOLE_IPS {
                ips.push(ip);
            }
        }
        ips
    }

    /// What the addresses say of the peer's NAT. frps names an address once where servers saw the same.
    fn peer(&self) -> Option<NatFeature> {
        let mut seen = self.seen.clone();
        if let [only] = seen[..] {
            seen.push(only);
        }
        let own: Vec<_> = self.own.iter().map(SocketAddr::ip).collect();
        classify(&seen, &own).ok()
    }

    /// For the log, in frp's words.
    pub(crate) fn shown(&self) -> String {
        let Self {
            protocol,
            seen,
            own,
            role,
            ttl,
            delay,
            wait,
            ports,
            random_ports,
            sockets,
            ..
        } = self;
        let ttl = ttl.unwrap_or_default();
        format!(
            "sid [{}], protocol [{}], candidate address {seen:?}, assisted address {own:?}, \
             detectBehavior: {{Role:{} TTL:{ttl} SendDelayMs:{} ReadTimeoutMs:{} CandidatePorts:{ports:?} \
             SendRandomPorts:{random_ports} ListenRandomPorts:{sockets}}}",
            self.shown_sid(),
            protocol.as_str(),
            role.as_str(),
            delay.as_millis(),
            wait.as_millis(),
        )
    }

    pub(crate) fn shown_sid(&self) -> Cow<'_, str> {
        shown_name(&self.sid)
    }

    /// Why nothing came through, in plain words; `us` is what is known of the NAT of this side.
    pub(super) fn meaning(&self, us: Option<&NatFeature>) -> &'static str {
        let is_hard = |nat: &NatFeature| nat.nat_type() == NatType::Hard;
        let ours = us.is_some_and(is_hard);
        let theirs = self.peer().as_ref().is_some_and(is_hard);
        match (ours, theirs) {
            (true, true) => {
                "your NAT changes ports per destination, the peer's too: no direct path is possible"
            }
            (true, false) => {
                "your NAT changes ports per destination, and which ones it takes could not be guessed: \
                 another try may, and an address that the router maps would make it sure"
            }
            (false, true) => {
                "the peer's NAT changes ports per destination, and which ones it takes could not be \
                 guessed: another try may"
            }
            (false, false) => {
                "neither NAT stands in the way, so a firewall at either end may drop UDP, or the peer \
                 has another secretKey or did not send"
            }
        }
    }
}

fn addresses(named: &[String], parties: &[IpAddr]) -> Vec<SocketAddr> {
    let mut all = Vec::new();
    for addr in named.iter().take(MAX_HOLE_ADDRESSES) {
        let Ok(addr) = addr.parse::<SocketAddr>() else {
            continue;
        };
        let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
        if may_be_sent_to(addr, parties) && !all.contains(&addr) {
            all.push(addr);
        }
    }
    all
}

fn millis(number: i64) -> Duration {
    Duration::from_millis(u64::try_from(number).unwrap_or_default())
}

fn count(number: i64, most: usize) -> usize {
    usize::try_from(number).unwrap_or_default().min(most)
}

/// The first ports of all ranges together, as many as may be.
fn port_ranges(ranges: &[PortsRange]) -> Vec<RangeInclusive<u16>> {
    let mut left = MAX_HOLE_PORTS;
    let mut all = Vec::new();
    for range in ranges {
        let port = |number: i64| u16::try_from(number.clamp(1, i64::from(u16::MAX))).ok();
        let (Some(from), Some(to)) = (port(range.from), port(range.to)) else {
            continue;
        };
        if range.to < range.from || left == 0 {
            continue;
        }
        let to = to.min(from.saturating_add(left - 1));
        left -= to - from + 1;
        all.push(from..=to);
    }
    all
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use frp_proto::msg::NatHoleDetectBehavior;

    fn named(addrs: &[&str]) -> Vec<String> {
        addrs.iter().map(|addr| (*addr).to_owned()).collect()
    }

    fn answer(candidates: &[&str], behavior: NatHoleDetectBehavior) -> NatHoleResp {
        NatHoleResp {
            sid: "s".to_owned(),
            candidate_addrs: named(candidates),
            detect_behavior: behavior,
            ..NatHoleResp::default()
        }
    }

    #[test]
    fn what_a_hostile_server_says_is_followed_within_limits() {
        let range = |from, to| PortsRange { from, to };
        let behavior = NatHoleDetectBehavior {
            role: "sender".to_owned(),
            ttl: -7,
            send_delay_ms: i64::MAX,
            read_timeout: i64::MAX,
            candidate_ports: vec![range(i64::MIN, i64::MAX), range(9, 3), range(1, 65535)],
            send_random_ports: i64::MAX,
            listen_random_ports: i64::MAX,
            ..NatHoleDetectBehavior::default()
        };
        let many: Vec<String> = (0..1000)
            .map(|i| format!("192.0.2.{}:9", i % 250))
            .collect();
        let mut answer = answer(&["192.0.2.1:9"], behavior);
        answer.candidate_addrs = many.clone();
        answer.assisted_addrs = many;
        let orders = Orders::new(&answer, &[]).unwrap();
        assert_eq!(orders.ttl, None);
        assert_eq!(orders.delay, MAX_HOLE_DELAY);
        assert_eq!(orders.wait, MAX_HOLE_WAIT);
        let ports: usize = orders.ports.iter().map(|range| range.clone().count()).sum();
        assert_eq!(ports, usize::from(MAX_HOLE_PORTS));
        assert_eq!(orders.random_ports, MAX_HOLE_RANDOM_PORTS);
        assert_eq!(orders.sockets, MAX_HOLE_SOCKETS);
        assert_eq!(orders.seen.len(), MAX_HOLE_ADDRESSES);
        assert_eq!(orders.own.len(), MAX_HOLE_ADDRESSES);
        assert_eq!(orders.ips().len(), MAX_HOLE_IPS);
    }

    #[test]
    fn nobody_is_sent_to_who_may_not_be() {
        let forbidden = [
            "127.0.0.1:9",
            "224.0.0.1:9",
            "169.254.169.254:80",
            "name:9",
            ":9",
        ];
        let orders = |parties: &[IpAddr]| {
            Orders::new(
                &answer(&forbidden, NatHoleDetectBehavior::default()),
                parties,
            )
        };
        assert!(matches!(orders(&[]), Err(OrdersError::NoneAllowed(_))));
        let here = orders(&["127.0.0.1".parse().unwrap()]).unwrap();
        assert_eq!(here.seen, ["127.0.0.1:9".parse::<SocketAddr>().unwrap()]);
        let none = answer(&[], NatHoleDetectBehavior::default());
        assert!(matches!(
            Orders::new(&none, &[]),
            Err(OrdersError::NoAddress)
        ));
    }

    #[test]
    fn a_failure_is_told_by_what_is_known_of_both_nats() {
        let addr = |addr: &str| addr.parse::<SocketAddr>().unwrap();
        let easy = classify(&[addr("192.0.2.1:9"), addr("192.0.2.1:9")], &[]).unwrap();
        let hard = classify(&[addr("192.0.2.1:9"), addr("192.0.2.1:99")], &[]).unwrap();
        let meaning = |us: &NatFeature, candidates: &[&str]| {
            let answer = answer(candidates, NatHoleDetectBehavior::default());
            Orders::new(&answer, &[]).unwrap().meaning(Some(us))
        };
        let theirs_hard = ["192.0.2.7:1", "192.0.2.7:2"];
        let both = meaning(&hard, &theirs_hard);
        assert!(both.ends_with("no direct path is possible"), "{both}");
        assert!(meaning(&hard, &["192.0.2.7:1"]).starts_with("your NAT changes"));
        assert!(meaning(&easy, &theirs_hard).starts_with("the peer's NAT changes"));
        assert!(meaning(&easy, &["192.0.2.7:1"]).starts_with("neither NAT"));
    }
}
