//! The virtual network of this machine: its device, and the connections that packets go by.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::task::{coop, yield_now};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::device::{Device, LARGEST};
use crate::framing::{FrameError, Frames};
use crate::join::Join;
use crate::limits::{DEVICE_TURN, LAST_WRITE, MAX_REFUSED, TELL_DROPPED};
use crate::open::OpenError;
use crate::packet::{Packet, is_routable};
use crate::peer::{Dropped, Kind, Peer};
use crate::router::{Router, Source};
use crate::split::split;
use crate::{Address, virtio};

/// The device and all connections; clones are the same.
#[derive(Debug, Clone)]
pub struct Net(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    address: Address,
    device: Device,
    router: Router,
    peers: AtomicU64,
}

/// An address that is reached by a connection of ours, once there is one. Dropped, it is not any more.
#[derive(Debug)]
pub struct Visit {
    shared: Arc<Shared>,
    destination: IpAddr,
    peer: Arc<Peer>,
}

/// Another visitor has this address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is the destinationIP of another visitor already")]
pub struct Taken(IpAddr);

/// Why a connection carries no more packets.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The peer has ended it.
    #[error("the peer has closed it")]
    Closed,
    /// It cannot be read.
    #[error("read: {0}")]
    Read(io::Error),
    /// It cannot be written.
    #[error("write: {0}")]
    Write(io::Error),
    /// What the peer sends is no stream of packets.
    #[error("{0}")]
    Frame(#[from] FrameError),
}

impl End {
    /// Whether the peer does what it should not.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Frame(_))
    }
}

impl Net {
    /// Makes the device. Needs a runtime, and that [`run`](Self::run) runs.
    ///
    /// # Errors
    /// There is no device to be had.
    pub async fn open(address: Address) -> Result<Self, OpenError> {
        Ok(Self(Arc::new(Shared {
            address,
            device: Device::open(address).await?,
            router: Router::new(address.ip),
            peers: AtomicU64::new(0),
        })))
    }

    /// What the system calls the device.
    #[must_use]
    pub fn device(&self) -> &str {
        self.0.device.name()
    }

    /// The address of this machine.
    #[must_use]
    pub fn address(&self) -> Address {
        self.0.address
    }

    /// Whether the system sends to `ip` by the device.
    pub async fn leads_to(&self, ip: IpAddr) -> bool {
        self.0.address.is_with(ip) || self.0.device.leads_to(ip).await
    }

    /// Brings packets from the device to the connections, until the device is gone.
    pub async fn run(&self) -> io::Error {
        let mut buffer = vec![0; LARGEST];
        loop {
            if let Err(e) = self.0.device.readable().await {
                return e;
            }
            for _ in 0..DEVICE_TURN {
                match self.0.device.read(&mut buffer) {
                    Ok(Some(bytes)) => self.0.send(buffer.get_mut(..bytes).unwrap_or_default()),
                    Ok(None) => break,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return e,
                }
            }
            // Those that write to the connections have their turn before more comes.
            yield_now().await;
        }
    }

    /// Has `destination` be reached by the proxy of this name, see [`Visit::carry`].
    ///
    /// # Errors
    /// It is already.
    pub fn visit(&self, destination: IpAddr, proxy: &str) -> Result<Visit, Taken> {
        let peer = self.0.peer(Kind::Owner(proxy.to_owned()));
        match self.0.router.give(destination, &peer) {
            true => Ok(Visit {
                shared: self.0.clone(),
                destination,
                peer,
            }),
            false => Err(Taken(destination)),
        }
    }

    /// Carries packets to and from a visitor of ours. `tell` is told now and then what had to be dropped.
    pub async fn serve<S>(&self, stream: S, tell: impl FnMut(Dropped)) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let guest = Guest {
            shared: &self.0,
            peer: self.0.peer(Kind::Visitor),
        };
        self.0.carry(&guest.peer, stream, tell).await
    }
}

/// A visitor; dropped, what was learnt of it is forgotten.
struct Guest<'a> {
    shared: &'a Shared,
    peer: Arc<Peer>,
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.shared.router.forget(&self.peer);
    }
}

impl Visit {
    /// Waits until somebody has sent a packet to the address and there was no connection.
    pub async fn wanted(&self) {
        self.peer.wanted().await;
    }

    /// Carries packets to and from the owner of the proxy. `tell` is told now and then what had to be dropped.
    pub async fn carry<S>(&self, stream: S, tell: impl FnMut(Dropped)) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.shared.carry(&self.peer, stream, tell).await
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.shared.router.take_back(self.destination);
    }
}

/// As long as there is a connection.
struct Connected<'a>(&'a Peer);

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.connected(false);
    }
}

impl Shared {
    fn peer(&self, kind: Kind) -> Arc<Peer> {
        let number = self.peers.fetch_add(1, Ordering::Relaxed);
        Arc::new(Peer::new(number, kind))
    }

    /// Puts what was read of the device where it goes. What goes nowhere, as what a system says to its
    /// neighbours, is dropped.
    fn send(&self, read: &mut [u8]) {
        let Some((meaning, bytes)) = virtio::read(read) else {
            return;
        };
        let Ok(packet) = Packet::parse(bytes) else {
            return;
        };
        let Some(peer) = self.router.peer_of(packet.destination) else {
            return;
        };
        if peer.is_there() {
            peer.queue.add(|waiting| {
                let _ = split(meaning, bytes, |head, rest| waiting.put(head, rest));
            });
        }
    }

    async fn carry<S>(&self, peer: &Arc<Peer>, stream: S, mut tell: impl FnMut(Dropped)) -> End
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut reader, mut writer) = tokio::io::split(stream);
        peer.connected(true);
        let connected = Connected(peer);
        let mut telling = interval(TELL_DROPPED);
        telling.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = {
            let mut reading = std::pin::pin!(self.read(peer, &mut reader));
            let mut writing = std::pin::pin!(write(peer, &mut writer));
            loop {
                tokio::select! {
                    end = &mut reading => break end,
                    end = &mut writing => break end,
                    _ = telling.tick() => peer.take_dropped().into_iter().for_each(&mut tell),
                }
            }
        };
        drop(connected);
        peer.take_dropped().into_iter().for_each(&mut tell);
        let _ = timeout(LAST_WRITE, writer.shutdown()).await;
        end
    }

    /// Brings packets from a connection to the device.
    async fn read(&self, peer: &Arc<Peer>, reader: &mut (impl AsyncRead + Unpin)) -> End {
        let mut frames = Frames::default();
        let mut join = Join::default();
        let mut refused = Vec::new();
        let mut write = |bytes: &[u8]| {
            if self.device.write(bytes).is_err() {
                peer.losses.refused();
            }
        };
        loop {
            match reader.read(frames.room()).await {
                Ok(0) => return End::Closed,
                Ok(bytes) => frames.came(bytes),
                Err(e) => return End::Read(e),
            }
            // Of the packets that came together most are of one address.
            let mut last = None;
            loop {
                let packet = match frames.next() {
                    Ok(Some(frame)) => Packet::parse(frame),
                    Ok(None) => break,
                    Err(e) => return End::Frame(e),
                };
                let packet = match packet {
                    Ok(packet) => packet,
                    Err(e) => {
                        peer.losses.malformed(Some(e), 1);
                        continue;
                    }
                };
                if !is_routable(packet.destination) {
                    peer.losses.misdirected();
                    continue;
                }
                if last != Some(packet.source) {
                    if !self.admits(peer, packet.source, &mut refused).await {
                        peer.losses.foreign(packet.source);
                        continue;
                    }
                    last = Some(packet.source);
                }
                join.add(packet.bytes, &mut write);
            }
            join.flush(&mut write);
            match frames.take_skipped() {
                0 => {}
                count => peer.losses.malformed(None, count),
            }
            coop::consume_budget().await;
        }
    }

    /// Whether `peer` may send from `source`, which is learnt, where it is new. `refused` has some of those that may
    /// not, for to ask the system takes a while.
    async fn admits(&self, peer: &Arc<Peer>, source: IpAddr, refused: &mut Vec<IpAddr>) -> bool {
        match self.router.source(peer, source) {
            Source::Known => true,
            Source::Foreign => false,
            Source::New if refused.contains(&source) => false,
            Source::New => {
                let is_ours = self.address.is_with(source) || self.device.leads_to(source).await;
                let may =
                    is_ours && (peer.kind != Kind::Visitor || self.router.learn(source, peer));
                if !may {
                    refused.truncate(MAX_REFUSED - 1);
                    refused.insert(0, source);
                }
                may
            }
        }
    }
}

/// Brings what waits for a peer to its connection.
async fn write(peer: &Peer, writer: &mut (impl AsyncWrite + Unpin)) -> End {
    let mut frames = Vec::new();
    loop {
        peer.queue.take(&mut frames).await;
        let written = match writer.write_all(&frames).await {
            Ok(()) => writer.flush().await,
            failed => failed,
        };
        if let Err(e) = written {
            return End::Write(e);
        }
    }
}
