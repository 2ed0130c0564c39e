//! Plugins that pass bytes on as they are: unix_domain_socket and tls2raw.

use std::path::Path;

use frp_tests::clients::until_closed;
use frp_tests::tls::{Authority, client, connect_tls};
use frp_tests::wait::SOON;
use frp_tests::*;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use super::backend::{Backend, curl_hello};
use super::plugged;

/// Echoes on a Unix socket until the set is dropped.
fn unix_echo(path: &Path) -> JoinSet<()> {
    let listener = UnixListener::bind(path).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut users = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            users.spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    tasks
}

fn unix_plugin(path: &Path) -> String {
    format!("type = \"unix_domain_socket\"\nunixPath = {path:?}\n")
}

#[tokio::test]
async fn a_unix_socket_is_published() {
    let layers = "transport.useEncryption = true\ntransport.useCompression = true";
    for lines in ["", layers] {
        let rig = Rig::new();
        let path = rig.path().join("echo.sock");
        let _service = unix_echo(&path);
        let web = plugged(&rig, lines, &unix_plugin(&path)).await;
        echo(web.port, &pattern(700_000, 1)).await;

        // The end of one direction is passed on; the other goes on.
        let mut user = connect(web.port).await;
        user.write_all(b"last words").await.unwrap();
        user.shutdown().await.unwrap();
        assert_eq!(clients::read_all(&mut user).await, b"last words");
    }
}

#[tokio::test]
async fn a_unix_socket_is_told_the_users_address() {
    let rig = Rig::new();
    let path = rig.path().join("service.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let lines = "transport.proxyProtocolVersion = \"v1\"";
    let web = plugged(&rig, lines, &unix_plugin(&path)).await;
    let mut user = connect(web.port).await;
    user.write_all(b"hello").await.unwrap();
    let from = user.local_addr().unwrap().port();
    let (mut service, _) = within(SOON, "the service is reached", listener.accept())
        .await
        .unwrap();
    let expected = format!(
        "PROXY TCP4 127.0.0.1 127.0.0.1 {from} {}\r\nhello",
        web.port
    );
    let mut heard = vec![0; expected.len()];
    within(SOON, "header and data", service.read_exact(&mut heard))
        .await
        .unwrap();
    assert_eq!(String::from_utf8(heard).unwrap(), expected);
}

#[tokio::test]
async fn a_unix_socket_that_is_not_there_is_named_and_the_user_sees_the_end() {
    let rig = Rig::new();
    let path = rig.path().join("late.sock");
    let web = plugged(&rig, "", &unix_plugin(&path)).await;
    until_closed(&mut connect(web.port).await, SOON, "no service").await;
    let why = format!(
        "[web] dial to uds {0} error: dial unix {0}: connect: no such file or directory",
        path.display()
    );
    web.frpc.expect(&why).await;

    // The proxy runs on, and serves when the service is there.
    let _service = unix_echo(&path);
    echo(web.port, b"now").await;
}

#[tokio::test]
async fn plugins_of_ini_files_work() {
    let rig = Rig::new();
    let path = rig.path().join("echo.sock");
    let _echo = unix_echo(&path);
    let mut web = Backend::new(None).await;
    let frps = rig.frps("").await;
    let ports = [free_port(), free_port()];
    let text = format!(
        "[common]\n[socket]\ntype = tcp\nremote_port = {}\nplugin = unix_domain_socket\n\
         plugin_unix_path = {}\n[web]\ntype = tcp\nremote_port = {}\nplugin = https2http\n\
         plugin_local_addr = 127.0.0.1:{}\nplugin_host_header_rewrite = inside.example\n\
         plugin_header_X-From = frp\n",
        ports[0],
        path.display(),
        ports[1],
        web.port
    );
    let frpc = rig.frpc(frps.port, &text);
    for name in ["socket", "web"] {
        frpc.expect(&format!("[{name}] start proxy success")).await;
    }
    echo(ports[0], b"hello").await;
    curl_hello(&format!("https://127.0.0.1:{}/", ports[1]), &["--http2"]).await;
    let seen = web.seen().await;
    assert_eq!(seen.field("Host"), Some("inside.example"));
    assert_eq!(seen.field("X-From"), Some("frp"));
}

fn tls2raw(local_port: u16, lines: &str) -> String {
    format!("type = \"tls2raw\"\nlocalAddr = \"127.0.0.1:{local_port}\"\n{lines}")
}

#[tokio::test]
async fn tls_ends_at_frpc_and_the_service_gets_plain_bytes() {
    let layers = "transport.useEncryption = true\ntransport.useCompression = true";
    for lines in ["", layers] {
        let rig = Rig::new();
        let service = Service::echo().await;
        let web = plugged(&rig, lines, &tls2raw(service.port, "")).await;
        for version in [&TLS12, &TLS13] {
            let mut user = connect_tls(web.port, client(&[version])).await.unwrap();
            let data = pattern(300_000, 5);
            let (mut reader, mut writer) = tokio::io::split(&mut user);
            let mut back = vec![0; data.len()];
            let sent = async {
                writer.write_all(&data).await?;
                writer.flush().await
            };
            let both = async { tokio::join!(sent, reader.read_exact(&mut back)) };
            let (sent, got) = within(SOON, "an echo", both).await;
            sent.unwrap();
            got.unwrap();
            assert!(back == data);
            // The end of one direction is passed on.
            user.write_all(b"last words").await.unwrap();
            user.shutdown().await.unwrap();
            let mut rest = Vec::new();
            within(SOON, "the end", user.read_to_end(&mut rest))
                .await
                .unwrap();
            assert_eq!(rest, b"last words");
            // So it is without a closing record, as long as no record is cut.
            let mut user = connect_tls(web.port, client(&[version])).await.unwrap();
            user.write_all(b"last words").await.unwrap();
            user.flush().await.unwrap();
            user.get_mut().0.shutdown().await.unwrap();
            let mut rest = Vec::new();
            within(SOON, "the end", user.read_to_end(&mut rest))
                .await
                .unwrap();
            assert_eq!(rest, b"last words");
        }
    }
}

#[tokio::test]
async fn the_certificate_of_the_files_is_shown() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let authority = Authority::new(rig.path(), "ca");
    let identity = authority.issue(rig.path(), "web", &["127.0.0.1"]);
    let files = format!(
        "crtPath = {:?}\nkeyPath = {:?}",
        identity.cert, identity.key
    );
    let web = plugged(&rig, "", &tls2raw(service.port, &files)).await;
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&authority.file).unwrap())
        .unwrap();
    let strict = rustls::ClientConfig::builder_with_provider(
        rustls::crypto::aws_lc_rs::default_provider().into(),
    )
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth();
    let mut user = connect_tls(web.port, strict).await.unwrap();
    user.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    within(SOON, "an echo", user.read_exact(&mut back))
        .await
        .unwrap();
    assert_eq!(&back, b"hello");
}

#[tokio::test]
async fn the_service_behind_tls_is_told_the_users_address() {
    let rig = Rig::new();
    let service = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let local = service.local_addr().unwrap().port();
    let lines = "transport.proxyProtocolVersion = \"v2\"";
    let web = plugged(&rig, lines, &tls2raw(local, "")).await;
    let mut user = connect_tls(web.port, client(&[&TLS13])).await.unwrap();
    user.write_all(b"hello").await.unwrap();
    let (mut inside, _) = within(SOON, "the service is reached", service.accept())
        .await
        .unwrap();
    let mut heard = [0; 28 + 5];
    within(SOON, "header and data", inside.read_exact(&mut heard))
        .await
        .unwrap();
    assert_eq!(&heard[..12], b"\r\n\r\n\0\r\nQUIT\n");
    assert_eq!(
        &heard[12..24],
        [0x21, 0x11, 0, 12, 127, 0, 0, 1, 127, 0, 0, 1]
    );
    let from = user.get_ref().0.local_addr().unwrap().port();
    assert_eq!(heard[24..26], from.to_be_bytes());
    assert_eq!(heard[26..28], web.port.to_be_bytes());
    assert_eq!(&heard[28..], b"hello");
}

#[tokio::test]
async fn what_fails_behind_or_before_tls_is_noted_and_nothing_is_left() {
    let rig = Rig::new();
    let gone = free_port();
    let web = plugged(&rig, "", &tls2raw(gone, "")).await;
    let before = web.frpc.open_files();
    let mut user = connect(web.port).await;
    user.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    until_closed(&mut user, SOON, "this is no TLS").await;
    web.frpc.expect("[web] tls handshake error: ").await;

    let mut user = connect_tls(web.port, client(&[&TLS13])).await.unwrap();
    until_closed(&mut user, SOON, "there is no service").await;
    let why = format!("dial tcp 127.0.0.1:{gone}: connect: connection refused");
    web.frpc
        .expect(&format!("[web] dial to local addr error: {why}"))
        .await;
    drop(user);
    eventually("no descriptor is left", || async {
        web.frpc.open_files() <= before
    })
    .await;
}
