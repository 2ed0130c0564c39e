//! `transport.protocol = "auto"`: what it chooses behind each kind of device, what it says, how
//! long until a user is served, and what it leaves behind at frps.
//!
//! How long it takes is printed and not asserted; the goal is three seconds wherever one of the
//! ways passes.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use frp_tests::clients::echo_on;
use frp_tests::network::middlebox::{
    DropUdp, KillIdle, OnlyTlsTo443, OnlyToProxy, Open, ResetCustomByte, ResetPlainLogins,
};
use frp_tests::network::{ConnectProxy, Flow, Middlebox, Network, Packet, Path, TCP, Verdict};
use frp_tests::rig::tcp_proxy;
use frp_tests::wait::eventually_within;
use frp_tests::*;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const NEWEST: &str = "0.70.1";

/// For everything that frpc does under a load of other tests.
const LIMIT: Duration = Duration::from_secs(20);

const TOKEN: &str = "auth.token = \"auto\"\nlog.level = \"debug\"\nlog.disablePrintColor = true\n";

/// Where frps listens: TCP and QUIC, and KCP, which needs another UDP port.
const PORT: u16 = 7000;
const KCP_PORT: u16 = 7001;
const REMOTE: u16 = 6000;
const DASHBOARD: u16 = 7500;

/// The ways of a frps that has all of them.
const ALL: &str = "[\"tcp\", \"quic\", \"wss\", \"kcp:7001\"]";

/// A frps that takes every transport, and a service beside the client.
struct Office {
    net: Network,
    rig: Rig,
    service: Service,
    frps: Program,
}

impl Office {
    async fn new(side: &Side, path: Path, device: impl Middlebox + 'static) -> Option<Self> {
        let net = Network::new(path, device)?;
        let rig = Rig::new();
        let service = net.client.echo();
        let text = format!(
            "bindPort = {PORT}\nquicBindPort = {PORT}\nkcpBindPort = {KCP_PORT}\n{TOKEN}\
             webServer.addr = \"0.0.0.0\"\nwebServer.port = {DASHBOARD}\n\
             webServer.user = \"admin\"\nwebServer.password = \"admin\"\n"
        );
        let frps = net.server.start(&rig, side, "frps", &text);
        frps.expect("frps started successfully").await;
        Some(Self {
            net,
            rig,
            service,
            frps,
        })
    }

    /// A frpc that chooses from `order`, with more lines.
    fn frpc(&self, order: &str, lines: &str) -> Program {
        let text = format!(
            "serverAddr = \"{}\"\nserverPort = {PORT}\n{TOKEN}transport.protocol = \"auto\"\n\
             transport.order = {order}\n{lines}{}",
            self.net.server.ip,
            tcp_proxy("ssh", self.service.port, REMOTE, "")
        );
        self.net.client.start(&self.rig, &Side::Ours, "frpc", &text)
    }

    fn remote(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.net.server.ip, REMOTE)
    }

    async fn user(&self) -> tokio::net::TcpStream {
        self.net.server.connect(self.remote()).await.unwrap()
    }

    /// Whether a user is served now.
    async fn serves(&self) -> bool {
        let attempt = async {
            let mut user = self.net.server.connect(self.remote()).await.ok()?;
            user.write_all(b"ping").await.ok()?;
            let mut back = [0; 4];
            user.read_exact(&mut back).await.ok()?;
            (&back == b"ping").then_some(())
        };
        let answer = tokio::time::timeout(Duration::from_secs(5), attempt).await;
        matches!(answer, Ok(Some(())))
    }

    /// Waits for a user to be served and prints how long that took; returns what frpc says of its
    /// choice.
    async fn chooses(&self, what: &str, order: &str, lines: &str) -> (Program, String) {
        let start = Instant::now();
        let frpc = self.frpc(order, lines);
        frpc.expect_from(0, "[ssh] start proxy success", LIMIT)
            .await;
        eventually_within(LIMIT, "a user is served", || self.serves()).await;
        println!(
            "{what}: served after {:.2} s",
            start.elapsed().as_secs_f64()
        );
        echo_on(&mut self.user().await, &pattern(300_000, 9)).await;
        let said = choice(&frpc, 0).await;
        println!("{what}: {said}");
        (frpc, said)
    }

    /// What the dashboard answers.
    async fn ask(&self, path: &str) -> Value {
        let dashboard = SocketAddrV4::new(self.net.server.ip, DASHBOARD);
        let mut stream = self.net.server.connect(dashboard).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: frps\r\nConnection: close\r\n\
             Authorization: Basic YWRtaW46YWRtaW4=\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within(LIMIT, path, stream.read_to_string(&mut answer))
            .await
            .unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|e| panic!("{path}: {e}: {head}"))
    }

    /// One client is known to frps, and it is there; it has logged in once.
    async fn has_one_client(&self) {
        let info = self.ask("/api/serverinfo").await;
        assert_eq!(info["clientCounts"], 1, "{info}");
        let clients = self.ask("/api/clients").await;
        assert_eq!(clients.as_array().map(Vec::len), Some(1), "{clients}");
        assert_eq!(self.frps.log().count("client login info"), 1);
        assert_eq!(self.frps.log().count("client exit success"), 0);
    }
}

/// Ends frpc by a signal, after which it says goodbye; nobody would notice at once over UDP.
async fn leave(office: &Office, mut frpc: Program) {
    let mark = office.frps.log().mark();
    frpc.signal("TERM").await;
    frpc.exit_status_within(LIMIT).await;
    office
        .frps
        .expect_from(mark, "client exit success", LIMIT)
        .await;
}

/// What frpc says of its choice, from line `mark` of its log on.
async fn choice(frpc: &Program, mark: usize) -> String {
    let says = |line: &str| line.contains("transport: ") && line.contains("using ");
    let line = frpc.log().wait(mark, LIMIT, says).await;
    let line = line.expect("frpc says what it uses");
    let (_, said) = line.split_once("transport: ").unwrap();
    said.to_owned()
}

fn path() -> Path {
    Path::default()
}

#[tokio::test]
async fn where_nothing_is_in_the_way_it_is_tcp_with_tls() {
    let Some(office) = Office::new(&Side::Ours, path(), Open).await else {
        return;
    };
    let (_frpc, said) = office.chooses("open", ALL, "").await;
    assert_eq!(said, "using tcp+tls (remembered for this network)");
    office.has_one_client().await;
}

#[tokio::test]
async fn where_plain_logins_are_reset_it_is_tcp_with_tls() {
    let Some(office) = Office::new(&Side::Ours, path(), ResetPlainLogins).await else {
        return;
    };
    let (frpc, said) = office.chooses("plain reset", "[\"tcp\"]", "").await;
    assert_eq!(said, "using tcp+tls (remembered for this network)");
    leave(&office, frpc).await;
    let listed = "[\"tcp-plain\", \"tcp\"]";
    let (_frpc, said) = office.chooses("plain is listed", listed, "").await;
    assert!(
        said.starts_with("tcp-plain reset at the login, tcp+tls ok; using tcp+tls"),
        "{said}"
    );
}

/// frp before 0.50 begins TLS with this byte, and whoever needs that sets it.
#[tokio::test]
async fn where_frps_own_first_byte_is_reset_it_is_another_way() {
    let Some(office) = Office::new(&Side::Ours, path(), ResetCustomByte).await else {
        return;
    };
    let byte = "transport.tls.disableCustomTLSFirstByte = false\n";
    let (_frpc, said) = office.chooses("0x17 is reset", ALL, byte).await;
    assert!(
        said.starts_with("tcp+tls reset at the TLS handshake"),
        "{said}"
    );
    assert!(said.contains("using quic"), "{said}");
    office.has_one_client().await;
}

#[tokio::test]
async fn where_udp_is_dropped_it_is_tcp_with_tls() {
    let Some(office) = Office::new(&Side::Ours, path(), DropUdp).await else {
        return;
    };
    let (frpc, said) = office.chooses("no UDP", ALL, "").await;
    assert_eq!(said, "using tcp+tls (remembered for this network)");
    leave(&office, frpc).await;
    let udp_first = "[\"quic\", \"kcp:7001\", \"wss\"]";
    let (_frpc, said) = office
        .chooses("no UDP, which is first", udp_first, "")
        .await;
    assert!(said.starts_with("quic no reply in "), "{said}");
    assert!(said.contains("kcp:7001 no reply in "), "{said}");
    assert!(said.contains("wss ok; using wss"), "{said}");
}

#[tokio::test]
async fn where_only_a_proxy_leads_out_all_goes_through_it() {
    let Some(office) = Office::new(&Side::Ours, path(), Open).await else {
        return;
    };
    let proxy = ConnectProxy::start(&office.net.proxy, 3128);
    office.net.set_middlebox(OnlyToProxy {
        proxy: office.net.proxy.ip,
        port: 3128,
        otherwise: Verdict::Drop,
    });
    let lines = format!("transport.proxyURL = \"http://{}\"\n", proxy.addr);
    let (frpc, said) = office.chooses("only a proxy", ALL, &lines).await;
    assert_eq!(said, "using tcp+tls (remembered for this network)");
    frpc.expect("transport: quic, kcp:7001 left out: the proxy carries TCP only")
        .await;
    assert!(proxy.carried() >= 1);
    office.has_one_client().await;
}

#[tokio::test]
async fn where_idle_connections_are_forgotten_the_session_stays() {
    let after = Duration::from_secs(3);
    let how = Verdict::Forget;
    let Some(office) = Office::new(&Side::Ours, path(), KillIdle { after, how }).await else {
        return;
    };
    // A tenth of what is usual: 30 s until a device forgets, and more than 10 s between pings.
    let pings = "transport.tcpMuxKeepaliveInterval = 1\n";
    let (_frpc, _) = office.chooses("idle is forgotten", ALL, pings).await;
    // What is tested is that nothing happens for as long.
    tokio::time::sleep(2 * after).await;
    echo_on(&mut office.user().await, b"still there").await;
    office.has_one_client().await;
}

#[tokio::test]
async fn where_idle_connections_are_reset_it_is_back_at_once() {
    let after = Duration::from_secs(2);
    let how = Verdict::Reset;
    let Some(office) = Office::new(&Side::Ours, path(), KillIdle { after, how }).await else {
        return;
    };
    let pings = "transport.tcpMuxKeepaliveInterval = 4\n";
    let (frpc, _) = office
        .chooses("idle is reset", "[\"tcp\", \"wss\"]", pings)
        .await;
    let mark = frpc.log().mark();
    frpc.expect_from(mark, "session ended", LIMIT).await;
    frpc.expect_from(mark, "[ssh] start proxy success", LIMIT)
        .await;
    let said = choice(&frpc, mark).await;
    assert_eq!(said, "using tcp+tls (as remembered for this network)");
    eventually_within(LIMIT, "a user is served", || office.serves()).await;
}

#[tokio::test]
async fn where_only_tls_to_port_443_passes_it_is_that() {
    let Some(office) = Office::new(&Side::Ours, path(), OnlyTlsTo443).await else {
        return;
    };
    let frps = SocketAddrV4::new(office.net.server.ip, PORT);
    let _port = office.net.server.relay(443, frps);
    let order = "[\"tcp\", \"quic\", \"wss:443\", \"kcp:7001\"]";
    let (frpc, said) = office.chooses("only TLS to 443", order, "").await;
    assert!(said.starts_with("tcp+tls no reply in "), "{said}");
    assert!(said.contains("quic no reply in "), "{said}");
    assert!(
        said.ends_with("using wss:443 (remembered for this network)"),
        "{said}"
    );
    office.has_one_client().await;
    leave(&office, frpc).await;
    let (_frpc, said) = office
        .chooses("tcp to 443", "[\"tcp\", \"tcp:443\"]", "")
        .await;
    assert!(said.contains("using tcp+tls:443"), "{said}");
}

#[tokio::test]
async fn where_the_way_is_long_and_loses_packets_it_is_whatever_answers_first() {
    let far = Path {
        delay: Duration::from_millis(200),
        lost_of_1000: 10,
        ..Path::default()
    };
    let Some(office) = Office::new(&Side::Ours, far, Open).await else {
        return;
    };
    let (_frpc, _) = office.chooses("200 ms and 1 % loss", ALL, "").await;
    office.has_one_client().await;
}

/// What frps has switched off is refused by its host, and costs nothing.
#[tokio::test]
async fn what_frps_does_not_have_is_passed_over() {
    let Some(office) = Office::new(&Side::Ours, path(), Open).await else {
        return;
    };
    let order = "[\"tcp:7998\", \"quic:7998\", \"kcp:7998\", \"wss\"]";
    let (_frpc, said) = office.chooses("switched off", order, "").await;
    // In which order they are refused, and whether quic is before wss is through, depends on the
    // machine.
    for refused in ["tcp+tls:7998 refused", "kcp:7998 refused"] {
        assert!(said.contains(refused), "{said}");
    }
    let quic = ["quic:7998 refused", "quic:7998 no reply in "];
    assert!(quic.iter().any(|text| said.contains(text)), "{said}");
    assert!(
        said.ends_with("wss ok; using wss (remembered for this network)"),
        "{said}"
    );
    office.has_one_client().await;
}

/// A session that is lost is taken up on the same way, whatever else there would be by then.
#[tokio::test]
async fn the_way_is_remembered() {
    struct NoTls;
    impl Middlebox for NoTls {
        fn judge(&mut self, flow: &Flow, packet: &Packet<'_>, _: Instant) -> Verdict {
            match flow.opening.first() {
                Some(0x16) if packet.protocol == TCP => Verdict::Reset,
                _ => Verdict::Pass,
            }
        }
    }
    let Some(mut office) = Office::new(&Side::Ours, path(), NoTls).await else {
        return;
    };
    // How soon it is found out that frps has gone.
    let lines = "transport.quic.keepalivePeriod = 1\ntransport.quic.maxIdleTimeout = 4\n";
    let (frpc, said) = office.chooses("no TLS over TCP", ALL, lines).await;
    assert!(
        said.starts_with("tcp+tls reset at the TLS handshake"),
        "{said}"
    );
    assert!(
        said.ends_with("using quic (remembered for this network)"),
        "{said}"
    );

    office.net.set_middlebox(Open);
    office.frps.kill().await;
    let mark = frpc.log().mark();
    office.frps.start_again();
    office.frps.expect("frps started successfully").await;
    frpc.expect_from(mark, "[ssh] start proxy success", 3 * LIMIT)
        .await;
    let said = choice(&frpc, mark).await;
    assert_eq!(said, "using quic (as remembered for this network)");
    eventually_within(LIMIT, "a user is served", || office.serves()).await;
}

/// Somebody in between takes TLS and the login, and that is all: no ping would find that out.
#[tokio::test]
async fn a_way_that_swallows_logins_is_left_for_one_that_answers_them() {
    let Some(office) = Office::new(&Side::Ours, path(), Open).await else {
        return;
    };
    let identity = tls::Authority::new(office.rig.path(), "somebody").issue(
        office.rig.path(),
        "else",
        &["else.example"],
    );
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls::server(&identity)));
    let _swallows = office.net.server.service(7100, move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        }
    });
    let order = "[\"tcp:7100\", \"tcp\"]";
    let lines = "clientID = \"laptop\"\n";
    let (_frpc, said) = office.chooses("the login is swallowed", order, lines).await;
    assert!(
        said.starts_with("tcp+tls:7100 no reply to the login in "),
        "{said}"
    );
    office.has_one_client().await;
}

/// A login that was given up must not arrive later: frps would take it for the successor of the session
/// that there is by then, which has the same run id.
#[tokio::test]
async fn a_login_that_was_given_up_does_not_arrive_later() {
    /// On the first connection, holds up what the client says once the server has spoken, its login
    /// among it.
    struct NoLogin {
        first: Option<SocketAddrV4>,
        server_spoke: bool,
        reset: Arc<AtomicBool>,
    }
    impl Middlebox for NoLogin {
        fn judge(&mut self, flow: &Flow, packet: &Packet<'_>, _: Instant) -> Verdict {
            let first = *self.first.get_or_insert(flow.initiator);
            if flow.initiator != first {
                return Verdict::Pass;
            }
            if packet.from != first {
                self.server_spoke |= !packet.payload.is_empty();
                return Verdict::Pass;
            }
            if packet.tcp.is_some_and(|tcp| tcp.resets()) {
                self.reset.store(true, Ordering::Relaxed);
            }
            match self.server_spoke && !packet.payload.is_empty() {
                true => Verdict::Drop,
                false => Verdict::Pass,
            }
        }
    }
    let reset = Arc::new(AtomicBool::new(false));
    let device = NoLogin {
        first: None,
        server_spoke: false,
        reset: reset.clone(),
    };
    let Some(office) = Office::new(&Side::Ours, path(), device).await else {
        return;
    };
    let order = "[\"tcp\", \"wss\"]";
    let lines = "clientID = \"laptop\"\n";
    let (_frpc, said) = office.chooses("the login is held up", order, lines).await;
    assert!(
        said.starts_with("tcp+tls no reply to the login in "),
        "{said}"
    );
    // Nobody is left who would send it again.
    eventually("the connection is reset", || {
        let reset = reset.load(Ordering::Relaxed);
        async move { reset }
    })
    .await;
    office.net.set_middlebox(Open);
    office.has_one_client().await;
}

/// The login arrives, its answer does not. The next way's login takes the place of the session
/// that frps has by then: same run id, same clientID, same ports.
#[tokio::test]
async fn an_answer_that_gets_lost_leaves_nothing_behind() {
    /// On the first connection, swallows what the server says once the client has answered it:
    /// all that follows the TLS handshake.
    #[derive(Default)]
    struct NoAnswers {
        first: Option<SocketAddrV4>,
        server_spoke: bool,
        client_answered: bool,
    }
    impl Middlebox for NoAnswers {
        fn judge(&mut self, flow: &Flow, packet: &Packet<'_>, _: Instant) -> Verdict {
            let first = *self.first.get_or_insert(flow.initiator);
            if flow.initiator != first || packet.payload.is_empty() {
                return Verdict::Pass;
            }
            if packet.from == first {
                self.client_answered |= self.server_spoke;
                return Verdict::Pass;
            }
            self.server_spoke = true;
            match self.client_answered {
                true => Verdict::Drop,
                false => Verdict::Pass,
            }
        }
    }
    let Some(office) = Office::new(&Side::Ours, path(), NoAnswers::default()).await else {
        return;
    };
    let lines = "clientID = \"laptop\"\n";
    let (_frpc, said) = office.chooses("the answer is lost", ALL, lines).await;
    assert!(
        said.starts_with("tcp+tls no reply to the login in "),
        "{said}"
    );
    let info = office.ask("/api/serverinfo").await;
    assert_eq!(info["clientCounts"], 1, "{info}");
    let clients = office.ask("/api/clients").await;
    assert_eq!(clients.as_array().map(Vec::len), Some(1), "{clients}");
    assert_eq!(clients[0]["online"], true, "{clients}");
}

/// Nothing but an entry of its own lets a login go in the clear.
#[tokio::test]
async fn it_never_goes_without_tls_unless_that_is_listed() {
    struct NoTls;
    impl Middlebox for NoTls {
        fn judge(&mut self, flow: &Flow, packet: &Packet<'_>, _: Instant) -> Verdict {
            match (packet.protocol, flow.opening.first()) {
                (TCP, Some(0x16)) => Verdict::Reset,
                (TCP, _) => Verdict::Pass,
                _ => Verdict::Drop,
            }
        }
    }
    let Some(office) = Office::new(&Side::Ours, path(), NoTls).await else {
        return;
    };
    let mut frpc = office.frpc("[\"tcp\", \"wss\"]", "");
    let said = frpc
        .expect_from(0, "login to the server failed", 2 * LIMIT)
        .await;
    assert!(
        said.contains("tcp+tls reset at the TLS handshake, wss reset at the TLS handshake"),
        "{said}"
    );
    assert_eq!(frpc.exit_code().await, Some(1));
    assert_eq!(office.frps.log().count("client login info"), 0);
    let order = "[\"tcp\", \"wss\", \"tcp-plain\"]";
    let (_frpc, said) = office.chooses("no TLS at all", order, "").await;
    assert!(
        said.ends_with("using tcp-plain (remembered for this network)"),
        "{said}"
    );
}

#[tokio::test]
async fn what_the_server_refuses_is_said_at_once() {
    let Some(office) = Office::new(&Side::Ours, path(), Open).await else {
        return;
    };
    let lines = "clientID = \"same\"\n";
    let (_first, _) = office.chooses("the first", ALL, lines).await;
    let mut second = office.frpc(ALL, lines);
    let said = second
        .expect_from(0, "login to the server failed", LIMIT)
        .await;
    assert!(said.contains("is already online"), "{said}");
    assert!(!said.contains("no way"), "{said}");
    assert_eq!(second.exit_code().await, Some(1));
}

/// The Go server, with those of its ways that need nothing in front.
#[tokio::test]
async fn with_a_server_of_frp() {
    let Some(theirs) = Side::reference(NEWEST) else {
        return;
    };
    let order = "[\"tcp\", \"quic\", \"kcp:7001\", \"websocket\"]";
    let byte = "transport.tls.disableCustomTLSFirstByte = false\n";
    let Some(office) = Office::new(&theirs, path(), Open).await else {
        return;
    };
    let (frpc, said) = office.chooses("frp, open", order, "").await;
    assert_eq!(said, "using tcp+tls (remembered for this network)");
    office.has_one_client().await;
    leave(&office, frpc).await;

    office.net.set_middlebox(ResetCustomByte);
    let (frpc, said) = office.chooses("frp, 0x17 is reset", order, byte).await;
    assert!(
        said.starts_with("tcp+tls reset at the TLS handshake, quic ok"),
        "{said}"
    );
    leave(&office, frpc).await;

    office.net.set_middlebox(DropUdp);
    let udp_first = "[\"quic\", \"kcp:7001\", \"websocket\"]";
    let (_frpc, said) = office.chooses("frp, no UDP", udp_first, "").await;
    assert!(
        said.ends_with("using websocket (remembered for this network)"),
        "{said}"
    );
    let clients = office.ask("/api/serverinfo").await;
    println!("{clients}");
}
