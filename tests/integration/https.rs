//! https proxies: routing by the server name of a ClientHello, untouched bytes, groups, and the
//! port that frpc and users share.

use std::time::Duration;

use frp_tests::clients::{read_all, until_closed};
use frp_tests::rig::host_proxy;
use frp_tests::tls::{self, Authority};
use frp_tests::wire::{self, Control};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::mpsc;

const NEWEST: &str = "0.70.1";
/// frps closes a user that has not said its host after this time.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

/// A frps with a port for https, and an authority for the services behind.
struct Office {
    rig: Rig,
    frps: Frps,
    port: u16,
    authority: Authority,
}

impl Office {
    async fn open(server: &Side, lines: &str) -> Self {
        let rig = Rig::new();
        let port = free_port();
        let lines = format!("vhostHTTPSPort = {port}\n{lines}");
        let frps = rig.frps_of(server, &lines).await;
        let authority = Authority::new(rig.path(), "authority");
        Self {
            rig,
            frps,
            port,
            authority,
        }
    }

    /// A TLS service with a certificate for `name`, which it greets with.
    async fn service(&self, name: &str) -> Service {
        let identity = self.authority.issue(self.rig.path(), name, &[name]);
        tls::greeting_service(&identity, name).await
    }

    /// What the service says that a user of `name` gets to.
    async fn greeting(&self, name: &str) -> std::io::Result<String> {
        greeting(self.port, name).await
    }
}

async fn greeting(port: u16, name: &str) -> std::io::Result<String> {
    let stream = connect(port).await;
    let asking = async {
        let mut stream =
            tls::handshake_for(stream, name, tls::client(rustls::ALL_VERSIONS)).await?;
        let mut greeting = vec![0; 64];
        let n = stream.read(&mut greeting).await?;
        greeting.truncate(n);
        stream.write_all(b"ping").await?;
        let mut back = [0; 4];
        stream.read_exact(&mut back).await?;
        assert_eq!(&back, b"ping");
        Ok(String::from_utf8(greeting).unwrap())
    };
    within(wait::SOON, "a TLS service answers", asking).await
}

fn https_proxy(name: &str, local_port: u16, lines: &str) -> String {
    host_proxy("https", name, local_port, lines)
}

/// The ClientHello of a TLS client that asks for `name`.
pub(crate) fn client_hello(name: &str) -> Vec<u8> {
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let config = std::sync::Arc::new(tls::client(rustls::ALL_VERSIONS));
    let mut client = rustls::ClientConnection::new(config, name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// The same handshake message in records of `size` bytes.
fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| {
        let length = u16::try_from(part.len()).unwrap().to_be_bytes();
        [&[22, 3, 1], length.as_slice(), part].concat()
    };
    hello[5..].chunks(size).flat_map(record).collect()
}

async fn users_reach_the_service_of_their_host(server: Side, client: Side) {
    let office = Office::open(&server, "subDomainHost = \"sub.test\"\n").await;
    let one = office.service("one.test").await;
    let wild = office.service("x.wild.test").await;
    let sub = office.service("shop.sub.test").await;
    let text = [
        https_proxy(
            "one",
            one.port,
            "customDomains = [\"One.test\", \"1.test\"]",
        ),
        https_proxy(
            "wild",
            wild.port,
            "customDomains = [\"*.wild.test\"]\ntransport.useEncryption = true\n\
             transport.useCompression = true",
        ),
        https_proxy("sub", sub.port, "subdomain = \"shop\""),
    ];
    let frpc = office
        .rig
        .frpc_of(&client, office.frps.port, &text.concat());
    for name in ["one", "wild", "sub"] {
        frpc.expect(&format!("[{name}] start proxy success")).await;
    }
    for (name, to) in [
        ("one.test", "one.test"),
        ("ONE.test", "one.test"),
        ("1.test", "one.test"),
        ("x.wild.test", "x.wild.test"),
        ("z.y.wild.test", "x.wild.test"),
        ("shop.sub.test", "shop.sub.test"),
    ] {
        assert_eq!(office.greeting(name).await.unwrap(), to, "{name}");
    }
    // Nobody's name: a user reads in its browser that the name is unknown, not a broken connection.
    for name in ["other.test", "wild.test", "127.0.0.1"] {
        let refused = office.greeting(name).await.unwrap_err().to_string();
        assert!(refused.contains("UnrecognisedName"), "{name}: {refused}");
    }
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
async fn curl_verifies_the_certificate_of_the_service_behind() {
    let office = Office::open(&Side::Ours, "").await;
    let identity = office
        .authority
        .issue(office.rig.path(), "page", &["page.test"]);
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(tls::server(&identity)));
    let service = Service::new(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let answer =
                b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nthe page\n";
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    })
    .await;
    let text = https_proxy("page", service.port, "customDomains = [\"page.test\"]");
    let frpc = office.rig.frpc(office.frps.port, &text);
    frpc.expect("[page] start proxy success").await;
    let output = Command::new("curl")
        .arg("--silent")
        .arg("--show-error")
        .args(["--noproxy", "*", "--max-time", "20"])
        .args(["--resolve", &format!("page.test:{}:127.0.0.1", office.port)])
        .arg("--cacert")
        .arg(&office.authority.file)
        .arg(format!("https://page.test:{}/", office.port))
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

#[tokio::test]
async fn not_a_byte_is_changed_however_the_hello_comes() {
    let office = Office::open(&Side::Ours, "").await;
    let (sender, mut received) = mpsc::unbounded_channel();
    let sink = Service::sink(sender).await;
    let text = https_proxy("sink", sink.port, "customDomains = [\"*\"]");
    let frpc = office.rig.frpc(office.frps.port, &text);
    frpc.expect("[sink] start proxy success").await;

    let hello = client_hello("anything.test");
    for size in [1, 3, 50, hello.len()] {
        let sent = [in_records(&hello, size), pattern(100_000, size as u64)].concat();
        let mut user = connect(office.port).await;
        let (first, rest) = sent.split_at(7);
        user.write_all(first).await.unwrap();
        user.write_all(rest).await.unwrap();
        user.shutdown().await.unwrap();
        let got = within(wait::SOON, "the service gets it", received.recv()).await;
        assert!(got.unwrap() == sent, "records of {size} bytes");
    }
    // Who names no server gets to `*`, as in frp.
    let hello = client_hello("127.0.0.1");
    let mut user = connect(office.port).await;
    user.write_all(&hello).await.unwrap();
    user.shutdown().await.unwrap();
    let got = within(wait::SOON, "the service gets it", received.recv()).await;
    assert_eq!(got.unwrap(), hello);
}

#[tokio::test]
async fn the_service_is_told_the_users_address() {
    let office = Office::open(&Side::Ours, "").await;
    let (sender, mut received) = mpsc::unbounded_channel();
    let sink = Service::sink(sender).await;
    let text = https_proxy(
        "sink",
        sink.port,
        "customDomains = [\"a.test\"]\ntransport.proxyProtocolVersion = \"v1\"",
    );
    let frpc = office.rig.frpc(office.frps.port, &text);
    frpc.expect("[sink] start proxy success").await;
    let hello = client_hello("a.test");
    let mut user = connect(office.port).await;
    let from = user.local_addr().unwrap().port();
    user.write_all(&hello).await.unwrap();
    user.shutdown().await.unwrap();
    let got = within(wait::SOON, "the service gets it", received.recv()).await;
    let header = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {}\r\n", office.port);
    assert_eq!(got.unwrap(), [header.as_bytes(), &hello].concat());
}

#[tokio::test]
async fn members_of_a_group_serve_several_hosts_in_turn() {
    let office = Office::open(&Side::Ours, "").await;
    let first = office.service("first").await;
    let second = office.service("second").await;
    let member = |name: &str, port, domains: &str, key: &str| {
        let lines = format!(
            "customDomains = [{domains}]\nloadBalancer.group = \"web\"\n\
             loadBalancer.groupKey = \"{key}\""
        );
        https_proxy(name, port, &lines)
    };
    let text = [
        member("first", first.port, "\"a.test\", \"b.test\"", "key"),
        member("second", second.port, "\"b.test\", \"A.test\"", "key"),
    ];
    let one = office.rig.frpc(office.frps.port, &text[0]);
    one.expect("[first] start proxy success").await;
    let mut two = office.rig.frpc(office.frps.port, &text[1]);
    two.expect("[second] start proxy success").await;
    let mut turns = Vec::new();
    for host in ["a.test", "b.test", "b.test", "a.test", "a.test", "b.test"] {
        turns.push(office.greeting(host).await.unwrap());
    }
    assert_ne!(turns[0], turns[1], "in turn, whatever the host");
    for pair in turns.windows(3) {
        assert_eq!(pair[0], pair[2]);
    }

    let strangers = [
        member("key", first.port, "\"a.test\", \"b.test\"", "other"),
        member("hosts", first.port, "\"a.test\"", "key"),
        member(
            "twice",
            first.port,
            "\"a.test\", \"b.test\", \"A.test\"",
            "key",
        ),
        https_proxy("alone", first.port, "customDomains = [\"b.test\"]"),
    ];
    let others = office.rig.frpc(office.frps.port, &strangers.concat());
    others.expect("[key] start error: group auth failed").await;
    others
        .expect("[hosts] start error: group params invalid")
        .await;
    others
        .expect("[twice] start error: group proxy repeated")
        .await;
    others
        .expect("[alone] start error: router config conflict")
        .await;

    // A member that goes takes nobody with it; the last one frees the hosts.
    two.kill().await;
    office.frps.program.expect("client exit success").await;
    for _ in 0..3 {
        assert_eq!(office.greeting("a.test").await.unwrap(), "first");
    }
    drop(one);
    others.expect("[alone] start proxy success").await;
    assert_eq!(office.greeting("b.test").await.unwrap(), "first");
}

#[tokio::test]
async fn a_host_is_free_again_when_its_client_is_gone() {
    let office = Office::open(&Side::Ours, "").await;
    let service = office.service("a.test").await;
    let text = https_proxy("a", service.port, "customDomains = [\"a.test\"]");
    for _ in 0..3 {
        let mut frpc = office.rig.frpc(office.frps.port, &text);
        frpc.expect("[a] start proxy success").await;
        assert_eq!(office.greeting("a.test").await.unwrap(), "a.test");
        frpc.kill().await;
        eventually("the route is gone", || async {
            let refused = office.greeting("a.test").await;
            refused.is_err_and(|e| e.to_string().contains("UnrecognisedName"))
        })
        .await;
    }
}

#[tokio::test]
async fn a_user_sees_an_end_when_the_service_is_down_or_the_client_dies() {
    let office = Office::open(&Side::Ours, "").await;
    let service = office.service("a.test").await;
    let down = free_port();
    let text = [
        https_proxy("a", service.port, "customDomains = [\"a.test\"]"),
        https_proxy("down", down, "customDomains = [\"down.test\"]"),
    ];
    let mut frpc = office.rig.frpc(office.frps.port, &text.concat());
    frpc.expect("[a] start proxy success").await;
    frpc.expect("[down] start proxy success").await;
    assert!(office.greeting("down.test").await.is_err());
    frpc.expect("connect to local service [127.0.0.1:").await;

    let stream = connect(office.port).await;
    let config = tls::client(rustls::ALL_VERSIONS);
    let mut user = tls::handshake_for(stream, "a.test", config).await.unwrap();
    let mut greeting = [0; 6];
    user.read_exact(&mut greeting).await.unwrap();
    frpc.kill().await;
    until_closed(&mut user, wait::SOON, "the client is dead").await;
}

#[tokio::test]
async fn what_is_no_hello_ends_at_once_and_silence_in_time() {
    let office = Office::open(&Side::Ours, "").await;
    let mut silent = connect(office.port).await;
    let mut slow = connect(office.port).await;
    slow.write_all(&client_hello("a.test")[..100])
        .await
        .unwrap();
    for bad in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x16\x03\x01\xff\xff".to_vec(),
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff".to_vec(),
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00".to_vec(),
        // Records of one byte: the longest message that may be would never be over.
        [
            b"\x16\x03\x01\x00\x04\x01\x00\xff\xf0".to_vec(),
            b"\x16\x03\x01\x00\x01\x00".repeat(12_000),
        ]
        .concat(),
    ] {
        let mut user = connect(office.port).await;
        let what = format!("{:?}", &bad[..bad.len().min(16)]);
        // A reset may come before all is sent.
        let _ = user.write_all(&bad).await;
        until_closed(&mut user, Duration::from_secs(10), &what).await;
    }
    let limit = HEAD_LIMIT + wait::SOON;
    until_closed(&mut silent, limit, "a silent user").await;
    until_closed(&mut slow, limit, "half a hello").await;
}

#[tokio::test]
async fn users_that_come_and_go_leave_nothing_behind() {
    let office = Office::open(&Side::Ours, "").await;
    let service = office.service("a.test").await;
    let text = https_proxy("a", service.port, "customDomains = [\"a.test\"]");
    let frpc = office.rig.frpc(office.frps.port, &text);
    frpc.expect("[a] start proxy success").await;
    office.greeting("a.test").await.unwrap();
    let (at_frps, at_frpc) = (office.frps.program.open_files(), frpc.open_files());
    let hello = client_hello("a.test");
    for _ in 0..20 {
        let mut users = Vec::new();
        for n in 0..10 {
            let mut user = connect(office.port).await;
            // Leaves before, amid and behind the hello, and with a wrong name.
            let sent = match n % 4 {
                0 => &[][..],
                1 => &hello[..20],
                2 => &hello,
                _ => &client_hello("b.test"),
            };
            user.write_all(sent).await.unwrap();
            users.push(user);
        }
    }
    eventually("all descriptors are closed", || async {
        office.frps.program.open_files() <= at_frps && frpc.open_files() <= at_frpc
    })
    .await;
    assert_eq!(office.greeting("a.test").await.unwrap(), "a.test");
}

/// One port for frpc, users of http and users of https.
async fn everybody_comes_to_one_port(server: Side, client: Side) {
    let rig = Rig::new();
    let authority = Authority::new(rig.path(), "authority");
    let identity = authority.issue(rig.path(), "a", &["a.test"]);
    let service = tls::greeting_service(&identity, "a.test").await;
    let page = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    let web = Service::source(page).await;
    let (frps, port) = one_port(&rig, &server, "transport.tls.force = true\n").await;
    frps.expect(&format!("http service listen on 127.0.0.1:{port}"))
        .await;
    let text = [
        "transport.tls.disableCustomTLSFirstByte = false\n".to_owned(),
        https_proxy("a", service.port, "customDomains = [\"a.test\"]"),
        host_proxy("http", "web", web.port, "customDomains = [\"a.test\"]"),
    ];
    let frpc = rig.frpc_of(&client, port, &text.concat());
    frpc.expect("[a] start proxy success").await;
    frpc.expect("[web] start proxy success").await;
    assert_eq!(greeting(port, "a.test").await.unwrap(), "a.test");
    let mut user = connect(port).await;
    let request = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    user.write_all(request).await.unwrap();
    let answer = String::from_utf8(read_all(&mut user).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhi"), "{answer}");
    // Without the mark frpc is a user of https whose host nobody has.
    let lost = rig.frpc_of(&client, port, "");
    lost.expect("login to the server failed").await;
    if client == Side::Ours {
        let advice = "transport.tls.disableCustomTLSFirstByte = false";
        lost.expect(advice).await;
    }
}

/// A frps whose bindPort is both vhost ports, too.
async fn one_port(rig: &Rig, server: &Side, lines: &str) -> (Program, u16) {
    let port = free_port();
    let config = format!(
        "bindAddr = \"127.0.0.1\"\nbindPort = {port}\nvhostHTTPPort = {port}\n\
         vhostHTTPSPort = {port}\nlog.level = \"debug\"\nlog.disablePrintColor = true\n{lines}"
    );
    let frps = rig.start(server, "frps", &config);
    frps.expect("frps started successfully").await;
    (frps, port)
}

#[tokio::test]
async fn everybody_comes_to_one_port_of_ours() {
    everybody_comes_to_one_port(Side::Ours, Side::Ours).await;
}

#[tokio::test]
async fn everybody_comes_to_one_port_with_go_frpc() {
    if let Some(go) = Side::reference(NEWEST) {
        everybody_comes_to_one_port(Side::Ours, go).await;
    }
}

#[tokio::test]
async fn everybody_comes_to_one_port_of_go_frps() {
    if let Some(go) = Side::reference(NEWEST) {
        everybody_comes_to_one_port(go, Side::Ours).await;
    }
}

#[tokio::test]
async fn a_taken_port_is_said_with_frps_words() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let rig = Rig::new();
    for (key, text) in [
        ("vhostHTTPSPort", "create server listener error"),
        ("tcpmuxHTTPConnectPort", "create server listener error"),
        ("vhostHTTPPort", "create vhost http listener error"),
    ] {
        let config = format!(
            "bindAddr = \"127.0.0.1\"\nbindPort = {}\n{key} = {port}\n",
            free_port()
        );
        let mut frps = rig.start(&Side::Ours, "frps", &config);
        frps.expect(&format!(
            "{text}, listen tcp 127.0.0.1:{port}: bind: address already in use"
        ))
        .await;
        assert_eq!(frps.exit_code().await, Some(1), "{key}");
    }
}

/// Registers `proxy` and returns the answer.
async fn register(control: &mut Control<TcpStream>, proxy: Value) -> Value {
    control.send(wire::NEW_PROXY, &proxy).await;
    loop {
        let (kind, body) = control.recv().await.expect("an answer to NewProxy");
        if kind == wire::NEW_PROXY_RESP {
            return body;
        }
    }
}

#[tokio::test]
async fn what_a_client_may_not_have_is_said_with_frps_words() {
    let rig = Rig::new();
    let lines = "transport.tcpMux = false\nsubDomainHost = \"sub.test\"\n";
    let https = free_port();
    let with_ports = format!("{lines}vhostHTTPSPort = {https}\n");
    for (lines, proxy, error) in [
        (
            lines,
            json!({"proxy_type": "https", "custom_domains": ["a.test"]}),
            "type [https] not supported when vhost https port is not set",
        ),
        (
            lines,
            json!({"proxy_type": "tcpmux", "multiplexer": "httpconnect", "custom_domains": ["a"]}),
            "tcpmux with multiplexer httpconnect not supported because this feature is not \
             enabled in server",
        ),
        (
            lines,
            json!({"proxy_type": "tcpmux", "multiplexer": "magic", "custom_domains": ["a"]}),
            "unknown multiplexer [magic]",
        ),
        (
            &with_ports,
            json!({"proxy_type": "https", "custom_domains": ["A.Sub.Test"]}),
            "custom domain [A.Sub.Test] should not belong to subdomain host [sub.test]",
        ),
        (
            &with_ports,
            json!({"proxy_type": "https", "subdomain": "a.b"}),
            "'.' and '*' are not supported in subdomain",
        ),
        (
            "transport.tcpMux = false\nvhostHTTPSPort = 1\nproxyBindAddr = \"127.0.0.1\"\n",
            json!({"proxy_type": "https", "subdomain": "a"}),
            "subdomain is not supported because this feature is not enabled in server",
        ),
    ] {
        let lines = lines.replace("= 1\n", &format!("= {}\n", free_port()));
        let frps = rig.frps(&lines).await;
        let (mut control, _) = Control::login(connect(frps.port).await, "", &json!({})).await;
        let answer = register(&mut control, proxy).await;
        assert_eq!(answer["error"], error);
    }
    let frps = rig.frps(&with_ports).await;
    let (mut control, _) = Control::login(connect(frps.port).await, "", &json!({})).await;
    let good = json!({
        "proxy_type": "https", "custom_domains": ["A.test", "", "*.b.test"], "subdomain": "c",
    });
    let answer = register(&mut control, good).await;
    let expected = format!("A.test:{https},*.b.test:{https},c.sub.test:{https}");
    assert_eq!(answer["remote_addr"], expected, "{answer}");
}
