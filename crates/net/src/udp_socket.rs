//! UDP sockets, opened for users, for local services and for kcp.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

use crate::listen::Host;

/// What the system may keep of datagrams that were not taken yet, bytes. It gives less where its
/// own limit is lower, and uses it only while there is something to keep.
const SOCKET_BUFFER: usize = 1024 * 1024;

/// The same for a socket that carries many streams (frp: `SetReadBuffer(4194304)`).
const BURSTS: usize = 4 * 1024 * 1024;

/// Opens a UDP socket on `host:port`; port 0 lets the system choose.
///
/// # Errors
/// Those of [`Host::resolve`] and [`bind_at`].
pub fn bind(host: &str, port: u16) -> io::Result<UdpSocket> {
    bind_at(Host::resolve(host)?, port)
}

/// Opens a UDP socket there; port 0 lets the system choose.
///
/// # Errors
/// The system's.
pub fn bind_at(host: Host, port: u16) -> io::Result<UdpSocket> {
    host.open(port, bind_to)
}

fn bind_to(addr: SocketAddr, dual_stack: bool) -> io::Result<UdpSocket> {
    let socket = open(addr)?;
    if addr.is_ipv6() {
        socket.set_only_v6(!dual_stack)?;
    }
    socket.bind(&addr.into())?;
    UdpSocket::from_std(socket.into())
}

/// A socket of its own, connected to `target`.
///
/// # Errors
/// The system's.
pub fn connect(target: SocketAddr) -> io::Result<UdpSocket> {
    let socket = open(target)?;
    socket.connect(&target.into())?;
    UdpSocket::from_std(socket.into())
}

fn open(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // What the system refuses here it does without.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    Ok(socket)
}

/// Has the system keep bursts of packets of one socket, which carries many streams, beyond its limit where this
/// program may do that: what it has no room for is loss to the congestion control. What it refuses it does
/// without.
pub(crate) fn keep_bursts<'s>(socket: impl Into<SockRef<'s>>) {
    let socket = socket.into();
    #[cfg(target_os = "linux")]
    {
        use rustix::net::sockopt;
        let receive = sockopt::set_socket_recv_buffer_size_force(&*socket, BURSTS);
        let send = sockopt::set_socket_send_buffer_size_force(&*socket, BURSTS);
        if receive.is_ok() && send.is_ok() {
            return;
        }
    }
    let _ = socket.set_recv_buffer_size(BURSTS);
    let _ = socket.set_send_buffer_size(BURSTS);
}
