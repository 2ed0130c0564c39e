//! The server's end: many sessions over one UDP socket.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::net::UdpSocket;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::arq::millis;
use super::params::SERVER_WINDOWS;
use super::pipe::{Ended, KcpStream, Shared};
use super::session::{Session, conv_of, opening};
use super::socket::{Batch, Socket};
use crate::limits::{KCP_UNANSWERED, MAX_KCP_AT_ADDRESS, MAX_KCP_ENDED, MAX_KCP_STRANGERS};
use crate::listen::canonical;

/// A UDP port that takes KCP sessions, told apart by remote address and conversation.
///
/// kcp-go has one session per address, and a first packet of another conversation ends it. Source
/// addresses are easily forged, so here it stands beside it; one that has lost its peer ends by
/// itself. What comes late of a session that has ended, perhaps a repeated first packet, begins none.
#[derive(Debug)]
pub struct KcpListener {
    socket: Arc<Socket>,
    table: Arc<Table>,
    /// The clock of all its sessions begins here.
    epoch: Instant,
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

/// A session that has not logged in: one of those of which the oldest makes room. If it never does,
/// it stays one until it is over.
#[derive(Debug)]
pub struct Stranger {
    id: u64,
    shared: Arc<Shared>,
    table: Arc<Table>,
}

/// Keeps the time of a session, and takes it off the listener when it is over.
#[derive(Debug)]
pub struct Driver {
    id: u64,
    shared: Arc<Shared>,
    table: Arc<Table>,
}

#[derive(Debug, Default)]
struct Table(Mutex<Sessions>);

/// Those with one address, without gaps.
type At = [Option<Arc<Shared>>; MAX_KCP_AT_ADDRESS];

#[derive(Debug, Default)]
struct Sessions {
    at: HashMap<SocketAddr, At>,
    /// Those who have not logged in, oldest first.
    strangers: BTreeMap<u64, Weak<Shared>>,
    next: u64,
    ended: Late,
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
    /// Takes the sessions that come to `socket`.
    ///
    /// # Errors
    /// The system's, where the socket cannot be set up.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        Ok(Self {
            socket: Arc::new(Socket::new(socket)?),
            table: Arc::default(),
            epoch: Instant::now(),
        })
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
                only.take(batch.datagrams(), batch.to);
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
                shared.take(std::iter::once(datagram), to);
                touch(touched, shared);
                taken = true;
            }
        }
        if taken {
            return;
        }
        let Some(opening) = opening(datagram) else {
            return;
        };
        if self.table.has_ended(from, opening.conv) {
            return;
        }
        let now = millis(self.epoch.elapsed());
        let session = Session::accepted(opening, SERVER_WINDOWS, now);
        let shared = Shared::new(self.socket.clone(), from, self.epoch, session);
        shared.take(std::iter::once(datagram), to);
        touch(touched, &shared);
        let id = self.table.enter(&shared);
        each(Accepted {
            stream: KcpStream::new(shared.clone()),
            peer: canonical(from),
            stranger: Stranger {
                id,
                shared: shared.clone(),
                table: self.table.clone(),
            },
            driver: Driver {
                id,
                shared,
                table: self.table.clone(),
            },
        });
    }
}

fn touch(touched: &mut Vec<Arc<Shared>>, shared: &Arc<Shared>) {
    if !touched.last().is_some_and(|last| Arc::ptr_eq(last, shared)) {
        touched.push(shared.clone());
    }
}

/// A socket that fails is asked again after this time.
const RECEIVE_PAUSE: Duration = Duration::from_millis(50);

impl Table {
    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, peer: SocketAddr) -> At {
        self.lock().at.get(&peer).cloned().unwrap_or_default()
    }

    fn has_ended(&self, peer: SocketAddr, conv: u32) -> bool {
        self.lock().ended.known.contains(&(peer, conv))
    }

    /// Takes a new session in, which is a stranger under the number given; others may have to make
    /// room.
    fn enter(&self, shared: &Arc<Shared>) -> u64 {
        let mut leaving = Vec::new();
        let mut sessions = self.lock();
        if sessions.strangers.len() >= MAX_KCP_STRANGERS
            && let Some((_, oldest)) = sessions.strangers.pop_first()
        {
            leaving.extend(oldest.upgrade());
        }
        let at = sessions.at.entry(shared.peer()).or_default();
        // A stranger rather than one that has logged in, and of those the one that is silent.
        let leaves = at.iter_mut().min_by_key(|place| {
            place
                .as_ref()
                .map(|other| (!other.is_stranger(), other.heard()))
        });
        if let Some(place) = leaves {
            leaving.extend(place.replace(shared.clone()));
        }
        at.sort_by_key(Option::is_none);
        let id = sessions.next;
        sessions.next += 1;
        sessions.strangers.insert(id, Arc::downgrade(shared));
        drop(sessions);
        for other in leaving {
            other.end(Ended::MadeRoom);
            self.remove(&other);
        }
        id
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
        self.table.lock().strangers.remove(&self.id);
        self.shared.establish();
    }
}

impl Driver {
    /// Runs until the session is over.
    pub async fn run(self) {
        self.shared.clone().drive().await;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.end(Ended::Stopped);
        self.table.lock().strangers.remove(&self.id);
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
