//! xtcp: our frpc at either end of a direct path, over the loopback device, with our own frps and peers and
//! with Go's. What NATs do to it is tested in `nats.rs`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use frp_tests::clients::{echo_on, echoes, read_all, until_echoes};
use frp_tests::network::StunServer;
use frp_tests::rig::{stcp_proxy, stcp_visitor};
use frp_tests::wire::{self, Control};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::Instant;

const NEWEST: &str = "0.70.1";

const LEGS: [&str; 4] = [
    "",
    "transport.useEncryption = true\n",
    "transport.useCompression = true\n",
    "transport.useEncryption = true\ntransport.useCompression = true\n",
];

/// From the end of a path until users know: the issue's own limit.
const NOTICED: Duration = Duration::from_secs(10);

/// An attempt at a path takes so long: two seconds, and ten to the next where it failed.
const DUG: Duration = Duration::from_secs(40);

/// What our visitor says of a path that stands.
const PATH: &str = "users go by the direct path to";

fn xtcp_proxy(name: &str, local_port: u16, lines: &str) -> String {
    stcp_proxy(name, local_port, lines).replace("\"stcp\"", "\"xtcp\"")
}

fn xtcp_visitor(name: &str, proxy: &str, bind_port: u16, lines: &str) -> String {
    stcp_visitor(name, proxy, bind_port, lines).replace("\"stcp\"", "\"xtcp\"")
}

/// A frps, a STUN server, an owner of proxies and their visitor.
struct Street {
    rig: Rig,
    stun: StunServer,
    frps: Frps,
    owner: Program,
    visitor: Program,
}

/// Who plays which part.
struct Cast {
    server: Side,
    owner: Side,
    visitor: Side,
}

impl Cast {
    /// None where a part is Go's and that is not here.
    fn of(parts: [&str; 3]) -> Option<Self> {
        let side = |part| match part {
            "theirs" => Side::reference(NEWEST),
            _ => Some(Side::Ours),
        };
        Some(Self {
            server: side(parts[0])?,
            owner: side(parts[1])?,
            visitor: side(parts[2])?,
        })
    }

    fn ours() -> Self {
        Self {
            server: Side::Ours,
            owner: Side::Ours,
            visitor: Side::Ours,
        }
    }
}

impl Street {
    /// With these tables of proxies and visitors.
    async fn new(cast: &Cast, proxies: &str, visitors: &str) -> Self {
        let rig = Rig::new();
        let stun = StunServer::local().await;
        let frps = rig.frps_of(&cast.server, "").await;
        let common = format!("natHoleStunServer = \"{}\"\n", stun.addr);
        let owner = rig.frpc_of(&cast.owner, frps.port, &format!("{common}{proxies}"));
        for name in names(proxies) {
            owner.expect(&format!("[{name}] start proxy success")).await;
        }
        let visitor = rig.frpc_of(&cast.visitor, frps.port, &format!("{common}{visitors}"));
        visitor.expect("visitor added: [").await;
        Self {
            rig,
            stun,
            frps,
            owner,
            visitor,
        }
    }

    /// Waits until the visitor has a path.
    async fn dug(&self) {
        self.visitor.expect_from(0, PATH, DUG).await;
    }
}

/// Of the tables in `text`.
fn names(text: &str) -> Vec<String> {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("name = \""));
    lines
        .map(|line| line.trim_end_matches('"').to_owned())
        .collect()
}

/// Every pair of layers echoes over either protocol, and a stream has its end.
async fn carries(parts: [&str; 3]) {
    let Some(cast) = Cast::of(parts) else {
        return;
    };
    let service = Service::echo().await;
    let source = Service::source(pattern(400_000, 8)).await;
    let (mut proxies, mut visitors) = (String::new(), String::new());
    let mut ports = Vec::new();
    for (i, leg) in LEGS.iter().enumerate() {
        proxies += &xtcp_proxy(&format!("p{i}"), service.port, leg);
        for protocol in ["quic", "kcp"] {
            let port = free_port();
            let lines = format!("{leg}protocol = \"{protocol}\"\n");
            let name = format!("{protocol}{i}");
            visitors += &xtcp_visitor(&name, &format!("p{i}"), port, &lines);
            ports.push(port);
        }
    }
    let whole = free_port();
    proxies += &xtcp_proxy("source", source.port, "");
    visitors += &xtcp_visitor("source", "source", whole, "");
    let _street = Street::new(&cast, &proxies, &visitors).await;
    let random = pattern(100_000, 1);
    let text = b"a line that compresses well\n".repeat(3_000);
    let mut users = tokio::task::JoinSet::new();
    for port in ports {
        let (random, text) = (random.clone(), text.clone());
        users.spawn(async move {
            until_echoes(port, 2 * DUG).await;
            tokio::join!(echo(port, &random), echo(port, &text), echo(port, b"x"));
        });
    }
    while let Some(user) = users.join_next().await {
        user.unwrap();
    }
    let sent = pattern(400_000, 8);
    let mut user = connect(whole).await;
    // A service that speaks first is not heard through Go's QUIC before its user says something.
    user.write_all(b"?").await.unwrap();
    let got = read_all(&mut user).await;
    let all = cast.owner == Side::Ours && cast.visitor == Side::Ours;
    // Go's ends now and then close before all has arrived.
    assert!(if all {
        got == sent
    } else {
        sent.starts_with(&got)
    });
}

/// Server, owner, visitor.
macro_rules! casts {
    ($($name:ident: $parts:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            carries($parts).await;
        }
    )*};
}

casts! {
    all_ours: ["ours", "ours", "ours"];
    our_owner: ["theirs", "ours", "theirs"];
    our_visitor: ["theirs", "theirs", "ours"];
    their_server: ["theirs", "ours", "ours"];
    their_owner: ["ours", "theirs", "ours"];
    their_visitor: ["ours", "ours", "theirs"];
}

#[tokio::test]
async fn much_goes_both_ways_at_once_and_ends_where_it_should() {
    let service = Service::echo().await;
    let answering = Service::answer_after_end().await;
    let greeting = Service::greeting("220 at your service\n").await;
    let ports: [u16; 5] = std::array::from_fn(|_| free_port());
    let kcp = "protocol = \"kcp\"\n";
    let proxies = xtcp_proxy("echo", service.port, "")
        + &xtcp_proxy("answer", answering.port, "")
        + &xtcp_proxy("greet", greeting.port, "");
    let visitors = xtcp_visitor("echo-quic", "echo", ports[0], "")
        + &xtcp_visitor("echo-kcp", "echo", ports[1], kcp)
        + &xtcp_visitor("answer-quic", "answer", ports[2], "")
        + &xtcp_visitor("answer-kcp", "answer", ports[3], kcp)
        + &xtcp_visitor("greet", "greet", ports[4], "");
    let _street = Street::new(&Cast::ours(), &proxies, &visitors).await;
    let echoed = async |port| {
        echo(port, b"begin").await;
        echo(port, &pattern(8_000_000, 3)).await;
    };
    let answered = async |port| {
        let mut user = connect(port).await;
        let question = pattern(300_000, 5);
        user.write_all(&question).await.unwrap();
        user.shutdown().await.unwrap();
        let mut answer = read_all(&mut user).await;
        answer.reverse();
        assert!(answer == question, "{} bytes of the answer", answer.len());
    };
    let greeted = async {
        let mut user = connect(ports[4]).await;
        let mut greeting = [0; 20];
        within(
            DUG,
            "a service that speaks first is heard",
            user.read_exact(&mut greeting),
        )
        .await
        .unwrap();
        assert_eq!(&greeting, b"220 at your service\n");
    };
    tokio::join!(
        echoed(ports[0]),
        echoed(ports[1]),
        answered(ports[2]),
        answered(ports[3]),
        greeted
    );
}

#[tokio::test]
async fn a_reset_is_passed_on_as_one() {
    let service = Service::new(|mut stream| async move {
        let mut byte = [0];
        let _ = stream.read_exact(&mut byte).await;
        let _ = stream.write_all(b"so far").await;
        let _ = stream.read_exact(&mut byte).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    let ports = [free_port(), free_port()];
    let visitors = xtcp_visitor("quic", "reset", ports[0], "")
        + &xtcp_visitor("kcp", "reset", ports[1], "protocol = \"kcp\"\n");
    let proxies = xtcp_proxy("reset", service.port, "");
    let _street = Street::new(&Cast::ours(), &proxies, &visitors).await;
    for port in ports {
        let mut user = connect(port).await;
        user.write_all(b"1").await.unwrap();
        let mut so_far = [0; 6];
        within(DUG, "the first bytes", user.read_exact(&mut so_far))
            .await
            .unwrap();
        user.write_all(b"2").await.unwrap();
        let end = within(Duration::from_secs(20), "the end", user.read(&mut so_far)).await;
        assert!(end.is_err(), "{end:?} on port {port}");
    }
}

/// The owner's proxies `echo` as stcp and xtcp, and a visitor of each, the one of xtcp falling back.
fn fallback(service: u16, port: u16, lines: &str) -> (String, String) {
    let proxies = stcp_proxy("relayed", service, "") + &xtcp_proxy("direct", service, "");
    let lines = format!("fallbackTo = \"relay\"\n{lines}");
    let visitors = stcp_visitor("relay", "relayed", 1, "").replace("bindPort = 1", "bindPort = -1")
        + &xtcp_visitor("v", "direct", port, &lines);
    (proxies, visitors)
}

#[tokio::test]
async fn users_go_by_the_relay_at_once_and_by_the_direct_path_once_it_stands() {
    let (service, port) = (Service::echo().await, free_port());
    let (proxies, visitors) = fallback(service.port, port, "fallbackTimeoutMs = 15000\n");
    let mut street = Street::new(&Cast::ours(), &proxies, &visitors).await;
    // Were it waited for, this would take 15 s or two, and the log tells the way.
    let mut early = connect(port).await;
    echo_on(&mut early, b"by the relay").await;
    street
        .visitor
        .expect("transfer connection to visitor: relay")
        .await;
    street.dug().await;
    let mut late = connect(port).await;
    echo_on(&mut late, b"directly").await;
    // Whose server is gone has no relay.
    street.frps.program.kill().await;
    for i in 0..20 {
        echo_on(&mut late, &pattern(10_000, i)).await;
    }
}

#[tokio::test]
async fn a_path_is_kept_without_users() {
    let (service, port) = (Service::echo().await, free_port());
    let visitors = xtcp_visitor("v", "echo", port, "keepTunnelOpen = true\n");
    let street = Street::new(
        &Cast::ours(),
        &xtcp_proxy("echo", service.port, ""),
        &visitors,
    )
    .await;
    street.dug().await;
    echo(port, b"at once").await;
}

#[tokio::test]
async fn an_owner_that_is_gone_is_noticed_and_replaced_and_users_go_by_the_relay_meanwhile() {
    for protocol in ["quic", "kcp"] {
        let (service, port) = (Service::echo().await, free_port());
        let lines = format!("protocol = \"{protocol}\"\nkeepTunnelOpen = true\n");
        let (proxies, visitors) = fallback(service.port, port, &lines);
        let mut street = Street::new(&Cast::ours(), &proxies, &visitors).await;
        street.dug().await;
        let mut user = connect(port).await;
        echo_on(&mut user, b"directly").await;
        street.owner.kill().await;
        street.owner.start_again();
        street.owner.expect("[relayed] start proxy success").await;
        let began = Instant::now();
        // Whoever came in the second before it could be seen waits as long as that.
        until_echoes(port, NOTICED).await;
        let lost = "is lost:";
        let line = street.visitor.expect_from(0, lost, NOTICED).await;
        assert!(
            line.contains("using relay until there is another one"),
            "{line}"
        );
        assert!(began.elapsed() < NOTICED + Duration::from_secs(5));
        let mark = street
            .visitor
            .log()
            .lines()
            .iter()
            .position(|l| l.contains(lost));
        street
            .visitor
            .expect_from(mark.unwrap_or(0), PATH, DUG)
            .await;
        assert!(echoes(port).await);
    }
}

#[tokio::test]
async fn a_failure_says_which_step_and_what_it_means() {
    let service = Service::echo().await;
    let ports = [free_port(), free_port()];
    let keep = "keepTunnelOpen = true\n";
    let wrong = xtcp_visitor("wrong", "echo", ports[0], keep).replace("\"secret\"", "\"other\"");
    let visitors = wrong + &xtcp_visitor("nobody", "nobody", ports[1], keep);
    let street = Street::new(
        &Cast::ours(),
        &xtcp_proxy("echo", service.port, ""),
        &visitors,
    )
    .await;
    for (name, step, why, advice) in [
        (
            "[wrong]",
            "nathole exchange info error",
            "auth failed",
            "secretKey is not that of the proxy",
        ),
        (
            "[nobody]",
            "nathole precheck error",
            "doesn't exist",
            "check serverName and serverUser",
        ),
    ] {
        let is_it = |line: &str| line.contains(name) && line.contains(step);
        let line = street.visitor.log().wait(0, DUG, is_it).await.unwrap();
        assert!(line.contains(why) && line.contains(advice), "{line}");
        assert!(line.contains("no fallbackTo is set"), "{line}");
    }
    // A STUN server that nobody runs.
    let text = format!(
        "natHoleStunServer = \"127.0.0.1:{}\"\n{}",
        free_port(),
        // Else there might be IPv6, which needs none.
        xtcp_visitor(
            "v",
            "echo",
            free_port(),
            &format!("{keep}natTraversal.disableAssistedAddrs = true\n")
        )
    );
    let visitor = street.rig.frpc(street.frps.port, &text);
    let line = visitor.expect("nathole prepare error").await;
    assert!(
        line.contains("name another one by natHoleStunServer"),
        "{line}"
    );
}

#[tokio::test]
async fn a_proxy_that_is_removed_serves_nobody_any_more() {
    let (service, port) = (Service::echo().await, free_port());
    let (proxies, visitors) = fallback(service.port, port, "keepTunnelOpen = true\n");
    let street = Street::new(&Cast::ours(), &proxies, &visitors).await;
    street.dug().await;
    echo(port, b"directly").await;
    drop(street.owner);
    let without = stcp_proxy("relayed", service.port, "");
    let text = format!("natHoleStunServer = \"{}\"\n{without}", street.stun.addr);
    let owner = street.rig.frpc(street.frps.port, &text);
    owner.expect("[relayed] start proxy success").await;
    street.visitor.expect_from(0, "is lost:", 2 * NOTICED).await;
    echo(port, b"by the relay").await;
}

/// A scripted frps that has an owner dig where it says; how many datagrams come to each of the sockets.
async fn sent_by(
    owner: &mut Control<tokio::net::TcpStream>,
    work: &mut tokio::net::TcpStream,
    orders: Value,
) {
    wire::read_v1(work).await.expect("NewWorkConn");
    let start = wire::v1(wire::START_WORK_CONN, &json!({"proxy_name": "hole"}));
    let sid = wire::v1(b'5', &json!({"sid": "the-hole"}));
    work.write_all(&[start, sid].concat()).await.unwrap();
    let transaction = loop {
        let (kind, body) = owner.recv().await.expect("a message");
        if kind == b'n' {
            assert_eq!(body["sid"], "the-hole");
            break body["transaction_id"].clone();
        }
    };
    let mut answer = orders;
    answer["transaction_id"] = transaction;
    answer["sid"] = json!("the-hole");
    owner.send(b'm', &answer).await;
}

#[tokio::test]
async fn a_server_cannot_have_much_sent_to_whom_it_says() {
    let rig = Rig::new();
    let stun = StunServer::local().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let lines = format!(
        "transport.tls.enable = false\ntransport.tcpMux = false\nauth.token = \"t\"\n\
         natHoleStunServer = \"{}\"\n{}",
        stun.addr,
        xtcp_proxy("hole", 9, "")
    );
    let _owner = rig.frpc(port, &lines);
    let (stream, _) = listener.accept().await.unwrap();
    let mut control = Control::of_server(stream, "t").await;
    while control.recv().await.expect("NewProxy").0 != wire::NEW_PROXY {}
    let registered = json!({"proxy_name": "hole"});
    control.send(wire::NEW_PROXY_RESP, &registered).await;
    let mut victims = Vec::new();
    for _ in 0..40 {
        victims.push(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    }
    let named: Vec<SocketAddr> = victims.iter().map(|v| v.local_addr().unwrap()).collect();
    let words = |addrs: &[SocketAddr]| addrs.iter().map(ToString::to_string).collect::<Vec<_>>();
    let first = named[0].port();
    control.send(wire::REQ_WORK_CONN, &json!({})).await;
    let (mut work, _) = listener.accept().await.unwrap();
    let orders = json!({
        "candidate_addrs": words(&named[..20]),
        "assisted_addrs": words(&named[20..]),
        "detect_behavior": {
            "role": "receiver",
            "read_timeout": 600_000_000,
            "listen_random_ports": 1_000_000,
            "candidate_ports": [{"from": first, "to": first}, {"from": 1, "to": 65535}],
        },
    });
    sent_by(&mut control, &mut work, orders).await;
    let mut came: BTreeMap<usize, usize> = BTreeMap::new();
    let mut quiet = Instant::now();
    let mut buffer = [0; 2048];
    while quiet.elapsed() < Duration::from_secs(4) {
        for (number, victim) in victims.iter().enumerate() {
            while victim.try_recv_from(&mut buffer).is_ok() {
                *came.entry(number).or_default() += 1;
                quiet = Instant::now();
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let all: usize = came.values().sum();
    assert!(all > 0, "nothing was sent at all");
    assert!(all <= 2600, "{all} datagrams: {came:?}");
}
