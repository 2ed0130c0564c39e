//! One stream of a connection, with the ends that frp's streams have.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

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
    sent: Sent,
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
            sent: Sent::default(),
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

/// What a stream has sent lately: one with little goes before bulk data, such as that of a person who
/// types.
#[derive(Debug, Default)]
struct Sent {
    bytes: usize,
    since: Option<Instant>,
    is_bulk: bool,
}

impl Sent {
    /// The stream's priority, where it is another one now. quinn's is 0 at first, and streams of the same
    /// priority take turns.
    fn add(&mut self, n: usize, now: Instant) -> Option<i32> {
        if self.since.is_none_or(|since| now >= since + LATELY) {
            self.since = Some(now);
            self.bytes = 0;
        }
        let was_bulk = self.is_bulk;
        self.bytes = self.bytes.saturating_add(n);
        // What was bulk a moment ago may have only begun to count anew.
        self.is_bulk = self.bytes > LITTLE || (was_bulk && self.bytes > LITTLE / 8);
        (self.is_bulk != was_bulk).then_some(if self.is_bulk { BULK } else { 0 })
    }
}

/// Bytes that a stream may send within [`LATELY`] before it is bulk: a link of 2 Mbit/s has four times as
/// many.
const LITTLE: usize = 64 * 1024;

/// See [`LITTLE`].
const LATELY: Duration = Duration::from_secs(1);

/// The priority of bulk data.
const BULK: i32 = -1;

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
        let Self { send, sent, .. } = self.get_mut();
        let n = ready!(Pin::new(&mut *send).poll_write(cx, buf)).map_err(write_error)?;
        if let Some(priority) = sent.add(n, Instant::now()) {
            // An error means that it has ended.
            let _ = send.set_priority(priority);
        }
        Poll::Ready(Ok(n))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_bulk_while_it_sends_much() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut sent = Sent::default();
        assert_eq!(sent.add(64, at(0)), None);
        assert_eq!(sent.add(LITTLE, at(10)), Some(BULK));
        assert_eq!(sent.add(LITTLE, at(900)), None);
        // A new second has begun, and it goes on.
        assert_eq!(sent.add(LITTLE, at(1500)), None);
        // It has become quiet.
        assert_eq!(sent.add(64, at(5000)), Some(0));
        assert_eq!(sent.add(64, at(9000)), None);
    }
}
