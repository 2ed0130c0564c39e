//! The client's end: a connected UDP socket that carries one session.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::params::WINDOWS;
use super::pipe::{KcpStream, Shared, first_of};
use super::session::KcpSession;
use super::socket::Socket;
use crate::dial::{DialError, DialOptions, dial_by};
use crate::listen::source;

/// Opens a session with `host:port`. KCP greets nobody, so whether someone is there shows with the
/// first answer, and of several addresses the first one that has a route is taken. Nothing is sent
/// yet.
///
/// The future keeps the session's time, and must run for it to go on; it ends after the stream is
/// dropped.
///
/// # Errors
/// See [`DialError`]. That nothing listens is an error of the stream, `ConnectionRefused`.
pub async fn dial(
    host: &str,
    port: u16,
    options: &DialOptions,
) -> Result<(KcpStream, impl Future<Output = ()> + Send + use<>), DialError> {
    let open = |addr| async move {
        let socket = open(addr, options.local_ip)?;
        connect(socket, addr, conv())
    };
    dial_by("udp", host, port, options, open).await
}

/// Opens a session with `peer` over a socket that is open already, such as one that a hole was punched
/// with; both ends may do so, and must know `conv`. Nobody else is heard on it any more.
///
/// # Errors
/// The system's, where the socket cannot be set up.
pub fn connect(
    socket: UdpSocket,
    peer: SocketAddr,
    conv: u32,
) -> io::Result<(KcpStream, impl Future<Output = ()> + Send + use<>)> {
    // Only a connected socket hears that nothing listens there.
    SockRef::from(&socket).connect(&peer.into())?;
    let socket = Arc::new(Socket::new(socket)?);
    let session = KcpSession::dialled(conv, WINDOWS, 0);
    let shared = Shared::new(socket, peer, Instant::now(), session);
    let stream = KcpStream::new(shared.clone());
    let driver = first_of(shared.clone().drive(), shared.receive_all());
    Ok((stream, driver))
}

fn open(peer: SocketAddr, local_ip: Option<IpAddr>) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(source(local_ip, peer))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

fn conv() -> u32 {
    let mut bytes = [0; 4];
    // aws-lc's generator fails only where the machine has no entropy source at all.
    aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random bytes");
    u32::from_le_bytes(bytes)
}
