//! Carries bytes between a user's connection and the stream that stands for it, both ways.
//!
//! # How bytes move
//!
//! One future polls both directions; each direction picks its path from the two ends it has:
//!
//! | from → to | path |
//! |---|---|
//! | TCP → TCP | read into per-thread memory, write from it; once reads come in bulk, `splice(2)` through a pooled pipe (Linux) |
//! | TCP → mux | read into a buffer that then becomes the frame's body: no copy |
//! | mux → any | the received chunks themselves, several to one vectored write |
//! | all else (TLS, layers) | read into per-thread memory, write from it |
//!
//! No path owns a buffer or a pipe while it has nothing to write.
//!
//! # How it ends
//!
//! * End of input on one side is passed on as end of output on the other, after all data; the
//!   opposite direction goes on. Both ended: done.
//! * From a program of frp's protocol that does not say that it ends one direction at a time
//!   ([`Carried::of_peer`]) it is the end of both: what came before is delivered, then both sides are
//!   let go. Go's frp closes both at its first end, and its mux says no more than this by it; whoever
//!   went on would carry the rest of a download to nobody for as long as the window lasts, and hold
//!   the service's connection for ever.
//! * A side that fails to *read* has failed as a whole, and the other side is told so, after all that
//!   was read before: a server that answers and closes with input unread is reset by its system
//!   right behind the answer. A mux stream is reset a second after its last data; a TCP connection
//!   once its peer has acknowledged all that was written; TLS is cut off without its closing record.
//! * Whoever is reset while the other side takes nothing is not read from, and so is looked for
//!   ([`LOOK_EVERY`]). Where it is the user, nobody waits for the answer: the service is let go once
//!   nothing has moved for [`ABANDONED_PATIENCE`], which may have been before. What a service had sent
//!   before its reset the user has longer to take, as below.
//! * A side that fails to *write* may still hold data that its peer sent before it closed, so the
//!   opposite direction is carried to its end, provided that it makes progress every
//!   [`DELIVERY_PATIENCE`]. frp written in Go closes both directions at its first end of input;
//!   this is what makes that lose nothing. If the failed side then ends cleanly, so do we. Without
//!   more to read from a near side that cannot be written to, the far side is dropped at once,
//!   which ends an abandoned download.
//! * A half-closed pair may be idle for [`HALF_CLOSED_PATIENCE`], then both sides are closed: the
//!   peer that is gone for good and the peer that has only ended its output look the same, and a
//!   user's connection pool may keep the dead half for days. One that is known to be gone ends the
//!   pair: because it reads no more, as streams of the mux, of QUIC and of kcp say at once, or
//!   because its TCP connection was reset, which is looked for every [`LOOK_EVERY`]. So does one that
//!   does not acknowledge the end that was passed on to it
//!   ([`END_UNANSWERED`](crate::limits::END_UNANSWERED)).
//!
//! Nothing else here is bounded in time: idle connections live as long as both ends want, and the
//! caller drops the future to cut a connection short.

mod endpoint;
#[cfg(target_os = "linux")]
mod pipe;
mod pump;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep};

use self::endpoint::Endpoint;
use self::pump::{Outcome, Phase, Pump};
use crate::layers::Carried;
use frp_net::below::unacknowledged;
use frp_net::cut::Cut;
use frp_net::listen::limit_unsent;

/// How long a pair with one direction ended may be without a byte in the other; as long as frp's
/// mux keeps a half-closed stream.
pub const HALF_CLOSED_PATIENCE: Duration = Duration::from_secs(300);

/// How long the delivery of what a broken side had sent may be without progress.
pub const DELIVERY_PATIENCE: Duration = Duration::from_secs(30);

/// How long what a user that was reset had sent may be without progress: nobody waits for the answer.
/// What a service had sent is delivered as long as [`DELIVERY_PATIENCE`] allows.
const ABANDONED_PATIENCE: Duration = Duration::from_secs(1);

/// A peer that has ended its output, or whose bytes nobody takes, and that is reset later wakes nobody:
/// it is not read from. So it is looked for this often.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long to wait for a peer to acknowledge more of what was written before its connection is cut.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// The same for one that has not even acknowledged the first byte.
const UNHEARD_PATIENCE: Duration = Duration::from_secs(2);

/// Bytes carried, readable while relays run; one value may serve all connections of a proxy.
#[derive(Debug, Default)]
pub struct Traffic {
    near_to_far: AtomicU64,
    far_to_near: AtomicU64,
}

impl Traffic {
    /// Bytes written to the far side.
    pub fn near_to_far(&self) -> u64 {
        self.near_to_far.load(Ordering::Relaxed)
    }

    /// Bytes written to the near side.
    pub fn far_to_near(&self) -> u64 {
        self.far_to_near.load(Ordering::Relaxed)
    }

    /// Counts bytes that were written to the far side without a relay.
    pub fn add_near_to_far(&self, bytes: usize) {
        self.near_to_far.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes that came from the far side without a relay.
    pub fn add_far_to_near(&self, bytes: usize) {
        self.far_to_near.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Where bytes are counted: for all connections of a proxy, and perhaps for the one.
#[derive(Debug, Clone, Copy)]
pub struct Tally<'a> {
    /// Of all.
    pub all: &'a Traffic,
    /// Of the one. Nobody else adds to it.
    pub own: Option<&'a Traffic>,
}

impl<'a> From<&'a Traffic> for Tally<'a> {
    fn from(all: &'a Traffic) -> Self {
        Self { all, own: None }
    }
}

impl<'a> From<&'a Arc<Traffic>> for Tally<'a> {
    fn from(all: &'a Arc<Traffic>) -> Self {
        Self::from(&**all)
    }
}

impl Tally<'_> {
    /// Counts bytes that were written to the far side.
    pub fn add_near_to_far(&self, bytes: usize) {
        self.each(|traffic| traffic.add_near_to_far(bytes));
    }

    /// Counts bytes that came from the far side.
    pub fn add_far_to_near(&self, bytes: usize) {
        self.each(|traffic| traffic.add_far_to_near(bytes));
    }

    fn near_to_far(&self) -> Counts<'_> {
        let own = self.own.map(|own| &own.near_to_far);
        (&self.all.near_to_far, own)
    }

    fn far_to_near(&self) -> Counts<'_> {
        let own = self.own.map(|own| &own.far_to_near);
        (&self.all.far_to_near, own)
    }

    fn each(&self, add: impl Fn(&Traffic)) {
        add(self.all);
        self.own.into_iter().for_each(add);
    }
}

/// One direction of a [`Tally`].
type Counts<'a> = (&'a AtomicU64, Option<&'a AtomicU64>);

/// What one relay has carried, and why it ended.
#[derive(Debug)]
pub struct Relayed {
    /// Bytes written to the far side.
    pub near_to_far: u64,
    /// Bytes written to the near side.
    pub far_to_near: u64,
    /// Which side ended first, if one has: the near one.
    pub near_first: Option<bool>,
    /// `Ok` if both sides ended and everything was delivered.
    pub end: Result<(), RelayError>,
}

/// The bytes each way, and why it ended if not cleanly.
impl fmt::Display for Relayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            near_to_far,
            far_to_near,
            end,
            ..
        } = self;
        write!(
            f,
            "{near_to_far} bytes to the tunnel, {far_to_near} bytes from it"
        )?;
        match end {
            Ok(()) => Ok(()),
            Err(error) => write!(f, ", {error}"),
        }
    }
}

/// Why a relay ended before both sides had.
#[derive(Debug, Error)]
pub enum RelayError {
    /// Reading from or writing to the near side failed.
    #[error("user side of the connection failed: {0}")]
    Near(#[source] io::Error),
    /// Reading from or writing to the far side failed.
    #[error("tunnel side of the connection failed: {0}")]
    Far(#[source] io::Error),
    /// One side had ended and the other was silent for [`HALF_CLOSED_PATIENCE`].
    #[error("half-closed connection was idle for {} seconds", HALF_CLOSED_PATIENCE.as_secs())]
    HalfClosedIdle,
    /// One side had failed, and the other took nothing of what was left for [`DELIVERY_PATIENCE`].
    #[error(
        "what a failed side had sent could not be delivered for {} seconds",
        DELIVERY_PATIENCE.as_secs()
    )]
    NotDelivered,
}

/// Carries bytes between `near` (whoever connected, or the local service) and `far` (the tunnel)
/// until both have ended or one has failed; see the module documentation for the rules.
///
/// Dropping the future closes both.
pub fn relay<'a, N: Into<Carried>, T: Into<Tally<'a>>>(
    near: N,
    far: Carried,
    traffic: T,
) -> impl Future<Output = Relayed> + Send + use<'a, N, T> {
    join(near.into(), far, User::Near, traffic.into())
}

/// The same where `near` is the service, and the user at the other end of the tunnel.
pub fn serve<'a, N: Into<Carried>, T: Into<Tally<'a>>>(
    near: N,
    far: Carried,
    traffic: T,
) -> impl Future<Output = Relayed> + Send + use<'a, N, T> {
    join(near.into(), far, User::Far, traffic.into())
}

fn join(near: Carried, far: Carried, user: User, traffic: Tally<'_>) -> Relay<'_> {
    let (near, from_near, near_half_closes) = Endpoint::of(near);
    if let Some(tcp) = near.socket() {
        limit_unsent(tcp);
    }
    let (far, from_far, far_half_closes) = Endpoint::of(far);
    Relay {
        near_half_closes,
        far_half_closes,
        near: Some(near),
        far: Some(far),
        up: Pump::new(from_near),
        down: Pump::new(from_far),
        traffic,
        write_error: None,
        user,
        near_first: None,
        near_reset: false,
        far_reset: false,
        watch: None,
        farewell: None,
    }
}

/// Which side whoever connected is at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum User {
    Near,
    Far,
}

struct Relay<'a> {
    /// Both are there until the relay is over.
    near: Option<Endpoint>,
    far: Option<Endpoint>,
    near_half_closes: bool,
    far_half_closes: bool,
    /// Near to far.
    up: Pump,
    /// Far to near.
    down: Pump,
    traffic: Tally<'a>,
    /// Why the first of the two directions that died did.
    write_error: Option<RelayError>,
    user: User,
    /// Which side ended first: the near one.
    near_first: Option<bool>,
    /// A side was seen to be reset by a write.
    near_reset: bool,
    far_reset: bool,
    watch: Option<Box<Watch>>,
    /// Waits for the moment to let go of one side, then gives the result.
    farewell: Option<Box<Farewell>>,
}

/// Looks after a pair that is half over, or in which a direction does not move.
struct Watch {
    sleep: Pin<Box<Sleep>>,
    /// Bytes moved at the last look, and since when there were no more.
    moved: u64,
    still: Instant,
    /// How long there may be no more, and since when that counts.
    patience: Option<Duration>,
    from: Instant,
}

struct Farewell {
    /// There until it is let go.
    side: Option<Endpoint>,
    reset: bool,
    sleep: Pin<Box<Sleep>>,
    give_up: Instant,
    /// Bytes that were not acknowledged at the last look.
    left: Option<usize>,
    /// Until the next look.
    wait: Duration,
    result: Option<Relayed>,
}

/// How one side is let go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leave {
    Close,
    Reset,
    /// Not before the peer has all that was written to it: the system turns the close of a
    /// connection with unread input into a reset, and a reset discards what is on its way. A mux
    /// does the same by itself.
    CloseDelivered,
    ResetDelivered,
}

impl Future for Relay<'_> {
    type Output = Relayed;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Relayed> {
        let this = self.get_mut();
        if this.farewell.is_none() {
            let (end, near, far) = ready!(this.poll_carry(cx));
            if let Some(result) = this.leave(end, near, far) {
                return Poll::Ready(result);
            }
        }
        let Some(farewell) = &mut this.farewell else {
            return Poll::Pending;
        };
        farewell.poll(cx)
    }
}

impl Relay<'_> {
    /// Runs both directions until the relay is over, then tells why and how to leave each side.
    fn poll_carry(&mut self, cx: &mut Context<'_>) -> Poll<(Result<(), RelayError>, Leave, Leave)> {
        let (Some(near), Some(far)) = (&mut self.near, &mut self.far) else {
            return Poll::Pending;
        };
        if self.up.is_running()
            && let Poll::Ready(outcome) = self.up.poll(cx, near, far, self.traffic.near_to_far())
        {
            match outcome {
                Outcome::Ended => drop(self.near_first.get_or_insert(true)),
                Outcome::ReadFailed(e) => {
                    let leave = Leave::ResetDelivered;
                    return Poll::Ready((Err(RelayError::Near(e)), Leave::Close, leave));
                }
                Outcome::WriteFailed(e) => {
                    self.far_reset = is_reset(&e);
                    self.write_error.get_or_insert(RelayError::Far(e));
                }
            }
        }
        if self.down.is_running()
            && let Poll::Ready(outcome) = self.down.poll(cx, far, near, self.traffic.far_to_near())
        {
            match outcome {
                Outcome::Ended => drop(self.near_first.get_or_insert(false)),
                Outcome::ReadFailed(e) => {
                    let leave = Leave::ResetDelivered;
                    return Poll::Ready((Err(RelayError::Far(e)), leave, Leave::Close));
                }
                Outcome::WriteFailed(e) => {
                    self.near_reset = is_reset(&e);
                    self.write_error.get_or_insert(RelayError::Near(e));
                }
            }
        }
        let mut error = self.write_error.take();
        let over = match (self.up.phase(), self.down.phase()) {
            (Phase::Ended, Phase::Ended) => (Ok(()), Leave::Close, Leave::Close),
            // The end of both, and delivered.
            (Phase::Ended, _) if !self.near_half_closes => {
                (Ok(()), Leave::Close, Leave::CloseDelivered)
            }
            (_, Phase::Ended) if !self.far_half_closes => {
                (Ok(()), Leave::CloseDelivered, Leave::Close)
            }
            // The far side refused data, and then ended what it had to say.
            (Phase::Dead, Phase::Ended) => (Ok(()), Leave::CloseDelivered, Leave::Close),
            // The same the other way round: the near side closed behind its answer.
            (Phase::Ended, Phase::Dead) => {
                let end = error.map_or(Ok(()), Err);
                (end, Leave::Close, Leave::CloseDelivered)
            }
            (Phase::Dead, Phase::Dead) => (error.map_or(Ok(()), Err), Leave::Close, Leave::Reset),
            (Phase::Ended, _) if reads_no_more(near.poll_cut(cx)) => {
                let why = RelayError::Near(io::ErrorKind::ConnectionReset.into());
                (Err(why), Leave::Close, Leave::ResetDelivered)
            }
            (_, Phase::Ended) if reads_no_more(far.poll_cut(cx)) => {
                let why = RelayError::Far(io::ErrorKind::ConnectionReset.into());
                (Err(why), Leave::ResetDelivered, Leave::Close)
            }
            (up, down) => {
                let patience = match (up, down) {
                    (Phase::Dead | Phase::Failing, _) | (_, Phase::Dead | Phase::Failing) => {
                        Some(DELIVERY_PATIENCE)
                    }
                    (Phase::Ended, _) | (_, Phase::Ended) => Some(HALF_CLOSED_PATIENCE),
                    _ => None,
                };
                let stalled = (self.up.is_stalled(), self.down.is_stalled());
                if patience.is_none() && stalled == (false, false) {
                    // It stays for the next time, which may be the next poll.
                    self.watch.take_if(|watch| watch.sleep.is_elapsed());
                    return Poll::Pending;
                }
                let moved = self.up.moved() + self.down.moved();
                let watch = self.watch.get_or_insert_with(|| Watch::new(moved));
                loop {
                    let look = watch.poll(cx, patience, moved);
                    let still = watch.still(moved);
                    if stalled.0 && still >= ABANDONED_PATIENCE {
                        let left = match self.near_reset {
                            true => Poll::Ready(Cut::Reset),
                            false => near.poll_left(cx),
                        };
                        let most =
                            patience_with(left, self.user == User::Near, self.near_half_closes);
                        if most.is_some_and(|most| still >= most) {
                            let why = RelayError::Near(io::ErrorKind::ConnectionReset.into());
                            return Poll::Ready((Err(why), Leave::Close, Leave::Reset));
                        }
                    }
                    if stalled.1 && still >= ABANDONED_PATIENCE {
                        let left = match self.far_reset {
                            true => Poll::Ready(Cut::Reset),
                            false => far.poll_left(cx),
                        };
                        let most =
                            patience_with(left, self.user == User::Far, self.far_half_closes);
                        if most.is_some_and(|most| still >= most) {
                            let why = RelayError::Far(io::ErrorKind::ConnectionReset.into());
                            return Poll::Ready((Err(why), Leave::Reset, Leave::Close));
                        }
                    }
                    match look {
                        Poll::Pending => {
                            self.write_error = error;
                            return Poll::Pending;
                        }
                        Poll::Ready(Look::Again) if up == Phase::Ended && near.is_gone() => {
                            let why = RelayError::Near(io::ErrorKind::ConnectionReset.into());
                            return Poll::Ready((Err(why), Leave::Close, Leave::ResetDelivered));
                        }
                        Poll::Ready(Look::Again) if down == Phase::Ended && far.is_gone() => {
                            let why = RelayError::Far(io::ErrorKind::ConnectionReset.into());
                            return Poll::Ready((Err(why), Leave::ResetDelivered, Leave::Close));
                        }
                        Poll::Ready(Look::Again)
                            if up == Phase::Ended
                                && far.is_unanswered(self.up.moved(), self.down.moved()) =>
                        {
                            let why = RelayError::Far(io::ErrorKind::TimedOut.into());
                            return Poll::Ready((Err(why), Leave::Reset, Leave::Reset));
                        }
                        Poll::Ready(Look::Again)
                            if down == Phase::Ended
                                && near.is_unanswered(self.down.moved(), self.up.moved()) =>
                        {
                            let why = RelayError::Near(io::ErrorKind::TimedOut.into());
                            return Poll::Ready((Err(why), Leave::Reset, Leave::Reset));
                        }
                        Poll::Ready(Look::Again) => {}
                        Poll::Ready(Look::NoMore) => break,
                    }
                }
                let leave = if error.is_some() {
                    Leave::Reset
                } else {
                    Leave::Close
                };
                let why = if patience == Some(DELIVERY_PATIENCE) {
                    RelayError::NotDelivered
                } else {
                    RelayError::HalfClosedIdle
                };
                (Err(error.take().unwrap_or(why)), leave, leave)
            }
        };
        Poll::Ready(over)
    }

    /// Lets go of both sides. `None` if one of them has to wait for its peer.
    fn leave(
        &mut self,
        end: Result<(), RelayError>,
        near_leave: Leave,
        far_leave: Leave,
    ) -> Option<Relayed> {
        let result = Relayed {
            near_to_far: self.up.moved(),
            far_to_near: self.down.moved(),
            near_first: self.near_first,
            end,
        };
        let (up, down) = (self.up.moved(), self.down.moved());
        let sides = [
            (self.far.take(), far_leave, (up, down)),
            (self.near.take(), near_leave, (down, up)),
        ];
        // At most one side is left with patience: the one whose opposite has failed.
        let mut patient = None;
        for (end, leave, (written, read)) in sides {
            let Some(end) = end else { continue };
            match leave {
                Leave::CloseDelivered | Leave::ResetDelivered if end.socket().is_some() => {
                    let wait = match end.is_unheard(written, read) {
                        true => UNHEARD_PATIENCE,
                        false => DRAIN_PATIENCE,
                    };
                    patient = Some((end, leave == Leave::ResetDelivered, wait));
                }
                Leave::Reset | Leave::ResetDelivered => end.abort(),
                // Its end was passed on before, and a peer that goes on sending is told by the drop.
                Leave::CloseDelivered | Leave::Close => {}
            }
        }
        let Some((side, reset, wait)) = patient else {
            return Some(result);
        };
        self.farewell = Some(Box::new(Farewell::new(side, reset, wait, result)));
        None
    }
}

/// What is to be done by whoever watches.
enum Look {
    /// See whether the sides are there at all.
    Again,
    NoMore,
}

impl Watch {
    fn new(moved: u64) -> Box<Self> {
        let now = Instant::now();
        Box::new(Self {
            sleep: Box::pin(sleep(LOOK_EVERY)),
            moved,
            still: now,
            patience: None,
            from: now,
        })
    }

    /// Ready every [`LOOK_EVERY`], and when nothing moved for `patience`.
    fn poll(&mut self, cx: &mut Context<'_>, patience: Option<Duration>, moved: u64) -> Poll<Look> {
        if self.patience != patience {
            self.patience = patience;
            self.from = Instant::now();
        }
        ready!(self.sleep.as_mut().poll(cx));
        let now = Instant::now();
        if self.moved != moved {
            self.moved = moved;
            self.still = now;
            self.from = now;
        }
        if patience.is_some_and(|patience| now >= self.from + patience) {
            return Poll::Ready(Look::NoMore);
        }
        self.sleep.as_mut().reset(now + LOOK_EVERY);
        Poll::Ready(Look::Again)
    }

    /// How long nothing has moved, as far as was looked.
    fn still(&self, moved: u64) -> Duration {
        match self.moved == moved {
            true => self.still.elapsed(),
            false => Duration::ZERO,
        }
    }
}

/// A peer that ends one direction at a time may read on.
fn reads_no_more(cut: Poll<Cut>) -> bool {
    matches!(cut, Poll::Ready(Cut::Reset | Cut::ReadsNoMore))
}

/// How long what a side that has left had sent may be without progress.
fn patience_with(left: Poll<Cut>, is_user: bool, half_closes: bool) -> Option<Duration> {
    match left {
        Poll::Ready(Cut::Reset) if is_user => Some(ABANDONED_PATIENCE),
        Poll::Ready(Cut::Reset | Cut::ReadsNoMore) => Some(DELIVERY_PATIENCE),
        // It may have ended, and left, what the other side takes its time for.
        Poll::Ready(Cut::Ended) if !half_closes => Some(HALF_CLOSED_PATIENCE),
        Poll::Ready(Cut::Ended) | Poll::Pending => None,
    }
}

/// Whether a write failed because the peer has broken the stream off, or is not there any more. One that
/// only reads no more may have ended what it had to say.
fn is_reset(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, TimedOut};
    matches!(error.kind(), ConnectionReset | ConnectionAborted | TimedOut)
}

impl Farewell {
    const FIRST_WAIT: Duration = Duration::from_millis(5);
    const LAST_WAIT: Duration = Duration::from_millis(500);

    fn new(side: Endpoint, reset: bool, patience: Duration, result: Relayed) -> Self {
        let give_up = Instant::now() + patience;
        let sleep = Box::pin(sleep(Self::FIRST_WAIT));
        Self {
            side: Some(side),
            reset,
            sleep,
            give_up,
            left: None,
            wait: Self::FIRST_WAIT,
            result: Some(result),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Relayed> {
        loop {
            let now = Instant::now();
            let socket = self.side.as_ref().and_then(Endpoint::socket);
            let left = socket.map_or(0, unacknowledged);
            if self.left.replace(left).is_some_and(|before| left < before) {
                self.give_up = now + DRAIN_PATIENCE;
            }
            if left == 0 || now >= self.give_up {
                if let Some(side) = self.side.take()
                    && self.reset
                {
                    side.abort();
                }
                return self.result.take().map_or(Poll::Pending, Poll::Ready);
            }
            ready!(self.sleep.as_mut().poll(cx));
            self.wait = (self.wait * 2).min(Self::LAST_WAIT);
            self.sleep.as_mut().reset(now + self.wait);
        }
    }
}
