//! A login that fails says what was seen and what to do: frpc against servers that are none.

use std::time::Duration;

use frp_tests::middlebox::{self, Policy, reset};
use frp_tests::tls::Authority;
use frp_tests::wire::{self, v1, v1_raw};
use frp_tests::*;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const PLAIN: &str = "transport.tls.enable = false\n";
const SINGLE: &str = "transport.tls.enable = false\ntransport.tcpMux = false\n";
const TLS: &str = "";

/// Runs frpc against `port`; its last words must begin as frp's do and hold each of `words`
/// (one of several where they are separated by `|`), whatever their case.
async fn fails_saying(port: u16, lines: &str, words: &[&str]) {
    let rig = Rig::new();
    let mut frpc = rig.frpc(port, lines);
    println!("frpc {lines:?}, {words:?}");
    let status = frpc.exit_status_within(Duration::from_secs(40)).await;
    assert_eq!(status.code(), Some(1));
    let log = frpc.log().text();
    let Some(at) = log.find("login to the server failed") else {
        panic!("no `login to the server failed` in:\n{log}");
    };
    let explanation = log[at..].to_lowercase();
    for word in words {
        let said = word
            .split('|')
            .any(|w| explanation.contains(&w.to_lowercase()));
        assert!(said, "no `{word}` in: {explanation}");
    }
    for line in log.lines() {
        assert!(!line.contains("panicked"), "{line}");
    }
}

/// A server that reads the first bytes, answers `bytes` and closes.
async fn answering(bytes: Vec<u8>) -> Service {
    Service::new(move |mut stream| {
        let bytes = bytes.clone();
        async move {
            first_bytes(&mut stream).await;
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
    })
    .await
}

async fn first_bytes(stream: &mut TcpStream) {
    let mut seen = [0; 16 * 1024];
    let _ = stream.read(&mut seen).await;
}

#[tokio::test]
async fn refused() {
    fails_saying(free_port(), TLS, &["refused", "serverPort|frps"]).await;
}

#[tokio::test]
async fn no_answer_to_anything() {
    let silent = Service::silent().await;
    tokio::join!(
        fails_saying(silent.port, TLS, &["time|10 s|no answer"]),
        fails_saying(silent.port, PLAIN, &["time|10 s|no answer"]),
        fails_saying(silent.port, SINGLE, &["time|10 s|no answer"]),
    );
}

#[tokio::test]
async fn closed_after_a_plain_login() {
    let closing = answering(Vec::new()).await;
    fails_saying(closing.port, PLAIN, &["transport.tls.enable"]).await;
    fails_saying(closing.port, SINGLE, &["transport.tls.enable"]).await;
}

#[tokio::test]
async fn reset_after_a_plain_login() {
    let resetting = Service::new(reset).await;
    fails_saying(resetting.port, PLAIN, &["transport.tls.enable"]).await;
    fails_saying(resetting.port, SINGLE, &["transport.tls.enable"]).await;
}

#[tokio::test]
async fn reset_after_the_tls_hello() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let device = middlebox::start(frps.port, Policy::ResetTls).await;
    fails_saying(device.port, TLS, &["TLS", "reset|closed"]).await;
    fails_saying(
        device.port,
        "transport.tls.disableCustomTLSFirstByte = false\n",
        &["TLS"],
    )
    .await;
}

#[tokio::test]
async fn closed_after_the_tls_hello() {
    let closing = answering(Vec::new()).await;
    fails_saying(closing.port, TLS, &["TLS", "reset|closed"]).await;
}

#[tokio::test]
async fn an_http_server() {
    let answer = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nbad";
    let http = answering(answer.into()).await;
    fails_saying(http.port, TLS, &["HTTP", "port"]).await;
    fails_saying(http.port, PLAIN, &["HTTP", "port"]).await;
    fails_saying(http.port, SINGLE, &["HTTP", "port"]).await;
}

#[tokio::test]
async fn a_port_that_speaks_no_tls() {
    let ssh = answering(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()).await;
    fails_saying(ssh.port, TLS, &["TLS", "port"]).await;
    let garbage = answering(pattern(3000, 12)).await;
    fails_saying(garbage.port, TLS, &["TLS"]).await;
}

#[tokio::test]
async fn mux_on_one_side_only() {
    for (server, client) in [(true, false), (false, true)] {
        let rig = Rig::new();
        let frps = rig.frps(&format!("transport.tcpMux = {server}\n")).await;
        for tls in [true, false] {
            let lines = format!("transport.tcpMux = {client}\ntransport.tls.enable = {tls}\n");
            fails_saying(frps.port, &lines, &["tcpMux"]).await;
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted() {
    let rig = Rig::new();
    let ours = Authority::new(rig.path(), "ours");
    let other = Authority::new(rig.path(), "other");
    let server = ours.issue(rig.path(), "server", &["127.0.0.1"]);
    let frps = rig
        .frps(&format!(
            "transport.tls.certFile = {:?}\ntransport.tls.keyFile = {:?}\n",
            server.cert, server.key
        ))
        .await;
    let trust = |ca: &Authority| format!("transport.tls.trustedCaFile = {:?}\n", ca.file);
    fails_saying(frps.port, &trust(&other), &["certificate", "trustedCaFile"]).await;
    let name = "transport.tls.serverName = \"office.example\"\n";
    let wrong_name = format!("{}{name}", trust(&ours));
    fails_saying(frps.port, &wrong_name, &["certificate", "serverName"]).await;
}

#[tokio::test]
async fn a_server_that_forces_tls() {
    let rig = Rig::new();
    let frps = rig.frps("transport.tls.force = true\n").await;
    fails_saying(frps.port, PLAIN, &["transport.tls.enable"]).await;
}

/// Answers that are no LoginResp: frpc ends in good order, and soon.
#[tokio::test]
async fn rubbish_for_an_answer() {
    let long = "x".repeat(10_000);
    for answer in [
        v1(wire::PONG, &json!({})),
        v1(b'?', &json!({})),
        v1_raw(wire::LOGIN_RESP, i64::MAX, b"{}"),
        v1_raw(wire::LOGIN_RESP, -5, b"{}"),
        v1_raw(wire::LOGIN_RESP, 7, b"no JSON"),
        v1(wire::LOGIN_RESP, &json!({"error": long})),
        v1(wire::LOGIN_RESP, &json!({"run_id": 17})),
        pattern(100_000, 30),
    ] {
        let server = answering(answer).await;
        fails_saying(server.port, SINGLE, &[]).await;
    }
    let v2 = format!("{SINGLE}transport.wireProtocol = \"v2\"\n");
    for answer in [
        wire::v2_frame(2, 0, b"{}"),
        wire::v2_frame(2, 0, br#"{"error":"not you"}"#),
        wire::v2_frame(2, 1, b"{}"),
        wire::v2_message(2, &json!({})),
        [0, 2, 0, 0, 0xff, 0xff, 0xff, 0xff].to_vec(),
        pattern(100_000, 31),
    ] {
        let server = answering(answer).await;
        fails_saying(server.port, &v2, &[]).await;
    }
    for answer in [pattern(100_000, 32), yamux::header(yamux::GO_AWAY, 0, 0, 0)] {
        let server = answering(answer).await;
        fails_saying(server.port, PLAIN, &[]).await;
    }
}

/// What the server says as its reason is shown as a text, not let loose on the terminal.
#[tokio::test]
async fn a_reason_from_the_server_cannot_steer_the_terminal() {
    let error = "gone\u{1b}[2J\u{7}\nfrpc: all is well";
    let server = answering(v1(wire::LOGIN_RESP, &json!({"error": error}))).await;
    let rig = Rig::new();
    let mut frpc = rig.frpc(server.port, SINGLE);
    assert_eq!(frpc.exit_code().await, Some(1));
    let log = frpc.log().text();
    assert!(log.contains("gone"), "{log}");
    assert!(!log.contains('\u{1b}') && !log.contains('\u{7}'), "{log:?}");
    assert!(
        !frpc
            .log()
            .lines()
            .iter()
            .any(|l| l.starts_with("frpc: all is well")),
        "{log}"
    );
}
