//! Crowds of strangers: whoever comes alone gets in, with work connections, over kcp and with few
//! descriptors, too. And what goes to an address that may be forged.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use crate::carries::free_udp_port;
use frp_tests::kcp::{BareKcp, first_packet};
use frp_tests::wire::{self, Control, read_v1, v1};
use frp_tests::*;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

const PLAIN: &str = "auth.token = \"t\"\ntransport.tcpMux = false\n";
const LIMIT: Duration = Duration::from_secs(20);

/// More than a server keeps of strangers.
pub(crate) const CROWD: usize = 1200;

const NEW_WORK_CONN: u8 = b'w';
const START_WORK_CONN: u8 = b's';

/// Connections from another address than that of honest clients, each of which says `first`.
pub(crate) async fn crowd(port: u16, size: usize, first: &[u8]) -> Vec<TcpStream> {
    let mut crowd = Vec::new();
    for _ in 0..size {
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind((Ipv4Addr::new(127, 0, 0, 2), 0).into())
            .unwrap();
        let mut peer = socket
            .connect((Ipv4Addr::LOCALHOST, port).into())
            .await
            .unwrap();
        // Some are closed by now.
        let _ = peer.write_all(first).await;
        crowd.push(peer);
    }
    crowd
}

/// First packets of kcp sessions, of each of which nothing more comes.
async fn forge(port: u16, count: usize) {
    for n in 0..count {
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 2), 0))
            .await
            .unwrap();
        let packet = first_packet(n as u32, b"o");
        socket
            .send_to(&packet, (Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
    }
}

async fn logs_in(stream: TcpStream) {
    let more = json!({});
    let login = Control::login(stream, "t", &more);
    let (_, answer) = within(LIMIT, "a login", login).await;
    assert!(answer["run_id"].as_str().is_some_and(|id| !id.is_empty()));
}

/// Of an honest client it takes a while until its login is there: the crowd comes meanwhile.
#[tokio::test]
async fn a_crowd_takes_nobody_elses_place() {
    let rig = Rig::new();
    let frps = rig.frps(PLAIN).await;
    for first in [&b""[..], b"\x16\x03\x01\x02", b"GET /~!f", b"o\0\0"] {
        let early = connect(frps.port).await;
        let _crowd = crowd(frps.port, CROWD, first).await;
        let late = connect(frps.port).await;
        logs_in(early).await;
        logs_in(late).await;
    }
}

#[tokio::test]
async fn forged_packets_take_nobodys_place() {
    let (rig, kcp_port) = (Rig::new(), free_udp_port());
    let frps = rig
        .frps(&format!("kcpBindPort = {kcp_port}\n{PLAIN}"))
        .await;
    let early = connect(frps.port).await;
    let mut early_kcp = BareKcp::open(kcp_port, 77).await;
    let login = v1(b'o', &wire::login("t", &json!({})));
    let (begin, rest) = login.split_at(5);
    early_kcp.send(begin).await;
    forge(kcp_port, CROWD).await;
    let mut late_kcp = BareKcp::open(kcp_port, 78).await;
    late_kcp.send(&login).await;
    assert_eq!(late_kcp.receive(9).await[0], b'1');
    early_kcp.send(rest).await;
    assert_eq!(early_kcp.receive(9).await[0], b'1');
    logs_in(early).await;
    // And a whole frpc, with error correction.
    let frpc = rig.frpc(
        kcp_port,
        "auth.token = \"t\"\ntransport.tcpMux = false\ntransport.protocol = \"kcp\"\n",
    );
    frpc.expect("login to server success").await;
}

/// A hall of machines behind one address starts at once, and one of them was quicker.
#[tokio::test]
async fn many_clients_of_one_address_get_in_together() {
    let rig = Rig::new();
    let frps = rig.frps(PLAIN).await;
    let _first = Control::login(connect(frps.port).await, "t", &json!({})).await;
    let mut hall = Vec::new();
    for _ in 0..600 {
        hall.push(connect(frps.port).await);
    }
    for machine in hall {
        logs_in(machine).await;
    }
}

/// Without the mux each user's work connection is a connection of its own.
#[tokio::test]
async fn a_crowd_does_not_cut_a_tunnel_off() {
    let rig = Rig::new();
    let frps = rig.frps(PLAIN).await;
    let (mut control, answer) = Control::login(connect(frps.port).await, "t", &json!({})).await;
    let port = free_port();
    let proxy = json!({"proxy_name": "p", "proxy_type": "tcp", "remote_port": port});
    let answered = control.register(&proxy).await;
    assert_eq!(answered["error"].as_str().unwrap_or_default(), "");

    let mut work = connect(frps.port).await;
    let _crowd = crowd(frps.port, CROWD, b"").await;
    let open = v1(NEW_WORK_CONN, &json!({"run_id": answer["run_id"]}));
    work.write_all(&open).await.unwrap();
    let mut user = connect(port).await;
    let started = within(LIMIT, "StartWorkConn", read_v1(&mut work)).await;
    assert_eq!(started.map(|(kind, _)| kind), Some(START_WORK_CONN));
    work.write_all(b"x").await.unwrap();
    assert_eq!(within(LIMIT, "a byte", user.read_u8()).await.unwrap(), b'x');
}

#[tokio::test]
async fn with_few_descriptors_a_crowd_locks_nobody_out() {
    let (rig, port) = (Rig::new(), free_port());
    let text = format!("bindAddr = \"127.0.0.1\"\nbindPort = {port}\n{PLAIN}");
    let config = rig.config("few", &text);
    let limited = "ulimit -n 256; exec \"$0\" -c \"$1\"";
    let args = [
        "-c".into(),
        limited.into(),
        Side::Ours.program("frps").into_os_string(),
        config.into_os_string(),
    ];
    let frps = Program::spawn(Path::new("/bin/sh"), args, rig.path());
    frps.expect("frps started successfully").await;
    let early = connect(port).await;
    let _crowd = crowd(port, 2 * 256, b"").await;
    logs_in(early).await;
    logs_in(connect(port).await).await;
    assert!(frps.open_files() < 200, "{}", frps.open_files());
}

/// The first datagram of a frpc over QUIC.
async fn first_of_quic(rig: &Rig) -> Vec<u8> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let _frpc = rig.frpc(port, "transport.protocol = \"quic\"\n");
    let mut datagram = vec![0; 2048];
    loop {
        let received = socket.recv(&mut datagram);
        let len = within(LIMIT, "a first packet", received).await.unwrap();
        if len >= 1200 {
            datagram.truncate(len);
            return datagram;
        }
    }
}

/// Whoever sends with the address of another has no more sent there than three times as much.
#[tokio::test]
async fn a_forged_address_gets_three_times_what_was_sent_in_its_name() {
    let (rig, kcp_port, quic_port) = (Rig::new(), free_udp_port(), free_udp_port());
    let lines =
        format!("kcpBindPort = {kcp_port}\nquicBindPort = {quic_port}\nauth.token = \"t\"\n");
    let _frps = rig.frps(&lines).await;
    let wrong = v1(b'o', &wire::login("wrong", &json!({})));
    let mux = [
        yamux::open(1),
        yamux::data(1, &wrong),
        yamux::open(3),
        yamux::data(3, &v1(NEW_WORK_CONN, &json!({"run_id": "x".repeat(800)}))),
    ];
    let mut cases = vec![(quic_port, first_of_quic(&rig).await)];
    for said in [b"x".to_vec(), mux[..2].concat(), mux.concat()] {
        cases.push((kcp_port, first_packet(7, &said)));
    }
    let mut checks = tokio::task::JoinSet::new();
    for (port, packet) in cases {
        checks.spawn(async move {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let target = (Ipv4Addr::LOCALHOST, port);
            socket.send_to(&packet, target).await.unwrap();
            let (mut got, mut datagram) = (0, [0; 2048]);
            // Longer than any of its repetitions waits but the last ones.
            let silence = Duration::from_secs(5);
            while let Ok(received) = timeout(silence, socket.recv(&mut datagram)).await {
                got += received.unwrap();
                assert!(got <= 3 * packet.len(), "{got} for {}", packet.len());
            }
            assert!(got > 0);
        });
    }
    while let Some(check) = checks.join_next().await {
        check.unwrap();
    }
}
