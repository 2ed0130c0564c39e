//! Moves datagrams between sockets and a stream.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use super::{Ends, Incoming, Losses, Outgoing};
use crate::limits::{UDP_PING, UDP_SILENCE};
use crate::msg_stream::RecvError;
use crate::relay::Traffic;

/// Rounds of moving before other tasks have their turn.
const ROUNDS: usize = 8;

/// What this side does for the other to know that it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// The proxy's side: a Ping every 30 s.
    Send,
    /// The users' side: the stream is given up after 60 s without a byte.
    Expect,
}

/// Why a stream carries no more datagrams.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// Reading failed, or the peer closed.
    #[error("{0}")]
    Recv(#[from] RecvError),
    /// Writing failed.
    #[error("{0}")]
    Write(io::Error),
}

/// Carries datagrams between `ends` and `stream` until the stream ends, and says why it did. `out`
/// may hold datagrams already. Bytes from `ends` are counted as near to far.
pub async fn carry<E: Ends, S: AsyncRead + AsyncWrite + Unpin>(
    ends: &mut E,
    mut stream: S,
    out: &mut Outgoing,
    heartbeat: Heartbeat,
    traffic: &Traffic,
    losses: &mut Losses,
) -> CarryError {
    let mut incoming = Incoming::default();
    let mut heard = Instant::now();
    let mut alarm = pin!(sleep_until(match heartbeat {
        Heartbeat::Send => heard + UDP_PING,
        Heartbeat::Expect => heard + UDP_SILENCE,
    }));
    poll_fn(|cx| {
        for _ in 0..ROUNDS {
            let mut moved = ends.poll_receive(cx, out, losses).is_ready();
            traffic.add_near_to_far(out.take_count());
            if let Poll::Ready(Err(e)) = out.poll_write(cx, &mut stream) {
                return Poll::Ready(CarryError::Write(e));
            }
            if incoming.is_empty()
                && let Poll::Ready(read) = incoming.poll_read(cx, &mut stream, out.protocol())
            {
                if let Err(e) = read {
                    return Poll::Ready(e.into());
                }
                heard = Instant::now();
                moved = true;
                traffic.add_far_to_near(incoming.bytes());
            }
            // What was delivered makes room to read more.
            moved |=
                !incoming.is_empty() && ends.poll_deliver(cx, &mut incoming, losses).is_ready();
            ends.poll_upkeep(cx);
            if alarm.as_mut().poll(cx).is_ready() {
                let now = Instant::now();
                incoming.shrink();
                alarm.as_mut().reset(match heartbeat {
                    Heartbeat::Send => {
                        out.ping();
                        now + UDP_PING
                    }
                    Heartbeat::Expect if now - heard >= UDP_SILENCE => {
                        return Poll::Ready(RecvError::TimedOut.into());
                    }
                    Heartbeat::Expect => heard + UDP_SILENCE,
                });
                moved = true;
            }
            losses.say();
            if !moved {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Waits for `future`; datagrams that come meanwhile wait in `out`.
pub async fn meanwhile<E: Ends, F: Future>(
    ends: &mut E,
    out: &mut Outgoing,
    losses: &mut Losses,
    future: F,
) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        for _ in 0..ROUNDS {
            let received = ends.poll_receive(cx, out, losses);
            losses.say();
            if received.is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Waits until `out` has something.
pub async fn wait_for_datagram<E: Ends>(ends: &mut E, out: &mut Outgoing, losses: &mut Losses) {
    poll_fn(|cx| {
        while out.is_empty() {
            ready!(ends.poll_receive(cx, out, losses));
            losses.say();
        }
        Poll::Ready(())
    })
    .await
}
