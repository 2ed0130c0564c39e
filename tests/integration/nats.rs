//! The NAT boxes of the tests themselves: each is what its name says, so that what xtcp does through them can
//! be believed.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use frp_tests::hole::{Cast, Hole, Lines};
use frp_tests::network::{
    End, Filter, Ipv6, Mapping, Nat, NatKind, NatNetwork, Probe, StunStyle, mapped,
};
use frp_tests::*;
use tokio::net::UdpSocket;

/// How long something is waited for that must not come.
const LONG_ENOUGH: Duration = Duration::from_millis(1500);

async fn probed(kind: NatKind) -> Option<(Mapping, Filter)> {
    let net = NatNetwork::new(kind, NatKind::PortRestricted)?;
    let probe = Probe::of(&net.visitor, &net.stun).await.unwrap();
    Some((probe.mapping, probe.filter))
}

async fn says(socket: &UdpSocket, word: &[u8], to: SocketAddrV4) {
    socket.send_to(word, to).await.unwrap();
}

/// Whether `word` comes, and from whom.
async fn hears(socket: &UdpSocket, word: &[u8], patience: Duration) -> Option<SocketAddr> {
    let mut buffer = [0; 100];
    let heard = async {
        loop {
            let (n, from) = socket.recv_from(&mut buffer).await.unwrap();
            if buffer[..n] == *word {
                return from;
            }
        }
    };
    tokio::time::timeout(patience, heard).await.ok()
}

#[tokio::test]
async fn each_kind_of_box_is_what_a_probe_says_it_is() {
    let expected = [
        (NatKind::Open, Mapping::None, Filter::EndpointIndependent),
        (
            NatKind::FullCone,
            Mapping::EndpointIndependent,
            Filter::EndpointIndependent,
        ),
        (
            NatKind::Restricted,
            Mapping::EndpointIndependent,
            Filter::Address,
        ),
        (
            NatKind::PortRestricted,
            Mapping::EndpointIndependent,
            Filter::AddressAndPort,
        ),
        (
            NatKind::SymmetricSequential,
            Mapping::Near,
            Filter::AddressAndPort,
        ),
        (
            NatKind::SymmetricRandom,
            Mapping::Random,
            Filter::AddressAndPort,
        ),
    ];
    let probes = expected.map(async |(kind, mapping, filter)| {
        if let Some(found) = probed(kind).await {
            assert_eq!(found, (mapping, filter), "{kind:?}");
        }
    });
    futures_util::future::join_all(probes).await;
}

#[tokio::test]
async fn two_behind_boxes_reach_each_other_only_once_both_have_spoken() {
    let Some(net) = NatNetwork::new(NatKind::PortRestricted, NatKind::Restricted) else {
        return;
    };
    let (a, b) = (net.visitor.udp_socket(0), net.owner.udp_socket(0));
    let at_a = mapped(&a, net.stun.addr).await.unwrap();
    let at_b = mapped(&b, net.stun.addr).await.unwrap();
    assert_eq!(*at_a.ip(), net.outside(End::Visitor));
    says(&a, b"one", at_b).await;
    assert_eq!(hears(&b, b"one", LONG_ENOUGH).await, None);
    says(&b, b"two", at_a).await;
    assert_eq!(hears(&a, b"two", wait::SOON).await, Some(at_b.into()));
    says(&a, b"three", at_b).await;
    assert_eq!(hears(&b, b"three", wait::SOON).await, Some(at_a.into()));
}

#[tokio::test]
async fn a_datagram_of_few_hops_opens_its_own_box_and_reaches_nobody() {
    let Some(net) = NatNetwork::new(NatKind::PortRestricted, NatKind::FullCone) else {
        return;
    };
    let (a, b) = (net.visitor.udp_socket(0), net.owner.udp_socket(0));
    let at_a = mapped(&a, net.stun.addr).await.unwrap();
    let at_b = mapped(&b, net.stun.addr).await.unwrap();
    let usual = a.ttl().unwrap();
    a.set_ttl(7).unwrap();
    says(&a, b"near", at_b).await;
    assert_eq!(hears(&b, b"near", LONG_ENOUGH).await, None);
    says(&b, b"back", at_a).await;
    assert!(hears(&a, b"back", wait::SOON).await.is_some());
    a.set_ttl(usual).unwrap();
    says(&a, b"far", at_b).await;
    assert!(hears(&b, b"far", wait::SOON).await.is_some());
}

#[tokio::test]
async fn a_box_forgets_a_silent_port_and_what_it_knew_when_it_starts_again() {
    let mut nat = Nat::new(NatKind::FullCone);
    nat.lasts = Duration::from_millis(500);
    let Some(net) = NatNetwork::new(nat, NatKind::FullCone) else {
        return;
    };
    let outside = async |socket| mapped(socket, net.stun.addr).await.unwrap();
    let (a, b) = (net.visitor.udp_socket(0), net.owner.udp_socket(0));
    let first = outside(&a).await;
    eventually("the port is forgotten", async || {
        says(&b, b"still?", first).await;
        hears(&a, b"still?", Duration::from_millis(200))
            .await
            .is_none()
    })
    .await;
    assert_ne!(outside(&a).await, first);
    let before = outside(&b).await;
    assert_eq!(outside(&b).await, before);
    net.forget(End::Owner);
    assert_ne!(outside(&b).await.port(), before.port());
    let elsewhere = Ipv4Addr::new(192, 0, 2, 77);
    net.move_to(End::Owner, elsewhere);
    assert_eq!(*outside(&b).await.ip(), elsewhere);
    net.set_udp(End::Owner, false);
    assert_eq!(mapped(&b, net.stun.addr).await, None);
}

#[tokio::test]
async fn two_in_one_lan_meet_there_and_outside_only_with_hairpin() {
    for hairpin in [false, true] {
        let mut nat = Nat::new(NatKind::FullCone);
        nat.hairpin = hairpin;
        let Some(net) = NatNetwork::in_one_lan(nat) else {
            return;
        };
        let (a, b) = (net.visitor.udp_socket(0), net.owner.udp_socket(0));
        let at_a = mapped(&a, net.stun.addr).await.unwrap();
        let at_b = mapped(&b, net.stun.addr).await.unwrap();
        assert_eq!(at_a.ip(), at_b.ip());
        says(&a, b"outside", at_b).await;
        let heard = hears(&b, b"outside", LONG_ENOUGH).await;
        assert_eq!(heard, hairpin.then_some(at_a.into()));
        let near = SocketAddrV4::new(net.owner.ip, b.local_addr().unwrap().port());
        says(&a, b"inside", near).await;
        assert!(hears(&b, b"inside", wait::SOON).await.is_some());
    }
}

#[tokio::test]
async fn a_port_that_a_router_was_asked_for_lets_everybody_in() {
    let Some(net) = NatNetwork::new(NatKind::SymmetricRandom, NatKind::SymmetricRandom) else {
        return;
    };
    let (a, b) = (net.visitor.udp_socket(0), net.owner.udp_socket(0));
    let inside = SocketAddrV4::new(net.owner.ip, b.local_addr().unwrap().port());
    assert!(net.map_port(End::Owner, 40_000, inside));
    let port = SocketAddrV4::new(net.outside(End::Owner), 40_000);
    says(&a, b"hello", port).await;
    let Some(SocketAddr::V4(from)) = hears(&b, b"hello", wait::SOON).await else {
        panic!("it does not come in");
    };
    says(&b, b"welcome", from).await;
    assert_eq!(hears(&a, b"welcome", wait::SOON).await, Some(port.into()));
    assert!(net.mapper(End::Owner).unwrap().withdraw(40_000));
    says(&a, b"again", port).await;
    assert_eq!(hears(&b, b"again", LONG_ENOUGH).await, None);
}

#[tokio::test]
async fn tcp_passes_a_box_outwards_and_a_router_has_services_inside() {
    let Some(net) = NatNetwork::new(NatKind::SymmetricRandom, NatKind::FullCone) else {
        return;
    };
    let service = net.server.echo();
    let to = SocketAddrV4::new(net.server.ip, service.port);
    let mut stream = within(wait::SOON, "a connection", net.visitor.connect(to))
        .await
        .unwrap();
    clients::echo_on(&mut stream, &pattern(1_000_000, 1)).await;
    let gateway = net.gateway(End::Visitor).unwrap();
    let service = gateway.echo();
    let to = SocketAddrV4::new(gateway.ip, service.port);
    let mut stream = within(wait::SOON, "a connection", net.visitor.connect(to))
        .await
        .unwrap();
    clients::echo_on(&mut stream, b"inside").await;
}

#[tokio::test]
async fn ipv6_passes_without_nat_and_a_firewall_lets_in_what_answers() {
    let mut open = Nat::new(NatKind::SymmetricRandom);
    open.ipv6 = Ipv6::Open;
    let mut firewalled = open;
    firewalled.ipv6 = Ipv6::Firewalled;
    let Some(net) = NatNetwork::new(open, firewalled) else {
        return;
    };
    let socket = |end| {
        let ip = net.host(end).ipv6.unwrap();
        net.host(end).udp_socket_at((ip, 0).into())
    };
    let (a, b) = (socket(End::Visitor), socket(End::Owner));
    let (at_a, at_b) = (a.local_addr().unwrap(), b.local_addr().unwrap());
    a.send_to(b"one", at_b).await.unwrap();
    assert_eq!(hears(&b, b"one", LONG_ENOUGH).await, None);
    b.send_to(b"two", at_a).await.unwrap();
    assert_eq!(hears(&a, b"two", wait::SOON).await, Some(at_b));
    a.send_to(b"three", at_b).await.unwrap();
    assert_eq!(hears(&b, b"three", wait::SOON).await, Some(at_a));
}

#[tokio::test]
async fn go_s_frpc_finds_of_a_box_what_it_is() {
    let Some(side) = Side::reference("0.70.1") else {
        return;
    };
    let cases = [
        (NatKind::PortRestricted, StunStyle::Rfc5780, "EasyNAT"),
        (NatKind::PortRestricted, StunStyle::Rfc3489, "EasyNAT"),
        (NatKind::SymmetricSequential, StunStyle::Rfc5780, "HardNAT"),
        (NatKind::SymmetricRandom, StunStyle::Rfc5780, "HardNAT"),
    ];
    for (kind, style, found) in cases {
        let Some(net) = NatNetwork::new(kind, kind) else {
            return;
        };
        net.stun.set_style(style);
        let rig = Rig::new();
        let stun = net.stun.addr.to_string();
        let args = ["nathole", "discover", "--nat_hole_stun_server", &stun];
        let mut frpc = net.visitor.spawn(&side.program("frpc"), args, rig.path());
        assert_eq!(frpc.exit_code().await, Some(0), "{kind:?}");
        let said = frpc.log().text();
        assert!(said.contains(found), "{kind:?}: {said}");
    }
}

/// A byte that goes by a direct path comes back, whoever plays which part.
async fn works(casts: &[Cast], protocol: &str, visitor: NatKind, owner: NatKind) {
    let plays = casts.iter().map(async |cast| {
        let Some(net) = NatNetwork::new(visitor, owner) else {
            return;
        };
        let hole = Hole::begin(net, cast, protocol, Lines::default()).await;
        let outcome = hole.first_byte(Duration::from_secs(60)).await;
        assert!(
            outcome.works(),
            "{cast:?}, {protocol}: {visitor:?} to {owner:?}"
        );
    });
    futures_util::future::join_all(plays).await;
}

fn all_ours() -> Vec<Cast> {
    vec![Cast::all(&Side::Ours)]
}

/// Each part once by frp's program and the others by ours, and the other way round.
fn mixed() -> Vec<Cast> {
    let Some(theirs) = Side::reference("0.70.1") else {
        return Vec::new();
    };
    let part = |number: usize, which: usize| match (number >> which) & 1 {
        0 => Side::Ours,
        _ => theirs.clone(),
    };
    let cast = |number| Cast {
        frps: part(number, 0),
        owner: part(number, 1),
        visitor: part(number, 2),
    };
    (1..7).map(cast).collect()
}

#[tokio::test]
async fn two_behind_cones_find_each_other() {
    let kinds = (NatKind::PortRestricted, NatKind::PortRestricted);
    works(&all_ours(), "quic", kinds.0, kinds.1).await;
    works(&all_ours(), "kcp", NatKind::FullCone, NatKind::Restricted).await;
}

#[tokio::test]
async fn two_behind_cones_find_each_other_whoever_plays_which_part() {
    let kinds = (NatKind::PortRestricted, NatKind::PortRestricted);
    works(&mixed(), "quic", kinds.0, kinds.1).await;
    works(&mixed(), "kcp", kinds.0, kinds.1).await;
}

#[tokio::test]
async fn a_symmetric_nat_with_neighbouring_ports_is_passed_in_both_directions() {
    let (symmetric, cone) = (NatKind::SymmetricSequential, NatKind::PortRestricted);
    works(&all_ours(), "quic", symmetric, cone).await;
    works(&all_ours(), "quic", cone, symmetric).await;
}

#[tokio::test]
async fn a_symmetric_nat_with_any_ports_is_passed_where_the_other_is_a_cone() {
    let (symmetric, cone) = (NatKind::SymmetricRandom, NatKind::Restricted);
    works(&all_ours(), "quic", symmetric, cone).await;
    works(&all_ours(), "quic", NatKind::FullCone, symmetric).await;
    works(&all_ours(), "quic", symmetric, NatKind::Open).await;
}
