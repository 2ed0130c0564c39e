//! Ways out of a network: proxies on the way to frps, the address that frpc dials from, and the DNS
//! server that it asks.

mod failures;
mod names;

use frp_tests::forward_proxy::{Admits, ForwardProxy, RealProxy};
use frp_tests::program::Program;
use frp_tests::rig::tcp_proxy;
use frp_tests::tls::Authority;
use frp_tests::*;

const NEWEST: &str = "0.70.1";

/// A name that only a proxy resolves: nobody else knows it (RFC 2606).
const FAR: &str = "frps.invalid";

/// The file of a frpc to `server` that publishes `local` at `remote`.
fn frpc_text(server: &str, frps: &Frps, lines: &str, local: u16, remote: u16) -> String {
    format!(
        "serverAddr = \"{server}\"\nserverPort = {}\nlog.level = \"debug\"\n\
         log.disablePrintColor = true\n{lines}\n{}",
        frps.port,
        tcp_proxy("echo", local, remote, "")
    )
}

/// Runs frpc of `side` to frps by the name that only a proxy knows, and uses its tunnel. Returns
/// what it has logged.
async fn passes(side: &Side, proxy_url: &str, lines: &str, environment: &[(&str, &str)]) -> String {
    passes_to(FAR, side, proxy_url, lines, environment).await
}

async fn passes_to(
    server: &str,
    side: &Side,
    proxy_url: &str,
    lines: &str,
    environment: &[(&str, &str)],
) -> String {
    println!("{side:?} by {proxy_url:?} with {lines:?}");
    let rig = Rig::new();
    let mux = match lines.contains("tcpMux = false") {
        true => "transport.tcpMux = false\n",
        false => "",
    };
    let frps = rig.frps(mux).await;
    let service = Service::echo().await;
    let remote = free_port();
    let url = match proxy_url {
        "" => String::new(),
        url => format!("transport.proxyURL = \"{url}\"\n"),
    };
    let text = frpc_text(
        server,
        &frps,
        &format!("{url}{lines}"),
        service.port,
        remote,
    );
    let frpc = rig.start_with(side, "frpc", &text, environment);
    frpc.expect("[echo] start proxy success").await;
    echo(remote, &pattern(100_000, 1)).await;
    drop(frps);
    frpc.log().text()
}

/// Our client, and Go's where it is here.
fn clients() -> Vec<Side> {
    let theirs = Side::reference(NEWEST);
    [Side::Ours].into_iter().chain(theirs).collect()
}

#[tokio::test]
async fn http_proxies() {
    for side in clients() {
        let open = ForwardProxy::start(Admits::Everybody).await;
        passes(&side, &format!("http://127.0.0.1:{}", open.port), "", &[]).await;
        let closed = ForwardProxy::start(Admits::Basic("me", "p@ss:word")).await;
        let url = format!("http://me:p%40ss%3Aword@127.0.0.1:{}", closed.port);
        let log = passes(&side, &url, "transport.tls.enable = false\n", &[]).await;
        assert!(!log.contains("word"), "{log}");
        // Without the mux each stream asks the proxy by itself.
        let single = "transport.tcpMux = false\ntransport.poolCount = 2\n";
        passes(&side, &url, single, &[]).await;
        let asked = closed.asked.lock().unwrap().clone();
        // Once before, and now for the control and at least the one work connection that was used.
        assert!(asked.len() >= 3, "{asked:?}");
        assert!(
            asked.iter().all(|(line, _)| line.contains(FAR)),
            "{asked:?}"
        );
    }
}

#[tokio::test]
async fn https_proxies_with_a_certificate_that_the_machine_trusts() {
    let rig = Rig::new();
    let authority = Authority::new(rig.path(), "ca");
    let identity = authority.issue(rig.path(), "proxy", &["localhost"]);
    let proxy = ForwardProxy::start_tls(Admits::Basic("me", "secret"), &identity).await;
    let url = format!("https://me:secret@localhost:{}", proxy.port);
    let file = authority.file.to_str().unwrap();
    let trust = [("SSL_CERT_FILE", file), ("SSL_CERT_DIR", "/nonexistent")];
    for side in clients() {
        passes(&side, &url, "", &trust).await;
        passes(&side, &url, "transport.tls.enable = false\n", &trust).await;
        let single = "transport.tcpMux = false\n";
        passes(&side, &url, single, &trust).await;
    }
}

#[tokio::test]
async fn ntlm_proxies() {
    for side in clients() {
        let proxy =
            ForwardProxy::start(Admits::Ntlm("Negotiate", "OFFICE", "Jörg", "Pässword")).await;
        let url = format!(
            "ntlm://OFFICE%5CJ%C3%B6rg:P%C3%A4ssword@127.0.0.1:{}",
            proxy.port
        );
        passes(&side, &url, "", &[]).await;
        // First the negotiation, then the answer to the challenge.
        assert_eq!(proxy.asked.lock().unwrap().len(), 2);
        passes(&side, &url, "transport.tcpMux = false\n", &[]).await;

        let open = ForwardProxy::start(Admits::Everybody).await;
        passes(&side, &format!("ntlm://127.0.0.1:{}", open.port), "", &[]).await;
        passes(
            &side,
            &format!("ntlm://a:b@127.0.0.1:{}", open.port),
            "",
            &[],
        )
        .await;
    }
}

/// frp gives up on these.
#[tokio::test]
async fn ntlm_proxies_that_call_it_by_its_own_name_only() {
    let proxy = ForwardProxy::start(Admits::Ntlm("NTLM", "", "me", "secret")).await;
    let url = format!("ntlm://me:secret@127.0.0.1:{}", proxy.port);
    let log = passes(&Side::Ours, &url, "", &[]).await;
    assert!(!log.contains("secret"), "{log}");
}

/// A frps and a frpc whose plugin `plugin` is a proxy at the returned port.
async fn plugin_proxy(rig: &Rig, plugin: &str) -> (Frps, Program, u16) {
    let frps = rig.frps("").await;
    let port = free_port();
    let text = format!(
        "\n[[proxies]]\nname = \"way\"\ntype = \"tcp\"\nremotePort = {port}\n[proxies.plugin]\n{plugin}\n"
    );
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("[way] start proxy success").await;
    (frps, frpc, port)
}

/// The proxy resolves the name; `localhost` is one that real programs know, too.
#[tokio::test]
async fn proxies_that_our_own_plugins_are() {
    let rig = Rig::new();
    let login = "httpUser = \"me\"\nhttpPassword = \"secret\"";
    let (_a, _b, http) = plugin_proxy(&rig, &format!("type = \"http_proxy\"\n{login}")).await;
    let login = "username = \"me\"\npassword = \"secret\"";
    let (_c, _d, socks) = plugin_proxy(&rig, &format!("type = \"socks5\"\n{login}")).await;
    let (_e, _f, open) = plugin_proxy(&rig, "type = \"socks5\"").await;
    for side in clients() {
        for url in [
            format!("http://me:secret@127.0.0.1:{http}"),
            format!("socks5://me:secret@127.0.0.1:{socks}"),
            format!("socks5://127.0.0.1:{open}"),
            format!("socks5://me:secret@127.0.0.1:{open}"),
        ] {
            passes_to("localhost", &side, &url, "", &[]).await;
            passes_to("127.0.0.1", &side, &url, "transport.tcpMux = false\n", &[]).await;
        }
    }
}

#[tokio::test]
async fn real_http_proxy() {
    let rig = Rig::new();
    let Some(open) = RealProxy::tinyproxy(rig.path(), None).await else {
        return;
    };
    let closed = RealProxy::tinyproxy(rig.path(), Some(("me", "secret")))
        .await
        .unwrap();
    for side in clients() {
        let url = format!("http://127.0.0.1:{}", open.port);
        passes_to("localhost", &side, &url, "", &[]).await;
        let url = format!("http://me:secret@127.0.0.1:{}", closed.port);
        passes_to("localhost", &side, &url, "transport.tcpMux = false\n", &[]).await;
    }
}

#[tokio::test]
async fn real_socks_proxy() {
    let rig = Rig::new();
    let Some(open) = RealProxy::microsocks(rig.path(), None).await else {
        return;
    };
    let closed = RealProxy::microsocks(rig.path(), Some(("me", "secret")))
        .await
        .unwrap();
    for side in clients() {
        let url = format!("socks5://127.0.0.1:{}", open.port);
        passes_to("localhost", &side, &url, "", &[]).await;
        let url = format!("socks5://me:secret@127.0.0.1:{}", closed.port);
        passes_to("localhost", &side, &url, "transport.tcpMux = false\n", &[]).await;
    }
}

#[tokio::test]
async fn the_proxy_of_the_environment() {
    let proxy = ForwardProxy::start(Admits::Basic("me", "secret")).await;
    let url = format!("http://me:secret@127.0.0.1:{}", proxy.port);
    for side in clients() {
        passes(&side, "", "", &[("http_proxy", &url)]).await;
        // What the file says comes first; other variables mean nothing.
        let unused = "http://127.0.0.1:1";
        let others = [
            ("http_proxy", unused),
            ("HTTP_PROXY", unused),
            ("no_proxy", "*"),
        ];
        passes(&side, &url, "", &others).await;
        let others = [
            ("HTTP_PROXY", unused),
            ("https_proxy", unused),
            ("ALL_PROXY", unused),
        ];
        passes_to("127.0.0.1", &side, "", "", &others).await;
    }
    // frp takes no notice of some of these, and fails on others.
    let bare = format!("127.0.0.1:{}", proxy.port);
    let open = ForwardProxy::start(Admits::Everybody).await;
    let short = format!("127.0.0.1:{}", open.port);
    let log = passes(&Side::Ours, "", "", &[("http_proxy", &short)]).await;
    let told = format!("proxy http://{short} (the environment variable http_proxy)");
    assert!(log.contains(&told), "{log}");
    let with_login = format!("me:secret@{bare}");
    let log = passes(&Side::Ours, "", "", &[("http_proxy", &with_login)]).await;
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test]
async fn the_address_that_is_dialled_from() {
    let proxy = ForwardProxy::start(Admits::Everybody).await;
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let from = "transport.connectServerLocalIP = \"127.0.0.77\"\n";
    for side in clients() {
        proxy.asked.lock().unwrap().clear();
        passes(&side, &url, from, &[]).await;
        let asked = proxy.asked.lock().unwrap().clone();
        let peers: Vec<String> = asked
            .iter()
            .map(|(_, peer)| peer.ip().to_string())
            .collect();
        assert_eq!(peers, ["127.0.0.77"]);
    }
}

/// An idle tunnel is kept, and frpc comes back through the proxy when its server does.
#[tokio::test]
async fn a_lost_server_is_reached_again_through_the_proxy() {
    let proxy = ForwardProxy::start(Admits::Everybody).await;
    let rig = Rig::new();
    let mut frps = rig.frps("").await;
    let service = Service::echo().await;
    let remote = free_port();
    let lines = format!(
        "transport.proxyURL = \"http://127.0.0.1:{}\"\nloginFailExit = false\n",
        proxy.port
    );
    let text = frpc_text(FAR, &frps, &lines, service.port, remote);
    let frpc = rig.start(&Side::Ours, "frpc", &text);
    frpc.expect("[echo] start proxy success").await;
    frps.program.kill().await;
    frpc.expect("502 Bad Gateway").await;
    frps.program.start_again();
    clients::until_echoes(remote, std::time::Duration::from_secs(60)).await;
    assert!(proxy.asked_for(&format!("{FAR}:{}", frps.port)) >= 3);
}
