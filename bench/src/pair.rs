//! One running frps with its frpc, and what the kernel says of them.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::backend::ECHO;
use crate::mode::{Kind, Mode, Ports};
use crate::{Context, Error, http, udp};

/// Where the programs of one side are.
#[derive(Debug)]
pub(crate) struct Programs {
    dir: PathBuf,
    /// What `frps -v` prints.
    pub(crate) version: String,
}

impl Programs {
    /// Finds frps and frpc in `dir`, or in the folder of `dir` with the highest version as name.
    pub(crate) fn locate(dir: &Path) -> Result<Self, Error> {
        let holds_both = |dir: &Path| dir.join("frps").is_file() && dir.join("frpc").is_file();
        let dir = if holds_both(dir) {
            dir.to_owned()
        } else {
            let entries = fs::read_dir(dir).context(format!("read {}", dir.display()))?;
            entries
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| holds_both(path))
                .max_by_key(|path| version_key(path))
                .ok_or_else(|| Error::NoPrograms(dir.to_owned()))?
        };
        let frps = dir.join("frps");
        let what = format!("run {} -v", frps.display());
        let output = Command::new(&frps).arg("-v").output().context(what)?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(Self { dir, version })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
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

/// A running pair with one proxy. Dropping it kills both.
pub(crate) struct Pair {
    // In this order: a frpc that loses its server would log and retry.
    frpc: Process,
    frps: Process,
    kind: Kind,
    user_addr: SocketAddr,
}

impl Pair {
    /// Starts both and returns when a byte has come back through the tunnel from `local`.
    pub(crate) fn start(
        programs: &Programs,
        mode: &Mode,
        kind: Kind,
        local: SocketAddr,
    ) -> Result<Self, Error> {
        // A port that was free may be taken by the time it is bound.
        let first = Self::try_start(programs, mode, kind, local);
        if matches!(first, Err(Error::Ended { .. } | Error::NoAnswer { .. })) {
            return Self::try_start(programs, mode, kind, local);
        }
        first
    }

    fn try_start(
        programs: &Programs,
        mode: &Mode,
        kind: Kind,
        local: SocketAddr,
    ) -> Result<Self, Error> {
        let ports = free_ports(kind).context("find a port")?;
        let dir = TempDir::new()?;
        let frps_toml = dir.write("frps.toml", &mode.frps_toml(kind, &ports))?;
        let frpc_toml = dir.write("frpc.toml", &mode.frpc_toml(kind, &ports, local))?;

        let mut frps = Process::spawn("frps", &programs.dir, &frps_toml, &dir)?;
        frps.wait_for_port(ports.bind)?;
        let frpc = Process::spawn("frpc", &programs.dir, &frpc_toml, &dir)?;
        let user_addr = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.user));
        let mut pair = Self {
            frpc,
            frps,
            kind,
            user_addr,
        };
        pair.wait_for_answer()?;
        Ok(pair)
    }

    /// Where users connect.
    pub(crate) fn user_addr(&self) -> SocketAddr {
        self.user_addr
    }

    /// User and system time that both have used so far.
    pub(crate) fn cpu(&self) -> Result<Duration, Error> {
        Ok(self.frps.cpu()? + self.frpc.cpu()?)
    }

    /// Proportional set size of both, in bytes.
    pub(crate) fn pss_bytes(&self) -> Result<f64, Error> {
        Ok(self.frps.pss_bytes()? + self.frpc.pss_bytes()?)
    }

    fn wait_for_answer(&mut self) -> Result<(), Error> {
        let begin = Instant::now();
        loop {
            let answer = match self.kind {
                Kind::Tcp => echo_once(self.user_addr),
                Kind::Http => http::get_once(self.user_addr),
                Kind::Udp => udp::echo_once(self.user_addr),
            };
            let Err(last) = answer else {
                return Ok(());
            };
            self.frps.check_alive()?;
            self.frpc.check_alive()?;
            if begin.elapsed() > START_LIMIT {
                let output = format!("{}\n{}", self.frps.output(), self.frpc.output());
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

fn echo_once(addr: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(START_LIMIT))?;
    stream.write_all(&[ECHO])?;
    stream.read_exact(&mut [0])
}

/// A child that dies with its guard, and with this program however that ends.
struct Process {
    name: &'static str,
    child: Child,
    clock: libc::clockid_t,
    /// Its output; the file has no name any more once the pair has started.
    log: File,
}

impl Process {
    fn spawn(
        name: &'static str,
        programs: &Path,
        config: &Path,
        dir: &TempDir,
    ) -> Result<Self, Error> {
        let log = dir.create(&format!("{name}.log"))?;
        let out = log.try_clone().context("duplicate the log file")?;
        let err = log.try_clone().context("duplicate the log file")?;
        let mut command = Command::new(programs.join(name));
        command
            .arg("-c")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        die_with_parent(&mut command);
        let child = command.spawn().context(format!("start {name}"))?;
        let mut process = Self {
            name,
            child,
            clock: 0,
            log,
        };
        process.clock = cpu_clock(process.child.id())?;
        Ok(process)
    }

    fn wait_for_port(&mut self, port: u16) -> Result<(), Error> {
        let begin = Instant::now();
        loop {
            let Err(last) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
                return Ok(());
            };
            self.check_alive()?;
            if begin.elapsed() > START_LIMIT {
                let output = self.output();
                return Err(Error::NoAnswer {
                    seconds: START_LIMIT.as_secs(),
                    last,
                    output,
                });
            }
            std::thread::sleep(POLL);
        }
    }

    fn check_alive(&mut self) -> Result<(), Error> {
        match self
            .child
            .try_wait()
            .context(format!("wait for {}", self.name))?
        {
            None => Ok(()),
            Some(status) => Err(Error::Ended {
                program: self.name,
                status,
                output: self.output(),
            }),
        }
    }

    fn output(&self) -> String {
        let mut text = String::new();
        let mut log = &self.log;
        let _ = log
            .seek(SeekFrom::Start(0))
            .and_then(|_| log.read_to_string(&mut text));
        text
    }

    fn cpu(&self) -> Result<Duration, Error> {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `time` is a valid place for one timespec, and outlives the call.
        #[allow(unsafe_code)]
        let result = unsafe { libc::clock_gettime(self.clock, &raw mut time) };
        if result != 0 {
            let source = io::Error::last_os_error();
            return Err(Error::Io {
                what: format!("read the CPU clock of {}", self.name),
                source,
            });
        }
        Ok(Duration::new(
            time.tv_sec.unsigned_abs(),
            time.tv_nsec.unsigned_abs() as u32,
        ))
    }

    fn pss_bytes(&self) -> Result<f64, Error> {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = fs::read_to_string(&path).context(format!("read {path}"))?;
        let kib = text
            .lines()
            .find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"));
        let kib = kib.and_then(|kib| kib.parse::<f64>().ok());
        let missing = || io::Error::new(io::ErrorKind::InvalidData, "no Pss line");
        Ok(kib.ok_or_else(missing).context(path)? * 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The clock of all threads of a process, those that ended included, in nanoseconds: the sum of
/// user and system time that /proc/PID/stat shows in hundredths of a second.
fn cpu_clock(pid: u32) -> Result<libc::clockid_t, Error> {
    let mut clock = 0;
    // SAFETY: `clock` is a valid place for one clockid_t, and outlives the call.
    #[allow(unsafe_code)]
    let result = unsafe { libc::clock_getcpuclockid(pid.cast_signed(), &raw mut clock) };
    match result {
        0 => Ok(clock),
        code => Err(io::Error::from_raw_os_error(code)).context("find the CPU clock of a child"),
    }
}

/// The kernel kills the child when the thread that started it ends: here the main one.
fn die_with_parent(command: &mut Command) {
    let arm = || {
        let kill = rustix::process::Signal::KILL;
        rustix::process::set_parent_process_death_signal(Some(kill)).map_err(io::Error::from)
    };
    // SAFETY: between fork and exec only this one system call is made, without allocation or lock.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(arm);
    }
}

fn free_ports(kind: Kind) -> io::Result<Ports> {
    // Both at once, so that they differ.
    let bind = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let user = match kind {
        Kind::Tcp | Kind::Http => TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?,
        Kind::Udp => UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?,
    };
    Ok(Ports {
        bind: bind.local_addr()?.port(),
        user: user.port(),
    })
}

/// A folder for configuration and logs while a pair starts.
struct TempDir(PathBuf);

impl TempDir {
    fn new() -> Result<Self, Error> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("frp-bench-{}-{number}", std::process::id()));
        fs::create_dir(&path).context(format!("create {}", path.display()))?;
        Ok(Self(path))
    }

    fn create(&self, name: &str) -> Result<File, Error> {
        let path = self.0.join(name);
        let open = File::options()
            .read(true)
            .append(true)
            .create_new(true)
            .open(&path);
        open.context(format!("create {}", path.display()))
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.0.join(name);
        fs::write(&path, text).context(format!("write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How long both programs together may take to start.
const START_LIMIT: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(10);
