//! The service behind the tunnel. The first byte of a connection says what it is to do.
//!
//! Blocking threads: they take the fewest system calls per byte, and the load generator shares the
//! cores with what it measures.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::{Context, Error};

/// Send back whatever comes.
pub(crate) const ECHO: u8 = b'E';
/// Send the first bytes back, then keep the connection open.
pub(crate) const HOLD: u8 = b'H';
/// Take bytes and count them.
pub(crate) const SINK: u8 = b'S';
/// Send bytes until the user has had enough.
pub(crate) const SOURCE: u8 = b'G';

/// A pool of threads that serve connections.
pub(crate) struct Backend {
    shared: Arc<Shared>,
    addr: SocketAddr,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    listener: TcpListener,
    sunk: AtomicU64,
    busy: AtomicUsize,
    held: Mutex<Vec<TcpStream>>,
}

impl Backend {
    /// Listens on a free port of the loopback.
    pub(crate) fn start() -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen")?;
        let addr = listener.local_addr().context("listen")?;
        let shared = Arc::new(Shared {
            listener,
            sunk: AtomicU64::new(0),
            busy: AtomicUsize::new(0),
            held: Mutex::default(),
        });
        let mut backend = Self {
            shared,
            addr,
            threads: Vec::new(),
        };
        for _ in 0..THREADS {
            let shared = Arc::clone(&backend.shared);
            let thread = thread::Builder::new()
                .stack_size(STACK)
                .spawn(move || shared.serve());
            backend.threads.push(thread.context("start a thread")?);
        }
        Ok(backend)
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Bytes taken so far by connections that sink.
    pub(crate) fn sunk(&self) -> u64 {
        self.shared.sunk.load(Ordering::Relaxed)
    }

    /// Closes held connections and waits until no other is left, so that one figure does not run
    /// into the next; gives up after a while, for a pair that leaks connections.
    pub(crate) fn wait_until_quiet(&self) {
        self.shared.release_held();
        let begin = Instant::now();
        while self.shared.busy.load(Ordering::Relaxed) > 0 && begin.elapsed() < QUIET_LIMIT {
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_millis(100));
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.release_held();
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

    fn handle(&self, mut stream: TcpStream, buf: &mut [u8]) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let n = stream.read(buf)?;
        match buf.first() {
            Some(&SINK) if n > 0 => drain(&stream, &self.sunk),
            Some(&SOURCE) if n > 0 => pour(&stream),
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

/// More than any load has open at a time, with those that are still closing.
const THREADS: usize = 64;
const STACK: usize = 128 << 10;
const PAYLOAD: usize = 128 << 10;
const QUIET_LIMIT: Duration = Duration::from_secs(3);
