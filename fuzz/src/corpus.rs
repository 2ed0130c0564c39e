//! The kept corpus of each target, and its neighbourhood, for those who have no fuzzer. For so many seconds a
//! target as `FRP_FUZZ_SECONDS` says, else for a moment.

#![allow(
    clippy::print_stdout,
    reason = "what a test tried is read with --nocapture"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::targets::{ALL, all};
use crate::{config, files, http, net, outbound_proxy, pipes, proto, values, vnet, websocket};

/// Mutations of each target where no time is given.
const A_FEW: usize = 300;

/// Bytes of an input; what matters is short, and more takes longer only.
const LONGEST: usize = 4096;

/// A test for each target.
macro_rules! tests {
    ($($name:ident: $run:expr;)*) => {
        $(
            #[test]
            fn $name() {
                neighbourhood(stringify!($name), $run);
            }
        )*
    };
}
all!(tests);

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The names of the files in a directory, sorted.
fn listed(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap_or_else(|e| panic!("{}: {e}", directory.display()))
        .map(|entry| entry.expect("a directory that can be read").path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_target_has_a_corpus() {
    let corpora = listed(&directory("corpus"));
    let kept: Vec<_> = corpora
        .iter()
        .filter_map(|path| path.file_name()?.to_str())
        .collect();
    let names: Vec<_> = ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, kept);
}

fn neighbourhood(name: &str, run: fn(&[u8])) {
    let inputs = listed(&directory("corpus").join(name)).into_iter();
    let corpus: Vec<Vec<u8>> = inputs
        .map(|path| std::fs::read(path).expect("a file"))
        .collect();
    assert!(!corpus.is_empty(), "{name} has no corpus");
    for input in &corpus {
        Tried(input).by(run);
    }
    let seconds = std::env::var("FRP_FUZZ_SECONDS").ok();
    let seconds = seconds.map(|text| text.parse().expect("a number of seconds"));
    let (begin, seed) = (
        Instant::now(),
        seconds.map_or(7, |_| u64::from(std::process::id())),
    );
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut tried = 0;
    let goes_on = |tried| match seconds {
        Some(seconds) => begin.elapsed() < Duration::from_secs(seconds),
        None => tried < A_FEW,
    };
    while goes_on(tried) {
        let mut input = random.of(&corpus).clone();
        for _ in 0..=random.below(4) {
            mutate(&mut input, &corpus, &mut random);
        }
        input.truncate(LONGEST);
        Tried(&input).by(run);
        tried += 1;
    }
    println!("{name}: {} inputs kept, {tried} more tried", corpus.len());
}

/// An input, which is shown where it makes a target panic.
struct Tried<'a>(&'a [u8]);

impl Tried<'_> {
    fn by(self, run: fn(&[u8])) {
        run(self.0);
    }
}

impl Drop for Tried<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the input: {:?}", self.0.escape_ascii().to_string());
        }
    }
}

/// What is likely to mean something.
const BYTES: [u8; 10] = [0, 1, 0x0a, 0x16, 0x20, 0x22, 0x7f, 0x80, 0xfe, 0xff];

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let end = (at + random.below(16)).min(input.len());
    match random.below(7) {
        0 => input.truncate(at),
        1 => drop(input.drain(at..end)),
        2 => input.insert(at, *random.of(&BYTES)),
        3 => {
            let again = input.get(at..end).unwrap_or_default().to_vec();
            input.splice(at..at, again);
        }
        4 => {
            let other = random.of(corpus).clone();
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend(other.get(from..).unwrap_or_default());
        }
        kind => {
            if let Some(byte) = input.get_mut(at) {
                *byte = match kind {
                    5 => *random.of(&BYTES),
                    _ => *byte ^ (1 << random.below(8)),
                };
            }
        }
    }
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let at = self.below(list.len());
        list.get(at).expect("a list that is not empty")
    }
}
