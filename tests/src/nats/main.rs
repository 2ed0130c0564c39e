//! `cargo run -p frp-tests --bin nats -- CAST...`: through which pairs of NATs a visitor finds a direct path
//! (xtcp) to the owner of a proxy, and after how long its first byte is back.
//!
//! A cast is `ours`, a directory with the Go `frps` and `frpc`, or three of these, as `FRPS,OWNER,VISITOR`.
//! Each gets a table per protocol. What follows the first cast is compared with it; the exit status is 1 if
//! something works with the first only. The options are:
//!
//! - `--protocol quic|kcp`: only this one.
//! - `--kind TEXT`: only pairs in which a name has this in it.
//! - `--patience SECONDS`: how long a pair may take, 60.
//! - `--jobs NUMBER`: how many are tried at once, 6.
//! - `--log DIRECTORY`: where the logs of the programs go, a file for each cell.
//! - `--measure SECONDS`: instead of a table, what a direct path is worth beside the relay: echoes and bulk data for
//!   so long each.
//!
//! It takes root: the boxes are between network namespaces.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod measure;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use frp_tests::Side;
use frp_tests::hole::{Cast, Hole, Lines, Outcome};
use frp_tests::network::{NatKind, NatNetwork, Path};
use futures_util::{StreamExt as _, stream};

const USAGE: &str = "usage: nats [--protocol quic|kcp] [--kind TEXT] [--patience SECONDS] [--jobs NUMBER] \
                     [--log DIRECTORY] [--measure SECONDS] CAST...";

/// One way of a packet on the internet between the boxes.
const DELAY: Duration = Duration::from_millis(10);

struct Args {
    casts: Vec<(String, Cast)>,
    protocols: Vec<&'static str>,
    kind: String,
    patience: Duration,
    jobs: usize,
    log: Option<PathBuf>,
    measure: Option<Duration>,
}

/// A pair of NATs with one cast and protocol.
#[derive(Clone, Copy)]
struct Cell {
    cast: usize,
    protocol: &'static str,
    visitor: NatKind,
    owner: NatKind,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(args) = Args::parse() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    if let Some(time) = args.measure {
        return measure::all(&args, time).await;
    }
    let results: Vec<_> = stream::iter(args.cells())
        .map(async |cell| (cell, play(&args, cell).await))
        .buffered(args.jobs)
        .collect()
        .await;
    let Some(results) = results
        .into_iter()
        .map(|(cell, outcome)| Some((cell, outcome?)))
        .collect::<Option<Vec<_>>>()
    else {
        return ExitCode::FAILURE;
    };
    for (number, (name, _)) in args.casts.iter().enumerate() {
        for protocol in &args.protocols {
            println!("## {name}, {protocol}\n");
            let wanted =
                |(cell, _): &&(Cell, Outcome)| cell.cast == number && cell.protocol == *protocol;
            print_table(&results.iter().filter(wanted).copied().collect::<Vec<_>>());
        }
    }
    if print_comparison(&args, &results) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Args {
    fn parse() -> Option<Self> {
        let mut args = Self {
            casts: Vec::new(),
            protocols: vec!["quic", "kcp"],
            kind: String::new(),
            patience: Duration::from_secs(60),
            jobs: 6,
            log: None,
            measure: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--protocol" => {
                    let wanted = words.next()?;
                    args.protocols.retain(|protocol| *protocol == wanted);
                }
                "--kind" => args.kind = words.next()?,
                "--patience" => args.patience = Duration::from_secs(words.next()?.parse().ok()?),
                "--measure" => {
                    args.measure = Some(Duration::from_secs(words.next()?.parse().ok()?))
                }
                "--jobs" => args.jobs = words.next()?.parse().ok().filter(|jobs| *jobs > 0)?,
                "--log" => args.log = Some(words.next()?.into()),
                flag if flag.starts_with('-') => return None,
                cast => args.casts.push((cast.to_owned(), cast_of(cast)?)),
            }
        }
        (!args.casts.is_empty() && !args.protocols.is_empty()).then_some(args)
    }

    fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for cast in 0..self.casts.len() {
            for protocol in &self.protocols {
                for visitor in NatKind::ALL {
                    for owner in NatKind::ALL {
                        cells.push(Cell {
                            cast,
                            protocol,
                            visitor,
                            owner,
                        });
                    }
                }
            }
        }
        cells.retain(|cell| {
            [cell.visitor, cell.owner]
                .iter()
                .any(|kind| kind.name().contains(&self.kind))
        });
        cells
    }
}

fn cast_of(text: &str) -> Option<Cast> {
    let side = |word: &str| match word {
        "ours" => Side::Ours,
        dir => Side::Go(dir.into()),
    };
    match text.split(',').collect::<Vec<_>>()[..] {
        [all] => Some(Cast::all(&side(all))),
        [frps, owner, visitor] => Some(Cast {
            frps: side(frps),
            owner: side(owner),
            visitor: side(visitor),
        }),
        _ => None,
    }
}

/// None: there are no namespaces here.
async fn play(args: &Args, cell: Cell) -> Option<Outcome> {
    let net = NatNetwork::new(cell.visitor, cell.owner)?;
    net.set_path(Path {
        delay: DELAY,
        ..Path::default()
    });
    let (name, cast) = &args.casts[cell.cast];
    let hole = Hole::begin(net, cast, cell.protocol, Lines::default()).await;
    let outcome = hole.first_byte(args.patience).await;
    let (visitor, owner) = (cell.visitor.name(), cell.owner.name());
    eprintln!("{name}, {}: {visitor} to {owner}: {outcome}", cell.protocol);
    if let Some(dir) = &args.log {
        std::fs::create_dir_all(dir).unwrap();
        let file = format!("{}-{}-{visitor}-{owner}.log", cell.cast, cell.protocol);
        let text = [&hole.frps, &hole.owner, &hole.visitor].map(|p| p.log().text());
        let [frps, owner, visitor] = text;
        let text = format!("== frps\n{frps}\n== owner\n{owner}\n== visitor\n{visitor}\n");
        std::fs::write(dir.join(file.replace(' ', "_")), text).unwrap();
    }
    Some(outcome)
}

fn print_table(results: &[(Cell, Outcome)]) {
    let columns = NatKind::ALL.map(|kind| format!(" {} |", kind.name()));
    println!("| visitor \\ owner |{}", columns.concat());
    println!("|---|{}", "---|".repeat(columns.len()));
    for visitor in NatKind::ALL {
        let cells = NatKind::ALL.map(|owner| {
            let found = results
                .iter()
                .find(|(cell, _)| cell.visitor == visitor && cell.owner == owner);
            found.map_or_else(|| "  |".to_owned(), |(_, outcome)| format!(" {outcome} |"))
        });
        println!("| {} |{}", visitor.name(), cells.concat());
    }
    println!();
}

/// What works with one of two casts only; false where that is the first.
fn print_comparison(args: &Args, results: &[(Cell, Outcome)]) -> bool {
    let mut as_good = true;
    for (first, outcome) in results.iter().filter(|(cell, _)| cell.cast == 0) {
        let same = |cell: &Cell| {
            cell.cast != 0
                && cell.protocol == first.protocol
                && cell.visitor == first.visitor
                && cell.owner == first.owner
        };
        for (cell, other) in results.iter().filter(|(cell, _)| same(cell)) {
            if outcome.works() != other.works() {
                as_good &= other.works();
                println!(
                    "- {}, {} to {}: {} {outcome}, {} {other}",
                    cell.protocol,
                    cell.visitor.name(),
                    cell.owner.name(),
                    args.casts[0].0,
                    args.casts[cell.cast].0,
                );
            }
        }
    }
    as_good
}
