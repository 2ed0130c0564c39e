//! Both peers send to where the other may be, until one hears the other: the receiver opens its NAT by
//! datagrams that need not arrive and answers the first that comes, the sender takes the answer (frp
//! `pkg/nathole/nathole.go`: MakeHole).
//!
//! Beyond frp, and nothing that its peers would mind: what may be lost is sent again; global addresses of
//! IPv6 come first; a receiver sends to what leads to the peer for sure, too, and a sender that hears such
//! a datagram sends to where it came from, which it may not have been told.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use frp_proto::crypto::cfb::Key;
use frp_proto::features;
use frp_proto::msg::NatHoleSid;
use frp_proto::nathole::Role;
use frp_proto::nathole::datagram::{MAX_DATAGRAM, nonce, open, seal};
use frp_proto::nathole::reach::may_be_sent_to;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout_at};

use super::budget::Budget;
use super::orders::Orders;
use super::prepare::Sockets;
use super::{new_id, random};
use crate::limits::{
    HOLE_AGAIN, HOLE_GUESS_PACE, HOLE_GUESSING, HOLE_IPV6_FIRST, HOLE_RANGE_PACE,
    MAX_HOLE_ADDRESSES, MAX_HOLE_PACKETS,
};
use crate::port_mapping::PortMapping;

/// A socket by which the peer was heard.
#[derive(Debug)]
pub(crate) struct Hole {
    pub(crate) socket: UdpSocket,
    pub(crate) peer: SocketAddr,
    pub(super) does: Does,
    /// The port of a router that leads to the socket.
    pub(super) mapping: Option<PortMapping>,
}

/// What the peer does beyond frp.
#[derive(Debug, Clone, Copy)]
pub(super) struct Does {
    /// It ends one direction of a stream at a time.
    pub(super) half_close: bool,
    /// See [`features::FIRST_BYTE`].
    pub(super) first_byte: bool,
}

/// Why nothing came through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PunchError {
    #[error("wait detect message error: no datagram of the peer within {} s", .0.as_secs())]
    Unheard(Duration),
    /// Somebody with the address of the peer, perhaps.
    #[error(
        "wait detect message error: {0} datagrams came and none could be deciphered: the peer may have \
         another secretKey"
    )]
    Undecipherable(usize),
    #[error("set up the socket: {0}")]
    Socket(#[from] io::Error),
}

/// Finds the peer, by the socket of which it is spoken to from then on. `key` is of the proxy's secret,
/// `parties` are as for [`may_be_sent_to`].
pub(crate) async fn punch(
    sockets: Sockets,
    orders: &Orders,
    key: &Key,
    parties: &[IpAddr],
    budget: &Budget,
) -> Result<Hole, PunchError> {
    let Sockets { v4, v6, mapping } = sockets;
    let mut all: Vec<UdpSocket> = Vec::with_capacity(1 + orders.sockets);
    all.extend(v4);
    let guessed_to = all.first().map(UdpSocket::local_addr).transpose()?;
    let (more, _places) = match (orders.role, guessed_to) {
        (Role::Receiver, Some(_)) => budget.sockets(orders.sockets),
        _ => (0, None),
    };
    for _ in 0..more {
        // Without descriptors for all of them, fewer have to do.
        match UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0)).await {
            Ok(socket) => all.push(socket),
            Err(_) => break,
        }
    }
    let of_v4 = all.len();
    all.extend(v6);
    let digging = Digging {
        sockets: &all,
        of_v4,
        orders,
        key,
        parties,
        budget,
        id: new_id(),
        left: AtomicUsize::new(MAX_HOLE_PACKETS),
        undecipherable: AtomicUsize::new(0),
    };
    let limit = orders.delay + orders.wait + HOLE_GUESSING;
    let heard = tokio::select! {
        heard = digging.listen() => Some(heard),
        () = digging.send_all(Instant::now() + limit) => None,
    };
    let Some(heard) = heard else {
        return Err(match digging.undecipherable.into_inner() {
            0 => PunchError::Unheard(limit),
            some => PunchError::Undecipherable(some),
        });
    };
    Ok(Hole {
        socket: all.swap_remove(heard.socket),
        peer: heard.from,
        does: heard.does,
        mapping: mapping.filter(|_| heard.socket == 0),
    })
}

/// One side of a hole that is being dug.
struct Digging<'a> {
    /// Those of IPv4 come first.
    sockets: &'a [UdpSocket],
    of_v4: usize,
    orders: &'a Orders,
    key: &'a Key,
    parties: &'a [IpAddr],
    budget: &'a Budget,
    /// The name of our datagrams.
    id: String,
    /// Packets that may still be sent.
    left: AtomicUsize,
    /// Datagrams that came and say nothing.
    undecipherable: AtomicUsize,
}

struct Heard {
    /// Its place.
    socket: usize,
    from: SocketAddr,
    does: Does,
}

impl Digging<'_> {
    /// Waits for the peer.
    async fn listen(&self) -> Heard {
        let mut buffer = [0; MAX_DATAGRAM];
        let mut asked_back = BTreeSet::new();
        loop {
            let (socket, len, from) = self.datagram(&mut buffer).await;
            let Ok(mut message) = open(buffer.get(..len).unwrap_or_default(), self.key) else {
                self.undecipherable.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            if message.sid != self.orders.sid || !may_be_sent_to(from, self.parties) {
                continue;
            }
            let does = Does {
                half_close: features::half_closes(&message.features),
                first_byte: features::first_byte(&message.features),
            };
            let heard = Heard { socket, from, does };
            match (message.response, self.orders.role) {
                (true, _) => return heard,
                (false, Role::Receiver) => {
                    message.response = true;
                    message.features = features::ours_between_peers();
                    // Nothing more is said if it is lost, and the peer would wait in vain.
                    for _ in 0..2 {
                        self.send(socket, from, &message, None).await;
                    }
                    return heard;
                }
                (false, Role::Sender) => {
                    if asked_back.len() < MAX_HOLE_ADDRESSES && asked_back.insert(from) {
                        self.ask(socket, from, None).await;
                    }
                }
            }
        }
    }

    /// The next datagram at any of the sockets: which, its length and where it came from.
    async fn datagram(&self, buffer: &mut [u8]) -> (usize, usize, SocketAddr) {
        std::future::poll_fn(|cx| {
            for (at, socket) in self.sockets.iter().enumerate() {
                let mut read = ReadBuf::new(buffer);
                // That nothing listens somewhere is no end.
                while let Poll::Ready(came) = socket.poll_recv_from(cx, &mut read) {
                    if let Ok(from) = came {
                        return Poll::Ready((at, read.filled().len(), from));
                    }
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Sends all that is to be sent, and waits until `end`.
    async fn send_all(&self, end: Instant) {
        let sending = async {
            sleep(self.orders.delay).await;
            self.first_round().await;
            tokio::join!(self.guess(), self.further_rounds());
            std::future::pending::<()>().await;
        };
        let _ = timeout_at(end, sending).await;
    }

    async fn first_round(&self) {
        let ipv6 = self.own_of(SocketAddr::is_ipv6);
        for to in &ipv6 {
            self.ask(self.of_v4, *to, None).await;
        }
        if !ipv6.is_empty() && self.orders.role == Role::Sender {
            sleep(HOLE_IPV6_FIRST).await;
        }
        self.ask_known(self.of_v4).await;
    }

    /// What may be lost is sent again, by the one socket that the peer was told of.
    async fn further_rounds(&self) {
        loop {
            sleep(HOLE_AGAIN).await;
            for to in self.own_of(SocketAddr::is_ipv6) {
                self.ask(self.of_v4, to, None).await;
            }
            self.ask_known(1.min(self.of_v4)).await;
        }
    }

    /// The addresses of IPv4 that were named, by the first `sockets`.
    async fn ask_known(&self, sockets: usize) {
        let own = match self.orders.role {
            Role::Sender => self.own_of(SocketAddr::is_ipv4),
            // In the own network of the peer nothing is to be opened.
            Role::Receiver => self.own_of(is_global),
        };
        for to in own {
            self.ask(0, to, None).await;
        }
        if self.orders.role == Role::Receiver && !self.orders.ports.is_empty() {
            return;
        }
        for (at, to) in self.orders.seen.iter().enumerate() {
            let from = match to.is_ipv4() {
                true => 0..sockets,
                false => self.of_v4..self.sockets.len(),
            };
            // Who has many sockets has a peer that is seen at one address.
            let from = if at < 2 {
                from
            } else {
                from.start..from.end.min(from.start + 1)
            };
            for socket in from {
                self.ask(socket, *to, self.orders.ttl).await;
            }
        }
    }

    /// Ports that the peer's NAT may have taken: a range, then any.
    async fn guess(&self) {
        let ips = self.orders.ips();
        for socket in 0..self.of_v4 {
            for ip in &ips {
                for port in self.orders.ports.iter().flat_map(Clone::clone) {
                    let to = SocketAddr::new(*ip, port);
                    self.ask(socket, to, self.orders.ttl).await;
                    sleep(HOLE_RANGE_PACE).await;
                }
            }
        }
        let mut used = BTreeSet::new();
        while used.len() < self.orders.random_ports && self.of_v4 > 0 {
            let port = 1024 + u16::from_be_bytes(random()) % (u16::MAX - 1024);
            if !used.insert(port) {
                continue;
            }
            for ip in &ips {
                self.ask(0, SocketAddr::new(*ip, port), self.orders.ttl)
                    .await;
                sleep(HOLE_GUESS_PACE).await;
            }
        }
    }

    /// Those of the peer's own addresses that are of one kind, where there is a socket for it.
    fn own_of(&self, kind: fn(&SocketAddr) -> bool) -> Vec<SocketAddr> {
        let is_ours = |addr: &&SocketAddr| match addr {
            SocketAddr::V4(_) => self.of_v4 > 0,
            SocketAddr::V6(_) => self.of_v4 < self.sockets.len(),
        };
        let own = self.orders.own.iter().filter(is_ours);
        own.filter(|addr| kind(addr)).copied().collect()
    }

    async fn ask(&self, socket: usize, to: SocketAddr, ttl: Option<u32>) {
        let message = NatHoleSid {
            transaction_id: self.id.clone(),
            sid: self.orders.sid.clone(),
            response: false,
            nonce: nonce(random::<1>()[0]),
            features: features::ours_between_peers(),
        };
        self.send(socket, to, &message, ttl).await;
    }

    /// One packet, if there is one left. What the system says of it does not matter: no route to one of many.
    async fn send(&self, socket: usize, to: SocketAddr, message: &NatHoleSid, ttl: Option<u32>) {
        let Some(socket) = self.sockets.get(socket) else {
            return;
        };
        let one_less = |left: usize| left.checked_sub(1);
        let left = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        let Ok(datagram) = seal(message, self.key, random()) else {
            return;
        };
        if left.is_err() {
            return;
        }
        self.budget.packet().await;
        if send_now(socket, &datagram, to, ttl)
            .is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
            && socket.writable().await.is_ok()
        {
            let _ = send_now(socket, &datagram, to, ttl);
        }
    }
}

/// Nothing else is sent between setting the hops and setting them back.
fn send_now(
    socket: &UdpSocket,
    datagram: &[u8],
    to: SocketAddr,
    ttl: Option<u32>,
) -> io::Result<usize> {
    let Some(ttl) = ttl.filter(|_| to.is_ipv4()) else {
        return socket.try_send_to(datagram, to);
    };
    let former = socket.ttl()?;
    socket.set_ttl(ttl)?;
    let sent = socket.try_send_to(datagram, to);
    socket.set_ttl(former)?;
    sent
}

/// An address at which anybody may be reached, such as one that a router maps.
fn is_global(addr: &SocketAddr) -> bool {
    match addr.ip() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            !ip.is_private() && !ip.is_loopback() && !ip.is_link_local() && !is_shared
        }
        IpAddr::V6(_) => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use frp_config::XtcpProtocol;
    use std::net::Ipv4Addr;

    const HERE: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::LOCALHOST)];

    async fn socket() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = socket.local_addr().unwrap();
        (socket, addr)
    }

    fn orders(role: Role, peer: SocketAddr) -> Orders {
        Orders {
            sid: "s".to_owned(),
            protocol: XtcpProtocol::Quic,
            role,
            ttl: Some(7),
            delay: Duration::from_millis(20),
            wait: Duration::from_secs(20),
            seen: vec![peer],
            own: Vec::new(),
            ports: Vec::new(),
            random_ports: 0,
            sockets: 0,
        }
    }

    async fn dig(socket: UdpSocket, orders: &Orders) -> Result<Hole, PunchError> {
        let sockets = Sockets {
            v4: Some(socket),
            v6: None,
            mapping: None,
        };
        let key = Key::derive(b"secret");
        punch(sockets, orders, &key, &HERE, &Budget::default()).await
    }

    #[tokio::test]
    async fn each_finds_the_other_past_strangers_with_other_secrets_and_holes() {
        let ((a, at_a), (b, at_b), (stranger, _)) =
            (socket().await, socket().await, socket().await);
        let noise = async {
            let of = |sid: &str, secret: &[u8]| {
                let message = NatHoleSid {
                    sid: sid.to_owned(),
                    response: true,
                    ..NatHoleSid::default()
                };
                seal(&message, &Key::derive(secret), random()).unwrap()
            };
            for to in [at_a, at_b] {
                for datagram in [vec![], vec![0; 1500], of("s", b"other"), of("t", b"secret")] {
                    stranger.send_to(&datagram, to).await.unwrap();
                }
            }
        };
        noise.await;
        let (sender, receiver) = (orders(Role::Sender, at_b), orders(Role::Receiver, at_a));
        let (a, b) = tokio::join!(dig(a, &sender), dig(b, &receiver));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!((a.peer, b.peer), (at_b, at_a));
        assert!(a.does.half_close && b.does.first_byte);
    }

    #[tokio::test]
    async fn a_sender_finds_who_is_elsewhere_than_it_was_told_if_it_is_heard_from_there() {
        let ((a, at_a), (b, at_b), (_nobody, elsewhere)) =
            (socket().await, socket().await, socket().await);
        let sender = orders(Role::Sender, elsewhere);
        let receiver = orders(Role::Receiver, at_a);
        let (a, b) = tokio::join!(dig(a, &sender), dig(b, &receiver));
        assert_eq!((a.unwrap().peer, b.unwrap().peer), (at_b, at_a));
    }

    #[tokio::test]
    async fn a_receiver_is_found_by_any_of_its_sockets() {
        let ((a, at_a), (b, at_b)) = (socket().await, socket().await);
        let sender = orders(Role::Sender, at_b);
        let receiver = Orders {
            sockets: 20,
            ..orders(Role::Receiver, at_a)
        };
        let (a, b) = tokio::join!(dig(a, &sender), dig(b, &receiver));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(b.peer, at_a);
        assert_eq!(a.peer.port(), b.socket.local_addr().unwrap().port());
    }
}
