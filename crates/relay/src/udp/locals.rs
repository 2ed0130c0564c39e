//! A socket for each user, connected to the local service.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use frp_proto::msg::UdpAddr;
use frp_proto::proxy_protocol;
use frp_proto::wire::datagram::AddrText;
use tokio::net::UdpSocket;
use tokio::time::{Instant, Sleep, sleep_until};

use super::ends::{Ends, Heartbeat, packet_limit};
use super::incoming::Incoming;
use super::local_service::LocalService;
use super::losses::Losses;
use super::outgoing::Outgoing;
use super::roll::{Listed, Roll};
use super::socket::{BATCH, refused, try_send_all, would_block};
use crate::conns::End;
use crate::limits::{MAX_UDP_USERS, UDP_USER_IDLE};
use frp_net::scratch::with_scratch;
use frp_net::udp_socket::connect;

/// Sessions that are read from in one turn.
const SESSIONS_A_TURN: usize = 32;

/// Silent users are looked for no more often than this.
const SWEEP_AFTER: Duration = Duration::from_secs(1);

/// What was found out about the local service.
#[derive(Debug)]
pub enum Reached<'a> {
    /// Its name has been found, after it had not been.
    Found,
    /// Its name has not been found, and is looked up again.
    NotFound(&'a io::Error),
    /// Something came from it.
    Answers,
    /// Its host says that nobody listens.
    Refused(&'a io::Error),
}

/// Whom [`Locals`] tells of the local service; often, and from within a poll.
pub struct Tell(Box<dyn Fn(Reached<'_>) + Send + Sync>);

impl Tell {
    /// Calls `tell`.
    pub fn new(tell: impl Fn(Reached<'_>) + Send + Sync + 'static) -> Self {
        Self(Box::new(tell))
    }
}

impl std::fmt::Debug for Tell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tell")
    }
}

/// What [`Locals`] shall do.
#[derive(Debug)]
pub struct LocalOptions {
    /// The local service.
    pub target: LocalService,
    /// `transport.proxyProtocolVersion`: a header goes in front of a user's first datagram.
    pub proxy_protocol: Option<proxy_protocol::Version>,
    /// `udpPacketSize`: longer datagrams of the local service are dropped.
    pub udp_packet_size: i64,
    /// Told whether the service can be reached.
    pub tell: Tell,
    /// Who lists the users, if anybody does.
    pub roll: Option<Box<dyn Roll>>,
}

/// The users' sockets. One that was not used for 30 s either way is closed, as is one whose
/// datagrams are refused or that somebody has ended; the user's next datagram opens another.
#[derive(Debug)]
pub struct Locals {
    target: LocalService,
    tell: Tell,
    roll: Option<Box<dyn Roll>>,
    proxy_protocol: Option<proxy_protocol::Version>,
    longest: usize,
    ids: HashMap<UdpAddr, u64>,
    sessions: HashMap<u64, UserSession>,
    next_id: u64,
    ready: Arc<Ready>,
    sweep: Pin<Box<Sleep>>,
}

#[derive(Debug)]
struct UserSession {
    user: UdpAddr,
    text: AddrText,
    socket: UdpSocket,
    used: Instant,
    /// Nothing was sent yet.
    new: bool,
    signal: Arc<Signal>,
    /// Of `signal`.
    waker: Waker,
    listed: Option<Box<dyn Listed>>,
}

/// Says that a session's socket has something. Does not hold the socket, which holds this.
#[derive(Debug)]
struct Signal {
    id: u64,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

/// The sessions whose sockets have something, and whom to wake.
#[derive(Debug, Default)]
struct Ready(Mutex<(VecDeque<u64>, Option<Waker>)>);

impl Ready {
    /// The next session; `cx` is woken when there is one.
    fn pop(&self, cx: &Context<'_>) -> Option<u64> {
        let (ids, waker) = &mut *self.lock();
        let next = ids.pop_front();
        if next.is_none() && !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        next
    }

    fn push(&self, id: u64) {
        let waker = {
            let (ids, waker) = &mut *self.lock();
            ids.push_back(id);
            waker.clone()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, (VecDeque<u64>, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.push(self.id);
        }
    }
}

impl Locals {
    /// No users yet.
    pub fn new(options: LocalOptions) -> Self {
        Self {
            target: options.target,
            tell: options.tell,
            roll: options.roll,
            proxy_protocol: options.proxy_protocol,
            longest: packet_limit(options.udp_packet_size),
            ids: HashMap::new(),
            sessions: HashMap::new(),
            next_id: 0,
            ready: Arc::default(),
            sweep: Box::pin(sleep_until(Instant::now())),
        }
    }

    /// How many users have a socket.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether no user has one.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The session of `user`, a new one if need be.
    fn session(&mut self, user: &UdpAddr, now: Instant) -> io::Result<u64> {
        if let Some(id) = self.ids.get(user) {
            return Ok(*id);
        }
        if self.sessions.len() >= MAX_UDP_USERS {
            return Err(io::Error::other("too many users at a time"));
        }
        let socket = connect(self.target.addr()?)?;
        let id = self.next_id;
        self.next_id += 1;
        let signal = Arc::new(Signal {
            id,
            queued: AtomicBool::new(false),
            ready: self.ready.clone(),
        });
        let session = UserSession {
            user: user.clone(),
            text: AddrText::from(user),
            socket,
            used: now,
            new: true,
            waker: Waker::from(signal.clone()),
            signal,
            listed: self
                .roll
                .as_ref()
                .map(|roll| roll.enter(user.socket_addr())),
        };
        // The first look at the socket is what makes it tell.
        session.waker.wake_by_ref();
        if self.sessions.is_empty() {
            self.sweep.as_mut().reset(now + UDP_USER_IDLE);
        }
        self.ids.insert(user.clone(), id);
        self.sessions.insert(id, session);
        Ok(id)
    }

    /// The service does not take what this one sends.
    fn forget(&mut self, id: u64) {
        if let Some(session) = self.sessions.remove(&id) {
            session.ends(End::ServiceFailed);
            self.ids.remove(&session.user);
        }
    }

    /// Those whom `leaves` gives a reason to.
    fn forget_if(&mut self, leaves: impl Fn(&UserSession) -> Option<End>) {
        let ids = &mut self.ids;
        self.sessions.retain(|_, session| {
            let end = leaves(session);
            if let Some(end) = end {
                session.ends(end);
                ids.remove(&session.user);
            }
            end.is_none()
        });
    }
}

/// Whoever is there when the stream ends, which carries all of them.
impl Drop for Locals {
    fn drop(&mut self) {
        for session in self.sessions.values() {
            session.ends(End::ClientGone);
        }
    }
}

enum Took {
    /// All that there was; the socket tells when there is more.
    All,
    /// As much as one session may at a time.
    Some,
    /// The socket is of no more use.
    Failed(io::Error),
}

impl UserSession {
    fn ends(&self, end: End) {
        if let Some(listed) = &self.listed {
            listed.ends(end);
        }
    }

    /// Also whether anything came.
    fn take(&mut self, longest: usize, out: &mut Outgoing, losses: &mut Losses) -> (Took, bool) {
        let cx = &mut Context::from_waker(&self.waker);
        let (mut taken, mut bytes) = (0, 0);
        let took = with_scratch(|buf| {
            while taken < BATCH {
                match self.socket.poll_recv_ready(cx) {
                    Poll::Pending => return Took::All,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(e)) => return Took::Failed(e),
                }
                while taken < BATCH {
                    match self.socket.try_recv(buf) {
                        Ok(len) if len > longest => losses.too_big(len),
                        Ok(len) => {
                            bytes += len;
                            out.push(buf.get(..len).unwrap_or_default(), &self.text, losses);
                        }
                        Err(e) if would_block(&e) => break,
                        Err(e) => return Took::Failed(e),
                    }
                    taken += 1;
                }
            }
            Took::Some
        });
        if let Some(listed) = &self.listed {
            listed.traffic().add_near_to_far(bytes);
        }
        (took, taken > 0)
    }
}

impl Ends for Locals {
    const HEARTBEAT: Heartbeat = Heartbeat::Send;

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outgoing,
        losses: &mut Losses,
    ) -> Poll<()> {
        let mut turns = 0;
        while turns < SESSIONS_A_TURN
            && let Some(id) = self.ready.pop(cx)
        {
            turns += 1;
            let Some(session) = self.sessions.get_mut(&id) else {
                continue;
            };
            session.signal.queued.store(false, Ordering::Release);
            session.used = Instant::now();
            let (took, heard) = session.take(self.longest, out, losses);
            if heard {
                (self.tell.0)(Reached::Answers);
            }
            match took {
                Took::All => {}
                Took::Some => session.waker.wake_by_ref(),
                Took::Failed(e) => {
                    if refused(&e) {
                        losses.refused();
                        (self.tell.0)(Reached::Refused(&e));
                    }
                    self.forget(id);
                }
            }
        }
        if turns > 0 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn poll_deliver(
        &mut self,
        cx: &mut Context<'_>,
        incoming: &mut Incoming,
        losses: &mut Losses,
    ) -> Poll<()> {
        let now = Instant::now();
        while let Some((user, first)) = incoming.first() {
            let id = match self.session(user, now) {
                Ok(id) => id,
                Err(e) => {
                    losses.no_socket(&e);
                    incoming.done(1);
                    continue;
                }
            };
            let Some(session) = self.sessions.get_mut(&id) else {
                return Poll::Ready(());
            };
            session.used = now;
            let header = self
                .proxy_protocol
                .filter(|_| session.new)
                .and_then(|version| {
                    let to = session.socket.peer_addr().ok()?;
                    let from = user.socket_addr()?;
                    proxy_protocol::datagram_header(version, from, to).ok()
                });
            let sent = match header {
                Some(mut with_header) => {
                    with_header.extend_from_slice(first);
                    let sent = session.socket.try_send(&with_header);
                    sent.map(|_| (1, first.len()))
                }
                None => {
                    let same = |(other, content)| (other == user).then_some((None, content));
                    let batch: Vec<_> = incoming.left().map_while(same).take(BATCH).collect();
                    let sent = try_send_all(&session.socket, &batch);
                    let bytes = |n| batch.iter().take(n).map(|(_, content)| content.len()).sum();
                    sent.map(|n| (n, bytes(n)))
                }
            };
            match sent {
                Ok((n, bytes)) => {
                    session.new = false;
                    if let Some(listed) = &session.listed {
                        listed.traffic().add_far_to_near(bytes);
                    }
                    incoming.done(n);
                }
                Err(e) if would_block(&e) => {
                    let _ = ready!(session.socket.poll_send_ready(cx));
                }
                // That is about an earlier datagram. This one goes out by a new socket.
                Err(e) if refused(&e) && !session.new => {
                    losses.refused();
                    (self.tell.0)(Reached::Refused(&e));
                    self.forget(id);
                }
                Err(e) => {
                    losses.unsendable(&e);
                    incoming.done(1);
                }
            }
        }
        Poll::Ready(())
    }

    fn poll_upkeep(&mut self, cx: &mut Context<'_>) {
        match self.target.poll(cx) {
            None => {}
            Some(Ok(())) => (self.tell.0)(Reached::Found),
            Some(Err(e)) => (self.tell.0)(Reached::NotFound(&e)),
        }
        if let Some(roll) = &mut self.roll
            && roll.poll_ended(cx).is_ready()
        {
            self.forget_if(|session| {
                let listed = session.listed.as_ref();
                let is_ended = listed.is_some_and(|listed| listed.is_ended());
                is_ended.then_some(End::Administrator)
            });
        }
        while !self.sessions.is_empty() && self.sweep.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            self.forget_if(|session| (now - session.used >= UDP_USER_IDLE).then_some(End::Idle));
            let oldest = self.sessions.values().map(|session| session.used).min();
            let next = oldest.unwrap_or(now) + UDP_USER_IDLE;
            self.sweep.as_mut().reset(next.max(now + SWEEP_AFTER));
        }
    }
}
