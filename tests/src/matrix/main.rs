//! `cargo run -p frp-tests --bin matrix -- DIR`: which releases of frp work with ours, and where
//! that is not as with the release that ours stand in for.
//!
//! `DIR` holds `frps` and `frpc`, or one such folder for each release. Every cell is played twice,
//! once with ours and once with 0.70.1 in its place, and shows both outcomes: `ours, theirs`.
//! Below stand the complaints behind whatever does not work, and what works with 0.70.1 only; the
//! exit status is 1 if there is such a cell. A row's name, or a part of it, after `--case` chooses
//! rows, `--jobs` says how many cells are played at once.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

use std::path::PathBuf;
use std::process::ExitCode;

use frp_tests::releases::{CASES, Case, Direction, Outcome, Release, STANDARD, play};
use futures_util::{StreamExt as _, stream};

/// Characters of a complaint that are shown.
const REASON: usize = 120;

const USAGE: &str = "usage: matrix [--case TEXT] [--jobs NUMBER] DIR...";

struct Args {
    dirs: Vec<PathBuf>,
    case: String,
    jobs: usize,
}

/// What came of one row and release.
struct Cell {
    row: usize,
    column: usize,
    ours: Outcome,
    theirs: Outcome,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(args) = Args::parse() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let mut releases: Vec<_> = args
        .dirs
        .iter()
        .flat_map(|dir| Release::found(dir))
        .collect();
    releases.sort_by_key(|release| release.version);
    let Some(standard) = releases.iter().find(|r| r.version == STANDARD).cloned() else {
        eprintln!(
            "no frps and frpc {STANDARD}, to compare with, in {:?}",
            args.dirs
        );
        return ExitCode::FAILURE;
    };
    let rows: Vec<_> = CASES
        .iter()
        .filter(|case| case.name.contains(&args.case))
        .collect();
    let cells = play_all(&rows, &releases, &standard, args.jobs).await;
    print_table(Direction::OldServer, &rows, &releases, &cells);
    print_table(Direction::OldClient, &rows, &releases, &cells);
    print_complaints(&rows, &releases, &cells);
    if print_summary(&rows, &releases, &cells) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Args {
    fn parse() -> Option<Self> {
        let mut args = Self {
            dirs: Vec::new(),
            case: String::new(),
            jobs: 6,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--case" => args.case = words.next()?,
                "--jobs" => args.jobs = words.next()?.parse().ok().filter(|jobs| *jobs > 0)?,
                flag if flag.starts_with('-') => return None,
                dir => args.dirs.push(dir.into()),
            }
        }
        (!args.dirs.is_empty()).then_some(args)
    }
}

/// Plays `jobs` cells at a time.
async fn play_all(
    rows: &[&Case],
    releases: &[Release],
    standard: &Release,
    jobs: usize,
) -> Vec<Cell> {
    let ours = Release::ours();
    let places =
        (0..rows.len()).flat_map(|row| (0..releases.len()).map(move |column| (row, column)));
    let plays = places.map(async |(row, column)| {
        let (case, old) = (rows[row], &releases[column]);
        let theirs = play(case, old, standard).await;
        let ours = play(case, old, &ours).await;
        eprintln!("{}, {}: {ours}, {theirs}", old.version, case.name);
        Cell {
            row,
            column,
            ours,
            theirs,
        }
    });
    stream::iter(plays).buffered(jobs).collect().await
}

fn print_table(direction: Direction, rows: &[&Case], releases: &[Release], cells: &[Cell]) {
    println!(
        "{}\n",
        match direction {
            Direction::OldServer => "## Our frpc, and that of 0.70.1, towards frps of each release",
            Direction::OldClient => "## frpc of each release towards our frps, and that of 0.70.1",
        }
    );
    let versions = releases.iter().map(|r| format!(" {} |", r.version));
    println!("| case |{}", versions.collect::<String>());
    println!("|---|{}", "---|".repeat(releases.len()));
    for (row, case) in rows.iter().enumerate() {
        if case.direction == direction {
            let cells = cells.iter().filter(|cell| cell.row == row);
            let cells = cells.map(|cell| format!(" {}, {} |", cell.ours, cell.theirs));
            println!("| {} |{}", case.name, cells.collect::<String>());
        }
    }
    println!();
}

fn print_complaints(rows: &[&Case], releases: &[Release], cells: &[Cell]) {
    println!("## What was complained of\n");
    for cell in cells {
        let place = place(rows, releases, cell);
        for (who, outcome) in [("ours", &cell.ours), ("0.70.1", &cell.theirs)] {
            if !outcome.reason().is_empty() {
                let reason: String = outcome.reason().chars().take(REASON).collect();
                println!("- {place}: {who}: {outcome}: {reason}");
            }
        }
    }
    println!();
}

/// Prints how ours compare; false where something works with theirs only.
fn print_summary(rows: &[&Case], releases: &[Release], cells: &[Cell]) -> bool {
    let list = |title: &str, wanted: fn(&Cell) -> bool| {
        let found: Vec<_> = cells.iter().filter(|cell| wanted(cell)).collect();
        println!("{title}: {}", found.len());
        for cell in &found {
            let (place, ours, theirs) = (place(rows, releases, cell), &cell.ours, &cell.theirs);
            println!("- {place}: {ours}, {theirs}");
        }
        found.is_empty()
    };
    println!("## Summary\n");
    let both = |cell: &&Cell| cell.ours.works() && cell.theirs.works();
    let neither = |cell: &&Cell| !cell.ours.works() && !cell.theirs.works();
    println!("work with both: {}", cells.iter().filter(both).count());
    println!(
        "work with neither: {}",
        cells.iter().filter(neither).count()
    );
    list("work with ours only", |cell| {
        cell.ours.works() && !cell.theirs.works()
    });
    list("work with 0.70.1 only", |cell| {
        cell.theirs.works() && !cell.ours.works()
    })
}

fn place(rows: &[&Case], releases: &[Release], cell: &Cell) -> String {
    let case = rows[cell.row];
    let end = match case.direction {
        Direction::OldServer => "frps",
        Direction::OldClient => "frpc",
    };
    format!("{end} {}, {}", releases[cell.column].version, case.name)
}
