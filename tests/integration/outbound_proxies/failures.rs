//! A proxy that leads nowhere is told as such, with what to do, and without its password.

use std::time::Duration;

use frp_tests::forward_proxy::{Admits, ForwardProxy};
use frp_tests::tls::{Authority, greeting_service};
use frp_tests::*;

use super::FAR;

/// Runs frpc by the proxy; its last words hold each of `words` and never the password.
async fn fails_saying(url: &str, environment: &[(&str, &str)], words: &[&str]) {
    println!("{url}: {words:?}");
    let rig = Rig::new();
    let url = match url {
        "" => String::new(),
        url => format!("transport.proxyURL = \"{url}\"\n"),
    };
    let text = format!("serverAddr = \"{FAR}\"\nserverPort = 7000\nlog.level = \"trace\"\n{url}");
    let mut frpc = rig.start_with(&Side::Ours, "frpc", &text, environment);
    let status = frpc.exit_status_within(Duration::from_secs(60)).await;
    assert_eq!(status.code(), Some(1));
    let log = frpc.log().text();
    let last = log.trim_end().lines().last().unwrap_or_default();
    for word in words {
        assert!(last.contains(word), "no `{word}` in: {log}");
    }
    assert!(
        !log.contains("hunter2") && !log.contains("panicked"),
        "{log}"
    );
}

#[tokio::test]
async fn logins() {
    let closed = ForwardProxy::start(Admits::Basic("me", "other")).await;
    let place = format!("127.0.0.1:{}", closed.port);
    let masked = format!("proxy http://***@{place}: it refused CONNECT: 407 Proxy Authentication");
    fails_saying(
        &format!("http://me:hunter2@{place}"),
        &[],
        &[&masked, "check the user and password in transport.proxyURL"],
    )
    .await;
    let variable = format!("http://me:hunter2@{place}");
    fails_saying(
        "",
        &[("http_proxy", &variable)],
        &[
            "407",
            "check the user and password in the environment variable http_proxy",
        ],
    )
    .await;
    let put = "put them into transport.proxyURL";
    fails_saying(&format!("http://{place}"), &[], &["407", put]).await;

    let ntlm = ForwardProxy::start(Admits::Ntlm("Negotiate", "OFFICE", "me", "other")).await;
    let place = format!("127.0.0.1:{}", ntlm.port);
    let domain = "DOMAIN%5Cuser";
    fails_saying(
        &format!("ntlm://OFFICE%5Cme:hunter2@{place}"),
        &[],
        &["407", domain],
    )
    .await;
    fails_saying(
        &format!("http://me:hunter2@{place}"),
        &[],
        &["407", "ntlm://"],
    )
    .await;
    let basic = format!("ntlm://me:hunter2@127.0.0.1:{}", closed.port);
    fails_saying(&basic, &[], &["407", "http://"]).await;
}

#[tokio::test]
async fn refusals() {
    let strict = ForwardProxy::start(Admits::Nobody("403 Forbidden")).await;
    let url = format!("http://127.0.0.1:{}", strict.port);
    fails_saying(&url, &[], &["403 Forbidden", &format!("{FAR}:7000"), "443"]).await;
    let lost = ForwardProxy::start(Admits::Nobody("503 No route")).await;
    let url = format!("ntlm://me:hunter2@127.0.0.1:{}", lost.port);
    fails_saying(&url, &[], &["503", "cannot reach", "serverAddr"]).await;
}

#[tokio::test]
async fn proxies_that_are_not_there() {
    let closed = format!("http://me:hunter2@127.0.0.1:{}", free_port());
    fails_saying(
        &closed,
        &[],
        &["refused", "nothing listens on the port of the proxy"],
    )
    .await;
    fails_saying(
        "socks5://proxy.invalid:1080",
        &[],
        &["the name of the proxy could not be resolved"],
    )
    .await;
}

#[tokio::test]
async fn something_else_than_a_proxy() {
    let ssh = Service::greeting("SSH-2.0-OpenSSH_9.2\r\n").await;
    let (port, check) = (ssh.port, "check the scheme and the port");
    let url = format!("http://127.0.0.1:{port}");
    fails_saying(&url, &[], &["its answer is no HTTP (SS)", check]).await;
    let url = format!("socks5://127.0.0.1:{port}");
    fails_saying(&url, &[], &["no SOCKS5", check]).await;
    let url = format!("ntlm://me:hunter2@127.0.0.1:{port}");
    fails_saying(&url, &[], &["its answer is no HTTP", check]).await;

    let closing = Service::new(|stream| async move { drop(stream) }).await;
    for scheme in ["http", "socks5", "ntlm"] {
        let url = format!("{scheme}://127.0.0.1:{}", closing.port);
        fails_saying(&url, &[], &["closed the connection", check]).await;
    }
    let endless = Service::new(|mut stream| async move {
        use tokio::io::AsyncWriteExt as _;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"X-More: and more\r\n").await.is_ok() {}
    })
    .await;
    let url = format!("http://127.0.0.1:{}", endless.port);
    fails_saying(&url, &[], &["its answer is too long"]).await;
}

#[tokio::test]
async fn a_proxy_that_does_not_answer() {
    let silent = Service::silent().await;
    let url = |scheme| format!("{scheme}://127.0.0.1:{}", silent.port);
    let (http, socks, https) = (url("http"), url("socks5"), url("https"));
    tokio::join!(
        fails_saying(&http, &[], &["i/o timeout", "does not answer"]),
        fails_saying(&socks, &[], &["i/o timeout", "does not answer"]),
        fails_saying(&https, &[], &["TLS handshake"]),
    );
}

#[tokio::test]
async fn https_proxies_that_are_not_trusted() {
    let rig = Rig::new();
    let authority = Authority::new(rig.path(), "ca");
    let other = Authority::new(rig.path(), "other");
    let identity = authority.issue(rig.path(), "proxy", &["proxy.example"]);
    let proxy = greeting_service(&identity, "").await;
    let url = format!("https://me:hunter2@127.0.0.1:{}", proxy.port);
    for file in [&authority.file, &other.file] {
        let trust = [
            ("SSL_CERT_FILE", file.to_str().unwrap()),
            ("SSL_CERT_DIR", "/nonexistent"),
        ];
        fails_saying(
            &url,
            &trust,
            &["certificate of the proxy is not trusted", "SSL_CERT_FILE"],
        )
        .await;
    }
    let nobody = [
        ("SSL_CERT_FILE", "/nonexistent"),
        ("SSL_CERT_DIR", "/nonexistent"),
    ];
    fails_saying(&url, &nobody, &["no CA certificates", "ca-certificates"]).await;
    let plain = ForwardProxy::start(Admits::Everybody).await;
    let url = format!("https://127.0.0.1:{}", plain.port);
    let trust = [("SSL_CERT_FILE", authority.file.to_str().unwrap())];
    fails_saying(&url, &trust, &["TLS", "http://"]).await;
}

#[tokio::test]
async fn socks_proxies_that_refuse() {
    let rig = Rig::new();
    let login = "type = \"socks5\"\nusername = \"me\"\npassword = \"other\"";
    let (_frps, _frpc, port) = super::plugin_proxy(&rig, login).await;
    let url = format!("socks5://me:hunter2@127.0.0.1:{port}");
    fails_saying(&url, &[], &["does not accept user and password"]).await;
    let url = format!("socks5://127.0.0.1:{port}");
    fails_saying(&url, &[], &["wants a user", "transport.proxyURL"]).await;
    // The name means nothing to it.
    let url = format!("socks5://me:other@127.0.0.1:{port}");
    fails_saying(&url, &[], &["cannot reach frps.invalid:7000"]).await;
}

#[tokio::test]
async fn what_is_no_proxy_is_refused_at_start() {
    let wrong = "proxy type must be http, https, socks5 or ntlm";
    fails_saying("ftp://me:hunter2@p:1", &[], &["transport.proxyURL", wrong]).await;
    fails_saying(
        "http://me:hunter2@p:x",
        &[],
        &["transport.proxyURL", "the port is no number"],
    )
    .await;
    let variable = [("http_proxy", "ftp://me:hunter2@p:1")];
    fails_saying(
        "",
        &variable,
        &["the environment variable http_proxy", wrong],
    )
    .await;
}
