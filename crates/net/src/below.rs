//! What a session of the mux wants of the connection that it runs over.
//!
//! Whatever waits in a connection goes out in the order in which it was written, so a keystroke waits behind all
//! of it. The mux decides who is next; it decides late, and hands on little, if the connection says when it
//! has sent what it had, and takes no more than it is told.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, Interest};
use tokio::net::TcpStream;

/// A connection that carries a session of the mux.
pub trait Below: AsyncRead + AsyncWrite + Unpin {
    /// Ready once so much of what was written has gone out that more should be. An error comes again by
    /// the next write.
    fn poll_clear(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Has the connection take no more than about `bytes` ahead of what it sends, and be
    /// [clear](Self::poll_clear) at half of that.
    fn limit_unsent(&self, _bytes: u32) {}

    /// Has the system keep less of what nobody has read yet, where the peer is so near that little is under
    /// way. To be called before much has come.
    fn limit_unread(&self) {}
}

/// A peer with a shorter round trip than this is near: at 400 MB/s no more than [`UNREAD_OF_NEAR`] is under way.
const NEAR: Duration = Duration::from_micros(500);

/// Bytes that the system keeps of what came from a peer that is near; for its own accounts it takes as many again.
/// By itself it would keep megabytes while the program waits for the processor, and whatever comes then
/// waits behind them.
const UNREAD_OF_NEAR: usize = 208 * 1024;

impl Below for TcpStream {
    fn poll_clear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_write_ready(cx))?;
            // The runtime remembers a socket as writable until a write fails, and the system adds to what
            // waits already without looking at the limit. So it is asked, which has it say when there is
            // room.
            match self.try_io(Interest::WRITABLE, || is_writable(self)) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn limit_unsent(&self, bytes: u32) {
        limit_unsent(self, bytes);
    }

    fn limit_unread(&self) {
        if shortest_round_trip(self).is_some_and(|time| time < NEAR) {
            // Without it more waits there, that is all.
            let _ = socket2::SockRef::from(self).set_recv_buffer_size(UNREAD_OF_NEAR);
        }
    }
}

/// The shortest of a connection, if the system tells.
#[cfg(target_os = "linux")]
fn shortest_round_trip(conn: &TcpStream) -> Option<Duration> {
    // `tcpi_min_rtt`
    tcp_info::<{ 148 + 4 }>(conn)
}

/// From here to the peer of a connection and back, smoothed, if the system tells.
#[cfg(target_os = "linux")]
pub fn round_trip(conn: &TcpStream) -> Option<Duration> {
    // `tcpi_rtt`
    tcp_info::<{ 68 + 4 }>(conn)
}

/// The microseconds that are the last of the first `LEN` bytes of `struct tcp_info` (`linux/tcp.h`; libc has
/// only its first fields).
#[cfg(target_os = "linux")]
fn tcp_info<const LEN: usize>(conn: &TcpStream) -> Option<Duration> {
    use std::os::fd::AsRawFd;

    let mut info = [0; LEN];
    let mut len = info.len() as libc::socklen_t;
    let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
    let fd = conn.as_raw_fd();
    // SAFETY: the descriptor is open as long as `conn` is borrowed; the system writes at most `len` bytes to
    // `info`.
    #[allow(unsafe_code)]
    let result =
        unsafe { libc::getsockopt(fd, level, name, info.as_mut_ptr().cast(), &raw mut len) };
    let micros = u32::from_ne_bytes(*info.last_chunk()?);
    let told = result == 0 && len as usize == info.len() && micros != 0 && micros != u32::MAX;
    told.then(|| Duration::from_micros(micros.into()))
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
pub fn round_trip(_: &TcpStream) -> Option<Duration> {
    None
}

#[cfg(not(target_os = "linux"))]
fn shortest_round_trip(_: &TcpStream) -> Option<Duration> {
    None
}

/// Has the system take no more than `bytes` for `conn` ahead of what it sends. What is on its way is not
/// among them, so a long path is filled all the same.
pub fn limit_unsent(conn: &TcpStream, bytes: u32) {
    // Without it more waits there, that is all.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(conn).set_tcp_notsent_lowat(bytes);
    #[cfg(target_vendor = "apple")]
    {
        use std::os::fd::AsRawFd;

        // `netinet/tcp.h`; neither socket2 nor libc has it.
        const TCP_NOTSENT_LOWAT: libc::c_int = 0x201;
        let value = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
        let len = size_of::<libc::c_int>() as libc::socklen_t;
        let fd = conn.as_raw_fd();
        // SAFETY: the descriptor is open as long as `conn` is borrowed, and the option is one int.
        #[allow(unsafe_code)]
        unsafe {
            let value = (&raw const value).cast();
            libc::setsockopt(fd, libc::IPPROTO_TCP, TCP_NOTSENT_LOWAT, value, len);
        }
    }
    #[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
    let _ = (conn, bytes);
}

/// Bytes written to `tcp` that its peer has not acknowledged; 0 where the system cannot tell.
#[cfg(target_os = "linux")]
pub fn unacknowledged(tcp: &TcpStream) -> usize {
    use std::os::fd::AsRawFd;

    // A closed connection keeps its last count for ever.
    if tcp.peer_addr().is_err() {
        return 0;
    }
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open as long as `tcp` is borrowed, and SIOCOUTQ (which is TIOCOUTQ)
    // writes one int.
    #[allow(unsafe_code)]
    let result = unsafe { libc::ioctl(tcp.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 {
        usize::try_from(bytes).unwrap_or(0)
    } else {
        0
    }
}

#[cfg(not(target_os = "linux"))]
pub fn unacknowledged(_: &TcpStream) -> usize {
    0
}

fn is_writable(conn: &TcpStream) -> io::Result<()> {
    let mut polled = [PollFd::new(conn, PollFlags::OUT)];
    match poll(&mut polled, Some(&Timespec::default()))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}

impl Below for DuplexStream {}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpSocket;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_clear_once_little_waits_in_it() {
        let listener = TcpSocket::new_v4().unwrap();
        listener.set_recv_buffer_size(64 * 1024).unwrap();
        listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = listener.listen(1).unwrap();
        let conn = TcpStream::connect(listener.local_addr().unwrap()).await;
        let mut conn = conn.unwrap();
        let mut peer = listener.accept().await.unwrap().0;
        conn.limit_unsent(16 * 1024);
        // As the mux does: never more than 8 KB, and only where it is clear.
        let mut sent = 0;
        let mut is_clear = async || {
            let now = poll_fn(|cx| Poll::Ready(conn.poll_clear(cx).is_ready())).await;
            if now {
                conn.write_all(&[0; 8 * 1024]).await.unwrap();
                sent += 8 * 1024;
            }
            now
        };
        while is_clear().await {}
        assert!(sent <= 300 * 1024, "{sent} bytes although nobody reads");
        let mut reading = Box::pin(async { peer.read_exact(&mut vec![0; sent]).await });
        poll_fn(|cx| {
            let _ = reading.as_mut().poll(cx);
            conn.poll_clear(cx)
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn little_is_kept_of_what_comes_from_near_by() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let conn = TcpStream::connect(listener.local_addr().unwrap()).await;
        let mut conn = conn.unwrap();
        let mut peer = listener.accept().await.unwrap().0;
        // A busy machine may have been slow with the handshake.
        while shortest_round_trip(&conn).is_none_or(|time| time >= NEAR) {
            conn.write_all(&[0; 64]).await.unwrap();
            peer.read_exact(&mut [0; 64]).await.unwrap();
        }
        conn.limit_unread();
        let mut sent = 0;
        let chunk = [0; 64 * 1024];
        while let Ok(n) = peer.try_write(&chunk) {
            sent += n;
            tokio::task::yield_now().await;
            if sent > 100_000_000 {
                break;
            }
        }
        let kept = rustix::io::ioctl_fionread(&conn).unwrap();
        assert!(kept <= 2 * UNREAD_OF_NEAR as u64, "{kept} of {sent}");
    }
}
