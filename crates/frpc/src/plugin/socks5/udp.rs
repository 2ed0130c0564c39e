//! Datagrams of a SOCKS5 user: beside the tunnel (UDP ASSOCIATE, RFC 1928, section 7) or through
//! it (sing-box's UDP over TCP, versions 1 and 2:
//! <https://sing-box.sagernet.org/configuration/shared/udp-over-tcp/>).
//!
//! Both last exactly as long as the user's connection. As everywhere with UDP, a datagram that
//! cannot be passed on at once is dropped.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use frp_net::listen::any;
use frp_net::resolve;
use frp_relay::counted::Counted;
use frp_relay::layers::Carried;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, consume_budget, spawn_blocking};
use tokio::time::{Instant, timeout};

use super::address::{Address, Host, Numbering};
use super::wire::{HANDSHAKE, SocksError, bytes};
use crate::user::User;

/// Bytes of the largest datagram.
const DATAGRAM: usize = 65_535;

/// Bytes read from a stream at a time, at least.
const READ: usize = 4096;

/// Datagrams of one user that may wait for their target's name to be looked up.
const MAX_LOOKUPS: usize = 16;

/// A lookup that takes longer is not waited for.
const LOOKUP: Duration = Duration::from_secs(10);

/// Lookups of all users at a time. Each takes a thread until the resolver has given up, also when
/// nobody waits for it any more; everything else that needs one must find one.
static LOOKUPS: Semaphore = Semaphore::const_new(64);

/// How long an address that was looked up is used, and how many are remembered for a user.
const REMEMBER: Duration = Duration::from_secs(60);
const MAX_REMEMBERED: usize = 256;

/// A user that takes nothing for this long while there is something to take has left.
const STALLED: Duration = Duration::from_secs(30);

/// A form of datagrams within a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OverTcp {
    V1,
    V2,
}

/// The form that a CONNECT to one of the two magic names asks for.
pub(crate) fn over_tcp_version(address: &Address) -> Option<OverTcp> {
    match &address.host {
        Host::Name(name) if name == "sp.udp-over-tcp.arpa" => Some(OverTcp::V1),
        Host::Name(name) if name == "sp.v2.udp-over-tcp.arpa" => Some(OverTcp::V2),
        _ => None,
    }
}

/// A user's relay socket and who may use it.
#[derive(Debug)]
pub(super) struct Association {
    socket: UdpSocket,
    /// The address of `socket`, which the user is told.
    pub(super) near: SocketAddr,
    user: IpAddr,
    outside: Outside,
}

impl Association {
    /// Opens a relay socket on the address with which this machine faces the user. `announced` is
    /// what the user says to send from, `seen` the address that the server sees the user at.
    pub(super) async fn open(
        announced: &Address,
        seen: Option<SocketAddr>,
    ) -> Result<Self, SocksError> {
        let user = match announced.host {
            Host::Ip(ip) if !ip.is_unspecified() => ip,
            _ => seen.ok_or(SocksError::Anonymous)?.ip(),
        };
        let user = user.to_canonical();
        let probe = UdpSocket::bind(any(user)).await?;
        // Sends nothing; the system only picks the route. Any port will do.
        probe.connect((user, 9)).await?;
        let socket = udp_socket(probe.local_addr()?.ip()).await?;
        Ok(Self {
            near: socket.local_addr()?,
            socket,
            user,
            outside: Outside::open().await?,
        })
    }

    /// Carries datagrams until the user's connection ends.
    pub(super) async fn run(self, mut control: Carried) -> io::Result<()> {
        // The first datagram tells the port; nobody else is heard from then on.
        let user = OnceLock::new();
        tokio::select! {
            ended = until_end(&mut control) => ended,
            failed = self.take_from_user(&user) => failed,
            failed = self.pass_to_user(&user) => failed,
        }
    }

    async fn take_from_user(&self, user: &OnceLock<SocketAddr>) -> io::Result<()> {
        let mut sender = Sender::new(&self.outside);
        loop {
            consume_budget().await;
            tokio::select! {
                ready = self.socket.readable() => ready?,
                () = sender.looked_up() => continue,
            }
            let mut datagram = Vec::new();
            let Some(from) = received(&self.socket, &mut datagram)? else {
                continue;
            };
            if from.ip().to_canonical() != self.user || *user.get_or_init(|| from) != from {
                continue;
            }
            // Fragments are not put together, which the RFC allows; what is malformed is dropped.
            let [_, _, 0, packet @ ..] = &datagram[..] else {
                continue;
            };
            if let Ok(Some((to, data))) = Address::parse(packet, Numbering::Socks) {
                sender.send(to, data);
            }
        }
    }

    async fn pass_to_user(&self, user: &OnceLock<SocketAddr>) -> io::Result<()> {
        loop {
            let (from, data) = self.outside.receive().await?;
            let Some(user) = user.get() else {
                continue;
            };
            let mut datagram = vec![0, 0, 0];
            Address::from(from).write(&mut datagram);
            datagram.extend(data);
            // Too large with its heading, or no room: lost.
            let _ = self.socket.try_send_to(&datagram, *user);
        }
    }
}

/// Carries datagrams through the user's connection until it ends.
pub(super) async fn over_tcp(
    mut carried: Carried,
    version: OverTcp,
    user: &User,
) -> Result<(), SocksError> {
    let fixed = match version {
        OverTcp::V1 => None,
        OverTcp::V2 => match timeout(HANDSHAKE, fixed_target(&mut carried)).await {
            Ok(fixed) => fixed?,
            Err(_) => return Err(SocksError::TooSlow),
        },
    };
    let outside = Outside::open().await?;
    let (reader, writer) = tokio::io::split(Counted::new(carried, user.traffic.clone()));
    let with_address = fixed.is_none();
    tokio::select! {
        ended = from_stream(reader, &outside, fixed) => ended,
        ended = to_stream(writer, &outside, with_address) => Ok(ended?),
    }
}

/// The request of version 2: whether all datagrams go to one target, and to which.
async fn fixed_target(user: &mut Carried) -> Result<Option<Address>, SocksError> {
    let [is_connect] = bytes(user).await?;
    let address = Address::read(user).await?;
    Ok((is_connect == 1).then_some(address))
}

async fn from_stream(
    mut reader: impl AsyncRead + Unpin,
    outside: &Outside,
    fixed: Option<Address>,
) -> Result<(), SocksError> {
    let mut sender = Sender::new(outside);
    let mut buffer = BytesMut::new();
    loop {
        while let Some((to, len, heading)) = packet(&buffer, fixed.as_ref())? {
            consume_budget().await;
            buffer.advance(heading);
            sender.send(to, &buffer.split_to(len));
        }
        buffer.reserve(READ);
        tokio::select! {
            read = reader.read_buf(&mut buffer) => if read? == 0 { return Ok(()) },
            () = sender.looked_up() => {}
        }
    }
}

/// The whole datagram at the start of `bytes`: its target, its length, the length of its heading.
pub(crate) fn packet(
    bytes: &[u8],
    fixed: Option<&Address>,
) -> Result<Option<(Address, usize, usize)>, SocksError> {
    let (to, rest) = match fixed {
        Some(to) => (to.clone(), bytes),
        None => match Address::parse(bytes, Numbering::Sing)? {
            Some(parsed) => parsed,
            None => return Ok(None),
        },
    };
    let Some((len, data)) = rest.split_first_chunk() else {
        return Ok(None);
    };
    let len = usize::from(u16::from_be_bytes(*len));
    let heading = bytes.len() - data.len();
    Ok((data.len() >= len).then_some((to, len, heading)))
}

async fn to_stream(
    mut writer: impl AsyncWrite + Unpin,
    outside: &Outside,
    with_address: bool,
) -> io::Result<()> {
    loop {
        let (from, data) = outside.receive().await?;
        let mut packet = Vec::new();
        if with_address {
            Address::from(from).write_as(Numbering::Sing, &mut packet);
        }
        let Ok(len) = u16::try_from(data.len()) else {
            continue;
        };
        packet.extend(len.to_be_bytes());
        packet.extend(data);
        let written = timeout(STALLED, async {
            writer.write_all(&packet).await?;
            writer.flush().await
        });
        written
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    }
}

/// The sockets that targets see.
#[derive(Debug)]
struct Outside {
    v4: UdpSocket,
    /// Not on every machine.
    v6: Option<UdpSocket>,
}

impl Outside {
    async fn open() -> io::Result<Self> {
        Ok(Self {
            v4: udp_socket(Ipv4Addr::UNSPECIFIED.into()).await?,
            v6: udp_socket(Ipv6Addr::UNSPECIFIED.into()).await.ok(),
        })
    }

    fn send(&self, to: SocketAddr, data: &[u8]) {
        let socket = match to {
            SocketAddr::V4(_) => Some(&self.v4),
            SocketAddr::V6(_) => self.v6.as_ref(),
        };
        if let Some(socket) = socket {
            let _ = socket.try_send_to(data, to);
        }
    }

    async fn receive(&self) -> io::Result<(SocketAddr, Vec<u8>)> {
        let mut data = Vec::new();
        loop {
            // A flood must leave the thread to others at times.
            consume_budget().await;
            let socket = match &self.v6 {
                Some(v6) => tokio::select! {
                    ready = self.v4.readable() => ready.map(|()| &self.v4),
                    ready = v6.readable() => ready.map(|()| v6),
                },
                None => self.v4.readable().await.map(|()| &self.v4),
            }?;
            if let Some(from) = received(socket, &mut data)? {
                return Ok((from, data));
            }
        }
    }
}

/// Sends to names and addresses.
struct Sender<'a> {
    outside: &'a Outside,
    known: HashMap<String, (IpAddr, Instant)>,
    lookups: JoinSet<Option<(String, SocketAddr, Vec<u8>)>>,
}

impl<'a> Sender<'a> {
    fn new(outside: &'a Outside) -> Self {
        Self {
            outside,
            known: HashMap::new(),
            lookups: JoinSet::new(),
        }
    }

    fn send(&mut self, to: Address, data: &[u8]) {
        let name = match to.host {
            Host::Ip(ip) => return self.outside.send((ip.to_canonical(), to.port).into(), data),
            Host::Name(name) => name,
        };
        match self.known.get(&name) {
            Some((ip, until)) if *until > Instant::now() => {
                self.outside.send((*ip, to.port).into(), data);
            }
            _ if self.lookups.len() < MAX_LOOKUPS => {
                let data = data.to_vec();
                self.lookups.spawn(async move {
                    let found = look_up(name.clone(), to.port).await?;
                    Some((name, found, data))
                });
            }
            _ => {}
        }
    }

    /// Sends what waited for its target's name, once; never ready while nothing waits.
    async fn looked_up(&mut self) {
        let Some(done) = self.lookups.join_next().await else {
            return std::future::pending().await;
        };
        if let Ok(Some((name, to, data))) = done {
            self.outside.send(to, &data);
            if self.known.len() >= MAX_REMEMBERED {
                self.known.clear();
            }
            self.known
                .insert(name, (to.ip(), Instant::now() + REMEMBER));
        }
    }
}

/// The first address of a name, if it is found within [`LOOKUP`].
async fn look_up(name: String, port: u16) -> Option<SocketAddr> {
    if resolve::server().is_some() {
        let found = timeout(LOOKUP, resolve::lookup(&name, port)).await;
        return found.ok()?.ok()?.into_iter().next();
    }
    let target = (name, port);
    let found = in_thread(&LOOKUPS, move || target.to_socket_addrs()).await;
    found?.ok()?.next()
}

/// What `work` returns in a thread of its own, if that is within [`LOOKUP`]. Its place among
/// `slots` is taken until it really ends.
async fn in_thread<T: Send + 'static>(
    slots: &'static Semaphore,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let working = async {
        let slot = slots.acquire().await.ok()?;
        let working = spawn_blocking(move || {
            let done = work();
            drop(slot);
            done
        });
        working.await.ok()
    };
    timeout(LOOKUP, working).await.ok()?
}

/// Takes one datagram, if one is there. `Err`: the socket is unusable.
fn received(socket: &UdpSocket, into: &mut Vec<u8>) -> io::Result<Option<SocketAddr>> {
    thread_local! {
        /// Users share it: a buffer of the largest size for each would be most of their memory.
        static SCRATCH: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; DATAGRAM]);
    }
    SCRATCH.with_borrow_mut(|scratch| match socket.try_recv_from(scratch) {
        Ok((len, from)) => {
            *into = scratch.get(..len).unwrap_or_default().to_vec();
            Ok(Some(from))
        }
        Err(e) => match e.kind() {
            // The answers of hosts to what was sent before (ICMP), not of the socket.
            io::ErrorKind::WouldBlock
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => Ok(None),
            _ => Err(e),
        },
    })
}

/// Nothing comes on the connection of an association; its end is what counts.
async fn until_end(control: &mut Carried) -> io::Result<()> {
    let mut ignored = [0; 64];
    while control.read(&mut ignored).await? > 0 {}
    Ok(())
}

/// A socket on any port of `ip` that is known to be writable: before that, the runtime would not
/// even try to send.
async fn udp_socket(ip: IpAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((ip, 0)).await?;
    socket.writable().await?;
    Ok(socket)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_nobody_waits_for_keeps_its_place() {
        static SLOTS: Semaphore = Semaphore::const_new(1);
        let (release, released) = mpsc::channel::<()>();
        let (began, begun) = mpsc::channel();
        let lookup = tokio::spawn(in_thread(&SLOTS, move || {
            began.send(()).unwrap();
            released.recv()
        }));
        while begun.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(LOOKUP * 2).await;
        assert!(lookup.await.unwrap().is_none());
        assert_eq!(SLOTS.available_permits(), 0);

        release.send(()).unwrap();
        drop(SLOTS.acquire().await.unwrap());
        assert_eq!(in_thread(&SLOTS, || 7).await, Some(7));
    }
}
