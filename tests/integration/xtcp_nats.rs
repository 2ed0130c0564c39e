//! xtcp through NATs: what ours does beyond finding a way through them. That it does, pair by pair, is what
//! the program `nats` and the tests of `nats.rs` show.

use std::time::Duration;

use frp_tests::hole::{Cast, Hole, Lines};
use frp_tests::network::{End, Ipv6, Nat, NatKind, NatNetwork};
use frp_tests::wait::eventually_within;
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// What our visitor says of a path that stands, and of one that does not any more.
const PATH: &str = "users go by the direct path to";
const LOST: &str = "is lost:";

/// For a path that stands before anybody comes.
const KEPT: &str = "keepTunnelOpen = true\n";

/// From the end of a path until that is known.
const NOTICED: Duration = Duration::from_secs(10);

/// An attempt at a path, or two.
const DUG: Duration = Duration::from_secs(40);

/// A hole between two NATs of a kind, with all parts ours, whose visitor, which has `lines` of its own, falls back
/// to a stcp proxy of the same service. `None` where this machine cannot have one.
async fn with_relay(kind: NatKind, protocol: &str, lines: &str) -> Option<(Hole, Service)> {
    let net = NatNetwork::new(kind, kind)?;
    let service = net.owner.echo();
    // The tables behind those of the rig.
    let owner = format!(
        "[[proxies]]\nname = \"relayed\"\ntype = \"stcp\"\nsecretKey = \"secret\"\nlocalPort = {}\n",
        service.port
    );
    let visitor = format!(
        "{lines}fallbackTo = \"relay\"\n[[visitors]]\nname = \"relay\"\ntype = \"stcp\"\n\
         serverName = \"relayed\"\nsecretKey = \"secret\"\nbindPort = -1\n"
    );
    let lines = Lines {
        owner: &owner,
        visitor: &visitor,
        ..Lines::default()
    };
    let hole = Hole::begin(net, &Cast::all(&Side::Ours), protocol, lines).await;
    Some((hole, service))
}

async fn echoed(hole: &Hole, word: &[u8]) -> Option<TcpStream> {
    let attempt = async {
        let mut user = hole.user().await.ok()?;
        says(&mut user, word).await.then_some(user)
    };
    timeout(Duration::from_secs(3), attempt)
        .await
        .ok()
        .flatten()
}

async fn says(user: &mut TcpStream, word: &[u8]) -> bool {
    let mut back = vec![0; word.len()];
    user.write_all(word).await.is_ok() && user.read_exact(&mut back).await.is_ok() && back == word
}

#[tokio::test]
async fn ipv6_needs_no_hole() {
    for (visitor, owner) in [
        (Ipv6::Open, Ipv6::Firewalled),
        (Ipv6::Firewalled, Ipv6::Firewalled),
    ] {
        let nat = |ipv6| Nat {
            ipv6,
            ..Nat::new(NatKind::SymmetricRandom)
        };
        let Some(net) = NatNetwork::new(nat(visitor), nat(owner)) else {
            return;
        };
        let hole = Hole::begin(net, &Cast::all(&Side::Ours), "quic", Lines::default()).await;
        // By IPv4 none of these finds the other.
        assert!(hole.first_byte(DUG).await.works(), "{visitor:?}, {owner:?}");
        let line = hole.visitor.expect(PATH).await;
        assert!(line.contains("direct path to [2001:db8:"), "{line}");
    }
}

#[tokio::test]
async fn users_of_pairs_without_a_way_are_told_why_and_go_by_the_relay() {
    let Some((hole, _service)) = with_relay(NatKind::SymmetricRandom, "quic", "").await else {
        return;
    };
    assert!(echoed(&hole, b"at once").await.is_some());
    let line = hole
        .visitor
        .expect_from(0, "make hole error", 2 * DUG)
        .await;
    assert!(
        line.contains(
            "your NAT changes ports per destination, the peer's too: no direct path is possible; \
             using relay"
        ),
        "{line}"
    );
    assert!(echoed(&hole, b"still").await.is_some());
}

#[tokio::test]
async fn a_path_that_is_cut_is_noticed_and_replaced_and_users_go_by_the_relay_meanwhile() {
    for protocol in ["quic", "kcp"] {
        let made = with_relay(NatKind::PortRestricted, protocol, KEPT).await;
        let Some((hole, _service)) = made else {
            return;
        };
        hole.visitor.expect_from(0, PATH, DUG).await;
        let mut direct = echoed(&hole, b"directly").await.unwrap();
        let before = hole.net.received_by_server();
        assert!(says(&mut direct, &pattern(200_000, 1)).await);
        let by_server = hole.net.received_by_server() - before;
        assert!(by_server < 100_000, "{by_server} bytes went by frps");
        hole.net.set_udp(End::Owner, false);
        let cut = Instant::now();
        let mark = hole.visitor.log().mark();
        hole.visitor.expect_from(mark, LOST, NOTICED).await;
        assert!(cut.elapsed() <= NOTICED);
        assert!(echoed(&hole, b"by the relay").await.is_some());
        hole.net.set_udp(End::Owner, true);
        hole.visitor.expect_from(mark, PATH, DUG).await;
        assert!(echoed(&hole, b"directly again").await.is_some());
    }
}

#[tokio::test]
async fn a_peer_whose_address_changed_is_found_again() {
    for end in [End::Visitor, End::Owner] {
        let made = with_relay(NatKind::PortRestricted, "quic", KEPT).await;
        let Some((hole, _service)) = made else {
            return;
        };
        hole.visitor.expect_from(0, PATH, DUG).await;
        assert!(echoed(&hole, b"directly").await.is_some());
        let mark = hole.visitor.log().mark();
        let last = match end {
            End::Visitor => "198.51.100.77",
            End::Owner => "192.0.2.77",
        };
        hole.net.move_to(end, last.parse().unwrap());
        // The connections to frps are lost, too.
        eventually_within(DUG, "users get through again", async || {
            echoed(&hole, b"again").await.is_some()
        })
        .await;
        hole.visitor.expect_from(mark, PATH, DUG).await;
    }
}
