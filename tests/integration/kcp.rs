//! kcp: ours with ours and with Go's both ways, under loss, and against peers that mean no good.
//! Skipped in part where `FRP_REFERENCE_DIR` does not name the Go release.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::carries::free_udp_port;
use frp_tests::clients::{echo_on, read_all};
use frp_tests::kcp::{BareKcp, MuteKcp, first_packet, segment};
use frp_tests::lossy::{Loss, LossyRelay};
use frp_tests::network::middlebox::{Narrow, Open};
use frp_tests::network::{Middlebox, Network, Path};
use frp_tests::rig::tcp_proxy;
use frp_tests::wire::{self, v1};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tokio::time::Instant;

const NEWEST: &str = "0.70.1";
const LONG: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
struct Setting {
    tls: bool,
    mux: bool,
    wire: &'static str,
}

const DEFAULT: Setting = Setting {
    tls: true,
    mux: true,
    wire: "v1",
};

/// A pair over kcp, through a relay where there is `loss`, with an echo behind `port`.
struct Pair {
    frps: Frps,
    frpc: Program,
    kcp_port: u16,
    port: u16,
    _relay: Option<LossyRelay>,
    _echo: Service,
    _rig: Rig,
}

async fn pair(server: &Side, client: &Side, setting: Setting, loss: Option<Loss>) -> Pair {
    let Setting { tls, mux, wire } = setting;
    let (rig, echo) = (Rig::new(), Service::echo().await);
    let (kcp_port, port) = (free_udp_port(), free_port());
    let frps = rig
        .frps_of(
            server,
            &format!("kcpBindPort = {kcp_port}\ntransport.tcpMux = {mux}\nuserConnTimeout = 50\n"),
        )
        .await;
    frps.program
        .expect(&format!("frps kcp listen on udp 127.0.0.1:{kcp_port}"))
        .await;
    let relay = match loss {
        Some(loss) => Some(LossyRelay::to(kcp_port, loss).await),
        None => None,
    };
    let text = client_text(tls, mux, wire) + &tcp_proxy("echo", echo.port, port, "");
    let frpc = rig.frpc_of(client, relay.as_ref().map_or(kcp_port, |r| r.port), &text);
    frpc.expect_from(0, "[echo] start proxy success", LONG)
        .await;
    Pair {
        frps,
        frpc,
        kcp_port,
        port,
        _relay: relay,
        _echo: echo,
        _rig: rig,
    }
}

fn client_text(tls: bool, mux: bool, wire: &str) -> String {
    format!(
        "loginFailExit = false\ntransport.protocol = \"kcp\"\ntransport.tls.enable = {tls}\n\
         transport.tcpMux = {mux}\ntransport.wireProtocol = \"{wire}\"\n"
    )
}

async fn carries(server: Side, client: Side, setting: Setting) {
    let pair = pair(&server, &client, setting, None).await;
    let long = pattern(3_000_000, 7);
    let half = &long[..400_000];
    tokio::join!(
        echo(pair.port, &long),
        echo(pair.port, b"x"),
        echo(pair.port, half),
    );
    if server != Side::Ours && !setting.mux {
        // Go's frps takes what comes late of an ended session for a new one, has everybody wait 10 s
        // for its first byte, and may even give a user what another one was sent.
        return;
    }
    // Many short ones after one another: sessions come and go.
    for n in 0..20 {
        echo(pair.port, &pattern(100, n)).await;
    }
}

macro_rules! table {
    ($($name:ident: $tls:literal $mux:literal $wire:literal;)*) => {
        mod ours_with_ours {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let setting = Setting { tls: $tls, mux: $mux, wire: $wire };
                carries(Side::Ours, Side::Ours, setting).await;
            })*
        }

        mod our_server_with_their_client {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let Some(theirs) = Side::reference(NEWEST) else { return };
                let setting = Setting { tls: $tls, mux: $mux, wire: $wire };
                carries(Side::Ours, theirs, setting).await;
            })*
        }

        mod their_server_with_our_client {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let Some(theirs) = Side::reference(NEWEST) else { return };
                let setting = Setting { tls: $tls, mux: $mux, wire: $wire };
                carries(theirs, Side::Ours, setting).await;
            })*
        }
    };
}

table! {
    tls_mux: true true "v1";
    tls_single: true false "v1";
    plain_mux: false true "v1";
    plain_single: false false "v1";
    tls_mux_v2: true true "v2";
    plain_single_v2: false false "v2";
}

async fn carries_under_loss(server: Side, client: Side, per_mille: u64) {
    let delay = Duration::from_millis(10);
    let loss = Loss { per_mille, delay };
    let pair = pair(&server, &client, DEFAULT, Some(loss)).await;
    let content = pattern(1_000_000, per_mille);
    let (one, other) = (connect(pair.port), connect(pair.port));
    let (mut one, mut other) = tokio::join!(one, other);
    within(LONG, "the bytes come through", async {
        tokio::join!(
            echo_on(&mut one, &content),
            echo_on(&mut other, &content[..100_000])
        );
    })
    .await;
}

#[tokio::test]
async fn ours_with_ours_under_loss() {
    for per_mille in [50, 200] {
        carries_under_loss(Side::Ours, Side::Ours, per_mille).await;
    }
}

#[tokio::test]
async fn our_server_with_their_client_under_loss() {
    let Some(theirs) = Side::reference(NEWEST) else {
        return;
    };
    for per_mille in [50, 200] {
        carries_under_loss(Side::Ours, theirs.clone(), per_mille).await;
    }
}

#[tokio::test]
async fn their_server_with_our_client_under_loss() {
    let Some(theirs) = Side::reference(NEWEST) else {
        return;
    };
    for per_mille in [50, 200] {
        carries_under_loss(theirs.clone(), Side::Ours, per_mille).await;
    }
}

/// Over a network of its own, on which whole packets get lost, those of the kernel's as well.
async fn carries_over_a_network(
    server: Side,
    client: Side,
    lost_of_1000: u32,
    device: impl Middlebox + 'static,
) {
    let path = Path {
        delay: Duration::from_millis(10),
        lost_of_1000,
        ..Path::default()
    };
    let Some(net) = Network::new(path, device) else {
        return;
    };
    let (rig, echo) = (Rig::new(), net.client.echo());
    let lines = "log.level = \"debug\"\nlog.disablePrintColor = true\n";
    let text = format!("{lines}bindPort = 7000\nkcpBindPort = 7000\n");
    let frps = net.server.start(&rig, &server, "frps", &text);
    frps.expect("frps kcp listen on udp").await;
    let text = format!(
        "{lines}serverAddr = \"{}\"\nserverPort = 7000\n{}{}",
        net.server.ip,
        client_text(true, true, "v1"),
        tcp_proxy("echo", echo.port, 7001, "")
    );
    let frpc = net.client.start(&rig, &client, "frpc", &text);
    frpc.expect_from(0, "[echo] start proxy success", LONG)
        .await;
    let to = SocketAddrV4::new(net.server.ip, 7001);
    let (one, other) = tokio::join!(net.server.connect(to), net.server.connect(to));
    let (mut one, mut other) = (one.unwrap(), other.unwrap());
    let content = pattern(1_500_000, 9);
    within(LONG, "the bytes come through", async {
        tokio::join!(
            echo_on(&mut one, &content),
            echo_on(&mut other, &content[..100_000])
        );
    })
    .await;
}

macro_rules! over_a_network {
    ($($name:ident: $lost:literal, $device:expr;)*) => {
        mod over_a_network {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                carries_over_a_network(Side::Ours, Side::Ours, $lost, $device).await;
                let Some(theirs) = Side::reference(NEWEST) else { return };
                carries_over_a_network(Side::Ours, theirs.clone(), $lost, $device).await;
                carries_over_a_network(theirs, Side::Ours, $lost, $device).await;
            })*
        }
    };
}

over_a_network! {
    without_loss: 0, Open;
    with_5_of_100_lost: 50, Open;
    with_20_of_100_lost: 200, Open;
    through_a_tunnel: 0, Narrow(1280);
}

/// An answer comes from the address that was asked, or a client with a firewall never sees it.
#[tokio::test]
async fn a_server_with_several_addresses_answers_from_the_right_one() {
    let (rig, service) = (Rig::new(), Service::echo().await);
    let kcp_port = free_udp_port();
    let lines = format!("kcpBindPort = {kcp_port}\nproxyBindAddr = \"127.0.0.1\"\n");
    let text = format!(
        "bindAddr = \"0.0.0.0\"\nbindPort = {}\n{lines}",
        free_port()
    );
    let frps = rig.start(&Side::Ours, "frps", &text);
    frps.expect("frps kcp listen on udp").await;
    // frps does not hear at once that a client has gone, so each has a name of its own.
    for (name, addr) in [("one", "127.0.0.1"), ("other", "127.0.0.2")] {
        let port = free_port();
        let text = format!(
            "serverAddr = \"{addr}\"\nserverPort = {kcp_port}\n{}{}",
            client_text(true, true, "v1"),
            tcp_proxy(name, service.port, port, "")
        );
        let frpc = rig.start(&Side::Ours, "frpc", &text);
        frpc.expect("start proxy success").await;
        echo(port, b"hello").await;
    }
}

/// KCP has no end of a direction; between two of ours there is one all the same.
#[tokio::test]
async fn an_end_of_data_arrives_with_and_without_tls_and_mux() {
    for (tls, mux) in [(true, true), (true, false), (false, true), (false, false)] {
        let rig = Rig::new();
        let content = pattern(700_000, 3);
        let source = Service::source(content.clone()).await;
        let (kcp_port, port) = (free_udp_port(), free_port());
        let lines = format!("kcpBindPort = {kcp_port}\ntransport.tcpMux = {mux}\n");
        let _frps = rig.frps(&lines).await;
        let text = client_text(tls, mux, "v1") + &tcp_proxy("source", source.port, port, "");
        let frpc = rig.frpc(kcp_port, &text);
        frpc.expect("[source] start proxy success").await;
        for _ in 0..5 {
            let mut user = connect(port).await;
            assert!(read_all(&mut user).await == content, "tls {tls} mux {mux}");
        }
    }
}

#[tokio::test]
async fn kcp_may_have_the_number_of_bind_port() {
    let rig = Rig::new();
    let (port, remote) = (free_port(), free_port());
    let echo_service = Service::echo().await;
    let text = format!("bindAddr = \"127.0.0.1\"\nbindPort = {port}\nkcpBindPort = {port}\n");
    let frps = rig.start(&Side::Ours, "frps", &text);
    frps.expect("frps started successfully").await;
    let text = client_text(true, true, "v1") + &tcp_proxy("echo", echo_service.port, remote, "");
    let kcp = rig.frpc(port, &text);
    kcp.expect("[echo] start proxy success").await;
    let tcp = rig.frpc(port, "");
    tcp.expect("login to server success").await;
    echo(remote, b"over kcp").await;
}

#[tokio::test]
async fn a_taken_kcp_port_is_an_error_that_names_it() {
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let kcp_port = taken.local_addr().unwrap().port();
    let (rig, port) = (Rig::new(), free_port());
    let text = format!("bindAddr = \"127.0.0.1\"\nbindPort = {port}\nkcpBindPort = {kcp_port}\n");
    let mut frps = rig.start(&Side::Ours, "frps", &text);
    assert_eq!(frps.exit_code().await, Some(1));
    let log = frps.log().text();
    let said = format!("listen on kcp udp address 127.0.0.1:{kcp_port} error");
    assert!(log.contains(&said), "{log}");
}

#[tokio::test]
async fn a_peer_without_error_correction_logs_in_and_is_answered_without_it() {
    let (rig, kcp_port) = (Rig::new(), free_udp_port());
    let lines = format!("kcpBindPort = {kcp_port}\ntransport.tcpMux = false\nauth.token = \"t\"\n");
    let _frps = rig.frps(&lines).await;
    let mut peer = BareKcp::open(kcp_port, 77).await;
    let login = v1(b'o', &wire::login("t", &json!({})));
    peer.send(&login).await;
    let head = peer.receive(9).await;
    assert_eq!(head[0], b'1', "LoginResp");
    let len = u64::from_be_bytes(head[1..].try_into().unwrap());
    let body = peer.receive(usize::try_from(len).unwrap()).await;
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert!(answer["error"].as_str().unwrap_or_default().is_empty());
    assert_eq!(answer["run_id"].as_str().unwrap().len(), 16, "{answer}");
}

/// A whole login fits into a first packet, whose address anybody can forge.
#[tokio::test]
async fn logins_from_forged_addresses_are_held_against_nobody() {
    let (rig, kcp_port) = (Rig::new(), free_udp_port());
    let lines = format!(
        "kcpBindPort = {kcp_port}\ntransport.tcpMux = false\nauth.token = \"t\"\nguard.ban.exceptIPs = []\n\
         guard.ban.failures = 2\n"
    );
    let frps = rig.frps(&lines).await;
    let login = v1(b'o', &wire::login("wrong", &json!({})));
    let mut forged = Vec::new();
    for conv in 0..10 {
        // Whoever is there hears nothing of it, and answers nothing.
        let peer = BareKcp::open(kcp_port, conv).await;
        peer.send_raw(&first_packet(conv, &login)).await;
        forged.push(peer);
    }
    let mut peer = BareKcp::open(kcp_port, 77).await;
    peer.send(&login).await;
    assert_eq!(peer.receive(9).await[0], b'1', "LoginResp");
    let log = frps.program.log();
    assert_eq!(log.count("guard: failed 127.0.0.1 cause=login"), 1);
    assert_eq!(log.count("guard: banned"), 0, "{}", log.text());
}

#[tokio::test]
async fn silent_sessions_hold_up_nobody() {
    let (rig, kcp_port) = (Rig::new(), free_udp_port());
    let _frps = rig.frps(&format!("kcpBindPort = {kcp_port}\n")).await;
    let mut silent = Vec::new();
    for n in 0..100u32 {
        let peer = BareKcp::open(kcp_port, n).await;
        // Nothing, the start of a websocket request, of a TLS record, of a mux frame.
        let said: [&[u8]; 3] = [b"GET /~!", b"\x17\x16\x03\x01", b"\0"];
        peer.send_raw(&first_packet(n, said[n as usize % 3])).await;
        silent.push(peer);
    }
    let start = Instant::now();
    let frpc = rig.frpc(kcp_port, &client_text(true, true, "v1"));
    frpc.expect("login to server success").await;
    // One after the other they would take ten seconds each.
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn hostile_first_packets_open_nothing_and_disturb_nobody() {
    let pair = pair(&Side::Ours, &Side::Ours, DEFAULT, None).await;
    let mut user = connect(pair.port).await;
    echo_on(&mut user, b"before").await;
    let peer = BareKcp::open(pair.kcp_port, 5).await;
    let mut hostile: Vec<Vec<u8>> = vec![
        vec![],
        vec![0; 1],
        vec![0xff; 1500],
        // Parity, and data that has no KCP in it.
        [&[0xff, 0xff, 0xff, 0xff, 0xf2, 0][..], &[9; 100]].concat(),
        [&[1, 0, 0, 0, 0xf1, 0, 0xff, 0xff][..], &[9; 3]].concat(),
        [&[1, 0, 0, 0, 0xf1, 0][..]].concat(),
        // Commands that open nothing, a number far away, a length beyond the packet.
        segment(5, 82, 0, 0, 0, &[]),
        segment(5, 83, 0, 0, 0, &[]),
        segment(5, 84, 0, 0, 0, &[]),
        segment(5, 99, 0, 0, 0, &[]),
        segment(5, 81, 0, u32::MAX, 0, b"x"),
        segment(5, 81, 0, 1 << 31, 0, b"x"),
        segment(5, 81, 0, 0, u32::MAX, b"x"),
        first_packet(5, b"cut off")[..27].to_vec(),
        // And one that opens a session, whose first bytes are not frp's.
        first_packet(6, b"\xff\xfe\xfd"),
    ];
    for n in 0..2000 {
        hostile.push(pattern(n % 200, n as u64));
    }
    for datagram in &hostile {
        peer.send_raw(datagram).await;
    }
    echo_on(&mut user, &pattern(100_000, 1)).await;
    echo(pair.port, b"after").await;
    assert!(!pair.frps.program.log().text().contains("panicked"));
}

/// A server that was restarted knows none of its sessions. Whoever says that it is in one gets no more bytes for it
/// than it sent, and their echo gets none.
#[tokio::test]
async fn who_is_in_the_middle_of_nothing_is_told_so() {
    let pair = pair(&Side::Ours, &Side::Ours, DEFAULT, None).await;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let target = (Ipv4Addr::LOCALHOST, pair.kcp_port);
    socket.connect(target).await.unwrap();
    let over = |conv| segment(conv, 84, 0, u32::MAX, 0, &[]);
    let mut last = over(1);
    for (conv, command, number) in [(2, 81, 7), (3, 82, 7), (4, 83, 0), (5, 84, 0)] {
        // Neither what was said in answer, nor what opens nothing, is answered.
        socket.send(&last).await.unwrap();
        socket
            .send(&segment(99, command, 0, 1 << 20, 0, &[]))
            .await
            .unwrap();
        socket
            .send(&segment(conv, command, 0, number, 9, &[]))
            .await
            .unwrap();
        let mut answer = [0; 2000];
        let heard = within(LONG, "an answer", socket.recv(&mut answer)).await;
        let answer = answer[..heard.unwrap()].to_vec();
        assert_eq!(answer.len(), 24);
        assert_eq!((answer[0], answer[4]), (conv as u8, 84));
        assert_eq!(answer[12..16], u32::MAX.to_le_bytes());
        last = answer;
    }
    echo(pair.port, b"after").await;
}

/// From the address of an established session: somebody who knows it may forge it.
#[tokio::test]
async fn a_first_packet_with_anothers_address_does_not_end_its_session() {
    let (rig, kcp_port) = (Rig::new(), free_udp_port());
    let lines = format!("kcpBindPort = {kcp_port}\ntransport.tcpMux = false\nauth.token = \"t\"\n");
    let _frps = rig.frps(&lines).await;
    let mut peer = BareKcp::open(kcp_port, 77).await;
    peer.send(&v1(b'o', &wire::login("t", &json!({})))).await;
    assert_eq!(peer.receive(9).await[0], b'1');
    for conv in 1000..1100 {
        peer.send_raw(&first_packet(conv, b"\0")).await;
    }
    // Still acknowledged, in its own conversation.
    peer.send(&[0; 16]).await;
}

#[tokio::test]
async fn a_flood_of_first_packets_takes_bounded_memory_and_ends_no_session() {
    let pair = pair(&Side::Ours, &Side::Ours, DEFAULT, None).await;
    let mut user = connect(pair.port).await;
    echo_on(&mut user, b"before").await;
    let before = pair.frps.program.private_bytes();
    let mut flood = Vec::new();
    for n in 0..40u8 {
        let from = IpAddr::from([127, 1, n, 1]);
        flood.push(tokio::spawn(async move {
            for port in 0..250u32 {
                let socket = UdpSocket::bind((from, 0)).await.unwrap();
                let target = (Ipv4Addr::LOCALHOST, pair.kcp_port);
                let packet = first_packet(port, &[0x17; 1000]);
                let _ = socket.send_to(&packet, target).await;
            }
        }));
    }
    for part in flood {
        part.await.unwrap();
    }
    echo_on(&mut user, &pattern(50_000, 2)).await;
    let grown = pair.frps.program.private_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for 10 000 strangers");
    // And an honest client gets in.
    let rig = Rig::new();
    let frpc = rig.frpc(pair.kcp_port, &client_text(true, true, "v1"));
    frpc.expect_from(0, "login to server success", LONG).await;
}

#[tokio::test]
async fn frpc_comes_back_when_frps_was_away() {
    let mut pair = pair(&Side::Ours, &Side::Ours, DEFAULT, None).await;
    echo(pair.port, b"before").await;
    pair.frps.program.kill().await;
    pair.frps.program.start_again();
    let mark = pair.frpc.log().lines().len();
    pair.frpc
        .expect_from(mark, "[echo] start proxy success", LONG)
        .await;
    echo(pair.port, b"after").await;
}

/// The end of a session is told to nobody on the wire: without a word before it frps would wait for
/// a keep-alive.
#[tokio::test]
async fn a_stopped_frpc_takes_its_proxies_back() {
    let mut pair = pair(&Side::Ours, &Side::Ours, DEFAULT, None).await;
    pair.frpc.signal("TERM").await;
    assert_eq!(pair.frpc.exit_code().await, Some(0));
    let port = pair.port;
    eventually("the port is free", || async move {
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .is_err()
    })
    .await;
}

/// A frps that does not answer has nothing delivered; that was waited for for over ten seconds.
#[tokio::test]
async fn a_stopped_frpc_does_not_wait_for_an_frps_that_is_stuck() {
    let mut pair = pair(&Side::Ours, &Side::Ours, DEFAULT, None).await;
    pair.frps.program.signal("STOP").await;
    pair.frpc.signal("TERM").await;
    let status = pair.frpc.exit_status_within(Duration::from_secs(5)).await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn heartbeats_keep_a_session_without_mux() {
    let (rig, kcp_port) = (Rig::new(), free_udp_port());
    let lines = format!(
        "kcpBindPort = {kcp_port}\ntransport.tcpMux = false\ntransport.heartbeatTimeout = 3\n"
    );
    let frps = rig.frps(&lines).await;
    let text = client_text(true, false, "v1")
        + "transport.heartbeatInterval = 1\ntransport.heartbeatTimeout = 3\n";
    let frpc = rig.frpc(kcp_port, &text);
    frpc.expect("login to server success").await;
    for _ in 0..5 {
        let mark = frpc.log().lines().len();
        frpc.expect_from(mark, "receive heartbeat from server", LONG)
            .await;
    }
    assert!(!frps.program.log().text().contains("heartbeat timeout"));
}

async fn fails_saying(port: u16, lines: &str, words: &[&str]) {
    let rig = Rig::new();
    let lines = format!("transport.protocol = \"kcp\"\n{lines}");
    let mut frpc = rig.frpc(port, &lines);
    let status = frpc.exit_status_within(LONG).await;
    assert_eq!(status.code(), Some(1));
    let log = frpc.log().text();
    let at = log.find("login to the server failed");
    let said = &log[at.unwrap_or_else(|| panic!("{log}"))..];
    for word in words {
        assert!(said.contains(word), "no `{word}` in: {said}");
    }
}

const PLAIN: &str = "transport.tls.enable = false\n";
const SINGLE: &str = "transport.tls.enable = false\ntransport.tcpMux = false\n";

#[tokio::test]
async fn a_port_where_nothing_listens_is_named() {
    let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let said = format!("nothing listens on its UDP port {port}");
    for lines in ["", PLAIN, SINGLE] {
        fails_saying(port, lines, &["connection refused", &said, "kcpBindPort"]).await;
    }
}

#[tokio::test]
async fn a_silent_port_is_named_with_what_may_be_the_reason() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let said = ["i/o timeout", "answers over UDP", "kcpBindPort", "firewall"];
    tokio::join!(
        fails_saying(port, "", &said),
        fails_saying(port, PLAIN, &said),
        fails_saying(port, SINGLE, &said),
    );
}

/// An old frps takes the first byte of TLS for the mux's, and closes the session without a word.
#[tokio::test]
async fn a_server_that_acknowledges_and_says_nothing_is_no_matter_of_firewalls() {
    let mute = MuteKcp::open().await;
    let tls = [
        "acknowledges our bytes over UDP but does not answer a TLS hello",
        "older than 0.38, set transport.tls.disableCustomTLSFirstByte = false",
    ];
    let plain = [
        "took our login over UDP and did not answer",
        "transport.tcpMux",
    ];
    tokio::join!(
        fails_saying(mute.port, "", &tls),
        fails_saying(mute.port, PLAIN, &plain),
        fails_saying(mute.port, SINGLE, &plain),
    );
}

#[tokio::test]
async fn an_frps_that_needs_the_first_byte_is_named() {
    let Some(old) = Side::reference("0.33.0") else {
        return;
    };
    let (rig, kcp_port) = (Rig::new(), free_udp_port());
    let text = format!("[common]\nkcp_bind_port = {kcp_port}\n");
    let frps = rig.frps_of(&old, &text).await;
    frps.program.expect("frps kcp listen on udp").await;
    let byte = "transport.tls.disableCustomTLSFirstByte = false";
    fails_saying(kcp_port, "", &[byte]).await;
    let frpc = rig.frpc(
        kcp_port,
        &format!("{}{byte}\n", client_text(true, true, "v1")),
    );
    frpc.expect("login to server success").await;
}
