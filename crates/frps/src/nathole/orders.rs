//! What both ends of a hole are told, by what they say of their addresses (frp `pkg/nathole/controller.go`).
//!
//! An end sends where the other says that it is. So an address that a datagram of a stranger could do harm
//! at is not passed on ([`may_be_sent_to`]), nor more of them than an honest end has.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use frp_proto::msg::{NatHoleDetectBehavior, NatHoleResp, PortsRange};
use frp_proto::nathole::Role;
use frp_proto::nathole::feature::{NatFeature, classify};
use frp_proto::nathole::reach::may_be_sent_to;

use super::Nathole;
use super::behaviors::Behavior;
use super::scores::{Decided, Network};
use crate::limits::{MAX_ASSISTED_ADDRS, MAX_MAPPED_ADDRS};

/// What an end says.
pub(super) struct Said<'a> {
    pub(super) transaction_id: String,
    /// Where STUN servers see it, as text.
    pub(super) mapped: &'a [String],
    /// Its own addresses.
    pub(super) assisted: &'a [String],
    /// Where frps sees it.
    pub(super) from: IpAddr,
}

/// Why nobody is told anything.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrdersError {
    #[error("classify {0} nat feature error: {1}")]
    Classify(End, frp_proto::nathole::feature::NotEnoughAddresses),
    #[error("none of the addresses of the {0} may be sent to: {1:?}")]
    Unreachable(End, Vec<SocketAddr>),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Client,
    Visitor,
}

/// How long the receiver of the first datagram waits at least, milliseconds.
const READ_TIMEOUT_MS: i64 = 5000;

/// And longer where it opens many ports, of which one has to be hit.
const MANY_PORTS_MS: i64 = 30_000;

/// Ports around the one that a NAT gave last, beyond the distance between the last two.
const PORTS_AROUND: i64 = 5;

/// What `client`, whose proxy it is, and `visitor` are told, in this order.
pub(super) fn orders(
    nathole: &Nathole,
    (sid, protocol): (&str, &str),
    (client, visitor): (Said<'_>, Said<'_>),
    kept: Duration,
) -> Result<(Decided, NatHoleResp, NatHoleResp), OrdersError> {
    let parties = [client.from, visitor.from];
    let of_client = Seen::of(End::Client, &client, &parties)?;
    let of_visitor = Seen::of(End::Visitor, &visitor, &parties)?;
    let pair = (of_client.network(), of_visitor.network());
    let features = (&of_client.feature, &of_visitor.feature);
    let (decided, way) = nathole.scores().decide(pair, features, kept);
    let delays = [way.0.send_delay_ms, way.1.send_delay_ms];
    let many = way.0.listen_ports > 0 || way.1.listen_ports > 0;
    let wait = READ_TIMEOUT_MS
        + i64::from(delays.into_iter().max().unwrap_or(0))
        + if many { MANY_PORTS_MS } else { 0 };
    let told = |said: Said<'_>, does: &Behavior, other: &Seen| NatHoleResp {
        transaction_id: said.transaction_id,
        sid: sid.to_owned(),
        protocol: protocol.to_owned(),
        candidate_addrs: texts(&other.candidates),
        assisted_addrs: texts(&other.assisted),
        detect_behavior: NatHoleDetectBehavior {
            role: does.role.as_str().to_owned(),
            mode: decided.mode.into(),
            ttl: does.ttl.into(),
            send_delay_ms: does.send_delay_ms.into(),
            read_timeout: wait - i64::from(does.send_delay_ms),
            candidate_ports: other.ports(does.ports_range.into()),
            send_random_ports: does.random_ports.into(),
            listen_random_ports: does.listen_ports.into(),
        },
        error: String::new(),
    };
    let to_client = told(client, &way.0, &of_visitor);
    let to_visitor = told(visitor, &way.1, &of_client);
    Ok((decided, to_client, to_visitor))
}

/// Whether the end that is told this begins.
pub(super) fn is_sender(told: &NatHoleResp) -> bool {
    told.detect_behavior.role == Role::Sender.as_str()
}

/// An end, as the other may know it.
struct Seen {
    first: IpAddr,
    feature: NatFeature,
    candidates: Vec<SocketAddr>,
    assisted: Vec<SocketAddr>,
}

impl Seen {
    fn of(end: End, said: &Said<'_>, parties: &[IpAddr]) -> Result<Self, OrdersError> {
        let mapped = addresses(said.mapped, MAX_MAPPED_ADDRS);
        let mut assisted = addresses(said.assisted, MAX_ASSISTED_ADDRS);
        let own: Vec<IpAddr> = assisted.iter().map(SocketAddr::ip).collect();
        let feature = classify(&mapped, &own).map_err(|why| OrdersError::Classify(end, why))?;
        let mut candidates = mapped.clone();
        for addrs in [&mut candidates, &mut assisted] {
            addrs.retain(|addr| may_be_sent_to(*addr, parties));
            addrs.dedup();
        }
        match (mapped.first(), candidates.is_empty()) {
            (Some(first), false) => Ok(Self {
                first: first.ip(),
                feature,
                candidates,
                assisted,
            }),
            _ => Err(OrdersError::Unreachable(end, mapped)),
        }
    }

    fn network(&self) -> Network {
        Network::new(self.first, &self.feature)
    }

    /// Those at most `range` from the last one, of the distance that its NAT leaves.
    fn ports(&self, range: i64) -> Vec<PortsRange> {
        let Some(last) = self.candidates.last().filter(|_| range > 0) else {
            return Vec::new();
        };
        let port = i64::from(last.port());
        let around = i64::from(self.feature.ports_difference) + PORTS_AROUND;
        vec![PortsRange {
            from: (port - around).max(port - range).max(1),
            to: (port + around).min(port + range).min(i64::from(u16::MAX)),
        }]
    }
}

/// What of `texts` are addresses, at most so many.
fn addresses(texts: &[String], most: usize) -> Vec<SocketAddr> {
    let parsed = texts.iter().take(most).filter_map(|text| text.parse().ok());
    parsed.collect()
}

fn texts(addrs: &[SocketAddr]) -> Vec<String> {
    addrs.iter().map(SocketAddr::to_string).collect()
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Visitor => "visitor",
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::Value;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const FAR: &str = "203.0.113.9";

    fn said<'a>(mapped: &'a [String], assisted: &'a [String], from: &str) -> Said<'a> {
        Said {
            transaction_id: "t".to_owned(),
            mapped,
            assisted,
            from: from.parse().unwrap(),
        }
    }

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    /// Recorded from frp's own controller.
    #[tokio::test]
    async fn both_ends_are_told_what_frp_tells_them() {
        let golden: Value =
            serde_json::from_str(include_str!("../../tests/golden/nathole.json")).unwrap();
        let answers = golden["answers"].as_array().unwrap();
        assert_eq!(answers.len(), 36);
        for vector in answers {
            let of = |end: &str, what: &str| -> Vec<String> {
                let list = vector[end][what].as_array().into_iter().flatten();
                list.map(|text| text.as_str().unwrap().to_owned()).collect()
            };
            let (mapped, assisted) = (of("client", "mapped"), of("client", "assisted"));
            let mut client = said(&mapped, &assisted, FAR);
            client.transaction_id = "tc".to_owned();
            let (mapped, assisted) = (of("visitor", "mapped"), of("visitor", "assisted"));
            let mut visitor = said(&mapped, &assisted, FAR);
            visitor.transaction_id = "tv".to_owned();
            let nathole = Nathole::default();
            let told = orders(&nathole, ("SID", "quic"), (client, visitor), DAY);
            let (_, to_client, to_visitor) = told.unwrap();
            for (told, text, later) in [
                (to_client, "to_client", "client_later"),
                (to_visitor, "to_visitor", "visitor_later"),
            ] {
                let expected: Value = serde_json::from_str(vector[text].as_str().unwrap()).unwrap();
                assert_eq!(vector[later], is_sender(&told), "{vector}");
                assert_eq!(serde_json::to_value(&told).unwrap(), expected, "{vector}");
            }
        }
    }

    #[tokio::test]
    async fn an_end_cannot_have_the_other_send_to_any_address() {
        let honest = (
            list(&["198.51.100.1:1000", "198.51.100.1:1000"]),
            list(&["10.0.0.1:1000"]),
        );
        let mapped = list(&["127.0.0.1:22", "127.0.0.1:22"]);
        let assisted = list(&[
            "127.0.0.1:25",
            "169.254.169.254:80",
            "224.0.0.251:5353",
            "255.255.255.255:9",
            "[::1]:9",
            "192.168.7.7:9",
            "a.example:9",
        ]);
        let told = |mapped: &[String], from: &str| {
            let client = said(&honest.0, &honest.1, from);
            let visitor = said(mapped, &assisted, from);
            orders(&Nathole::default(), ("SID", ""), (client, visitor), DAY)
        };
        let refused = told(&mapped, FAR).map(|_| ()).unwrap_err().to_string();
        assert_eq!(
            refused,
            "none of the addresses of the visitor may be sent to: [127.0.0.1:22, 127.0.0.1:22]"
        );
        let (_, to_client, _) = told(&honest.0, FAR).unwrap();
        assert_eq!(to_client.assisted_addrs, ["192.168.7.7:9"]);
        // Two on one machine with frps: that is where the loopback device is.
        let (_, to_client, _) = told(&mapped, "127.0.0.1").unwrap();
        assert_eq!(to_client.candidate_addrs, ["127.0.0.1:22"]);
        assert_eq!(
            to_client.assisted_addrs,
            ["127.0.0.1:25", "[::1]:9", "192.168.7.7:9"]
        );
    }

    #[tokio::test]
    async fn an_end_has_so_many_addresses() {
        let many: Vec<String> = (1..=200).map(|n| format!("198.51.100.{n}:9")).collect();
        let (client, visitor) = (said(&many, &many, FAR), said(&many, &many, FAR));
        let told = orders(&Nathole::default(), ("SID", ""), (client, visitor), DAY);
        let (_, to_client, to_visitor) = told.unwrap();
        for told in [to_client, to_visitor] {
            assert_eq!(told.candidate_addrs.len(), MAX_MAPPED_ADDRS);
            assert_eq!(told.assisted_addrs.len(), MAX_ASSISTED_ADDRS);
        }
    }

    #[tokio::test]
    async fn one_address_tells_nothing_of_a_nat() {
        let (one, none) = (list(&["198.51.100.1:9", "rubbish"]), Vec::new());
        let (client, visitor) = (said(&one, &none, FAR), said(&one, &none, FAR));
        let told = orders(&Nathole::default(), ("SID", ""), (client, visitor), DAY);
        assert_eq!(
            told.map(|_| ()).unwrap_err().to_string(),
            "classify client nat feature error: not enough addresses"
        );
    }
}
