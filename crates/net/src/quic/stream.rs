//! One stream of a connection, with the ends that frp's streams have.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::task::TaskTracker;

use super::conn::Live;
use super::end::QuicEnd;
use crate::cut::Cut;

/// What a stream is cut off with. Go's streams end with 0, which is no failure (frp
/// `pkg/util/net/conn.go`: wrapQuicStream).
const CUT: u32 = 1;

/// How long after its last data a stream is cut off: a reset makes the peer forget what it has not
/// read. As the mux.
const CUT_AFTER: Duration = Duration::from_secs(1);

/// A byte pipe, both directions of which end on their own.
///
/// - Shutdown ends our direction after what was written.
/// - Drop does the same, and tells the peer that we read no more; which is what Go's Close does. So
///   a peer that reads no more is to a writer what a closed TCP connection is (`BrokenPipe`).
/// - Flush does nothing: what is written goes out as soon as the connection takes it.
pub struct QuicStream {
    send: SendStream,
    recv: RecvStream,
    live: Option<Live>,
    tasks: TaskTracker,
    /// Completes when the peer reads no more; only where somebody wants to know.
    stopped: Option<Stopped>,
}

type Stopped = Pin<Box<dyn Future<Output = Cut> + Send + Sync>>;

impl fmt::Debug for QuicStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicStream").finish_non_exhaustive()
    }
}

impl QuicStream {
    pub(super) fn new(
        send: SendStream,
        recv: RecvStream,
        live: Option<Live>,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            send,
            recv,
            live,
            tasks,
            stopped: None,
        }
    }

    /// Ready once the peer reads no more, although not all that was written has arrived.
    pub fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        let Self { send, stopped, .. } = self;
        let stopped = stopped.get_or_insert_with(|| {
            let stopped = send.stopped();
            Box::pin(async move {
                match stopped.await {
                    // All has arrived: then there is nothing to be told.
                    Ok(None) => std::future::pending().await,
                    Ok(Some(code)) if code == VarInt::from_u32(0) => Cut::ReadsNoMore,
                    Ok(Some(_)) | Err(_) => Cut::Reset,
                }
            })
        });
        let cut = ready!(stopped.as_mut().poll(cx));
        *stopped = Box::pin(std::future::ready(cut));
        Poll::Ready(cut)
    }

    /// Cuts both directions at once.
    pub fn reset(mut self) {
        let _ = self.send.reset(VarInt::from_u32(CUT));
        let _ = self.recv.stop(VarInt::from_u32(CUT));
    }

    /// Ends the stream so that the peer sees a failure and no end, but not before it has had what
    /// was written.
    pub fn abort(self) {
        let Self {
            mut send,
            mut recv,
            live,
            tasks,
            ..
        } = self;
        let _ = recv.stop(VarInt::from_u32(CUT));
        tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(CUT_AFTER) => {}
                // The peer reads no more, or the connection is gone.
                _ = send.stopped() => {}
            }
            let _ = send.reset(VarInt::from_u32(CUT));
            drop(live);
        });
    }
}

impl AsyncRead for QuicStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut()
            .recv
            .poll_read_buf(cx, buf)
            .map_err(read_error)
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let send = Pin::new(&mut self.get_mut().send);
        send.poll_write(cx, buf).map_err(write_error)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // An error means that it has ended already.
        let _ = self.get_mut().send.finish();
        Poll::Ready(Ok(()))
    }
}

fn read_error(error: ReadError) -> io::Error {
    let kind = match error {
        ReadError::ConnectionLost(lost) => return ended(lost),
        ReadError::Reset(_) => io::ErrorKind::ConnectionReset,
        ReadError::ClosedStream | ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected => {
            io::ErrorKind::NotConnected
        }
    };
    io::Error::new(kind, error)
}

fn write_error(error: WriteError) -> io::Error {
    let kind = match error {
        WriteError::ConnectionLost(lost) => return ended(lost),
        WriteError::Stopped(code) if code == VarInt::from_u32(0) => io::ErrorKind::BrokenPipe,
        WriteError::Stopped(_) => io::ErrorKind::ConnectionReset,
        WriteError::ClosedStream | WriteError::ZeroRttRejected => io::ErrorKind::BrokenPipe,
    };
    io::Error::new(kind, error)
}

fn ended(lost: quinn::ConnectionError) -> io::Error {
    let kind = match lost {
        quinn::ConnectionError::TimedOut => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, QuicEnd::from(lost))
}
