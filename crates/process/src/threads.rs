//! The threads of a program: as many as cores, each with a runtime of its own.
//!
//! A connection and all that it carries stay on one thread. Its driver, its streams and the users
//! at their other ends then wake each other without a system call, which with small messages is
//! most of the cost of a runtime that shares its tasks among threads. Other connections run on
//! other threads; a thread is started when it gets its first one.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// Tasks that a thread runs before it looks for new I/O, if it does not run out of them before. To look costs
/// some 0.5 us, a turn of bulk a hundred times that.
const LOOK_AFTER: u32 = 4;

/// The runtime of a program's first thread, which is the only one until [`Threads`] starts more.
pub fn runtime() -> io::Result<Runtime> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().event_interval(LOOK_AFTER).build()
}

/// See the module.
#[derive(Debug)]
pub struct Threads {
    first: Thread,
    /// `None` where the system did not give us the thread.
    others: Vec<OnceLock<Option<Other>>>,
    next: AtomicUsize,
    hasher: RandomState,
}

#[derive(Debug)]
struct Other {
    thread: Thread,
    /// The thread ends when this is dropped.
    _stop: oneshot::Sender<()>,
}

/// A thread with a runtime of its own, kept to bring connections and tasks to it.
#[derive(Debug, Clone)]
pub struct Thread {
    id: thread::ThreadId,
    handle: Handle,
}

impl Threads {
    /// One for each core; the first is the one whose runtime this is called in.
    ///
    /// # Panics
    /// Outside a runtime.
    #[must_use]
    pub fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            first: Thread::here(),
            others: (1..cores).map(|_| OnceLock::new()).collect(),
            next: AtomicUsize::new(0),
            hasher: RandomState::new(),
        }
    }

    /// The thread whose turn it is.
    pub fn next(&self) -> &Thread {
        self.nth(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The thread for connections from `peer`, the same each time.
    pub fn of_peer(&self, peer: IpAddr) -> &Thread {
        self.nth(self.hasher.hash_one(peer) as usize)
    }

    fn nth(&self, n: usize) -> &Thread {
        match n % (self.others.len() + 1) {
            0 => &self.first,
            n => {
                let other = self.others[n - 1].get_or_init(|| start(n)).as_ref();
                other.map_or(&self.first, |other| &other.thread)
            }
        }
    }
}

impl Default for Threads {
    fn default() -> Self {
        Self::new()
    }
}

impl Thread {
    /// That of the caller.
    ///
    /// # Panics
    /// Outside a runtime.
    #[must_use]
    pub fn here() -> Self {
        Self {
            id: thread::current().id(),
            handle: Handle::current(),
        }
    }

    /// To spawn with.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Has `conn`, accepted on any thread, wake tasks of this one.
    pub fn adopt(&self, conn: TcpStream) -> io::Result<TcpStream> {
        if self.id == thread::current().id() {
            return Ok(conn);
        }
        let conn = conn.into_std()?;
        let _inside = self.handle.enter();
        TcpStream::from_std(conn)
    }
}

fn start(n: usize) -> Option<Other> {
    let (stop, stopped) = oneshot::channel::<()>();
    let started = runtime().and_then(|runtime| {
        let handle = runtime.handle().clone();
        let running = thread::Builder::new()
            .name(format!("frp-{n}"))
            .spawn(move || {
                // An error is the end of the sender, which is what is waited for.
                let _ = runtime.block_on(stopped);
            })?;
        let id = running.thread().id();
        Ok(Thread { id, handle })
    });
    match started {
        Ok(thread) => Some(Other {
            thread,
            _stop: stop,
        }),
        Err(e) => {
            tracing::warn!("no thread {n}: {e}; its connections run on the first");
            None
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_connection_is_served_on_the_thread_that_adopts_it() {
        let threads = Threads {
            others: vec![OnceLock::new()],
            ..Threads::new()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut served_by = Vec::new();
        for _ in 0..2 {
            let mut user = TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap();
            let (conn, _) = listener.accept().await.unwrap();
            let home = threads.next();
            let mut conn = home.adopt(conn).unwrap();
            let serving = home.handle().spawn(async move {
                let byte = conn.read_u8().await.unwrap();
                conn.write_u8(byte + 1).await.unwrap();
                thread::current().id()
            });
            user.write_u8(7).await.unwrap();
            assert_eq!(user.read_u8().await.unwrap(), 8);
            served_by.push(serving.await.unwrap());
        }
        assert_eq!(served_by[0], thread::current().id());
        assert_ne!(served_by[0], served_by[1]);
    }

    #[tokio::test]
    async fn connections_of_one_peer_share_a_thread() {
        let threads = Threads {
            others: (0..7).map(|_| OnceLock::new()).collect(),
            ..Threads::new()
        };
        let peer = IpAddr::from([192, 0, 2, 1]);
        let id = threads.of_peer(peer).handle().id();
        assert!((0..20).all(|_| threads.of_peer(peer).handle().id() == id));
    }
}
