//! frps on an internet of a test's own and clients behind a NAT box, with users all the while, a pair of programs for
//! each way to the server. Storms pass over all of them at once.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::exchange::{self, End as Ended, Tally, Want};
use crate::dns::{Answer, DnsServer};
use crate::http;
use crate::network::{Deaf, End, Host, NatKind, NatNetwork, Path};
use crate::program::{Program, Side};
use crate::rig::{Rig, tcp_proxy, udp_proxy};
use crate::service::Service;
use crate::wait::SOON;

/// How a client comes to its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By TCP with TLS and the mux: the default.
    Tcp,
    /// The same without the mux.
    NoMux,
    /// By a websocket.
    Websocket,
    /// By KCP.
    Kcp,
    /// By QUIC.
    Quic,
}

/// A storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Packets take 40 ms, of a thousand 30 are lost, 30 late by 25 ms, and 20 come twice.
    Rough,
    /// Nothing passes.
    Parted,
    /// Nothing comes to the clients; what they say arrives.
    ClientsDeaf,
    /// Nothing comes to the servers.
    ServersDeaf,
    /// The NAT box is started again.
    BoxRestarted,
    /// The NAT box has another address outside.
    Moved,
    /// The servers are killed, and started again when it is over.
    ServersKilled,
    /// The same, and the name of the servers leads nowhere for a second longer.
    NamesLost,
    /// The clients are killed, and started again when it is over.
    ClientsKilled,
}

/// The programs of one way, and their users.
pub struct Pair {
    /// Which way.
    pub way: Way,
    /// The server.
    pub frps: Program,
    /// The client.
    pub frpc: Program,
    /// What has become of its users.
    pub tally: Arc<Tally>,
    at: Place,
    at_rest: Option<Standing>,
    /// Who asks by UDP: the same all the time, for frpc keeps a socket for each.
    asker: UdpSocket,
    _services: (Service, Task),
}

/// What there is of one pair, by the server and by the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Sessions.
    pub clients: u64,
    /// Proxies that run.
    pub proxies: u64,
    /// Users' connections.
    pub connections: u64,
    /// Sockets of frps, and of frpc.
    pub sockets: [usize; 2],
}

/// All pairs, their network and services.
pub struct Scene {
    /// Where they are.
    pub net: NatNetwork,
    /// The programs.
    pub pairs: Vec<Pair>,
    dns: DnsServer,
    /// The addresses that the box has had so far.
    moves: u8,
    users: Option<Users>,
    _rig: Rig,
}

struct Task(JoinHandle<()>);

struct Users {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Ports of one pair.
#[derive(Clone, Copy, Debug)]
struct Place {
    server: Ipv4Addr,
    /// bindPort, and those of KCP and QUIC.
    bind: u16,
    web: u16,
    /// Where users come, by TCP and UDP.
    users: u16,
}

const NAME: &str = "frps.test";

/// Of the DNS server.
const DNS: u16 = 5353;

/// A user gives up after this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a user downloads, or uploads.
const CONTENT: u64 = 300_000;

/// Between two records of a user who stays, and two looks at anything.
const PAUSE: Duration = Duration::from_millis(100);

/// Between two users who come and go.
const NEXT_USER: Duration = Duration::from_millis(300);

/// Work connections that frps may keep beyond `poolCount` (frp `server/control.go`); without the mux each is a socket
/// of both.
const SPARE: usize = 10;

/// How much longer names lead nowhere than there is no server.
const NO_NAMES: Duration = Duration::from_secs(1);

impl Way {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Tcp,
        Self::NoMux,
        Self::Websocket,
        Self::Kcp,
        Self::Quic,
    ];

    /// How a table calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::NoMux => "tcp, no mux",
            Self::Websocket => "websocket",
            Self::Kcp => "kcp",
            Self::Quic => "quic",
        }
    }

    fn lines(self) -> &'static str {
        match self {
            Self::Tcp => "",
            Self::NoMux => "transport.tcpMux = false\n",
            Self::Websocket => "transport.protocol = \"websocket\"\n",
            Self::Kcp => "transport.protocol = \"kcp\"\n",
            Self::Quic => "transport.protocol = \"quic\"\n",
        }
    }
}

impl Weather {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Rough,
        Self::Parted,
        Self::ClientsDeaf,
        Self::ServersDeaf,
        Self::BoxRestarted,
        Self::Moved,
        Self::ServersKilled,
        Self::NamesLost,
        Self::ClientsKilled,
    ];

    /// How a table calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rough => "loss, delay, reordering, duplicates",
            Self::Parted => "partition",
            Self::ClientsDeaf => "nothing comes to frpc",
            Self::ServersDeaf => "nothing comes to frps",
            Self::BoxRestarted => "NAT box restarted",
            Self::Moved => "another address",
            Self::ServersKilled => "frps killed",
            Self::NamesLost => "frps killed, no DNS",
            Self::ClientsKilled => "frpc killed",
        }
    }
}

impl Scene {
    /// Starts a pair for each of `ways`, with these lines in the configurations of servers and clients; None after a line
    /// that says `SKIPPED`.
    pub async fn begin(
        server: &Side,
        client: &Side,
        ways: &[Way],
        lines: [&str; 2],
    ) -> Option<Self> {
        let net = NatNetwork::in_one_lan(NatKind::PortRestricted)?;
        let rig = Rig::new();
        let dns = dns_of(&net.server);
        let mut pairs = Vec::new();
        for (way, number) in ways.iter().zip(0..) {
            let at = Place::new(net.server.ip, number);
            let toml = at.frps_toml(*way, lines[0]);
            let frps = net.server.start(&rig, server, "frps", &toml);
            until_started(&frps).await;
            let tally = Arc::new(Tally::default());
            let service = service_of(&net.owner, &tally);
            let socket = net.owner.udp_socket(0);
            let udp_port = socket.local_addr().unwrap().port();
            let udp_service = Task(tokio::spawn(echo_datagrams(socket)));
            let proxies = tcp_proxy("t", service.port, at.users, "")
                + &udp_proxy("u", udp_port, at.users, "");
            let toml = at.frpc_toml(*way, lines[1]) + &proxies;
            pairs.push(Pair {
                way: *way,
                frps,
                frpc: net.owner.start(&rig, client, "frpc", &toml),
                tally,
                at,
                at_rest: None,
                asker: net.server.udp_socket(0),
                _services: (service, udp_service),
            });
        }
        let mut scene = Self {
            net,
            pairs,
            dns,
            moves: 1,
            users: None,
            _rig: rig,
        };
        let back = scene.back(SOON).await;
        assert!(back.iter().all(Option::is_some), "not all serve: {back:?}");
        for n in 0..scene.pairs.len() {
            scene.pairs[n].at_rest = Some(scene.rest(n).await);
        }
        Some(scene)
    }

    /// Has users come from now on.
    pub fn let_users_in(&mut self) {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for pair in &self.pairs {
            let users = SocketAddrV4::new(pair.at.server, pair.at.users);
            let (host, tally) = (self.net.server.clone(), pair.tally.clone());
            let wants = [Want::Download(CONTENT), Want::Upload(CONTENT), Want::Echo];
            for (want, number) in wants.into_iter().zip(0..) {
                let user = User {
                    host: host.clone(),
                    users,
                    tally: tally.clone(),
                    stopped: stopped.clone(),
                };
                tasks.spawn(user.come_and_go(want, number));
            }
            let user = User {
                host,
                users,
                tally,
                stopped: stopped.clone(),
            };
            tasks.spawn(user.stay());
        }
        self.users = Some(Users { stop, tasks });
    }

    /// Has them finish what they have begun, and none come any more.
    pub async fn send_users_away(&mut self) {
        let Some(mut users) = self.users.take() else {
            return;
        };
        users.stop.send_replace(true);
        while let Some(ended) = users.tasks.join_next().await {
            ended.unwrap();
        }
    }

    /// Lets a storm of this length pass.
    pub async fn storm(&mut self, weather: Weather, length: Duration) {
        match weather {
            Weather::Rough => self.path_for(rough(), length).await,
            Weather::Parted => {
                let nothing = Path {
                    lost_of_1000: 1000,
                    ..Path::default()
                };
                self.path_for(nothing, length).await;
            }
            Weather::ClientsDeaf => self.deaf_for(Deaf::Owner, length).await,
            Weather::ServersDeaf => self.deaf_for(Deaf::Server, length).await,
            Weather::BoxRestarted => {
                self.net.forget(End::Owner);
                sleep(length).await;
            }
            Weather::Moved => {
                self.moves += 1;
                let outside = Ipv4Addr::new(198, 51, 100, self.moves);
                self.net.move_to(End::Owner, outside);
                sleep(length).await;
            }
            Weather::ServersKilled => self.servers_killed(length).await,
            Weather::NamesLost => {
                const SERVER_FAILED: u8 = 2;
                self.dns.set(NAME, Answer::Code(SERVER_FAILED));
                self.servers_killed(length).await;
                sleep(NO_NAMES).await;
                self.dns.set(NAME, address_of(&self.net.server));
            }
            Weather::ClientsKilled => {
                for pair in &mut self.pairs {
                    pair.frpc.kill().await;
                }
                sleep(length).await;
                for pair in &mut self.pairs {
                    pair.frpc.start_again();
                }
            }
        }
    }

    async fn path_for(&self, path: Path, length: Duration) {
        self.net.set_path(path);
        sleep(length).await;
        self.net.set_path(Path::default());
    }

    async fn deaf_for(&self, who: Deaf, length: Duration) {
        self.net.set_deaf(Some(who));
        sleep(length).await;
        self.net.set_deaf(None);
    }

    async fn servers_killed(&mut self, length: Duration) {
        for pair in &mut self.pairs {
            pair.frps.kill().await;
        }
        sleep(length).await;
        for pair in &mut self.pairs {
            pair.frps.start_again();
        }
        for pair in &self.pairs {
            until_started(&pair.frps).await;
        }
    }

    /// After how long a new user of each pair is served, by TCP and by UDP; None: not within `limit`.
    pub async fn back(&self, limit: Duration) -> Vec<Option<Duration>> {
        let begin = Instant::now();
        join_all(self.pairs.iter().map(async |pair| {
            let both = async {
                tokio::join!(self.until_served(pair), self.until_answered(pair));
            };
            let back = timeout(limit, both).await;
            back.ok().map(|()| begin.elapsed())
        }))
        .await
    }

    async fn until_served(&self, pair: &Pair) {
        const ONE: Duration = Duration::from_secs(2);
        let users = SocketAddrV4::new(pair.at.server, pair.at.users);
        loop {
            let user = async {
                let mut stream = self.net.server.connect(users).await.ok()?;
                let end = exchange::exchange(&mut stream, Want::Echo, 1).await;
                (end == Ended::Whole).then_some(())
            };
            if timeout(ONE, user).await.ok().flatten().is_some() {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    async fn until_answered(&self, pair: &Pair) {
        const ONE: Duration = Duration::from_millis(500);
        let users: SocketAddr = (pair.at.server, pair.at.users).into();
        let begun = Instant::now();
        loop {
            let question = format!("{begun:?}");
            let _ = pair.asker.send_to(question.as_bytes(), users).await;
            let mut answer = vec![0; question.len()];
            let answered = async {
                // Answers to former questions may be late.
                while !matches!(pair.asker.recv_from(&mut answer).await, Ok((n, _)) if answer[..n] == *question.as_bytes())
                {
                }
            };
            if timeout(ONE, answered).await.is_ok() {
                return;
            }
        }
    }

    /// After how long each pair has no more than it had at rest, and not less; else what it has after `limit`.
    pub async fn calm(&self, limit: Duration) -> Vec<Result<Duration, Standing>> {
        let begin = Instant::now();
        join_all(self.pairs.iter().map(async |pair| {
            let due = pair.at_rest.unwrap();
            loop {
                let found = self.standing(pair).await;
                if found.is_as(&due, pair.way) {
                    return Ok(begin.elapsed());
                }
                if begin.elapsed() > limit {
                    return Err(found);
                }
                sleep(PAUSE).await;
            }
        }))
        .await
    }

    /// What a pair has before any storm, when it has stayed the same for a while.
    async fn rest(&self, number: usize) -> Standing {
        const STEADY: u32 = 5;
        let pair = &self.pairs[number];
        let (mut last, mut same) = (self.standing(pair).await, 0);
        let begin = Instant::now();
        while same < STEADY {
            assert!(begin.elapsed() < SOON, "{:?} finds no rest", pair.way);
            sleep(PAUSE).await;
            let next = self.standing(pair).await;
            let at_rest =
                next == last && (next.clients, next.proxies, next.connections) == (1, 2, 0);
            same = if at_rest { same + 1 } else { 0 };
            last = next;
        }
        last
    }

    /// What a pair has now.
    pub async fn standing(&self, pair: &Pair) -> Standing {
        let web = SocketAddrV4::new(pair.at.server, pair.at.web);
        let info = match self.net.server.connect(web).await {
            Ok(stream) => {
                let answer =
                    http::request_on(stream, "GET", "/api/serverinfo", Some(http::ADMIN)).await;
                answer.json()
            }
            Err(_) => Value::Null,
        };
        let proxies = info["proxyTypeCount"].as_object();
        Standing {
            clients: info["clientCounts"].as_u64().unwrap_or_default(),
            proxies: proxies.map_or(0, |types| types.values().filter_map(Value::as_u64).sum()),
            connections: info["curConns"].as_u64().unwrap_or_default(),
            sockets: [pair.frps.sockets(), pair.frpc.sockets()],
        }
    }
}

impl Pair {
    /// How many sockets frps and frpc had before any storm.
    #[must_use]
    pub fn sockets_at_rest(&self) -> [usize; 2] {
        self.at_rest.map_or([0; 2], |rest| rest.sockets)
    }
}

impl Standing {
    /// As much as at rest; of sockets not more than a pool.
    fn is_as(&self, due: &Self, way: Way) -> bool {
        let spare = if way == Way::NoMux { SPARE } else { 0 };
        let counts = |s: &Self| (s.clients, s.proxies, s.connections);
        let pairs = self.sockets.iter().zip(due.sockets);
        counts(self) == counts(due) && pairs.into_iter().all(|(found, due)| *found <= due + spare)
    }
}

impl Place {
    fn new(server: Ipv4Addr, number: u16) -> Self {
        Self {
            server,
            bind: 7000 + number,
            web: 7500 + number,
            users: 6000 + number,
        }
    }

    fn frps_toml(&self, way: Way, lines: &str) -> String {
        let Self { bind, web, .. } = self;
        let more = match way {
            Way::NoMux => way.lines().to_owned(),
            Way::Kcp => format!("kcpBindPort = {bind}\n"),
            Way::Quic => format!("quicBindPort = {bind}\n"),
            Way::Tcp | Way::Websocket => String::new(),
        };
        format!(
            "bindPort = {bind}\n{LOG}{AUTH}{lines}{more}[webServer]\naddr = \"0.0.0.0\"\nport = {web}\n\
             user = \"admin\"\npassword = \"secret\"\n"
        )
    }

    fn frpc_toml(&self, way: Way, lines: &str) -> String {
        let Self { server, bind, .. } = self;
        format!(
            "serverAddr = \"{NAME}\"\nserverPort = {bind}\ndnsServer = \"{server}:{DNS}\"\n\
             loginFailExit = false\n{LOG}{AUTH}{lines}{}",
            way.lines()
        )
    }
}

const AUTH: &str = "auth.token = \"storm\"\n";
const LOG: &str = "log.level = \"debug\"\nlog.disablePrintColor = true\n";

/// A user of one proxy.
struct User {
    host: Host,
    users: SocketAddrV4,
    tally: Arc<Tally>,
    stopped: watch::Receiver<bool>,
}

impl User {
    /// One connection after the other.
    async fn come_and_go(self, want: Want, number: u64) {
        let mut seed = number << 32;
        while !*self.stopped.borrow() {
            seed += 1;
            let visit = async {
                let mut stream = self.host.connect(self.users).await.ok()?;
                Some(exchange::exchange(&mut stream, want, seed).await)
            };
            let end = match timeout(PATIENCE, visit).await {
                Ok(end) => end.unwrap_or(Ended::BrokenOff),
                Err(_) => Ended::Silent,
            };
            self.tally.count(end);
            sleep(NEXT_USER).await;
        }
    }

    /// One connection for as long as it lasts.
    async fn stay(self) {
        while !*self.stopped.borrow() {
            if let Ok(Ok(stream)) = timeout(PATIENCE, self.host.connect(self.users)).await {
                self.talk(stream).await;
            }
            sleep(PAUSE).await;
        }
    }

    async fn talk(&self, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        if exchange::want_echoes(&mut stream).await.is_err() {
            return;
        }
        let mut seed = 0;
        while !*self.stopped.borrow() {
            seed += 1;
            let said = timeout(PATIENCE, exchange::record(&mut stream, seed)).await;
            match said {
                Ok(Ok(Ended::Whole)) => {}
                Ok(Ok(end)) => return self.tally.count(end),
                Ok(Err(_)) => return self.tally.count(Ended::BrokenOff),
                Err(_) => return self.tally.count(Ended::Silent),
            }
            sleep(PAUSE).await;
        }
        self.tally.count(Ended::Whole);
    }
}

fn rough() -> Path {
    Path {
        delay: Duration::from_millis(40),
        lost_of_1000: 30,
        late_of_1000: 30,
        late_by: Duration::from_millis(25),
        twice_of_1000: 20,
        rate: None,
    }
}

async fn until_started(frps: &Program) {
    let up = |line: &str| {
        line.contains("frps started successfully") || line.contains("tart frps success")
    };
    let line = frps.log().wait(0, SOON, up).await;
    assert!(line.is_some(), "frps did not start: {}", frps.log().text());
}

fn service_of(host: &Host, tally: &Arc<Tally>) -> Service {
    let tally = tally.clone();
    host.service(0, move |stream| {
        let tally = tally.clone();
        async move { exchange::serve(stream, &tally).await }
    })
}

async fn echo_datagrams(socket: UdpSocket) {
    let mut datagram = vec![0; 65_536];
    loop {
        if let Ok((n, from)) = socket.recv_from(&mut datagram).await {
            let _ = socket.send_to(&datagram[..n], from).await;
        }
    }
}

fn dns_of(host: &Host) -> DnsServer {
    let sockets = (host.udp_socket(DNS), host.listener(DNS));
    DnsServer::on(sockets.0, sockets.1, [(NAME, address_of(host))])
}

fn address_of(host: &Host) -> Answer {
    Answer::Addresses(vec![host.ip.into()])
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
