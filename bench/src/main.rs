//! Measures a frps/frpc pair side by side with another one, usually the reference, in one run.
//!
//! Both sides get the same load on the same machine, in turns, and figures are quoted as ratios:
//! absolute numbers move with the machine. See `bench/README.md`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the output of a program"
)]

mod backend;
mod load;
mod mode;
mod pair;
mod report;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::backend::Backend;
use crate::load::Way;
use crate::mode::{MODES, Mode};
use crate::pair::{Pair, Programs};
use crate::report::{Report, Side};

/// Measure a frps/frpc pair against another one.
#[derive(Debug, Parser)]
struct Args {
    /// Folder with frps and frpc.
    #[arg(long, default_value = "target/release")]
    ours: PathBuf,
    /// Folder with frps and frpc to compare with, or with one such folder per version (the newest is
    /// taken); without it, only our figures are shown.
    #[arg(long, env = "FRP_REFERENCE_DIR")]
    theirs: Option<PathBuf>,
    /// Transports to measure.
    #[arg(long, value_delimiter = ',', value_parser = parse_mode, default_values = ["tls-mux", "mux", "tls", "plain"])]
    modes: Vec<&'static Mode>,
    /// What to measure.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Metric::value_variants().to_vec())]
    metrics: Vec<Metric>,
    /// Rounds; each starts new processes. The median of the rounds counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds per figure.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Numbers of parallel streams for throughput.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    streams: Vec<usize>,
    /// Open connections for the memory of an idle one.
    #[arg(long, default_value_t = 1000)]
    idle: usize,
    /// One round of one second: a first impression in about a minute and a half.
    #[arg(long)]
    quick: bool,
    /// Also write all figures, of every round, to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Metric {
    /// CPU per byte and bytes per second, each way.
    Throughput,
    /// New connections.
    Churn,
    /// Round trips on open connections.
    Latency,
    /// Memory at rest and per idle connection.
    Memory,
}

/// Why the run, or one figure of it, failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("no frps and frpc in {0:?}, nor in a folder of it named by version")]
    NoPrograms(PathBuf),
    #[error("{program} ended with {status} before the proxy answered; its output:\n{output}")]
    Ended {
        program: &'static str,
        status: std::process::ExitStatus,
        output: String,
    },
    #[error("the proxy did not answer within {seconds} s: {last}; output:\n{output}")]
    NoAnswer {
        seconds: u64,
        last: io::Error,
        output: String,
    },
    #[error("no bytes arrived")]
    NoBytes,
    #[error("{failed} connections failed beside {done} good ones, the first with: {first}")]
    Connections {
        failed: usize,
        done: usize,
        first: io::Error,
    },
}

trait Context<T> {
    /// Names what was tried, for the message.
    fn context(self, what: impl Into<String>) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl Into<String>) -> Result<T, Error> {
        self.map_err(|source| Error::Io {
            what: what.into(),
            source,
        })
    }
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    if args.quick {
        args.rounds = 1;
        args.seconds = 1.0;
    }
    match run(&args) {
        Ok(complete) if complete => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("frp-bench: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Runs everything and prints the report; false if a figure is missing.
fn run(args: &Args) -> Result<bool, Error> {
    raise_file_limit();
    let ours = Programs::locate(&args.ours)?;
    let theirs = args.theirs.as_deref().map(Programs::locate).transpose()?;
    let mut report = Report::new(&ours, theirs.as_ref());

    for round in 0..args.rounds {
        for mode in &args.modes {
            let mut sides = vec![(Side::Ours, &ours)];
            sides.extend(theirs.as_ref().map(|theirs| (Side::Theirs, theirs)));
            // The first of two finds a cooler or warmer machine: take turns.
            if round % 2 == 1 {
                sides.reverse();
            }
            for (side, programs) in sides {
                eprintln!("round {}/{} {} {side}", round + 1, args.rounds, mode.name);
                let mut recorder = Recorder {
                    report: &mut report,
                    round,
                    mode,
                    side,
                };
                recorder.measure(args, programs);
            }
        }
    }

    println!("{report}");
    if let Some(path) = &args.json {
        let text = format!("{:#}\n", report.to_json(args.seconds));
        std::fs::write(path, text).context(format!("write {}", path.display()))?;
    }
    Ok(report.is_complete())
}

/// Files the figures of one pair in one round.
struct Recorder<'a> {
    report: &'a mut Report,
    round: usize,
    mode: &'static Mode,
    side: Side,
}

impl Recorder<'_> {
    fn measure(&mut self, args: &Args, programs: &Programs) {
        if args.metrics.contains(&Metric::Memory) {
            // In processes of its own: a heap that has seen other load tells nothing about rest.
            let result = self.with_pair(programs, |r, pair, backend| r.memory(args, pair, backend));
            self.note("memory", result);
        }
        if args.metrics.iter().any(|metric| *metric != Metric::Memory) {
            let result = self.with_pair(programs, |r, pair, backend| {
                r.load(args, pair, backend);
                Ok(())
            });
            self.note("start", result);
        }
    }

    fn with_pair(
        &mut self,
        programs: &Programs,
        measure: impl FnOnce(&mut Self, &Pair, &Backend) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let backend = Backend::start()?;
        let pair = Pair::start(programs, self.mode, backend.addr())?;
        measure(self, &pair, &backend)
    }

    fn memory(&mut self, args: &Args, pair: &Pair, backend: &Backend) -> Result<(), Error> {
        std::thread::sleep(SETTLE);
        let rest = pair.pss_bytes()?;
        self.record("PSS at rest, MB", rest / 1e6);
        let open = load::open_idle(pair.user_addr(), args.idle)?;
        std::thread::sleep(SETTLE);
        let full = pair.pss_bytes()?;
        self.record(
            "PSS per idle connection, KB",
            (full - rest) / 1e3 / args.idle as f64,
        );
        drop(open);
        backend.wait_until_quiet();
        Ok(())
    }

    fn load(&mut self, args: &Args, pair: &Pair, backend: &Backend) {
        let window = Duration::from_secs_f64(args.seconds);
        if args.metrics.contains(&Metric::Latency) {
            match load::latency(pair, window) {
                Ok(latency) => {
                    self.record("latency p50, us", latency.p50_us);
                    self.record("latency p99, us", latency.p99_us);
                }
                Err(e) => self.note("latency", Err(e)),
            }
            backend.wait_until_quiet();
        }
        if args.metrics.contains(&Metric::Churn) {
            match load::churn(pair, window) {
                Ok(churn) => {
                    self.record("new connections per s", churn.per_second);
                    self.record("CPU per new connection, ms", churn.cpu_ms);
                }
                Err(e) => self.note("churn", Err(e)),
            }
            backend.wait_until_quiet();
        }
        if args.metrics.contains(&Metric::Throughput) {
            let mut costs = Vec::new();
            for way in [Way::Up, Way::Down] {
                for &streams in &args.streams {
                    match load::bulk(pair, backend, way, streams, window) {
                        Ok(bulk) => {
                            self.record(&format!("CPU {way} x{streams}, s/GB"), bulk.cpu_s_per_gb);
                            self.record(&format!("{way} x{streams}, MB/s"), bulk.mb_per_s);
                            costs.push(bulk.cpu_s_per_gb);
                        }
                        Err(e) => self.note(&format!("{way} x{streams}"), Err(e)),
                    }
                    backend.wait_until_quiet();
                }
            }
            if !costs.is_empty() {
                self.record(
                    report::MEAN_CPU,
                    costs.iter().sum::<f64>() / costs.len() as f64,
                );
            }
        }
    }

    fn record(&mut self, metric: &str, value: f64) {
        self.report
            .record(self.round, self.mode, metric, self.side, value);
    }

    /// A figure that failed is reported as missing; the run goes on.
    fn note(&mut self, figure: &str, result: Result<(), Error>) {
        if let Err(e) = result {
            let text = format!(
                "round {} {} {}: {figure}: {e}",
                self.round + 1,
                self.mode.name,
                self.side
            );
            eprintln!("{text}");
            self.report.failed(text);
        }
    }
}

fn parse_mode(name: &str) -> Result<&'static Mode, String> {
    MODES.iter().find(|mode| mode.name == name).ok_or_else(|| {
        let names = MODES.iter().map(|mode| mode.name).collect::<Vec<_>>();
        format!("unknown mode, want some of {}", names.join(","))
    })
}

/// A thousand tunnelled connections cost frps alone two thousand files without mux. The children
/// inherit the limit; if it cannot be raised, the figures say so.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    );
}

/// How long processes are left alone before their memory is read.
const SETTLE: Duration = Duration::from_secs(1);
