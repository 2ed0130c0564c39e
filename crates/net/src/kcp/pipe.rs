//! A KCP session as an async byte pipe, and the task that keeps its time.
//!
//! The state of a session lies behind one short lock. Whoever changes it sends what has become due:
//! a writer its data, whoever receives its acknowledgements. The driver does what nobody calls for:
//! retransmissions, a socket that was full, the end. It sleeps until the next deadline, one timer
//! per session, and without traffic until the peer is asked whether it is there.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::task::coop::poll_proceed;
use tokio::time::{Duration, Instant, sleep_until};

use super::arq::{Brought, millis};
use super::params::REST;
use super::session::{Datagrams, KcpSession};
use super::socket::Socket;
use crate::cut::Cut;
use crate::limits::{KCP_BREAK_OFF, KCP_LINGER};

/// Bytes of datagrams that are made at once: as much as the system takes in one call.
const BURST: usize = 60_000;

/// Full segments that a writer collects before they go out without a flush.
const WRITE_BURST: usize = 24;

/// A byte pipe over UDP. What is written must be flushed once no more follows at once.
///
/// KCP knows no end of a direction. Shutdown sends an empty segment, which a peer of this kind reads
/// as the end, and kcp-go does not notice. Dropping it ends both directions, and tells such a peer
/// that nobody reads any more; what was written is delivered as long as the peer answers.
#[derive(Debug)]
pub struct KcpStream {
    shared: Arc<Shared>,
}

/// The other end of a session, for whoever has given its stream away.
#[derive(Debug, Clone)]
pub struct Peer(Arc<Shared>);

impl Peer {
    /// Whether anything came from it: bytes can be sent to an address where nobody is.
    pub(crate) fn is_heard(&self) -> bool {
        self.0.is_heard()
    }

    /// Ready once it reads no more, or the session is over.
    pub(crate) fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<Cut> {
        let mut state = self.0.lock();
        if state.session.arq().is_cut() {
            return Poll::Ready(Cut::ReadsNoMore);
        }
        if state.ended.is_some() {
            return Poll::Ready(Cut::Reset);
        }
        // Whoever asks is the one who writes.
        remember(&mut state.writer, cx);
        Poll::Pending
    }

    /// Whether it has shown that it is where it says: its address may be forged before.
    pub fn is_proven(&self) -> bool {
        self.0.is_proven()
    }

    /// Completes once it has.
    pub async fn proven(&self) {
        let mut told = pin!(self.0.proven.notified());
        loop {
            // Before the look, so that nothing comes between.
            told.as_mut().enable();
            if self.is_proven() {
                return;
            }
            told.as_mut().await;
            told.set(self.0.proven.notified());
        }
    }

    /// When it was heard last, milliseconds of the session's clock.
    pub fn heard(&self) -> u64 {
        self.0.heard()
    }

    /// From here to it and back, smoothed, as far as anything was acknowledged.
    pub fn round_trip(&self) -> Option<Duration> {
        let measured = self.0.lock().session.arq().round_trip();
        measured.map(Duration::from_millis)
    }

    /// Asks whether it is there.
    pub fn ask(&self) {
        let now = self.0.now();
        let mut state = self.0.lock();
        if state.ended.is_none() {
            state.session.arq_mut().ask();
            self.0.send_due(&mut state, now);
        }
    }

    /// Ends both directions at once, whatever was written.
    pub(crate) fn abort(&self) {
        self.0.end(Ended::Closed);
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    socket: Arc<Socket>,
    peer: SocketAddr,
    conv: u32,
    /// Milliseconds count from here.
    epoch: Instant,
    state: Mutex<State>,
    changed: Notify,
    /// The peer has shown that it is where it says.
    proven: Notify,
}

#[derive(Debug)]
struct State {
    session: KcpSession,
    /// Made and not sent yet.
    out: Datagrams,
    /// How many of `out` were sent.
    sent: usize,
    /// The socket takes nothing more now.
    blocked: bool,
    /// The system refused to cut what was sent at once: a datagram is larger than the path takes.
    singly: bool,
    /// Our address, where the peer may have used one of several.
    local: Option<IpAddr>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Our direction was ended.
    finished: bool,
    /// When the stream was dropped.
    let_go: Option<u64>,
    /// The peer is to be told that this was no end, if it does not take what there is for it.
    aborted: bool,
    /// The peer is told that.
    broken_off: bool,
    /// When the peer was heard last.
    heard: Option<u64>,
    /// What came and was not settled.
    brought: Brought,
    /// When something last went on, if buffers are kept since.
    busy: Option<u64>,
    ended: Option<Ended>,
    /// What the driver sleeps until.
    timer: u64,
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Both sides are done with it, or this one has broken it off.
    Closed,
    /// The system says that nothing listens there.
    Refused,
    /// The peer has broken it off.
    Reset,
    /// The peer owes an answer.
    Unanswered,
    /// Newer sessions took its place.
    MadeRoom,
    /// The listener is gone.
    Stopped,
    /// The socket failed.
    Socket(io::ErrorKind),
}

impl Ended {
    fn error(self) -> io::Error {
        match self {
            Self::Closed => io::ErrorKind::BrokenPipe.into(),
            Self::Refused => io::Error::new(
                io::ErrorKind::ConnectionRefused,
                "nothing listens on that UDP port",
            ),
            Self::Reset => io::ErrorKind::ConnectionReset.into(),
            Self::Unanswered => {
                io::Error::new(io::ErrorKind::TimedOut, "the kcp peer does not answer")
            }
            Self::MadeRoom => io::Error::new(
                io::ErrorKind::ConnectionReset,
                "made room for newer connections",
            ),
            Self::Stopped => io::ErrorKind::ConnectionAborted.into(),
            Self::Socket(kind) => kind.into(),
        }
    }
}

/// Those to be told once the lock is free.
#[derive(Default)]
struct Wake([Option<Waker>; 2]);

impl Wake {
    fn all(self) {
        self.0.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Shared {
    pub(super) fn new(
        socket: Arc<Socket>,
        peer: SocketAddr,
        epoch: Instant,
        session: KcpSession,
    ) -> Arc<Self> {
        let timer = session.deadline();
        Arc::new(Self {
            socket,
            peer,
            conv: session.arq().conv(),
            epoch,
            state: Mutex::new(State {
                session,
                out: Datagrams::default(),
                sent: 0,
                blocked: false,
                singly: false,
                local: None,
                reader: None,
                writer: None,
                finished: false,
                let_go: None,
                aborted: false,
                broken_off: false,
                heard: None,
                brought: Brought::default(),
                busy: None,
                ended: None,
                timer,
            }),
            changed: Notify::new(),
            proven: Notify::new(),
        })
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn now(&self) -> u64 {
        millis(self.epoch.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes datagrams of this session's peer, sent to our address `to`; to be
    /// [settled](Self::settle) after the last of those that came together. Whether they show that the
    /// peer is where it says, which had not been shown.
    pub(super) fn take<'a>(
        &self,
        datagrams: impl Iterator<Item = &'a [u8]>,
        to: Option<IpAddr>,
    ) -> bool {
        let now = self.now();
        let mut state = self.lock();
        if state.ended.is_some() {
            return false;
        }
        let mut proved = false;
        for datagram in datagrams {
            let brought = state.session.receive(datagram, now);
            proved |= brought.proved;
            state.brought.add(brought);
        }
        if state.brought.heard {
            state.heard = Some(now);
            state.local = to;
        }
        drop(state);
        if proved {
            self.proven.notify_waiters();
        }
        proved
    }

    /// Answers what was taken, and wakes those who wait for it.
    pub(super) fn settle(&self) {
        let now = self.now();
        let mut state = self.lock();
        if state.ended.is_some() {
            return;
        }
        let brought = std::mem::take(&mut state.brought);
        let wake = if state.session.arq().is_broken_off() {
            self.changed.notify_one();
            state.end(Ended::Reset)
        } else {
            self.send_due(&mut state, now);
            state.wake(brought)
        };
        drop(state);
        wake.all();
    }

    /// Makes and sends what is due. The driver learns of what changes for it.
    fn send_due(&self, state: &mut State, now: u64) {
        let was_blocked = state.blocked;
        self.send(state, now);
        let is_earlier = state.session.deadline() < state.timer;
        if is_earlier || state.blocked != was_blocked || state.ended.is_some() {
            self.changed.notify_one();
        }
    }

    fn send(&self, state: &mut State, now: u64) {
        state.busy = Some(now);
        loop {
            while state.sent < state.out.count() {
                let (out, from) = (&state.out, state.sent);
                let most = if state.singly { 1 } else { usize::MAX };
                match self
                    .socket
                    .try_send(self.peer, state.local, out, from, most)
                {
                    Ok(n) => state.sent += n,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        state.blocked = true;
                        return;
                    }
                    // Only a dialler's socket tells that.
                    Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                        state.end(Ended::Refused).all();
                        return;
                    }
                    // What is larger than the path takes can be sent in fragments, but not cut.
                    Err(_) if !state.singly => state.singly = true,
                    // As if the network had lost it.
                    Err(_) => state.sent += 1,
                }
            }
            state.blocked = false;
            state.out.clear();
            state.sent = 0;
            let State { session, out, .. } = state;
            session.transmit(now, BURST, out);
            if state.out.is_empty() {
                break;
            }
        }
    }

    /// Ends the session at once.
    pub(super) fn end(&self, why: Ended) {
        let wake = self.lock().end(why);
        self.changed.notify_one();
        wake.all();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended.is_some()
    }

    pub(super) fn conv(&self) -> u32 {
        self.conv
    }

    pub(super) fn is_stranger(&self) -> bool {
        self.lock().session.is_stranger()
    }

    /// Whether the peer has shown that it is where it says.
    pub(super) fn is_proven(&self) -> bool {
        self.lock().session.is_proven()
    }

    /// Whether anything came from the peer.
    fn is_heard(&self) -> bool {
        self.lock().heard.is_some()
    }

    /// When the peer was heard last, milliseconds.
    pub(super) fn heard(&self) -> u64 {
        self.lock().heard.unwrap_or_default()
    }

    /// The peer has logged in.
    pub(super) fn establish(&self) {
        let now = self.now();
        let mut state = self.lock();
        if state.ended.is_none() {
            state.session.establish();
            self.send_due(&mut state, now);
        }
    }

    /// The driver of the session; it ends with it.
    pub(super) async fn drive(self: Arc<Self>) {
        // Also where the task is dropped: nobody would ever send again.
        let _end = EndOnDrop(&self);
        let mut timer = pin!(sleep_until(Instant::now()));
        loop {
            let (deadline, blocked) = {
                let now = self.now();
                let mut state = self.lock();
                if state.ended.is_none() {
                    self.on_time(&mut state, now);
                }
                if state.ended.is_some() {
                    return;
                }
                state.timer = state.deadline(now);
                (state.timer, state.blocked)
            };
            let at = self.epoch + Duration::from_millis(deadline);
            timer.as_mut().reset(at);
            tokio::select! {
                () = self.changed.notified() => {}
                () = timer.as_mut() => {}
                writable = self.socket.writable(), if blocked => {
                    if let Err(e) = writable {
                        self.end(Ended::Socket(e.kind()));
                    }
                }
            }
        }
    }

    fn on_time(&self, state: &mut State, now: u64) {
        if state.session.arq().is_dead(now) {
            state.end(Ended::Unanswered).all();
            return;
        }
        if state.is_done(now) {
            state.end(Ended::Closed).all();
            return;
        }
        if state.breaks_off_at().is_some_and(|at| at <= now) {
            state.aborted = false;
            state.broken_off = true;
            state.session.break_off(now);
        }
        if state.blocked || state.session.deadline() <= now {
            let busy = state.busy;
            self.send(state, now);
            if state.session.arq().is_quiet() && !state.blocked {
                state.busy = busy;
            }
        }
        let idle = state.busy.is_some_and(|since| now >= since + REST);
        if idle && state.session.arq().is_quiet() {
            state.busy = None;
            state.session.rest();
            state.out = Datagrams::default();
        }
    }

    /// Receives for a session that has a socket of its own, until it ends.
    pub(super) async fn receive_all(self: Arc<Self>) {
        loop {
            if let Err(e) = self.socket.readable().await {
                return self.end(Ended::Socket(e.kind()));
            }
            let received = self.socket.try_receive(|batch| {
                self.take(batch.datagrams(), batch.to);
            });
            match received.map_err(|e| e.kind()) {
                Ok(()) => self.settle(),
                Err(io::ErrorKind::ConnectionRefused) => return self.end(Ended::Refused),
                Err(
                    kind @ (io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable),
                ) if !self.is_heard() => return self.end(Ended::Socket(kind)),
                // Nothing is there, or a router tells of one datagram: that the path has become
                // narrower, or was away for a moment.
                Err(_) => {}
            }
            if self.has_ended() {
                return;
            }
            // Others of this thread have their turn.
            tokio::task::consume_budget().await;
        }
    }
}

struct EndOnDrop<'a>(&'a Shared);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end(Ended::Stopped);
    }
}

impl State {
    fn wake(&mut self, brought: Brought) -> Wake {
        let ended = self.ended.is_some();
        let reader = ended || brought.data;
        let cut = brought.data && self.session.arq().is_cut();
        let writer = ended || cut || (brought.room && self.session.arq().is_writable());
        Wake([
            reader.then(|| self.reader.take()).flatten(),
            writer.then(|| self.writer.take()).flatten(),
        ])
    }

    fn end(&mut self, why: Ended) -> Wake {
        if self.ended.is_some() {
            return Wake::default();
        }
        self.ended = Some(why);
        self.session.end();
        self.out = Datagrams::default();
        self.wake(Brought::default())
    }

    /// Whether a stream that was dropped has delivered what there was to deliver.
    fn is_done(&self, now: u64) -> bool {
        let Some(since) = self.let_go else {
            return false;
        };
        // A dialled peer that was never heard has nothing to wait for.
        let is_delivered = self.session.arq().is_delivered() && !self.broken_off;
        if self.heard.is_none() || is_delivered {
            return true;
        }
        now >= self.lingers_until(since)
    }

    /// A peer that has logged in is waited for as long as it answers.
    fn lingers_until(&self, since: u64) -> u64 {
        let waits = !self.session.is_stranger() && !self.broken_off;
        let answered = self.heard.filter(|_| waits);
        answered.unwrap_or(since).max(since) + millis(KCP_LINGER)
    }

    /// When one that was aborted is broken off, if the peer takes no more until then.
    fn breaks_off_at(&self) -> Option<u64> {
        let stuck = self.session.arq().stuck_since().filter(|_| self.aborted);
        stuck.map(|since| since + millis(KCP_BREAK_OFF))
    }

    fn deadline(&self, now: u64) -> u64 {
        if self.blocked {
            // Whatever is due has to wait for the socket, which wakes the driver by itself.
            return now + REST;
        }
        let linger = self.let_go.map(|since| self.lingers_until(since));
        let quiet = self.session.arq().is_quiet();
        let rest = self.busy.filter(|_| quiet).map(|since| since + REST);
        [linger, rest, self.breaks_off_at()]
            .into_iter()
            .flatten()
            .fold(self.session.deadline(), u64::min)
    }
}

impl KcpStream {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The other end.
    pub fn peer_addr(&self) -> SocketAddr {
        crate::listen::canonical(self.shared.peer)
    }

    /// This end, as far as the system tells.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared
            .socket
            .local_addr()
            .map(crate::listen::canonical)
    }

    /// Drops it so that the peer sees a failure and no end, unless it takes all that was written.
    pub fn abort(self) {
        self.shared.lock().aborted = true;
    }

    /// A handle that outlives the stream.
    pub fn peer(&self) -> Peer {
        Peer(Arc::clone(&self.shared))
    }
}

impl AsyncRead for KcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let turn = ready!(poll_proceed(cx));
        let shared = &self.shared;
        let mut state = shared.lock();
        let has_ended = state.ended.is_some();
        let arq = state.session.arq_mut();
        if arq.is_readable() {
            turn.made_progress();
            let n = arq.read(buf.initialize_unfilled());
            buf.advance(n);
            if arq.wants_to_tell() && !has_ended {
                let now = shared.now();
                shared.send_due(&mut state, now);
            }
            return Poll::Ready(Ok(()));
        }
        if arq.is_ended() {
            return Poll::Ready(Ok(()));
        }
        if let Some(ended) = state.ended {
            return Poll::Ready(Err(ended.error()));
        }
        remember(&mut state.reader, cx);
        Poll::Pending
    }
}

impl AsyncWrite for KcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let turn = ready!(poll_proceed(cx));
        let shared = &self.shared;
        let now = shared.now();
        let mut state = shared.lock();
        // What the peer has said, rather than what the system says of its address afterwards.
        if state.finished || state.session.arq().is_cut() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if let Some(ended) = state.ended {
            return Poll::Ready(Err(ended.error()));
        }
        let arq = state.session.arq_mut();
        let mut written = 0;
        for buf in bufs {
            let n = arq.write(buf, now);
            written += n;
            if n < buf.len() {
                break;
            }
        }
        let nothing = bufs.iter().all(|buf| buf.is_empty());
        if arq.has_full_segments(WRITE_BURST) {
            shared.send_due(&mut state, now);
        }
        if written > 0 || nothing {
            turn.made_progress();
            return Poll::Ready(Ok(written));
        }
        remember(&mut state.writer, cx);
        Poll::Pending
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Sends; does not wait until it has arrived.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &self.shared;
        let now = shared.now();
        let mut state = shared.lock();
        if let Some(ended) = state.ended {
            return Poll::Ready(Err(ended.error()));
        }
        state.session.arq_mut().flush();
        shared.send_due(&mut state, now);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = &self.shared;
        let now = shared.now();
        let mut state = shared.lock();
        if state.ended.is_none() && !state.finished {
            state.finished = true;
            state.session.arq_mut().finish();
            shared.send_due(&mut state, now);
        }
        Poll::Ready(Ok(()))
    }
}

fn remember(place: &mut Option<Waker>, cx: &Context<'_>) {
    if !place
        .as_ref()
        .is_some_and(|waker| waker.will_wake(cx.waker()))
    {
        *place = Some(cx.waker().clone());
    }
}

impl Drop for KcpStream {
    fn drop(&mut self) {
        let shared = &self.shared;
        let now = shared.now();
        let mut state = shared.lock();
        if state.ended.is_some() {
            return;
        }
        state.let_go = Some(now);
        let arq = state.session.arq_mut();
        arq.cut();
        arq.discard();
        shared.send_due(&mut state, now);
        shared.changed.notify_one();
    }
}

/// Runs both until the first is done.
pub(super) async fn first_of(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    tokio::select! {
        () = one => {}
        () = other => {}
    }
}
