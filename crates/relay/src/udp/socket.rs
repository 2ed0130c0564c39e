//! Taking and sending several datagrams at once.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::UdpSocket;

/// Datagrams in one system call, and taken from one socket before others have their turn.
pub(super) const BATCH: usize = 64;

/// `addr` as a socket of the given family needs it: one that takes both has IPv4 mapped.
pub(super) fn for_family(addr: SocketAddr, v6: bool) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if v6 => SocketAddr::new(ip.to_ipv6_mapped().into(), addr.port()),
        _ => addr,
    }
}

/// Whether the socket is an IPv6 one.
pub(super) fn is_v6(socket: &UdpSocket) -> bool {
    socket.local_addr().is_ok_and(|addr| addr.is_ipv6())
}

/// Whether the system only asks to come again.
pub(super) fn would_block(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::WouldBlock
}

/// Whether an earlier datagram came back: nobody listens there.
pub(super) fn refused(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::ConnectionRefused
}

/// Sends as many of `datagrams` as the system takes at once, at least one; how many that were.
/// Without an address they go to the socket's peer.
///
/// # Errors
/// What the system says of the first one; `WouldBlock` when it takes none now.
#[cfg(target_os = "linux")]
pub(super) fn try_send_all(
    socket: &UdpSocket,
    datagrams: &[(Option<SocketAddr>, &[u8])],
) -> io::Result<usize> {
    use rustix::net::SocketAddrAny;
    use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};
    use std::io::IoSlice;

    if let [(addr, content)] = datagrams {
        return try_send_one(socket, *addr, content).map(|_| 1);
    }
    let slices: Vec<[IoSlice<'_>; 1]> = datagrams
        .iter()
        .map(|(_, content)| [IoSlice::new(content)])
        .collect();
    let addrs: Vec<Option<SocketAddrAny>> = datagrams
        .iter()
        .map(|(addr, _)| addr.map(SocketAddrAny::from))
        .collect();
    let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> = datagrams
        .iter()
        .map(|_| SendAncillaryBuffer::default())
        .collect();
    let mut headers: Vec<MMsgHdr<'_>> = slices
        .iter()
        .zip(&addrs)
        .zip(&mut controls)
        .map(|((slice, addr), control)| match addr {
            Some(addr) => MMsgHdr::new_with_addr(addr, slice, control),
            None => MMsgHdr::new(slice, control),
        })
        .collect();
    socket.try_io(tokio::io::Interest::WRITABLE, || {
        sendmmsg(socket, &mut headers, SendFlags::empty()).map_err(Into::into)
    })
}

/// See above.
#[cfg(not(target_os = "linux"))]
pub(super) fn try_send_all(
    socket: &UdpSocket,
    datagrams: &[(Option<SocketAddr>, &[u8])],
) -> io::Result<usize> {
    let mut sent = 0;
    for (addr, content) in datagrams {
        match try_send_one(socket, *addr, content) {
            Err(e) if sent == 0 => return Err(e),
            Err(_) => break,
            Ok(_) => sent += 1,
        }
    }
    Ok(sent)
}

fn try_send_one(socket: &UdpSocket, addr: Option<SocketAddr>, content: &[u8]) -> io::Result<usize> {
    match addr {
        Some(addr) => socket.try_send_to(content, addr),
        None => socket.try_send(content),
    }
}
