//! QUIC at quicBindPort: ours with ours and with Go's, its ends, and strangers.

use std::sync::Arc;
use std::time::Duration;

use frp_tests::clients::{echoes, until_echoes};
use frp_tests::rig::tcp_proxy;
use frp_tests::tls::{self, Authority, Identity};
use frp_tests::wire::{self, v1};
use frp_tests::*;
use rustls::version::TLS13;
use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::carries::{fails_saying, free_udp_port, start, works};

const NEWEST: &str = "0.70.1";
const OLD: &str = "0.61.0";

const LISTEN: &str = "quicBindPort = {udp}\n";
const QUIC: &str = "transport.protocol = \"quic\"\n";

/// As in `hostile`: 10 s for each step of a stranger, and slack.
const DEADLINE: Duration = Duration::from_secs(25);

/// Neither the mux nor `tls.enable` means anything with QUIC.
const WAYS: [&str; 4] = [
    "",
    "transport.tls.enable = false\n",
    "transport.tcpMux = false\n",
    "transport.wireProtocol = \"v2\"\n",
];

async fn all_ways(server: &Side, client: &Side, with_v2: bool) {
    for more in WAYS {
        if with_v2 || !more.contains("v2") {
            println!("frpc {more:?}");
            works(server, client, LISTEN, &format!("{QUIC}{more}")).await;
        }
    }
}

#[tokio::test]
async fn ours_carries_everything() {
    all_ways(&Side::Ours, &Side::Ours, true).await;
    let single = format!("{LISTEN}transport.tcpMux = false\n");
    works(&Side::Ours, &Side::Ours, &single, QUIC).await;
}

#[tokio::test]
async fn their_client_comes_to_our_server() {
    for (version, with_v2) in [(NEWEST, true), (OLD, false)] {
        let Some(theirs) = Side::reference(version) else {
            continue;
        };
        all_ways(&Side::Ours, &theirs, with_v2).await;
    }
}

#[tokio::test]
async fn our_client_goes_to_their_server() {
    for (version, with_v2) in [(NEWEST, true), (OLD, false)] {
        let Some(theirs) = Side::reference(version) else {
            continue;
        };
        all_ways(&theirs, &Side::Ours, with_v2).await;
    }
}

fn files(identity: &Identity) -> String {
    let Identity { cert, key } = identity;
    format!("transport.tls.certFile = {cert:?}\ntransport.tls.keyFile = {key:?}\n")
}

fn trust(ca: &Authority) -> String {
    format!("transport.tls.trustedCaFile = {:?}\n", ca.file)
}

#[tokio::test]
async fn certificates_are_checked_as_with_tls() {
    let rig = Rig::new();
    let ca = Authority::new(rig.path(), "ca");
    let other = Authority::new(rig.path(), "other");
    let server = files(&ca.issue(rig.path(), "server", &["127.0.0.1", "frps.example"]));
    let server = format!("{LISTEN}{server}");
    let ours = Side::Ours;
    works(&ours, &ours, &server, &format!("{QUIC}{}", trust(&ca))).await;
    let name = "transport.tls.serverName = \"frps.example\"\n";
    works(
        &ours,
        &ours,
        &server,
        &format!("{QUIC}{name}{}", trust(&ca)),
    )
    .await;
    let text = "the certificate of the server is not trusted";
    fails_saying(&server, &format!("{QUIC}{}", trust(&other)), text).await;
    let wrong = "transport.tls.serverName = \"other.example\"\n";
    fails_saying(&server, &format!("{QUIC}{wrong}{}", trust(&ca)), text).await;

    let strict = format!("{server}{}", trust(&ca));
    let known = files(&ca.issue(rig.path(), "client", &["client.example"]));
    works(&ours, &ours, &strict, &format!("{QUIC}{known}")).await;
    let text = "the server does not accept our certificate";
    fails_saying(&strict, QUIC, text).await;
    let stranger = files(&other.issue(rig.path(), "stranger", &["client.example"]));
    fails_saying(&strict, &format!("{QUIC}{stranger}"), text).await;
}

/// What nobody listens at is told by the system, which nobody has to wait for.
#[tokio::test]
async fn a_closed_port_is_refused_at_once() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    // frps has no QUIC there, only TCP.
    let mut frpc = rig.frpc(frps.port, QUIC);
    let line = frpc.expect("login to the server failed").await;
    assert!(line.contains("connection refused"), "{line}");
    assert!(
        line.contains("quicBindPort") && line.contains("UDP"),
        "{line}"
    );
    assert_eq!(frpc.exit_code().await, Some(1));
}

#[tokio::test]
async fn silence_is_explained() {
    let rig = Rig::new();
    let mute = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let mut frpc = rig.frpc(
        mute.local_addr().unwrap().port(),
        &format!("{QUIC}transport.dialServerTimeout = 2\n"),
    );
    let line = frpc.expect("login to the server failed").await;
    assert!(
        line.contains("timeout: no recent network activity"),
        "{line}"
    );
    assert!(
        line.contains("quicBindPort") && line.contains("UDP"),
        "{line}"
    );
    assert_eq!(frpc.exit_code().await, Some(1));
}

#[tokio::test]
async fn a_port_that_is_taken_stops_the_start() {
    let rig = Rig::new();
    let taken = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = format!(
        "bindAddr = \"127.0.0.1\"\nbindPort = {}\nquicBindPort = {port}\n",
        free_port()
    );
    let mut frps = rig.start(&Side::Ours, "frps", &text);
    assert_eq!(frps.exit_code().await, Some(1));
    let said = format!("listen on quic udp address 127.0.0.1:{port} error: address already in use");
    assert!(frps.log().text().contains(&said), "{}", frps.log().text());
}

#[tokio::test]
async fn a_client_that_is_told_to_stop_leaves_at_once() {
    for name in ["TERM", "INT"] {
        let mut tunnel = start(&Side::Ours, &Side::Ours, LISTEN, QUIC).await;
        let port = tunnel.echo_port();
        tunnel.frpc.signal(name).await;
        assert_eq!(tunnel.frpc.exit_code().await, Some(0));
        tunnel
            .frps
            .program
            .expect("close proxy [echo] success")
            .await;
        tunnel.frps.program.expect("client exit success").await;
        assert!(!echoes(port).await);
    }
}

/// UDP has no end of a connection: only silence tells.
#[tokio::test]
async fn both_ends_find_out_that_the_other_vanished() {
    let times = "transport.quic.maxIdleTimeout = 3\ntransport.quic.keepalivePeriod = 1\n";
    let server = format!("{LISTEN}{times}");
    let mut tunnel = start(&Side::Ours, &Side::Ours, &server, &format!("{QUIC}{times}")).await;
    let port = tunnel.echo_port();
    tunnel.frps.program.kill().await;
    let limit = Duration::from_secs(40);
    tunnel.frpc.expect_from(0, "session ended", limit).await;
    tunnel.frps.program.start_again();
    until_echoes(port, Duration::from_secs(60)).await;

    tunnel.frpc.kill().await;
    tunnel
        .frps
        .program
        .expect_from(0, "client exit success", limit)
        .await;
    tunnel.frpc.start_again();
    until_echoes(port, Duration::from_secs(60)).await;
}

/// More than a connection may have open before its limit grows.
#[tokio::test]
async fn many_users_at_once_are_carried() {
    for (server, client) in [
        (Some(Side::Ours), Some(Side::Ours)),
        (Some(Side::Ours), Side::reference(NEWEST)),
        (Side::reference(NEWEST), Some(Side::Ours)),
    ] {
        let (Some(server), Some(client)) = (server, client) else {
            continue;
        };
        let tunnel = start(&server, &client, LISTEN, QUIC).await;
        let mut users = Vec::new();
        for i in 0..400_u64 {
            let mut user = connect(tunnel.echo_port()).await;
            clients::echo_on(&mut user, &pattern(500, i)).await;
            users.push(user);
        }
        for (i, user) in users.iter_mut().enumerate() {
            clients::echo_on(user, &pattern(700, i as u64)).await;
        }
    }
}

/// A scripted client.
async fn dial(port: u16) -> quinn::Connection {
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut config = tls::client(&[&TLS13]);
    config.alpn_protocols = vec![b"frp".to_vec()];
    let config = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(config));
    let addr = format!("127.0.0.1:{port}").parse().unwrap();
    let connecting = endpoint.connect_with(config, addr, "127.0.0.1").unwrap();
    within(wait::SOON, "a QUIC connection", connecting)
        .await
        .unwrap()
}

/// Sends a first message on a stream of its own, and returns the answer.
async fn ask(conn: &quinn::Connection, kind: u8, body: &Value) -> Option<(u8, Value)> {
    let (mut send, mut recv) = conn.open_bi().await.unwrap();
    send.write_all(&v1(kind, body)).await.unwrap();
    let answer = wire::read_v1(&mut recv).await;
    // A control stream must stay.
    std::mem::forget((send, recv));
    answer
}

/// A run id is no secret: it counts on the connection of its session only.
#[tokio::test]
async fn a_work_connection_must_come_on_the_connection_of_its_session() {
    let rig = Rig::new();
    let udp = free_udp_port();
    let _frps = rig.frps(&LISTEN.replace("{udp}", &udp.to_string())).await;
    let own = dial(udp).await;
    let login = wire::login("", &json!({}));
    let (_, answer) = ask(&own, wire::LOGIN, &login).await.unwrap();
    let work = json!({ "run_id": answer["run_id"] });
    let other = dial(udp).await;
    let (kind, answer) = ask(&other, wire::NEW_WORK_CONN, &work).await.unwrap();
    assert_eq!(kind, wire::START_WORK_CONN);
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("no client control found"), "{error}");
}

#[tokio::test]
async fn strangers_are_dropped_in_time() {
    let rig = Rig::new();
    let udp = free_udp_port();
    let frps = rig.frps(&LISTEN.replace("{udp}", &udp.to_string())).await;
    let silent = dial(udp).await;
    let half = dial(udp).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let (mut send, recv) = half.open_bi().await.unwrap();
        send.write_all(b"o\0").await.unwrap();
        held.push((send, recv));
    }
    // A stranger gets no more streams than that.
    let more = tokio::time::timeout(Duration::from_millis(500), half.open_bi()).await;
    assert!(more.is_err());
    let foreign = dial(udp).await;
    let (mut send, _recv) = foreign.open_bi().await.unwrap();
    send.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    for conn in [silent, half, foreign] {
        within(DEADLINE, "a stranger is dropped", conn.closed()).await;
    }
    drop(frps);
}

#[tokio::test]
async fn datagrams_of_any_kind_hurt_nobody() {
    let mut tunnel = start(&Side::Ours, &Side::Ours, LISTEN, QUIC).await;
    let listening = tunnel.frps.program.expect("frps quic listen on").await;
    let udp: u16 = listening
        .rsplit(':')
        .next()
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let mut floods = JoinSet::new();
    for seed in 0..4_u64 {
        floods.spawn(async move {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            for i in 0..3000_u64 {
                let mut bytes = pattern(1200, seed * 10_000 + i);
                // Half of them look like first packets of QUIC version 1.
                if i % 2 == 0 {
                    bytes[..6].copy_from_slice(&[0xC3, 0, 0, 0, 1, 8]);
                    bytes[14] = 8;
                }
                let _ = socket.send_to(&bytes, ("127.0.0.1", udp)).await;
            }
        });
    }
    echo(tunnel.echo_port(), &pattern(300_000, 3)).await;
    while floods.join_next().await.is_some() {}
    tunnel.check().await;
    assert!(tunnel.frps.program.is_running());

    // And newcomers get in.
    let service = Service::echo().await;
    let port = free_port();
    let proxy = tcp_proxy("late", service.port, port, "");
    let late = tunnel.rig.frpc(udp, &format!("{QUIC}{proxy}"));
    late.expect("[late] start proxy success").await;
    echo(port, b"here").await;
}
