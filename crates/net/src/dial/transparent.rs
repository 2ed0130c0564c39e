//! Dialling from an address that is none of this machine (ip(7): IP_TRANSPARENT), which takes CAP_NET_ADMIN.

use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};

use super::{DialError, DialOptions, dial_by};
use crate::listen::tune;

/// Whether this process may do it.
///
/// # Errors
/// The system's: it may not.
pub fn may_be_transparent() -> io::Result<()> {
    SockRef::from(&TcpSocket::new_v4()?).set_ip_transparent_v4(true)
}

/// As [`dial`](super::dial), from `from`: at its port, or another one where that is taken. Whether answers find the
/// way back is a matter of the system's routes.
///
/// # Errors
/// See [`DialError`].
pub async fn dial_transparent(
    host: &str,
    port: u16,
    from: SocketAddr,
    options: &DialOptions,
) -> Result<TcpStream, DialError> {
    let options = DialOptions {
        local_ip: Some(from.ip()),
        ..options.clone()
    };
    let connect = async |to| {
        let any_port = SocketAddr::new(from.ip(), 0);
        let conn = match connect(to, from).await {
            Err(e) if is_about_source(&e) => connect(to, any_port).await?,
            conn => conn?,
        };
        tune(&conn, options.keepalive);
        Ok(conn)
    };
    dial_by("tcp", host, port, &options, connect).await
}

async fn connect(to: SocketAddr, from: SocketAddr) -> io::Result<TcpStream> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Of IPv6 sockets, too: the system has one such mark for both.
    SockRef::from(&socket).set_ip_transparent_v4(true)?;
    // A connection that has ended may still have the port; two to the same service cannot.
    socket.set_reuseaddr(true)?;
    socket.bind(from)?;
    socket.connect(to).await
}

/// The port is taken, or one that takes another capability.
fn is_about_source(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::AddrInUse
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::PermissionDenied
    )
}
