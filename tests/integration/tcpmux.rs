//! tcpmux proxies: streams asked for by HTTP CONNECT.

use std::time::Duration;

use frp_tests::clients::{echo_on, read_all, until_closed};
use frp_tests::rig::host_proxy;
use frp_tests::wire::{self, Control};
use frp_tests::*;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

const NEWEST: &str = "0.70.1";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const UNAUTHORIZED: &str = "HTTP/1.1 407 Proxy Authentication Required\r\n\
    Proxy-Authenticate: Basic realm=\"Restricted\"\r\nContent-Length: 0\r\n\r\n";
/// `ann:secret` and `ben:other`.
const ANN: &str = "Proxy-Authorization: Basic YW5uOnNlY3JldA==\r\n";
const BEN: &str = "Proxy-Authorization: Basic YmVuOm90aGVy\r\n";

fn tcpmux_proxy(name: &str, local_port: u16, lines: &str) -> String {
    let lines = format!("multiplexer = \"httpconnect\"\n{lines}");
    host_proxy("tcpmux", name, local_port, &lines)
}

/// A frps with a port for tcpmux, and that port.
async fn open(rig: &Rig, server: &Side, lines: &str) -> (Frps, u16) {
    let port = free_port();
    let lines = format!("tcpmuxHTTPConnectPort = {port}\n{lines}");
    (rig.frps_of(server, &lines).await, port)
}

async fn ask(port: u16, host: &str, headers: &str) -> TcpStream {
    let mut user = connect(port).await;
    let request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
    user.write_all(request.as_bytes()).await.unwrap();
    user
}

/// Reads exactly `text`.
async fn expect(user: &mut TcpStream, text: &str) {
    let mut got = vec![0; text.len()];
    let read = within(wait::SOON, "an answer", user.read_exact(&mut got)).await;
    assert_eq!(String::from_utf8_lossy(&got), text, "{read:?}");
}

/// All that is answered to a request that is refused.
async fn refusal(port: u16, host: &str, headers: &str) -> String {
    let mut user = ask(port, host, headers).await;
    String::from_utf8(read_all(&mut user).await).unwrap()
}

async fn users_reach_the_service_of_their_host(server: Side, client: Side) {
    let rig = Rig::new();
    let (frps, port) = open(&rig, &server, "subDomainHost = \"sub.test\"\n").await;
    let listening =
        format!("tcpmux httpconnect multiplexer listen on 127.0.0.1:{port}, passthrough: false");
    frps.program.expect(&listening).await;
    let greeters = [
        Service::greeting("one").await,
        Service::greeting("two").await,
        Service::greeting("ann").await,
    ];
    let text = [
        tcpmux_proxy(
            "one",
            greeters[0].port,
            "customDomains = [\"one.test\"]\nsubdomain = \"s\"",
        ),
        tcpmux_proxy(
            "two",
            greeters[1].port,
            "customDomains = [\"*.two.test\"]\ntransport.useEncryption = true",
        ),
        tcpmux_proxy(
            "ann",
            greeters[2].port,
            "customDomains = [\"one.test\"]\nrouteByHTTPUser = \"ann\"",
        ),
    ];
    let frpc = rig.frpc_of(&client, frps.port, &text.concat());
    for name in ["one", "two", "ann"] {
        frpc.expect(&format!("[{name}] start proxy success")).await;
    }
    for (host, headers, to) in [
        ("one.test", "", "one"),
        ("One.Test:22", "", "one"),
        ("one.test.:22", "", "one"),
        ("s.sub.test:1", "", "one"),
        ("x.two.test:80", "", "two"),
        ("one.test:22", ANN, "ann"),
        ("one.test:22", BEN, "one"),
    ] {
        let mut user = ask(port, host, headers).await;
        expect(&mut user, OK).await;
        expect(&mut user, to).await;
        echo_on(&mut user, &pattern(50_000, 1)).await;
    }
    let answer = refusal(port, "two.test", "").await;
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(
        head,
        "HTTP/1.1 404 Not Found\r\nContent-Length: 489\r\nContent-Type: text/html\r\n\
         Server: frp/0.70.1"
    );
    assert_eq!(page.len(), 489);
}

#[tokio::test]
async fn users_reach_the_service_of_their_host_by_ours() {
    users_reach_the_service_of_their_host(Side::Ours, Side::Ours).await;
}

#[tokio::test]
async fn users_reach_the_service_of_their_host_by_our_frps_and_go_frpc() {
    if let Some(go) = Side::reference(NEWEST) {
        users_reach_the_service_of_their_host(Side::Ours, go).await;
    }
}

#[tokio::test]
async fn users_reach_the_service_of_their_host_by_go_frps_and_our_frpc() {
    if let Some(go) = Side::reference(NEWEST) {
        users_reach_the_service_of_their_host(go, Side::Ours).await;
    }
}

#[tokio::test]
async fn the_password_is_asked_for_before_anything_is_granted() {
    let rig = Rig::new();
    let (frps, port) = open(&rig, &Side::Ours, "").await;
    let greeter = Service::greeting("in").await;
    let text = [
        tcpmux_proxy(
            "locked",
            greeter.port,
            "customDomains = [\"a.test\"]\nhttpUser = \"ann\"\nhttpPassword = \"secret\"",
        ),
        // frp lets everybody in where only the password is set.
        tcpmux_proxy(
            "half",
            greeter.port,
            "customDomains = [\"half.test\"]\nhttpPassword = \"secret\"",
        ),
    ];
    let frpc = rig.frpc(frps.port, &text.concat());
    frpc.expect("[locked] start proxy success").await;
    frpc.expect("[half] start proxy success").await;
    let auth_of_the_server_itself = "Authorization: Basic YW5uOnNlY3JldA==\r\n";
    let other_scheme = "Proxy-Authorization: Bearer YW5uOnNlY3JldA==\r\n";
    for headers in ["", BEN, auth_of_the_server_itself, other_scheme] {
        assert_eq!(
            refusal(port, "a.test:1", headers).await,
            UNAUTHORIZED,
            "{headers}"
        );
    }
    assert_eq!(refusal(port, "half.test:1", "").await, UNAUTHORIZED);
    let mut user = ask(port, "a.test:1", ANN).await;
    expect(&mut user, OK).await;
    expect(&mut user, "in").await;
    assert_eq!(frps.program.log().count("secret"), 0);
}

#[tokio::test]
async fn bytes_right_behind_the_request_reach_the_service() {
    let rig = Rig::new();
    let (frps, port) = open(&rig, &Side::Ours, "").await;
    let echo = Service::echo().await;
    let text = tcpmux_proxy("echo", echo.port, "customDomains = [\"a.test\"]");
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("[echo] start proxy success").await;
    let request = "CONNECT a.test:1 HTTP/1.1\r\nHost: a.test\r\n\r\nfirst words";
    for cut in [1, 20, request.len() - 12, request.len() - 11, request.len()] {
        let mut user = connect(port).await;
        let (first, rest) = request.split_at(cut);
        user.write_all(first.as_bytes()).await.unwrap();
        user.write_all(rest.as_bytes()).await.unwrap();
        expect(&mut user, OK).await;
        expect(&mut user, "first words").await;
    }
}

#[tokio::test]
async fn passthrough_leaves_the_request_to_the_service() {
    let rig = Rig::new();
    let (frps, port) = open(&rig, &Side::Ours, "tcpmuxPassthrough = true\n").await;
    frps.program.expect("passthrough: true").await;
    let echo = Service::echo().await;
    let text = [
        tcpmux_proxy("echo", echo.port, "customDomains = [\"a.test\"]"),
        tcpmux_proxy(
            "locked",
            echo.port,
            "customDomains = [\"b.test\"]\nhttpUser = \"ann\"\nhttpPassword = \"secret\"",
        ),
    ];
    let frpc = rig.frpc(frps.port, &text.concat());
    frpc.expect("[echo] start proxy success").await;
    frpc.expect("[locked] start proxy success").await;
    for host in ["a.test:80", "b.test:80"] {
        let mut user = ask(port, host, ANN).await;
        let request = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{ANN}\r\n");
        expect(&mut user, &request).await;
        echo_on(&mut user, b"and more").await;
    }
    assert_eq!(refusal(port, "b.test:80", BEN).await, UNAUTHORIZED);
}

#[tokio::test]
async fn the_page_of_an_unknown_host_may_be_ones_own() {
    let rig = Rig::new();
    let page = rig.file("404.html", "gone fishing");
    let lines = format!("custom404Page = \"{}\"\n", page.display());
    let (_frps, port) = open(&rig, &Side::Ours, &lines).await;
    let answer = refusal(port, "a.test:1", "").await;
    assert!(
        answer.starts_with("HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\ngone fishing"), "{answer}");
}

#[tokio::test]
async fn members_of_a_group_serve_in_turn() {
    let rig = Rig::new();
    let (frps, port) = open(&rig, &Side::Ours, "").await;
    let (one, two) = (Service::greeting("1").await, Service::greeting("2").await);
    let member = |name: &str, port, user: &str, password: &str| {
        let lines = format!(
            "customDomains = [\"a.test\", \"b.test\"]\nhttpUser = \"{user}\"\n\
             httpPassword = \"{password}\"\nloadBalancer.group = \"g\"\n\
             loadBalancer.groupKey = \"k\""
        );
        tcpmux_proxy(name, port, &lines)
    };
    let text = member("one", one.port, "ann", "secret");
    let first = rig.frpc(frps.port, &text);
    first.expect("[one] start proxy success").await;
    let text = [
        member("two", two.port, "ann", "secret"),
        member("other", two.port, "ann", "other"),
        tcpmux_proxy(
            "by-user",
            two.port,
            "customDomains = [\"a.test\", \"b.test\"]\nrouteByHTTPUser = \"ben\"\n\
             httpUser = \"ann\"\nhttpPassword = \"secret\"\nloadBalancer.group = \"g\"\n\
             loadBalancer.groupKey = \"k\"",
        ),
    ];
    let second = rig.frpc(frps.port, &text.concat());
    second.expect("[two] start proxy success").await;
    second
        .expect("[other] start error: group params invalid")
        .await;
    second
        .expect("[by-user] start error: group params invalid")
        .await;
    let mut turns = String::new();
    for host in ["a.test", "b.test", "b.test", "a.test"] {
        let mut user = ask(port, host, ANN).await;
        expect(&mut user, OK).await;
        turns.push(char::from(user.read_u8().await.unwrap()));
    }
    assert!(turns == "1212" || turns == "2121", "{turns}");
}

#[tokio::test]
async fn without_a_work_connection_there_is_no_ok() {
    let rig = Rig::new();
    let lines = "transport.tcpMux = false\nuserConnTimeout = 1\n";
    let (frps, port) = open(&rig, &Side::Ours, lines).await;
    let (mut control, _) = Control::login(connect(frps.port).await, "", &json!({})).await;
    let proxy = json!({
        "proxy_name": "p", "proxy_type": "tcpmux", "multiplexer": "httpconnect",
        "custom_domains": ["a.test"],
    });
    control.send(wire::NEW_PROXY, &proxy).await;
    frps.program
        .expect("new proxy [p] type [tcpmux] success")
        .await;
    // The client never opens one.
    let answer = refusal(port, "a.test:1", "").await;
    assert_eq!(
        answer,
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
    );
    frps.program
        .expect("timeout trying to get work connection")
        .await;
}

#[tokio::test]
async fn what_is_no_connect_request_ends_without_an_answer() {
    let rig = Rig::new();
    let (frps, port) = open(&rig, &Side::Ours, "").await;
    let with_one_user = frps.program.open_files() + 1;
    let mut silent = connect(port).await;
    for bad in [
        b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec(),
        b"\r\n\r\n".to_vec(),
        b"CONNECT\r\n\r\n".to_vec(),
        b"CONNECT a.test:1 HTTP/1.1\r\nbroken header\r\n\r\n".to_vec(),
        [
            b"CONNECT a.test:1 HTTP/1.1\r\na: ".to_vec(),
            vec![b'x'; 100_000],
        ]
        .concat(),
        [
            b"CONNECT a.test:1 HTTP/1.1\r\n".to_vec(),
            b"a: b\r\n".repeat(20_000),
        ]
        .concat(),
    ] {
        let mut user = connect(port).await;
        let what = String::from_utf8_lossy(&bad[..bad.len().min(40)]).into_owned();
        // A reset may come before all is sent.
        let _ = user.write_all(&bad).await;
        let answer = read_all(&mut user).await;
        assert_eq!(String::from_utf8_lossy(&answer), "", "{what}");
    }
    eventually("all descriptors are closed", || async {
        frps.program.open_files() <= with_one_user
    })
    .await;
    let limit = Duration::from_secs(30) + wait::SOON;
    until_closed(&mut silent, limit, "a silent user").await;
}

#[tokio::test]
async fn curl_tunnels_through_it() {
    let rig = Rig::new();
    let (frps, port) = open(&rig, &Side::Ours, "").await;
    let page = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nthe page\n";
    let web = Service::source(page).await;
    let text = tcpmux_proxy(
        "web",
        web.port,
        "customDomains = [\"web.test\"]\nhttpUser = \"ann\"\nhttpPassword = \"secret\"",
    );
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("[web] start proxy success").await;
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20"])
        .args([
            "--proxytunnel",
            "--proxy",
            &format!("http://127.0.0.1:{port}"),
        ])
        .args(["--proxy-user", "ann:secret", "--noproxy", ""])
        .arg("http://web.test/")
        .output()
        .await
        .expect("curl runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "the page\n",
        "{errors}"
    );
}
