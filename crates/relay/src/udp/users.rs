//! The socket that users send to.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use frp_proto::msg::UdpAddr;
use frp_proto::wire::datagram::AddrText;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::ends::{Ends, Heartbeat, packet_limit};
use super::incoming::Incoming;
use super::losses::Losses;
use super::outgoing::Outgoing;
use super::socket::{BATCH, for_family, is_v6, try_send_all, would_block};
use frp_net::scratch::with_scratch;

/// Decides whose datagrams are taken.
pub trait Gate: fmt::Debug + Send {
    /// Whether a datagram is taken now. If not, the gate has kept it, or it is lost.
    fn admit(&mut self, from: SocketAddr, content: &[u8]) -> bool;

    /// A datagram of so many bytes went out to a user.
    fn delivered(&mut self, to: SocketAddr, bytes: usize);

    /// The next datagram that was kept and is taken now.
    fn poll_kept(&mut self, cx: &mut Context<'_>) -> Poll<(SocketAddr, Bytes)>;
}

/// When users of a socket sent last.
#[derive(Debug, Clone)]
pub struct Activity {
    start: Instant,
    /// Milliseconds behind `start`, and one; 0: nobody ever has.
    at: Arc<AtomicU64>,
}

impl Activity {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            at: Arc::default(),
        }
    }

    fn note(&self) {
        let at = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at.store(at.saturating_add(1), Ordering::Relaxed);
    }

    /// How long ago that was; `None` where nobody has sent anything.
    pub fn idle_for(&self) -> Option<Duration> {
        let at = self.at.load(Ordering::Relaxed).checked_sub(1)?;
        Some(
            self.start
                .elapsed()
                .saturating_sub(Duration::from_millis(at)),
        )
    }
}

/// A socket that any number of users send to and are answered from.
#[derive(Debug)]
pub struct Users {
    socket: UdpSocket,
    /// Without one, all are.
    gate: Option<Box<dyn Gate>>,
    activity: Activity,
    v6: bool,
    longest: usize,
    /// Who sent last: datagrams of one user come in a row.
    last: Option<(SocketAddr, AddrText)>,
}

impl Users {
    /// Datagrams of more than `udp_packet_size` bytes are dropped.
    pub fn new(socket: UdpSocket, udp_packet_size: i64) -> Self {
        Self {
            v6: is_v6(&socket),
            socket,
            gate: None,
            activity: Activity::new(),
            longest: packet_limit(udp_packet_size),
            last: None,
        }
    }

    /// The same behind a gate.
    #[must_use]
    pub fn behind(mut self, gate: Box<dyn Gate>) -> Self {
        self.gate = Some(gate);
        self
    }

    /// When they sent last, for as long as somebody wants to know.
    pub fn activity(&self) -> Activity {
        self.activity.clone()
    }

    fn receive(
        &mut self,
        content: &[u8],
        from: SocketAddr,
        out: &mut Outgoing,
        losses: &mut Losses,
    ) {
        if content.len() > self.longest {
            return losses.too_big(content.len());
        }
        let admitted = match &mut self.gate {
            Some(gate) => gate.admit(from, content),
            None => true,
        };
        if admitted {
            self.take(content, from, out, losses);
        }
    }

    fn take(&mut self, content: &[u8], from: SocketAddr, out: &mut Outgoing, losses: &mut Losses) {
        let known = self.last.take().filter(|(addr, _)| *addr == from);
        let (_, text) = self
            .last
            .insert(known.unwrap_or_else(|| (from, AddrText::from(&UdpAddr::from(from)))));
        out.push(content, text, losses);
    }

    /// Takes what is there; false if there was nothing.
    fn take_all(&mut self, out: &mut Outgoing, losses: &mut Losses) -> bool {
        with_scratch(|buf| {
            for n in 0..BATCH {
                match self.socket.try_recv_from(buf) {
                    Ok((len, from)) => {
                        self.receive(buf.get(..len).unwrap_or_default(), from, out, losses);
                    }
                    Err(e) if would_block(&e) => return n > 0,
                    // Some systems tell here that an earlier answer did not arrive.
                    Err(_) => {}
                }
            }
            true
        })
    }

    fn poll_socket(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outgoing,
        losses: &mut Losses,
    ) -> Poll<()> {
        while let Ok(()) = ready!(self.socket.poll_recv_ready(cx)) {
            if self.take_all(out, losses) {
                self.activity.note();
                return Poll::Ready(());
            }
        }
        Poll::Pending // The runtime shuts down.
    }
}

impl Ends for Users {
    const HEARTBEAT: Heartbeat = Heartbeat::Expect;

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outgoing,
        losses: &mut Losses,
    ) -> Poll<()> {
        let mut received = self.poll_socket(cx, out, losses);
        for _ in 0..BATCH {
            let Some(gate) = &mut self.gate else { break };
            let Poll::Ready((from, content)) = gate.poll_kept(cx) else {
                break;
            };
            self.take(&content, from, out, losses);
            received = Poll::Ready(());
        }
        received
    }

    fn poll_deliver(
        &mut self,
        cx: &mut Context<'_>,
        incoming: &mut Incoming,
        losses: &mut Losses,
    ) -> Poll<()> {
        while !incoming.is_empty() {
            let batch: Vec<_> = incoming
                .left()
                .map_while(|(remote, content)| {
                    let to = for_family(remote.socket_addr()?, self.v6);
                    Some((Some(to), content))
                })
                .take(BATCH)
                .collect();
            if batch.is_empty() {
                losses.unsendable(&"it is for nobody");
                incoming.done(1);
                continue;
            }
            match try_send_all(&self.socket, &batch) {
                Ok(n) => {
                    if let Some(gate) = &mut self.gate {
                        for (to, content) in batch.iter().take(n) {
                            to.iter()
                                .copied()
                                .for_each(|to| gate.delivered(to, content.len()));
                        }
                    }
                    incoming.done(n);
                }
                Err(e) if would_block(&e) => {
                    let _ = ready!(self.socket.poll_send_ready(cx));
                }
                Err(e) => {
                    losses.unsendable(&e);
                    incoming.done(1);
                }
            }
        }
        Poll::Ready(())
    }

    fn poll_upkeep(&mut self, _: &mut Context<'_>) {}
}
