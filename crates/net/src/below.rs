//! What a session of the mux wants of the connection that it runs over.
//!
//! Whatever waits in a connection goes out in the order in which it was written, so a keystroke waits behind all
//! of it. The mux decides who is next; it decides late, and hands on little, if the connection says when it
//! has sent what it had, and takes no more than it is told.

use std::io;
use std::task::{Context, Poll, ready};

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
}

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
}

/// Has the system take no more than `bytes` for `conn` ahead of what it sends. What is on its way is not
/// among them, so a long path is filled all the same.
pub fn limit_unsent(conn: &TcpStream, bytes: u32) {
    // Without it more waits there, that is all.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(conn).set_tcp_notsent_lowat(bytes);
    #[cfg(not(target_os = "linux"))]
    let _ = (conn, bytes);
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
        // Although the system would take more, as it tells the runtime.
        assert!(conn.try_write(&[0; 1024]).is_ok());
        sent += 1024;
        let mut reading = Box::pin(async { peer.read_exact(&mut vec![0; sent]).await });
        poll_fn(|cx| {
            let _ = reading.as_mut().poll(cx);
            conn.poll_clear(cx)
        })
        .await
        .unwrap();
    }
}
