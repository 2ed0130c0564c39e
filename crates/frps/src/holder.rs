//! Who holds a port that the system would not give us: a line for the operator. What the client is told
//! stays frp's text.

use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use frp_log::{Log, warn};

/// Between two searches: each reads the names of all open files of the machine, and any client can ask
/// for any port.
const SEARCH_PAUSE: Duration = Duration::from_secs(5);

static LAST_SEARCH: Mutex<Option<Instant>> = Mutex::new(None);

/// A kind of socket, as the files below `/proc/net` are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Tcp,
    Udp,
}

/// Tells why `port` could not be opened for the proxy `name`, unless the last search was a moment ago.
/// Does not block.
pub(crate) fn tell(network: Network, port: u16, name: &str, error: &io::Error) {
    match error.kind() {
        io::ErrorKind::AddrInUse if is_time() => {
            let name = name.to_owned();
            tokio::task::spawn_blocking(move || match search(network, port) {
                Some(holder) => warn!(
                    Log::root(),
                    "proxy [{name}]: {network} port {port} is unavailable: {holder}"
                ),
                None => warn!(
                    Log::root(),
                    "proxy [{name}]: {network} port {port} is unavailable: it is in use"
                ),
            });
        }
        io::ErrorKind::PermissionDenied => warn!(
            Log::root(),
            "proxy [{name}]: {network} port {port} is unavailable: permission denied; ports below \
             1024 need root or CAP_NET_BIND_SERVICE"
        ),
        _ => {}
    }
}

fn is_time() -> bool {
    let mut last = LAST_SEARCH.lock().unwrap_or_else(PoisonError::into_inner);
    let is_time = last.is_none_or(|at| at.elapsed() >= SEARCH_PAUSE);
    if is_time {
        *last = Some(Instant::now());
    }
    is_time
}

/// What has the port.
#[derive(Debug, PartialEq, Eq)]
struct Holder {
    port: u16,
    /// Of an outgoing connection.
    peer: Option<SocketAddr>,
    user: u32,
    /// Name and number; only root sees those of others.
    process: Option<(String, u32)>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, user, .. } = self;
        match self.peer {
            Some(peer) => write!(f, "an outgoing connection to {peer} happens to have it")?,
            None => f.write_str("another socket is bound to it")?,
        }
        match &self.process {
            Some((name, id)) => write!(f, ", of {name} (process {id}, user {user})")?,
            None => write!(f, " (user {user})")?,
        }
        match self.peer {
            Some(_) => write!(
                f,
                "; keep the system from giving it to connections: sysctl -w \
                 net.ipv4.ip_local_reserved_ports={port} (add to what is there already), or choose a \
                 port outside of net.ipv4.ip_local_port_range"
            ),
            None => f.write_str("; end that program, or choose another port"),
        }
    }
}

/// Who has the port, where the system tells: `nginx (process 812, user 33)`.
#[cfg(feature = "doctor")]
pub(crate) fn who(network: Network, port: u16) -> Option<String> {
    let holder = search(network, port)?;
    let user = holder.user;
    let who = match &holder.process {
        Some((name, id)) => format!("{name} (process {id}, user {user})"),
        None => format!("a program of user {user}"),
    };
    Some(match holder.peer {
        Some(peer) => format!("{who}, for a connection to {peer}"),
        None => who,
    })
}

/// The one that listens, else any.
fn search(network: Network, port: u16) -> Option<Holder> {
    let mut found: Vec<Row> = Vec::new();
    for version in ["", "6"] {
        let table = fs::read_to_string(format!("/proc/net/{network}{version}"));
        let rows = table.unwrap_or_default();
        found.extend(
            rows.lines()
                .filter_map(Row::parse)
                .filter(|row| row.port == port && row.state != TIME_WAIT),
        );
    }
    let row = found.iter().min_by_key(|row| row.peer.is_some())?;
    Some(Holder {
        port,
        peer: row.peer,
        user: row.user,
        process: process(row.inode),
    })
}

/// A connection that has ended is nobody's, and does not keep others from the port.
const TIME_WAIT: &str = "06";

/// A socket in `/proc/net/tcp` and its siblings (proc_pid_net(5)).
#[derive(Debug)]
struct Row {
    port: u16,
    peer: Option<SocketAddr>,
    state: String,
    user: u32,
    inode: u64,
}

impl Row {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace().skip(1);
        let local = address(fields.next()?)?;
        let peer = address(fields.next()?)?;
        let state = fields.next()?.to_owned();
        let user = fields.nth(3)?.parse().ok()?;
        let inode = fields.nth(1)?.parse().ok()?;
        Some(Self {
            port: local.port(),
            peer: (peer.port() != 0).then_some(peer),
            state,
            user,
            inode,
        })
    }
}

/// `0100007F:1F90`: words in the machine's order, the port as a number.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| {
        let digits = ip.get(at..at + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip: IpAddr = if ip.len() == 8 {
        Ipv4Addr::from(word(0)?).into()
    } else {
        let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
        let bytes: [u8; 16] = words.try_into().ok()?;
        Ipv6Addr::from(bytes).to_canonical()
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// Whose open file the socket is.
fn process(inode: u64) -> Option<(String, u32)> {
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let id = ids.find(|id| {
        let files = fs::read_dir(format!("/proc/{id}/fd"));
        let mut files = files.into_iter().flatten().flatten();
        files.any(|file| {
            fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == socket.as_str())
        })
    })?;
    let name = fs::read_to_string(format!("/proc/{id}/comm")).ok()?;
    Some((name.trim_end().to_owned(), id))
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::UdpSocket;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn found(network: Network, port: u16) -> (Option<SocketAddr>, u32) {
        let holder = search(network, port).unwrap();
        (holder.peer, holder.process.unwrap().1)
    }

    #[tokio::test]
    async fn a_listener_is_told_from_an_outgoing_connection() {
        let us = std::process::id();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let out = TcpStream::connect(at).await.unwrap();
        // The connection that was accepted has the listener's port, too.
        let _accepted = listener.accept().await.unwrap();
        let from = out.local_addr().unwrap();
        assert_eq!(found(Network::Tcp, at.port()), (None, us));
        assert_eq!(found(Network::Tcp, from.port()), (Some(at), us));
        let text = search(Network::Tcp, from.port()).unwrap().to_string();
        let reserve = format!("net.ipv4.ip_local_reserved_ports={}", from.port());
        assert!(text.contains(&reserve), "{text}");
        assert!(
            text.contains(&format!("outgoing connection to {at}")),
            "{text}"
        );
    }

    #[test]
    fn udp_and_ipv6_are_seen() {
        let socket = UdpSocket::bind("[::1]:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(found(Network::Udp, port), (None, std::process::id()));
    }

    #[test]
    fn what_is_no_row_is_none() {
        for line in [
            "",
            "  sl  local_address rem_address   st",
            "0: x:1 y:2 0A",
            "1: 0100:1",
        ] {
            assert!(Row::parse(line).is_none(), "{line}");
        }
    }
}
