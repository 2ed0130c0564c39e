//! Dialling: name → addresses → TCP connection.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use frp_proto::proxy_url::ProxyUrl;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpSocket, TcpStream};

use crate::go_text::go_text;
use crate::listen::tune;
use crate::stream::Stream;
use crate::way_out::{self, ProxyError};

/// An address may be silent for this long before the next one is tried beside it, as in Go.
const NEXT_ADDRESS: Duration = Duration::from_millis(300);

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
    #[error("lookup {host}: {}", go_text(source))]
    Resolve {
        /// The name as configured.
        host: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// Every address failed, or the time was over when the first one had; its error.
    #[error("dial tcp {addr}: connect: {}", go_text(source))]
    Connect {
        /// The address tried first.
        addr: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The time was over; `addr` is the first address, if the name had resolved.
    #[error("dial tcp {}: i/o timeout", addr.map_or_else(|| host.clone(), |a| a.to_string()))]
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
    let dialled = way_out::dial(proxy, host, port, options).await;
    dialled.map_err(|error| DialError::Proxy {
        proxy: proxy.clone(),
        source: Box::new(error),
    })
}

/// Connects to `host:port`, resolving the name anew each time. Its addresses are tried one after
/// the other, but a silent one does not hold up the next for long (RFC 8305); the first connection
/// wins. Of several failures the one of the first address is told, as in Go.
///
/// # Errors
/// See [`DialError`].
pub async fn dial(host: &str, port: u16, options: &DialOptions) -> Result<TcpStream, DialError> {
    let mut first = First::default();
    let dialling = dial_any(host, port, options, &mut first);
    match tokio::time::timeout(options.timeout, dialling).await {
        Ok(Ok(Some(conn))) => Ok(conn),
        Ok(Err(error)) => Err(error),
        Ok(Ok(None)) | Err(_) => Err(match (first.addr, first.failed) {
            (Some(addr), Some(source)) => DialError::Connect { addr, source },
            (addr, _) => DialError::TimedOut {
                host: host.to_owned(),
                addr,
            },
        }),
    }
}

/// The address that is tried first.
#[derive(Debug, Default)]
struct First {
    addr: Option<SocketAddr>,
    failed: Option<io::Error>,
}

/// `None`: every address failed.
async fn dial_any(
    host: &str,
    port: u16,
    options: &DialOptions,
    first: &mut First,
) -> Result<Option<TcpStream>, DialError> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let resolve = |source| DialError::Resolve {
        host: host.to_owned(),
        source,
    };
    let found = tokio::net::lookup_host((host, port))
        .await
        .map_err(resolve)?;
    let addrs = in_order(found.collect(), options.local_ip);
    first.addr = addrs.first().copied();
    if addrs.is_empty() {
        let none = io::Error::new(io::ErrorKind::NotFound, "no such host");
        return Err(resolve(none));
    }
    let connect = |addr| dial_one(addr, options);
    Ok(race(addrs, &mut first.failed, connect).await)
}

/// The addresses in the order in which they are tried: the resolver's, but the families in turn,
/// for it is a whole family that does not work where something does not. From `local_ip` only its
/// own family can be reached.
fn in_order(mut addrs: Vec<SocketAddr>, local_ip: Option<IpAddr>) -> Vec<SocketAddr> {
    if let Some(ip) = local_ip
        && addrs.iter().any(|addr| addr.is_ipv4() == ip.is_ipv4())
    {
        addrs.retain(|addr| addr.is_ipv4() == ip.is_ipv4());
    }
    let Some(v4_first) = addrs.first().map(SocketAddr::is_ipv4) else {
        return addrs;
    };
    let (preferred, other): (Vec<_>, Vec<_>) = addrs
        .into_iter()
        .partition(|addr| addr.is_ipv4() == v4_first);
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    let mut ordered = Vec::new();
    loop {
        let pair = [preferred.next(), other.next()];
        if pair == [None, None] {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

/// Tries `addrs`, the next one when one has failed or been silent for [`NEXT_ADDRESS`]; the others
/// go on meanwhile, until one is there. What happened to the first is left in `first_failed`.
async fn race<C, F>(
    addrs: Vec<SocketAddr>,
    first_failed: &mut Option<io::Error>,
    connect: impl Fn(SocketAddr) -> F,
) -> Option<C>
where
    F: Future<Output = io::Result<C>>,
{
    let mut left = addrs.into_iter().enumerate();
    let mut trying = FuturesUnordered::new();
    loop {
        if let Some((turn, addr)) = left.next() {
            let connecting = connect(addr);
            trying.push(async move { (turn, connecting.await) });
        }
        tokio::select! {
            tried = trying.next() => match tried {
                Some((_, Ok(conn))) => return Some(conn),
                Some((0, Err(error))) => *first_failed = Some(error),
                Some((_, Err(_))) => {}
                None => return None,
            },
            () = tokio::time::sleep(NEXT_ADDRESS), if left.len() > 0 => {}
        }
    }
}

async fn dial_one(addr: SocketAddr, options: &DialOptions) -> io::Result<TcpStream> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(ip) = options.local_ip {
        socket.bind(SocketAddr::new(ip, 0))?;
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

    fn addrs(of: &[&str]) -> Vec<SocketAddr> {
        of.iter().map(|addr| addr.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_only_that_of_the_source_is_tried() {
        let found = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"];
        let ordered = addrs(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]);
        assert_eq!(in_order(addrs(&found), None), ordered);
        let from = |ip: &str| in_order(addrs(&found), Some(ip.parse().unwrap()));
        assert_eq!(from("127.0.0.9"), addrs(&found[3..]));
        assert_eq!(from("::9"), addrs(&found[..3]));
    }

    /// Silent, refusing or there, by the port.
    async fn pretended(addr: SocketAddr) -> io::Result<SocketAddr> {
        match addr.port() {
            1 => std::future::pending().await,
            2 => Err(io::Error::other(addr.ip().to_string())),
            _ => Ok(addr),
        }
    }

    async fn raced(of: &[&str]) -> (Option<String>, Option<String>, Duration) {
        let (start, mut failed) = (tokio::time::Instant::now(), None);
        let won = race(addrs(of), &mut failed, pretended).await;
        let won = won.map(|addr| addr.ip().to_string());
        (won, failed.map(|e| e.to_string()), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_silent_or_refuses_does_not_hold_up_the_next() {
        let there = |ip: &str| Some(ip.to_owned());
        let (won, failed, took) = raced(&["[::1]:1", "127.0.0.1:3", "127.0.0.2:3"]).await;
        assert_eq!((won, failed), (there("127.0.0.1"), None));
        assert!(took >= NEXT_ADDRESS && took < 2 * NEXT_ADDRESS, "{took:?}");

        let (won, _, took) = raced(&["[::1]:2", "127.0.0.1:3"]).await;
        assert_eq!((won, took), (there("127.0.0.1"), Duration::ZERO));

        let (won, failed, took) = raced(&["[::1]:2", "127.0.0.1:2"]).await;
        assert_eq!((won, failed), (None, there("::1")));
        assert_eq!(took, Duration::ZERO);
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
        let conn = race(vec![full, there], &mut None, connect).await.unwrap();
        assert_eq!(conn.peer_addr().unwrap(), there);
    }
}
