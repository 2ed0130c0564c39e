//! Hostile peers of frps: each is dropped within the deadline, alone, and leaves nothing behind.

use std::future::Future;
use std::time::Duration;

use frp_tests::clients::until_closed;
use frp_tests::rig::tcp_proxy;
use frp_tests::wire::{self, Control};
use frp_tests::*;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// frps gives a stranger 10 s for each step, and a multiplexed connection 15 s to log in; the rest
/// is slack for a loaded machine.
const DEADLINE: Duration = Duration::from_secs(22);

/// A frps with one honest client, whose service must answer all the time.
struct Town {
    rig: Rig,
    frps: Frps,
    _frpc: Program,
    _service: Service,
    port: u16,
}

impl Town {
    async fn new(lines: &str) -> Self {
        let rig = Rig::new();
        let service = Service::echo().await;
        let frps = rig.frps(lines).await;
        let port = free_port();
        let proxy = tcp_proxy("honest", service.port, port, "");
        let frpc = rig.frpc(frps.port, &format!("{lines}{proxy}"));
        frpc.expect("[honest] start proxy success").await;
        Self {
            rig,
            frps,
            _frpc: frpc,
            _service: service,
            port,
        }
    }

    /// Runs `attack` while the honest client's users come and go.
    async fn under(&mut self, attack: impl Future<Output = ()>) {
        tokio::pin!(attack);
        loop {
            tokio::select! {
                () = &mut attack => break,
                () = async {
                    echo(self.port, b"still here").await;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                } => {}
            }
        }
        echo(self.port, &pattern(100_000, 3)).await;
        assert!(self.frps.program.is_running());
    }
}

/// Sends `bytes` and waits for frps to close the connection.
async fn dropped(port: u16, what: String, bytes: Vec<u8>) {
    let mut peer = connect(port).await;
    // frps may close before it has read all.
    let _ = peer.write_all(&bytes).await;
    until_closed(&mut peer, DEADLINE, &what).await;
}

async fn all_dropped(port: u16, cases: Vec<(String, Vec<u8>)>) {
    let mut peers = JoinSet::new();
    for (what, bytes) in cases {
        peers.spawn(dropped(port, what, bytes));
    }
    while let Some(peer) = peers.join_next().await {
        peer.unwrap();
    }
}

fn v1_login() -> Vec<u8> {
    wire::v1(wire::LOGIN, &wire::login("", &json!({})))
}

/// First bytes that are no message of any wire version, each with a name for the failure.
fn bad_messages() -> Vec<(String, Vec<u8>)> {
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |what: &str, bytes: Vec<u8>| cases.push((what.to_owned(), bytes));
    for seed in 1..6 {
        let mut bytes = pattern(200, seed);
        bytes[0] = 0x80 + u8::try_from(seed).unwrap();
        add(&format!("random bytes {seed}"), bytes);
    }
    let login = v1_login();
    add("half a Login", login[..login.len() / 2].to_vec());
    add(
        "a Login without its last byte",
        login[..login.len() - 1].to_vec(),
    );
    add("the head of a Login", login[..9].to_vec());
    let body = br#"{"version":"1"}"#;
    for length in [10_241, i64::MAX, -1, i64::MIN] {
        add(
            &format!("v1 length {length}"),
            wire::v1_raw(wire::LOGIN, length, body),
        );
    }
    add("an unknown type byte", wire::v1(b'?', &json!({"a": 1})));
    add("no JSON", wire::v1_raw(wire::LOGIN, 15, b"not JSON at all"));
    add(
        "a string for a number",
        wire::v1(wire::LOGIN, &json!({"pool_count": "many"})),
    );
    add(
        "an array for a Login",
        wire::v1(wire::LOGIN, &json!([1, 2, 3])),
    );
    for (name, kind) in [
        ("Ping", wire::PING),
        ("NewProxy", wire::NEW_PROXY),
        ("LoginResp", wire::LOGIN_RESP),
        ("ReqWorkConn", wire::REQ_WORK_CONN),
        ("CloseProxy", wire::CLOSE_PROXY),
    ] {
        add(
            &format!("{name} first"),
            wire::v1(kind, &json!({"proxy_name": "x"})),
        );
    }

    let magic = |rest: Vec<u8>| [wire::MAGIC, &rest].concat();
    add(
        "another magic",
        [b"FRP\x00\x03\r\n".as_slice(), &wire::client_hello()].concat(),
    );
    add("the magic alone", [wire::MAGIC, b"\0\x01\0"].concat());
    add("v2 flags", magic(wire::v2_frame(1, 1, b"{}")));
    add(
        "a v2 frame of unknown type",
        magic(wire::v2_frame(99, 0, b"{}")),
    );
    let oversize = [0, 1, 0, 0, 0, 1, 0, 1];
    add("an oversize v2 frame", magic(oversize.to_vec()));
    add(
        "a largest v2 frame",
        magic([0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff].to_vec()),
    );
    add(
        "a ClientHello that is no JSON",
        magic(wire::v2_frame(1, 0, b"hello")),
    );
    add(
        "a ClientHello that offers nothing",
        magic(wire::v2_frame(1, 0, b"{}")),
    );
    add("a ServerHello", magic(wire::v2_frame(2, 0, b"{}")));
    add("a v2 Ping first", magic(wire::v2_message(9, &json!({}))));
    add(
        "an unknown v2 message",
        magic(wire::v2_message(999, &json!({}))),
    );
    add("a v2 message without id", magic(wire::v2_frame(16, 0, b"")));
    add("only a ClientHello", magic(wire::client_hello()));
    cases
}

/// What looks like TLS and isn't, or never gets further.
fn bad_tls() -> Vec<(String, Vec<u8>)> {
    let garbage = pattern(300, 9);
    vec![
        (
            "0x16 and garbage".into(),
            [b"\x16".as_slice(), &garbage].concat(),
        ),
        (
            "0x17 and garbage".into(),
            [b"\x17".as_slice(), &garbage].concat(),
        ),
        (
            "a TLS record head".into(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        ),
        (
            "0x17 and a record head".into(),
            b"\x17\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03".to_vec(),
        ),
        (
            "SSLv2".into(),
            b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80".to_vec(),
        ),
    ]
}

/// Nothing at all, and 1 to 9 bytes: less than frps needs to tell transports apart.
fn too_few_bytes() -> Vec<(String, Vec<u8>)> {
    let login = v1_login();
    (0..10)
        .map(|n| (format!("{n} bytes and then nothing"), login[..n].to_vec()))
        .collect()
}

#[tokio::test]
async fn bad_first_messages_end_only_their_connection() {
    let mut town = Town::new("transport.tcpMux = false\n").await;
    let cases = [bad_messages(), bad_tls(), too_few_bytes()].concat();
    let port = town.frps.port;
    town.under(all_dropped(port, cases)).await;
}

#[tokio::test]
async fn bad_mux_peers_end_only_their_connection() {
    let mut town = Town::new("").await;
    let port = town.frps.port;
    let open = yamux::open(1);
    let cases: Vec<(String, Vec<u8>)> = vec![
        (
            "random bytes".into(),
            [b"\x80".as_slice(), &pattern(500, 4)].concat(),
        ),
        ("a plain Login, no mux".into(), v1_login()),
        (
            "mux version 1".into(),
            [b"\x01\x00\x00\x01\0\0\0\x01\0\0\0\0".as_slice(), &open].concat(),
        ),
        ("an unknown frame type".into(), yamux::header(9, 0, 0, 0)),
        ("half a frame head".into(), open[..11].to_vec()),
        (
            "more data than the window".into(),
            [
                open.clone(),
                yamux::header(yamux::DATA, 0, 1, 0x7fff_ffff),
                pattern(1000, 5),
            ]
            .concat(),
        ),
        (
            "no stream at all".into(),
            yamux::header(yamux::PING, yamux::SYN, 0, 77),
        ),
        ("a go-away".into(), yamux::header(yamux::GO_AWAY, 0, 0, 1)),
    ];
    town.under(all_dropped(
        port,
        [cases, bad_tls(), too_few_bytes()].concat(),
    ))
    .await;
}

#[tokio::test]
async fn silent_streams_end_within_the_deadline() {
    let mut town = Town::new("").await;
    let port = town.frps.port;
    let mut cases = vec![("nothing".to_owned(), Vec::new())];
    cases.extend(bad_messages());
    let attack = async {
        let mut peers = JoinSet::new();
        for (what, bytes) in cases {
            peers.spawn(async move {
                let mut peer = connect(port).await;
                let mut sent = yamux::open(1);
                if !bytes.is_empty() {
                    sent.extend(yamux::data(1, &bytes));
                }
                let _ = peer.write_all(&sent).await;
                let what = format!("frps ends a stream that sent {what}");
                within(DEADLINE, &what, stream_ends(&mut peer, 1)).await;
            });
        }
        while let Some(peer) = peers.join_next().await {
            peer.unwrap();
        }
    };
    town.under(attack).await;
}

/// The window that frps announces for stream `id` next.
async fn announced(peer: &mut TcpStream, id: u32) -> u32 {
    loop {
        let (head, _) = yamux::read(peer).await.expect("a window update");
        if head.kind == yamux::WINDOW && head.stream == id {
            return head.length;
        }
    }
}

#[tokio::test]
async fn a_stranger_has_few_streams_and_may_send_little_ahead() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let mut peer = connect(frps.port).await;
    send(&mut peer, &[yamux::open(1), yamux::open(3)].concat()).await;
    assert_eq!(
        announced(&mut peer, 1).await,
        0,
        "beyond yamux's own 256 KiB"
    );
    assert_eq!(announced(&mut peer, 3).await, 0);
    // It has two streams until then.
    send(&mut peer, &yamux::open(5)).await;
    within(DEADLINE, "a reset", stream_ends(&mut peer, 5)).await;
    send(&mut peer, &yamux::data(3, &v1_login())).await;
    let rest = 6 * 1024 * 1024 - 256 * 1024;
    let first = announced(&mut peer, 1);
    assert_eq!(within(DEADLINE, "more window", first).await, rest);
    send(&mut peer, &yamux::open(7)).await;
    let later = announced(&mut peer, 7);
    let later = within(DEADLINE, "an answer", later).await;
    assert_eq!(later, 0, "more only for a reader");
}

/// Before a login nobody needs to say much: whoever goes on and on is closed long before the 10 s that it has.
#[tokio::test]
async fn a_stranger_that_floods_the_mux_is_closed_early() {
    const EARLY: Duration = Duration::from_secs(7);
    let mut town = Town::new("").await;
    let port = town.frps.port;
    let floods = [
        ("pings", yamux::header(yamux::PING, yamux::SYN, 0, 7)),
        ("answers", yamux::header(yamux::PING, yamux::ACK, 0, 7)),
        ("windows", yamux::header(yamux::WINDOW, 0, 1, u32::MAX)),
        ("resets", yamux::header(yamux::WINDOW, yamux::RST, 9, 0)),
        ("data for nobody", yamux::data(9, &pattern(10_000, 6))),
    ];
    let attack = async {
        let mut peers = JoinSet::new();
        for (what, frame) in floods {
            peers.spawn(async move {
                let mut peer = connect(port).await;
                send(&mut peer, &yamux::open(1)).await;
                let more = frame.repeat(100_000 / frame.len());
                let flood = async {
                    while peer.write_all(&more).await.is_ok() {
                        // As much as it takes to be too much, without keeping the machine busy.
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                };
                within(EARLY, &format!("the end of a flood of {what}"), flood).await;
            });
        }
        while let Some(peer) = peers.join_next().await {
            peer.unwrap();
        }
    };
    town.under(attack).await;
}

/// Reads frames until stream `id` or the connection has ended.
async fn stream_ends(peer: &mut TcpStream, id: u32) {
    while let Some((head, _)) = yamux::read(peer).await {
        if head.stream == id && head.flags & (yamux::FIN | yamux::RST) != 0 {
            return;
        }
    }
}

#[tokio::test]
async fn silence_after_the_tls_handshake_ends_within_the_deadline() {
    for mux in [true, false] {
        let mut town = Town::new(&format!("transport.tcpMux = {mux}\n")).await;
        let port = town.frps.port;
        let attack = async {
            let silent = async {
                let mut peer = tls::connect_tls(port, tls::client(rustls::ALL_VERSIONS))
                    .await
                    .unwrap();
                until_closed(&mut peer, DEADLINE, "silence after TLS").await;
            };
            let half = async {
                let mut peer = tls::connect_tls(port, tls::client(rustls::ALL_VERSIONS))
                    .await
                    .unwrap();
                let login = v1_login();
                send(&mut peer, &login[..login.len() / 2]).await;
                until_closed(&mut peer, DEADLINE, "half a Login in TLS").await;
            };
            let byte_then_silence = async {
                let mut peer = connect(port).await;
                send(&mut peer, b"\x17").await;
                let mut peer = tls::handshake(peer, tls::client(rustls::ALL_VERSIONS))
                    .await
                    .unwrap();
                until_closed(&mut peer, DEADLINE, "silence after 0x17 and TLS").await;
            };
            tokio::join!(silent, half, byte_then_silence);
        };
        town.under(attack).await;
    }
}

async fn send(peer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    peer.write_all(bytes).await.unwrap();
    peer.flush().await.unwrap();
}

/// Defect 1: -100 crashed frp at login, -5 at the first user connection.
#[tokio::test]
async fn a_negative_pool_count_harms_nobody() {
    let mut town = Town::new("transport.tcpMux = false\n").await;
    for (pool_count, name) in [(-100, "a"), (-5, "b"), (-1, "c"), (i64::MIN, "d")] {
        let login = json!({"pool_count": pool_count});
        let (mut control, answer) = Control::login(connect(town.frps.port).await, "", &login).await;
        assert_eq!(
            answer["error"],
            serde_json::Value::Null,
            "pool_count {pool_count}"
        );
        let run_id = answer["run_id"].as_str().unwrap();
        let port = free_port();
        let proxy = json!({"proxy_name": name, "proxy_type": "tcp", "remote_port": port});
        control.send(wire::NEW_PROXY, &proxy).await;
        control.recv().await.expect("an answer to NewProxy");

        // The first user is served like anybody's.
        let mut user = connect(port).await;
        user.write_all(b"hello").await.unwrap();
        let (kind, _) = control
            .recv()
            .await
            .expect("a request for a work connection");
        assert_eq!(kind, wire::REQ_WORK_CONN);
        let mut work = connect(town.frps.port).await;
        send(
            &mut work,
            &wire::v1(wire::NEW_WORK_CONN, &json!({"run_id": run_id})),
        )
        .await;
        let (kind, start) = wire::read_v1(&mut work).await.expect("StartWorkConn");
        assert_eq!(
            (kind, start["proxy_name"].as_str()),
            (wire::START_WORK_CONN, Some(name))
        );
        let mut heard = [0; 5];
        within(wait::SOON, "the user's bytes", work.read_exact(&mut heard))
            .await
            .unwrap();
        assert_eq!(&heard, b"hello");
    }
    town.under(async {}).await;
}

#[tokio::test]
async fn a_work_connection_of_nobody_is_told_so() {
    let town = Town::new("transport.tcpMux = false\n").await;
    let mut work = connect(town.frps.port).await;
    send(
        &mut work,
        &wire::v1(wire::NEW_WORK_CONN, &json!({"run_id": "nobody"})),
    )
    .await;
    let (kind, answer) = wire::read_v1(&mut work).await.expect("an answer");
    assert_eq!(kind, wire::START_WORK_CONN);
    assert_eq!(
        answer["error"],
        "no client control found for run id [nobody]"
    );
    until_closed(&mut work, DEADLINE, "a refused work connection").await;
}

/// An honest old client sends fields that nobody knows; they are ignored.
#[tokio::test]
async fn unknown_fields_and_unread_messages_are_ignored() {
    let town = Town::new("transport.tcpMux = false\n").await;
    let login = json!({"from_the_future": {"a": [1, 2]}, "another": null});
    let (mut control, answer) = Control::login(connect(town.frps.port).await, "", &login).await;
    assert_eq!(answer["error"], serde_json::Value::Null);
    let unknown = json!({"proxy_name": "never registered", "more": true});
    control.send(wire::CLOSE_PROXY, &unknown).await;
    control.send(wire::PING, &json!({"unknown": 1})).await;
    loop {
        let (kind, body) = control.recv().await.expect("a Pong");
        if kind == wire::PONG {
            assert_eq!(body["error"].as_str().unwrap_or(""), "");
            break;
        }
    }
}

#[tokio::test]
async fn two_thousand_bad_peers_leave_memory_and_files_flat() {
    for mux in [true, false] {
        let mut town =
            Town::new(&format!("transport.tcpMux = {mux}\nlog.level = \"info\"\n")).await;
        let port = town.frps.port;
        // Allocator and runtime have grown to their size before the measuring begins.
        batter(port, 600).await;
        let memory = town.frps.program.private_bytes();
        let files = town.frps.program.open_files();
        let attack = batter(port, 2000);
        town.under(attack).await;
        let program = &town.frps.program;
        eventually("the bad peers' descriptors are closed", || async {
            program.open_files() <= files + 8
        })
        .await;
        let grown = program.private_bytes().saturating_sub(memory);
        assert!(grown < 6 << 20, "frps grew by {grown} bytes from {memory}");
    }
}

/// `count` peers, up to 100 at once, of the kinds that frps can refuse at once.
async fn batter(port: u16, count: usize) {
    let login = v1_login();
    let kinds = [
        wire::v1_raw(wire::LOGIN, i64::MAX, b"{}"),
        wire::v1_raw(wire::LOGIN, -1, b"{}"),
        wire::v1(b'?', &json!({"a": 1})),
        [b"\x80".as_slice(), &pattern(5000, 8)].concat(),
        [b"\x16".as_slice(), &pattern(300, 9)].concat(),
        [wire::MAGIC, &wire::v2_frame(1, 1, b"{}")].concat(),
        [yamux::open(1), yamux::data(1, &login[..20])].concat(),
        [
            yamux::open(1),
            yamux::data(1, &wire::v1(b'?', &json!({"a": 1}))),
        ]
        .concat(),
    ];
    let mut peers = JoinSet::new();
    for i in 0..count {
        if peers.len() >= 100 {
            peers.join_next().await.unwrap().unwrap();
        }
        let bytes = kinds[i % kinds.len()].clone();
        peers.spawn(async move {
            let mut peer = connect(port).await;
            let _ = peer.write_all(&bytes).await;
            // The peer leaves too: not all of these are refused before their deadline.
            let _ = peer.shutdown().await;
            until_closed(&mut peer, DEADLINE, "a bad peer").await;
        });
    }
    while let Some(peer) = peers.join_next().await {
        peer.unwrap();
    }
}

/// Defect 20: frp knows no bound on strangers.
#[tokio::test]
async fn a_crowd_of_strangers_does_not_keep_an_honest_login_out() {
    let mut town = Town::new("").await;
    let (server, frps_pid) = (town.frps.port, town.frps.program.pid());
    assert!(frps_pid > 0);
    let mut crowd = Vec::new();
    for i in 0..1200 {
        let mut peer = connect(server).await;
        match i % 3 {
            0 => {}
            1 => send(&mut peer, b"\0\0\0").await,
            _ => send(&mut peer, &yamux::open(1)).await,
        }
        crowd.push(peer);
    }
    // And one connection with thousands of streams that say nothing.
    let mut many = connect(server).await;
    let streams: Vec<u8> = (0..4000).flat_map(|i| yamux::open(2 * i + 1)).collect();
    let _ = many.write_all(&streams).await;

    let port = free_port();
    let proxy = tcp_proxy("late", town._service.port, port, "");
    let late = town.rig.frpc(server, &proxy);
    let limit = Duration::from_secs(8);
    late.expect_from(0, "[late] start proxy success", limit)
        .await;
    echo(port, &pattern(100_000, 6)).await;
    town.under(async {}).await;
}
