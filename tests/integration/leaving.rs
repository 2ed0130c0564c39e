//! Users who leave in the middle of an answer, and users who never read it: what is left of them at
//! the service, by every way there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use frp_tests::rig::{host_proxy, stcp_proxy, stcp_visitor, tcp_proxy};
use frp_tests::wait::eventually_within;
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, timeout};

use super::carries::free_udp_port;

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

async fn visit(port: u16, leave: Leave) {
    let mut user = connect(port).await;
    user.write_all(REQUEST).await.unwrap();
    let mut byte = [0; 64];
    within(
        wait::SOON,
        "the answer begins",
        user.read_exact(&mut byte[..HEAD.len().min(16)]),
    )
    .await
    .unwrap();
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
const TRANSPORTS: [(&str, &str, &str); 7] = [
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
        if name == "kcp, no mux" && (*server != Side::Ours || *client != Side::Ours) {
            // Theirs says nothing of an end there.
            continue;
        }
        let rig = Rig::new();
        let udp = free_udp_port();
        let vhost = free_port();
        let lines = server_lines.replace("{udp}", &udp.to_string());
        let frps = rig
            .frps_of(server, &format!("{lines}vhostHTTPPort = {vhost}\n"))
            .await;
        let port = match name {
            "kcp" | "kcp, no mux" | "quic" => udp,
            _ => frps.port,
        };
        let camera = Endless::new(Kind::Camera).await;
        let silent = Endless::new(Kind::Silent).await;
        let mut text = client_lines.to_owned();
        let mut ports = Vec::new();
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
                ports.push(remote);
                names.push(proxy);
            }
        }
        text += &host_proxy(
            "http",
            "web",
            camera.service.port,
            "customDomains = [\"a.test\"]",
        );
        text += &stcp_proxy("secret", camera.service.port, "");
        let visitor = free_port();
        text += &stcp_visitor("visitor", "secret", visitor, "");
        let plugin = free_port();
        text += &format!(
            "\n[[proxies]]\nname = \"plugin\"\ntype = \"tcp\"\nremotePort = {plugin}\n\
             [proxies.plugin]\ntype = \"http2http\"\nlocalAddr = \"127.0.0.1:{}\"\n",
            camera.service.port
        );
        ports.extend([vhost, visitor, plugin]);
        names.extend(["web", "secret", "plugin"].map(str::to_owned));
        let frpc = rig.frpc_of(client, port, &text);
        for proxy in &names {
            frpc.expect(&format!("[{proxy}] start proxy success")).await;
        }
        for leave in [Leave::Close, Leave::Reset, Leave::ShutdownThenReset] {
            for _ in 0..2 {
                for port in &ports {
                    visit(*port, leave).await;
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
    never_read("tcp").await;
}

#[tokio::test]
async fn users_by_kcp_who_never_read_hold_little_and_leave_nothing() {
    never_read("kcp, no mux").await;
}

#[tokio::test]
async fn users_by_quic_who_never_read_hold_little_and_leave_nothing() {
    never_read("quic").await;
}

/// Each would have 6 MiB at either end.
async fn never_read(way: &str) {
    const USERS: u64 = 40;
    const EACH: u64 = 1024 * 1024;
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
        assert!(held < USERS * EACH, "{name} holds {held} bytes");
    }
    drop(users);
    film.is_left_alone("users who never read").await;
}
