//! How frps ends when it is told to: its clients know at once, whatever they came over, and users may
//! finish where that is wanted.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use frp_tests::clients::{echo_on, until_closed};
use frp_tests::rig::{host_proxy, stcp_proxy, stcp_visitor, tcp_proxy, udp_proxy};
use frp_tests::wait::eventually_within;
use frp_tests::wire::{self, Control};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::carries::free_udp_port;
use super::embedded::Embedded;

/// What an end takes that waits for nobody, on a machine that runs many tests.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Time enough for users who do finish.
const DRAIN: &str = "60";

/// Lines of frps, and of frpc; `{udp}` is a UDP port.
const TRANSPORTS: [(&str, &str, &str); 9] = [
    ("tcp", "", ""),
    ("no TLS", "", "transport.tls.enable = false\n"),
    ("no mux", NO_MUX, NO_MUX),
    (
        "no mux, no TLS",
        NO_MUX,
        "transport.tcpMux = false\ntransport.tls.enable = false\n",
    ),
    ("websocket", "", "transport.protocol = \"websocket\"\n"),
    ("wss", "", "transport.protocol = \"wss\"\n"),
    ("kcp", KCP, "transport.protocol = \"kcp\"\n"),
    (
        "kcp, no mux",
        "kcpBindPort = {udp}\ntransport.tcpMux = false\n",
        "transport.protocol = \"kcp\"\ntransport.tcpMux = false\n",
    ),
    (
        "quic",
        "quicBindPort = {udp}\n",
        "transport.protocol = \"quic\"\n",
    ),
];

const NO_MUX: &str = "transport.tcpMux = false\n";
const KCP: &str = "kcpBindPort = {udp}\n";

/// A frps that was started with these arguments, and where its clients find it.
struct Server {
    program: Program,
    port: u16,
    file: String,
}

impl Server {
    /// `by_udp`: the clients come to the UDP port that `lines` have.
    async fn start(rig: &Rig, side: &Side, lines: &str, args: &[&str]) -> Self {
        let (bind, udp) = (free_port(), free_udp_port());
        let own = lines.replace("{udp}", &udp.to_string());
        let text = format!(
            "bindAddr = \"127.0.0.1\"\nbindPort = {bind}\nlog.level = \"debug\"\n\
             log.disablePrintColor = true\n{own}"
        );
        let file = rig.config("frps", &text);
        let file = file.display().to_string();
        let all = ["-c", &file].into_iter().chain(args.iter().copied());
        let program = rig.run(side, "frps", all);
        program.expect("frps started successfully").await;
        let port = if own == lines { bind } else { udp };
        Self {
            program,
            port,
            file,
        }
    }

    async fn is_killed(&mut self, signal: i32) {
        let status = self.program.exit_status_within(AT_ONCE).await;
        assert_eq!(status.signal(), Some(signal));
    }

    async fn has_left(&mut self) {
        let status = self.program.exit_status_within(AT_ONCE).await;
        assert_eq!(status.code(), Some(0));
    }
}

/// How either frpc says that it has lost its server and tries to come back.
fn has_noticed(line: &str) -> bool {
    line.contains("session ended") || line.contains("try to connect to server")
}

async fn clients_are_told(client: &Side) {
    for (name, server_lines, client_lines) in TRANSPORTS {
        println!("{name}");
        let rig = Rig::new();
        let service = Service::echo().await;
        let mut frps = Server::start(&rig, &Side::Ours, server_lines, &[]).await;
        let port = free_port();
        let proxy = tcp_proxy("web", service.port, port, "");
        let frpc = rig.frpc_of(client, frps.port, &format!("{client_lines}{proxy}"));
        frpc.expect("[web] start proxy success").await;
        let mut user = connect(port).await;
        echo_on(&mut user, &pattern(10_000, 1)).await;
        let mark = frpc.log().mark();
        frps.program.signal("TERM").await;
        frps.is_killed(15).await;
        let noticed = frpc.log().wait(mark, AT_ONCE, has_noticed).await;
        assert!(
            noticed.is_some(),
            "{name}: frpc knows that its server has left"
        );
        until_closed(&mut user, AT_ONCE, name).await;

        let mark = frpc.log().mark();
        frps.program.start_again();
        frpc.expect_from(mark, "[web] start proxy success", wait::SOON)
            .await;
        echo(port, &pattern(1000, 2)).await;
    }
}

#[tokio::test]
async fn our_clients_know_at_once_that_frps_ends() {
    clients_are_told(&Side::Ours).await;
}

#[tokio::test]
async fn go_clients_know_at_once_that_frps_ends() {
    let Some(go) = Side::reference("0.70.1") else {
        return;
    };
    clients_are_told(&go).await;
}

/// A user who has read the first half of an answer, and a service that sends all of it.
struct Download {
    user: TcpStream,
    content: Vec<u8>,
    read: usize,
}

/// More than lies on the way anywhere.
const LENGTH: usize = 40_000_000;

impl Download {
    async fn begin(mut user: TcpStream, request: &str, content: Vec<u8>) -> Self {
        user.write_all(request.as_bytes()).await.unwrap();
        let mut begun = Vec::new();
        if !request.is_empty() {
            backend::read_head(&mut user, &mut begun).await.unwrap();
        }
        assert!(content.starts_with(&begun));
        let mut download = Self {
            user,
            content,
            read: begun.len(),
        };
        download.read_to(LENGTH / 8).await;
        download
    }

    async fn read_to(&mut self, end: usize) {
        let mut buffer = vec![0; 1 << 16];
        while self.read < end {
            let room = buffer.len().min(end - self.read);
            let read = within(
                wait::SOON,
                "more of it",
                self.user.read(&mut buffer[..room]),
            );
            let n = read.await.unwrap();
            assert!(n > 0, "it ends after {} bytes", self.read);
            assert!(buffer[..n] == self.content[self.read..self.read + n]);
            self.read += n;
        }
    }

    async fn finish(mut self) {
        self.read_to(self.content.len()).await;
    }
}

async fn is_refused(port: u16) {
    eventually(&format!("port {port} is closed"), || async {
        TcpStream::connect(("127.0.0.1", port)).await.is_err()
    })
    .await;
}

/// One download that goes on, by every transport.
async fn users_finish(client: &Side) {
    for (name, server_lines, client_lines) in TRANSPORTS {
        if name == "kcp, no mux" && *client != Side::Ours {
            // There no end of an answer arrives, whatever the server does.
            continue;
        }
        println!("{name}");
        let rig = Rig::new();
        let content = pattern(LENGTH, 3);
        let service = Service::source(content.clone()).await;
        let args = ["--drain", DRAIN];
        let mut frps = Server::start(&rig, &Side::Ours, server_lines, &args).await;
        let port = free_port();
        let proxy = tcp_proxy("web", service.port, port, "");
        let frpc = rig.frpc_of(client, frps.port, &format!("{client_lines}{proxy}"));
        frpc.expect("[web] start proxy success").await;
        let mut download = Download::begin(connect(port).await, "", content).await;
        let mark = frpc.log().mark();
        frps.program.signal("TERM").await;
        frps.program.expect("1 user connections may finish").await;
        is_refused(port).await;
        download.read_to(LENGTH / 2).await;
        assert!(
            !frpc.log().lines()[mark..]
                .iter()
                .any(|line| has_noticed(line))
        );
        download.finish().await;
        frps.has_left().await;
        let noticed = frpc.log().wait(mark, AT_ONCE, has_noticed).await;
        assert!(
            noticed.is_some(),
            "{name}: frpc knows that its server has left"
        );
    }
}

#[tokio::test]
async fn users_finish_by_our_clients() {
    users_finish(&Side::Ours).await;
}

#[tokio::test]
async fn users_finish_by_go_clients() {
    let Some(go) = Side::reference("0.70.1") else {
        return;
    };
    users_finish(&go).await;
}

/// A service that answers a request by its content.
async fn http_source(content: Vec<u8>) -> Service {
    Service::new(move |mut stream| {
        let content = content.clone();
        async move {
            let mut request = [0; 4096];
            while matches!(stream.read(&mut request).await, Ok(1..)) {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                    content.len()
                );
                if stream.write_all(head.as_bytes()).await.is_err()
                    || stream.write_all(&content).await.is_err()
                {
                    return;
                }
            }
        }
    })
    .await
}

/// Datagrams have no end, so their users go on for as long as others may.
#[tokio::test]
async fn users_of_datagrams_go_on_while_frps_drains() {
    let rig = Rig::new();
    let echo = UdpService::echo().await;
    let (busy, quiet) = (free_udp_port(), free_udp_port());
    let mut frps = Server::start(&rig, &Side::Ours, "", &["--drain", DRAIN]).await;
    let proxies = [
        udp_proxy("busy", echo.port, busy, ""),
        udp_proxy("quiet", echo.port, quiet, ""),
    ];
    let frpc = rig.frpc(frps.port, &proxies.concat());
    for name in ["busy", "quiet"] {
        frpc.expect(&format!("[{name}] start proxy success")).await;
    }
    let user = UdpUser::of(busy).await;
    user.echo(b"before").await;
    frps.program.signal("TERM").await;
    frps.program.expect("user connections may finish").await;
    let is_free = |port| std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok();
    eventually("the port without users is free", || async {
        is_free(quiet)
    })
    .await;
    user.echo(b"after").await;
    assert!(!is_free(busy));
    frps.program.signal("TERM").await;
    frps.is_killed(15).await;
    assert!(is_free(busy));
}

/// Every kind of user, each in the middle of an answer, and those who come too late.
#[tokio::test]
async fn users_of_every_kind_finish_and_late_ones_are_refused() {
    let rig = Rig::new();
    let content = pattern(LENGTH, 4);
    let raw = Service::source(content.clone()).await;
    let web = http_source(content.clone()).await;
    let echo = Service::echo().await;
    let (http, mux, udp, tcp) = (free_port(), free_port(), free_udp_port(), free_port());
    let group = free_port();
    let lines = format!("vhostHTTPPort = {http}\ntcpmuxHTTPConnectPort = {mux}\n");
    let mut frps = Server::start(&rig, &Side::Ours, &lines, &["--drain", DRAIN]).await;
    let in_group = "loadBalancer.group = \"g\"\n";
    let domain = "customDomains = [\"a.test\"]\n";
    let proxies = [
        tcp_proxy("tcp", echo.port, tcp, ""),
        tcp_proxy("group", raw.port, group, in_group),
        udp_proxy("udp", echo.port, udp, ""),
        host_proxy("http", "http", web.port, domain),
        host_proxy(
            "tcpmux",
            "tcpmux",
            raw.port,
            &format!("multiplexer = \"httpconnect\"\n{domain}"),
        ),
        stcp_proxy("stcp", raw.port, ""),
    ];
    let frpc = rig.frpc(frps.port, &proxies.concat());
    for name in ["tcp", "group", "udp", "http", "tcpmux", "stcp"] {
        frpc.expect(&format!("[{name}] start proxy success")).await;
    }
    let visit = free_port();
    let visitor = rig.frpc(frps.port, &stcp_visitor("v", "stcp", visit, ""));
    visitor.expect("login to server success").await;
    eventually("the visitor listens", || async {
        TcpStream::connect(("127.0.0.1", visit)).await.is_ok()
    })
    .await;

    let get = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let tunnel = "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n";
    let begin =
        async |port, request| Download::begin(connect(port).await, request, content.clone()).await;
    let downloads = [
        begin(group, "").await,
        begin(http, get).await,
        begin(mux, tunnel).await,
        begin(visit, "").await,
    ];
    // One who keeps a connection between two requests, one who has said nothing at all.
    let mut idle = connect(http).await;
    let head = "HEAD / HTTP/1.1\r\nHost: nobody.test\r\n\r\n";
    idle.write_all(head.as_bytes()).await.unwrap();
    let answered = backend::read_head(&mut idle, &mut Vec::new()).await;
    assert!(answered.is_some());
    let mut silent = connect(http).await;

    frps.program.signal("TERM").await;
    frps.program.expect("user connections may finish").await;
    for port in [tcp, group, http, mux] {
        is_refused(port).await;
    }
    eventually("the UDP port is free", || async {
        std::net::UdpSocket::bind(("127.0.0.1", udp)).is_ok()
    })
    .await;
    until_closed(&mut idle, AT_ONCE, "an idle user of HTTP").await;
    until_closed(&mut silent, AT_ONCE, "a silent user of HTTP").await;
    let mut late = connect(visit).await;
    until_closed(&mut late, wait::SOON, "a late user of a visitor").await;
    visitor
        .expect("frps is leaving and takes no new users")
        .await;
    let successor = rig.run(&Side::Ours, "frps", ["-c", &frps.file]);
    successor.expect("frps started successfully").await;
    for download in downloads {
        download.finish().await;
    }
    frps.has_left().await;
    for name in ["tcp", "group", "udp", "http", "tcpmux", "stcp"] {
        let there = format!("new proxy [{name}] type");
        successor.expect(&there).await;
    }
}

#[tokio::test]
async fn users_have_only_the_time_that_they_are_given() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let mut frps = Server::start(&rig, &Side::Ours, "", &["--drain=2"]).await;
    let port = free_port();
    let frpc = rig.frpc(frps.port, &tcp_proxy("web", service.port, port, ""));
    frpc.expect("[web] start proxy success").await;
    let mut user = connect(port).await;
    echo_on(&mut user, b"here").await;
    let began = Instant::now();
    frps.program.signal("INT").await;
    frps.program.expect("1 user connections may finish").await;
    echo_on(&mut user, b"still here").await;
    until_closed(&mut user, Duration::from_secs(2) + AT_ONCE, "time is up").await;
    assert!(began.elapsed() >= Duration::from_secs(2));
    frps.has_left().await;
}

#[tokio::test]
async fn the_second_signal_waits_for_nobody() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let mut frps = Server::start(&rig, &Side::Ours, "", &["--drain", DRAIN]).await;
    let port = free_port();
    let frpc = rig.frpc(frps.port, &tcp_proxy("web", service.port, port, ""));
    frpc.expect("[web] start proxy success").await;
    let mut user = connect(port).await;
    echo_on(&mut user, b"here").await;
    frps.program.signal("TERM").await;
    frps.program.expect("1 user connections may finish").await;
    echo_on(&mut user, b"still here").await;
    let mark = frpc.log().mark();
    frps.program.signal("TERM").await;
    frps.is_killed(15).await;
    let noticed = frpc.log().wait(mark, AT_ONCE, has_noticed).await;
    assert!(noticed.is_some(), "clients are told all the same");
}

/// Without users there is nothing to wait for; and the drain has words for those who misspell it.
#[tokio::test]
async fn nobody_there_is_nobody_to_wait_for() {
    let rig = Rig::new();
    let mut frps = Server::start(&rig, &Side::Ours, "", &["--drain", DRAIN]).await;
    let frpc = rig.frpc(frps.port, "");
    frpc.expect("login to server success").await;
    frps.program.signal("TERM").await;
    frps.has_left().await;
    let mut wrong = rig.run(&Side::Ours, "frps", ["--drain", "-1"]);
    assert_eq!(wrong.exit_code().await, Some(1));
    wrong.expect("--drain -1").await;
}

/// Who says nothing any more, and who takes nothing, does not hold up the end.
#[tokio::test]
async fn dead_clients_hold_up_no_end() {
    let rig = Rig::new();
    let mut frps = Server::start(&rig, &Side::Ours, "", &[]).await;
    let mut login = yamux::open(1);
    let text = wire::v1(wire::LOGIN, &wire::login("", &json!({})));
    login.extend(yamux::data(1, &text));
    let mut dead = connect(frps.port).await;
    dead.write_all(&login).await.unwrap();
    frps.program.expect("client login info").await;
    let mut stranger = connect(frps.port).await;
    stranger.write_all(b"o").await.unwrap();
    frps.program.signal("TERM").await;
    frps.is_killed(15).await;
    until_closed(&mut stranger, AT_ONCE, "a stranger").await;
}

/// A client that speaks the mux is told in its words: no new streams, the control stream ends, and then
/// the connection.
#[tokio::test]
async fn the_mux_says_that_the_server_goes_away() {
    let rig = Rig::new();
    let mut frps = Server::start(&rig, &Side::Ours, "", &[]).await;
    let mut client = connect(frps.port).await;
    let mut login = yamux::open(1);
    let text = wire::v1(wire::LOGIN, &wire::login("", &json!({})));
    login.extend(yamux::data(1, &text));
    client.write_all(&login).await.unwrap();
    frps.program.expect("client login info").await;
    frps.program.signal("TERM").await;
    let mut seen = Vec::new();
    within(AT_ONCE, "the end of the connection", async {
        while let Some((header, _)) = yamux::read(&mut client).await {
            seen.push(header);
        }
    })
    .await;
    let at = |wanted: &dyn Fn(&yamux::Header) -> bool| seen.iter().position(wanted);
    let away = at(&|header| header.kind == yamux::GO_AWAY && header.length == 0);
    let fin = at(&|header| header.stream == 1 && header.flags & yamux::FIN != 0);
    assert!(away.is_some() && fin.is_some() && away < fin, "{seen:?}");
    frps.is_killed(15).await;
}

/// Where a script started frps with SIGINT ignored, as a shell does behind `&`, that stays so.
#[tokio::test]
async fn an_ignored_interrupt_stays_ignored() {
    let rig = Rig::new();
    let port = free_port();
    let script = format!(
        "trap '' INT; exec {} --bind-addr 127.0.0.1 -p {port}",
        Side::Ours.program("frps").display()
    );
    let mut frps = Program::spawn(std::path::Path::new("/bin/sh"), ["-c", &script], rig.path());
    frps.expect("frps started successfully").await;
    frps.signal("INT").await;
    let frpc = rig.frpc(port, "");
    frpc.expect("login to server success").await;
    assert!(frps.is_running());
    frps.signal("TERM").await;
    let status = frps.exit_status_within(AT_ONCE).await;
    assert_eq!(status.signal(), Some(15));
}

/// What lines were left out is counted before the end.
#[tokio::test]
async fn the_log_ends_with_the_count_of_what_was_left_out() {
    let rig = Rig::new();
    let mut frps = Server::start(&rig, &Side::Ours, NO_MUX, &[]).await;
    for _ in 0..150 {
        let login = json!({"privilege_key": "wrong", "timestamp": 1});
        let (_, answer) = Control::login(connect(frps.port).await, "", &login).await;
        assert!(answer["error"].as_str().is_some_and(|e| !e.is_empty()));
    }
    frps.program.signal("TERM").await;
    frps.is_killed(15).await;
    assert_eq!(frps.program.log().count("more like this"), 3);
}

/// The same as a library: what a client may do while the server drains.
#[tokio::test]
async fn a_draining_server_answers_its_clients_and_takes_nothing_new() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let server = Embedded::start(NO_MUX);
    let port = free_port();
    let proxy = tcp_proxy("web", service.port, port, "");
    let frpc = rig.frpc(server.port, &format!("{NO_MUX}{proxy}"));
    frpc.expect("[web] start proxy success").await;
    let mut user = connect(port).await;
    echo_on(&mut user, b"here").await;
    let (mut client, _) = Control::login(connect(server.port).await, "", &json!({})).await;
    let mut arriving = connect(server.port).await;

    server.stop.drain();
    is_refused(server.port).await;
    let wish = json!({"proxy_name": "late", "proxy_type": "tcp", "remote_port": 0});
    let answer = client.register(&wish).await;
    assert_eq!(answer["error"], "frps is leaving and takes no new proxies");
    client.send(wire::PING, &json!({})).await;
    loop {
        let (kind, body) = client.recv().await.expect("a Pong");
        if kind == wire::PONG {
            assert_eq!(body["error"].as_str().unwrap_or(""), "");
            break;
        }
    }
    let login = wire::v1(wire::LOGIN, &wire::login("", &json!({})));
    arriving.write_all(&login).await.unwrap();
    until_closed(&mut arriving, AT_ONCE, "a late login").await;
    echo_on(&mut user, b"still here").await;
    assert!(!server.running.is_finished());
    drop(user);
    within(AT_ONCE, "the server has ended", server.running)
        .await
        .unwrap();
    assert!(client.recv().await.is_none());
    let _: Value = answer;
}

#[tokio::test]
async fn an_embedder_may_end_its_server_at_once() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let udp = free_udp_port();
    for (name, lines, way) in [
        ("tcp", String::new(), ""),
        (
            "kcp",
            format!("kcpBindPort = {udp}\n"),
            "transport.protocol = \"kcp\"\n",
        ),
        (
            "quic",
            format!("quicBindPort = {udp}\n"),
            "transport.protocol = \"quic\"\n",
        ),
    ] {
        let server = Embedded::start(&lines);
        let port = free_port();
        let proxy = tcp_proxy("web", service.port, port, "");
        let to = if lines.is_empty() { server.port } else { udp };
        let frpc = rig.frpc(to, &format!("{way}{proxy}"));
        frpc.expect("[web] start proxy success").await;
        let mut user = connect(port).await;
        echo_on(&mut user, b"here").await;
        let mark = frpc.log().mark();
        server.stop.now();
        within(AT_ONCE, "the server has ended", server.running)
            .await
            .unwrap();
        until_closed(&mut user, AT_ONCE, name).await;
        let noticed = frpc.log().wait(mark, AT_ONCE, has_noticed).await;
        assert!(noticed.is_some(), "{name}");
        eventually_within(AT_ONCE, "its ports are free", || async {
            std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
                && std::net::UdpSocket::bind(("127.0.0.1", udp)).is_ok()
        })
        .await;
    }
}
