//! Who has which port (frp `server/ports/ports.go`); TCP and UDP ports are apart. A port is probed
//! by opening it for good, so nothing can slip in between.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use frp_config::PortRange;
use frp_net::listen::Host;
use frp_net::udp_socket;
use tokio::net::{TcpListener, UdpSocket};

use crate::ended::{Ended, Turn};
use crate::holder::{self, Network};
use crate::random::random_bytes;

/// A name gets its last random port again within this time after its release.
const RESERVED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Random ports tried before giving up; the system may hold some of those that we could use.
const RANDOM_TRIES: usize = 16;

/// `allowPorts`: which ports clients may have.
#[derive(Debug, Clone)]
pub(crate) struct AllowedPorts {
    given: Vec<PortRange>,
    /// The same, disjoint and in order.
    ranges: Vec<PortRange>,
}

impl AllowedPorts {
    /// Those of `given`; of none, every port.
    pub(crate) fn new(given: Vec<PortRange>) -> Self {
        let all = [PortRange {
            start: 1,
            end: u16::MAX,
        }];
        let ranges = disjoint(if given.is_empty() { &all } else { &given });
        Self { given, ranges }
    }

    /// Those that are in `own`, too, where that says something.
    pub(crate) fn within<'a>(&'a self, own: &[PortRange]) -> Cow<'a, Self> {
        if own.is_empty() {
            return Cow::Borrowed(self);
        }
        let common = self.ranges.iter().flat_map(|all| {
            own.iter().map(|own| PortRange {
                start: all.start.max(own.start),
                end: all.end.min(own.end),
            })
        });
        Cow::Owned(Self {
            given: own.to_vec(),
            ranges: disjoint(&common.collect::<Vec<_>>()),
        })
    }

    pub(crate) fn contains(&self, port: u16) -> bool {
        let mut ranges = self.ranges.iter();
        ranges.any(|range| (range.start..=range.end).contains(&port))
    }

    fn iter(&self) -> impl Iterator<Item = u16> + Clone {
        self.ranges.iter().flat_map(|range| range.start..=range.end)
    }

    fn count(&self) -> usize {
        let counts = self.ranges.iter();
        counts.map(|r| usize::from(r.end - r.start) + 1).sum()
    }
}

/// As given: `1000-2000,3000`.
impl fmt::Display for AllowedPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, PortRange { start, end }) in self.given.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            match start == end {
                true => write!(f, "{comma}{start}")?,
                false => write!(f, "{comma}{start}-{end}")?,
            }
        }
        Ok(())
    }
}

/// Why a port was not given; the texts are frp's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PortError {
    #[error("port already used")]
    AlreadyUsed,
    #[error("port not allowed")]
    NotAllowed,
    #[error("port unavailable")]
    Unavailable,
    #[error("no available port")]
    NoneAvailable,
}

/// A socket on a port.
pub(crate) trait PortSocket: Sized {
    const NETWORK: Network;
    fn open(host: Host, port: u16) -> io::Result<Self>;
    fn port(&self) -> io::Result<u16>;
}

impl PortSocket for TcpListener {
    const NETWORK: Network = Network::Tcp;

    fn open(host: Host, port: u16) -> io::Result<Self> {
        host.listen(port)
    }

    fn port(&self) -> io::Result<u16> {
        Ok(self.local_addr()?.port())
    }
}

impl PortSocket for UdpSocket {
    const NETWORK: Network = Network::Udp;

    fn open(host: Host, port: u16) -> io::Result<Self> {
        udp_socket::bind_at(host, port)
    }

    fn port(&self) -> io::Result<u16> {
        Ok(self.local_addr()?.port())
    }
}

/// The ports of one address and one kind of socket.
#[derive(Debug)]
pub(crate) struct Ports<S = TcpListener> {
    socket: PhantomData<fn() -> S>,
    host: Host,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: HashMap<u16, Arc<str>>,
    last: HashMap<Arc<str>, LastPort>,
    /// Those of `last` that have released their port.
    ended: Ended<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct LastPort {
    port: u16,
    released: Option<Turn>,
}

impl State {
    fn taken(&mut self, port: u16, name: &Arc<str>) {
        self.used.insert(port, name.clone());
        let now = LastPort {
            port,
            released: None,
        };
        let before = self.last.insert(name.clone(), now);
        if let Some(turn) = before.and_then(|last| last.released) {
            self.ended.remove(turn);
        }
    }

    fn released(&mut self, port: u16) {
        // The name may have another port by now, where a group still had this one.
        if let Some(name) = self.used.remove(&port)
            && let Some(last) = self.last.get_mut(&name)
            && last.port == port
            && last.released.is_none()
        {
            let text = name.len();
            last.released = Some(self.ended.push(name, Instant::now(), text));
        }
        self.forget_old();
    }

    fn forget_old(&mut self) {
        let is_old = |at: &Instant| at.elapsed() >= RESERVED_FOR;
        while let Some(name) = self.ended.pop(is_old) {
            self.last.remove(&name);
        }
    }
}

/// An open port, given back on drop.
#[derive(Debug)]
pub(crate) struct Lease<S = TcpListener> {
    listener: S,
    guard: PortGuard<S>,
}

/// The part of a [`Lease`] that gives the port back.
#[derive(Debug)]
pub(crate) struct PortGuard<S = TcpListener> {
    port: u16,
    ports: Arc<Ports<S>>,
}

impl<S: PortSocket> Ports<S> {
    pub(crate) fn new(host: Host) -> Self {
        Self {
            socket: PhantomData,
            host,
            state: Mutex::default(),
        }
    }

    /// Opens `port` for the proxy `name`; 0 means the port that the name had last, else any.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        name: &Arc<str>,
        port: u16,
        allowed: &AllowedPorts,
    ) -> Result<Lease<S>, PortError> {
        let mut state = self.lock();
        state.forget_old();
        let listener = match port {
            0 => self.open_any(&state, name, allowed)?,
            _ if state.used.contains_key(&port) => return Err(PortError::AlreadyUsed),
            _ if !allowed.contains(port) => return Err(PortError::NotAllowed),
            _ => self.open(port).map_err(|error| {
                holder::tell(S::NETWORK, port, name, &error);
                PortError::Unavailable
            })?,
        };
        let port = listener.port().map_err(|_| PortError::Unavailable)?;
        state.taken(port, name);
        Ok(Lease {
            listener,
            guard: PortGuard {
                port,
                ports: self.clone(),
            },
        })
    }

    fn open_any(&self, state: &State, name: &str, allowed: &AllowedPorts) -> Result<S, PortError> {
        let free = |port: &u16| !state.used.contains_key(port);
        let last = state.last.get(name).map(|last| last.port).filter(free);
        let last = last.filter(|port| allowed.contains(*port));
        if let Some(listener) = last.and_then(|port| self.open(port).ok()) {
            return Ok(listener);
        }
        let ports = allowed.count();
        let start = u32::from_le_bytes(random_bytes()) as usize % ports.max(1);
        allowed
            .iter()
            .cycle()
            .skip(start)
            .take(ports)
            .filter(free)
            .take(RANDOM_TRIES)
            .find_map(|port| self.open(port).ok())
            .ok_or(PortError::NoneAvailable)
    }

    fn open(&self, port: u16) -> io::Result<S> {
        S::open(self.host, port)
    }
}

impl<S> Ports<S> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Lease<S> {
    pub(crate) fn port(&self) -> u16 {
        self.guard.port
    }

    /// The listener, and what must be dropped after it.
    pub(crate) fn into_listener(self) -> (S, PortGuard<S>) {
        (self.listener, self.guard)
    }
}

impl<S> Drop for PortGuard<S> {
    fn drop(&mut self) {
        self.ports.lock().released(self.port);
    }
}

fn disjoint(ranges: &[PortRange]) -> Vec<PortRange> {
    let mut sorted: Vec<PortRange> = ranges
        .iter()
        .copied()
        .filter(|range| range.start <= range.end)
        .collect();
    sorted.sort_by_key(|range| range.start);
    let mut merged: Vec<PortRange> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::limits::{MAX_ENDED, MAX_ENDED_TEXT};

    fn range(start: u16, end: u16) -> PortRange {
        PortRange { start, end }
    }

    fn local() -> Host {
        Host::resolve("127.0.0.1").unwrap()
    }

    /// A port that was free a moment ago.
    fn free_port() -> u16 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    }

    #[tokio::test]
    async fn each_refusal_has_frps_text() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken_port = taken.local_addr().unwrap().port();
        let port = free_port();
        let ports: Arc<Ports> = Arc::new(Ports::new(local()));
        let allowed = AllowedPorts::new(vec![range(port, port), range(taken_port, taken_port)]);
        let lease = ports.acquire(&"a".into(), port, &allowed).unwrap();
        assert_eq!(
            ports
                .acquire(&"b".into(), port, &allowed)
                .unwrap_err()
                .to_string(),
            "port already used"
        );
        assert_eq!(
            ports
                .acquire(&"b".into(), taken_port, &allowed)
                .unwrap_err()
                .to_string(),
            "port unavailable"
        );
        let other = if port == 1 { 2 } else { 1 };
        assert_eq!(
            ports
                .acquire(&"b".into(), other, &allowed)
                .unwrap_err()
                .to_string(),
            "port not allowed"
        );
        assert_eq!(
            ports
                .acquire(&"b".into(), 0, &allowed)
                .unwrap_err()
                .to_string(),
            "no available port"
        );
        drop(lease);
        ports.acquire(&"b".into(), port, &allowed).unwrap();
    }

    #[tokio::test]
    async fn a_name_gets_its_random_port_again() {
        let ports: Arc<Ports> = Arc::new(Ports::new(local()));
        let allowed = AllowedPorts::new(Vec::new());
        let first = ports.acquire(&"a".into(), 0, &allowed).unwrap().port();
        assert_eq!(
            ports.acquire(&"a".into(), 0, &allowed).unwrap().port(),
            first
        );
    }

    #[tokio::test]
    async fn a_udp_port_is_taken_by_udp_only() {
        let port = free_port();
        let allowed = AllowedPorts::new(vec![range(port, port)]);
        let tcp: Arc<Ports> = Arc::new(Ports::new(local()));
        let udp: Arc<Ports<UdpSocket>> = Arc::new(Ports::new(local()));
        let lease = udp.acquire(&"a".into(), port, &allowed).unwrap();
        assert_eq!(
            udp.acquire(&"b".into(), port, &allowed).unwrap_err(),
            PortError::AlreadyUsed
        );
        tcp.acquire(&"c".into(), port, &allowed).unwrap();
        drop(lease);
        let taken = std::net::UdpSocket::bind(("127.0.0.1", port)).unwrap();
        assert_eq!(
            udp.acquire(&"b".into(), port, &allowed).unwrap_err(),
            PortError::Unavailable
        );
        drop(taken);
        udp.acquire(&"b".into(), port, &allowed).unwrap();
    }

    /// A name has its port again, and what is kept of names that have gone is bounded.
    #[tokio::test]
    async fn names_that_have_gone_are_bounded() {
        let ports: Arc<Ports> = Arc::new(Ports::new(local()));
        let mut state = ports.lock();
        let name = |n: usize| Arc::<str>::from(n.to_string());
        for n in 0..MAX_ENDED + 10 {
            state.taken(1, &name(n));
            state.released(1);
        }
        assert_eq!(state.last.len(), MAX_ENDED);
        assert!(!state.last.contains_key("9"));
        // The oldest of those left comes back; then it is the newest that goes.
        state.taken(1, &name(10));
        state.released(1);
        for n in 0..MAX_ENDED - 1 {
            state.taken(2, &name(n + 1_000_000));
            state.released(2);
        }
        assert!(state.last.contains_key("10"));
        let long: Arc<str> = "n".repeat(MAX_ENDED_TEXT).into();
        state.taken(1, &long);
        state.released(1);
        assert_eq!(state.last.len(), 1);
    }

    /// The first member of a group has left it, and has another port before the group's is free.
    #[tokio::test]
    async fn a_port_released_late_is_not_that_of_its_name() {
        let ports: Arc<Ports> = Arc::new(Ports::new(local()));
        let mut state = ports.lock();
        let name: Arc<str> = "a".into();
        state.taken(1, &name);
        state.taken(2, &name);
        state.released(1);
        assert_eq!(state.last["a"].port, 2);
        assert!(state.last["a"].released.is_none());
    }

    #[test]
    fn overlapping_ranges_are_merged() {
        let merged = disjoint(&[range(10, 20), range(15, 30), range(5, 4), range(40, 40)]);
        assert_eq!(merged, [range(10, 30), range(40, 40)]);
    }
}
