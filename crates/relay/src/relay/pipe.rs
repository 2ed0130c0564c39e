//! Kernel pipes for `splice(2)`, pooled because making one costs more than a short connection.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bytes asked for per pipe. The kernel may give less.
const PIPE_LEN: usize = 512 * 1024;

/// Pipes in use at once. More bulk directions than this copy: an unprivileged user may hold 64 MiB
/// of pipe memory, and past that the kernel shrinks every new pipe to two pages.
const MAX_PIPES: usize = 64;

/// Empty pipes kept for later.
const MAX_IDLE: usize = 16;

static IDLE: Mutex<Vec<Ends>> = Mutex::new(Vec::new());
static OPEN: AtomicUsize = AtomicUsize::new(0);
static UNSUPPORTED: AtomicBool = AtomicBool::new(false);

/// A pipe and how many bytes are in it. Goes back to the pool when dropped empty.
pub(super) struct Pipe {
    ends: Option<Ends>,
    len: usize,
}

struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

impl Drop for Ends {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pipe {
    /// An empty pipe, or `None` if the caller should copy.
    pub(super) fn take() -> Option<Self> {
        if UNSUPPORTED.load(Ordering::Relaxed) {
            return None;
        }
        let idle = IDLE.lock().ok()?.pop();
        let ends = idle.or_else(Ends::open)?;
        Some(Self {
            ends: Some(ends),
            len: 0,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Moves what `from` has into the pipe, which must be empty: a full pipe and an empty socket
    /// give the same error. 0 is the end of input.
    pub(super) fn fill(&mut self, from: &TcpStream) -> io::Result<usize> {
        debug_assert_eq!(self.len, 0, "fill of a pipe that is not empty");
        let Some(ends) = &self.ends else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let n = from.try_io(Interest::READABLE, || {
            Ok(splice(from, None, &ends.write, None, PIPE_LEN, flags)?)
        })?;
        self.len = n;
        Ok(n)
    }

    /// Moves what the pipe has to `to`, as far as it takes it now.
    pub(super) fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        let Some(ends) = &self.ends else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let n = to.try_io(Interest::WRITABLE, || {
            Ok(splice(&ends.read, None, to, None, self.len, flags)?)
        })?;
        self.len = self.len.saturating_sub(n);
        Ok(n)
    }

    /// Whether `error` means that these sockets cannot be spliced at all; all later relays copy.
    pub(super) fn is_unsupported(error: &io::Error) -> bool {
        let unsupported = matches!(
            error.raw_os_error(),
            Some(libc::EINVAL | libc::ENOSYS | libc::EPERM | libc::EOPNOTSUPP)
        );
        if unsupported {
            UNSUPPORTED.store(true, Ordering::Relaxed);
        }
        unsupported
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        if self.len > 0 {
            return;
        }
        if let (Some(ends), Ok(mut idle)) = (self.ends.take(), IDLE.lock())
            && idle.len() < MAX_IDLE
        {
            idle.push(ends);
        }
    }
}

impl Ends {
    fn open() -> Option<Self> {
        if OPEN.fetch_add(1, Ordering::Relaxed) >= MAX_PIPES {
            OPEN.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let Ok((read, write)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) else {
            OPEN.fetch_sub(1, Ordering::Relaxed);
            return None;
        };
        // The default of 64 KiB works as well, with more calls.
        let _ = fcntl_setpipe_size(&write, PIPE_LEN);
        Some(Self { read, write })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use frp_net::below::unacknowledged;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (dialled.unwrap(), accepted.unwrap().0)
    }

    /// One test, because the pool is the process's.
    #[tokio::test]
    async fn pipes_return_to_the_pool_empty_or_not_at_all() {
        let (mut from, near) = pair().await;
        let (far, mut to) = pair().await;
        let mut pipe = Pipe::take().unwrap();
        from.write_all(b"hello").await.unwrap();
        near.readable().await.unwrap();
        assert_eq!(pipe.fill(&near).unwrap(), 5);
        far.writable().await.unwrap();
        assert_eq!(pipe.drain(&far).unwrap(), 5);
        assert_eq!(pipe.len(), 0);
        let mut got = [0; 5];
        to.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
        drop(pipe);
        assert_eq!(
            (IDLE.lock().unwrap().len(), OPEN.load(Ordering::Relaxed)),
            (1, 1)
        );

        let mut pipe = Pipe::take().unwrap();
        assert_eq!(
            OPEN.load(Ordering::Relaxed),
            1,
            "the idle one is used again"
        );
        from.write_all(b"lost").await.unwrap();
        near.readable().await.unwrap();
        pipe.fill(&near).unwrap();
        drop(pipe);
        assert_eq!(
            (IDLE.lock().unwrap().len(), OPEN.load(Ordering::Relaxed)),
            (0, 0)
        );

        let all: Vec<_> = std::iter::from_fn(Pipe::take).collect();
        assert_eq!(all.len(), MAX_PIPES);
        drop(all);
        assert_eq!(IDLE.lock().unwrap().len(), MAX_IDLE);
        assert_eq!(OPEN.load(Ordering::Relaxed), MAX_IDLE);
    }

    #[tokio::test]
    async fn tells_how_much_the_peer_has_not_taken() {
        let (tcp, mut peer) = pair().await;
        assert_eq!(unacknowledged(&tcp), 0);
        let mut sent = 0;
        tcp.writable().await.unwrap();
        while let Ok(n) = tcp.try_write(&[0; 65_536]) {
            sent += n;
        }
        assert!(unacknowledged(&tcp) > 0);
        peer.read_exact(&mut vec![0; sent]).await.unwrap();
        while unacknowledged(&tcp) > 0 {
            tokio::task::yield_now().await;
        }
    }
}
