//! The server's end: many sessions over one UDP socket.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::UdpSocket;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::arq::millis;
use super::newcomers::Newcomers;
use super::params::WINDOWS;
use super::pipe::{Ended, KcpStream, Shared, first_of};
use super::session::{
    KcpSession, Opening, ask_for_echo, broken_off, conv_of, echo, forgotten, opening,
};
use super::socket::{Batch, Socket};
use crate::limits::{KCP_UNANSWERED, MAX_KCP_AT_ADDRESS, MAX_KCP_ENDED, MAX_KCP_UNPROVEN};
use crate::listen::canonical;
use crate::strangers::{Seat, Strangers};

/// A UDP port that takes KCP sessions, told apart by remote address and conversation.
///
/// kcp-go has one session per address, and a first packet of another conversation ends it. Source
/// addresses are easily forged, so here it stands beside it; one that has lost its peer ends by
/// itself. What comes late of a session that has ended, perhaps a repeated first packet, begins none. Who is in the
/// middle of one that is not known at all is told that it is over.
///
/// A first packet begins a session at once while there are few whose peers may not be where they say.
/// Beyond that it is answered by a question ([`Newcomers`]), and whoever answers that has its session,
/// a round trip later. A session whose peer has shown where it is takes its place among the strangers.
#[derive(Debug)]
pub struct KcpListener {
    socket: Arc<Socket>,
    table: Arc<Table>,
    newcomers: Mutex<Newcomers>,
    /// The clock of all its sessions begins here.
    epoch: Instant,
    closing: CancellationToken,
}

/// A new session.
#[derive(Debug)]
pub struct Accepted {
    /// The bytes.
    pub stream: KcpStream,
    /// The remote address.
    pub peer: SocketAddr,
    /// Its place among those who have not logged in.
    pub stranger: Stranger,
    /// Must run for the session to go on.
    pub driver: Driver,
}

/// A session that has not logged in, which may have to make room. If it never does, it stays one until
/// it is over.
#[derive(Debug)]
pub struct Stranger {
    shared: Arc<Shared>,
    table: Arc<Table>,
    evicted: CancellationToken,
}

/// Keeps the time of a session, and takes it off the listener when it is over.
#[derive(Debug)]
pub struct Driver {
    shared: Arc<Shared>,
    table: Arc<Table>,
    evicted: CancellationToken,
}

#[derive(Debug)]
struct Table {
    sessions: Mutex<Sessions>,
    strangers: Strangers,
}

/// Those with one address, without gaps.
type At = [Option<Arc<Shared>>; MAX_KCP_AT_ADDRESS];

#[derive(Debug, Default)]
struct Sessions {
    at: HashMap<SocketAddr, At>,
    /// Those who have not logged in.
    strangers: HashMap<(SocketAddr, u32), Standing>,
    /// How many of these may not be where they say.
    unproven: usize,
    ended: Late,
}

/// Of one who has not logged in.
#[derive(Debug)]
struct Standing {
    evicted: CancellationToken,
    /// `None`: it may not be where it says.
    seat: Option<Seat>,
}

/// The conversations that have ended, at least for as long as their peers may repeat themselves.
#[derive(Debug, Default)]
struct Late {
    known: HashSet<(SocketAddr, u32)>,
    in_order: VecDeque<(Instant, SocketAddr, u32)>,
}

impl Late {
    fn add(&mut self, peer: SocketAddr, conv: u32, now: Instant) {
        while let Some((at, peer, conv)) = self.in_order.front().copied()
            && (now >= at + KCP_UNANSWERED || self.in_order.len() >= MAX_KCP_ENDED)
        {
            self.known.remove(&(peer, conv));
            self.in_order.pop_front();
        }
        if self.known.insert((peer, conv)) {
            self.in_order.push_back((now, peer, conv));
        }
    }
}

impl KcpListener {
    /// Takes the sessions that come to `socket`. Those who are where they say are among `strangers`.
    ///
    /// # Errors
    /// The system's, where the socket cannot be set up.
    pub fn new(socket: UdpSocket, strangers: Strangers) -> io::Result<Self> {
        let table = Table {
            sessions: Mutex::default(),
            strangers,
        };
        Ok(Self {
            socket: Arc::new(Socket::new(socket)?),
            table: Arc::new(table),
            newcomers: Mutex::default(),
            epoch: Instant::now(),
            closing: CancellationToken::new(),
        })
    }

    /// Has the listener take no notice of newcomers once `closing` is cancelled: they repeat themselves, and
    /// whoever has the port next hears them.
    #[must_use]
    pub fn until(self, closing: CancellationToken) -> Self {
        Self { closing, ..self }
    }

    /// The address that peers send to.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Hands each new session to `each`, which must not block: it spawns. Datagrams of the sessions
    /// go to them meanwhile. When `stop` is cancelled all of them end.
    pub async fn run(self, stop: CancellationToken, mut each: impl FnMut(Accepted)) {
        let _end = EndAllOnDrop(&self.table);
        // Sessions that got something in one go.
        let mut touched = Vec::new();
        loop {
            let readable = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                readable = self.socket.readable() => readable,
            };
            let received = readable.and_then(|()| {
                let take = |batch: Batch<'_>| self.take(batch, &mut touched, &mut each);
                self.socket.try_receive(take)
            });
            for shared in touched.drain(..) {
                shared.settle();
            }
            match received {
                Err(e) if e.kind() != io::ErrorKind::WouldBlock => {
                    // Of one datagram, or a shortage of memory: it passes.
                    tracing::warn!("kcp: receive: {e}");
                    tokio::time::sleep(RECEIVE_PAUSE).await;
                }
                _ => tokio::task::consume_budget().await,
            }
        }
    }

    fn take(
        &self,
        batch: Batch<'_>,
        touched: &mut Vec<Arc<Shared>>,
        each: &mut impl FnMut(Accepted),
    ) {
        let known = self.table.at(batch.from);
        if let [Some(only), None] = &known {
            let conv = only.conv();
            let is_mine = |datagram: &[u8]| conv_of(datagram).is_none_or(|of| of == conv);
            if batch.datagrams().all(is_mine) {
                if only.take(batch.datagrams(), batch.to) {
                    self.table.prove(only);
                }
                return touch(touched, only);
            }
        }
        for datagram in batch.datagrams() {
            self.take_one(&batch, datagram, touched, each);
        }
    }

    fn take_one(
        &self,
        batch: &Batch<'_>,
        datagram: &[u8],
        touched: &mut Vec<Arc<Shared>>,
        each: &mut impl FnMut(Accepted),
    ) {
        let Batch { from, to, .. } = *batch;
        let conv = conv_of(datagram);
        let mut taken = false;
        for shared in self.table.at(from).iter().flatten() {
            // Parity does not say whose it is; restored packets do.
            if conv.is_none_or(|conv| shared.conv() == conv) {
                if shared.take(std::iter::once(datagram), to) {
                    self.table.prove(shared);
                }
                touch(touched, shared);
                taken = true;
            }
        }
        if taken || self.closing.is_cancelled() {
            return;
        }
        if let Some((opening, sent_back)) = echo(datagram) {
            if self.newcomers().knows(from, opening.conv, sent_back)
                && !self.table.has_ended(from, opening.conv)
            {
                let first = self.newcomers().take(from, opening.conv);
                let all = first.iter().map(|kept| &**kept).chain([datagram]);
                let shared = self.begin(opening, true, all, from, to, each);
                touch(touched, &shared);
            }
            return;
        }
        let Some(opening) = opening(datagram) else {
            return self.tell_forgotten(datagram, from, to);
        };
        if self.table.has_ended(from, opening.conv) {
            return;
        }
        if self.table.takes_unproven(from) {
            let all = std::iter::once(datagram);
            let shared = self.begin(opening, false, all, from, to, each);
            return touch(touched, &shared);
        }
        let time = self.newcomers().keep(from, opening.conv, datagram);
        // What the system does not take now is as good as lost: the client repeats itself.
        let _ = self
            .socket
            .try_send(from, to, &ask_for_echo(opening, time), 0, 1);
    }

    /// A server that was restarted knows none of its sessions. Their peers would find out by silence.
    fn tell_forgotten(&self, datagram: &[u8], from: SocketAddr, to: Option<IpAddr>) {
        if let Some(of) = forgotten(datagram)
            && !self.table.has_ended(from, of.conv)
        {
            // The peer repeats itself.
            let _ = self.socket.try_send(from, to, &broken_off(of), 0, 1);
        }
    }

    fn newcomers(&self) -> MutexGuard<'_, Newcomers> {
        self.newcomers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn begin<'a>(
        &self,
        opening: Opening,
        proven: bool,
        datagrams: impl Iterator<Item = &'a [u8]>,
        from: SocketAddr,
        to: Option<IpAddr>,
        each: &mut impl FnMut(Accepted),
    ) -> Arc<Shared> {
        let now = millis(self.epoch.elapsed());
        let mut session = KcpSession::accepted(opening, WINDOWS, now);
        if !proven {
            // A number that nobody can know: a fresh hasher has keys of the system's generator.
            let clock = RandomState::new().hash_one((from, opening.conv, now));
            session.distrust(clock as u32, now);
        }
        let shared = Shared::new(self.socket.clone(), from, self.epoch, session);
        shared.take(datagrams, to);
        let evicted = self.table.enter(&shared);
        if proven {
            self.table.prove(&shared);
        }
        each(Accepted {
            stream: KcpStream::new(shared.clone()),
            peer: canonical(from),
            stranger: Stranger {
                shared: shared.clone(),
                table: self.table.clone(),
                evicted: evicted.clone(),
            },
            driver: Driver {
                shared: shared.clone(),
                table: self.table.clone(),
                evicted,
            },
        });
        shared
    }
}

fn touch(touched: &mut Vec<Arc<Shared>>, shared: &Arc<Shared>) {
    if !touched.last().is_some_and(|last| Arc::ptr_eq(last, shared)) {
        touched.push(shared.clone());
    }
}

/// A socket that fails is asked again after this time.
const RECEIVE_PAUSE: Duration = Duration::from_millis(50);

fn key(shared: &Shared) -> (SocketAddr, u32) {
    (shared.peer(), shared.conv())
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, peer: SocketAddr) -> At {
        self.lock().at.get(&peer).cloned().unwrap_or_default()
    }

    fn has_ended(&self, peer: SocketAddr, conv: u32) -> bool {
        self.lock().ended.known.contains(&(peer, conv))
    }

    /// Whether a session may begin whose peer may not be where it says. It takes no other's place.
    fn takes_unproven(&self, peer: SocketAddr) -> bool {
        let sessions = self.lock();
        let at = sessions.at.get(&peer);
        let is_free = at.is_none_or(|at| at.iter().any(Option::is_none));
        is_free && sessions.unproven < MAX_KCP_UNPROVEN
    }

    /// Takes a new session in, which is a stranger; another one at its address may have to make room.
    /// What is returned is cancelled when the session itself has to.
    fn enter(&self, shared: &Arc<Shared>) -> CancellationToken {
        let evicted = CancellationToken::new();
        let standing = Standing {
            evicted: evicted.clone(),
            seat: None,
        };
        let mut sessions = self.lock();
        sessions.strangers.insert(key(shared), standing);
        sessions.unproven += 1;
        let at = sessions.at.entry(shared.peer()).or_default();
        // One that may not be where it says rather than another, then a stranger rather than one that
        // has logged in, and of those the one that is silent.
        let leaves = at.iter_mut().min_by_key(|place| {
            place
                .as_ref()
                .map(|other| (other.is_proven(), !other.is_stranger(), other.heard()))
        });
        let leaving = leaves.and_then(|place| place.replace(shared.clone()));
        at.sort_by_key(Option::is_none);
        drop(sessions);
        if let Some(other) = leaving {
            other.end(Ended::MadeRoom);
            self.remove(&other);
        }
        evicted
    }

    /// The peer of a session has shown that it is where it says: it is one of the strangers now.
    fn prove(&self, shared: &Shared) {
        let evicted = {
            let sessions = self.lock();
            let standing = sessions.strangers.get(&key(shared));
            standing.map(|standing| standing.evicted.clone())
        };
        let Some(evicted) = evicted else { return };
        let ip = shared.peer().ip().to_canonical();
        let seat = self.strangers.seat(ip, evicted);
        let mut sessions = self.lock();
        let Some(standing) = sessions.strangers.get_mut(&key(shared)) else {
            return;
        };
        if standing.seat.is_none() {
            standing.seat = Some(seat);
            sessions.unproven -= 1;
        }
    }

    /// The session is no stranger any more, or over.
    fn stand_down(&self, shared: &Shared) {
        let mut sessions = self.lock();
        let standing = sessions.strangers.remove(&key(shared));
        if standing.as_ref().is_some_and(|s| s.seat.is_none()) {
            sessions.unproven -= 1;
        }
        // The seat is given back without the lock.
        drop(sessions);
        drop(standing);
    }

    fn remove(&self, shared: &Arc<Shared>) {
        let mut sessions = self.lock();
        if !shared.is_stranger() {
            let (peer, conv) = (shared.peer(), shared.conv());
            sessions.ended.add(peer, conv, Instant::now());
        }
        let Some(at) = sessions.at.get_mut(&shared.peer()) else {
            return;
        };
        for place in at.iter_mut() {
            place.take_if(|other| Arc::ptr_eq(other, shared));
        }
        at.sort_by_key(Option::is_none);
        if at.iter().all(Option::is_none) {
            sessions.at.remove(&shared.peer());
        }
    }
}

impl Stranger {
    /// The peer has logged in: the session is as good as any from now on.
    pub fn admit(self) {
        self.table.stand_down(&self.shared);
        self.shared.establish();
    }

    /// The peer has said something that is of use.
    pub(crate) fn spoke(&self) {
        let sessions = self.table.lock();
        if let Some(standing) = sessions.strangers.get(&key(&self.shared))
            && let Some(seat) = &standing.seat
        {
            seat.spoke();
        }
    }

    /// Cancelled when the session has to make room.
    pub(crate) fn evicted(&self) -> &CancellationToken {
        &self.evicted
    }
}

impl Driver {
    /// Runs until the session is over.
    pub async fn run(self) {
        let evicted = async {
            self.evicted.cancelled().await;
            // Before the other is dropped, which ends the session for another reason.
            self.shared.end(Ended::MadeRoom);
        };
        first_of(self.shared.clone().drive(), evicted).await;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.end(Ended::Stopped);
        self.table.stand_down(&self.shared);
        self.table.remove(&self.shared);
    }
}

struct EndAllOnDrop<'a>(&'a Table);

impl Drop for EndAllOnDrop<'_> {
    fn drop(&mut self) {
        let all = std::mem::take(&mut self.0.lock().at);
        for shared in all.into_values().flatten().flatten() {
            shared.end(Ended::Stopped);
        }
    }
}
