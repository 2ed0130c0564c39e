//! One running frps with its frpc, and what the kernel says of them.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use frp_tests::network::Host;

use crate::backend::Backend;
use crate::error::{Context, Error};
use crate::front;
use crate::mode::{Front, Kind, Mode, Ports};
use crate::process::{POLL, Process, START_LIMIT, TempDir};
use crate::report::Side;

/// What one side runs.
#[derive(Debug)]
pub(crate) struct Programs {
    /// None: users reach the service without any.
    pub(crate) paths: Option<Paths>,
    /// What the report calls them.
    pub(crate) name: String,
}

/// Of the two programs.
#[derive(Debug)]
pub(crate) struct Paths {
    pub(crate) frps: PathBuf,
    pub(crate) frpc: PathBuf,
}

impl Programs {
    /// Finds frps and frpc in `dir`, or in the folder of `dir` with the highest version as name; frpc
    /// in `frpc_dir`, if that is given. `direct` is no folder: there is nothing in between then.
    pub(crate) fn locate(dir: &Path, frpc_dir: Option<&Path>) -> Result<Self, Error> {
        if dir == Path::new(DIRECT) {
            return Ok(Self {
                paths: None,
                name: "no programs in between".to_owned(),
            });
        }
        let frps = find(dir)?.join("frps");
        let frpc = find(frpc_dir.unwrap_or(dir))?.join("frpc");
        let mut name = said(&frps)?;
        if frpc_dir.is_some() {
            name = format!("frps {name}, frpc {}", said(&frpc)?);
        }
        let paths = Some(Paths { frps, frpc });
        Ok(Self { paths, name })
    }
}

/// What stands for no programs at all.
const DIRECT: &str = "direct";

fn find(dir: &Path) -> Result<PathBuf, Error> {
    let holds_both = |dir: &Path| dir.join("frps").is_file() && dir.join("frpc").is_file();
    if holds_both(dir) {
        return Ok(dir.to_owned());
    }
    let entries = fs::read_dir(dir).context(format!("read {}", dir.display()))?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| holds_both(path))
        .max_by_key(|path| version_key(path))
        .ok_or_else(|| Error::NoPrograms(dir.to_owned()))
}

/// Its version, and where it is.
fn said(program: &Path) -> Result<String, Error> {
    let what = format!("run {} -v", program.display());
    let output = Command::new(program).arg("-v").output().context(what)?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(format!("{version} ({})", program.display()))
}

/// `0.70.1` as [0, 70, 1]; a name that is no version sorts first.
fn version_key(path: &Path) -> Vec<u32> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    name.trim_start_matches('v')
        .split('.')
        .map_while(|part| part.parse().ok())
        .collect()
}

/// One exchange with the service, through the proxy at this address.
pub(crate) type Ask = fn(Kind, SocketAddr) -> io::Result<()>;

/// What is to be started.
#[derive(Clone, Copy)]
pub(crate) struct Start<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) side: Side,
    pub(crate) mode: &'a Mode,
    pub(crate) kind: Kind,
    /// The service, as frpc reaches it.
    pub(crate) local: SocketAddr,
    /// Where frps and its users are.
    pub(crate) server: Ipv4Addr,
    /// Where frpc is, if elsewhere.
    pub(crate) client: Option<&'a Host>,
}

/// A running pair with one proxy. Dropping it kills both.
pub(crate) struct Pair {
    running: Option<Running>,
    kind: Kind,
    user_addr: SocketAddr,
}

struct Running {
    // In this order: a frpc that loses its server would log and retry.
    frpc: Process,
    front: Option<Process>,
    frps: Process,
    front_counts: bool,
    /// From the start of frps until it listened.
    listens: Duration,
    /// From the start of frpc until the service answered through it.
    ready: Duration,
}

impl<'a> Start<'a> {
    /// Both on this machine, with `backend` as the service.
    pub(crate) fn here(
        programs: &'a Programs,
        side: Side,
        mode: &'a Mode,
        kind: Kind,
        backend: &Backend,
    ) -> Self {
        Self {
            programs,
            side,
            mode,
            kind,
            local: backend.addr(kind),
            server: Ipv4Addr::LOCALHOST,
            client: None,
        }
    }

    /// Starts both and returns when `asks` has had an answer through the tunnel from the service.
    pub(crate) fn pair(self, asks: Ask) -> Result<Pair, Error> {
        // A port that was free may be taken by the time it is bound.
        let first = self.once(asks);
        if matches!(first, Err(Error::Ended { .. } | Error::NoAnswer { .. })) {
            return self.once(asks);
        }
        first
    }

    fn once(self, asks: Ask) -> Result<Pair, Error> {
        let Self {
            mode, kind, local, ..
        } = self;
        let Some(paths) = &self.programs.paths else {
            let host = self
                .client
                .map_or_else(|| local.ip(), |host| host.ip.into());
            let mut pair = Pair {
                running: None,
                kind,
                user_addr: SocketAddr::new(host, local.port()),
            };
            pair.wait_for_answer(asks)?;
            return Ok(pair);
        };
        let ports = self.free_ports().context("find a port")?;
        let dir = TempDir::new()?;
        let frps_toml = dir.write("frps.toml", &mode.frps_toml(kind, &ports))?;
        let frpc_toml = dir.write("frpc.toml", &mode.frpc_toml(kind, &ports, local))?;

        let mut frps = Command::new(&paths.frps);
        frps.arg("-c").arg(frps_toml);
        let begin = Instant::now();
        let mut frps = Process::spawn("frps", frps, &dir)?;
        frps.wait_for_port((ports.host, ports.bind).into())?;
        let listens = begin.elapsed();
        let front = match ports.front {
            Some(port) => Some(front::start((ports.host, port).into(), ports.bind, &dir)?),
            None => None,
        };
        let mut frpc = match self.client {
            Some(host) => host.command(&paths.frpc),
            None => Command::new(&paths.frpc),
        };
        frpc.arg("-c").arg(frpc_toml);
        let begin = Instant::now();
        let frpc = Process::spawn("frpc", frpc, &dir)?;
        let running = Running {
            frpc,
            front,
            frps,
            front_counts: mode.front == Front::WhereNeeded,
            listens,
            ready: Duration::ZERO,
        };
        let mut pair = Pair {
            running: Some(running),
            kind,
            user_addr: SocketAddr::from((ports.host, ports.user)),
        };
        pair.wait_for_answer(asks)?;
        if let Some(running) = &mut pair.running {
            running.ready = begin.elapsed();
        }
        Ok(pair)
    }

    fn free_ports(&self) -> io::Result<Ports> {
        // All at once, so that they differ.
        let any = (Ipv4Addr::LOCALHOST, 0);
        let (bind, front) = (TcpListener::bind(any)?, TcpListener::bind(any)?);
        let user = match self.kind {
            Kind::Tcp | Kind::Http => TcpListener::bind(any)?.local_addr()?,
            Kind::Udp => UdpSocket::bind(any)?.local_addr()?,
        };
        let has_front = match self.mode.front {
            Front::None => false,
            Front::WhereNeeded => self.side == Side::Theirs,
            Front::Always => true,
        };
        Ok(Ports {
            host: self.server,
            bind: bind.local_addr()?.port(),
            user: user.port(),
            front: match has_front {
                true => Some(front.local_addr()?.port()),
                false => None,
            },
        })
    }
}

impl Pair {
    /// Where users connect.
    pub(crate) fn user_addr(&self) -> SocketAddr {
        self.user_addr
    }

    /// How long frps took to listen, and frpc to serve; `None` where nothing runs.
    pub(crate) fn start_times(&self) -> Option<(Duration, Duration)> {
        let running = self.running.as_ref()?;
        Some((running.listens, running.ready))
    }

    /// User and system time that all which count have used so far.
    pub(crate) fn cpu(&self) -> Result<Duration, Error> {
        self.counted().map(Process::cpu).sum()
    }

    /// Memory that all which count have for themselves, in bytes.
    pub(crate) fn private_bytes(&self) -> Result<f64, Error> {
        self.counted().map(Process::private_bytes).sum()
    }

    fn counted(&self) -> impl Iterator<Item = &Process> {
        self.running.iter().flat_map(|running| {
            let front = running.front.as_ref().filter(|_| running.front_counts);
            [&running.frps, &running.frpc].into_iter().chain(front)
        })
    }

    fn wait_for_answer(&mut self, asks: Ask) -> Result<(), Error> {
        let begin = Instant::now();
        loop {
            let Err(last) = asks(self.kind, self.user_addr) else {
                return Ok(());
            };
            let mut output = String::new();
            if let Some(Running { frps, frpc, .. }) = &mut self.running {
                frps.check_alive()?;
                frpc.check_alive()?;
                output = format!("{}\n{}", frps.output(), frpc.output());
            }
            if begin.elapsed() > START_LIMIT {
                return Err(Error::NoAnswer {
                    seconds: START_LIMIT.as_secs(),
                    last,
                    output,
                });
            }
            std::thread::sleep(POLL);
        }
    }
}
