//! The protocol of one session as a state machine: no I/O and no clock.
//!
//! Received bytes go in by [`State::receive`], frames come out by [`State::fill`], time is a
//! `Duration` since the session's start that the caller passes. Applications act on streams by
//! id. Whoever calls drains [`State::wakes`] once its lock is released.
//!
//! Facts of the Go peer (frp 0.70.1's yamux) that shape it:
//! - It acknowledges at accept, and ends the whole session when a stream of its own is not
//!   acknowledged within 75 s: so we acknowledge at accept too, never "with the first data".
//! - A reset makes its reader fail at once, with data still buffered, so a good stream ends by FIN
//!   only. FIN goes out once (a second one ends its session) and never on a frame with payload
//!   (its reader could see the end before the data).
//! - A stream that was finished before its accept is never acknowledged: only streams that we
//!   still write to count for the open timeout.

mod entry;
mod output;
mod time;
mod turns;
mod writing;

use std::{
    collections::{HashMap, VecDeque},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};

use self::{entry::Stream, turns::Turns};
use super::{
    config::Role,
    error::{CloseReason, ProtocolError},
    frame::{ACK, FIN, HEADER_LEN, Header, HeaderError, Kind, RST, SYN},
    inbox::Origin,
};
use crate::limits::{MUX_STRANGER_BYTES, MUX_STRANGER_SHARE, MUX_STRANGER_TOTAL, MUX_UNREAD_BYTES};
use crate::stranger_bytes::PoolShare;

/// What either side may send on a new stream before any update, bytes.
pub(super) const INITIAL_WINDOW: u32 = 256 * 1024;
/// What we let a peer that has logged in send ahead of a reader that keeps up, bytes (frp's
/// MaxStreamWindowSize, which frp gives from the start).
pub(super) const MAX_WINDOW: u32 = 6 * 1024 * 1024;
/// Streams that wait for an accept, ours at the peer and theirs here.
pub(super) const BACKLOG: usize = 256;
/// How long a ping may stay unanswered.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an opened stream may stay unacknowledged.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(75);
/// After this time a stream that its application dropped is reset if the peer has used up its
/// window, for then its writer hangs.
const LINGER: Duration = Duration::from_secs(30);
/// After this time it is reset in any case (frp's StreamCloseTimeout). Not earlier: the peer may
/// still be reading what we sent, and a reset would cost it the rest.
const LINGER_MAX: Duration = Duration::from_secs(300);
/// How often dropped streams are looked through.
const LINGER_SWEEP: Duration = Duration::from_secs(10);
/// How long after the last of its data an aborted stream is reset: a Go peer's reader has taken the
/// data by then, and would not see it any more after the reset.
pub(super) const ABORT_GRACE: Duration = Duration::from_secs(1);
/// Dropped streams kept; beyond, the oldest are reset.
const MAX_LINGERING: usize = 4096;
/// Bytes that a stream may have queued for the socket.
pub(super) const SEND_QUEUE: usize = 256 * 1024;
/// The same once all streams together have [`CROWDED`] bytes queued: more would only travel
/// through memory instead of the processor's cache.
const SEND_QUEUE_CROWDED: usize = 64 * 1024;
const CROWDED: usize = 512 * 1024;
/// The same in chunks, against an application that writes single bytes.
const SEND_QUEUE_CHUNKS: usize = 1024;
/// Readers of at most this many bytes run before those for whom more has come, bytes.
const SMALL: usize = 4 * 1024;
/// What a stream sends at a time, and first of all in each round of the bulk: a quarter of a batch, bytes, and at
/// least and at most these.
const MIN_SHARE: usize = 4 * 1024;
const MAX_SHARE: usize = 64 * 1024;
/// Those that send little may send so many shares in a row while bulk waits.
const SHARES_AHEAD: usize = 4;
/// Unsent answers to pings; beyond, the oldest is dropped.
const MAX_PONGS: usize = 64;
/// Unsent resets of refused streams; beyond, the session ends.
const MAX_REFUSALS: usize = 1024;

/// Code of a go-away (hashicorp/yamux `spec.md`).
const NORMAL: u32 = 0;

#[derive(Debug)]
pub(super) struct State {
    role: Role,
    streams: HashMap<u32, Box<Stream>>,
    next_id: u32,
    /// What the peer may send ahead on a stream at most, bytes; each begins with [`INITIAL_WINDOW`].
    window: u32,
    /// Bytes that have come on all streams and nobody has read.
    unread: usize,
    /// The peer is a stranger, and what it holds.
    stranger: Option<PoolShare>,
    /// Bytes that have come, or are about to, while it was one.
    stranger_came: usize,

    /// The peer takes no new streams.
    remote_go_away: bool,
    /// Streams of ours without an answer, and when they were opened (may name answered ones).
    unacked: usize,
    opened: VecDeque<(Duration, u32)>,
    /// Opens that may go on since the caller last looked.
    freed_opens: usize,

    /// Streams of the peer that wait for [`State::poll_accept`].
    backlog: VecDeque<u32>,
    /// No one will accept any more.
    refusing: bool,
    acceptor: Option<Waker>,

    /// The data frame whose payload is being read.
    body: Body,

    go_away: Option<u32>,
    pongs: VecDeque<u32>,
    resets: VecDeque<u32>,
    /// How many of `resets` answer a SYN.
    refusals: usize,
    /// Streams with a SYN, ACK, window update or FIN to send.
    control: VecDeque<u32>,
    turns: Turns,
    /// Bytes that a stream sends at a time.
    share: usize,
    /// Bytes queued by all streams.
    queued: usize,

    keepalive: Option<Duration>,
    /// How often bytes have come.
    heard: u64,
    ping: Ping,
    ping_id: u32,
    /// That of the last ping that was answered.
    round_trip: Option<Duration>,

    lingering: VecDeque<(Duration, u32)>,
    linger_sweep: Option<Duration>,
    /// Streams to reset, and when: in order.
    aborting: VecDeque<(Duration, u32)>,
    /// An end of the peer is that of one direction, and a reset does not cost it what came before.
    half_closes: bool,
    /// A deadline came into being that the driver does not know of.
    new_deadline: bool,
    /// Nobody holds the session any more; it ends with its last stream.
    abandoned: bool,

    /// Tasks to wake once the caller's lock is released.
    pub(super) wakes: Vec<Waker>,
    /// Those in front that this [`State::receive`] has put there.
    small_wakes: usize,
}

#[derive(Debug, Default)]
struct Body {
    stream: u32,
    remaining: usize,
    keep: bool,
    fin: bool,
}

#[derive(Debug)]
enum Ping {
    Resting {
        until: Duration,
    },
    Queued,
    Waiting {
        id: u32,
        sent: Duration,
        until: Duration,
    },
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    Chunk(Bytes),
    /// The peer has finished.
    End,
    /// The peer has reset the stream; what came before has been delivered.
    Reset,
}

/// Why a stream takes no data.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SendError {
    /// The peer has reset the stream without an end.
    Reset,
    /// The same behind its end.
    Unread,
    Finished,
}

/// Why no stream can be opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OpenError {
    /// [`BACKLOG`] streams are unanswered: wait for one.
    Full,
    GoAway,
    Exhausted,
}

impl State {
    pub(super) fn new(role: Role, keepalive: Option<Duration>) -> Self {
        Self {
            role,
            streams: HashMap::new(),
            next_id: match role {
                Role::Client => 1,
                Role::Server => 2,
            },
            window: MAX_WINDOW,
            unread: 0,
            stranger: None,
            stranger_came: 0,
            remote_go_away: false,
            unacked: 0,
            opened: VecDeque::new(),
            freed_opens: 0,
            backlog: VecDeque::new(),
            refusing: false,
            acceptor: None,
            body: Body::default(),
            go_away: None,
            pongs: VecDeque::new(),
            resets: VecDeque::new(),
            refusals: 0,
            control: VecDeque::new(),
            turns: Turns::default(),
            share: MAX_SHARE,
            queued: 0,
            keepalive,
            heard: 0,
            ping: Ping::Resting {
                until: keepalive.unwrap_or_default(),
            },
            ping_id: 0,
            round_trip: None,
            lingering: VecDeque::new(),
            linger_sweep: None,
            aborting: VecDeque::new(),
            half_closes: false,
            new_deadline: false,
            abandoned: false,
            wakes: Vec::new(),
            small_wakes: 0,
        }
    }

    /// The peer is a stranger: it may send no more than what no side can forbid. Before the first
    /// stream.
    pub(super) fn hold_windows(&mut self) {
        self.window = INITIAL_WINDOW;
        self.stranger = Some(PoolShare::default());
    }

    /// The peer is a stranger no more: windows grow as they are used. What it opened before, its control
    /// stream, is read all the time, and may be ahead by the most at once.
    pub(super) fn admit(&mut self) {
        self.window = MAX_WINDOW;
        self.stranger = None;
        let most = self.most();
        let mut widened = Vec::new();
        for (id, stream) in &mut self.streams {
            stream.window = most;
            if !stream.is_over() && !stream.remote_fin && stream.unannounced(most) > 0 {
                stream.update_due = true;
                widened.push(*id);
            }
        }
        for id in widened {
            self.queue_control(id);
        }
    }

    pub(super) fn is_stranger(&self) -> bool {
        self.stranger.is_some()
    }

    /// What the peer may send ahead on one stream now: where too much is unread, no more than what
    /// yamux gives everybody.
    fn most(&self) -> u32 {
        match self.unread {
            0..MUX_UNREAD_BYTES => self.window,
            _ => INITIAL_WINDOW,
        }
    }

    /// See [`Mux::peer_half_closes`](super::Mux::peer_half_closes).
    pub(super) fn peer_half_closes(&mut self) {
        self.half_closes = true;
    }

    // --- the peer's bytes ---

    /// Takes all whole frames, and the received part of a data frame, off `buf`. An error ends the
    /// session.
    pub(super) fn receive(
        &mut self,
        buf: &mut BytesMut,
        origin: Origin,
        now: Duration,
    ) -> Result<(), CloseReason> {
        self.small_wakes = 0;
        self.heard += 1;
        loop {
            if self.body.remaining > 0 {
                if buf.is_empty() {
                    return Ok(());
                }
                self.receive_body(buf, origin);
                continue;
            }
            let Some(&bytes) = buf.first_chunk::<HEADER_LEN>() else {
                return Ok(());
            };
            buf.advance(HEADER_LEN);
            let header = Header::decode(bytes).map_err(|e| match e {
                HeaderError::Version(v) => ProtocolError::Version(v),
                HeaderError::Kind(k) => ProtocolError::Kind(k),
            })?;
            self.count_stranger(&header)?;
            match header.kind {
                Kind::Data | Kind::WindowUpdate => self.receive_stream_frame(header)?,
                Kind::Ping if header.has(SYN) => {
                    if self.pongs.len() == MAX_PONGS {
                        self.pongs.pop_front();
                    }
                    self.pongs.push_back(header.length);
                }
                Kind::Ping => self.receive_pong(header.length, now),
                Kind::GoAway if header.length == NORMAL => {
                    self.remote_go_away = true;
                    self.freed_opens = usize::MAX;
                }
                Kind::GoAway => return Err(CloseReason::GoAway(header.length)),
            }
        }
    }

    /// A stranger that goes on and on, by frames that are for nobody, too, ends its session.
    fn count_stranger(&mut self, header: &Header) -> Result<(), ProtocolError> {
        if self.stranger.is_none() {
            return Ok(());
        }
        let payload = match header.kind {
            Kind::Data => header.length as usize,
            Kind::WindowUpdate | Kind::Ping | Kind::GoAway => 0,
        };
        self.stranger_came = self.stranger_came.saturating_add(HEADER_LEN + payload);
        match self.stranger_came <= MUX_STRANGER_TOTAL {
            true => Ok(()),
            false => Err(ProtocolError::Talkative),
        }
    }

    fn receive_stream_frame(&mut self, header: Header) -> Result<(), ProtocolError> {
        let id = header.stream;
        if header.kind == Kind::Data {
            self.body = Body {
                stream: id,
                remaining: header.length as usize,
                keep: false,
                fin: false,
            };
        }
        if header.has(SYN) {
            self.receive_syn(id)?;
        }
        let stranger_room = match header.kind {
            Kind::Data => self.stranger_room(header.length),
            Kind::WindowUpdate | Kind::Ping | Kind::GoAway => u32::MAX,
        };
        // Frames for streams that are gone are legal: they crossed our last one.
        let Some(stream) = self.streams.get_mut(&id).filter(|s| !s.is_over()) else {
            return Ok(());
        };
        if stream.unacked {
            // Any frame proves that the peer has the stream, with or without the ACK flag.
            stream.unacked = false;
            self.unacked -= 1;
            self.freed_opens = self.freed_opens.saturating_add(1);
        }
        if header.has(FIN) && stream.remote_fin {
            return Err(ProtocolError::SecondFin(id));
        }
        if header.has(RST) {
            self.receive_reset(id);
            return Ok(());
        }
        if header.kind == Kind::WindowUpdate {
            stream.send_window = stream.send_window.saturating_add(header.length);
            if stream.room(self.queued) > 0 {
                self.wakes.extend(stream.writer.take());
            }
        } else if header.length > 0 {
            let window = stream.recv_window.min(stranger_room);
            if header.length > window {
                return Err(ProtocolError::Window {
                    stream: id,
                    length: header.length,
                    window,
                });
            }
            stream.recv_window -= header.length;
            // Go can send data after its FIN when a write and a close race: nobody expects it.
            self.body.keep = !stream.dropped && !stream.remote_fin;
            self.body.fin = header.has(FIN);
            return Ok(());
        }
        if header.has(FIN) {
            self.receive_fin(id);
        }
        Ok(())
    }

    /// What a peer that is about to send `more` bytes may send before something is read.
    fn stranger_room(&mut self, more: u32) -> u32 {
        let Some(share) = &mut self.stranger else {
            return u32::MAX;
        };
        let held = self.unread.saturating_add(more as usize);
        let most = match share.hold(held.min(MUX_STRANGER_BYTES), MUX_STRANGER_SHARE) {
            true => MUX_STRANGER_BYTES,
            false => MUX_STRANGER_SHARE,
        };
        u32::try_from(most.saturating_sub(self.unread)).unwrap_or(u32::MAX)
    }

    fn receive_syn(&mut self, id: u32) -> Result<(), ProtocolError> {
        let remote_parity = match self.role {
            Role::Client => 0,
            Role::Server => 1,
        };
        if id == 0 || id % 2 != remote_parity {
            return Err(ProtocolError::StreamId(id));
        }
        if self.streams.contains_key(&id) {
            return Err(ProtocolError::DuplicateStream(id));
        }
        if self.refusing || self.backlog.len() >= BACKLOG {
            if self.refusals >= MAX_REFUSALS {
                return Err(ProtocolError::Flood);
            }
            self.refusals += 1;
            self.resets.push_back(id);
            return Ok(());
        }
        self.streams.insert(
            id,
            Box::new(Stream {
                unaccepted: true,
                ..Stream::new()
            }),
        );
        self.backlog.push_back(id);
        self.wakes.extend(self.acceptor.take());
        Ok(())
    }

    fn receive_fin(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.remote_fin = true;
        self.wakes.extend(stream.reader.take());
        self.remove_if_done(id);
    }

    fn receive_reset(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.reset = true;
        self.queued -= std::mem::take(&mut stream.queued);
        stream.outbox = VecDeque::new();
        self.wakes.extend(stream.reader.take());
        self.wakes.extend(stream.writer.take());
        if stream.unaccepted {
            stream.dropped = true;
            self.backlog.retain(|&waiting| waiting != id);
        }
        self.remove_if_done(id);
    }

    fn receive_body(&mut self, buf: &mut BytesMut, origin: Origin) {
        let n = self.body.remaining.min(buf.len());
        self.body.remaining -= n;
        let id = self.body.stream;
        match self
            .streams
            .get_mut(&id)
            .filter(|s| self.body.keep && !s.dropped)
        {
            Some(stream) => {
                self.unread += n;
                stream.inbox.push(buf, n, origin);
                let is_small = stream.inbox.len() <= SMALL;
                if let Some(reader) = stream.reader.take() {
                    self.wakes.push(reader);
                    if is_small {
                        let last = self.wakes.len() - 1;
                        self.wakes.swap(self.small_wakes.min(last), last);
                        self.small_wakes += 1;
                    }
                }
            }
            None => buf.advance(n),
        }
        if self.body.remaining == 0 && self.body.fin {
            self.receive_fin(id);
        }
    }

    /// How often [`receive`](Self::receive) was called.
    pub(super) fn heard(&self) -> u64 {
        self.heard
    }

    /// From a ping to its answer, the last time that there was one.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    fn receive_pong(&mut self, answered: u32, now: Duration) {
        let Ping::Waiting { id, sent, .. } = self.ping else {
            return;
        };
        if id == answered {
            self.round_trip = Some(now.saturating_sub(sent));
            self.ping = Ping::Resting {
                until: now + self.keepalive.unwrap_or_default(),
            };
        }
    }

    // --- the applications ---

    /// Opens a stream; its SYN goes out with the next batch.
    pub(super) fn open(&mut self, now: Duration) -> Result<u32, OpenError> {
        if self.remote_go_away {
            return Err(OpenError::GoAway);
        }
        if self.unacked >= BACKLOG {
            return Err(OpenError::Full);
        }
        let id = self.next_id;
        self.next_id = id.checked_add(2).ok_or(OpenError::Exhausted)?;
        let stream = Stream {
            hello: SYN,
            unacked: true,
            ..Stream::new()
        };
        self.streams.insert(id, Box::new(stream));
        self.unacked += 1;
        self.new_deadline |= self.opened.is_empty();
        if self.opened.len() >= 2 * BACKLOG {
            let streams = &self.streams;
            self.opened
                .retain(|(_, id)| streams.get(id).is_some_and(|s| s.unacked));
        }
        self.opened.push_back((now, id));
        self.queue_control(id);
        Ok(id)
    }

    /// Opens that may be tried again since the last call; `usize::MAX` for all.
    pub(super) fn take_freed_opens(&mut self) -> usize {
        std::mem::take(&mut self.freed_opens)
    }

    /// The next stream of the peer; its ACK goes out with the next batch.
    pub(super) fn poll_accept(&mut self, cx: &Context<'_>) -> Poll<u32> {
        let Some(id) = self.backlog.pop_front() else {
            store(&mut self.acceptor, cx);
            return Poll::Pending;
        };
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.unaccepted = false;
            stream.hello = ACK;
        }
        self.queue_control(id);
        Poll::Ready(id)
    }

    /// Resets what waits for an accept and everything that comes.
    pub(super) fn refuse(&mut self) {
        self.refusing = true;
        for id in std::mem::take(&mut self.backlog) {
            self.streams.remove(&id);
            self.resets.push_back(id);
        }
    }

    /// The next chunk in order. What was taken before has been used, but for `kept` bytes at most; that is
    /// what gives the peer the right to send more.
    pub(super) fn poll_read(&mut self, id: u32, cx: &Context<'_>, kept: usize) -> Poll<Received> {
        let most = self.most();
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(Received::Reset);
        };
        let half = stream.window.min(most) / 2;
        stream.settle(kept, most);
        let is_due = !stream.remote_fin && !stream.reset && stream.unannounced(most) >= half;
        let chunk = stream.inbox.pop();
        if is_due {
            stream.update_due = true;
            self.queue_control(id);
        }
        if let Some(chunk) = chunk {
            self.unread -= chunk.len();
            return Poll::Ready(Received::Chunk(chunk));
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(Received::Reset);
        };
        if stream.remote_fin {
            return Poll::Ready(Received::End);
        }
        if stream.reset {
            return Poll::Ready(Received::Reset);
        }
        store(&mut stream.reader, cx);
        Poll::Pending
    }

    /// Ends our direction after the queued data. Further calls do nothing.
    pub(super) fn finish(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.fin_due || stream.fin_sent || stream.reset {
            return;
        }
        stream.fin_due = true;
        if stream.outbox.is_empty() {
            self.queue_control(id);
        }
    }

    /// Kills the stream in both directions and forgets it.
    pub(super) fn reset(&mut self, id: u32) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        if !stream.is_over() && stream.hello != SYN {
            self.resets.push_back(id);
        }
        self.remove(id);
    }

    /// The application's handle is gone, and the peer is to know that this was no end: what is
    /// queued goes out, and the stream is reset [`ABORT_GRACE`] later, or at once where the peer
    /// half-closes.
    pub(super) fn abort(&mut self, id: u32, now: Duration) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if !stream.has_sent {
            return self.reset(id);
        }
        self.unread -= stream.inbox.len();
        stream.drop_handle();
        if self.remove_if_done(id) {
            return;
        }
        if self.half_closes {
            return self.reset_behind(id);
        }
        self.new_deadline |= self.aborting.is_empty();
        self.aborting.push_back((now + ABORT_GRACE, id));
    }

    /// The application's handle is gone: ends our direction and discards what still comes.
    pub(super) fn release(&mut self, id: u32, now: Duration) {
        self.finish(id);
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        self.unread -= stream.inbox.len();
        stream.drop_handle();
        let peer_has_ended = stream.remote_fin;
        if self.remove_if_done(id) {
            return;
        }
        if self.half_closes && !peer_has_ended {
            return self.reset_behind(id);
        }
        if self.lingering.len() >= MAX_LINGERING {
            self.trim_lingering();
        }
        self.lingering.push_back((now, id));
        if self.linger_sweep.is_none() {
            self.linger_sweep = Some(now + LINGER);
            self.new_deadline = true;
        }
    }

    /// Resets a stream once what it has queued is sent, and its end, if that is due.
    fn reset_behind(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.reset_due = true;
        if stream.outbox.is_empty() {
            self.queue_control(id);
        }
    }

    /// No handle of the session is left: it ends with its last stream.
    pub(super) fn abandon(&mut self) {
        self.abandoned = true;
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned
            && self.streams.is_empty()
            && self.control.is_empty()
            && self.resets.is_empty()
    }

    /// Wakes everyone: the session is over.
    pub(super) fn wake_all(&mut self) {
        for stream in self.streams.values_mut() {
            self.wakes.extend(stream.reader.take());
            self.wakes.extend(stream.writer.take());
        }
        self.wakes.extend(self.acceptor.take());
        self.freed_opens = usize::MAX;
    }

    // --- bookkeeping ---

    fn queue_control(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.in_control
        {
            stream.in_control = true;
            self.control.push_back(id);
        }
    }

    /// Forgets a stream that neither the wire nor an application knows any more.
    fn remove_if_done(&mut self, id: u32) -> bool {
        let done = self
            .streams
            .get(&id)
            .is_some_and(|s| s.dropped && s.is_over());
        if done {
            self.remove(id);
        }
        done
    }

    #[cfg(test)]
    pub(super) fn set_next_id(&mut self, id: u32) {
        self.next_id = id;
    }

    #[cfg(test)]
    pub(super) fn stream_size() -> usize {
        size_of::<Stream>()
    }

    fn remove(&mut self, id: u32) {
        let Some(stream) = self.streams.remove(&id) else {
            return;
        };
        self.queued -= stream.queued;
        self.unread -= stream.inbox.len();
        if stream.unacked {
            self.unacked -= 1;
            self.freed_opens = self.freed_opens.saturating_add(1);
        }
    }
}

fn store(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if !slot
        .as_ref()
        .is_some_and(|waker| waker.will_wake(cx.waker()))
    {
        *slot = Some(cx.waker().clone());
    }
}
