//! The one task of a session: reads, writes, and keeps time.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{Instant, Sleep},
};

use crate::{
    below::Below,
    buffers,
    limits::MUX_STRANGER_TOTAL,
    turn::{self, Turn},
};

use super::{
    batch::Batch,
    error::{CloseReason, ProtocolError},
    inbox::Origin,
    pace::Pace,
    shared::Shared,
};

/// How long the connection may take no byte while there is something to send.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the peer is read after the last byte of a closed session: closing a socket with unread
/// data would reset it, and what we sent last could be lost.
const DRAIN: Duration = Duration::from_secs(1);
/// How long the last words to a peer that broke the protocol may take.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A session that moved nothing for this time gives its buffers back.
const REST_AFTER: Duration = Duration::from_secs(5);
/// Read buffer of a session at rest, bytes.
const READ_MIN: usize = 4 * 1024;
/// Read buffer under load, bytes. Larger ones were not faster, and a slice that waits in a stream
/// keeps its whole buffer alive.
const READ_MAX: usize = 64 * 1024;
/// Buffers kept for their turn once the applications are done with them.
const SPARE_BUFFERS: usize = 8;

pub(super) struct Driver<T> {
    io: T,
    vectored: bool,
    shared: Arc<Shared>,
    input: Input,
    output: Batch,
    pace: Pace,
    needs_flush: bool,
    /// Bytes of a session that is over, read and forgotten.
    discarded: usize,
    /// Since when the connection takes nothing.
    stalled: Option<Duration>,
    last_move: Duration,
    timer: Pin<Box<Sleep>>,
    armed: Option<Duration>,
    /// Kept for its capacity.
    wakes: Vec<Waker>,
}

impl<T: Below> Driver<T> {
    pub(super) fn new(io: T, shared: Arc<Shared>) -> Self {
        let vectored = io.is_write_vectored();
        let pace = Pace::new();
        io.limit_unsent(pace.most() as u32);
        io.limit_unread();
        Self {
            io,
            vectored,
            shared,
            input: Input::new(),
            output: Batch::new(vectored, pace.most()),
            pace,
            needs_flush: false,
            discarded: 0,
            stalled: None,
            last_move: Duration::ZERO,
            timer: Box::pin(tokio::time::sleep_until(Instant::now())),
            armed: None,
            wakes: Vec::new(),
        }
    }

    pub(super) async fn run(mut self) -> CloseReason {
        let reason = std::future::poll_fn(|cx| self.poll_session(cx)).await;
        self.shared.end(reason.clone());
        match &reason {
            CloseReason::LocalClose if !self.shared.is_dropped() => {
                let _ = tokio::time::timeout(WRITE_TIMEOUT, self.send_rest()).await;
                self.shared.finish();
                let _ = tokio::time::timeout(DRAIN, self.drain()).await;
            }
            CloseReason::Protocol(error) => {
                if error.is_told() {
                    self.shared.lock().state.tell_protocol_error();
                    let _ = tokio::time::timeout(LAST_WORDS, self.send_rest()).await;
                }
                self.shared.finish();
                let _ = tokio::time::timeout(DRAIN, self.drain()).await;
            }
            _ => self.shared.finish(),
        }
        reason
    }

    fn poll_session(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let turn = Turn::begin();
        let mut moved = false;
        while !(moved && turn.is_over()) {
            match self.round(cx) {
                Ok(Round::Moved) => moved = true,
                Ok(Round::Asleep) => return Poll::Pending,
                Err(reason) => return Poll::Ready(reason),
            }
        }
        turn::give_way(cx);
        Poll::Pending
    }

    fn round(&mut self, cx: &mut Context<'_>) -> Result<Round, CloseReason> {
        let now = self.shared.now();
        if self.armed.is_some_and(|at| now >= at) {
            self.on_time(now)?;
        }
        let sent = self.send(cx, now)?;
        let received = self.receive(cx, now)?;
        if received || sent == Sent::Some {
            self.last_move = now;
            return Ok(Round::Moved);
        }
        self.sleep(cx, sent)
    }

    /// Writes one batch, as far as the connection takes it.
    fn send(&mut self, cx: &mut Context<'_>, now: Duration) -> Result<Sent, CloseReason> {
        if self.output.is_empty() {
            // Who is next is decided as late as can be.
            if !self.clear(cx, now)? {
                return Ok(Sent::Blocked);
            }
            self.collect(now)?;
            if self.output.is_empty() {
                return self.flush(cx, now);
            }
            self.pace.hand_on(self.output.len(), now);
        }
        while !self.output.is_empty() {
            match self.output.poll_write(cx, &mut self.io, self.vectored) {
                Poll::Ready(Ok(_)) => {
                    self.stalled = None;
                    self.needs_flush = true;
                }
                Poll::Ready(Err(e)) => return Err(io_reason(e)),
                Poll::Pending => {
                    self.wait(now);
                    return Ok(Sent::Blocked);
                }
            }
        }
        Ok(Sent::Some)
    }

    /// Whether the connection has sent most of what it was handed before.
    fn clear(&mut self, cx: &mut Context<'_>, now: Duration) -> Result<bool, CloseReason> {
        if self.pace.is_clear() {
            return Ok(true);
        }
        match self.io.poll_clear(cx) {
            Poll::Ready(Ok(())) => {
                self.stalled = None;
                if self.pace.clear(now) {
                    self.output.set_most(self.pace.most());
                    self.io.limit_unsent(self.pace.most() as u32);
                }
                Ok(true)
            }
            Poll::Ready(Err(e)) => Err(io_reason(e)),
            Poll::Pending => {
                self.wait(now);
                Ok(false)
            }
        }
    }

    /// The connection takes nothing.
    fn wait(&mut self, now: Duration) {
        self.pace.wait();
        self.stalled.get_or_insert(now);
    }

    /// Fills the output from the streams' queues and wakes the writers that got room.
    fn collect(&mut self, now: Duration) -> Result<(), CloseReason> {
        let mut inner = self.shared.lock();
        inner.awake();
        if let Some(reason) = &inner.end {
            return Err(reason.clone());
        }
        if inner.state.is_abandoned() {
            return Err(CloseReason::LocalClose);
        }
        inner.state.fill(&mut self.output, now);
        std::mem::swap(&mut inner.state.wakes, &mut self.wakes);
        let freed = inner.state.take_freed_opens();
        drop(inner);
        self.wake(freed);
        Ok(())
    }

    fn flush(&mut self, cx: &mut Context<'_>, now: Duration) -> Result<Sent, CloseReason> {
        if self.needs_flush {
            match Pin::new(&mut self.io).poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.needs_flush = false;
                    self.stalled = None;
                }
                Poll::Ready(Err(e)) => return Err(io_reason(e)),
                // New frames may still be written: not blocked.
                Poll::Pending => {
                    self.stalled.get_or_insert(now);
                }
            }
        }
        Ok(Sent::Nothing)
    }

    /// Reads once and hands the frames to their streams; whether there was something.
    fn receive(&mut self, cx: &mut Context<'_>, now: Duration) -> Result<bool, CloseReason> {
        let Poll::Ready(n) = self.input.poll_fill(cx, &mut self.io) else {
            return Ok(false);
        };
        if n.map_err(io_reason)? == 0 {
            return Err(CloseReason::PeerClosed);
        }
        let mut inner = self.shared.lock();
        let origin = self.input.origin;
        let result = inner.state.receive(&mut self.input.buf, origin, now);
        self.input.may_grow = !inner.state.is_stranger();
        std::mem::swap(&mut inner.state.wakes, &mut self.wakes);
        let freed = inner.state.take_freed_opens();
        drop(inner);
        self.wake(freed);
        result.map(|()| true)
    }

    fn wake(&mut self, freed_opens: usize) {
        self.wakes.drain(..).for_each(Waker::wake);
        self.shared.wake_opens(freed_opens);
    }

    fn on_time(&mut self, now: Duration) -> Result<(), CloseReason> {
        self.armed = None;
        if self
            .stalled
            .is_some_and(|since| now >= since + WRITE_TIMEOUT)
        {
            return Err(CloseReason::WriteTimeout);
        }
        if now >= self.last_move + REST_AFTER {
            self.input.shrink();
            buffers::rest();
            self.output.shrink();
            self.wakes.shrink_to(4);
        }
        self.shared.lock().state.on_time(now)
    }

    /// Nothing moves: arms the timer and waits for the connection or the applications.
    fn sleep(&mut self, cx: &mut Context<'_>, sent: Sent) -> Result<Round, CloseReason> {
        let blocked = sent == Sent::Blocked;
        let mut inner = self.shared.lock();
        if let Some(reason) = &inner.end {
            return Err(reason.clone());
        }
        let deadline = inner.state.next_deadline();
        if !blocked && inner.state.has_work() {
            return Ok(Round::Moved);
        }
        inner.sleep(cx, !blocked);
        drop(inner);
        let rest = self.input.is_grown().then(|| self.last_move + REST_AFTER);
        let stall = self.stalled.map(|since| since + WRITE_TIMEOUT);
        let Some(next) = [deadline, rest, stall].into_iter().flatten().min() else {
            return Ok(Round::Asleep);
        };
        // A timer that fires too early costs less than one moved at every turn.
        if self.armed.is_none_or(|armed| next < armed) {
            self.armed = Some(next);
            self.timer.as_mut().reset(self.shared.instant(next));
        }
        match self.timer.as_mut().poll(cx) {
            Poll::Pending => Ok(Round::Asleep),
            Poll::Ready(()) => Ok(Round::Moved),
        }
    }

    /// Sends what the streams have queued, then closes our direction.
    async fn send_rest(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_send_rest(cx)).await
    }

    fn poll_send_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A peer that is stuck writing to us may not read either.
        let _ = self.poll_discard(cx);
        loop {
            if self.output.is_empty() {
                let mut inner = self.shared.lock();
                inner.state.fill(&mut self.output, self.shared.now());
                inner.state.wakes.clear();
            }
            if self.output.is_empty() {
                break;
            }
            ready!(self.output.poll_write(cx, &mut self.io, self.vectored))?;
        }
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    async fn drain(&mut self) {
        std::future::poll_fn(|cx| self.poll_discard(cx)).await;
    }

    /// Reads and forgets; ready at the end of the connection, or when a stranger has said too much.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.input.buf.clear();
            match ready!(self.input.poll_fill(cx, &mut self.io)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(n) => self.discarded = self.discarded.saturating_add(n),
            }
            if self.discarded > MUX_STRANGER_TOTAL && self.shared.lock().state.is_stranger() {
                return Poll::Ready(());
            }
        }
    }
}

impl<T> Drop for Driver<T> {
    fn drop(&mut self) {
        // Also when the task is cancelled: no handle may wait for ever.
        self.shared.end(CloseReason::LocalClose);
        self.shared.finish();
    }
}

enum Round {
    Moved,
    Asleep,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    Some,
    /// The connection takes no more for now.
    Blocked,
}

/// The read buffer: small at rest, large under load, cut into `Bytes` for the streams.
struct Input {
    buf: BytesMut,
    origin: Origin,
    target: usize,
    /// The peer is no stranger.
    may_grow: bool,
    /// Buffers of the target size whose slices may still be in use.
    spare: Vec<BytesMut>,
}

impl Input {
    fn new() -> Self {
        Self {
            buf: BytesMut::new(),
            origin: Origin {
                buffer: 0,
                capacity: 0,
            },
            target: READ_MIN,
            may_grow: false,
            spare: Vec::new(),
        }
    }

    fn poll_fill<T: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut T,
    ) -> Poll<io::Result<usize>> {
        self.make_room();
        let room = self.buf.capacity() - self.buf.len();
        let n = ready!(pin!(io.read_buf(&mut self.buf)).poll(cx))?;
        if n == room && self.may_grow {
            self.target = (self.target * 4).min(READ_MAX);
        }
        Poll::Ready(Ok(n))
    }

    /// A buffer with room for a useful read.
    fn make_room(&mut self) {
        let room = self.buf.capacity() - self.buf.len();
        if room >= self.target / 4 {
            return;
        }
        let rest = self.buf.len();
        let wanted = self.target.max(rest);
        if self.buf.try_reclaim(wanted - rest) {
            self.new_origin();
            return;
        }
        let reclaimed = self
            .spare
            .iter_mut()
            .position(|spare| spare.try_reclaim(wanted));
        let mut fresh = match reclaimed {
            Some(i) => self.spare.swap_remove(i),
            None => BytesMut::with_capacity(wanted),
        };
        fresh.extend_from_slice(&self.buf);
        let mut old = std::mem::replace(&mut self.buf, fresh);
        let reusable = self.origin.capacity as usize >= READ_MAX;
        self.new_origin();
        if reusable && self.spare.len() < SPARE_BUFFERS {
            old.clear();
            self.spare.push(old);
        }
    }

    fn new_origin(&mut self) {
        self.origin = Origin {
            buffer: self.origin.buffer.wrapping_add(1).max(1),
            capacity: u32::try_from(self.buf.capacity()).unwrap_or(u32::MAX),
        };
    }

    fn is_grown(&self) -> bool {
        self.target > READ_MIN || !self.spare.is_empty()
    }

    fn shrink(&mut self) {
        self.target = READ_MIN;
        self.spare = Vec::new();
        // What is left is a part of a frame: less than a header, or payload is taken at once.
        let mut small = BytesMut::with_capacity(READ_MIN);
        small.extend_from_slice(&self.buf);
        self.buf = small;
        self.new_origin();
    }
}

impl ProtocolError {
    /// Whether the peer is told. Not one whose bytes were no frames at all.
    fn is_told(self) -> bool {
        !matches!(self, Self::Version(_) | Self::Kind(_))
    }
}

fn io_reason(error: io::Error) -> CloseReason {
    CloseReason::Io(Arc::new(error))
}
