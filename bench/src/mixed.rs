//! A person beside bulk data: small echoes through the same client as two downloads or two uploads, on
//! the loopback and over a link that is narrow.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use frp_tests::network::{Path, Rate};

use crate::backend::{Backend, ECHO};
use crate::error::{Context, Error, Values};
use crate::far::between_hosts;
use crate::load::{self, Bulk, Way};
use crate::mode::Mode;
use crate::pair::{Pair, Programs};
use crate::report::Side;

/// Which way the bulk data goes, and how many connections echo beside it.
pub(crate) type Load = (Way, usize);

/// All of them.
pub(crate) const LOADS: [Load; 4] = [(Way::Down, 1), (Way::Down, 4), (Way::Up, 1), (Way::Up, 4)];

/// The load on one machine.
pub(crate) fn measure(
    pair: &Pair,
    backend: &Backend,
    load: Load,
    window: Duration,
) -> Result<Values, Error> {
    run(pair, backend, load, "", load::RUN_UP, window)
}

/// A load over a link of so many Mbit/s, 20 ms there and back, with a queue of its own that holds as
/// much as is under way.
pub(crate) fn measure_slow(
    programs: &Programs,
    side: Side,
    mode: &Mode,
    mbit: u32,
    load: Load,
    seconds: f64,
) -> Result<Values, Error> {
    let path = Path {
        delay: SLOW_DELAY,
        rate: Some(Rate {
            bytes: mbit * 1_000_000 / 8,
            queue: SLOW_DELAY * 2,
        }),
        ..Path::default()
    };
    let window = Duration::from_secs_f64(seconds * SLOW_LONGER);
    between_hosts(programs, side, mode, path, |_, pair, backend| {
        let name = format!("{mbit} Mbit/s ");
        run(pair, backend, load, &name, SLOW_RUN_UP, window)
    })
}

/// The links, in Mbit/s.
pub(crate) const SLOW: [u32; 2] = [20, 2];

fn run(
    pair: &Pair,
    backend: &Backend,
    (way, echoes): Load,
    name: &str,
    run_up: Duration,
    window: Duration,
) -> Result<Values, Error> {
    let users = (0..echoes)
        .map(|_| load::connect(pair.user_addr()))
        .collect::<io::Result<Vec<_>>>()
        .context("connect")?;
    let begin = Instant::now() + run_up;
    let end = begin + window;
    let (bulk, samples) = thread::scope(|scope| {
        let echoing = users.iter().enumerate().map(|(number, user)| {
            let mut pauses = Pauses(number as u64 + 1);
            scope.spawn(move || echo(user, begin, end, &mut pauses))
        });
        let echoing = echoing.collect::<Vec<_>>();
        let bulk = load::bulk(pair, backend, way, BULK_STREAMS, run_up, window);
        let samples = echoing.into_iter().map(|thread| {
            let panicked = |_| Err(io::Error::other("a worker panicked"));
            thread.join().unwrap_or_else(panicked)
        });
        (bulk, samples.collect::<io::Result<Vec<_>>>())
    });
    let Bulk {
        cpu_s_per_gb,
        mb_per_s,
    } = bulk?;
    let mut samples = samples.context("echo")?.concat();
    let p50 = load::at(&mut samples, 0.5).ok_or(Error::NoBytes)?;
    let p99 = load::at(&mut samples, 0.99).ok_or(Error::NoBytes)?;
    let name = format!("{name}{way} + {echoes} echo");
    Ok(vec![
        (format!("{name} p50, ms"), p50 / 1e3),
        (format!("{name} p99, ms"), p99 / 1e3),
        (format!("{name}, MB/s"), mb_per_s),
        (format!("{name} CPU, s/GB"), cpu_s_per_gb),
    ])
}

/// 64 bytes there and back, again and again with short pauses. One that is still under way at the end
/// counts with the time it has taken until then.
fn echo(
    mut user: &TcpStream,
    begin: Instant,
    end: Instant,
    pauses: &mut Pauses,
) -> io::Result<Vec<Duration>> {
    let bytes = [ECHO; 64];
    let mut samples = Vec::with_capacity(10_000);
    loop {
        let sent = Instant::now();
        if sent >= end {
            return Ok(samples);
        }
        user.write_all(&bytes)?;
        let is_late = !read_before(user, &mut [0; 64], end)?;
        if sent >= begin || is_late {
            samples.push(sent.elapsed());
        }
        if is_late {
            return Ok(samples);
        }
        thread::sleep(pauses.next());
    }
}

/// Whether all came before `end`.
fn read_before(mut user: &TcpStream, buf: &mut [u8], end: Instant) -> io::Result<bool> {
    let mut n = 0;
    while let Some(rest) = buf.get_mut(n..).filter(|rest| !rest.is_empty()) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        user.set_read_timeout(Some(left))?;
        match user.read(rest) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(more) => n += more,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(false);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

/// One to three milliseconds: so many echoes that they can be counted, so few that they cost nothing
/// beside the bulk data, and in step with nothing.
struct Pauses(u64);

impl Pauses {
    fn next(&mut self) -> Duration {
        // Knuth's MMIX; the high bits are the random ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Duration::from_micros(1000 + (self.0 >> 33) % 2000)
    }
}

const BULK_STREAMS: usize = 2;

/// Half of the round trip.
const SLOW_DELAY: Duration = Duration::from_millis(10);

/// Until queues are as long as they get.
const SLOW_RUN_UP: Duration = Duration::from_secs(3);

/// Echoes are fewer there: figures take this many times as long as others.
const SLOW_LONGER: f64 = 2.5;
