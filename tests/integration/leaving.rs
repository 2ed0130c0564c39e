//! Users who leave in the middle of an answer, and users who never read it: what is left of them at
//! the service, by every way there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use frp_tests::rig::{host_proxy, stcp_proxy, stcp_visitor, tcp_proxy, udp_proxy};
use frp_tests::wait::eventually_within;
use frp_tests::*;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, timeout};

use super::carries::free_udp_port;
use super::https::client_hello;

/// How long a connection to the service may outlive its user. 2 s on a machine that does nothing
/// else; these tests run many at a time.
const LET_GO: Duration = Duration::from_secs(10);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";

/// A service whose answers have no end.
struct Endless {
    service: Service,
    open: Arc<AtomicUsize>,
    written: Arc<AtomicU64>,
}

/// What it does behind the head of its answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Sends a picture now and then, and never reads again.
    Camera,
    /// Sends as much as is taken.
    Film,
    /// Says nothing, and waits for the user's end.
    Silent,
    /// Says nothing, and reads nothing either.
    Deaf,
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Endless {
    async fn new(kind: Kind) -> Self {
        let (open, written) = (Arc::<AtomicUsize>::default(), Arc::<AtomicU64>::default());
        let (counted, total) = (open.clone(), written.clone());
        let service = Service::new(move |stream| {
            counted.fetch_add(1, Ordering::SeqCst);
            let (open, total) = (Open(counted.clone()), total.clone());
            async move {
                serve(stream, kind, &total).await;
                drop(open);
            }
        })
        .await;
        Self {
            service,
            open,
            written,
        }
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    async fn is_left_alone(&self, what: &str) {
        let what = format!("{what}: the connections to the service end");
        eventually_within(LET_GO, &what, || async { self.open() == 0 }).await;
    }
}

async fn serve(mut stream: TcpStream, kind: Kind, total: &AtomicU64) {
    let mut request = vec![0; REQUEST.len() * 8];
    if !matches!(stream.read(&mut request).await, Ok(1..)) {
        return;
    }
    if stream.write_all(HEAD).await.is_err() {
        return;
    }
    let picture = pattern(32 * 1024, 9);
    let mut tick = interval(Duration::from_millis(20));
    loop {
        match kind {
            Kind::Silent => {
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                return;
            }
            Kind::Deaf => {
                let _ = stream.ready(Interest::ERROR).await;
                return;
            }
            Kind::Camera => drop(tick.tick().await),
            Kind::Film => {}
        }
        if stream.write_all(&picture).await.is_err() {
            return;
        }
        total.fetch_add(picture.len() as u64, Ordering::Relaxed);
    }
}

/// How a user goes.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Close,
    Reset,
    /// Half of it, and then the rest.
    ShutdownThenReset,
}

/// How a user comes to the service.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// With a request.
    Plain,
    /// With a TLS hello, which goes to the service as it is.
    Hello,
    /// By CONNECT to a vhost.
    Connect,
    /// Through TLS, which frpc ends.
    Tls,
    /// Through SOCKS5, to the service at this port.
    Socks(u16),
}

impl Way {
    /// A user whose answer has begun.
    async fn enter(self, port: u16) -> TcpStream {
        let mut user = connect(port).await;
        match self {
            Self::Plain => user.write_all(REQUEST).await.unwrap(),
            Self::Hello => user.write_all(&client_hello("a.test")).await.unwrap(),
            Self::Connect => {
                let connect = b"CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n";
                user.write_all(connect).await.unwrap();
                hears(&mut user, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                user.write_all(REQUEST).await.unwrap();
            }
            Self::Tls => {
                let trust = tls::client(rustls::ALL_VERSIONS);
                let mut user = tls::handshake(user, trust).await.unwrap();
                user.write_all(REQUEST).await.unwrap();
                hears(&mut user, &HEAD[..16]).await;
                return user.into_inner().0;
            }
            Self::Socks(to) => {
                user.write_all(&[5, 1, 0]).await.unwrap();
                hears(&mut user, &[5, 0]).await;
                let request = [&[5, 1, 0, 1, 127, 0, 0, 1][..], &to.to_be_bytes()].concat();
                user.write_all(&request).await.unwrap();
                hears(&mut user, &[5, 0, 0, 1]).await;
                let mut bound = [0; 6];
                let reading = user.read_exact(&mut bound);
                within(wait::SOON, "an address", reading).await.unwrap();
                user.write_all(REQUEST).await.unwrap();
            }
        }
        hears(&mut user, &HEAD[..16]).await;
        user
    }
}

/// Reads exactly this.
async fn hears(user: &mut (impl AsyncRead + Unpin), wanted: &[u8]) {
    let mut heard = vec![0; wanted.len()];
    let reading = user.read_exact(&mut heard);
    within(wait::SOON, "an answer", reading).await.unwrap();
    assert_eq!(
        String::from_utf8_lossy(&heard),
        String::from_utf8_lossy(wanted)
    );
}

async fn visit(way: Way, port: u16, leave: Leave) {
    let mut user = way.enter(port).await;
    match leave {
        Leave::Close => {}
        Leave::Reset => user.set_zero_linger().unwrap(),
        Leave::ShutdownThenReset => {
            user.shutdown().await.unwrap();
            user.set_zero_linger().unwrap();
        }
    }
}

/// Lines of frps, and of frpc; `{udp}` is a UDP port.
const TRANSPORTS: [(&str, &str, &str); 8] = [
    ("tcp", "", ""),
    (
        "no mux",
        "transport.tcpMux = false\n",
        "transport.tcpMux = false\n",
    ),
    (
        "no mux, no TLS",
        "transport.tcpMux = false\n",
        "transport.tcpMux = false\ntransport.tls.enable = false\n",
    ),
    ("websocket", "", "transport.protocol = \"websocket\"\n"),
    ("wss", "", "transport.protocol = \"wss\"\n"),
    (
        "kcp",
        "kcpBindPort = {udp}\n",
        "transport.protocol = \"kcp\"\n",
    ),
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

/// Every way of a user, of which two kinds leave in every manner.
async fn all_leave(server: &Side, client: &Side) {
    for (name, server_lines, client_lines) in TRANSPORTS {
        // Go's frps does not end the TLS around a websocket.
        if name == "wss" && *server != Side::Ours {
            continue;
        }
        if name == "kcp, no mux" && (*server != Side::Ours || *client != Side::Ours) {
            // Theirs says nothing of an end there.
            continue;
        }
        let rig = Rig::new();
        let udp = free_udp_port();
        let [http, https, connects] = [(); 3].map(|()| free_port());
        let lines = server_lines.replace("{udp}", &udp.to_string());
        let vhosts = format!(
            "vhostHTTPPort = {http}\nvhostHTTPSPort = {https}\n\
             tcpmuxHTTPConnectPort = {connects}\n"
        );
        let frps = rig.frps_of(server, &format!("{lines}{vhosts}")).await;
        let port = match name {
            "kcp" | "kcp, no mux" | "quic" => udp,
            _ => frps.port,
        };
        let camera = Endless::new(Kind::Camera).await;
        let silent = Endless::new(Kind::Silent).await;
        let mut text = client_lines.to_owned();
        let mut ways = Vec::new();
        let mut names = Vec::new();
        for (i, lines) in [
            "",
            "transport.useEncryption = true\ntransport.useCompression = true",
            "transport.bandwidthLimit = \"8MB\"",
            "transport.bandwidthLimit = \"8MB\"\ntransport.bandwidthLimitMode = \"server\"",
        ]
        .into_iter()
        .enumerate()
        {
            for (kind, service) in [("camera", &camera), ("silent", &silent)] {
                // Limited at its server, Go's own pair keeps a silent service's connection, too: its
                // frps does not close the work connection while nothing comes from there.
                if kind == "silent" && lines.contains("server") && *server != Side::Ours {
                    continue;
                }
                let remote = free_port();
                let proxy = format!("{kind}{i}");
                text += &tcp_proxy(&proxy, service.service.port, remote, lines);
                ways.push((Way::Plain, remote));
                names.push(proxy);
            }
        }
        let domain = "customDomains = [\"a.test\"]\n";
        let multiplexer = format!("multiplexer = \"httpconnect\"\n{domain}");
        text += &host_proxy("http", "web", camera.service.port, domain);
        text += &host_proxy("https", "tls", camera.service.port, domain);
        text += &host_proxy("tcpmux", "connect", silent.service.port, &multiplexer);
        text += &stcp_proxy("secret", camera.service.port, "");
        let visitor = free_port();
        text += &stcp_visitor("visitor", "secret", visitor, "");
        ways.extend([
            (Way::Plain, http),
            (Way::Hello, https),
            (Way::Connect, connects),
            (Way::Plain, visitor),
        ]);
        names.extend(["web", "tls", "connect", "secret"].map(str::to_owned));
        for (plugin, service, way) in [
            ("http2http", &camera, Way::Plain),
            ("tls2raw", &camera, Way::Tls),
            ("tls2raw", &silent, Way::Tls),
            ("socks5", &camera, Way::Socks(camera.service.port)),
            ("socks5", &silent, Way::Socks(silent.service.port)),
        ] {
            // Go's server of SOCKS5 goes on with an answer after its user's end; where that was all that
            // it heard of the user, for ever, among Go's own, too.
            if plugin == "socks5" && std::ptr::eq(service, &camera) && *client != Side::Ours {
                continue;
            }
            let remote = free_port();
            let proxy = format!("{plugin}{remote}");
            let to = match plugin {
                "socks5" => String::new(),
                _ => format!("localAddr = \"127.0.0.1:{}\"\n", service.service.port),
            };
            text += &format!(
                "\n[[proxies]]\nname = \"{proxy}\"\ntype = \"tcp\"\nremotePort = {remote}\n\
                 [proxies.plugin]\ntype = \"{plugin}\"\n{to}"
            );
            ways.push((way, remote));
            names.push(proxy);
        }
        let frpc = rig.frpc_of(client, port, &text);
        for proxy in &names {
            frpc.expect(&format!("[{proxy}] start proxy success")).await;
        }
        for leave in [Leave::Close, Leave::Reset, Leave::ShutdownThenReset] {
            for _ in 0..2 {
                for (way, port) in &ways {
                    visit(*way, *port, leave).await;
                }
            }
            let what = format!("{name}, {leave:?}");
            camera.is_left_alone(&format!("camera, {what}")).await;
            silent.is_left_alone(&format!("silent, {what}")).await;
        }
    }
}

#[tokio::test]
async fn nothing_is_left_of_users_who_leave_in_the_middle_of_an_answer() {
    all_leave(&Side::Ours, &Side::Ours).await;
}

#[tokio::test]
async fn nothing_is_left_of_them_at_their_frps() {
    let Some(theirs) = Side::reference("0.70.1") else {
        return;
    };
    all_leave(&theirs, &Side::Ours).await;
}

#[tokio::test]
async fn nothing_is_left_of_them_at_their_frpc() {
    let Some(theirs) = Side::reference("0.70.1") else {
        return;
    };
    all_leave(&Side::Ours, &theirs).await;
}

/// How long frpc keeps the socket of a user of udp that has said nothing more: 30 s, as in frp.
const UDP_LET_GO: Duration = Duration::from_secs(60);

/// The sockets of this machine that are connected to this port: `table` is `tcp` or `udp`.
fn connected(table: &str, port: u16) -> usize {
    let rows = std::fs::read_to_string(format!("/proc/net/{table}")).unwrap();
    let to = format!(":{port:04X}");
    let is_one = |row: &&str| {
        let mut fields = row.split_whitespace().skip(2);
        let peer = fields.next().unwrap_or_default();
        peer.ends_with(&to) && fields.next() == Some("01")
    };
    rows.lines().filter(is_one).count()
}

/// The sockets of users who have gone are closed; the work connection is for all users and stays.
async fn users_of_udp_leave(server: &Side, client: &Side) {
    const USERS: usize = 8;
    let rig = Rig::new();
    let service = UdpService::echo().await;
    let frps = rig.frps_of(server, "").await;
    let port = free_port();
    let frpc = rig.frpc_of(client, frps.port, &udp_proxy("udp", service.port, port, ""));
    frpc.expect("[udp] start proxy success").await;
    let lasting = UdpUser::of(port).await;
    lasting.echo(b"first").await;
    for n in 0..USERS {
        UdpUser::of(port).await.echo(&pattern(100, n as u64)).await;
    }
    assert_eq!(connected("udp", service.port), 1 + USERS);
    eventually_within(UDP_LET_GO, "their sockets are closed", || async {
        lasting.echo(b"still here").await;
        connected("udp", service.port) == 1
    })
    .await;
    let incoming = "incoming a new work connection for udp proxy";
    assert_eq!(frpc.log().count(incoming), 1, "{}", frpc.log().text());
}

/// The visitor's end takes the stream to the proxy along, and the sockets of its users there.
async fn a_visitor_of_sudp_leaves(server: &Side, owner: &Side) {
    let rig = Rig::new();
    let service = UdpService::echo().await;
    // Each stream is a connection of its own then.
    let single = "transport.tcpMux = false\n";
    let frps = rig.frps_of(server, single).await;
    let sudp = |table: String| table.replace("\"stcp\"", "\"sudp\"");
    let text = format!("{single}{}", sudp(stcp_proxy("p", service.port, "")));
    let owner = rig.frpc_of(owner, frps.port, &text);
    owner.expect("[p] start proxy success").await;
    // The control connection, and the one that the pool keeps.
    let rests = || async { connected("tcp", frps.port) == 2 };
    eventually("the pool is full", rests).await;
    let port = free_port();
    let text = format!("{single}{}", sudp(stcp_visitor("v", "p", port, "")));
    let mut visitor = rig.frpc(frps.port, &text);
    visitor.expect("sudp start to work, listen on").await;
    UdpUser::of(port).await.echo(b"x").await;
    UdpUser::of(port).await.echo(b"y").await;
    assert_eq!(connected("udp", service.port), 2);
    visitor.kill().await;
    eventually("the stream to the proxy ends", rests).await;
    eventually_within(UDP_LET_GO, "its users' sockets are closed", || async {
        connected("udp", service.port) == 0
    })
    .await;
}

#[tokio::test]
async fn nothing_is_left_of_users_of_datagrams() {
    tokio::join!(
        users_of_udp_leave(&Side::Ours, &Side::Ours),
        a_visitor_of_sudp_leaves(&Side::Ours, &Side::Ours)
    );
}

#[tokio::test]
async fn nothing_is_left_of_users_of_datagrams_with_theirs() {
    let Some(theirs) = Side::reference("0.70.1") else {
        return;
    };
    tokio::join!(
        users_of_udp_leave(&theirs, &Side::Ours),
        users_of_udp_leave(&Side::Ours, &theirs),
        a_visitor_of_sudp_leaves(&theirs, &Side::Ours),
        a_visitor_of_sudp_leaves(&Side::Ours, &theirs)
    );
}

/// Uploads without reading until nobody takes more, and then is reset.
async fn upload_and_reset(port: u16, service: &Endless) {
    let mut user = connect(port).await;
    user.set_zero_linger().unwrap();
    user.write_all(REQUEST).await.unwrap();
    let data = pattern(64 * 1024, 3);
    let mut uploaded = 0;
    loop {
        let downloaded = service.written.load(Ordering::Relaxed);
        let write = user.write(&data);
        match timeout(Duration::from_secs(2), write).await {
            Ok(n) => uploaded += n.unwrap(),
            Err(_) if downloaded == service.written.load(Ordering::Relaxed) => break,
            Err(_) => {}
        }
    }
    assert!(uploaded > 0 && service.open() == 1, "{uploaded} bytes");
}

/// A user is reset while nobody takes what the other side sends, by each of these ways.
async fn stalled_users_are_reset(server: &Side, client: &Side, ways: &[&str]) {
    for (name, server_lines, client_lines) in TRANSPORTS {
        if !ways.contains(&name) {
            continue;
        }
        let rig = Rig::new();
        let udp = free_udp_port();
        let lines = server_lines.replace("{udp}", &udp.to_string());
        let frps = rig.frps_of(server, &lines).await;
        let port = match name {
            "kcp" | "kcp, no mux" | "quic" => udp,
            _ => frps.port,
        };
        let (film, deaf) = (
            Endless::new(Kind::Film).await,
            Endless::new(Kind::Deaf).await,
        );
        let (both, one, sealed) = (free_port(), free_port(), free_port());
        let layers = "transport.useEncryption = true\ntransport.useCompression = true";
        let text = [
            client_lines,
            &tcp_proxy("both", film.service.port, both, ""),
            &tcp_proxy("one", deaf.service.port, one, ""),
            &tcp_proxy("sealed", film.service.port, sealed, layers),
        ];
        let frpc = rig.frpc_of(client, port, &text.concat());
        for proxy in ["both", "one", "sealed"] {
            frpc.expect(&format!("[{proxy}] start proxy success")).await;
        }
        for (what, port, service) in [
            ("both", both, &film),
            ("one", one, &deaf),
            ("sealed", sealed, &film),
        ] {
            // Theirs would have to write to the user to see it.
            if what == "one" && (*server != Side::Ours || *client != Side::Ours) {
                continue;
            }
            upload_and_reset(port, service).await;
            let reset = Instant::now();
            service.is_left_alone(&format!("{what}, {name}")).await;
            println!("{name}, {what}: {:?}", reset.elapsed());
        }
    }
}

#[tokio::test]
async fn the_service_is_let_go_when_nobody_takes_anything_and_the_user_is_reset() {
    let ways = TRANSPORTS.map(|(name, ..)| name);
    stalled_users_are_reset(&Side::Ours, &Side::Ours, &ways).await;
}

/// Its yamux says of a reset what it says of an end, its kcp nothing.
#[tokio::test]
async fn the_service_is_let_go_then_at_their_frps() {
    let Some(theirs) = Side::reference("0.70.1") else {
        return;
    };
    stalled_users_are_reset(&theirs, &Side::Ours, &["no mux, no TLS"]).await;
}

#[tokio::test]
async fn the_service_is_let_go_then_at_their_frpc() {
    let Some(theirs) = Side::reference("0.70.1") else {
        return;
    };
    let ways = ["tcp", "websocket", "no mux, no TLS", "kcp", "quic"];
    stalled_users_are_reset(&Side::Ours, &theirs, &ways).await;
}

#[tokio::test]
async fn users_who_never_read_hold_little_and_leave_nothing() {
    never_read("tcp", 512 * 1024).await;
}

#[tokio::test]
async fn users_by_kcp_who_never_read_hold_little_and_leave_nothing() {
    never_read("kcp, no mux", 640 * 1024).await;
}

#[tokio::test]
async fn users_by_quic_who_never_read_hold_little_and_leave_nothing() {
    never_read("quic", 640 * 1024).await;
}

/// Each would have 6 MiB at either end, and has `each` at most.
async fn never_read(way: &str, each: u64) {
    const USERS: u64 = 40;
    let (_, server_lines, client_lines) = TRANSPORTS
        .into_iter()
        .find(|(name, ..)| *name == way)
        .unwrap();
    let rig = Rig::new();
    let udp = free_udp_port();
    let frps = rig
        .frps(&server_lines.replace("{udp}", &udp.to_string()))
        .await;
    let port = if way == "tcp" { frps.port } else { udp };
    let film = Endless::new(Kind::Film).await;
    let (plain, sealed) = (free_port(), free_port());
    let layers = "transport.useEncryption = true\ntransport.useCompression = true";
    let text = [
        client_lines,
        &tcp_proxy("plain", film.service.port, plain, ""),
        &tcp_proxy("sealed", film.service.port, sealed, layers),
    ];
    let frpc = rig.frpc(port, &text.concat());
    for name in ["plain", "sealed"] {
        frpc.expect(&format!("[{name}] start proxy success")).await;
    }
    let before = (frps.program.private_bytes(), frpc.private_bytes());
    let mut users = Vec::new();
    for n in 0..USERS {
        let mut user = connect(if n % 2 == 0 { plain } else { sealed }).await;
        user.write_all(REQUEST).await.unwrap();
        users.push(user);
    }
    let mut last = (0, Instant::now());
    let limit = Duration::from_secs(60);
    eventually_within(limit, "the service is not read any more", || {
        let written = film.written.load(Ordering::Relaxed);
        if written != last.0 {
            last = (written, Instant::now());
        }
        let stalled = written > 0 && last.1.elapsed() > Duration::from_secs(2);
        async move { stalled }
    })
    .await;
    for (name, now, before) in [
        ("frps", frps.program.private_bytes(), before.0),
        ("frpc", frpc.private_bytes(), before.1),
    ] {
        let held = now.saturating_sub(before);
        println!(
            "{name} holds {} KiB of each of {USERS} users",
            held / USERS / 1024
        );
        assert!(held < USERS * each, "{name} holds {held} bytes");
    }
    drop(users);
    film.is_left_alone("users who never read").await;
}
