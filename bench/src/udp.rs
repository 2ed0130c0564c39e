//! Datagrams through a udp proxy to the service and back.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Context, Error};
use crate::load::{self, Failures, RUN_UP};
use crate::pair::Pair;
use crate::service;

/// What an echo costs at a fixed rate.
pub(crate) struct Udp {
    /// CPU microseconds of both programs per echo, which is two packets.
    pub(crate) cpu_us: f64,
    pub(crate) p99_us: f64,
    /// Per cent of the packets that did not come back.
    pub(crate) loss: f64,
}

/// What an echo costs when as many are under way as the pair can do.
pub(crate) struct Flood {
    pub(crate) per_second: f64,
    pub(crate) cpu_us: f64,
}

/// `rate` packets of `size` bytes a second from eight users, in a small burst each millisecond.
pub(crate) fn fixed_rate(
    pair: &Pair,
    size: usize,
    rate: u32,
    window: Duration,
) -> Result<Udp, Error> {
    let users = users(pair.user_addr())?;
    let shared = Shared::default();
    let base = Instant::now();
    let times = base + RUN_UP..base + RUN_UP + window;
    let (measured, sent, mut samples) = thread::scope(|scope| {
        let receiver = |number: usize, user: &UdpSocket| {
            let mut samples = Vec::with_capacity(50_000);
            let mut buf = [0; BUF];
            while !shared.stop.load(Ordering::Relaxed) {
                match receive(user, number, size, &mut buf) {
                    Ok(Some(stamp)) => {
                        shared.received.fetch_add(1, Ordering::Relaxed);
                        let (sent, received) = (base + stamp, Instant::now());
                        if sent >= times.start && received < times.end {
                            samples.push(received - sent);
                        }
                    }
                    Ok(None) => {}
                    Err(e) => shared.failures.add(e),
                }
            }
            samples
        };
        let receivers = users
            .iter()
            .enumerate()
            .map(|(number, user)| scope.spawn(move || receiver(number, user)))
            .collect::<Vec<_>>();
        let sender = scope.spawn(|| send_at(&users, size, rate, base, &shared));
        let measured = load::measure(pair, window, || shared.received.load(Ordering::Relaxed));

        shared.sent_all.store(true, Ordering::Relaxed);
        let sent = sender.join().unwrap_or_default();
        let begin = Instant::now();
        while shared.received.load(Ordering::Relaxed) < sent && begin.elapsed() < LATE {
            thread::sleep(TICK);
        }
        shared.stop.store(true, Ordering::Relaxed);
        let samples = receivers
            .into_iter()
            .flat_map(|receiver| receiver.join().unwrap_or_default());
        (measured, sent, samples.collect::<Vec<_>>())
    });
    let received = shared.finish()?;
    match (measured?, load::at(&mut samples, 0.99)) {
        ((count, spent), Some(p99_us)) if count > 0 => Ok(Udp {
            cpu_us: spent.cpu_us_each(count),
            p99_us,
            loss: sent.saturating_sub(received) as f64 / sent as f64 * 100.0,
        }),
        _ => Err(Error::NoBytes),
    }
}

/// Sends what is due each millisecond, by the users in turn, and returns how many that were.
fn send_at(users: &[UdpSocket], size: usize, rate: u32, base: Instant, shared: &Shared) -> u64 {
    let mut sent = 0;
    let mut skipped = 0;
    let mut packet = vec![0; size];
    let burst = u64::from(rate).div_ceil(1000);
    while !shared.sent_all.load(Ordering::Relaxed) {
        let due = (base.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        let behind = due.saturating_sub(sent + skipped);
        // A machine that paused would turn into a burst that nobody offered.
        let now = behind.min(burst * 4);
        skipped += behind - now;
        for _ in 0..now {
            let number = sent as usize % users.len();
            if let Some(user) = users.get(number) {
                match send(user, number, base, &mut packet) {
                    Ok(()) => sent += 1,
                    Err(e) => shared.failures.add(e),
                }
            }
        }
        thread::sleep(TICK);
    }
    sent
}

/// Eight users with eight packets of `size` bytes under way each: every echo sends the next.
pub(crate) fn flood(pair: &Pair, size: usize, window: Duration) -> Result<Flood, Error> {
    let users = users(pair.user_addr())?;
    let shared = Shared::default();
    let base = Instant::now();
    let measured = thread::scope(|scope| {
        for (number, user) in users.iter().enumerate() {
            let shared = &shared;
            scope.spawn(move || {
                let (mut packet, mut buf) = (vec![0; size], [0; BUF]);
                let mut missing = UNDER_WAY;
                while !shared.stop.load(Ordering::Relaxed) {
                    for _ in 0..missing {
                        if let Err(e) = send(user, number, base, &mut packet) {
                            shared.failures.add(e);
                        }
                    }
                    missing = match receive(user, number, size, &mut buf) {
                        Ok(Some(_)) => {
                            shared.received.fetch_add(1, Ordering::Relaxed);
                            1
                        }
                        // Silence: all that was under way is lost.
                        Ok(None) => UNDER_WAY,
                        Err(e) => {
                            shared.failures.add(e);
                            1
                        }
                    };
                }
            });
        }
        let measured = load::measure(pair, window, || shared.received.load(Ordering::Relaxed));
        shared.stop.store(true, Ordering::Relaxed);
        measured
    });
    shared.finish()?;
    match measured? {
        (count, spent) if count > 0 => Ok(Flood {
            per_second: spent.per_second(count),
            cpu_us: spent.cpu_us_each(count),
        }),
        _ => Err(Error::NoBytes),
    }
}

/// What the threads of one load share.
#[derive(Default)]
struct Shared {
    received: AtomicU64,
    sent_all: AtomicBool,
    stop: AtomicBool,
    failures: Failures,
}

impl Shared {
    /// How many packets came back; fails if a wrong one did.
    fn finish(self) -> Result<u64, Error> {
        let received = self.received.into_inner();
        self.failures.check(received as usize)?;
        Ok(received)
    }
}

/// One packet there and back.
pub(crate) fn echo_once(addr: SocketAddr) -> io::Result<()> {
    let user = user(addr)?;
    send(&user, 0, Instant::now(), &mut [0; 64])?;
    match receive(&user, 0, 64, &mut [0; BUF])? {
        Some(_) => Ok(()),
        None => Err(ErrorKind::TimedOut.into()),
    }
}

/// A packet has the time since `base` and the number of its user in front.
fn send(user: &UdpSocket, number: usize, base: Instant, packet: &mut [u8]) -> io::Result<()> {
    let stamp = base.elapsed().as_nanos() as u64;
    if let Some((front, rest)) = packet.split_first_chunk_mut::<8>() {
        *front = stamp.to_le_bytes();
        rest.fill(number as u8);
    }
    user.send(packet).map(drop)
}

/// The time in a packet that came back; None if none came for a while. Another length, or the packet
/// of another user, is an error.
fn receive(
    user: &UdpSocket,
    number: usize,
    size: usize,
    buf: &mut [u8],
) -> io::Result<Option<Duration>> {
    let n = match user.recv(buf) {
        Ok(n) => n,
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    let packet = buf.get(..n).unwrap_or_default();
    match packet.split_first_chunk::<8>() {
        Some((stamp, rest)) if n == size && rest.iter().all(|byte| *byte == number as u8) => {
            Ok(Some(Duration::from_nanos(u64::from_le_bytes(*stamp))))
        }
        _ => Err(io::Error::new(
            ErrorKind::InvalidData,
            "a packet that was not sent came back",
        )),
    }
}

fn users(addr: SocketAddr) -> Result<Vec<UdpSocket>, Error> {
    (0..USERS)
        .map(|_| user(addr))
        .collect::<io::Result<_>>()
        .context("open a UDP socket")
}

fn user(addr: SocketAddr) -> io::Result<UdpSocket> {
    let user = service::socket()?;
    user.connect(addr)?;
    user.set_read_timeout(Some(SILENCE))?;
    Ok(user)
}

const USERS: usize = 8;
const UNDER_WAY: usize = 8;
const TICK: Duration = Duration::from_millis(1);
const SILENCE: Duration = Duration::from_millis(100);
/// How long the last packets may take.
const LATE: Duration = Duration::from_millis(500);
const BUF: usize = 2048;
