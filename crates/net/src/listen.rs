//! Listening sockets and the accept loop, which only accepts.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::limits::ACCEPT_BACKOFF_MAX;
#[cfg(target_os = "linux")]
use crate::limits::{END_KEEPALIVE, KEEPALIVE_PROBES};

/// Opens a listening TCP socket on `host:port`; port 0 lets the system choose.
///
/// As Go's `net.Listen`, an empty host and both wildcard addresses listen on IPv4 and IPv6 alike
/// where the system has IPv6.
///
/// # Errors
/// The system's error, or `InvalidInput` where `host` is not an address or a resolvable name.
pub fn listen(host: &str, port: u16) -> io::Result<TcpListener> {
    at_host(host, port, listen_at)
}

/// Opens a socket on `host:port` by `open`, which is told whether to take IPv4 beside IPv6.
pub(crate) fn at_host<S>(
    host: &str,
    port: u16,
    open: impl Fn(SocketAddr, bool) -> io::Result<S>,
) -> io::Result<S> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return everywhere(port, open);
    }
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => everywhere(port, open),
        Ok(ip) => open(SocketAddr::new(ip, port), false),
        Err(_) => {
            use std::net::ToSocketAddrs;
            let addr = (host, port).to_socket_addrs()?.next().ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("{host}: no address"))
            })?;
            open(addr, false)
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
/// Running out of descriptors pauses the loop instead of ending or spinning it.
pub async fn accept_loop(
    listener: TcpListener,
    stop: CancellationToken,
    mut each: impl FnMut(TcpStream, SocketAddr),
) {
    let mut pause = Duration::ZERO;
    loop {
        let Some(accepted) = unless_stopped(&stop, listener.accept()).await else {
            return;
        };
        match accepted {
            Ok((conn, peer)) => {
                pause = Duration::ZERO;
                each(conn, canonical(peer));
            }
            Err(e) if is_connection_error(&e) => {}
            Err(e) => {
                pause = (pause * 2).clamp(Duration::from_millis(5), ACCEPT_BACKOFF_MAX);
                tracing::warn!("accept: {e}; trying again in {} ms", pause.as_millis());
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
        let loop_task = tokio::spawn(accept_loop(listener, stop.clone(), |_, _| {}));
        stop.cancel();
        loop_task.await.unwrap();
    }
}
