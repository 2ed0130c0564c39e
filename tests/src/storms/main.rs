//! `cargo run -p frp-tests --bin storms -- CAST...`: what is left of clients, users and their bytes when a storm is
//! over.
//!
//! A cast is `ours`, a directory with the Go `frps` and `frpc`, or two of these, as `FRPS,FRPC`. Each gets a table. All
//! ways of a client to its server are there at once; the options are:
//!
//! - `--way NAME`: only this one: `tcp`, `websocket`, `kcp`, ...
//! - `--storm TEXT`: only storms that have this in their names.
//! - `--lengths SECONDS,...`: how long partitions and the like last, 5,30,120,300.
//! - `--lines TEXT`: more lines of both configurations; `\n` separates them.
//! - `--log DIRECTORY`: where the logs of the programs go.
//! - `--clients NUMBER`: instead of storms, frps is killed and started again under so many clients.
//!
//! The columns: after how long a new user was served again, by TCP and UDP; how many exchanges of users ended whole,
//! how many broke off and showed it; how many heard nothing more for 20 s; how many were told that all had arrived when
//! it had not; and what of sessions, proxies, users' connections and sockets is not as it was before, if anything. It takes root, for network
//! namespaces. The exit status is 1 if anything is lost or left.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod restart;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use frp_tests::Side;
use frp_tests::storm::exchange::End;
use frp_tests::storm::scene::{Pair, Scene, Standing, Way, Weather};
use tokio::time::sleep;

const USAGE: &str = "usage: storms [--way NAME] [--storm TEXT] [--lengths SECONDS,...] [--lines TEXT] [--log DIRECTORY] \
                     [--clients NUMBER] CAST...";

/// Users come this long before a storm.
const BEFORE: Duration = Duration::from_secs(2);

/// Everybody has to be back this long after a storm.
const BACK: Duration = Duration::from_secs(180);

/// What is left may take so long to go: frpc keeps the socket of a user of udp for 30 s.
const CALM: Duration = Duration::from_secs(60);

struct Args {
    casts: Vec<(String, Side, Side)>,
    ways: Vec<Way>,
    storm: String,
    lengths: Vec<Duration>,
    lines: String,
    log: Option<PathBuf>,
    clients: Option<usize>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(args) = Args::parse() else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let mut is_well = true;
    for (name, server, client) in &args.casts {
        is_well &= match args.clients {
            Some(clients) => restart::under(name, server, client, clients).await,
            None => storms(&args, name, server, client).await,
        };
    }
    if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn storms(args: &Args, name: &str, server: &Side, client: &Side) -> bool {
    println!("## {name}\n");
    println!("| storm | way | back after, s | whole | broken off | silent | lies | left behind |");
    println!("|---|---|---|---|---|---|---|---|");
    let mut is_well = true;
    for (weather, length) in args.storms() {
        let scene = Scene::begin(server, client, &args.ways, [&args.lines; 2]).await;
        let Some(mut scene) = scene else {
            return false;
        };
        scene.let_users_in();
        sleep(BEFORE).await;
        scene.storm(weather, length).await;
        let back = scene.back(BACK).await;
        scene.send_users_away().await;
        let left = scene.calm(CALM).await;
        let storm = format!("{}, {} s", weather.name(), length.as_secs());
        for ((pair, back), left) in scene.pairs.iter().zip(back).zip(left) {
            is_well &= print_row(&storm, pair, back, left);
        }
        if let Some(dir) = &args.log {
            keep_logs(dir, &storm, &scene.pairs);
        }
    }
    println!();
    is_well
}

fn print_row(
    storm: &str,
    pair: &Pair,
    back: Option<Duration>,
    left: Result<Duration, Standing>,
) -> bool {
    let after = match back {
        Some(time) => format!("{:.1}", time.as_secs_f64()),
        None => "never".to_owned(),
    };
    let nothing = left.is_ok();
    let left = match left {
        Ok(_) => "nothing".to_owned(),
        Err(found) => {
            let Standing {
                clients,
                proxies,
                connections,
                sockets: [frps, frpc],
            } = found;
            let [at_frps, at_frpc] = pair.sockets_at_rest();
            format!(
                "{clients} sessions, {proxies} proxies, {connections} connections, sockets {frps} of {at_frps} and \
                 {frpc} of {at_frpc}"
            )
        }
    };
    let tally = &pair.tally;
    println!(
        "| {storm} | {} | {after} | {} | {} | {} | {} | {left} |",
        pair.way.name(),
        tally.of(End::Whole),
        tally.of(End::BrokenOff),
        tally.of(End::Silent),
        tally.lies(),
    );
    back.is_some() && nothing && tally.lies() == 0
}

fn keep_logs(dir: &PathBuf, storm: &str, pairs: &[Pair]) {
    std::fs::create_dir_all(dir).unwrap();
    for pair in pairs {
        let file = format!("{storm}-{}.log", pair.way.name()).replace([' ', ','], "_");
        let [frps, frpc] = [&pair.frps, &pair.frpc].map(|program| program.log().text());
        std::fs::write(
            dir.join(file),
            format!("== frps\n{frps}\n== frpc\n{frpc}\n"),
        )
        .unwrap();
    }
}

impl Args {
    fn parse() -> Option<Self> {
        let mut args = Self {
            casts: Vec::new(),
            ways: Way::ALL.to_vec(),
            storm: String::new(),
            lengths: [5, 30, 120, 300].map(Duration::from_secs).to_vec(),
            lines: String::new(),
            log: None,
            clients: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--way" => {
                    let wanted = words.next()?;
                    args.ways.retain(|way| way.name() == wanted);
                }
                "--storm" => args.storm = words.next()?,
                "--lengths" => {
                    let lengths = words.next()?;
                    let lengths = lengths.split(',').map(|word| word.parse().ok());
                    let lengths = lengths.map(|seconds| seconds.map(Duration::from_secs));
                    args.lengths = lengths.collect::<Option<_>>()?;
                }
                "--lines" => args.lines = words.next()?.replace("\\n", "\n") + "\n",
                "--log" => args.log = Some(words.next()?.into()),
                "--clients" => args.clients = Some(words.next()?.parse().ok()?),
                flag if flag.starts_with('-') => return None,
                cast => {
                    let (server, client) = cast.split_once(',').unwrap_or((cast, cast));
                    let casts = (cast.to_owned(), side(server), side(client));
                    args.casts.push(casts);
                }
            }
        }
        (!args.casts.is_empty() && !args.ways.is_empty()).then_some(args)
    }

    /// Each storm with its length: those that last have several.
    fn storms(&self) -> Vec<(Weather, Duration)> {
        const SHORT: Duration = Duration::from_secs(5);
        const ROUGH: Duration = Duration::from_secs(30);
        let mut storms = Vec::new();
        for weather in Weather::ALL {
            match weather {
                Weather::Rough => storms.push((weather, ROUGH)),
                Weather::Parted | Weather::ClientsDeaf | Weather::ServersDeaf => {
                    storms.extend(self.lengths.iter().map(|length| (weather, *length)));
                }
                _ => storms.push((weather, SHORT)),
            }
        }
        storms.retain(|(weather, _)| weather.name().contains(&self.storm));
        storms
    }
}

fn side(word: &str) -> Side {
    match word {
        "ours" => Side::Ours,
        dir => Side::Go(dir.into()),
    }
}
