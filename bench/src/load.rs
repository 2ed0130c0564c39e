//! The loads: bulk transfer, new connections, round trips, idle connections.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::backend::{self, Backend, ECHO, HOLD, SINK, SOURCE};
use crate::error::{Context, Error};
use crate::pair::Pair;

/// Which way bulk data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the user to the service behind frpc.
    Up,
    /// From the service to the user.
    Down,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// What moving bytes costs.
pub(crate) struct Bulk {
    /// CPU seconds of both programs per 10^9 bytes.
    pub(crate) cpu_s_per_gb: f64,
    pub(crate) mb_per_s: f64,
}

/// Moves bytes over `streams` connections for `window`, after a run-up.
pub(crate) fn bulk(
    pair: &Pair,
    backend: &Backend,
    way: Way,
    streams: usize,
    run_up: Duration,
    window: Duration,
) -> Result<Bulk, Error> {
    let users = (0..streams)
        .map(|_| connect(pair.user_addr()))
        .collect::<io::Result<Vec<_>>>()
        .context("connect")?;
    let received = AtomicU64::new(0);
    let count = || match way {
        Way::Up => backend.sunk(),
        Way::Down => received.load(Ordering::Relaxed),
    };

    let (bytes, spent) = thread::scope(|scope| {
        for user in &users {
            let received = &received;
            scope.spawn(move || {
                let mut stream = user;
                // Ends with the shutdown below; a break before that shows in the count.
                let _ = match way {
                    Way::Up => stream
                        .write_all(&[SINK])
                        .and_then(|()| backend::pour(stream)),
                    Way::Down => stream
                        .write_all(&[SOURCE])
                        .and_then(|()| backend::drain(stream, received)),
                };
            });
        }
        let spent = measure_after(run_up, pair, window, count);
        for user in &users {
            let _ = user.shutdown(Shutdown::Both);
        }
        spent
    })?;
    if bytes == 0 {
        return Err(Error::NoBytes);
    }
    Ok(Bulk {
        cpu_s_per_gb: spent.cpu.as_secs_f64() / (bytes as f64 / 1e9),
        mb_per_s: bytes as f64 / 1e6 / spent.wall.as_secs_f64(),
    })
}

/// What a new connection costs.
pub(crate) struct Churn {
    pub(crate) per_second: f64,
    /// CPU milliseconds of both programs per connection.
    pub(crate) cpu_ms: f64,
}

/// Connect, 64 bytes, echo, close, by eight workers.
pub(crate) fn churn(pair: &Pair, window: Duration) -> Result<Churn, Error> {
    let (done, failures) = (AtomicUsize::new(0), Failures::default());
    let stop = AtomicBool::new(false);
    let (count, spent) = thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    match connect(pair.user_addr()).and_then(|mut user| ping(&mut user, ECHO)) {
                        Ok(()) => _ = done.fetch_add(1, Ordering::Relaxed),
                        Err(e) => failures.add(e),
                    }
                }
            });
        }
        let spent = measure(pair, window, || done.load(Ordering::Relaxed) as u64);
        stop.store(true, Ordering::Relaxed);
        spent
    })?;
    failures.check(done.into_inner())?;
    if count == 0 {
        return Err(Error::NoBytes);
    }
    Ok(Churn {
        per_second: spent.per_second(count),
        cpu_ms: spent.cpu_us_each(count) / 1e3,
    })
}

/// How long a round trip takes.
pub(crate) struct Latency {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// Round trips of 64 bytes on four open connections at once.
pub(crate) fn latency(pair: &Pair, window: Duration) -> Result<Latency, Error> {
    let mut users = (0..PINGERS)
        .map(|_| connect(pair.user_addr()))
        .collect::<io::Result<Vec<_>>>()
        .context("connect")?;
    let begin = Instant::now() + RUN_UP;
    let end = begin + window;
    let samples = thread::scope(|scope| {
        let pingers = users
            .iter_mut()
            .map(|user| scope.spawn(move || pings(user, begin, end)));
        let pingers = pingers.collect::<Vec<_>>();
        let results = pingers.into_iter().map(|pinger| {
            pinger
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a worker panicked")))
        });
        results.collect::<io::Result<Vec<_>>>()
    });
    let mut samples = samples.context("round trip")?.concat();
    match (at(&mut samples, 0.5), at(&mut samples, 0.99)) {
        (Some(p50_us), Some(p99_us)) => Ok(Latency { p50_us, p99_us }),
        _ => Err(Error::NoBytes),
    }
}

/// The microseconds that `share` of the samples, 0 to 1, do not exceed.
pub(crate) fn at(samples: &mut [Duration], share: f64) -> Option<f64> {
    samples.sort_unstable();
    let index = ((samples.len() as f64 * share) as usize).min(samples.len().saturating_sub(1));
    samples.get(index).map(|time| time.as_secs_f64() * 1e6)
}

/// Round trips of 64 bytes on one connection, from `begin` to `end`.
pub(crate) fn pings(
    user: &mut TcpStream,
    begin: Instant,
    end: Instant,
) -> io::Result<Vec<Duration>> {
    let mut samples = Vec::with_capacity(100_000);
    loop {
        let sent = Instant::now();
        ping(user, ECHO)?;
        let received = Instant::now();
        if received > end {
            return Ok(samples);
        }
        if sent >= begin {
            samples.push(received - sent);
        }
    }
}

/// Opens `count` connections, each of which has carried 64 bytes both ways, and keeps them.
pub(crate) fn open_idle(addr: SocketAddr, count: usize) -> Result<Vec<TcpStream>, Error> {
    let (next, failures) = (AtomicUsize::new(0), Failures::default());
    let open = Mutex::new(Vec::with_capacity(count));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    let user = connect(addr).and_then(|mut user| {
                        ping(&mut user, HOLD)?;
                        Ok(user)
                    });
                    match user {
                        Ok(user) => open
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(user),
                        Err(e) => failures.add(e),
                    }
                }
            });
        }
    });
    let open = open.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.check(open.len())?;
    Ok(open)
}

/// What was used while something was counted.
pub(crate) struct Spent {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

impl Spent {
    /// CPU microseconds of both programs for each of `count`.
    pub(crate) fn cpu_us_each(&self, count: u64) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / count as f64
    }

    pub(crate) fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.wall.as_secs_f64()
    }
}

/// Lets the load run up, then watches it for `window`.
pub(crate) fn measure(
    pair: &Pair,
    window: Duration,
    count: impl Fn() -> u64,
) -> Result<(u64, Spent), Error> {
    measure_after(RUN_UP, pair, window, count)
}

fn measure_after(
    run_up: Duration,
    pair: &Pair,
    window: Duration,
    count: impl Fn() -> u64,
) -> Result<(u64, Spent), Error> {
    thread::sleep(run_up);
    let (begin, cpu, counted) = (Instant::now(), pair.cpu(), count());
    thread::sleep(window);
    let (wall, cpu_end, counted_end) = (begin.elapsed(), pair.cpu(), count());
    Ok((
        counted_end - counted,
        Spent {
            cpu: cpu_end? - cpu?,
            wall,
        },
    ))
}

pub(crate) fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    Ok(stream)
}

/// Sends 64 bytes that begin with `command` and checks that they come back.
fn ping(stream: &mut TcpStream, command: u8) -> io::Result<()> {
    let sent = [command; 64];
    let mut received = [0; 64];
    stream.write_all(&sent)?;
    stream.read_exact(&mut received)?;
    if received != sent {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the echo differs",
        ));
    }
    Ok(())
}

/// Counts what went wrong, and keeps the first reason.
#[derive(Default)]
pub(crate) struct Failures(Mutex<(usize, Option<io::Error>)>);

impl Failures {
    pub(crate) fn add(&self, e: io::Error) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.0 += 1;
        inner.1.get_or_insert(e);
        drop(inner);
        // A port that refuses would be asked a million times.
        thread::sleep(Duration::from_millis(1));
    }

    pub(crate) fn check(self, done: usize) -> Result<(), Error> {
        match self.0.into_inner().unwrap_or_else(PoisonError::into_inner) {
            (failed, Some(first)) => Err(Error::Connections {
                failed,
                done,
                first,
            }),
            _ => Ok(()),
        }
    }
}

const WORKERS: usize = 8;
const PINGERS: usize = 4;
/// How long a load runs before it counts.
pub(crate) const RUN_UP: Duration = Duration::from_millis(300);
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(10);
