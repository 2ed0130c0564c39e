//! TLS: what frps accepts, custom certificates, trust on either side.

use frp_tests::clients::until_closed;
use frp_tests::rig::tcp_proxy;
use frp_tests::tls::{Authority, Identity, client, connect_tls, handshake};
use frp_tests::wire::{self, Control};
use frp_tests::*;
use rustls::version::{TLS12, TLS13};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

fn files(identity: &Identity) -> String {
    let Identity { cert, key } = identity;
    format!("transport.tls.certFile = {cert:?}\ntransport.tls.keyFile = {key:?}\n")
}

fn trust(ca: &Authority) -> String {
    format!("transport.tls.trustedCaFile = {:?}\n", ca.file)
}

/// frps and frpc with these lines carry data.
async fn works(server: &str, client: &str) {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps(server).await;
    let port = free_port();
    let proxy = tcp_proxy("web", service.port, port, "");
    let frpc = rig.frpc(frps.port, &format!("{client}{proxy}"));
    frpc.expect("[web] start proxy success").await;
    echo(port, &pattern(200_000, 1)).await;
}

/// frpc does not get in.
async fn fails(server: &str, client: &str) {
    let rig = Rig::new();
    let frps = rig.frps(server).await;
    let mut frpc = rig.frpc(frps.port, client);
    frpc.expect("login to the server failed").await;
    assert_eq!(frpc.exit_code().await, Some(1));
}

#[tokio::test]
async fn every_way_in_is_open_by_default() {
    works("", "").await;
    works("", "transport.tls.enable = false\n").await;
    works("", "transport.tls.disableCustomTLSFirstByte = false\n").await;
}

#[tokio::test]
async fn force_admits_tls_only() {
    let force = "transport.tls.force = true\n";
    works(force, "").await;
    works(force, "transport.tls.disableCustomTLSFirstByte = false\n").await;
    fails(force, "transport.tls.enable = false\n").await;
    fails(
        force,
        "transport.tls.enable = false\ntransport.wireProtocol = \"v2\"\n",
    )
    .await;
}

#[tokio::test]
async fn certificates_from_files_are_checked_where_a_ca_is_trusted() {
    let rig = Rig::new();
    let ca = Authority::new(rig.path(), "ca");
    let other = Authority::new(rig.path(), "other");
    let server = files(&ca.issue(rig.path(), "server", &["127.0.0.1", "frps.example"]));
    works(&server, "").await;
    works(&server, &trust(&ca)).await;
    let name = "transport.tls.serverName = \"frps.example\"\n";
    works(&server, &format!("{}{name}", trust(&ca))).await;
    let wrong = "transport.tls.serverName = \"other.example\"\n";
    fails(&server, &format!("{}{wrong}", trust(&ca))).await;
    fails(&server, &trust(&other)).await;
    // The in-memory certificate is nobody's.
    fails("", &trust(&ca)).await;
}

#[tokio::test]
async fn clients_need_a_certificate_where_frps_trusts_a_ca() {
    let rig = Rig::new();
    let ca = Authority::new(rig.path(), "ca");
    let other = Authority::new(rig.path(), "other");
    let server = files(&ca.issue(rig.path(), "server", &["127.0.0.1"]));
    let known = files(&ca.issue(rig.path(), "client", &["client.example"]));
    let stranger = files(&other.issue(rig.path(), "stranger", &["client.example"]));
    let strict = format!("{server}{}", trust(&ca));
    works(&strict, &known).await;
    works(&strict, &format!("{known}{}", trust(&ca))).await;
    fails(&strict, "").await;
    fails(&strict, &stranger).await;
    fails(&strict, "transport.tls.enable = false\n").await;
    // Also without a certificate of its own.
    works(&trust(&ca), &known).await;
    fails(&trust(&ca), "").await;
}

/// Go builds of old speak 1.2 only.
#[tokio::test]
async fn both_tls_versions_are_spoken() {
    let rig = Rig::new();
    let frps = rig.frps("transport.tcpMux = false\n").await;
    for version in [&TLS12, &TLS13] {
        let stream = connect_tls(frps.port, client(&[version])).await.unwrap();
        let (_, answer) = Control::login(stream, "", &json!({})).await;
        assert_eq!(
            answer["run_id"].as_str().map(str::len),
            Some(16),
            "{version:?}"
        );
    }
}

#[tokio::test]
async fn the_custom_first_byte_is_swallowed_once() {
    let rig = Rig::new();
    let frps = rig.frps("transport.tcpMux = false\n").await;
    for version in [&TLS12, &TLS13] {
        let mut stream = connect(frps.port).await;
        stream.write_all(b"\x17").await.unwrap();
        let stream = handshake(stream, client(&[version])).await.unwrap();
        let (_, answer) = Control::login(stream, "", &json!({})).await;
        assert_eq!(answer["error"], serde_json::Value::Null);
    }
    let mut twice = connect(frps.port).await;
    twice.write_all(b"\x17\x17").await.unwrap();
    assert!(
        handshake(twice, client(rustls::ALL_VERSIONS))
            .await
            .is_err()
    );
}

/// Bytes may arrive one by one.
#[tokio::test]
async fn a_first_message_in_pieces_is_understood() {
    let rig = Rig::new();
    let frps = rig.frps("transport.tcpMux = false\n").await;
    let mut stream = connect(frps.port).await;
    for byte in wire::v1(wire::LOGIN, &wire::login("", &json!({}))) {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let (kind, answer) = wire::read_v1(&mut stream).await.expect("LoginResp");
    assert_eq!((kind, answer["error"].as_str()), (wire::LOGIN_RESP, None));
}

#[tokio::test]
async fn a_forcing_server_closes_plain_connections() {
    let rig = Rig::new();
    let frps = rig.frps("transport.tls.force = true\n").await;
    let mut stream = connect(frps.port).await;
    let login = wire::v1(wire::LOGIN, &wire::login("", &json!({})));
    stream.write_all(&login).await.unwrap();
    until_closed(&mut stream, wait::SOON, "plain at force").await;
}

#[tokio::test]
async fn missing_or_broken_files_stop_the_start_with_a_reason() {
    let rig = Rig::new();
    let broken = rig.file("broken.pem", "no certificate");
    for lines in [
        "transport.tls.certFile = \"/nonexistent.crt\"\ntransport.tls.keyFile = \"/nonexistent.key\"\n"
            .to_owned(),
        format!("transport.tls.certFile = {broken:?}\ntransport.tls.keyFile = {broken:?}\n"),
        format!("transport.tls.trustedCaFile = {broken:?}\n"),
    ] {
        let text = format!("bindAddr = \"127.0.0.1\"\nbindPort = {}\n{lines}", free_port());
        let mut frps = rig.start(&Side::Ours, "frps", &text);
        assert_eq!(frps.exit_code().await, Some(1), "{lines}");
        let file = if lines.contains("broken") { "broken.pem" } else { "nonexistent" };
        assert!(!frps.log().text().is_empty());
        assert!(frps.log().text().contains(file), "the file is not named: {}", frps.log().text());
    }
}
