//! One running frps, frpc or other program, its log, and what the kernel says about it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::log::Log;
use crate::wait::{SOON, within};

/// Whose programs play a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// Those of this repository.
    Ours,
    /// The Go programs in this directory.
    Go(PathBuf),
    /// Ours in this directory, built with the feature `minimal` only.
    Minimal(PathBuf),
}

impl Side {
    /// The Go pair of `version`, or None, said by [`skipped`].
    #[must_use]
    pub fn reference(version: &str) -> Option<Self> {
        let Some(dir) = std::env::var_os("FRP_REFERENCE_DIR").map(PathBuf::from) else {
            skipped(&format!("frp {version} (FRP_REFERENCE_DIR is not set)"));
            return None;
        };
        let versioned = dir.join(version);
        if versioned.join("frps").is_file() && versioned.join("frpc").is_file() {
            return Some(Self::Go(versioned));
        }
        if version_of(&dir.join("frps")).as_deref() == Some(version) {
            return Some(Self::Go(dir));
        }
        skipped(&format!("frp {version} (not in FRP_REFERENCE_DIR)"));
        None
    }

    /// The pair that lacks what can be left out, or None, said by [`skipped`].
    #[must_use]
    pub fn minimal() -> Option<Self> {
        let dir = std::env::var_os("FRP_MINIMAL_DIR").map(PathBuf::from);
        if dir.is_none() {
            skipped("the minimal build (FRP_MINIMAL_DIR is not set)");
        }
        dir.map(Self::Minimal)
    }

    /// The program `name` (`frps` or `frpc`) of this side.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        match self {
            Self::Go(dir) | Self::Minimal(dir) => dir.join(name),
            Self::Ours => ours(name),
        }
    }
}

/// A child process whose output is captured, killed on drop. When a test fails its log is printed.
#[derive(Debug)]
pub struct Program {
    binary: PathBuf,
    args: Vec<OsString>,
    directory: PathBuf,
    environment: Vec<(String, String)>,
    child: Child,
    log: Log,
}

impl Program {
    /// Starts `binary` with `args` in `directory`.
    #[must_use]
    pub fn spawn(
        binary: &Path,
        args: impl IntoIterator<Item = impl Into<OsString>>,
        directory: &Path,
    ) -> Self {
        Self::spawn_with(binary, args, directory, &[])
    }

    /// The same with more environment variables.
    #[must_use]
    pub fn spawn_with(
        binary: &Path,
        args: impl IntoIterator<Item = impl Into<OsString>>,
        directory: &Path,
        environment: &[(&str, &str)],
    ) -> Self {
        let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment: Vec<_> = environment.iter().map(owned).collect();
        let (child, log) = start(binary, &args, directory, &environment);
        Self {
            binary: binary.to_owned(),
            args,
            directory: directory.to_owned(),
            environment,
            child,
            log,
        }
    }

    /// What it has printed since its last start.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Waits for a line with `text` in it, seen since the start.
    pub async fn expect(&self, text: &str) -> String {
        self.expect_from(0, text, SOON).await
    }

    /// Waits for a line with `text` in it, from line number `mark` of the log on.
    pub async fn expect_from(&self, mark: usize, text: &str, limit: Duration) -> String {
        match self.log.wait(mark, limit, |line| line.contains(text)).await {
            Some(line) => line,
            None => panic!("{} did not print `{text}` within {limit:?}", self.name()),
        }
    }

    /// Waits for its end and returns its exit code (None: by a signal).
    pub async fn exit_code(&mut self) -> Option<i32> {
        self.exit_status_within(SOON).await.code()
    }

    /// Waits for its end and for the rest of its output.
    pub async fn exit_status_within(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("{} exits", self.name());
        let status = within(limit, &what, self.child.wait()).await.unwrap();
        within(SOON, "its output ends", self.log.ended()).await;
        status
    }

    /// Whether it runs still.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL, as a crash or the OOM killer would.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends a signal by name, e.g. `TERM`.
    pub async fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .await
            .unwrap();
        assert!(status.success(), "kill -s {name} {pid}: {status}");
    }

    /// Starts the same command again, after [`Program::kill`] or its own end. The log begins anew.
    pub fn start_again(&mut self) {
        assert!(!self.is_running(), "{} runs still", self.name());
        (self.child, self.log) =
            start(&self.binary, &self.args, &self.directory, &self.environment);
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Memory that is its own (pages that no file and nobody else has), in bytes.
    #[must_use]
    pub fn private_bytes(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.pid());
        let text = std::fs::read_to_string(path).unwrap();
        let kilobytes = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
        text.lines()
            .filter(|l| l.starts_with("Private_Dirty"))
            .filter_map(kilobytes)
            .sum::<u64>()
            * 1024
    }

    /// The processor time that it has taken so far.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        /// Of a second; `USER_HZ` of Linux, for all that it tells programs.
        const TICKS: u32 = 100;
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // The name, in parentheses, may have anything in it. `utime` and `stime` are fields 14 and 15 (proc(5)).
        let (_, fields) = text.rsplit_once(')').unwrap();
        let fields: Vec<_> = fields.split_whitespace().collect();
        let ticks = |at: usize| fields[at - 3].parse::<u32>().unwrap();
        Duration::from_secs((ticks(14) + ticks(15)).into()) / TICKS
    }

    /// The number of its open file descriptors.
    #[must_use]
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .unwrap()
            .count()
    }

    /// The number of its sockets of TCP and UDP: unlike its descriptors it does not grow with its threads.
    #[must_use]
    pub fn sockets(&self) -> usize {
        let place = PathBuf::from(format!("/proc/{}", self.pid()));
        let held: BTreeSet<String> = std::fs::read_dir(place.join("fd"))
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter_map(|target| {
                let inode = target.to_str()?.strip_prefix("socket:[")?;
                Some(inode.trim_end_matches(']').to_owned())
            })
            .collect();
        let tables = ["tcp", "tcp6", "udp", "udp6"].into_iter();
        let tables = tables.map(|table| std::fs::read_to_string(place.join("net").join(table)));
        // proc(5): the tenth field is the inode.
        let is_held = |line: &&str| {
            let inode = line.split_whitespace().nth(9);
            inode.is_some_and(|inode| held.contains(inode))
        };
        tables
            .map(|text| text.unwrap_or_default().lines().filter(is_held).count())
            .sum()
    }

    fn name(&self) -> String {
        self.binary.display().to_string()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("---- {} {:?}", self.name(), self.args);
            println!("{}\n----", self.log.text());
        }
    }
}

fn start(
    binary: &Path,
    args: &[OsString],
    directory: &Path,
    environment: &[(String, String)],
) -> (Child, Log) {
    let mut child = Command::new(binary)
        .args(args)
        .current_dir(directory)
        // A proxy of whoever runs the tests is none of their business.
        .env_remove("http_proxy")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {}: {e}", binary.display()));
    let log = Log::new();
    log.follow(child.stdout.take().unwrap());
    log.follow(child.stderr.take().unwrap());
    (child, log)
}

/// Our own program: named by the environment, else beside the test's own executable
/// (`target/PROFILE/deps/integration-*` or `target/PROFILE/demo`).
fn ours(name: &str) -> PathBuf {
    let variable = format!("FRP_RS_{}", name.to_uppercase());
    if let Some(path) = std::env::var_os(&variable) {
        return path.into();
    }
    let me = std::env::current_exe().unwrap();
    let found = me
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join(name))
        .find(|p| p.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "no {name} near {}: run `cargo build -p frps -p frpc` first (the script ./test does), \
             or name one by {variable}",
            me.display()
        )
    })
}

/// Says that a test was left out because something lacks here. Where `FRP_TEST_SKIPS` names a file, as in
/// `./test`, a line goes there, and all are summed up at the end; else each lack is said once, past the
/// capture of the test's output: a skip that nobody sees would pass for a success.
pub fn skipped(lack: &str) {
    if let Some(path) = std::env::var_os("FRP_TEST_SKIPS") {
        let test = std::thread::current();
        let line = format!("{lack}\t{}\n", test.name().unwrap_or_default());
        let file = File::options().append(true).create(true).open(path);
        return file.unwrap().write_all(line.as_bytes()).unwrap();
    }
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if SAID.lock().unwrap().insert(lack.to_owned()) {
        let _ = writeln!(std::io::stderr(), "SKIPPED: tests that need {lack}");
    }
}

/// What `binary` says its version is.
pub(crate) fn version_of(binary: &Path) -> Option<String> {
    let output = std::process::Command::new(binary).arg("-v").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
