//! The service behind the tunnel. The first byte of a connection says what it is to do; what comes
//! by UDP goes back as it is.
//!
//! Blocking threads: they take the fewest system calls per byte, and the load generator shares the
//! cores with what it measures.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{Context, Error};
use crate::mode::Kind;
use crate::service;

/// Send back whatever comes.
pub(crate) const ECHO: u8 = b'E';
/// Send the first bytes back, then keep the connection open.
pub(crate) const HOLD: u8 = b'H';
/// Take bytes and count them.
pub(crate) const SINK: u8 = b'S';
/// Send bytes until the user has had enough.
pub(crate) const SOURCE: u8 = b'D';
/// As in GET: answer http requests.
const GET: u8 = b'G';

/// A pool of threads that serve connections.
pub(crate) struct Backend {
    shared: Arc<Shared>,
    addr: SocketAddr,
    udp_addr: SocketAddr,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    listener: TcpListener,
    datagrams: UdpSocket,
    stopped: AtomicBool,
    sunk: AtomicU64,
    busy: AtomicUsize,
    held: Mutex<Vec<TcpStream>>,
}

impl Backend {
    /// Listens on a free port of the loopback, one for TCP and one for UDP.
    pub(crate) fn start() -> Result<Self, Error> {
        Self::on(Ipv4Addr::LOCALHOST, THREADS)
    }

    /// Listens on a free port of the loopback and of all other addresses; for few connections at a time.
    pub(crate) fn small() -> Result<Self, Error> {
        Self::on(Ipv4Addr::UNSPECIFIED, FEW_THREADS)
    }

    fn on(ip: Ipv4Addr, threads: usize) -> Result<Self, Error> {
        let listener = TcpListener::bind((ip, 0)).context("listen")?;
        let port = listener.local_addr().context("listen")?.port();
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let datagrams = service::socket().context("open a UDP socket")?;
        let udp_addr = datagrams.local_addr().context("open a UDP socket")?;
        let shared = Arc::new(Shared {
            listener,
            datagrams,
            stopped: AtomicBool::new(false),
            sunk: AtomicU64::new(0),
            busy: AtomicUsize::new(0),
            held: Mutex::default(),
        });
        let mut backend = Self {
            shared,
            addr,
            udp_addr,
            threads: Vec::new(),
        };
        backend.spawn(Shared::serve_datagrams)?;
        for _ in 0..threads {
            backend.spawn(Shared::serve)?;
        }
        Ok(backend)
    }

    fn spawn(&mut self, run: fn(&Shared)) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || run(&shared));
        self.threads.push(thread.context("start a thread")?);
        Ok(())
    }

    /// Where a proxy of this kind finds it.
    pub(crate) fn addr(&self, kind: Kind) -> SocketAddr {
        match kind {
            Kind::Tcp | Kind::Http => self.addr,
            Kind::Udp => self.udp_addr,
        }
    }

    /// Bytes taken so far by connections that sink.
    pub(crate) fn sunk(&self) -> u64 {
        self.shared.sunk.load(Ordering::Relaxed)
    }

    /// Closes held connections and waits until no other is left, so that one figure does not run
    /// into the next; gives up after a while, for a pair that leaks connections. A http proxy
    /// may keep idle ones.
    pub(crate) fn wait_until_quiet(&self, kind: Kind) {
        self.shared.release_held();
        let begin = Instant::now();
        while kind != Kind::Http
            && self.shared.busy.load(Ordering::Relaxed) > 0
            && begin.elapsed() < QUIET_LIMIT
        {
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_millis(100));
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.release_held();
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for datagrams.
        let _ = self.shared.datagrams.send_to(&[], self.udp_addr);
        // Wakes the threads that wait in accept. Those with a connection end with the pair, which is
        // gone or going, so they are not waited for.
        let _ = rustix::net::shutdown(&self.shared.listener, rustix::net::Shutdown::Both);
        for thread in self.threads.drain(..).filter(JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn serve(&self) {
        let mut buf = vec![0; 4096];
        while let Ok((stream, _)) = self.listener.accept() {
            self.busy.fetch_add(1, Ordering::Relaxed);
            // A connection that breaks is noticed, and counted, at the user's end.
            let _ = self.handle(stream, &mut buf);
            self.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn serve_datagrams(&self) {
        let mut buf = vec![0; 2048];
        while !self.stopped.load(Ordering::Relaxed) {
            // What is lost is noticed, and counted, at the user's end.
            if let Ok((n, peer)) = self.datagrams.recv_from(&mut buf) {
                let _ = self
                    .datagrams
                    .send_to(buf.get(..n).unwrap_or_default(), peer);
            }
        }
    }

    fn handle(&self, mut stream: TcpStream, buf: &mut [u8]) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let n = stream.read(buf)?;
        match buf.first() {
            Some(&SINK) if n > 0 => drain(&stream, &self.sunk),
            Some(&SOURCE) if n > 0 => pour(&stream),
            Some(&GET) if n > 0 => service::answer(&stream, buf, n),
            Some(&HOLD) if n > 0 => {
                stream.write_all(buf.get(..n).unwrap_or_default())?;
                self.held
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(stream);
                Ok(())
            }
            _ => echo(&stream, buf, n),
        }
    }

    fn release_held(&self) {
        self.held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

fn echo(mut stream: &TcpStream, buf: &mut [u8], first: usize) -> std::io::Result<()> {
    let mut n = first;
    while n > 0 {
        stream.write_all(buf.get(..n).unwrap_or_default())?;
        n = stream.read(buf)?;
    }
    Ok(())
}

/// Reads to the end and counts. The kernel drops the bytes (`MSG_TRUNC`) instead of copying them.
pub(crate) fn drain(stream: &TcpStream, count: &AtomicU64) -> std::io::Result<()> {
    let mut buf = vec![0; 1 << 20];
    loop {
        let flags = rustix::net::RecvFlags::TRUNC;
        let (_, n) = rustix::net::recv(stream, &mut buf[..], flags)?;
        if n == 0 {
            return Ok(());
        }
        count.fetch_add(n as u64, Ordering::Relaxed);
    }
}

/// Writes until the other end, or [`Shutdown`], ends it.
pub(crate) fn pour(mut stream: &TcpStream) -> std::io::Result<()> {
    let payload = payload();
    loop {
        if let Err(e) = stream.write_all(&payload) {
            let _ = stream.shutdown(Shutdown::Both);
            return Err(e);
        }
    }
}

/// Half noise, half text, in turns of 4 KiB: compresses to about half, as ordinary data may.
fn payload() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(PAYLOAD);
    while bytes.len() < PAYLOAD {
        for _ in 0..512 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend(state.to_le_bytes());
        }
        bytes.extend(
            b"the quick brown fox jumps over the lazy dog, and "
                .iter()
                .cycle()
                .take(4096),
        );
    }
    bytes
}

/// More than any load has open at a time, with those that are still closing or kept for later.
const THREADS: usize = 128;
/// A few loads of some connections.
const FEW_THREADS: usize = 16;
const STACK: usize = 128 << 10;
const PAYLOAD: usize = 128 << 10;
const QUIET_LIMIT: Duration = Duration::from_secs(3);
