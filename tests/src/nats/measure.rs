//! What a direct path is worth: echoes and bulk data by it and by the relay, and the processor time of all three
//! programs.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use frp_tests::hole::{Cast, FLOOD, Hole, Lines, service};
use frp_tests::network::{NatKind, NatNetwork, Path};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Args, DELAY};

/// Where users of the relay connect, on the visitor's host.
const RELAY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9002);

const PATIENCE: Duration = Duration::from_secs(30);

struct Figures {
    name: String,
    p50: Duration,
    p99: Duration,
    bytes_per_second: f64,
    cpu_per_gigabyte: f64,
}

/// All casts and protocols, one after the other.
pub(super) async fn all(args: &Args, time: Duration) -> ExitCode {
    println!("| by | echo p50, ms | p99, ms | MB/s | CPU of the three, s/GB |");
    println!("|---|---|---|---|---|");
    for (name, cast) in &args.casts {
        for protocol in &args.protocols {
            let Some(figures) = of(name, cast, protocol, time).await else {
                return ExitCode::FAILURE;
            };
            for figures in figures {
                println!(
                    "| {} | {:.1} | {:.1} | {:.1} | {:.2} |",
                    figures.name,
                    figures.p50.as_secs_f64() * 1000.0,
                    figures.p99.as_secs_f64() * 1000.0,
                    figures.bytes_per_second / 1e6,
                    figures.cpu_per_gigabyte,
                );
            }
        }
    }
    ExitCode::SUCCESS
}

async fn of(name: &str, cast: &Cast, protocol: &str, time: Duration) -> Option<[Figures; 2]> {
    let kind = NatKind::PortRestricted;
    let net = NatNetwork::new(kind, kind)?;
    net.set_path(Path {
        delay: DELAY,
        ..Path::default()
    });
    let relayed = service(&net);
    let lines = Lines {
        owner: &format!(
            "[[proxies]]\nname = \"relayed\"\ntype = \"stcp\"\nsecretKey = \"secret\"\nlocalPort = {}\n",
            relayed.port
        ),
        visitor: &format!(
            "[[visitors]]\nname = \"relay\"\ntype = \"stcp\"\nserverName = \"relayed\"\n\
             secretKey = \"secret\"\nbindPort = {}\n",
            RELAY.port()
        ),
        ..Lines::default()
    };
    let hole = Hole::begin(net, cast, protocol, lines).await;
    if !hole.first_byte(PATIENCE).await.works() {
        eprintln!("{name}, {protocol}: no direct path");
        return None;
    }
    let direct = figures(&hole, format!("{name}: {protocol}, directly"), time, true).await?;
    let relay = figures(&hole, format!("{name}: stcp, by frps"), time, false).await?;
    Some([direct, relay])
}

async fn figures(hole: &Hole, name: String, time: Duration, direct: bool) -> Option<Figures> {
    let user = async || -> Option<TcpStream> {
        if direct {
            return hole.user().await.ok();
        }
        let user = hole.net.visitor.connect(RELAY).await.ok()?;
        user.set_nodelay(true).ok()?;
        Some(user)
    };
    let mut echoing = user().await?;
    let begin = Instant::now();
    let mut times = Vec::new();
    let mut word = [b'?'; 64];
    while begin.elapsed() < time {
        let sent = Instant::now();
        echoing.write_all(&word).await.ok()?;
        echoing.read_exact(&mut word).await.ok()?;
        times.push(sent.elapsed());
    }
    times.sort();
    let mut flooded = user().await?;
    flooded.write_all(&[FLOOD]).await.ok()?;
    let mut buffer = vec![0; 262_144];
    // The windows of the path grow first.
    let (mut begin, mut cpu, mut bytes) = (Instant::now(), cpu_time(hole), 0);
    let mut is_warm = false;
    while !is_warm || begin.elapsed() < time {
        bytes += flooded.read(&mut buffer).await.ok()?;
        if !is_warm && begin.elapsed() > Duration::from_secs(1) {
            (begin, cpu, bytes, is_warm) = (Instant::now(), cpu_time(hole), 0, true);
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = (cpu_time(hole) - cpu).as_secs_f64();
    Some(Figures {
        name,
        p50: times[times.len() / 2],
        p99: times[times.len() * 99 / 100],
        bytes_per_second: bytes as f64 / seconds,
        cpu_per_gigabyte: cpu / (bytes as f64 / 1e9),
    })
}

fn cpu_time(hole: &Hole) -> Duration {
    [&hole.frps, &hole.owner, &hole.visitor]
        .into_iter()
        .map(frp_tests::Program::cpu_time)
        .sum()
}
