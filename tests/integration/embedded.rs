//! frps as a library: what a program that runs one in itself can have it do.

use std::net::SocketAddr;

use frp_config::{LoadOptions, Purpose, ServerConfig, parse_server};
use frp_tests::clients::{echo_on, until_closed};
use frp_tests::issuer::Issuer;
use frp_tests::rig::tcp_proxy;
use frp_tests::tls::{Authority, Identity};
use frp_tests::wire::{self, Control};
use frp_tests::*;
use frps::{BindError, PolicyError, PolicyWriter, Replaced, Server, Stop};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinHandle;

use super::carries::free_udp_port;

/// A server in the process of the test.
pub(super) struct Embedded {
    pub(super) port: u16,
    pub(super) policy: PolicyWriter,
    pub(super) stop: Stop,
    pub(super) running: JoinHandle<()>,
}

impl Embedded {
    pub(super) fn start(lines: &str) -> Self {
        // Another process may take the port before it is bound.
        for _ in 0..5 {
            let port = free_port();
            let server = match Server::bind(settings(port, lines), None) {
                Ok(server) => server,
                Err(BindError::Listen { .. }) => continue,
                Err(e) => panic!("{e}"),
            };
            assert_eq!(
                server.addr().map(|addr: SocketAddr| addr.port()).ok(),
                Some(port)
            );
            let policy = server.policy();
            let stop = Stop::new();
            let running = tokio::spawn(server.run(stop.clone()));
            return Self {
                port,
                policy,
                stop,
                running,
            };
        }
        panic!("no free port five times");
    }

    fn replace(&self, lines: &str) -> Result<Replaced, PolicyError> {
        self.policy.replace(settings(self.port, lines))
    }
}

fn settings(port: u16, lines: &str) -> ServerConfig {
    let text = format!("bindAddr = \"127.0.0.1\"\nbindPort = {port}\n{lines}");
    let loaded = parse_server(&text, "frps.toml", &LoadOptions::new(Purpose::Run));
    loaded.unwrap().settings
}

fn certificate(Identity { cert, key }: &Identity) -> String {
    format!("transport.tls.certFile = {cert:?}\ntransport.tls.keyFile = {key:?}\n")
}

fn ports(allowed: &[u16]) -> String {
    let each = |port| format!("{{ single = {port} }}");
    let all: Vec<String> = allowed.iter().map(each).collect();
    format!("allowPorts = [{}]\n", all.join(", "))
}

/// Every ping and work connection is checked, and pings are frequent.
const CHECKED: &str = "auth.additionalScopes = [\"HeartBeats\", \"NewWorkConns\"]\n";
const PINGS: &str = "transport.heartbeatInterval = 1\n";

async fn refused(rig: &Rig, port: u16, lines: &str, why: &str) {
    let mut frpc = rig.frpc(port, lines);
    frpc.expect(why).await;
    assert_eq!(frpc.exit_code().await, Some(1));
}

/// Token, ports and certificate of the next clients are the new ones, by every transport, and those who
/// are there go on under the old ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_policy_holds_for_who_comes_next() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let (ca, other_ca) = (
        Authority::new(rig.path(), "a"),
        Authority::new(rig.path(), "b"),
    );
    let first = certificate(&ca.issue(rig.path(), "first", &["127.0.0.1"]));
    let second = certificate(&other_ca.issue(rig.path(), "second", &["127.0.0.1"]));
    let trust = |ca: &Authority| format!("transport.tls.trustedCaFile = {:?}\n", ca.file);
    let (old, later, new) = (free_port(), free_port(), free_port());
    let udp = free_udp_port();
    let bound = format!("quicBindPort = {udp}\n{CHECKED}");
    let before = format!(
        "{bound}{first}auth.token = \"old\"\n{}",
        ports(&[old, later])
    );
    let server = Embedded::start(&before);

    let proxy =
        |name, port| tcp_proxy(name, service.port, port, "transport.useEncryption = true\n");
    let lines = format!("auth.token = \"old\"\n{CHECKED}{PINGS}{}", trust(&ca));
    let there = rig.frpc(server.port, &format!("{lines}{}", proxy("there", old)));
    there.expect("[there] start proxy success").await;
    let mut user = connect(old).await;
    echo_on(&mut user, &pattern(1000, 1)).await;

    let after = format!("{bound}{second}auth.token = \"new\"\n{}", ports(&[new]));
    server.replace(&after).unwrap();

    for (port, way) in [
        (server.port, "transport.protocol = \"tcp\"\n"),
        (server.port, "transport.protocol = \"wss\"\n"),
        (udp, "transport.protocol = \"quic\"\n"),
    ] {
        let start = |lines: String| rig.frpc(port, &format!("{way}{lines}"));
        let mut frpc = start(format!(
            "auth.token = \"old\"\n{CHECKED}{}",
            trust(&other_ca)
        ));
        frpc.expect("token in login doesn't match token from configuration")
            .await;
        assert_eq!(frpc.exit_code().await, Some(1));
        let mut frpc = start(format!("auth.token = \"new\"\n{CHECKED}{}", trust(&ca)));
        frpc.expect("trusted").await;
        assert_eq!(frpc.exit_code().await, Some(1));
        let mut frpc = start(format!(
            "auth.token = \"new\"\n{CHECKED}{}{}{}",
            trust(&other_ca),
            proxy("new", new),
            proxy("late", later),
        ));
        frpc.expect("[new] start proxy success").await;
        frpc.expect("[late] start error: port not allowed").await;
        echo(new, &pattern(100_000, 2)).await;
        frpc.signal("TERM").await;
        frpc.exit_status_within(wait::SOON).await;
    }

    // The next heartbeat, the next work connection, the bytes under way: all as they began.
    let mark = there.log().mark();
    there
        .expect_from(mark, "receive heartbeat from server", wait::SOON)
        .await;
    echo_on(&mut user, &pattern(1000, 3)).await;
    for n in 0..4 {
        echo(old, &pattern(50_000, n)).await;
    }
    assert_eq!(there.log().count("login to server success"), 1);
    server.stop.now();
    server.running.await.unwrap();
}

/// What is decided anew for each connection, each request and each proxy of a session that stays.
#[tokio::test]
async fn a_new_policy_holds_for_the_next_request_and_the_next_proxy() {
    let rig = Rig::new();
    let (http, web) = (free_port(), free_port());
    let bound =
        format!("vhostHTTPPort = {http}\nwebServer.port = {web}\ntransport.tcpMux = false\n");
    let server = Embedded::start(&format!("{bound}auth.token = \"old\"\n"));
    let (mut control, _) = Control::login(connect(server.port).await, "old", &json!({})).await;
    let tcp = |name: &str| json!({"proxy_name": name, "proxy_type": "tcp", "remote_port": 0});
    let sub = |name: &str| json!({"proxy_name": name, "proxy_type": "http", "subdomain": name});
    let mut wish = async |proxy| {
        let answer = control.register(&proxy).await;
        answer["error"].as_str().unwrap_or("").to_owned()
    };
    assert_eq!(wish(tcp("a")).await, "");
    assert!(wish(sub("b")).await.contains("subdomain is not supported"));
    let (status, text) = backend::fetch(http, "nobody.test", "/").await;
    assert!(status == 404 && text.contains("Faithfully yours, frp"));
    assert_eq!(http::get(web, "/metrics").await.status, 404);

    let page = rig.file("404.html", "the new page");
    server
        .replace(&format!(
            "{bound}auth.token = \"new\"\nmaxPortsPerClient = 1\nsubDomainHost = \"new.test\"\n\
             custom404Page = {page:?}\nenablePrometheus = true\ntransport.tls.force = true\n\
             detailedErrorsToClient = false\ntransport.maxPoolCount = 77\n"
        ))
        .unwrap();

    assert_eq!(
        wish(tcp("c")).await,
        "new proxy [c] error",
        "one port is all"
    );
    assert_eq!(wish(sub("d")).await, "");
    let (status, text) = backend::fetch(http, "nobody.test", "/").await;
    assert_eq!((status, text.as_str()), (404, "the new page"));
    assert_eq!(http::get(web, "/metrics").await.status, 200);
    let told = http::get(web, "/api/serverinfo").await.json();
    assert_eq!(told["maxPoolCount"], 77);
    assert_eq!(told["subdomainHost"], "new.test");
    let mut plain = connect(server.port).await;
    let login = wire::v1(wire::LOGIN, &wire::login("new", &json!({})));
    plain.write_all(&login).await.unwrap();
    until_closed(&mut plain, wait::SOON, "who comes without TLS").await;
}

#[tokio::test]
async fn a_policy_that_cannot_be_gone_by_changes_nothing() {
    let rig = Rig::new();
    let server = Embedded::start("auth.token = \"old\"\n");
    let replaced = server.replace("auth.token = \"new\"\ntransport.tls.certFile = \"none.crt\"\ntransport.tls.keyFile = \"none.key\"\n");
    let why = replaced.unwrap_err().to_string();
    assert!(why.starts_with("transport.tls: open none."), "{why}");
    refused(
        &rig,
        server.port,
        "auth.token = \"new\"\n",
        "token in login",
    )
    .await;
    let frpc = rig.frpc(server.port, "auth.token = \"old\"\n");
    frpc.expect("login to server success").await;
}

/// What cannot change is named, again and again, and the rest changes.
#[tokio::test]
async fn what_a_server_is_bound_to_is_left() {
    let rig = Rig::new();
    let server = Embedded::start("auth.token = \"old\"\n");
    let elsewhere = "auth.token = \"new\"\nvhostHTTPPort = 1\ntransport.tcpMux = false\n";
    let restart = vec![
        "vhostHTTPPort",
        "transport.tcpMux",
        "transport.heartbeatTimeout",
    ];
    for applied in [vec!["auth.token".to_owned()], vec![]] {
        let restart = restart.clone();
        let replaced = server.replace(elsewhere).unwrap();
        assert_eq!(replaced, Replaced { applied, restart });
    }
    let frpc = rig.frpc(server.port, "auth.token = \"new\"\n");
    frpc.expect("login to server success").await;
    let back = server.replace("auth.token = \"new\"\n").unwrap();
    assert_eq!(back, Replaced::default());
}

/// The issuer is asked again only where it is another, and who logged in by the former goes on.
#[tokio::test]
async fn a_new_policy_may_have_another_issuer() {
    const DISCOVERY: &str = "/.well-known/openid-configuration";
    let rig = Rig::new();
    let (one, other) = (Issuer::start().await, Issuer::start().await);
    let server = Embedded::start(&format!("{}{CHECKED}", one.server_lines()));
    let start = |lines: String| rig.frpc(server.port, &format!("{lines}{CHECKED}{PINGS}"));
    let there = start(one.client_lines());
    there.expect("login to server success").await;
    let more = "maxPortsPerClient = 3\n";
    server
        .replace(&format!("{}{CHECKED}{more}", one.server_lines()))
        .unwrap();
    let again = start(one.client_lines());
    again.expect("login to server success").await;
    assert_eq!(one.count(DISCOVERY), 1);

    server
        .replace(&format!("{}{CHECKED}", other.server_lines()))
        .unwrap();
    let new = start(other.client_lines());
    new.expect("login to server success").await;
    let mut late = start(one.client_lines());
    late.expect("invalid OIDC token in login").await;
    assert_eq!(late.exit_code().await, Some(1));
    let mark = there.log().mark();
    there
        .expect_from(mark, "receive heartbeat from server", wait::SOON)
        .await;
    assert_eq!(there.log().count("login to server success"), 1);
}
