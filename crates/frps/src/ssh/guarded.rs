//! The socket of an ssh client: it can be cut off at any time, and as long as the client is a stranger it takes so
//! much from it and no more.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::limits::SSH_STRANGER_BYTES;

/// See the module.
pub(super) struct Guarded {
    io: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    admitted: Arc<AtomicBool>,
    /// Bytes that a stranger may still send.
    left: usize,
}

/// What is done to the socket from outside. Dropping it cuts it off.
#[derive(Debug)]
pub(super) struct Guard {
    cut: CancellationToken,
    admitted: Arc<AtomicBool>,
}

/// Guards a socket.
pub(super) fn guard(io: TcpStream) -> (Guarded, Guard) {
    let cut = CancellationToken::new();
    let admitted = Arc::new(AtomicBool::new(false));
    let guarded = Guarded {
        io,
        cut: Box::pin(cut.clone().cancelled_owned()),
        admitted: admitted.clone(),
        left: SSH_STRANGER_BYTES,
    };
    (guarded, Guard { cut, admitted })
}

impl Guard {
    /// The client is no stranger any more.
    pub(super) fn admit(&self) {
        self.admitted.store(true, Ordering::Relaxed);
    }

    /// Ends the connection.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.cut();
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if !self.admitted.load(Ordering::Relaxed) {
            let came = buf.filled().len() - before;
            let Some(left) = self.left.checked_sub(came) else {
                let text = format!("more than {SSH_STRANGER_BYTES} bytes before its login");
                return Poll::Ready(Err(io::Error::other(text)));
            };
            self.left = left;
        }
        read
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
