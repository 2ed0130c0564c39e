//! What a client may say once it is logged in, honest or not.

use std::time::Duration;

use frp_tests::clients::echo_on;
use frp_tests::rig::tcp_proxy;
use frp_tests::wire::{self, Control};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

const SINGLE: &str = "transport.tcpMux = false\n";

async fn login(port: u16, more: &Value) -> (Control<TcpStream>, Value) {
    Control::login(connect(port).await, "", more).await
}

/// Registers `proxy` and returns the answer.
async fn register(control: &mut Control<TcpStream>, proxy: Value) -> Value {
    control.send(wire::NEW_PROXY, &proxy).await;
    loop {
        let (kind, body) = control.recv().await.expect("an answer to NewProxy");
        if kind == wire::NEW_PROXY_RESP {
            return body;
        }
    }
}

fn error(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or("")
}

#[tokio::test]
async fn absent_fields_have_frps_meaning() {
    let rig = Rig::new();
    let frps = rig.frps(SINGLE).await;
    let (mut control, _) = login(frps.port, &json!({})).await;
    // No type is tcp, no name is a name, no port is any.
    let answer = register(&mut control, json!({})).await;
    assert_eq!(error(&answer), "", "{answer}");
    let again = register(&mut control, json!({"proxy_type": "tcp"})).await;
    assert_eq!(error(&again), "proxy [] already exists");
    let odd = json!({
        "proxy_name": "odd", "bandwidth_limit": "fast", "bandwidth_limit_mode": "server",
        "unknown": {"a": [1]}, "metas": {"k": "v"}, "annotations": {},
    });
    assert_eq!(
        error(&register(&mut control, odd).await),
        "",
        "a limit that is none is ignored"
    );
}

#[tokio::test]
async fn impossible_proxies_are_refused_and_the_session_lives() {
    let rig = Rig::new();
    let frps = rig.frps(SINGLE).await;
    let (mut control, _) = login(frps.port, &json!({})).await;
    for port in [-1, 65_536, 1_i64 << 31] {
        let answer = register(
            &mut control,
            json!({"proxy_name": "p", "remote_port": port}),
        )
        .await;
        assert_eq!(error(&answer), "port not allowed", "{port}");
    }
    let answer = register(
        &mut control,
        json!({"proxy_name": "p", "proxy_type": "magic"}),
    )
    .await;
    assert!(!error(&answer).is_empty());
    let answer = register(&mut control, json!({"proxy_name": "p", "remote_port": 0})).await;
    assert_eq!(error(&answer), "");
}

#[tokio::test]
async fn closing_a_proxy_frees_its_port_and_only_its_owner_can() {
    let rig = Rig::new();
    let frps = rig.frps(SINGLE).await;
    let port = free_port();
    let proxy = json!({"proxy_name": "p", "remote_port": port});
    let (mut owner, _) = login(frps.port, &json!({})).await;
    let (mut other, _) = login(frps.port, &json!({})).await;
    assert_eq!(error(&register(&mut owner, proxy.clone()).await), "");

    other
        .send(wire::CLOSE_PROXY, &json!({"proxy_name": "p"}))
        .await;
    let taken = register(&mut other, proxy.clone()).await;
    assert_eq!(error(&taken), "proxy [p] already exists");

    owner
        .send(wire::CLOSE_PROXY, &json!({"proxy_name": "p"}))
        .await;
    // Messages of one client are handled in order: the answer to a ping follows the closing.
    owner.send(wire::PING, &json!({})).await;
    while owner.recv().await.expect("a Pong").0 != wire::PONG {}
    assert_eq!(error(&register(&mut other, proxy).await), "");
}

/// What strangers say is quoted in the log, never let loose in it.
#[tokio::test]
async fn names_cannot_forge_log_lines() {
    let rig = Rig::new();
    let frps = rig.frps(SINGLE).await;
    let forged = "x\n2026-01-01 00:00:00.000 [I] [a/b.go:1] all is well\u{1b}[2J";
    let fields = json!({"hostname": forged, "version": forged, "os": forged, "user": forged});
    let (mut control, _) = login(frps.port, &fields).await;
    register(&mut control, json!({"proxy_name": forged})).await;
    drop(control);
    frps.program.expect("client exit success").await;

    let mut work = connect(frps.port).await;
    let hello = json!({"run_id": forged});
    work.write_all(&wire::v1(wire::NEW_WORK_CONN, &hello))
        .await
        .unwrap();
    wire::read_v1(&mut work).await;
    frps.program.expect("no client control found").await;
    for line in frps.program.log().lines() {
        assert!(!line.contains('\u{1b}'), "{line:?}");
        assert!(!line.starts_with("2026-01-01 00:00:00.000"), "{line:?}");
    }
}

/// Garbage where the cipher should be ends the session; its port is free again.
#[tokio::test]
async fn garbage_after_login_ends_that_session_only() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps(SINGLE).await;
    let honest = free_port();
    let proxy = tcp_proxy("honest", service.port, honest, "");
    let frpc = rig.frpc(frps.port, &format!("{SINGLE}{proxy}"));
    frpc.expect("[honest] start proxy success").await;
    let mut user = connect(honest).await;

    for seed in 1..20 {
        let port = free_port();
        let (mut control, _) = login(frps.port, &json!({})).await;
        let proxy = json!({"proxy_name": "p", "remote_port": port});
        assert_eq!(error(&register(&mut control, proxy).await), "");
        // Its first bytes after decryption are a type and a length of no message.
        control.send_raw(&pattern(3000, seed)).await;
        while control.recv().await.is_some() {}
        eventually("the port is free", || async {
            TcpStream::connect(("127.0.0.1", port)).await.is_err()
        })
        .await;
    }
    echo_on(&mut user, &pattern(50_000, 1)).await;
}

/// A user whom the client never serves is let go after userConnTimeout.
#[tokio::test]
async fn a_user_without_a_work_connection_is_let_go() {
    let rig = Rig::new();
    let frps = rig.frps(&format!("userConnTimeout = 1\n{SINGLE}")).await;
    let (mut control, _) = login(frps.port, &json!({})).await;
    let port = free_port();
    register(
        &mut control,
        json!({"proxy_name": "p", "remote_port": port}),
    )
    .await;
    let mut user = connect(port).await;
    clients::until_closed(&mut user, Duration::from_secs(10), "nobody serves the user").await;
    frps.program
        .expect("timeout trying to get work connection")
        .await;
}

/// Work connections that died in the pool are passed over.
#[tokio::test]
async fn stale_pooled_connections_do_not_cost_a_user() {
    let rig = Rig::new();
    let frps = rig.frps(SINGLE).await;
    let (mut control, answer) = login(frps.port, &json!({"pool_count": 3})).await;
    let port = free_port();
    register(
        &mut control,
        json!({"proxy_name": "p", "remote_port": port}),
    )
    .await;
    let hello = wire::v1(wire::NEW_WORK_CONN, &json!({"run_id": answer["run_id"]}));
    for _ in 0..3 {
        let mut work = connect(frps.port).await;
        work.write_all(&hello).await.unwrap();
        let from = work.local_addr().unwrap().port();
        middlebox::reset(work).await;
        // On a busy machine the reset may take its time even here.
        let pair = format!(" 0100007F:{:04X} 0100007F:{from:04X} ", frps.port);
        eventually("the reset has arrived", || async {
            !std::fs::read_to_string("/proc/net/tcp")
                .unwrap()
                .contains(&pair)
        })
        .await;
    }
    let mut alive = connect(frps.port).await;
    alive.write_all(&hello).await.unwrap();

    let mut user = connect(port).await;
    user.write_all(b"hello").await.unwrap();
    let (kind, start) = wire::read_v1(&mut alive).await.expect("StartWorkConn");
    assert_eq!(
        (kind, start["proxy_name"].as_str()),
        (wire::START_WORK_CONN, Some("p"))
    );
    let mut heard = [0; 5];
    let read = tokio::io::AsyncReadExt::read_exact(&mut alive, &mut heard);
    within(wait::SOON, "the user's bytes", read).await.unwrap();
    assert_eq!(&heard, b"hello");
}

/// `:PORT` behind each domain makes the answer longer than the message was.
#[tokio::test]
async fn an_answer_that_does_not_fit_ends_the_proxy_and_not_the_session() {
    let rig = Rig::new();
    let lines = format!("vhostHTTPPort = {}\n{SINGLE}", free_port());
    let frps = rig.frps(&lines).await;
    let (mut control, _) = login(frps.port, &json!({})).await;
    let domains: Vec<_> = (1000..1700).map(|n| format!("a{n}.test")).collect();
    let proxy =
        |domains| json!({"proxy_name": "p", "proxy_type": "http", "custom_domains": domains});
    let answer = register(&mut control, proxy(&domains[..])).await;
    assert!(
        error(&answer).starts_with("NewProxyResp message of "),
        "{answer}"
    );
    // Name and domains are free again.
    let answer = register(&mut control, proxy(&domains[..10])).await;
    assert_eq!(error(&answer), "");
}

#[tokio::test]
async fn a_proxy_that_does_not_fit_the_wire_is_refused_alone() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps("").await;
    let port = free_port();
    let much = format!("metadatas.much = \"{}\"", "x".repeat(11_000));
    let proxies = tcp_proxy("big", service.port, free_port(), &much)
        + &tcp_proxy("small", service.port, port, "");
    let frpc = rig.frpc(frps.port, &proxies);
    frpc.expect("[big] start error: NewProxy message of ").await;
    frpc.expect("[small] start proxy success").await;
    echo(port, b"served").await;
    assert_eq!(frpc.log().count("session ended"), 0);
}

/// An outgoing connection of this machine was given the port that a client wants.
#[tokio::test]
async fn who_has_a_port_is_told_and_the_port_is_taken_once_it_is_free() {
    let rig = Rig::new();
    let (frps, service) = (rig.frps("").await, Service::echo().await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let out = TcpStream::connect(to).await.unwrap();
    let (peer, _) = listener.accept().await.unwrap();
    let port = out.local_addr().unwrap().port();
    let frpc = rig.frpc(frps.port, &tcp_proxy("p", service.port, port, ""));
    frpc.expect("[p] start error: port unavailable").await;
    let said = format!(
        "proxy [p]: tcp port {port} is unavailable: an outgoing connection to {to} happens to have it"
    );
    let line = frps.program.expect(&said).await;
    for part in [
        format!("(process {}, user ", std::process::id()),
        format!("sysctl -w net.ipv4.ip_local_reserved_ports={port}"),
    ] {
        assert!(line.contains(&part), "{line}");
    }
    // Its peer ends first, so that the time behind the end is the peer's.
    drop(peer);
    drop(out);
    frpc.expect("[p] start proxy success").await;
    echo(port, b"hello").await;
}
