//! Websockets at bindPort, plain and within TLS: ours with ours and with Go's of either kind of
//! frame, behind nginx, and against peers that mean no good.

use std::time::Duration;

use frp_tests::clients::until_closed;
use frp_tests::rig::{host_proxy, tcp_proxy};
use frp_tests::tls::Authority;
use frp_tests::websocket::{REQUEST, frame, open, read_frame, read_head};
use frp_tests::wire::{self, v1};
use frp_tests::*;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::carries::{fails_saying, start_client, works};

/// Binary frames, and the last release with text frames that the reference folder has.
const NEWEST: &str = "0.70.1";
const TEXT: &str = "0.61.0";

const WEBSOCKET: &str = "transport.protocol = \"websocket\"\n";
const WSS: &str = "transport.protocol = \"wss\"\n";
const PLAIN: &str = "transport.tls.enable = false\n";
const MARK: &str = "transport.tls.disableCustomTLSFirstByte = false\n";
const SINGLE: &str = "transport.tcpMux = false\n";
const V2: &str = "transport.wireProtocol = \"v2\"\n";

/// frps takes 10 s for each step of a stranger; the rest is slack for a loaded machine.
const DEADLINE: Duration = Duration::from_secs(25);

/// What frps has, and what frpc has beside the protocol.
const WAYS: [(&str, &[&str]); 6] = [
    ("", &[]),
    ("", &[PLAIN]),
    ("", &[MARK]),
    (SINGLE, &[SINGLE]),
    (SINGLE, &[SINGLE, PLAIN]),
    ("", &[V2]),
];

async fn all_ways(server: &Side, client: &Side, protocol: &str, with_v2: bool) {
    for (lines, more) in WAYS {
        if with_v2 || !more.contains(&V2) {
            let text = format!("{protocol}{}", more.concat());
            println!("frps {lines:?}, frpc {text:?}");
            works(server, client, lines, &text).await;
        }
    }
}

#[tokio::test]
async fn ours_carries_everything() {
    all_ways(&Side::Ours, &Side::Ours, WEBSOCKET, true).await;
}

/// frp's frps cannot; it needs something that ends TLS in front.
#[tokio::test]
async fn ours_takes_wss_directly() {
    all_ways(&Side::Ours, &Side::Ours, WSS, true).await;
}

#[tokio::test]
async fn their_client_comes_to_our_server() {
    for (version, with_v2) in [(NEWEST, true), (TEXT, false)] {
        let Some(theirs) = Side::reference(version) else {
            continue;
        };
        all_ways(&Side::Ours, &theirs, WEBSOCKET, with_v2).await;
        all_ways(&Side::Ours, &theirs, WSS, with_v2).await;
    }
}

#[tokio::test]
async fn our_client_goes_to_their_server() {
    for (version, with_v2) in [(NEWEST, true), (TEXT, false)] {
        let Some(theirs) = Side::reference(version) else {
            continue;
        };
        all_ways(&theirs, &Side::Ours, WEBSOCKET, with_v2).await;
    }
}

#[tokio::test]
async fn a_server_that_forces_tls_has_it_within_or_around() {
    let force = "transport.tls.force = true\n";
    let ours = Side::Ours;
    works(&ours, &ours, force, WEBSOCKET).await;
    works(&ours, &ours, force, WSS).await;
    let plain = format!("{WEBSOCKET}{PLAIN}");
    fails_saying(force, &plain, "frps takes only TLS").await;
}

#[tokio::test]
async fn certificates_are_checked_around_a_websocket_too() {
    let rig = Rig::new();
    let ca = Authority::new(rig.path(), "ca");
    let own = ca.issue(rig.path(), "server", &["127.0.0.1"]);
    let server = format!(
        "transport.tls.certFile = {:?}\ntransport.tls.keyFile = {:?}\n",
        own.cert, own.key
    );
    let trust = format!("transport.tls.trustedCaFile = {:?}\n", ca.file);
    works(&Side::Ours, &Side::Ours, &server, &format!("{WSS}{trust}")).await;
    // The in-memory certificate is nobody's.
    fails_saying("", &format!("{WSS}{trust}"), "not trusted").await;
}

#[tokio::test]
async fn path_and_headers_are_those_of_both_ends() {
    let server = "transport.websocket.path = \"/tunnel\"\n\
                  transport.websocket.headers = { X-Key = \"sesame\" }\n";
    let path = "transport.websocket.path = \"/tunnel?from=here\"\n";
    let key = "transport.websocket.headers = { x-key = \"sesame\", Host = \"cdn.example\" }\n";
    for protocol in [WEBSOCKET, WSS] {
        let client = format!("{protocol}{path}{key}");
        works(&Side::Ours, &Side::Ours, server, &client).await;
    }
    let without = format!("{WEBSOCKET}{path}");
    fails_saying(server, &without, "HTTP status 403").await;
    let wrong = format!("{without}transport.websocket.headers = {{ X-Key = \"other\" }}\n");
    fails_saying(server, &wrong, "transport.websocket.headers").await;
    // Another path is no websocket to frps, but a stranger.
    fails_saying(server, WEBSOCKET, "transport.websocket.path").await;
}

/// frps reads the name from the request, not from the connection: a CDN goes by it.
#[tokio::test]
async fn host_and_origin_are_those_of_frp_unless_they_are_set() {
    let (sender, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let service = Service::new(move |mut stream| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(read_head(&mut stream).await);
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").await;
        }
    })
    .await;
    let port = service.port;
    let own = format!("Host: 127.0.0.1:{port}\r\n");
    let origin = format!("Origin: http://127.0.0.1:{port}\r\n");
    let set =
        "transport.websocket.headers = { Host = \"a.example\", Origin = \"https://b.example\" }\n";
    for (lines, words) in [
        ("", ["GET /~!frp HTTP/1.1\r\n", &own, &origin]),
        (
            set,
            [
                "GET /~!frp HTTP/1.1\r\n",
                "Host: a.example\r\n",
                "Origin: https://b.example\r\n",
            ],
        ),
    ] {
        let rig = Rig::new();
        let mut frpc = rig.frpc(port, &format!("{WEBSOCKET}{lines}"));
        let request = within(wait::SOON, "a request", requests.recv())
            .await
            .unwrap();
        for word in words {
            assert!(request.contains(word), "no {word:?} in {request}");
        }
        let line = frpc.expect("login to the server failed").await;
        assert!(line.contains("the server knows no such path"), "{line}");
        assert_eq!(frpc.exit_code().await, Some(1));
    }
}

#[tokio::test]
async fn users_of_a_vhost_on_the_same_port_are_told_from_frpc() {
    let rig = Rig::new();
    let service = site_service().await;
    let port = free_port();
    let frps = rig.start(
        &Side::Ours,
        "frps",
        &format!("bindAddr = \"127.0.0.1\"\nbindPort = {port}\nvhostHTTPPort = {port}\n"),
    );
    frps.expect("frps started successfully").await;
    let proxy = host_proxy(
        "http",
        "site",
        service.port,
        "customDomains = [\"a.example\"]",
    );
    let frpc = rig.frpc(port, &format!("{WEBSOCKET}{proxy}"));
    frpc.expect("[site] start proxy success").await;
    for path in ["/", "/~!frp2", "/tunnel"] {
        let mut user = connect(port).await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        user.write_all(request.as_bytes()).await.unwrap();
        let head = within(wait::SOON, "an answer", read_head(&mut user)).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {head}");
    }
}

async fn site_service() -> Service {
    Service::new(|mut stream| async move {
        let _ = read_head(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
        let _ = stream.read_u8().await;
    })
    .await
}

/// As frpc before 0.70 writes it, and as a proxy may cut it.
#[tokio::test]
async fn text_in_parts_with_pings_between_is_understood() {
    let rig = Rig::new();
    let frps = rig.frps(SINGLE).await;
    let mut stream = open(frps.port).await;
    let login = v1(wire::LOGIN, &wire::login("", &json!({})));
    for (i, part) in login.chunks(100).enumerate() {
        let first = if i == 0 { 0x01 } else { 0x00 };
        stream.write_all(&frame(first, part)).await.unwrap();
        stream.write_all(&frame(0x89, b"there?")).await.unwrap();
    }
    let mut answer = Vec::new();
    let mut pongs = 0;
    while answer.len() < 9 {
        match within(wait::SOON, "a frame", read_frame(&mut stream))
            .await
            .unwrap()
        {
            (0x8A, said) => {
                assert_eq!(said, b"there?");
                pongs += 1;
            }
            (first, data) => {
                assert_eq!(first, 0x82, "binary");
                answer.extend(data);
            }
        }
    }
    assert!(pongs > 0);
    let answered = wire::read_v1(&mut &answer[..]).await.expect("LoginResp");
    assert_eq!(answered.0, wire::LOGIN_RESP);
    assert_eq!(answered.1["run_id"].as_str().map(str::len), Some(16));
    // A closing frame is an end.
    stream.write_all(&frame(0x88, &[3, 0xE8])).await.unwrap();
    until_closed(&mut stream, DEADLINE, "after a closing frame").await;
}

/// frp reads the request in its accept loop: each idle one holds up all others for 10 s.
#[tokio::test]
async fn idle_requests_hold_up_nobody() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let mut idle = Vec::new();
    for end in [0, 11, 30, REQUEST.len() - 1] {
        for _ in 0..10 {
            let mut stream = connect(frps.port).await;
            stream.write_all(&REQUEST.as_bytes()[..end]).await.unwrap();
            idle.push(stream);
        }
    }
    // Some that have shaken hands and say nothing.
    for _ in 0..10 {
        idle.push(open(frps.port).await);
    }
    let service = Service::echo().await;
    let port = free_port();
    let proxy = tcp_proxy("web", service.port, port, "");
    let frpc = rig.frpc(frps.port, &format!("{WEBSOCKET}{proxy}"));
    frpc.expect_from(0, "[web] start proxy success", Duration::from_secs(9))
        .await;
    echo(port, &pattern(100_000, 1)).await;
    for mut stream in idle {
        until_closed(&mut stream, DEADLINE, "an idle websocket").await;
    }
    echo(port, b"still here").await;
}

#[tokio::test]
async fn requests_that_frp_refuses_are_refused_alike() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    for (from, to, status) in [
        (
            "Origin: http://127.0.0.1:7000\r\n",
            "",
            "HTTP/1.1 403 Forbidden",
        ),
        ("Upgrade: websocket\r\n", "", "HTTP/1.1 400 Bad Request"),
        ("Version: 13", "Version: 7", "HTTP/1.1 400 Bad Request"),
        // No path of ours: not even HTTP.
        ("/~!frp", "/other", ""),
    ] {
        let mut stream = connect(frps.port).await;
        let request = REQUEST.replace(from, to);
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = within(DEADLINE, "an answer", read_head(&mut stream)).await;
        assert_eq!(head.split("\r\n").next(), Some(status), "{head}");
        stream.shutdown().await.unwrap();
        until_closed(&mut stream, DEADLINE, to).await;
    }
}

#[tokio::test]
async fn peers_that_break_the_protocol_are_dropped_alone() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps("").await;
    let port = free_port();
    let proxy = tcp_proxy("web", service.port, port, "");
    let frpc = rig.frpc(frps.port, &format!("{WEBSOCKET}{proxy}"));
    frpc.expect("[web] start proxy success").await;

    let endless_head = [REQUEST.trim_end().as_bytes(), &b"\r\nA: b".repeat(10_000)].concat();
    let mut too_long = connect(frps.port).await;
    let _ = too_long.write_all(&endless_head).await;
    until_closed(&mut too_long, DEADLINE, "a request without an end").await;

    let huge = [&[0x82, 0xFF, 0x80][..], &[0xFF; 11], &[0; 100]].concat();
    for (what, bytes) in [
        ("no mask", b"\x82\x05hello".to_vec()),
        ("reserved bits", frame(0xF2, b"hello")),
        ("an unknown kind", frame(0x83, b"hello")),
        (
            "a long ping",
            [&[0x89, 0xFE, 0x10, 0][..], &[0; 5000]].concat(),
        ),
        ("a length beyond all bounds", huge),
        ("no frp", frame(0x82, b"GET / HTTP/1.1\r\n\r\n")),
        (
            "a frame that never comes",
            vec![0x82, 0xFF, 0, 0, 0, 0, 0xFF, 0, 0, 0, 1, 2, 3, 4, 0],
        ),
        ("pings only", frame(0x89, b"x").repeat(20_000)),
    ] {
        let mut stream = open(frps.port).await;
        let _ = stream.write_all(&bytes).await;
        until_closed(&mut stream, DEADLINE, what).await;
        echo(port, b"still here").await;
    }
}

/// The `nginx` block of the documentation.
fn documented() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/behind-a-proxy.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, block) = page.split_once("```nginx\n").unwrap();
    block.split("```").next().unwrap().to_owned()
}

/// The documented configuration, as it is but for places.
#[tokio::test]
async fn the_documented_nginx_carries_wss() {
    let ours = Some(Side::Ours);
    for client in [ours, Side::reference(NEWEST), Side::reference(TEXT)] {
        let Some(client) = client else { continue };
        for mux in ["", SINGLE] {
            let rig = Rig::new();
            let frps = rig.frps(mux).await;
            let ca = Authority::new(rig.path(), "ca");
            let own = ca.issue(rig.path(), "frp.example.com", &["frp.example.com"]);
            let port = free_port();
            let mut servers = documented();
            for (from, to) in [
                ("listen 443 ssl", format!("listen 127.0.0.1:{port} ssl")),
                (
                    "/etc/ssl/frp.example.com.crt",
                    own.cert.display().to_string(),
                ),
                (
                    "/etc/ssl/frp.example.com.key",
                    own.key.display().to_string(),
                ),
                ("127.0.0.1:7000", format!("127.0.0.1:{}", frps.port)),
            ] {
                assert!(servers.contains(from), "{from}");
                servers = servers.replace(from, &to);
            }
            let Some(_nginx) = nginx::start(rig.path(), &servers, port).await else {
                return;
            };
            let lines = format!(
                "{WSS}{mux}transport.tls.serverName = \"frp.example.com\"\n\
                 transport.tls.trustedCaFile = {:?}\n",
                ca.file
            );
            let tunnel = start_client(rig, frps, port, &client, &lines).await;
            tunnel.check().await;
        }
    }
}
