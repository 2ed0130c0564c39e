//! A server that is killed and started again: how soon are its clients back?

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Values};
use crate::mode::{Kind, Mode, Ports};
use crate::pair::Programs;
use crate::process::{Process, TempDir};

/// Times from the restarted frps listening until half, and all, of `clients` clients have their proxies again, and
/// the CPU time that it takes from the kill on. The clients live in one process, each with a connection of its own.
pub(crate) fn measure(programs: &Programs, mode: &Mode, clients: usize) -> Result<Values, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a port")?;
    let bind = listener.local_addr().context("find a port")?.port();
    drop(listener);
    // Each proxy has any port.
    let ports = Ports {
        host: Ipv4Addr::LOCALHOST,
        bind,
        user: 0,
        front: None,
    };
    let Some(paths) = &programs.paths else {
        return Ok(Values::new());
    };
    let dir = TempDir::new()?;
    let frps_toml = mode.frps_toml(Kind::Tcp, &ports) + NO_COLOR;
    let frps_toml = dir.write("frps.toml", &frps_toml)?;
    let configs = TempDir::new()?;
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let frpc_toml = NO_COLOR.to_owned() + &mode.frpc_toml(Kind::Tcp, &ports, nobody);
    for n in 0..clients {
        let own = frpc_toml.replace("name = \"bench\"", &format!("name = \"bench{n}\""));
        configs.write(&format!("{n:04}.toml"), &own)?;
    }

    let start = |logs: &TempDir| {
        let mut frps = Command::new(&paths.frps);
        frps.arg("-c").arg(&frps_toml);
        Process::spawn("frps", frps, logs)
    };
    let mut frps = start(&dir)?;
    frps.wait_for_port((ports.host, bind).into())?;
    let mut frpc = Command::new(&paths.frpc);
    frpc.arg("--config_dir").arg(configs.path());
    let mut frpc = Process::spawn("frpc", frpc, &dir)?;
    wait_for(&mut frpc, clients)?;
    std::thread::sleep(REST);

    let begin = frpc.cpu()?;
    drop(frps);
    std::thread::sleep(OUTAGE);
    let second = TempDir::new()?;
    let frps = start(&second)?;
    let back = wait_for(&mut frpc, 2 * clients)?;
    let cpu = frpc.cpu()?.saturating_sub(begin) + frps.cpu()?;
    let listens = times(&frps.output(), LISTENS);
    let no_time = || io::Error::new(io::ErrorKind::InvalidData, "no times in the log");
    let listens = listens
        .first()
        .ok_or_else(no_time)
        .context("read the log of frps")?;
    let mut after: Vec<f64> = back
        .values()
        .filter_map(|times| times.get(1))
        .map(|at| (at - listens).max(0.0))
        .collect();
    after.sort_by(f64::total_cmp);
    let ends = after.get(after.len() / 2).zip(after.last());
    let (half, last) = ends.ok_or_else(no_time).context("read the log of frpc")?;
    Ok(vec![
        (format!("{clients} clients back, half, s"), *half),
        (format!("{clients} clients back, all, s"), *last),
        (format!("{clients} clients back, CPU s"), cpu.as_secs_f64()),
    ])
}

/// Waits until proxies have been started so often. When each was, by the rest of its line.
fn wait_for(frpc: &mut Process, starts: usize) -> Result<HashMap<String, Vec<f64>>, Error> {
    let begin = Instant::now();
    loop {
        let output = frpc.output();
        if output.matches(STARTED).count() >= starts {
            let mut all: HashMap<String, Vec<f64>> = HashMap::new();
            for line in output.lines().filter(|line| line.ends_with(STARTED)) {
                let name = line.trim_end_matches(STARTED).rsplit('[').next();
                let Some(at) = time(line) else { continue };
                all.entry(name.unwrap_or_default().to_owned())
                    .or_default()
                    .push(at);
            }
            return Ok(all);
        }
        frpc.check_alive()?;
        if begin.elapsed() > LIMIT {
            let last = io::ErrorKind::TimedOut.into();
            let seconds = LIMIT.as_secs();
            return Err(Error::NoAnswer {
                seconds,
                last,
                output,
            });
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// When the lines with `text` were written, seconds of the day.
fn times(log: &str, text: &str) -> Vec<f64> {
    log.lines()
        .filter(|line| line.contains(text))
        .filter_map(time)
        .collect()
}

/// `2026-01-31 23:59:59.999 ...`
fn time(line: &str) -> Option<f64> {
    let mut parts = line.split(' ').nth(1)?.splitn(3, ':');
    let mut next = || parts.next()?.parse::<f64>().ok();
    Some(next()? * 3600.0 + next()? * 60.0 + next()?)
}

pub(crate) const NO_COLOR: &str = "log.disablePrintColor = true\n";

/// What frps says once it listens, and frpc of each proxy.
const LISTENS: &str = "frps started successfully";
const STARTED: &str = "] start proxy success";

/// Between the first start and the kill.
const REST: Duration = Duration::from_secs(2);

/// How long nobody listens.
const OUTAGE: Duration = Duration::from_secs(2);

/// Reading the log of many clients takes time, too.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(100);

pub(crate) const LIMIT: Duration = Duration::from_secs(60);
