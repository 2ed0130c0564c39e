//! A day of flapping links in seconds: servers and clients in one program, whose clock goes on to the next event as
//! soon as nobody has anything to do.

use std::sync::Arc;
use std::time::Duration;

use frp_config::{ClientConfig, LoadOptions, Purpose, ServerConfig, parse_client, parse_server};
use frp_tests::network::middlebox::Open;
use frp_tests::network::{Network, Path};
use frp_tests::rig::tcp_proxy;
use frp_tests::storm::exchange::{End, Tally, Want, exchange, record, serve, want_echoes};
use frp_tests::storm::link::{Break, Link, Passes};
use frp_tests::*;
use frps::{Server, Stop};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// A client with one proxy, and the link to its server.
struct Client {
    name: &'static str,
    link: Link,
    users: u16,
    tally: Arc<Tally>,
}

/// A server, by the port of its API, and how many clients it has.
struct Place {
    web: u16,
    clients: u64,
}

const NO_MUX: &str = "transport.tcpMux = false\n";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// How long trouble lasts: some outlive every timeout, some none.
const LENGTHS: [u64; 6] = [1, 5, 30, 60, 120, 300];

/// Everybody is back this long after trouble: by silence alone a server is missed after up to 90 s.
const BACK: Duration = Duration::from_secs(180);

/// Nothing is left after this time: the system takes 150 s to give up a peer that answers nothing.
const CALM: Duration = Duration::from_secs(300);

/// A user gives up after this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sessions, proxies and users come and go some three hundred times, and after each hour there are as many of each,
/// of tasks and of sockets as after the first.
#[test]
fn after_a_day_of_flapping_links_all_is_there_and_nothing_more() {
    // A network of its own: its sockets can be counted, and its ports are free.
    let Some(net) = Network::new(Path::default(), Open) else {
        return;
    };
    net.client.within(|| {
        // The programs take a thread for each core, and one clock has one thread.
        let mut one = CpuSet::new();
        one.set(sched_getcpu());
        sched_setaffinity(None, &one).unwrap();
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(day());
    });
}

async fn day() {
    let tally = Arc::new(Tally::default());
    let counted = tally.clone();
    let service = Service::new(move |stream| {
        let tally = counted.clone();
        async move { serve(stream, &tally).await }
    })
    .await;
    let stop = (Stop::new(), CancellationToken::new());
    let both = "kcpBindPort = 7000\nquicBindPort = 7001\n";
    let servers = [
        start_server(&stop.0, 7000, both, 4),
        start_server(&stop.0, 8000, NO_MUX, 1),
    ];
    let links = [
        ("tcp", "", Link::tcp(7000).await),
        ("no mux", NO_MUX, Link::tcp(8000).await),
        (
            "websocket",
            "transport.protocol = \"websocket\"\n",
            Link::tcp(7000).await,
        ),
        (
            "kcp",
            "transport.protocol = \"kcp\"\n",
            Link::udp(7000).await,
        ),
        (
            "quic",
            "transport.protocol = \"quic\"\n",
            Link::udp(7001).await,
        ),
    ];
    let mut clients = Vec::new();
    for ((name, lines, link), users) in links.into_iter().zip(6000..) {
        let client = Client {
            name,
            link,
            users,
            tally: Arc::default(),
        };
        client.start(&stop.1, lines, service.port);
        client.is_back().await;
        clients.push(client);
    }
    let begin = Instant::now();
    let mut at_rest = None;
    let mut dice = Dice(0x5EED);
    let mut troubles = 0;
    for hour in 1..=24 {
        let (pause, paused) = watch::channel(false);
        let mut users = JoinSet::new();
        for client in &clients {
            users.spawn(visits(client.users, client.tally.clone(), paused.clone()));
            users.spawn(stays(client.users, client.tally.clone(), paused.clone()));
        }
        while begin.elapsed() < HOUR * hour {
            sleep(Duration::from_secs(60 + dice.below(480))).await;
            let client = &clients[dice.below(clients.len() as u64) as usize];
            client.trouble(&mut dice).await;
            troubles += 1;
            client.is_back().await;
        }
        pause.send_replace(true);
        while let Some(ended) = users.join_next().await {
            ended.unwrap();
        }
        // A pool may have more than it had at first, up to ten. New sessions have new ones.
        for client in &clients {
            client.is_back().await;
            client.link.break_off(Break::Told);
            sleep(Duration::from_secs(1)).await;
            client.is_back().await;
        }
        let found = until_at_rest(&servers, at_rest).await;
        at_rest.get_or_insert(found);
    }
    assert!(begin.elapsed() >= DAY && troubles > 100, "{troubles}");
    let mut told = String::new();
    for client in &clients {
        let of = |end| client.tally.of(end);
        told += &format!(
            "{}: {} whole, {} broken off; ",
            client.name,
            of(End::Whole),
            of(End::BrokenOff)
        );
        assert_eq!(client.tally.lies(), 0, "{}", client.name);
        assert!(of(End::Whole) > 50, "{told}");
    }
    println!("{troubles} troubles; {told}{at_rest:?}");
    assert_eq!(tally.lies(), 0, "uploads that ended early, and cleanly");
    stop.1.cancel();
    stop.0.now();
}

impl Client {
    fn start(&self, stop: &CancellationToken, lines: &str, service: u16) {
        let (name, port) = (self.name, self.link.port);
        let text = format!(
            "serverAddr = \"127.0.0.1\"\nserverPort = {port}\nauth.token = \"day\"\nloginFailExit = false\n\
             transport.dialServerKeepalive = 15\n{lines}{}",
            tcp_proxy(name, service, self.users, "")
        );
        let client = frpc::Service::new(client_settings(&text), None).unwrap();
        tokio::spawn(client.run(stop.clone()));
    }

    /// Something befalls the link, and is over.
    async fn trouble(&self, dice: &mut Dice) {
        let length = Duration::from_secs(LENGTHS[dice.below(LENGTHS.len() as u64) as usize]);
        match dice.below(5) {
            0 => self.passes(Passes::Nothing, length).await,
            1 => self.passes(Passes::Some, length).await,
            2 => self.link.break_off(Break::Told),
            3 => self.link.break_off(Break::HalfOpen),
            _ => self.link.break_off(Break::Forgotten),
        }
    }

    async fn passes(&self, passes: Passes, length: Duration) {
        self.link.set(passes);
        sleep(length).await;
        self.link.set(Passes::Everything);
    }

    /// Waits until a new user is served.
    async fn is_back(&self) {
        const ONE: Duration = Duration::from_secs(20);
        let begin = Instant::now();
        loop {
            let user = async {
                let mut stream = TcpStream::connect(("127.0.0.1", self.users)).await.ok()?;
                let end = exchange(&mut stream, Want::Echo, 1).await;
                (end == End::Whole).then_some(())
            };
            if timeout(ONE, user).await.ok().flatten().is_some() {
                return;
            }
            assert!(begin.elapsed() < BACK, "{} is not back", self.name);
            sleep(Duration::from_secs(1)).await;
        }
    }
}

impl Place {
    /// Sessions, proxies and users' connections.
    async fn counts(&self) -> [u64; 3] {
        let info = http::get(self.web, "/api/serverinfo").await.json();
        let number = |value: &serde_json::Value| value.as_u64().unwrap_or_default();
        [
            number(&info["clientCounts"]),
            number(&info["proxyTypeCount"]["tcp"]),
            number(&info["curConns"]),
        ]
    }
}

fn start_server(stop: &Stop, port: u16, lines: &str, clients: u64) -> Place {
    let web = port + 2;
    let text = format!(
        "bindAddr = \"127.0.0.1\"\nbindPort = {port}\nauth.token = \"day\"\nwebServer.port = {web}\n\
         transport.tcpKeepalive = 15\n{lines}"
    );
    let server = Server::bind(server_settings(&text), None).unwrap();
    tokio::spawn(server.run(stop.clone()));
    Place { web, clients }
}

/// Waits until each server has its clients with a proxy each and nobody else, and there are no more tasks and sockets
/// than after the first hour: how many there are.
async fn until_at_rest(servers: &[Place], due: Option<[usize; 2]>) -> [usize; 2] {
    let begin = Instant::now();
    let (mut last, mut same) = ([0; 2], 0);
    loop {
        let mut is_counted = true;
        let mut counted = String::new();
        for server in servers {
            let counts = server.counts().await;
            is_counted &= counts == [server.clients, server.clients, 0];
            counted += &format!("{counts:?} ");
        }
        // What the questions have left goes meanwhile.
        sleep(Duration::from_secs(5)).await;
        let found = [Handle::current().metrics().num_alive_tasks(), sockets()];
        let is_less = due.is_none_or(|due| found[0] <= due[0] && found[1] <= due[1]);
        same = if found == last { same + 1 } else { 0 };
        last = found;
        if is_counted && is_less && same >= 3 {
            return found;
        }
        assert!(
            begin.elapsed() < CALM,
            "left behind: {counted}; tasks and sockets {found:?}, after the first hour {due:?}"
        );
    }
}

/// The sockets of this network that a program holds.
fn sockets() -> usize {
    let held = |line: &&str| {
        line.split_whitespace()
            .nth(9)
            .is_some_and(|inode| inode != "0")
    };
    let tables = ["tcp", "tcp6", "udp", "udp6"].into_iter();
    let tables =
        tables.map(|table| std::fs::read_to_string(format!("/proc/thread-self/net/{table}")));
    tables
        .map(|text| text.unwrap().lines().skip(1).filter(held).count())
        .sum()
}

/// One user after the other.
async fn visits(port: u16, tally: Arc<Tally>, mut paused: watch::Receiver<bool>) {
    const LEN: u64 = 100_000;
    const EVERY: Duration = Duration::from_secs(1800);
    for seed in 0.. {
        let want = [Want::Download(LEN), Want::Upload(LEN)][(seed % 2) as usize];
        let visit = async {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
            Some(exchange(&mut stream, want, seed).await)
        };
        let end = timeout(PATIENCE, visit).await.ok().flatten();
        tally.count(end.unwrap_or(End::BrokenOff));
        let ended = paused.wait_for(|paused| *paused);
        if timeout(EVERY, ended).await.is_ok() {
            return;
        }
    }
}

/// A user who stays, and comes again if he has to.
async fn stays(port: u16, tally: Arc<Tally>, mut paused: watch::Receiver<bool>) {
    const EVERY: Duration = Duration::from_secs(300);
    loop {
        let talk = async {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
            want_echoes(&mut stream).await.ok()?;
            for seed in 0.. {
                let said = timeout(PATIENCE, record(&mut stream, seed)).await;
                if !matches!(said, Ok(Ok(End::Whole))) {
                    return said.ok()?.ok();
                }
                sleep(EVERY).await;
            }
            None
        };
        tokio::select! {
            end = talk => tally.count(end.unwrap_or(End::BrokenOff)),
            _ = paused.wait_for(|paused| *paused) => return tally.count(End::Whole),
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// xorshift64: the same day each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

fn server_settings(text: &str) -> ServerConfig {
    let loaded = parse_server(text, "frps.toml", &LoadOptions::new(Purpose::Run));
    loaded.unwrap().settings
}

fn client_settings(text: &str) -> ClientConfig {
    let loaded = parse_client(text, "frpc.toml", &LoadOptions::new(Purpose::Run));
    loaded.unwrap().settings
}
