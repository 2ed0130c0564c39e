//! TLS on both sides of the plugins: certificates, HTTP/2, names, trust.

use frp_tests::tls::Authority;
use frp_tests::wait::SOON;
use frp_tests::*;
use tokio::io::AsyncWriteExt as _;

use super::backend::{Backend, curl, curl_hello, read_request, service};
use super::{Bridges, plugged, proxy};

const OURS: [&Side; 2] = [&Side::Ours, &Side::Ours];

#[tokio::test]
async fn users_get_http2_unless_it_is_off() {
    for (lines, version) in [("", "200 2"), ("enableHTTP2 = false", "200 1.1")] {
        let rig = Rig::new();
        let mut service = Backend::new(None).await;
        let local = format!("localAddr = \"127.0.0.1:{}\"", service.port);
        let plugin = format!("type = \"https2http\"\n{local}\n{lines}");
        let web = plugged(&rig, "", &plugin).await;
        let url = format!("https://127.0.0.1:{}/", web.port);
        let got = curl(&url, &["--http2", "-b", "a=1; b=2"]).await;
        assert_eq!((&*got.status, &got.body[..]), (version, &b"hello"[..]));
        let seen = service.seen().await;
        assert_eq!(seen.line, "GET / HTTP/1.1");
        assert_eq!(seen.field("Cookie"), Some("a=1; b=2"));
        assert_eq!(
            seen.field("Host"),
            Some(&*format!("127.0.0.1:{}", web.port))
        );
        // Many at once on one connection.
        let many = format!("{url}[1-20]");
        let got = curl(&many, &["--http2", "--parallel", "-d", "body"]).await;
        assert_eq!(got.body, b"hello".repeat(20));
    }
}

#[tokio::test]
async fn a_request_for_another_host_than_the_certificates_is_misdirected() {
    let rig = Rig::new();
    let service = Backend::new(None).await;
    let bridges = Bridges::new(&rig, OURS, service.port, 1, "").await;
    let port = bridges.ports[2];
    let to = format!("shop.example:{port}:127.0.0.1");
    let url = format!("https://shop.example:{port}/");
    for version in ["--http1.1", "--http2"] {
        for host in ["Host: SHOP.example", "Host: shop.example.:81"] {
            curl_hello(&url, &["--resolve", &to, version, "-H", host]).await;
        }
        let other = ["--resolve", &to, version, "-H", "Host: other.example"];
        let got = curl(&url, &other).await;
        assert!(
            got.status.starts_with("421 ") && got.body.is_empty(),
            "{got:?}"
        );
    }
}

#[tokio::test]
async fn certificates_come_from_files_or_are_made() {
    let rig = Rig::new();
    let service = Backend::new(None).await;
    let ca = Authority::new(rig.path(), "ca");
    let identity = ca.issue(rig.path(), "shop", &["shop.example"]);
    let files = format!(
        "crtPath = {:?}\nkeyPath = {:?}",
        identity.cert, identity.key
    );
    for (lines, trusted) in [(files.as_str(), true), ("", false)] {
        let plugin = format!(
            "type = \"https2http\"\nlocalAddr = \"127.0.0.1:{}\"\n{lines}",
            service.port
        );
        let web = plugged(&rig, "", &plugin).await;
        let to = format!("shop.example:{}:127.0.0.1", web.port);
        let url = format!("https://shop.example:{}/", web.port);
        let ca = ca.file.display().to_string();
        let strict = ["--no-insecure", "--cacert", &ca, "--resolve", &to];
        // 60: the certificate is not trusted.
        let exit = if trusted { 0 } else { 60 };
        assert_eq!(curl(&url, &strict).await.exit, exit);
        curl_hello(&url, &["--resolve", &to]).await;
    }
}

#[tokio::test]
async fn a_plugin_that_cannot_be_made_stops_its_proxy_only() {
    let rig = Rig::new();
    let service = Backend::new(None).await;
    let (cert, other) = (rig.path().join("none.crt"), rig.file("bad.key", "no key"));
    let frps = rig.frps("").await;
    let (port, good) = (free_port(), free_port());
    let tcp = rig::tcp_proxy("good", service.port, good, "");
    let plugins = [
        (
            format!(
                "type = \"https2http\"\nlocalAddr = \"a:1\"\ncrtPath = {cert:?}\nkeyPath = {cert:?}"
            ),
            format!(
                "gen TLS config error: open {}: no such file or directory",
                cert.display()
            ),
        ),
        (
            format!(
                "type = \"tls2raw\"\nlocalAddr = \"a:1\"\ncrtPath = {cert:?}\nkeyPath = {other:?}"
            ),
            format!("{}: no valid PEM private key found", other.display()),
        ),
        (
            "type = \"tls2raw\"\nlocalAddr = \"nowhere\"".to_owned(),
            "localAddr: address nowhere: missing port in address".to_owned(),
        ),
        (
            format!("type = \"http2https\"\nlocalAddr = \"a:1\"\nbackendTrustedCaFile = {cert:?}"),
            format!("open {}: no such file or directory", cert.display()),
        ),
        (
            "type = \"http2https\"\nlocalAddr = \"a:1\"\nbackendServerName = \"no name\""
                .to_owned(),
            "backendServerName: \"no name\" is no host name".to_owned(),
        ),
        (
            "type = \"http2http\"\nlocalAddr = \"a:1\"\nrequestHeaders.set.\"a b\" = \"c\""
                .to_owned(),
            "requestHeaders.set: \"a b\" and its value are no header".to_owned(),
        ),
    ];
    for (plugin, why) in plugins {
        let frpc = rig.frpc(frps.port, &format!("{tcp}{}", proxy(port, "", &plugin)));
        frpc.expect(&format!("[web] start error: {why}")).await;
        frpc.expect("[good] start proxy success").await;
        curl_hello(&format!("http://127.0.0.1:{good}/"), &[]).await;
        // Nobody could be served, so nobody gets in.
        assert!(
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_err()
        );
        drop(frpc);
        eventually("the port is free again", || async {
            tokio::net::TcpStream::connect(("127.0.0.1", good))
                .await
                .is_err()
        })
        .await;
    }
}

#[tokio::test]
async fn a_proxy_starts_once_its_certificate_is_there() {
    let rig = Rig::new();
    let service = Backend::new(None).await;
    let frps = rig.frps("").await;
    let port = free_port();
    let path = |name: &str| rig.path().join(name);
    let plugin = format!(
        "type = \"https2http\"\nlocalAddr = \"127.0.0.1:{}\"\ncrtPath = {:?}\nkeyPath = {:?}",
        service.port,
        path("late.crt"),
        path("late.key")
    );
    let frpc = rig.frpc(frps.port, &proxy(port, "", &plugin));
    frpc.expect("[web] start error: gen TLS config error").await;
    let _ = Authority::new(rig.path(), "ca").issue(rig.path(), "late", &["late.example"]);
    frpc.expect("[web] start proxy success").await;
    curl_hello(&format!("https://127.0.0.1:{port}/"), &[]).await;
}

#[tokio::test]
async fn the_services_certificate_is_checked_where_a_ca_is_given() {
    let rig = Rig::new();
    let (ours, others) = (
        Authority::new(rig.path(), "a"),
        Authority::new(rig.path(), "b"),
    );
    let identity = ours.issue(rig.path(), "local", &["127.0.0.1", "inside.example"]);
    let service = Backend::new(Some(&identity)).await;
    let trust = |ca: &Authority| format!("backendTrustedCaFile = {:?}", ca.file);
    let name = |name: &str| format!("{}\nbackendServerName = \"{name}\"", trust(&ours));
    let cases = [
        (String::new(), None),
        (trust(&ours), None),
        (name("inside.example"), None),
        (trust(&others), Some("UnknownIssuer")),
        (name("other.example"), Some("other.example")),
    ];
    for (lines, refusal) in cases {
        for plugin in ["http2https", "https2https"] {
            let local = format!("localAddr = \"127.0.0.1:{}\"", service.port);
            let web = plugged(&rig, "", &format!("type = \"{plugin}\"\n{local}\n{lines}")).await;
            let url = format!("{}://127.0.0.1:{}/", &plugin[..plugin.len() - 6], web.port);
            match refusal {
                None => curl_hello(&url, &[]).await,
                Some(why) => {
                    let got = curl(&url, &[]).await;
                    assert!(got.status.starts_with("502 "), "{got:?}");
                    let line = web.frpc.expect("http: proxy error: tls: ").await;
                    assert!(line.contains(why), "{line}");
                }
            }
        }
    }
}

#[tokio::test]
async fn who_speaks_http_to_https_is_told_so() {
    let rig = Rig::new();
    let service = Backend::new(None).await;
    let bridges = Bridges::new(&rig, OURS, service.port, 1, "").await;
    let got = curl(&format!("http://127.0.0.1:{}/", bridges.ports[2]), &[]).await;
    let text = "Client sent an HTTP request to an HTTPS server.\n";
    assert_eq!((&*got.status, &got.body[..]), ("400 1", text.as_bytes()));
    within(
        SOON,
        "it is noted",
        bridges.frpc.expect("http: TLS handshake error"),
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_ends_with_the_connection_needs_no_end_of_tls() {
    let rig = Rig::new();
    let authority = Authority::new(rig.path(), "ca");
    let identity = authority.issue(rig.path(), "web", &["127.0.0.1"]);
    let service = service(Some(&identity), |mut io| async move {
        read_request(&mut *io).await;
        let _ = io.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello").await;
        let _ = io.flush().await;
        // Dropped without a closing record.
    })
    .await;
    let bridges = Bridges::new(&rig, OURS, 1, service.port, "").await;
    for url in [&bridges.urls()[1], &bridges.urls()[3]] {
        curl_hello(url, &["--http1.1"]).await;
    }
}

#[tokio::test]
async fn a_wrong_length_beside_chunks_does_not_count() {
    let rig = Rig::new();
    let service = service(None, |mut io| async move {
        read_request(&mut *io).await;
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = format!("{head}5\r\nhello\r\n0\r\n\r\n");
        let _ = io.write_all(answer.as_bytes()).await;
    })
    .await;
    let bridges = Bridges::new(&rig, OURS, service.port, 1, "").await;
    curl_hello(&bridges.urls()[0], &["--http1.1"]).await;
    for version in ["--http1.1", "--http2"] {
        curl_hello(&bridges.urls()[2], &[version]).await;
    }
}

#[tokio::test]
async fn a_renewed_ca_of_the_service_counts_without_a_restart() {
    let rig = Rig::new();
    let (ours, others) = (
        Authority::new(rig.path(), "a"),
        Authority::new(rig.path(), "b"),
    );
    let identity = ours.issue(rig.path(), "local", &["127.0.0.1"]);
    let service = Backend::new(Some(&identity)).await;
    let trusted = rig.path().join("trusted");
    std::fs::copy(&others.file, &trusted).unwrap();
    let plugin = format!(
        "type = \"http2https\"\nlocalAddr = \"127.0.0.1:{}\"\nbackendTrustedCaFile = {trusted:?}",
        service.port
    );
    let web = plugged(&rig, "", &plugin).await;
    let url = format!("http://127.0.0.1:{}/", web.port);
    let got = curl(&url, &[]).await;
    assert!(got.status.starts_with("502 "), "{got:?}");
    std::fs::copy(&ours.file, &trusted).unwrap();
    let renewed = format!("{}: renewed", trusted.display());
    web.frpc.expect(&renewed).await;
    curl_hello(&url, &[]).await;
}
