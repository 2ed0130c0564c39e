//! Dialling: name → addresses → TCP connection, or a proxy's.

pub(crate) mod race;
#[cfg(target_os = "linux")]
mod transparent;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use frp_proto::proxy_url::ProxyUrl;
use tokio::net::{TcpSocket, TcpStream};

pub(crate) use self::race::Progress;
use self::race::race;
#[cfg(target_os = "linux")]
pub use self::transparent::{dial_transparent, may_be_transparent};
use crate::go_text::go_text;
use crate::listen::{source, tune};
use crate::outbound_proxy::{self, ProxyError};
use crate::resolve::{self, LookupError, LookupFailure};
use crate::stream::Stream;

/// How to reach a server.
#[derive(Debug, Clone)]
pub struct DialOptions {
    /// Limit of the whole dial: resolving and every address tried.
    pub timeout: Duration,
    /// Silence before TCP keep-alive probes; `None` sends none.
    pub keepalive: Option<Duration>,
    /// Source address to bind.
    pub local_ip: Option<IpAddr>,
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address, or no resolver answered.
    #[error("{0}")]
    Resolve(#[source] LookupError),
    /// Every address failed, or the time was over when the first one had; its error.
    #[error("dial {network} {addr}: connect: {}", go_text(source))]
    Connect {
        /// `tcp` or `udp`.
        network: &'static str,
        /// The address tried first.
        addr: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The time was over; `addr` is the first address, if the name had resolved.
    #[error("{}", timed_out(host, *addr))]
    TimedOut {
        /// The name as configured.
        host: String,
        /// The address tried first.
        addr: Option<SocketAddr>,
    },
    /// The proxy that was to lead there did not.
    #[error("proxy {proxy}: {source}")]
    Proxy {
        /// The proxy; it shows without user and password.
        proxy: ProxyUrl,
        /// What happened there.
        source: Box<ProxyError>,
    },
}

fn timed_out(host: &str, addr: Option<SocketAddr>) -> String {
    match addr {
        Some(addr) => format!("dial tcp {addr}: i/o timeout"),
        // What took so long is the look-up.
        None => LookupError {
            host: host.to_owned(),
            server: resolve::asked_for(host),
            why: LookupFailure::TimedOut,
        }
        .to_string(),
    }
}

/// Connects to `host:port`, directly or through a proxy, which then resolves the name.
///
/// # Errors
/// See [`DialError`].
pub async fn dial_server(
    host: &str,
    port: u16,
    options: &DialOptions,
    proxy: Option<&ProxyUrl>,
) -> Result<Stream, DialError> {
    let Some(proxy) = proxy else {
        return dial(host, port, options).await.map(Stream::Tcp);
    };
    let dialled = outbound_proxy::dial(proxy, host, port, options).await;
    dialled.map_err(|error| DialError::Proxy {
        proxy: proxy.clone(),
        source: Box::new(error),
    })
}

/// Connects to `host:port`, resolving the name anew each time. A silent address does not hold up
/// the next one for long (RFC 8305); the first connection wins. Of several failures the one of the
/// first address is told, as in Go.
///
/// # Errors
/// See [`DialError`].
pub async fn dial(host: &str, port: u16, options: &DialOptions) -> Result<TcpStream, DialError> {
    let dial_one = |addr| dial_one(addr, options);
    dial_by("tcp", host, port, options, dial_one).await
}

/// The same with another way to connect to one address, over `network`.
pub(crate) async fn dial_by<C, F: Future<Output = io::Result<C>>>(
    network: &'static str,
    host: &str,
    port: u16,
    options: &DialOptions,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<C, DialError> {
    let mut progress = Progress::default();
    match dial_any(host, port, options, &mut progress, connect).await {
        Some(conn) => Ok(conn),
        None => Err(match progress {
            Progress {
                first: Some(addr),
                first_failed: Some(source),
                ..
            } => DialError::Connect {
                network,
                addr,
                source,
            },
            Progress {
                first: None,
                not_found: Some(error),
                ..
            } => DialError::Resolve(error),
            Progress { first: addr, .. } => DialError::TimedOut {
                host: host.to_owned(),
                addr,
            },
        }),
    }
}

/// Has `connect` try the addresses of `host` as [`dial`] does, whatever it connects. `None`: all
/// failed or the time was over, of which `progress` knows more.
pub(crate) async fn dial_any<T, C, F>(
    host: &str,
    port: u16,
    options: &DialOptions,
    progress: &mut Progress<LookupError, C>,
    connect: impl Fn(SocketAddr) -> F,
) -> Option<T>
where
    F: Future<Output = Result<T, C>>,
{
    let answers = resolve::answers(host, port);
    let has_route = resolve::has_route;
    let dialling = race(answers, options.local_ip, progress, has_route, connect);
    let dialled = tokio::time::timeout(options.timeout, dialling).await;
    dialled.ok().flatten()
}

/// Connects with packets of at most `segment` bytes of TCP in both directions: to find out which of them pass.
///
/// # Errors
/// The system's. It waits for as long as the system does.
pub async fn dial_in_segments(addr: SocketAddr, segment: u32) -> io::Result<TcpStream> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket2::SockRef::from(&socket).set_tcp_mss(segment)?;
    let conn = socket.connect(addr).await?;
    tune(&conn, None);
    Ok(conn)
}

async fn dial_one(addr: SocketAddr, options: &DialOptions) -> io::Result<TcpStream> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if options.local_ip.is_some() {
        socket.bind(source(options.local_ip, addr))?;
    }
    let conn = socket.connect(addr).await?;
    tune(&conn, options.keepalive);
    Ok(conn)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::listen::listen;

    fn options() -> DialOptions {
        DialOptions {
            timeout: Duration::from_secs(5),
            keepalive: None,
            local_ip: None,
        }
    }

    #[tokio::test]
    async fn connects_from_the_given_address() {
        let listener = listen("127.0.0.1", 0).unwrap();
        let port = listener.local_addr().unwrap().port();
        let from = DialOptions {
            local_ip: Some("127.0.0.9".parse().unwrap()),
            ..options()
        };
        let (dialled, accepted) = tokio::join!(dial("127.0.0.1", port, &from), listener.accept());
        assert!(dialled.unwrap().nodelay().unwrap());
        assert_eq!(accepted.unwrap().1.ip().to_string(), "127.0.0.9");
    }

    #[tokio::test]
    async fn says_which_address_refused() {
        let listener = listen("127.0.0.1", 0).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = dial("127.0.0.1", port, &options()).await.unwrap_err();
        assert!(matches!(&error, DialError::Connect { source, .. }
            if source.kind() == io::ErrorKind::ConnectionRefused));
        assert!(
            error.to_string().contains(&format!("127.0.0.1:{port}")),
            "{error}"
        );
    }

    /// Two addresses of this machine: one whose queue of connections is full, one that accepts.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_silent_listener_is_left_for_one_that_answers() {
        let silent = TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let silent = silent.listen(0).unwrap();
        let full = silent.local_addr().unwrap();
        let fill = || tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(full));
        let mut filling = Vec::new();
        while let Ok(conn) = fill().await {
            filling.push(conn.unwrap());
        }
        let listener = listen("127.0.0.1", 0).unwrap();
        let there = listener.local_addr().unwrap();
        let options = options();
        let connect = |addr| dial_one(addr, &options);
        let found = futures_util::stream::iter([Ok::<_, ()>(vec![full, there])]);
        let raced = race(found, None, &mut Progress::default(), |_| true, connect).await;
        let conn = raced.unwrap();
        assert_eq!(conn.peer_addr().unwrap(), there);
    }
}
