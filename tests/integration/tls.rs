//! TLS: what frps accepts, custom certificates, trust on either side.

use std::time::{Duration, SystemTime};

use frp_tests::clients::until_closed;
use frp_tests::rig::tcp_proxy;
use frp_tests::tls::{Authority, Identity, client, connect_tls, handshake};
use frp_tests::wire::{self, Control};
use frp_tests::*;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
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

/// What is wrong with a file, and what helps, for each of the files.
#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_with_the_remedy() {
    let rig = Rig::new();
    let ca = Authority::new(rig.path(), "ca");
    let good = ca.issue(rig.path(), "good", &["127.0.0.1"]);
    let other = ca.issue(rig.path(), "other", &["127.0.0.1"]);
    let pem = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    let der = CertificateDer::from_pem_slice(pem(&good.cert).as_bytes()).unwrap();
    let key_der = PrivateKeyDer::from_pem_slice(pem(&good.key).as_bytes()).unwrap();
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let old_encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: \
                         AES-256-CBC,00\n\nMAA=\n-----END RSA PRIVATE KEY-----\n";
    let utf16: Vec<u8> = std::iter::once(0xfeff)
        .chain(pem(&good.cert).encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let cut = pem(&good.cert).replace("-----END", "");
    let file = |name: &str, bytes: &[u8]| rig.file(name, bytes);
    let missing = rig.path().join("missing.pem");
    let empty = file("empty.pem", b"\n");
    let cases = [
        (&missing, &good.key, "no such file or directory"),
        (&good.cert, &missing, "no such file or directory"),
        (&empty, &good.key, "the file is empty"),
        (&good.cert, &empty, "the file is empty"),
        (&file("c.der", &der), &good.key, "openssl x509 -inform DER"),
        (
            &good.cert,
            &file("k.der", key_der.secret_der()),
            "openssl pkey -inform DER",
        ),
        (&file("utf16.pem", &utf16), &good.key, "UTF-16"),
        (
            &file("cut.pem", cut.as_bytes()),
            &good.key,
            "cut off or garbled",
        ),
        (
            &file("text.pem", b"hello"),
            &good.key,
            "no line begins with -----BEGIN",
        ),
        (
            &good.cert,
            &file("e.key", encrypted.as_bytes()),
            "decrypt it: openssl pkey",
        ),
        (
            &good.cert,
            &file("o.key", old_encrypted.as_bytes()),
            "decrypt it: openssl pkey",
        ),
        (
            &good.cert,
            &file("1024.key", include_bytes!("rsa1024.key")),
            "too short: 1024 bits",
        ),
        (&good.cert, &other.key, "does not belong to the private key"),
        (&good.key, &good.key, "the two may have been exchanged"),
        (&good.cert, &good.cert, "the two may have been exchanged"),
    ];
    for (cert, key, text) in cases {
        let (cert, key) = (cert.clone(), key.clone());
        let files = files(&Identity {
            cert: cert.clone(),
            key: key.clone(),
        });
        let bind = format!("bindAddr = \"127.0.0.1\"\nbindPort = {}\n", free_port());
        let mut frps = rig.start(&Side::Ours, "frps", &format!("{bind}{files}"));
        frps.expect(text).await;
        assert_eq!(frps.exit_code().await, Some(1), "{cert:?} {key:?}");
        let mut frpc = rig.frpc(1, &files);
        frpc.expect(text).await;
        assert_eq!(frpc.exit_code().await, Some(1));
        let web = files.replace("transport.", "webServer.");
        let web = format!("{bind}webServer.port = {}\n{web}", free_port());
        let frps = rig.start(&Side::Ours, "frps", &web);
        frps.expect(text).await;
    }
    for (ca, text) in [
        (&missing, "no such file"),
        (&good.key, "the two may have been exchanged"),
    ] {
        let frpc = rig.frpc(1, &format!("transport.tls.trustedCaFile = {ca:?}\n"));
        frpc.expect(text).await;
    }
}

/// What editors and tools leave around the blocks is no matter.
#[tokio::test]
async fn text_around_the_blocks_is_no_matter() {
    let rig = Rig::new();
    let ca = Authority::new(rig.path(), "ca");
    let good = ca.issue(rig.path(), "good", &["127.0.0.1"]);
    let pem = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    let (cert, key) = (pem(&good.cert), pem(&good.key));
    let parameters =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let one = rig.file("one.pem", format!("{key}{cert}"));
    let windows = format!("\u{feff}{cert}some words\n").replace('\n', "\r\n");
    let windows = rig.file("windows.pem", windows);
    let bom_key = rig.file("bom.key", format!("\u{feff}{parameters}{key}"));
    for (cert, key) in [(&one, &one), (&windows, &good.key), (&good.cert, &bom_key)] {
        let server = files(&Identity {
            cert: cert.clone(),
            key: key.clone(),
        });
        works(&server, &trust(&ca)).await;
    }
}

/// Operators see it before their users do.
#[tokio::test]
async fn a_certificate_is_warned_of_before_and_after_its_end() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let rig = Rig::new();
    let ca = Authority::new(rig.path(), "ca");
    let now = SystemTime::now();
    let names = &["127.0.0.1"];
    let issue = |file: &str, end: SystemTime| ca.issue_until(rig.path(), file, names, end);
    for (identity, said) in [
        (issue("long", now + 90 * DAY), None),
        (
            issue("soon", now + 5 * DAY + DAY / 2),
            Some("soon.crt: the certificate expires in 5 days; renew it"),
        ),
        (
            issue("over", now - 3 * DAY - DAY / 2),
            Some("over.crt: the certificate expired 3 days ago"),
        ),
    ] {
        let frps = rig.frps(&files(&identity)).await;
        let log = frps.program.log();
        match said {
            Some(said) => assert_eq!(log.count(said), 1, "{}", log.text()),
            None => assert_eq!(log.count("certificate"), 0, "{}", log.text()),
        }
    }
}

/// The one that is over lets nobody in, and keeps nobody out.
#[tokio::test]
async fn of_several_certificates_in_a_ca_file_one_may_be_over() {
    let rig = Rig::new();
    let good = Authority::new(rig.path(), "good");
    let over = Authority::until(rig.path(), "over", 2020);
    let both = [&over, &good].map(|ca| std::fs::read_to_string(&ca.file).unwrap());
    let both = rig.file("both.crt", both.concat());
    let names = &["127.0.0.1"];
    let own = good.issue(rig.path(), "own", names);
    let late = over.issue(rig.path(), "late", names);
    let trust = format!("transport.tls.trustedCaFile = {both:?}\n");
    let server = |identity: &Identity| format!("{trust}{}", files(identity));
    works(&server(&own), &server(&own)).await;
    fails(&server(&own), &server(&late)).await;
    fails(&server(&late), &server(&own)).await;
    let frps = rig.frps(&server(&own)).await;
    let log = frps.program.log();
    let said = "both.crt: a certificate in it expired";
    assert_eq!(log.count(said), 1, "{}", log.text());
}
