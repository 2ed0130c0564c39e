//! One direction of a relay.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Counts;
use super::endpoint::Endpoint;
#[cfg(target_os = "linux")]
use super::pipe::Pipe;
use frp_net::buffers;
use frp_net::mux::MuxStream;
use frp_net::scratch::with_scratch;
use frp_net::turn::{self, Turn};

/// Bytes per read into per-thread memory: it and its source stay in the second-level cache.
const COPY_LEN: usize = 64 * 1024;

/// A read of this many bytes shows a backlog that is worth a pipe or a buffer of its own.
const BULK_FROM: usize = 32 * 1024;

/// A bulk read of fewer bytes than this shows that the backlog is gone.
const BULK_UNTIL: usize = 8 * 1024;

/// Chunks from the mux that are gathered for one write, and the bytes that end the gathering.
const GATHER: usize = 32;
const GATHER_LEN: usize = 256 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Data may come.
    Open,
    /// The source has ended; what is held goes out, then the target's output is shut down.
    Closing,
    /// The source has failed; what came before goes out.
    Failing,
    /// The end was passed on.
    Ended,
    /// The target takes no more.
    Dead,
}

pub(super) enum Outcome {
    Ended,
    ReadFailed(io::Error),
    WriteFailed(io::Error),
}

pub(super) struct Pump {
    phase: Phase,
    held: Held,
    /// What the source said after the data in `held`.
    after: Option<io::Result<()>>,
    /// Written since the last flush.
    dirty: bool,
    /// The last read found a backlog.
    bulk: bool,
    moved: u64,
}

/// Read and not yet written.
enum Held {
    Nothing,
    Bytes(Bytes),
    Chunks(VecDeque<Bytes>),
    #[cfg(target_os = "linux")]
    Piped(Pipe),
}

/// Result of one read from the source.
enum Filled {
    Some,
    Ended,
}

/// Which side an error came from.
enum Failed {
    Read(io::Error),
    Write(io::Error),
}

impl From<Failed> for Outcome {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Read(e) => Self::ReadFailed(e),
            Failed::Write(e) => Self::WriteFailed(e),
        }
    }
}

impl Pump {
    /// A direction that starts with what was already read from its source.
    pub(super) fn new(leftover: Bytes) -> Self {
        let held = if leftover.is_empty() {
            Held::Nothing
        } else {
            Held::Bytes(leftover)
        };
        Self {
            phase: Phase::Open,
            held,
            after: None,
            dirty: false,
            bulk: false,
            moved: 0,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether the target does not take what was read.
    pub(super) fn is_stalled(&self) -> bool {
        self.is_running() && !matches!(self.held, Held::Nothing)
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Closing | Phase::Failing)
    }

    /// Bytes written to the target.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// Moves bytes until one side has to wait, or this poll's share is used up.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Endpoint,
        to: &mut Endpoint,
        (all, own): Counts<'_>,
    ) -> Poll<Outcome> {
        let before = self.moved;
        let result = self.poll_uncounted(cx, from, to);
        if self.moved > before {
            all.fetch_add(self.moved - before, Ordering::Relaxed);
            if let Some(own) = own {
                // Nobody else adds to it meanwhile, so it needs no exclusive access.
                let sum = own.load(Ordering::Relaxed) + self.moved - before;
                own.store(sum, Ordering::Relaxed);
            }
        }
        let outcome = match result {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {
                self.phase = Phase::Ended;
                Outcome::Ended
            }
            Poll::Ready(Err(failed)) => {
                self.phase = Phase::Dead;
                failed.into()
            }
        };
        self.held = Held::Nothing;
        Poll::Ready(outcome)
    }

    fn poll_uncounted(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Endpoint,
        to: &mut Endpoint,
    ) -> Poll<Result<(), Failed>> {
        let turn = Turn::begin();
        let mut fills = 0;
        loop {
            ready!(self.poll_write_held(cx, to)).map_err(Failed::Write)?;
            if self.phase == Phase::Closing {
                return to.poll_shutdown(cx).map_err(Failed::Write);
            }
            match self.after.take() {
                Some(Ok(())) => {
                    self.phase = Phase::Closing;
                    continue;
                }
                Some(Err(e)) => {
                    self.phase = Phase::Failing;
                    // A target that fails too has nothing to lose.
                    if to.poll_flush(cx).is_pending() {
                        self.after = Some(Err(e));
                        return Poll::Pending;
                    }
                    return Poll::Ready(Err(Failed::Read(e)));
                }
                None => {}
            }
            if fills > 0 && turn.is_over() {
                turn::line_up(cx);
                return Poll::Pending;
            }
            match self.poll_fill(cx, from, to) {
                Poll::Ready(Ok(Filled::Some)) => fills += 1,
                Poll::Ready(Ok(Filled::Ended)) => self.phase = Phase::Closing,
                Poll::Ready(Err(Failed::Read(e))) => self.after = Some(Err(e)),
                Poll::Ready(Err(failed)) => return Poll::Ready(Err(failed)),
                Poll::Pending => {
                    // Idle: give back the pipe or the queue, and send what the target gathers.
                    self.held = Held::Nothing;
                    if self.dirty && to.poll_flush(cx).map_err(Failed::Write)?.is_ready() {
                        self.dirty = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Ready once nothing is held.
    fn poll_write_held(&mut self, cx: &mut Context<'_>, to: &mut Endpoint) -> Poll<io::Result<()>> {
        match &mut self.held {
            Held::Nothing => {}
            Held::Bytes(bytes) => {
                while !bytes.is_empty() {
                    self.moved += ready!(poll_write_chunk(cx, to, bytes))?;
                    self.dirty = true;
                }
                self.held = Held::Nothing;
            }
            Held::Chunks(chunks) => {
                while let Some(first) = chunks.front_mut() {
                    if first.is_empty() {
                        chunks.pop_front();
                        continue;
                    }
                    self.moved += match to {
                        Endpoint::Tcp(tcp) => ready!(poll_write_chunks(cx, tcp, chunks))?,
                        Endpoint::Mux(_) | Endpoint::Other(_) => {
                            ready!(poll_write_chunk(cx, to, first))?
                        }
                    };
                    self.dirty = true;
                }
            }
            #[cfg(target_os = "linux")]
            Held::Piped(pipe) => {
                let Endpoint::Tcp(tcp) = to else {
                    return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
                };
                while pipe.len() > 0 {
                    ready!(tcp.poll_write_ready(cx))?;
                    match pipe.drain(tcp) {
                        Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        Ok(n) => self.moved += n as u64,
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                        Err(e) => return Poll::Ready(Err(e)),
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once and, where that needs no queue, writes what was read.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Endpoint,
        to: &mut Endpoint,
    ) -> Poll<Result<Filled, Failed>> {
        match (&mut *from, &mut *to) {
            #[cfg(target_os = "linux")]
            (Endpoint::Tcp(from), Endpoint::Tcp(_)) if self.bulk && self.hold_pipe() => {
                self.poll_splice(cx, from).map_err(Failed::Read)
            }
            (Endpoint::Tcp(from), Endpoint::Mux(_)) if self.bulk => {
                self.poll_read_owned(cx, from).map_err(Failed::Read)
            }
            (Endpoint::Tcp(_), Endpoint::Mux(_)) => {
                self.poll_read_small(cx, from).map_err(Failed::Read)
            }
            (Endpoint::Mux(from), _) => self.poll_gather(cx, from).map_err(Failed::Read),
            _ => self.poll_copy(cx, from, to),
        }
    }

    /// Reads into per-thread memory and writes from it; only what is not taken is kept.
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Endpoint,
        to: &mut Endpoint,
    ) -> Poll<Result<Filled, Failed>> {
        with_scratch(|scratch| {
            let got = ready!(poll_read_into(cx, from, scratch)).map_err(Failed::Read)?;
            if got.is_empty() {
                return Poll::Ready(Ok(Filled::Ended));
            }
            self.bulk = got.len() >= BULK_FROM;
            self.dirty = true;
            let mut rest = got;
            while !rest.is_empty() {
                match to.poll_write(cx, rest) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(Failed::Write(io::ErrorKind::WriteZero.into())));
                    }
                    Poll::Ready(Ok(n)) => {
                        self.moved += n as u64;
                        rest = rest.get(n..).unwrap_or_default();
                    }
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(Failed::Write(e))),
                    Poll::Pending => {
                        self.held = Held::Bytes(Bytes::copy_from_slice(rest));
                        break;
                    }
                }
            }
            Poll::Ready(Ok(Filled::Some))
        })
    }

    /// Reads for the mux when little is expected: a queued chunk owns no more than its bytes.
    fn poll_read_small(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Endpoint,
    ) -> Poll<io::Result<Filled>> {
        with_scratch(|scratch| {
            let got = ready!(poll_read_into(cx, from, scratch))?;
            if got.is_empty() {
                return Poll::Ready(Ok(Filled::Ended));
            }
            self.bulk = got.len() >= BULK_FROM;
            self.held = Held::Bytes(Bytes::copy_from_slice(got));
            Poll::Ready(Ok(Filled::Some))
        })
    }

    /// Reads for the mux when much is expected: a part of the buffer becomes the chunk.
    fn poll_read_owned(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
    ) -> Poll<io::Result<Filled>> {
        ready!(from.poll_read_ready(cx))?;
        let mut buf = buffers::take();
        let polled = pin!(from.read_buf(&mut buf)).poll(cx);
        if let Poll::Ready(Ok(n)) = polled {
            self.bulk = n >= BULK_UNTIL;
            self.held = Held::Bytes(if self.bulk {
                buf.split().freeze()
            } else {
                Bytes::copy_from_slice(&buf)
            });
        }
        buffers::remember(buf);
        let n = ready!(polled)?;
        if n == 0 {
            return Poll::Ready(Ok(Filled::Ended));
        }
        Poll::Ready(Ok(Filled::Some))
    }

    /// Takes the chunks that have arrived.
    fn poll_gather(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut MuxStream,
    ) -> Poll<io::Result<Filled>> {
        let mut chunks = match mem::replace(&mut self.held, Held::Nothing) {
            Held::Chunks(chunks) => chunks,
            _ => VecDeque::new(),
        };
        let mut gathered = 0;
        while gathered < GATHER_LEN && chunks.len() < GATHER {
            // What was gathered before has been written.
            let read = match chunks.is_empty() {
                true => from.poll_read_chunk(cx),
                false => from.poll_read_another(cx),
            };
            match read {
                Poll::Ready(Ok(Some(chunk))) => {
                    gathered += chunk.len();
                    chunks.push_back(chunk);
                }
                Poll::Ready(Ok(None)) => {
                    self.after = Some(Ok(()));
                    break;
                }
                Poll::Ready(Err(e)) => {
                    self.after = Some(Err(e));
                    break;
                }
                Poll::Pending if chunks.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        self.held = Held::Chunks(chunks);
        Poll::Ready(Ok(Filled::Some))
    }

    #[cfg(target_os = "linux")]
    fn hold_pipe(&mut self) -> bool {
        if matches!(self.held, Held::Piped(_)) {
            return true;
        }
        let Some(pipe) = Pipe::take() else {
            return false;
        };
        self.held = Held::Piped(pipe);
        true
    }

    /// Moves what has arrived into the pipe.
    #[cfg(target_os = "linux")]
    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
    ) -> Poll<io::Result<Filled>> {
        let Held::Piped(pipe) = &mut self.held else {
            self.bulk = false;
            return Poll::Ready(Ok(Filled::Some));
        };
        loop {
            ready!(from.poll_read_ready(cx))?;
            match pipe.fill(from) {
                Ok(0) => return Poll::Ready(Ok(Filled::Ended)),
                Ok(n) => {
                    self.bulk = n >= BULK_UNTIL;
                    return Poll::Ready(Ok(Filled::Some));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) if Pipe::is_unsupported(&e) => {
                    self.held = Held::Nothing;
                    self.bulk = false;
                    return Poll::Ready(Ok(Filled::Some));
                }
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }
}

fn poll_read_into<'s>(
    cx: &mut Context<'_>,
    from: &mut Endpoint,
    scratch: &'s mut [u8],
) -> Poll<io::Result<&'s [u8]>> {
    let mut buf = ReadBuf::new(scratch.get_mut(..COPY_LEN).unwrap_or_default());
    ready!(from.poll_read(cx, &mut buf))?;
    let n = buf.filled().len();
    Poll::Ready(Ok(scratch.get(..n).unwrap_or_default()))
}

/// Writes from the front of `chunk`, which is not empty, and returns the bytes taken.
fn poll_write_chunk(
    cx: &mut Context<'_>,
    to: &mut Endpoint,
    chunk: &mut Bytes,
) -> Poll<io::Result<u64>> {
    let before = chunk.len();
    if let Endpoint::Mux(mux) = to {
        ready!(mux.poll_write_chunk(cx, chunk))?;
    } else {
        let n = ready!(to.poll_write(cx, chunk))?;
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        chunk.advance(n);
    }
    Poll::Ready(Ok((before - chunk.len()) as u64))
}

/// Writes from the front of `chunks`, which are not empty, and returns the bytes taken.
fn poll_write_chunks(
    cx: &mut Context<'_>,
    to: &mut TcpStream,
    chunks: &mut VecDeque<Bytes>,
) -> Poll<io::Result<u64>> {
    let mut slices = [IoSlice::new(&[]); GATHER];
    let used = chunks
        .iter()
        .zip(&mut slices)
        .map(|(c, s)| *s = IoSlice::new(c))
        .count();
    let slices = slices.get(..used).unwrap_or_default();
    let written = ready!(Pin::new(to).poll_write_vectored(cx, slices))?;
    if written == 0 {
        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
    }
    let mut left = written;
    while left > 0
        && let Some(first) = chunks.front_mut()
    {
        let n = first.len().min(left);
        first.advance(n);
        left -= n;
        if first.is_empty() {
            chunks.pop_front();
        }
    }
    Poll::Ready(Ok(written as u64))
}
