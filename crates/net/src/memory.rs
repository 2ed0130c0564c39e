//! Byte pipes within the program, and connections of many of them: for a client that lives inside the
//! server it is a client of, with no socket between.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cut::Cut;
use crate::limits::{MEMORY_BACKLOG, MEMORY_PIPE};
use crate::mux::CloseReason;

/// One end of a byte pipe, both directions of which end on their own.
///
/// - A direction holds [`MEMORY_PIPE`] bytes that nobody has read.
/// - Shutdown ends our direction after what was written.
/// - Drop does the same, and whoever writes to us learns that we read no more (`BrokenPipe`).
pub struct MemoryPipe {
    io: DuplexStream,
    /// Cancelled when this end, and the other one, is dropped.
    gone: CancellationToken,
    peer_gone: CancellationToken,
    /// Cancelled when either end has broken the pipe off, or what it belongs to has ended.
    over: CancellationToken,
    /// Complete when the peer has left; only where a reader and a writer wait for that.
    reader: Option<Left>,
    writer: Option<Left>,
}

type Left = Pin<Box<dyn Future<Output = Cut> + Send + Sync>>;

/// How a connection ends, in the words of the mux that is not there.
const END: CloseReason = CloseReason::PeerClosed;

/// Two ends of a pipe.
pub fn pair() -> (MemoryPipe, MemoryPipe) {
    pair_within(&CancellationToken::new())
}

/// The same, which ends with `over`.
fn pair_within(over: &CancellationToken) -> (MemoryPipe, MemoryPipe) {
    let (one, other) = tokio::io::duplex(MEMORY_PIPE);
    let (one_gone, other_gone) = (CancellationToken::new(), CancellationToken::new());
    let over = over.child_token();
    let end = |io, gone: &CancellationToken, peer_gone: &CancellationToken| MemoryPipe {
        io,
        gone: gone.clone(),
        peer_gone: peer_gone.clone(),
        over: over.clone(),
        reader: None,
        writer: None,
    };
    let one = end(one, &one_gone, &other_gone);
    (one, end(other, &other_gone, &one_gone))
}

impl MemoryPipe {
    /// How the peer has cut the pipe off.
    pub fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        poll_left(&mut self.writer, &self.peer_gone, &self.over, cx)
    }

    /// Ends the pipe so that the peer sees a failure and no end, behind what was written.
    pub fn abort(self) {
        self.over.cancel();
    }
}

fn poll_left(
    place: &mut Option<Left>,
    gone: &CancellationToken,
    over: &CancellationToken,
    cx: &mut Context<'_>,
) -> Poll<Cut> {
    let left = place.get_or_insert_with(|| {
        let (gone, over) = (gone.clone(), over.clone());
        Box::pin(async move {
            tokio::select! {
                biased;
                () = over.cancelled() => Cut::Reset,
                () = gone.cancelled() => Cut::ReadsNoMore,
            }
        })
    });
    let cut = ready!(left.as_mut().poll(cx));
    *place = None;
    Poll::Ready(cut)
}

/// Whoever waits for the peer is woken when the pipe is over. That the peer has left without breaking it
/// off is told by the pipe below.
fn failed(left: Poll<Cut>) -> Poll<io::Error> {
    match left {
        Poll::Ready(Cut::Reset) => Poll::Ready(io::ErrorKind::ConnectionReset.into()),
        Poll::Ready(Cut::ReadsNoMore | Cut::Ended) | Poll::Pending => Poll::Pending,
    }
}

impl AsyncRead for MemoryPipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.io).poll_read(cx, buf) {
            Poll::Pending => {
                let left = poll_left(&mut this.reader, &this.peer_gone, &this.over, cx);
                failed(left).map(Err)
            }
            Poll::Ready(Ok(())) if buf.filled().len() == before && buf.remaining() > 0 => {
                match this.over.is_cancelled() {
                    true => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                    false => Poll::Ready(Ok(())),
                }
            }
            read => read,
        }
    }
}

impl AsyncWrite for MemoryPipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.over.is_cancelled() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        match Pin::new(&mut this.io).poll_write(cx, buf) {
            Poll::Pending => failed(this.poll_cut(cx)).map(Err),
            written => written,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

impl Drop for MemoryPipe {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

impl fmt::Debug for MemoryPipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryPipe").finish_non_exhaustive()
    }
}

/// An end of a connection of many pipes; a cheap handle. The connection ends when it is closed, or with
/// the last handle to the end that opens pipes.
#[derive(Debug, Clone)]
pub struct MemoryConn {
    /// Of the end that opens pipes.
    open: Option<mpsc::Sender<MemoryPipe>>,
    over: CancellationToken,
}

/// The pipes that the other end opens.
#[derive(Debug)]
pub struct MemoryArrivals {
    arrivals: mpsc::Receiver<MemoryPipe>,
    over: CancellationToken,
}

/// The end of a client, which opens pipes, and that of its server.
pub fn connection() -> (MemoryConn, (MemoryConn, MemoryArrivals)) {
    let over = CancellationToken::new();
    let (open, arrivals) = mpsc::channel(MEMORY_BACKLOG);
    let end = |open| MemoryConn {
        open,
        over: over.clone(),
    };
    let arrivals = MemoryArrivals {
        arrivals,
        over: over.clone(),
    };
    (end(Some(open)), (end(None), arrivals))
}

impl MemoryConn {
    /// Opens a pipe; waits while the other end has not taken the last ones.
    ///
    /// # Errors
    /// The connection has ended, or this is not the end that opens pipes.
    pub async fn open(&self) -> Result<MemoryPipe, CloseReason> {
        let open = self.open.as_ref().ok_or(END)?;
        let (ours, theirs) = pair_within(&self.over);
        tokio::select! {
            biased;
            () = self.over.cancelled() => Err(END),
            sent = open.send(theirs) => sent.map(|()| ours).map_err(|_| END),
        }
    }

    /// Ends the connection and its pipes.
    pub fn close(&self) {
        self.over.cancel();
    }

    /// Waits for the end of the connection.
    pub async fn closed(&self) -> CloseReason {
        self.over.cancelled().await;
        END
    }

    /// Whether it has ended.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.over.is_cancelled().then_some(END)
    }
}

impl MemoryArrivals {
    /// The next one; `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<MemoryPipe> {
        tokio::select! {
            biased;
            () = self.over.cancelled() => None,
            arrived = self.arrivals.recv() => arrived,
        }
    }
}

impl Drop for MemoryArrivals {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::poll_fn;
    use std::io::ErrorKind;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::mux;
    use crate::stream::Stream;

    #[tokio::test]
    async fn each_direction_ends_on_its_own() {
        let (mut one, mut other) = pair();
        one.write_all(b"question").await.unwrap();
        one.shutdown().await.unwrap();
        let mut heard = Vec::new();
        other.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"question");
        other.write_all(b"answer").await.unwrap();
        drop(other);
        let mut heard = Vec::new();
        one.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"answer");
    }

    #[tokio::test]
    async fn one_that_reads_no_more_breaks_the_pipe_of_a_writer() {
        let (mut one, other) = pair();
        let waiting = tokio::spawn(async move {
            let cut = poll_fn(|cx| one.poll_cut(cx)).await;
            (one, cut)
        });
        tokio::task::yield_now().await;
        drop(other);
        let (mut one, cut) = waiting.await.unwrap();
        assert_eq!(cut, Cut::ReadsNoMore);
        let error = one.write_all(b"more").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert_eq!(one.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn one_that_is_broken_off_fails_behind_its_data() {
        let (mut one, mut other) = pair();
        one.write_all(b"last words").await.unwrap();
        one.abort();
        assert_eq!(poll_fn(|cx| other.poll_cut(cx)).await, Cut::Reset);
        let mut heard = Vec::new();
        let error = other.read_to_end(&mut heard).await.unwrap_err();
        assert_eq!(
            (error.kind(), &heard[..]),
            (ErrorKind::ConnectionReset, &b"last words"[..])
        );
    }

    #[tokio::test]
    async fn what_nobody_reads_is_bounded() {
        let (mut one, other) = pair();
        let mut written = 0;
        while let Ok(n) = one.try_write() {
            written += n;
        }
        assert_eq!(written, MEMORY_PIPE);
        // And one that waits for room is told of the end.
        let writing = tokio::spawn(async move { one.write_all(b"more").await });
        tokio::task::yield_now().await;
        other.abort();
        let error = writing.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }

    /// As over any other stream, under the mux.
    #[tokio::test]
    async fn the_mux_runs_over_a_pipe() {
        let config = mux::Config {
            keepalive_interval: None,
            stranger: false,
        };
        let (one, other) = pair();
        let one = Stream::Memory(Box::new(one));
        let (client, _, driver) = mux::session(one, mux::Role::Client, config.clone());
        tokio::spawn(driver);
        let (_, mut incoming, driver) =
            mux::session(Stream::Memory(Box::new(other)), mux::Role::Server, config);
        tokio::spawn(driver);
        let mut ours = client.open().await.unwrap();
        let data = vec![7; 1_000_000];
        let writing = async {
            ours.write_all(&data).await.unwrap();
            ours.shutdown().await.unwrap();
        };
        let mut heard = Vec::new();
        let reading = async {
            let mut theirs = incoming.accept().await.unwrap();
            theirs.read_to_end(&mut heard).await.unwrap();
        };
        tokio::join!(writing, reading);
        assert!(heard == data);
    }

    #[tokio::test]
    async fn pipes_end_with_their_connection() {
        let (client, (server, mut arrivals)) = connection();
        let mut ours = client.open().await.unwrap();
        let mut theirs = arrivals.next().await.unwrap();
        ours.write_all(b"!").await.unwrap();
        assert_eq!(theirs.read_u8().await.unwrap(), b'!');
        let reading = tokio::spawn(async move { ours.read_u8().await });
        tokio::task::yield_now().await;
        server.close();
        let error = reading.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(client.open().await.is_err());
        assert!(arrivals.next().await.is_none());
        let _ = client.closed().await;
    }

    impl MemoryPipe {
        /// A kilobyte, where there is room for it.
        fn try_write(&mut self) -> Result<usize, ()> {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            match Pin::new(self).poll_write(&mut cx, &[7; 1024]) {
                Poll::Ready(n) => n.map_err(drop),
                Poll::Pending => Err(()),
            }
        }
    }
}
