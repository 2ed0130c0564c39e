//! A child process: started, watched, and ended with its guard.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Context, Error};

/// A child that dies with its guard, and with this program however that ends.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    clock: libc::clockid_t,
    /// Its output; the file has no name any more once the pair has started.
    log: File,
}

impl Process {
    /// Starts `command`; its output goes to a file in `dir`.
    pub(crate) fn spawn(
        name: &'static str,
        mut command: Command,
        dir: &TempDir,
    ) -> Result<Self, Error> {
        let log = dir.create(&format!("{name}.log"))?;
        let out = log.try_clone().context("duplicate the log file")?;
        let err = log.try_clone().context("duplicate the log file")?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
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

    /// Waits until something listens there.
    pub(crate) fn wait_for_port(&mut self, addr: SocketAddr) -> Result<(), Error> {
        let begin = Instant::now();
        loop {
            let Err(last) = TcpStream::connect(addr) else {
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

    /// An error with its output if it has ended.
    pub(crate) fn check_alive(&mut self) -> Result<(), Error> {
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

    /// All that it has said.
    pub(crate) fn output(&self) -> String {
        let mut text = String::new();
        let mut log = &self.log;
        let _ = log
            .seek(SeekFrom::Start(0))
            .and_then(|_| log.read_to_string(&mut text));
        text
    }

    /// User and system time so far, of all its threads.
    pub(crate) fn cpu(&self) -> Result<Duration, Error> {
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

    /// Pages that nobody else has and that no file has either: what it takes from others.
    pub(crate) fn private_bytes(&self) -> Result<f64, Error> {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = fs::read_to_string(&path).context(format!("read {path}"))?;
        let kib = text.lines().find_map(|line| {
            line.strip_prefix("Private_Dirty:")?
                .trim()
                .strip_suffix(" kB")
        });
        let kib = kib.and_then(|kib| kib.parse::<f64>().ok());
        let missing = || io::Error::new(io::ErrorKind::InvalidData, "no Private_Dirty line");
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

/// A folder for configuration and logs while a pair starts.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn new() -> Result<Self, Error> {
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

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
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
pub(crate) const START_LIMIT: Duration = Duration::from_secs(10);

/// Short beside what a program takes to start.
pub(crate) const POLL: Duration = Duration::from_micros(250);
