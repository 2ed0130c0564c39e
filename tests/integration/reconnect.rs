//! Lost servers, lost clients, sessions that replace one another, logins that fail.

use std::time::Duration;

use crate::carries::free_udp_port;
use frp_tests::clients::{echoes, until_echoes};
use frp_tests::rig::tcp_proxy;
use frp_tests::wire::{Control, NEW_PROXY, NEW_PROXY_RESP};
use frp_tests::*;
use serde_json::json;
use tokio::time::sleep;

const TOKEN: &str = "auth.token = \"reconnect\"\n";

/// The bound: however long the outage was, the port answers this soon after frps is back.
const BACK: Duration = Duration::from_secs(3);

async fn frps_comes_back(outage: Duration, client: &str) {
    let rig = Rig::new();
    let service = Service::echo().await;
    let mut frps = rig.frps(&format!("{TOKEN}{client}")).await;
    let port = free_port();
    let proxy = tcp_proxy("ssh", service.port, port, "");
    let frpc = rig.frpc(frps.port, &format!("{TOKEN}{client}{proxy}"));
    frpc.expect("[ssh] start proxy success").await;
    echo(port, b"before").await;

    frps.program.kill().await;
    assert!(!echoes(port).await, "nobody listens while frps is down");
    sleep(outage).await;
    frps.program.start_again();
    frps.program.expect("frps started successfully").await;
    until_echoes(port, BACK).await;
}

#[tokio::test]
async fn the_port_answers_soon_after_a_short_outage() {
    frps_comes_back(Duration::from_millis(300), "").await;
}

#[tokio::test]
async fn the_port_answers_soon_after_an_outage_of_ten_seconds() {
    frps_comes_back(Duration::from_secs(10), "").await;
}

#[tokio::test]
async fn the_port_answers_soon_after_an_outage_without_mux() {
    frps_comes_back(Duration::from_secs(2), "transport.tcpMux = false\n").await;
}

#[tokio::test]
async fn a_killed_frpc_is_served_again_at_once() {
    for mux in [true, false] {
        let rig = Rig::new();
        let service = Service::echo().await;
        let common = format!("{TOKEN}transport.tcpMux = {mux}\n");
        let frps = rig.frps(&common).await;
        let port = free_port();
        let proxy = tcp_proxy("ssh", service.port, port, "");
        let mut frpc = rig.frpc(frps.port, &format!("{common}{proxy}"));
        frpc.expect("[ssh] start proxy success").await;
        echo(port, b"before").await;
        for _ in 0..3 {
            frpc.kill().await;
            frpc.start_again();
            frpc.expect("[ssh] start proxy success").await;
            echo(port, b"after").await;
            assert_eq!(frpc.log().count("start error"), 0, "{}", frpc.log().text());
        }
    }
}

/// Nobody tells frps that the first one has ended, and the second one is a stranger to it.
#[tokio::test]
async fn a_frpc_that_was_killed_is_served_again_over_udp() {
    for (protocol, mux) in [("quic", true), ("kcp", true), ("kcp", false)] {
        let common = format!("{TOKEN}transport.tcpMux = {mux}\n");
        let (rig, service) = (Rig::new(), Service::echo().await);
        let (udp_port, port) = (free_udp_port(), free_port());
        let frps = rig
            .frps(&format!("{common}{protocol}BindPort = {udp_port}\n"))
            .await;
        let proxy = tcp_proxy("ssh", service.port, port, "");
        let client = format!("{common}transport.protocol = \"{protocol}\"\n{proxy}");
        let mut frpc = rig.frpc(udp_port, &client);
        frpc.expect("[ssh] start proxy success").await;
        frpc.kill().await;
        frpc.start_again();
        let soon = Duration::from_secs(15);
        frpc.expect_from(0, "[ssh] start proxy success", soon).await;
        echo(port, b"after").await;
        frps.program
            .expect("the client does not answer, and another one wants its proxies")
            .await;
    }
}

/// Who is there keeps what it has.
#[tokio::test]
async fn a_client_that_answers_keeps_its_names() {
    let (rig, service) = (Rig::new(), Service::echo().await);
    let (udp_port, port) = (free_udp_port(), free_port());
    let frps = rig
        .frps(&format!("{TOKEN}quicBindPort = {udp_port}\n"))
        .await;
    let proxy = tcp_proxy("ssh", service.port, port, "");
    let client = format!("{TOKEN}transport.protocol = \"quic\"\n{proxy}");
    let first = rig.frpc(udp_port, &client);
    first.expect("[ssh] start proxy success").await;
    let second = rig.frpc(udp_port, &client);
    // Once, and again after the first was asked.
    let refused = || second.log().count("proxy [ssh] already exists");
    eventually("a second refusal", || async { refused() >= 2 }).await;
    assert!(!frps.program.log().text().contains("does not answer"));
    echo(port, b"served").await;
}

#[tokio::test]
async fn the_same_run_id_replaces_the_session_and_takes_its_proxies() {
    let rig = Rig::new();
    let frps = rig
        .frps(&format!("{TOKEN}transport.tcpMux = false\n"))
        .await;
    let proxy = json!({"proxy_name": "p", "proxy_type": "tcp", "remote_port": free_port()});

    let (mut old, answer) = Control::login(connect(frps.port).await, "reconnect", &json!({})).await;
    let run_id = answer["run_id"].as_str().unwrap().to_owned();
    assert!(
        run_id.len() == 16 && run_id.bytes().all(|b| b.is_ascii_hexdigit()),
        "{run_id}"
    );
    register(&mut old, &proxy, "").await;

    let (mut stranger, _) = Control::login(connect(frps.port).await, "reconnect", &json!({})).await;
    register(&mut stranger, &proxy, "proxy [p] already exists").await;

    let again = json!({"run_id": run_id});
    let (mut new, answer) = Control::login(connect(frps.port).await, "reconnect", &again).await;
    assert_eq!(answer["run_id"], run_id.as_str());
    register(&mut new, &proxy, "").await;
    frps.program
        .expect(&format!("replaced by client [{run_id}]"))
        .await;
    // The old one is over.
    while old.recv().await.is_some() {}
}

/// Registers `proxy` and asserts the answer's error text.
async fn register<S>(control: &mut Control<S>, proxy: &serde_json::Value, error: &str)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    control.send(NEW_PROXY, proxy).await;
    loop {
        let (kind, body) = control.recv().await.expect("an answer to NewProxy");
        if kind == NEW_PROXY_RESP {
            assert_eq!(body["error"].as_str().unwrap_or(""), error);
            return;
        }
    }
}

#[tokio::test]
async fn a_wrong_token_is_refused_with_a_reason_and_exit_status_1() {
    let rig = Rig::new();
    let frps = rig.frps(TOKEN).await;
    for wire in ["v1", "v2"] {
        let lines = format!("auth.token = \"other\"\ntransport.wireProtocol = \"{wire}\"\n");
        let mut frpc = rig.frpc(frps.port, &lines);
        let reason = "token in login doesn't match token from configuration";
        let line = frpc.expect("login to the server failed").await;
        assert!(line.contains(reason), "{line}");
        assert_eq!(frpc.exit_code().await, Some(1));
    }
    frps.program.expect("register control error").await;
}

#[tokio::test]
async fn a_failing_first_login_is_tried_again_without_login_fail_exit() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let (server, port) = (free_port(), free_port());
    let proxy = tcp_proxy("ssh", service.port, port, "");
    let mut frpc = rig.frpc(server, &format!("{TOKEN}loginFailExit = false\n{proxy}"));
    frpc.expect("connect to server error").await;
    let attempts = || frpc.log().count("try to connect to server");
    eventually("a second attempt", || async { attempts() >= 2 }).await;
    assert!(frpc.is_running());

    let text = format!("bindAddr = \"127.0.0.1\"\nbindPort = {server}\n{TOKEN}");
    let _frps = rig.start(&Side::Ours, "frps", &text);
    until_echoes(port, Duration::from_secs(15)).await;
}

#[tokio::test]
async fn many_clients_come_back_after_an_outage() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let mut frps = rig.frps(TOKEN).await;
    let mut clients = Vec::new();
    for i in 0..10 {
        let port = free_port();
        let proxy = tcp_proxy(&format!("p{i}"), service.port, port, "");
        clients.push((rig.frpc(frps.port, &format!("{TOKEN}{proxy}")), port));
    }
    for (frpc, _) in &clients {
        frpc.expect("start proxy success").await;
    }
    frps.program.kill().await;
    sleep(Duration::from_secs(2)).await;
    frps.program.start_again();
    for (_, port) in &clients {
        until_echoes(*port, Duration::from_secs(10)).await;
    }
}

/// Defect 26 of frp: its logs never say why a session ended.
#[tokio::test]
async fn both_sides_say_why_a_session_ended() {
    let rig = Rig::new();
    let mut frps = rig.frps(TOKEN).await;
    let mut first = rig.frpc(frps.port, TOKEN);
    first.expect("login to server success").await;
    first.kill().await;
    let line = frps.program.expect("control connection ended: ").await;
    assert!(!line.ends_with(": "), "no reason: {line}");

    let second = rig.frpc(frps.port, TOKEN);
    second.expect("login to server success").await;
    frps.program.kill().await;
    let line = second.expect("session ended: ").await;
    assert!(!line.ends_with(": "), "no reason: {line}");
}

/// Over UDP nobody tells a client that frps has ended; the next frps does, when it is asked. Silence alone would take
/// more than half a minute.
#[tokio::test]
async fn a_frps_that_was_killed_is_missed_over_every_transport() {
    const NO_MUX: &str = "transport.tcpMux = false\n";
    const NO_TLS: &str = "transport.tls.enable = false\n";
    let ways = [
        ("tcp", "", ""),
        ("tcp", NO_MUX, ""),
        ("tcp", "", NO_TLS),
        ("websocket", "", ""),
        ("wss", "", ""),
        ("kcp", "", ""),
        ("kcp", NO_MUX, ""),
        ("kcp", "", NO_TLS),
        ("quic", "", ""),
    ];
    for (protocol, both, client) in ways {
        println!("{protocol} {both}{client}");
        let (rig, service) = (Rig::new(), Service::echo().await);
        let udp_port = free_udp_port();
        let listen = match protocol {
            "kcp" | "quic" => format!("{protocol}BindPort = {udp_port}\n"),
            _ => String::new(),
        };
        let mut frps = rig.frps(&format!("{TOKEN}{both}{listen}")).await;
        let server = if listen.is_empty() {
            frps.port
        } else {
            udp_port
        };
        let port = free_port();
        let proxy = tcp_proxy("ssh", service.port, port, "");
        let protocol_line = format!("transport.protocol = \"{protocol}\"\n");
        let frpc = rig.frpc(
            server,
            &format!("{TOKEN}{protocol_line}{both}{client}{proxy}"),
        );
        frpc.expect("[ssh] start proxy success").await;
        echo(port, b"before").await;

        frps.program.kill().await;
        frps.program.start_again();
        until_echoes(port, Duration::from_secs(12)).await;
        if protocol == "quic" {
            let why = "session ended: the connection was lost: received a stateless reset";
            frpc.expect(why).await;
        }
    }
}

/// Whoever has no token of its own to know it by: clients of a server that asks for none are told, too.
#[tokio::test]
async fn a_frps_without_a_token_is_missed_over_quic() {
    let (rig, service) = (Rig::new(), Service::echo().await);
    let (udp_port, port) = (free_udp_port(), free_port());
    let mut frps = rig.frps(&format!("quicBindPort = {udp_port}\n")).await;
    let proxy = tcp_proxy("ssh", service.port, port, "");
    let frpc = rig.frpc(udp_port, &format!("transport.protocol = \"quic\"\n{proxy}"));
    frpc.expect("[ssh] start proxy success").await;
    frps.program.kill().await;
    frps.program.start_again();
    frpc.expect("received a stateless reset").await;
    until_echoes(port, Duration::from_secs(12)).await;
}

/// One line for many attempts, which come often while nobody is there.
#[tokio::test]
async fn a_server_that_is_away_fills_no_log() {
    let rig = Rig::new();
    let mut frps = rig.frps(TOKEN).await;
    let frpc = rig.frpc(frps.port, TOKEN);
    frpc.expect("login to server success").await;
    frps.program.kill().await;
    let told = || frpc.log().count("connect to server error");
    eventually("it is told again", || async { told() >= 3 }).await;
    let log = frpc.log();
    let tries = log.count("try to connect to server");
    assert!(tries <= 5, "{}", log.text());
}
