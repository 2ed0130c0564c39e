//! Measures a frps/frpc pair side by side with another one, usually the reference, in one run.
//!
//! Both sides get the same load on the same machine, in turns, and figures are quoted as ratios:
//! absolute numbers move with the machine. See `bench/README.md`.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "plain threads make a load that costs little and stays the same; there is no runtime"
)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the output of a program"
)]

mod backend;
mod crowd;
mod error;
mod far;
mod front;
mod http;
mod load;
mod machine;
mod mixed;
mod mode;
mod pair;
mod probe;
mod process;
mod report;
mod restart;
mod service;
mod start;
mod udp;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::backend::Backend;
use crate::error::{Context, Error, Values};
use crate::http::Style;
use crate::load::Way;
use crate::machine::Ticks;
use crate::mode::{Kind, MODES, Mode};
use crate::pair::{Pair, Programs, Start};
use crate::report::{Report, Side};

/// Measure a frps/frpc pair against another one.
#[derive(Debug, Parser)]
struct Args {
    /// Folder with frps and frpc.
    #[arg(long, default_value = "target/release")]
    ours: PathBuf,
    /// Folder with frps and frpc to compare with, or with one such folder per version (the newest is
    /// taken), or `direct` for nothing between users and service; without it, only our figures are
    /// shown.
    #[arg(long, env = "FRP_REFERENCE_DIR")]
    theirs: Option<PathBuf>,
    /// Folder with the frpc of our side, if it is another one.
    #[arg(long)]
    ours_frpc: Option<PathBuf>,
    /// The same of theirs.
    #[arg(long)]
    theirs_frpc: Option<PathBuf>,
    /// Transports to measure [default: tls-mux,mux,tls,plain; http and udp in tls-mux and plain]
    #[arg(long, value_delimiter = ',', value_parser = parse_mode)]
    modes: Vec<&'static Mode>,
    /// What to measure.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = DEFAULT_METRICS)]
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
    /// Packets per second for udp at a fixed rate.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..))]
    udp_rate: u32,
    /// Open connections for the memory of an idle one.
    #[arg(long, default_value_t = 1000)]
    idle: usize,
    /// Clients of a server that is restarted, or asked about them.
    #[arg(long, default_value_t = 50)]
    clients: usize,
    /// One round of one second: a first impression in two and a half minutes.
    #[arg(long)]
    quick: bool,
    /// Print the medians as tables in Markdown, `ours / theirs`, with a column for each transport.
    #[arg(long)]
    markdown: bool,
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
    /// Requests through a http proxy.
    Http,
    /// Packets through a udp proxy.
    Udp,
    /// Round trips of 64 bytes beside two downloads or uploads; only where it is named, as are the
    /// following.
    Mixed,
    /// The same over a link of 20 or 2 Mbit/s; as root.
    Slow,
    /// How soon clients are back after a restart of frps.
    Restart,
    /// Bytes per second over a long way with losses; as root.
    Loss,
    /// Bytes per second over a long and wide way; as root.
    Long,
    /// Time and CPU until a pair serves.
    Start,
    /// Answers of the API about `--clients` clients with ten proxies each.
    Crowd,
}

const DEFAULT_METRICS: [Metric; 6] = [
    Metric::Throughput,
    Metric::Churn,
    Metric::Latency,
    Metric::Memory,
    Metric::Http,
    Metric::Udp,
];

impl Args {
    fn modes(&self) -> Vec<&'static Mode> {
        let measures_some = |mode: &&'static Mode| {
            let mut metrics = self.metrics.iter();
            metrics.any(|metric| self.measures(*metric, mode))
        };
        if self.modes.is_empty() {
            let default = MODES.iter().filter(|mode| mode.is_default);
            default.filter(measures_some).collect()
        } else {
            self.modes.clone()
        }
    }

    fn measures(&self, metric: Metric, mode: &Mode) -> bool {
        let is_for_all_modes = !matches!(metric, Metric::Http | Metric::Udp);
        self.metrics.contains(&metric)
            && (is_for_all_modes || mode.is_for_all_kinds || !self.modes.is_empty())
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
    let ours = Programs::locate(&args.ours, args.ours_frpc.as_deref())?;
    let theirs = args.theirs.as_deref();
    let theirs = theirs.map(|dir| Programs::locate(dir, args.theirs_frpc.as_deref()));
    let theirs = theirs.transpose()?;
    let mut sides = vec![(Side::Ours, &ours)];
    sides.extend(theirs.as_ref().map(|theirs| (Side::Theirs, theirs)));

    let mut report = Report::new(&ours, theirs.as_ref());
    let begin = Ticks::now();
    for round in 0..args.rounds {
        for mode in args.modes() {
            eprintln!("round {}/{} {}", round + 1, args.rounds, mode.name);
            Round {
                args,
                sides: &sides,
                report: &mut report,
                round,
                mode,
            }
            .measure();
        }
    }

    if let (Some(begin), Some(end)) = (begin, Ticks::now()) {
        report.used_by_others = Some(begin.used_by_others_until(&end));
    }
    match args.markdown {
        true => println!("{}", report.markdown()),
        false => println!("{report}"),
    }
    if let Some(path) = &args.json {
        let text = format!("{:#}\n", report.to_json(args.seconds));
        std::fs::write(path, text).context(format!("write {}", path.display()))?;
    }
    Ok(report.is_complete())
}

/// One round of one mode.
struct Round<'a> {
    args: &'a Args,
    sides: &'a [(Side, &'a Programs)],
    report: &'a mut Report,
    round: usize,
    mode: &'static Mode,
}

/// One measurement under load.
#[derive(Debug, Clone, Copy)]
enum Figure {
    Latency,
    Churn,
    Bulk(Way, usize),
    /// Echoes beside bulk data.
    Mixed(mixed::Load),
    Http(Style),
    /// At a fixed rate of packets a second, of so many bytes each.
    Udp(usize, u32),
    /// As many packets as the pair can do, of so many bytes each.
    Flood(usize),
}

impl Round<'_> {
    fn measure(&mut self) {
        if self.args.measures(Metric::Memory, self.mode) {
            // One side at a time, in processes of its own: pages that both sides share would count
            // half, and a heap that has seen other load tells nothing about rest.
            for &(side, programs) in self.sides {
                let values = memory(programs, side, self.mode, self.args.idle);
                self.record(side, "memory", values);
            }
        }
        if self.args.measures(Metric::Restart, self.mode) {
            for &(side, programs) in self.sides {
                let values = restart::measure(programs, self.mode, self.args.clients);
                self.record(side, "restart", values);
            }
        }
        if self.args.measures(Metric::Loss, self.mode) {
            for &(side, programs) in self.sides {
                let values = far::loss(programs, side, self.mode, self.args.seconds);
                self.record(side, "loss", values);
            }
        }
        if self.args.measures(Metric::Long, self.mode) {
            for &(side, programs) in self.sides {
                let values = far::long(programs, side, self.mode, self.args.seconds);
                self.record(side, "long", values);
            }
        }
        if self.args.measures(Metric::Start, self.mode) {
            for &(side, programs) in self.sides {
                let values = start::measure(programs, side, self.mode);
                self.record(side, "start", values);
            }
        }
        if self.args.measures(Metric::Crowd, self.mode) {
            for &(side, programs) in self.sides {
                let window = Duration::from_secs_f64(self.args.seconds);
                let values = crowd::measure(programs, self.mode, self.args.clients, window);
                self.record(side, "crowd", values);
            }
        }
        if self.args.measures(Metric::Slow, self.mode) {
            self.measure_slow();
        }
        for kind in [Kind::Tcp, Kind::Http, Kind::Udp] {
            let figures = self.figures(kind);
            if !figures.is_empty() {
                self.measure_in_turns(kind, figures);
            }
        }
    }

    /// All links, loads and sides at once, each with programs and hosts of its own: what such links
    /// carry takes little of the machine.
    fn measure_slow(&mut self) {
        let (mode, seconds) = (self.mode, self.args.seconds);
        let settings = self.sides.iter().flat_map(|side| {
            let loads = |mbit| mixed::LOADS.map(|load| (*side, mbit, load));
            mixed::SLOW.into_iter().flat_map(loads)
        });
        let results = std::thread::scope(|scope| {
            let running = settings.map(|((side, programs), mbit, load)| {
                let measure =
                    move || mixed::measure_slow(programs, side, mode, mbit, load, seconds);
                (side, mbit, load, scope.spawn(measure))
            });
            let running = running.collect::<Vec<_>>();
            let results = running.into_iter().map(|(side, mbit, load, thread)| {
                let panicked = |_| Err(Error::Panicked);
                (side, mbit, load, thread.join().unwrap_or_else(panicked))
            });
            results.collect::<Vec<_>>()
        });
        for (side, mbit, load, values) in results {
            self.record(side, &format!("{mbit} Mbit/s {load:?}"), values);
        }
    }

    fn measure_in_turns(&mut self, kind: Kind, figures: Vec<Figure>) {
        // Both sides stay up and take turns figure by figure, so that what else the machine does
        // falls on both. A pair without connections uses no CPU to speak of.
        let mut running = Vec::new();
        for &(side, programs) in self.sides {
            let started = Backend::start().and_then(|backend| {
                let pair =
                    Start::here(programs, side, self.mode, kind, &backend).pair(probe::once)?;
                Ok((pair, backend))
            });
            match started {
                Ok((pair, backend)) => running.push((side, pair, backend, Vec::new())),
                Err(e) => self.record(side, "start", Err(e)),
            }
        }
        // Who goes first changes from round to round and from figure to figure.
        if self.round % 2 == 1 {
            running.reverse();
        }
        let window = Duration::from_secs_f64(self.args.seconds);
        for figure in figures {
            for (side, pair, backend, costs) in &mut running {
                let values = figure.measure(pair, backend, window, costs);
                backend.wait_until_quiet(kind);
                self.record(*side, &format!("{figure:?}"), values);
            }
            running.reverse();
        }
        for (side, _, _, costs) in running {
            if !costs.is_empty() {
                let mean = costs.iter().sum::<f64>() / costs.len() as f64;
                self.record(side, "mean", Ok(vec![(report::MEAN_CPU.to_owned(), mean)]));
            }
        }
    }

    fn figures(&self, kind: Kind) -> Vec<Figure> {
        let measures = |metric| self.args.measures(metric, self.mode);
        let mut figures = Vec::new();
        match kind {
            Kind::Tcp => {
                if measures(Metric::Latency) {
                    figures.push(Figure::Latency);
                }
                if measures(Metric::Mixed) {
                    figures.extend(mixed::LOADS.map(Figure::Mixed));
                }
                if measures(Metric::Churn) {
                    figures.push(Figure::Churn);
                }
                if measures(Metric::Throughput) {
                    for way in [Way::Up, Way::Down] {
                        let streams = self.args.streams.iter();
                        figures.extend(streams.map(|&streams| Figure::Bulk(way, streams)));
                    }
                }
            }
            Kind::Http if measures(Metric::Http) => {
                figures.extend([Style::KeepAlive, Style::OneShot].map(Figure::Http));
            }
            Kind::Udp if measures(Metric::Udp) => {
                let rate = self.args.udp_rate;
                figures.extend(UDP_SIZES.map(|size| Figure::Udp(size, rate)));
                figures.extend(UDP_SIZES.map(Figure::Flood));
            }
            Kind::Http | Kind::Udp => {}
        }
        figures
    }

    /// Files what was measured. What failed is reported as missing, and the run goes on.
    fn record(&mut self, side: Side, what: &str, values: Result<Values, Error>) {
        match values {
            Ok(values) => {
                for (metric, value) in values {
                    self.report
                        .record(self.round, self.mode, &metric, side, value);
                }
            }
            Err(e) => {
                let (round, mode) = (self.round + 1, self.mode.name);
                let text = format!("round {round} {mode} {side}: {what}: {e}");
                eprintln!("{text}");
                self.report.failed(text);
            }
        }
    }
}

impl Figure {
    fn measure(
        self,
        pair: &Pair,
        backend: &Backend,
        window: Duration,
        costs: &mut Vec<f64>,
    ) -> Result<Values, Error> {
        match self {
            Self::Latency => {
                let latency = load::latency(pair, window)?;
                Ok(vec![
                    ("latency p50, us".to_owned(), latency.p50_us),
                    ("latency p99, us".to_owned(), latency.p99_us),
                ])
            }
            Self::Churn => {
                let churn = load::churn(pair, window)?;
                Ok(vec![
                    ("new connections per s".to_owned(), churn.per_second),
                    ("CPU per new connection, ms".to_owned(), churn.cpu_ms),
                ])
            }
            Self::Bulk(way, streams) => {
                let bulk = load::bulk(pair, backend, way, streams, load::RUN_UP, window)?;
                costs.push(bulk.cpu_s_per_gb);
                Ok(vec![
                    (format!("CPU {way} x{streams}, s/GB"), bulk.cpu_s_per_gb),
                    (format!("{way} x{streams}, MB/s"), bulk.mb_per_s),
                ])
            }
            Self::Mixed(load) => mixed::measure(pair, backend, load, window.div_f64(2.0)),
            Self::Http(style) => {
                let http = http::requests(pair, style, window)?;
                Ok(vec![
                    (format!("http {style} CPU, us/req"), http.cpu_us),
                    (format!("http {style} p99, us"), http.p99_us),
                    (format!("http {style}, req/s"), http.per_second),
                ])
            }
            Self::Udp(size, rate) => {
                let udp = udp::fixed_rate(pair, size, rate, window)?;
                Ok(vec![
                    (format!("udp {size} B CPU, us/echo"), udp.cpu_us),
                    (format!("udp {size} B p99, us"), udp.p99_us),
                    (format!("udp {size} B loss, %"), udp.loss),
                ])
            }
            Self::Flood(size) => {
                let flood = udp::flood(pair, size, window)?;
                Ok(vec![
                    (format!("udp {size} B max CPU, us/echo"), flood.cpu_us),
                    (format!("udp {size} B max, echoes/s"), flood.per_second),
                ])
            }
        }
    }
}

fn memory(programs: &Programs, side: Side, mode: &Mode, idle: usize) -> Result<Values, Error> {
    let backend = Backend::start()?;
    let pair = Start::here(programs, side, mode, Kind::Tcp, &backend).pair(probe::once)?;
    std::thread::sleep(SETTLE);
    let rest = pair.private_bytes()?;
    // The first connections also map the code that serves connections.
    let _first = load::open_idle(pair.user_addr(), FIRST_IDLE)?;
    std::thread::sleep(SETTLE);
    let base = pair.private_bytes()?;
    let _open = load::open_idle(pair.user_addr(), idle)?;
    std::thread::sleep(SETTLE);
    let full = pair.private_bytes()?;
    Ok(vec![
        ("memory at rest, MB".to_owned(), rest / 1e6),
        (
            "memory per idle connection, KB".to_owned(),
            (full - base) / 1e3 / idle as f64,
        ),
    ])
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

/// Bytes of a small and of a full datagram.
const UDP_SIZES: [usize; 2] = [64, 1200];

/// Connections that are open before memory per connection is measured.
const FIRST_IDLE: usize = 20;

/// How long processes are left alone before their memory is read.
const SETTLE: Duration = Duration::from_secs(1);
