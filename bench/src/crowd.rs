//! A server with many clients: how long do its answers take, and does a user feel them?

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::backend::Backend;
use crate::error::{Context, Error, Values};
use crate::load::{ANSWER_LIMIT, RUN_UP, at, connect, pings};
use crate::mode::{Kind, Mode, Ports};
use crate::pair::Programs;
use crate::process::{Process, TempDir};
use crate::restart::{LIMIT, LOOK_AGAIN, NO_COLOR};

/// The answers of frps that has `clients` clients with [`PROXIES`] proxies each, and the round trips of one user,
/// alone and beside one who asks all the time. The clients live in one process.
pub(crate) fn measure(
    programs: &Programs,
    mode: &Mode,
    clients: usize,
    window: Duration,
) -> Result<Values, Error> {
    let Some(paths) = &programs.paths else {
        return Ok(Values::new());
    };
    let backend = Backend::start()?;
    let [bind, user, web] = free_ports()?;
    let ports = |user| Ports {
        host: Ipv4Addr::LOCALHOST,
        bind,
        user,
        front: None,
    };
    let dir = TempDir::new()?;
    let settings = format!("webServer.port = {web}\nenablePrometheus = true\n{NO_COLOR}");
    let frps_toml = settings + &mode.frps_toml(Kind::Tcp, &ports(user));
    let frps_toml = dir.write("frps.toml", &frps_toml)?;
    let configs = TempDir::new()?;
    for n in 0..clients {
        // The first has the user, the others any port.
        let ports = ports(if n == 0 { user } else { 0 });
        // Who comes in a crowd may have to come again.
        let mut toml = format!("loginFailExit = false\n{NO_COLOR}");
        toml += &mode
            .frpc_toml(Kind::Tcp, &ports, backend.addr(Kind::Tcp))
            .replace("name = \"bench\"", &format!("name = \"bench{n}\""));
        for k in 1..PROXIES {
            let _ = write!(
                toml,
                "\n[[proxies]]\nname = \"bench{n}-{k}\"\ntype = \"stcp\"\nsecretKey = \"x\"\nlocalPort = 9\n"
            );
        }
        configs.write(&format!("{n:04}.toml"), &toml)?;
    }
    let mut frps = Command::new(&paths.frps);
    frps.arg("-c").arg(frps_toml);
    let mut frps = Process::spawn("frps", frps, &dir)?;
    frps.wait_for_port((Ipv4Addr::LOCALHOST, bind).into())?;
    let mut frpc = Command::new(&paths.frpc);
    frpc.arg("--config_dir").arg(configs.path());
    let mut frpc = Process::spawn("frpc", frpc, &dir)?;
    let web = SocketAddr::from((Ipv4Addr::LOCALHOST, web));
    wait_for(&mut frpc, web, clients * PROXIES)?;

    let user = SocketAddr::from((Ipv4Addr::LOCALHOST, user));
    let proxies = clients * PROXIES;
    let mut values = Values::new();
    for path in PATHS {
        let mut times = Vec::new();
        for _ in 0..ASKS {
            let begin = Instant::now();
            let (status, _) = get(web, path).context(format!("GET {path}"))?;
            match status {
                // Not every side has each.
                404 => break,
                200 => times.push(begin.elapsed()),
                status => {
                    let source = io::Error::other(format!("status {status}"));
                    return Err(source).context(format!("GET {path}"));
                }
            }
        }
        for (share, name) in [(0.5, "p50"), (1.0, "max")] {
            let time = at(&mut times, share);
            values
                .extend(time.map(|us| (format!("{proxies} proxies, {path}, {name} ms"), us / 1e3)));
        }
    }
    let mut alone = echoes(user, window, None)?;
    let mut beside = echoes(user, window, Some(web))?;
    for (times, name) in [(&mut alone, "alone"), (&mut beside, "beside /metrics")] {
        for (share, percent) in [(0.5, "p50"), (0.99, "p99")] {
            let time = at(times, share);
            values.extend(
                time.map(|us| (format!("{proxies} proxies, echo {name}, {percent} us"), us)),
            );
        }
    }
    Ok(values)
}

/// Round trips, while somebody asks `web` all the time.
fn echoes(
    user: SocketAddr,
    window: Duration,
    web: Option<SocketAddr>,
) -> Result<Vec<Duration>, Error> {
    let mut user = connect(user).context("connect")?;
    let done = AtomicBool::new(false);
    let times = std::thread::scope(|scope| {
        if let Some(web) = web {
            let done = &done;
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let _ = get(web, "/metrics");
                }
            });
        }
        let begin = Instant::now() + RUN_UP;
        let times = pings(&mut user, begin, begin + window);
        done.store(true, Ordering::Relaxed);
        times
    });
    times.context("round trip")
}

/// Waits until so many proxies run. The log does not tell: it sums up what comes in masses.
fn wait_for(frpc: &mut Process, web: SocketAddr, proxies: usize) -> Result<(), Error> {
    let begin = Instant::now();
    loop {
        let (_, body) = get(web, "/api/serverinfo").context("GET /api/serverinfo")?;
        let info: Value = serde_json::from_slice(&body).unwrap_or_default();
        let types = info["proxyTypeCount"].as_object();
        let running = types.map_or(0, |types| types.values().filter_map(Value::as_u64).sum());
        if running >= proxies as u64 {
            return Ok(());
        }
        frpc.check_alive()?;
        if begin.elapsed() > LIMIT {
            return Err(Error::NoAnswer {
                seconds: LIMIT.as_secs(),
                last: io::Error::other(format!("{running} of {proxies} proxies run")),
                output: String::new(),
            });
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Status and body of the answer.
fn get(web: SocketAddr, path: &str) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(web)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    // Of HTTP/1.0, so that the body comes in one piece.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {web}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let none = || io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer");
    let digits = answer
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok());
    let status = digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(none)?;
    let head = answer
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .ok_or_else(none)?;
    Ok((status, answer.split_off(head + 4)))
}

/// Ports that nobody has; all are held until the last is found.
fn free_ports<const N: usize>() -> Result<[u16; N], Error> {
    let mut ports = [0; N];
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a port")?;
        *port = listener.local_addr().context("find a port")?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// Of each client.
const PROXIES: usize = 10;

/// How often each path is asked for.
const ASKS: usize = 20;

const PATHS: [&str; 6] = [
    "/api/live/overview",
    "/api/live/clients?sort=roundTrip",
    "/api/live/proxies?sort=in&order=desc",
    "/api/v2/proxies",
    "/api/proxy/stcp",
    "/metrics",
];
