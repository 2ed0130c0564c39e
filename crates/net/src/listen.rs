//! Listening sockets and the accept loop, which only accepts.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::task::{Context, Poll};
use std::time::Duration;

use frp_proto::address::without_brackets;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::below;
use crate::limits::{
    ACCEPT_BACKOFF_MAX, ACCEPT_BACKOFF_MIN, ACCEPT_BATCH, ACCEPT_SAYS, UNSENT_TO_ENDS,
};
#[cfg(target_os = "linux")]
use crate::limits::{END_KEEPALIVE, KEEPALIVE_PROBES};
use crate::literal::literal;

/// Opens a listening TCP socket on `host:port`; port 0 lets the system choose.
///
/// # Errors
/// Those of [`Host::resolve`] and [`Host::listen`].
pub fn listen(host: &str, port: u16) -> io::Result<TcpListener> {
    Host::resolve(host)?.listen(port)
}

/// Every address of this machine, of the family of `like`: to dial from, at a port that the system
/// chooses.
pub fn any(like: IpAddr) -> SocketAddr {
    match like {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// Where to dial `peer` from: at `local_ip`, if that is given.
/// An address of a link alone is one of the link that `peer` is on.
pub(crate) fn source(local_ip: Option<IpAddr>, peer: SocketAddr) -> SocketAddr {
    match (local_ip, peer) {
        (None, _) => any(peer.ip()),
        (Some(IpAddr::V6(ip)), SocketAddr::V6(peer)) if ip.is_unicast_link_local() => {
            SocketAddrV6::new(ip, 0, 0, peer.scope_id()).into()
        }
        (Some(ip), _) => SocketAddr::new(ip, 0),
    }
}

/// An address of this machine to listen on, resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// Every address, of IPv4 and IPv6 alike where the system has IPv6. As in Go's `net.Listen`
    /// that is what an empty host and both wildcard addresses mean.
    Everywhere,
    /// This one; its port means nothing.
    At(SocketAddr),
}

impl Host {
    /// `host` is an address, a name or empty. A name is asked for now, which may take its time:
    /// where others wait for this thread, [`lookup`](Self::lookup) is what they need.
    ///
    /// # Errors
    /// `InvalidInput` where the name has no address, or the resolver's.
    pub fn resolve(host: &str) -> io::Result<Self> {
        if let Some(host) = Self::literal(host) {
            return Ok(host);
        }
        use std::net::ToSocketAddrs;
        let host = without_brackets(host);
        Self::first(host, (host, 0).to_socket_addrs()?)
    }

    /// As [`resolve`](Self::resolve), without holding up the thread.
    ///
    /// # Errors
    /// The same.
    pub async fn lookup(host: &str) -> io::Result<Self> {
        if let Some(host) = Self::literal(host) {
            return Ok(host);
        }
        let host = without_brackets(host);
        Self::first(host, tokio::net::lookup_host((host, 0)).await?)
    }

    /// An address or nothing; `None`: a name.
    pub fn literal(host: &str) -> Option<Self> {
        match literal(host, 0) {
            _ if without_brackets(host).is_empty() => Some(Self::Everywhere),
            Some(addr) if addr.ip().is_unspecified() => Some(Self::Everywhere),
            Some(addr) => Some(Self::At(addr)),
            None => None,
        }
    }

    fn first(host: &str, mut found: impl Iterator<Item = SocketAddr>) -> io::Result<Self> {
        let none = || io::Error::new(io::ErrorKind::InvalidInput, format!("{host}: no address"));
        found.next().map(Self::At).ok_or_else(none)
    }

    /// Opens a listening TCP socket there; port 0 lets the system choose.
    ///
    /// # Errors
    /// The system's.
    pub fn listen(self, port: u16) -> io::Result<TcpListener> {
        self.open(port, listen_at)
    }

    /// Opens a socket there by `open`, which is told whether to take IPv4 beside IPv6.
    pub(crate) fn open<S>(
        self,
        port: u16,
        open: impl Fn(SocketAddr, bool) -> io::Result<S>,
    ) -> io::Result<S> {
        match self {
            Self::Everywhere => everywhere(port, open),
            Self::At(mut addr) => {
                addr.set_port(port);
                open(addr, false)
            }
        }
    }
}

fn everywhere<S>(port: u16, open: impl Fn(SocketAddr, bool) -> io::Result<S>) -> io::Result<S> {
    match open(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port), true) {
        Err(e)
            if e.kind() != io::ErrorKind::AddrInUse
                && e.kind() != io::ErrorKind::PermissionDenied =>
        {
            open(SocketAddr::from(([0, 0, 0, 0], port)), false)
        }
        bound => bound,
    }
}

fn listen_at(addr: SocketAddr, dual_stack: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(!dual_stack)?;
    }
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(4096)?;
    TcpListener::from_std(socket.into())
}

/// Accepts until `stop` is cancelled, handing each connection with its peer's address (IPv4-mapped
/// addresses as IPv4) to `each`, which must not block: it spawns.
///
/// Running out of descriptors pauses the loop instead of ending or spinning it; `span` has what is said
/// of that.
pub async fn accept_loop(
    listener: TcpListener,
    span: Span,
    stop: CancellationToken,
    each: impl FnMut(TcpStream, SocketAddr),
) {
    let accept = |cx: &mut Context<'_>| listener.poll_accept(cx);
    accept_all(accept, span, stop, || {}, each).await;
}

/// As [`accept_loop`]; where descriptors have run out, `make_room` has somebody leave.
pub async fn accept_loop_making_room(
    listener: TcpListener,
    stop: CancellationToken,
    make_room: impl FnMut(),
    each: impl FnMut(TcpStream, SocketAddr),
) {
    let accept = |cx: &mut Context<'_>| listener.poll_accept(cx);
    accept_all(accept, Span::none(), stop, make_room, each).await;
}

/// As [`accept_loop`], for a listener that belongs to somebody else: `accept` polls it.
pub async fn accept_loop_polled(
    accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>>,
    stop: CancellationToken,
    each: impl FnMut(TcpStream, SocketAddr),
) {
    accept_all(accept, Span::none(), stop, || {}, each).await;
}

async fn accept_all(
    mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>>,
    span: Span,
    stop: CancellationToken,
    mut make_room: impl FnMut(),
    mut each: impl FnMut(TcpStream, SocketAddr),
) {
    let mut pause = Duration::ZERO;
    let mut said: Option<Instant> = None;
    let mut in_a_row = 0;
    loop {
        let accepting = std::future::poll_fn(&mut accept);
        let Some(accepted) = unless_stopped(&stop, accepting).await else {
            return;
        };
        match accepted {
            Ok((conn, peer)) => {
                pause = Duration::ZERO;
                each(conn, canonical(peer));
                in_a_row += 1;
                if in_a_row == ACCEPT_BATCH {
                    in_a_row = 0;
                    tokio::task::yield_now().await;
                }
            }
            Err(e) if is_connection_error(&e) => {}
            Err(e) => {
                make_room();
                pause = (pause * 2).clamp(ACCEPT_BACKOFF_MIN, ACCEPT_BACKOFF_MAX);
                if said.is_none_or(|at| at.elapsed() >= ACCEPT_SAYS) {
                    said = Some(Instant::now());
                    tracing::warn!(parent: &span, "accept: {e}; trying again");
                }
                if unless_stopped(&stop, tokio::time::sleep(pause))
                    .await
                    .is_none()
                {
                    return;
                }
            }
        }
    }
}

/// Sets what every socket of the data path wants: no Nagle delay (frames are batched above), and
/// keep-alive probes after `keepalive` of silence.
pub fn tune(conn: &TcpStream, keepalive: Option<Duration>) {
    // A socket that died meanwhile refuses options; its next read says so better than we can here.
    let _ = conn.set_nodelay(true);
    if let Some(idle) = keepalive {
        let options = socket2::TcpKeepalive::new().with_time(idle);
        #[cfg(target_os = "linux")]
        let options = options
            .with_interval(END_KEEPALIVE)
            .with_retries(KEEPALIVE_PROBES);
        let _ = socket2::SockRef::from(conn).set_tcp_keepalive(&options);
    }
}

/// Has the system take no more than [`UNSENT_TO_ENDS`] for `conn` ahead of what it sends.
pub fn limit_unsent(conn: &TcpStream) {
    below::limit_unsent(conn, UNSENT_TO_ENDS);
}

/// The address as a user writes it: `::ffff:1.2.3.4` becomes `1.2.3.4`.
pub fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

async fn unless_stopped<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        done = work => Some(done),
    }
}

/// Errors of the connection that was being accepted, not of the listener.
fn is_connection_error(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wildcard_listener_answers_on_ipv4() {
        for host in ["", "0.0.0.0", "::", "[::]"] {
            let listener = listen(host, 0).unwrap();
            let port = listener.local_addr().unwrap().port();
            let (user, accepted) =
                tokio::join!(TcpStream::connect(("127.0.0.1", port)), listener.accept());
            user.unwrap();
            let (_, peer) = accepted.unwrap();
            assert_eq!(
                canonical(peer).ip().to_string(),
                "127.0.0.1",
                "host {host:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_name_is_looked_up_and_an_address_is_not() {
        assert_eq!(Host::literal("localhost"), None);
        assert_eq!(Host::literal("::"), Some(Host::Everywhere));
        assert_eq!(
            Host::lookup("localhost").await.unwrap(),
            Host::resolve("localhost").unwrap()
        );
    }

    #[tokio::test]
    async fn a_taken_port_is_refused() {
        let first = listen("127.0.0.1", 0).unwrap();
        let port = first.local_addr().unwrap().port();
        assert_eq!(
            listen("127.0.0.1", port).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        assert_eq!(
            listen("0.0.0.0", port).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_peer_that_vanished_is_found_out() {
        let listener = listen("127.0.0.1", 0).unwrap();
        let conn = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        tune(&conn, Some(END_KEEPALIVE));
        let socket = socket2::SockRef::from(&conn);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), END_KEEPALIVE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), END_KEEPALIVE);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
    }

    #[tokio::test]
    async fn the_loop_ends_when_stopped() {
        let stop = CancellationToken::new();
        let listener = listen("127.0.0.1", 0).unwrap();
        let loop_task = tokio::spawn(accept_loop(listener, Span::none(), stop.clone(), |_, _| {}));
        stop.cancel();
        loop_task.await.unwrap();
    }
}
