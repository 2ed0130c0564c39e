//! Ports that routers lend to direct paths (`natTraversal.portMapping`), by each of their languages; and routers
//! that lie, are silent or talk nonsense.

use std::net::Ipv4Addr;
use std::time::Duration;

use frp_tests::hole::{Cast, Hole, Lines};
use frp_tests::network::{End, Manners, NatKind, NatNetwork, Router, Speaks};
use frp_tests::*;

/// A hole that no guess finds: neither NAT says by which port it will speak to the other.
fn hopeless() -> Option<NatNetwork> {
    NatNetwork::new(NatKind::SymmetricRandom, NatKind::SymmetricRandom)
}

async fn begin(net: NatNetwork, lines: Lines<'_>) -> Hole {
    Hole::begin(net, &Cast::all(&Side::Ours), "quic", lines).await
}

const PATIENCE: Duration = Duration::from_secs(60);

async fn a_path_by_the_router_of_the_owner(speaks: Speaks, name: &str) {
    let Some(net) = hopeless() else { return };
    let router = Router::start(&net, End::Owner, Manners::of(speaks));
    let mut hole = begin(net, Lines::default()).await;
    assert!(hole.first_byte(PATIENCE).await.works());
    let line = hole.owner.expect("the router maps 192.0.2.1:").await;
    assert!(line.contains(name), "{line}");
    // The port that is used is one of those that are lent still.
    assert!(!hole.net.mapped_ports(End::Owner).is_empty());
    hole.owner.signal("TERM").await;
    hole.owner.exit_code().await;
    assert_eq!(hole.net.mapped_ports(End::Owner), []);
    assert!(router.requests().contains(&"give back".to_owned()));
}

#[tokio::test]
async fn a_router_that_speaks_pcp_makes_a_path_where_there_is_none() {
    a_path_by_the_router_of_the_owner(Speaks::Pcp, "PCP").await;
}

#[tokio::test]
async fn a_router_that_speaks_nat_pmp_does_so() {
    a_path_by_the_router_of_the_owner(Speaks::NatPmp, "NAT-PMP").await;
}

#[tokio::test]
async fn a_router_that_speaks_upnp_does_so() {
    a_path_by_the_router_of_the_owner(Speaks::Upnp, "UPnP").await;
}

#[tokio::test]
async fn the_router_of_the_visitor_does_as_well() {
    let Some(net) = hopeless() else { return };
    let _router = Router::start(&net, End::Visitor, Manners::of(Speaks::Pcp));
    let hole = begin(net, Lines::default()).await;
    assert!(hole.first_byte(PATIENCE).await.works());
    hole.visitor.expect("the router maps 198.51.100.1:").await;
}

#[tokio::test]
async fn a_router_is_not_asked_where_that_is_off_or_there_is_no_nat() {
    let Some(net) = NatNetwork::new(NatKind::FullCone, NatKind::FullCone) else {
        return;
    };
    let routers =
        [End::Visitor, End::Owner].map(|end| Router::start(&net, end, Manners::of(Speaks::NatPmp)));
    let off = "natTraversal.portMapping = false";
    let lines = Lines {
        owner: off,
        visitor: off,
        ..Lines::default()
    };
    let hole = begin(net, lines).await;
    assert!(hole.first_byte(PATIENCE).await.works());
    for router in routers {
        assert_eq!(router.requests(), [""; 0]);
    }
    let Some(net) = NatNetwork::new(NatKind::Open, NatKind::FullCone) else {
        return;
    };
    let hole = begin(net, Lines::default()).await;
    assert!(hole.first_byte(PATIENCE).await.works());
    hole.visitor.expect("there is no NAT").await;
}

#[tokio::test]
async fn a_router_cannot_point_peers_at_others() {
    let Some(net) = NatNetwork::new(NatKind::PortRestricted, NatKind::PortRestricted) else {
        return;
    };
    let victim = Ipv4Addr::new(203, 0, 113, 99);
    for speaks in [Speaks::Pcp, Speaks::NatPmp, Speaks::Upnp] {
        let Some(net) = NatNetwork::new(NatKind::PortRestricted, NatKind::PortRestricted) else {
            return;
        };
        let mut manners = Manners::of(speaks);
        manners.claims = Some(victim);
        let _router = Router::start(&net, End::Owner, manners);
        let hole = begin(net, Lines::default()).await;
        assert!(hole.first_byte(PATIENCE).await.works());
        hole.owner
            .expect("it says that its address is 203.0.113.99")
            .await;
        let told = hole.visitor.log().text();
        assert!(!told.contains("203.0.113.99"), "{speaks:?}: {told}");
        eventually("the port is given back", async || {
            hole.net.mapped_ports(End::Owner).is_empty()
        })
        .await;
    }
    drop(net);
}

#[tokio::test]
async fn a_router_that_is_silent_or_talks_nonsense_costs_the_path_nothing() {
    for speaks in [None, Some(Speaks::Garbage)] {
        let Some(net) = NatNetwork::new(NatKind::PortRestricted, NatKind::PortRestricted) else {
            return;
        };
        let _router = speaks.map(|speaks| Router::start(&net, End::Owner, Manners::of(speaks)));
        let mut hole = begin(net, Lines::default()).await;
        assert!(hole.first_byte(PATIENCE).await.works());
        let mark = 0;
        hole.owner
            .expect_from(mark, "gives no port", wait::SOON)
            .await;
        assert!(hole.owner.is_running());
        // It is not asked at the next hole.
        hole.net.forget(End::Owner);
        hole.net.forget(End::Visitor);
        hole.owner
            .expect_from(mark, "is asked again later", PATIENCE)
            .await;
    }
}

#[tokio::test]
async fn a_router_that_lends_for_ever_only_is_not_asked_to() {
    let Some(net) = NatNetwork::new(NatKind::Restricted, NatKind::Restricted) else {
        return;
    };
    let mut manners = Manners::of(Speaks::Upnp);
    manners.for_ever = true;
    let _router = Router::start(&net, End::Owner, manners);
    let hole = begin(net, Lines::default()).await;
    assert!(hole.first_byte(PATIENCE).await.works());
    hole.owner.expect("only supports permanent leases").await;
    assert_eq!(hole.net.mapped_ports(End::Owner), []);
}

#[tokio::test]
async fn a_port_is_renewed_while_the_path_stands() {
    let Some(net) = hopeless() else { return };
    let mut manners = Manners::of(Speaks::Pcp);
    manners.lends_for = 10;
    let router = Router::start(&net, End::Owner, manners);
    let hole = begin(net, Lines::default()).await;
    assert!(hole.first_byte(PATIENCE).await.works());
    let lent = hole.net.mapped_ports(End::Owner);
    let asked = router.requests().len();
    eventually("the port is asked for again", async || {
        router.requests().len() > asked + 1
    })
    .await;
    let now = hole.net.mapped_ports(End::Owner);
    assert!(
        lent.iter().any(|port| now.contains(port)),
        "{lent:?} {now:?}"
    );
    assert!(hole.first_byte(PATIENCE).await.works());
}
