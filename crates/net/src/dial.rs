//! Dialling: name → addresses → TCP connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use crate::go_text::go_text;
use crate::listen::tune;

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
    /// Every address failed; the last error.
    #[error("dial tcp {addr}: connect: {}", go_text(source))]
    Connect {
        /// The address tried last.
        addr: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The time was over; `addr` is the address being tried, if the name had resolved.
    #[error("dial tcp {}: i/o timeout", addr.map_or_else(|| host.clone(), |a| a.to_string()))]
    TimedOut {
        /// The name as configured.
        host: String,
        /// The address tried last.
        addr: Option<SocketAddr>,
    },
}

/// Connects to `host:port`, resolving the name anew each time, trying its addresses in turn.
pub async fn dial(host: &str, port: u16, options: &DialOptions) -> Result<TcpStream, DialError> {
    let mut trying = None;
    match tokio::time::timeout(options.timeout, dial_each(host, port, options, &mut trying)).await {
        Ok(dialled) => dialled,
        Err(_) => Err(DialError::TimedOut {
            host: host.to_owned(),
            addr: trying,
        }),
    }
}

async fn dial_each(
    host: &str,
    port: u16,
    options: &DialOptions,
    trying: &mut Option<SocketAddr>,
) -> Result<TcpStream, DialError> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let resolve = |source| DialError::Resolve {
        host: host.to_owned(),
        source,
    };
    let mut last = resolve(io::Error::new(io::ErrorKind::NotFound, "no such host"));
    for addr in tokio::net::lookup_host((host, port))
        .await
        .map_err(resolve)?
    {
        *trying = Some(addr);
        match dial_one(addr, options).await {
            Ok(conn) => return Ok(conn),
            Err(source) => last = DialError::Connect { addr, source },
        }
    }
    Err(last)
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
}
