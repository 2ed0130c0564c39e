//! What a crowd of strangers can make frps hold, at each of its ports, and what becomes of those who
//! come alone meanwhile, with all descriptors taken, too.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::Path;

use frp_tests::rig::{host_proxy, tcp_proxy};
use frp_tests::wire::{self, v1};
use frp_tests::*;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::https::client_hello;
use super::strangers::CROWD;

/// For all strangers together, in bytes.
const MOST: u64 = 64 << 20;

/// Who come at a time; each says all that is taken of it.
const AT_A_TIME: usize = 100;

/// More than frps takes of anybody before its login.
const TALKATIVE: usize = 200_000;

/// What frps takes of a request for a websocket, and of one to connect; whoever says more is closed.
const MAX_UPGRADE: usize = 16 * 1024;
/// See [`MAX_UPGRADE`].
const MAX_CONNECT: usize = 64 * 1024;

/// What each of a crowd does.
#[derive(Clone, Debug)]
enum Stranger {
    /// Says this, as far as it is taken.
    Says(Vec<u8>),
    /// The same within TLS.
    InTls(Vec<u8>),
}

/// The connection of a stranger, whatever it is.
type Held = Box<dyn Send>;

impl Stranger {
    /// `n` decides from where.
    async fn come(self, port: u16, n: usize) -> Option<Held> {
        let socket = TcpSocket::new_v4().unwrap();
        let from = Ipv4Addr::new(127, 0, 2 + (n % 5) as u8, 1 + (n / 5 % 250) as u8);
        socket.bind((from, 0).into()).unwrap();
        let conn = socket.connect((Ipv4Addr::LOCALHOST, port).into());
        let mut conn = within(wait::SOON, "a stranger", conn).await.ok()?;
        match self {
            Self::Says(bytes) => {
                say(&mut conn, &bytes).await;
                Some(Box::new(conn))
            }
            Self::InTls(bytes) => {
                let trust = tls::client(rustls::ALL_VERSIONS);
                let mut conn = tls::handshake(conn, trust).await.ok()?;
                say(&mut conn, &bytes).await;
                Some(Box::new(conn))
            }
        }
    }
}

/// What is not taken at once stays unsaid.
async fn say(conn: &mut (impl tokio::io::AsyncWrite + Unpin), bytes: &[u8]) {
    let saying = async {
        let _ = conn.write_all(bytes).await;
        let _ = conn.flush().await;
    };
    let _ = tokio::time::timeout(std::time::Duration::from_millis(50), saying).await;
}

/// A crowd of these at `port`; the most that frps held meanwhile beyond `before`.
async fn crowd(
    frps: &Program,
    port: u16,
    stranger: &Stranger,
    these: Range<usize>,
    before: u64,
) -> (Vec<Held>, u64) {
    let (mut crowd, mut most) = (Vec::new(), 0);
    for first in these.step_by(AT_A_TIME) {
        let mut coming = JoinSet::new();
        for n in first..first + AT_A_TIME {
            coming.spawn(stranger.clone().come(port, n));
        }
        crowd.extend(coming.join_all().await.into_iter().flatten());
        most = most.max(frps.private_bytes().saturating_sub(before));
    }
    (crowd, most)
}

/// A mux with streams, of which each has begun a message that it does not end.
fn mux(message: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..2).flat_map(|n| yamux::open(2 * n + 1)).collect();
    for piece in message.chunks(1500) {
        for n in 0..2 {
            bytes.extend(yamux::data(2 * n + 1, piece));
        }
    }
    bytes
}

/// A ClientHello in records of 16 KiB, the second of which does not end.
fn half_a_hello() -> Vec<u8> {
    let mut hello = b"\x16\x03\x01\x40\x00\x01\x00\xff\xf0".to_vec();
    hello.resize(5 + 0x4000, b'z');
    hello.extend(b"\x16\x03\x01\x40\x00");
    hello.resize(hello.len() + 0x3fff, b'y');
    hello
}

fn at_bind_port() -> Vec<(&'static str, Stranger)> {
    let long = |head: &[u8]| [head, &vec![b'z'; TALKATIVE]].concat();
    let v1 = long(&wire::v1_raw(wire::LOGIN, 10_000, b"{\"version\":\""));
    let v2 = [wire::MAGIC, &long(&[0, 16, 0, 0, 0, 0, 0xfd, 0xe8])].concat();
    vec![
        ("half a TLS hello", Stranger::Says(half_a_hello())),
        ("TLS and no login", Stranger::InTls(Vec::new())),
        (
            "half an upgrade",
            Stranger::Says(long(b"GET /~!frp HTTP/1.1\r\nX-Long: ")[..MAX_UPGRADE - 1].to_vec()),
        ),
        ("a slow v1 login", Stranger::Says(mux(&v1))),
        ("a slow v2 hello", Stranger::Says(mux(&v2))),
        ("a slow v2 hello in TLS", Stranger::InTls(mux(&v2))),
    ]
}

fn at_vhosts(ports: [u16; 3]) -> Vec<(&'static str, u16, Stranger)> {
    let [http, https, connects] = ports;
    let long = |head: &[u8]| [head, &vec![b'z'; TALKATIVE]].concat();
    let many: Vec<u8> = (0..5000)
        .flat_map(|n| format!("X{n}: y\r\n").into_bytes())
        .collect();
    let get = b"GET / HTTP/1.1\r\nHost: a.test\r\n";
    let h2 = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(),
        // Settings, and HEADERS that go on without end.
        b"\0\0\0\x04\0\0\0\0\0",
        &[0, 0x40, 0, 1, 0, 0, 0, 0, 1],
        &vec![0; 0x4000],
        &[0, 0x40, 0, 9, 0, 0, 0, 0, 1],
        &vec![0; 0x4000],
    ]
    .concat();
    vec![
        ("http: half a head", http, Stranger::Says(long(b"GET /"))),
        (
            "http: many fields",
            http,
            Stranger::Says([&get[..], &many].concat()),
        ),
        ("http: half of HTTP/2", http, Stranger::Says(h2)),
        ("https: half a hello", https, Stranger::Says(half_a_hello())),
        (
            "tcpmux: half a head",
            connects,
            Stranger::Says(long(b"CONNECT a")[..MAX_CONNECT - 1].to_vec()),
        ),
        (
            "tcpmux: many fields",
            connects,
            Stranger::Says([b"CONNECT a.test:1 HTTP/1.1\r\n".as_slice(), &many].concat()),
        ),
    ]
}

async fn logs_in(stream: TcpStream) {
    let mut stream = stream;
    let login = v1(wire::LOGIN, &wire::login("t", &json!({})));
    stream
        .write_all(&[yamux::open(1), yamux::data(1, &login)].concat())
        .await
        .unwrap();
    let answered = async {
        loop {
            let (head, data) = yamux::read(&mut stream).await.expect("an answer");
            if head.stream == 1 && head.kind == yamux::DATA {
                return data;
            }
        }
    };
    let answer = within(wait::SOON, "a login is answered", answered).await;
    assert_eq!(answer.first(), Some(&wire::LOGIN_RESP));
}

/// Each crowd has all places at a time, so the dearest of them is the most that there can be.
#[tokio::test]
async fn strangers_hold_little_together_and_logins_get_through() {
    let rig = Rig::new();
    for (what, stranger) in at_bind_port() {
        let frps = rig.frps("auth.token = \"t\"\nlog.level = \"info\"\n").await;
        logs_in(connect(frps.port).await).await;
        let before = frps.program.private_bytes();
        let come = async |these| crowd(&frps.program, frps.port, &stranger, these, before).await;
        let (_first, held) = come(0..CROWD / 2).await;
        // Who is early has 10 s.
        let early = connect(frps.port).await;
        let (_others, most) = come(CROWD / 2..CROWD).await;
        let most = most.max(held);
        println!("{what}: {} KiB for {CROWD} strangers", most >> 10);
        assert!(most < MOST, "{what}: {most} bytes");
        logs_in(early).await;
        logs_in(connect(frps.port).await).await;
    }
}

#[tokio::test]
async fn strangers_at_vhosts_hold_little_together_and_users_get_through() {
    let rig = Rig::new();
    let service = Service::greeting("hello").await;
    let ports = [(); 3].map(|()| free_port());
    let [http, https, connects] = ports;
    let lines = format!(
        "vhostHTTPPort = {http}\nvhostHTTPSPort = {https}\ntcpmuxHTTPConnectPort = {connects}\n\
         log.level = \"info\"\n"
    );
    let frps = rig.frps(&lines).await;
    let domain = "customDomains = [\"a.test\"]\n";
    let multiplexer = format!("multiplexer = \"httpconnect\"\n{domain}");
    let web = Service::new(|mut stream| async move {
        websocket::read_head(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let _ = stream.write_all(answer).await;
    })
    .await;
    let text = [
        host_proxy("http", "web", web.port, domain),
        host_proxy("https", "tls", service.port, domain),
        host_proxy("tcpmux", "connect", service.port, &multiplexer),
    ];
    let frpc = rig.frpc(frps.port, &text.concat());
    for name in ["web", "tls", "connect"] {
        frpc.expect(&format!("[{name}] start proxy success")).await;
    }
    let greets = async |port: u16, says: &[u8]| {
        let mut user = connect(port).await;
        user.write_all(says).await.unwrap();
        let mut heard = Vec::new();
        let reading = async {
            while !heard.ends_with(b"hello") {
                heard.push(user.read_u8().await.unwrap());
            }
        };
        within(wait::SOON, "the service greets", reading).await;
    };
    let users = async || {
        greets(
            http,
            b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
        )
        .await;
        greets(https, &client_hello("a.test")).await;
        greets(
            connects,
            b"CONNECT a.test:1 HTTP/1.1\r\nHost: a.test:1\r\n\r\n",
        )
        .await;
    };
    users().await;
    let before = frps.program.private_bytes();
    for (what, port, stranger) in at_vhosts(ports) {
        let (_held, most) = crowd(&frps.program, port, &stranger, 0..CROWD, before).await;
        println!("{what}: {} KiB for {CROWD} strangers", most >> 10);
        assert!(most < MOST, "{what}: {most} bytes");
        users().await;
    }
}

/// No crowd of strangers here, of whom one could leave: users have all descriptors.
#[tokio::test]
async fn a_login_waits_for_a_descriptor_and_gets_it() {
    const DESCRIPTORS: usize = 256;
    let (rig, port, remote) = (Rig::new(), free_port(), free_port());
    let service = Service::echo().await;
    let text = format!(
        "bindAddr = \"127.0.0.1\"\nbindPort = {port}\nauth.token = \"t\"\n\
         log.disablePrintColor = true\n"
    );
    let config = rig.config("few", &text);
    let limited = format!("ulimit -n {DESCRIPTORS}; exec \"$0\" -c \"$1\"");
    let args = [
        "-c".into(),
        limited.into(),
        Side::Ours.program("frps").into_os_string(),
        config.into_os_string(),
    ];
    let mut frps = Program::spawn(Path::new("/bin/sh"), args, rig.path());
    frps.expect("frps started successfully").await;
    let proxy = tcp_proxy("p", service.port, remote, "");
    let frpc = rig.frpc(port, &format!("auth.token = \"t\"\n{proxy}"));
    frpc.expect("[p] start proxy success").await;
    let mut users = Vec::new();
    for _ in 0..DESCRIPTORS {
        users.push(connect(remote).await);
    }
    let full = "os error 24";
    frps.expect(full).await;
    let mut login = connect(port).await;
    let message = v1(wire::LOGIN, &wire::login("t", &json!({})));
    login
        .write_all(&[yamux::open(1), yamux::data(1, &message)].concat())
        .await
        .unwrap();
    assert!(frps.is_running());
    // The latest of them are not accepted either.
    users.drain(..DESCRIPTORS / 2);
    let answered = async {
        loop {
            let (head, data) = yamux::read(&mut login).await.expect("an answer");
            if head.stream == 1 && head.kind == yamux::DATA {
                return data;
            }
        }
    };
    let answer = within(wait::SOON, "the login is answered", answered).await;
    assert_eq!(answer.first(), Some(&wire::LOGIN_RESP));
    // It says so every 10 s at most, for each of its ports.
    assert!(frps.log().count(full) <= 8, "{}", frps.log().text());
}
