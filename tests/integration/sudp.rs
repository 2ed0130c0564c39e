//! sudp: datagrams to proxies that only visitors reach, in every part and wire version.

use std::net::{Ipv4Addr, UdpSocket};

use frp_tests::rig::{stcp_proxy, stcp_visitor};
use frp_tests::*;

const NEWEST: &str = "0.70.1";
const SEALED: &str = "transport.useEncryption = true\ntransport.useCompression = true\n";

fn sudp(table: &str) -> String {
    table.replace("\"stcp\"", "\"sudp\"")
}

/// Who plays which part: server, owner of the proxy, visitor.
struct Cast {
    server: Side,
    owner: Side,
    visitor: Side,
}

/// Plain and sealed legs echo, whatever wire version each end speaks.
async fn carries(cast: &Cast, wires: (&str, &str), common: &str) {
    let rig = Rig::new();
    let service = UdpService::echo().await;
    let common = format!("auth.token = \"sudp\"\n{common}");
    let frps = rig.frps_of(&cast.server, &common).await;
    let mut proxies = format!(
        "{common}user = \"al\"\ntransport.wireProtocol = \"{}\"\n",
        wires.0
    );
    let mut visitors = format!(
        "{common}user = \"bo\"\ntransport.wireProtocol = \"{}\"\n",
        wires.1
    );
    let limited =
        "transport.bandwidthLimit = \"20MB\"\ntransport.bandwidthLimitMode = \"server\"\n";
    let legs = [("", ""), (SEALED, ""), ("", SEALED), (limited, SEALED)];
    let mut ports = Vec::new();
    for (i, (own, theirs)) in legs.into_iter().enumerate() {
        let port = free_port();
        let lines = format!("{own}allowUsers = [\"bo\"]\n");
        proxies += &sudp(&stcp_proxy(&format!("p{i}"), service.port, &lines));
        let lines = format!("{theirs}serverUser = \"al\"\n");
        visitors += &sudp(&stcp_visitor(
            &format!("v{i}"),
            &format!("p{i}"),
            port,
            &lines,
        ));
        ports.push(port);
    }
    let owner = rig.frpc_of(&cast.owner, frps.port, &proxies);
    for i in 0..legs.len() {
        owner.expect(&format!("[p{i}] start proxy success")).await;
    }
    let visitor = rig.frpc_of(&cast.visitor, frps.port, &visitors);
    visitor.expect("visitor added: [").await;
    for port in ports {
        let user = UdpUser::of(port).await;
        user.echo(b"x").await;
        user.echo(&pattern(1400, 1)).await;
        UdpUser::of(port).await.echo(b"another user").await;
        user.echo_sequence(100, 1200).await;
    }
}

async fn all_wires(cast: Cast) {
    carries(&cast, ("v1", "v1"), "").await;
    carries(&cast, ("v2", "v2"), "transport.tcpMux = false\n").await;
    carries(&cast, ("v1", "v2"), "").await;
    carries(&cast, ("v2", "v1"), "").await;
}

/// Server, owner, visitor.
macro_rules! casts {
    ($($name:ident: $server:ident $owner:ident $visitor:ident;)*) => {$(
        #[tokio::test]
        async fn $name() {
            let (Some(server), Some(owner), Some(visitor)) = ($server(), $owner(), $visitor())
            else {
                return;
            };
            all_wires(Cast { server, owner, visitor }).await;
        }
    )*};
}

casts! {
    all_ours: ours ours ours;
    our_server: ours theirs theirs;
    our_owner: theirs ours theirs;
    our_visitor: theirs theirs ours;
    their_server: theirs ours ours;
    their_owner: ours theirs ours;
    their_visitor: ours ours theirs;
}

fn ours() -> Option<Side> {
    Some(Side::Ours)
}

fn theirs() -> Option<Side> {
    Side::reference(NEWEST)
}

#[tokio::test]
async fn a_visitor_before_its_proxy_waits_for_it() {
    let rig = Rig::new();
    let service = UdpService::echo().await;
    let frps = rig.frps("").await;
    let port = free_port();
    let visitor = rig.frpc(frps.port, &sudp(&stcp_visitor("v", "p", port, "")));
    visitor.expect("sudp start to work, listen on").await;
    let user = UdpUser::of(port).await;
    user.send(b"too early").await;
    visitor
        .expect("custom listener for [p] doesn't exist")
        .await;
    let _owner = rig.frpc(frps.port, &sudp(&stcp_proxy("p", service.port, "")));
    user.echo(b"in time").await;
}

#[tokio::test]
async fn users_find_the_way_again_when_the_proxys_client_was_killed() {
    let rig = Rig::new();
    let service = UdpService::echo().await;
    let frps = rig.frps("").await;
    let port = free_port();
    let mut owner = rig.frpc(frps.port, &sudp(&stcp_proxy("p", service.port, "")));
    owner.expect("[p] start proxy success").await;
    let visitor = rig.frpc(frps.port, &sudp(&stcp_visitor("v", "p", port, "")));
    visitor.expect("start visitor success").await;
    let user = UdpUser::of(port).await;
    user.echo(b"before").await;
    owner.kill().await;
    owner.start_again();
    user.echo(b"after").await;
}

#[tokio::test]
async fn a_visitor_gives_its_port_back_and_leaves_nothing_behind() {
    let rig = Rig::new();
    let service = UdpService::echo().await;
    let frps = rig.frps("").await;
    let port = free_port();
    let limit = "transport.bandwidthLimit = \"1MB\"\ntransport.bandwidthLimitMode = \"server\"\n";
    let owner = rig.frpc(frps.port, &sudp(&stcp_proxy("p", service.port, limit)));
    owner.expect("[p] start proxy success").await;
    let before = owner.open_files();
    let mut visitor = rig.frpc(frps.port, &sudp(&stcp_visitor("v", "p", port, "")));
    visitor.expect("start visitor success").await;
    UdpUser::of(port).await.echo(b"x").await;
    assert!(owner.open_files() > before, "the user has a socket");
    visitor.kill().await;
    drop(UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
    eventually("the user's socket is closed", async || {
        owner.open_files() <= before
    })
    .await;
}
