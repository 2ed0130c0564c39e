//! Moves datagrams between sockets and a stream.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Poll, ready};

use frp_net::turn;
use frp_proto::wire::WireProtocol;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tracing::Span;

use super::ends::{Ends, Heartbeat};
use super::incoming::Incoming;
use super::losses::Losses;
use super::outgoing::Outgoing;
use crate::limits::{UDP_PING, UDP_SILENCE};
use crate::msg_stream::RecvError;
use crate::relay::Traffic;

/// Rounds of moving before other tasks have their turn.
const ROUNDS: usize = 8;

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

/// The sockets at one end of a stream, and the datagrams that wait for the stream: at most 1,024 of
/// them. Both outlive a stream, and the next one takes what is left.
#[derive(Debug)]
pub struct Datagrams<E> {
    ends: E,
    out: Outgoing,
    losses: Losses,
}

impl<E: Ends> Datagrams<E> {
    /// None yet. `span` has what is said of those that are dropped.
    pub fn new(ends: E, span: Span) -> Self {
        Self {
            ends,
            // The stream knows the framing; this one holds the longest.
            out: Outgoing::new(WireProtocol::V2),
            losses: Losses::new(span),
        }
    }

    /// Waits until there is one.
    pub async fn wait(&mut self) {
        let Self { ends, out, losses } = self;
        poll_fn(|cx| {
            while out.is_empty() {
                ready!(ends.poll_receive(cx, out, losses));
                losses.say();
            }
            Poll::Ready(())
        })
        .await
    }

    /// Waits for `future`; those that come meanwhile wait for the stream.
    pub async fn meanwhile<F: Future>(&mut self, future: F) -> F::Output {
        let Self { ends, out, losses } = self;
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
            turn::give_way(cx);
            Poll::Pending
        })
        .await
    }

    /// Drops those that wait for the stream.
    pub fn clear(&mut self) {
        self.out.clear();
    }

    /// Carries datagrams between the sockets and `stream` until that ends, and says why it did. Bytes
    /// from the sockets are counted as near to far.
    pub async fn carry<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        mut stream: S,
        protocol: WireProtocol,
        traffic: &Traffic,
    ) -> CarryError {
        let Self { ends, out, losses } = self;
        out.begin_stream(protocol, losses);
        let mut incoming = Incoming::default();
        let mut heard = Instant::now();
        let mut alarm = pin!(sleep_until(match E::HEARTBEAT {
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
                    alarm.as_mut().reset(match E::HEARTBEAT {
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
            turn::give_way(cx);
            Poll::Pending
        })
        .await
    }
}
