//! The UDP socket below KCP sessions: many datagrams in one system call.
//!
//! On Linux datagrams of one size go out as one buffer that the kernel, or the network card, cuts
//! (GSO), and come in the same way (GRO): most of what UDP costs is per call and per packet.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::session::Datagrams;
use crate::udp_socket::keep_bursts;

/// A UDP socket, of one session or of a listener.
#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    /// It takes what is sent to any address of this machine.
    is_wildcard: bool,
    #[cfg(target_os = "linux")]
    batch: quinn_udp::UdpSocketState,
}

/// Datagrams of the same size from one sender.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch<'a> {
    pub(super) from: SocketAddr,
    /// Our address that they were sent to, where that may be one of several.
    pub(super) to: Option<IpAddr>,
    bytes: &'a [u8],
    size: usize,
}

impl<'a> Batch<'a> {
    pub(super) fn datagrams(self) -> impl Iterator<Item = &'a [u8]> {
        self.bytes.chunks(self.size.max(1))
    }
}

impl Socket {
    pub(super) fn new(io: UdpSocket) -> io::Result<Self> {
        keep_bursts(&io);
        let is_wildcard = io.local_addr()?.ip().is_unspecified();
        #[cfg(target_os = "linux")]
        {
            let batch = quinn_udp::UdpSocketState::new((&io).into())?;
            allow_fragments(&io);
            Ok(Self {
                io,
                is_wildcard,
                batch,
            })
        }
        #[cfg(not(target_os = "linux"))]
        Ok(Self { io, is_wildcard })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Sends at most `most` of `datagrams`, beginning with the number `first`, from our address
    /// `from` if that matters; how many.
    ///
    /// # Errors
    /// The system's; `WouldBlock`: it takes none now.
    #[cfg(target_os = "linux")]
    pub(super) fn try_send(
        &self,
        to: SocketAddr,
        from: Option<IpAddr>,
        datagrams: &Datagrams,
        first: usize,
        most: usize,
    ) -> io::Result<usize> {
        let most = most.min(self.batch.max_gso_segments());
        let Some((contents, size, n)) = datagrams.run(first, most) else {
            return Ok(0);
        };
        let transmit = quinn_udp::Transmit {
            destination: to,
            ecn: None,
            contents,
            segment_size: (n > 1).then_some(size),
            src_ip: from,
        };
        self.io.try_io(Interest::WRITABLE, || {
            self.batch.try_send((&self.io).into(), &transmit)
        })?;
        Ok(n)
    }

    /// See above.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn try_send(
        &self,
        to: SocketAddr,
        _from: Option<IpAddr>,
        datagrams: &Datagrams,
        first: usize,
        _most: usize,
    ) -> io::Result<usize> {
        let Some((contents, _, n)) = datagrams.run(first, 1) else {
            return Ok(0);
        };
        match self.io.peer_addr() {
            Ok(_) => self.io.try_send(contents)?,
            Err(_) => self.io.try_send_to(contents, to)?,
        };
        Ok(n)
    }

    /// Takes what has come, at most as much as one call gives.
    ///
    /// # Errors
    /// The system's; `WouldBlock`: nothing is there.
    #[cfg(target_os = "linux")]
    pub(super) fn try_receive(&self, mut each: impl FnMut(Batch<'_>)) -> io::Result<()> {
        buffers::with(|buffers| {
            let mut slices = buffers.each_mut().map(|buffer| io::IoSliceMut::new(buffer));
            let mut meta = [quinn_udp::RecvMeta::default(); buffers::COUNT];
            let n = self.io.try_io(Interest::READABLE, || {
                self.batch.recv((&self.io).into(), &mut slices, &mut meta)
            })?;
            for (slice, meta) in slices.iter().zip(&meta).take(n) {
                each(Batch {
                    from: meta.addr,
                    to: meta.dst_ip.filter(|_| self.is_wildcard),
                    bytes: slice.get(..meta.len).unwrap_or_default(),
                    size: meta.stride,
                });
            }
            Ok(())
        })
    }

    /// See above.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn try_receive(&self, mut each: impl FnMut(Batch<'_>)) -> io::Result<()> {
        crate::scratch::with_scratch(|buffer| {
            let (n, from) = self.io.try_recv_from(buffer)?;
            let bytes = buffer.get(..n).unwrap_or_default();
            each(Batch {
                from,
                to: None,
                bytes,
                size: n,
            });
            Ok(())
        })
    }
}

/// Per thread and shared by its sockets, so that no session owns a buffer.
#[cfg(target_os = "linux")]
mod buffers {
    use std::cell::RefCell;

    /// The most that one buffer gets: datagrams that were sent together.
    const SIZE: usize = 64 * 1024;
    /// Messages of one call.
    pub(super) const COUNT: usize = 16;

    thread_local! {
        /// Memory that was never written takes no room: without GRO that is most of it.
        static BUFFERS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn with<R>(work: impl FnOnce(&mut [[u8; SIZE]; COUNT]) -> R) -> R {
        let mut memory = BUFFERS.take();
        if memory.is_empty() {
            memory = vec![0; SIZE * COUNT];
        }
        let result = match memory.as_chunks_mut::<SIZE>().0.first_chunk_mut::<COUNT>() {
            Some(buffers) => work(buffers),
            None => unreachable!("as many as were allocated"),
        };
        BUFFERS.replace(memory);
        result
    }
}

/// KCP finds no path MTU: where a packet is too large for a path, fragments are what carries it, as
/// with kcp-go.
#[cfg(target_os = "linux")]
fn allow_fragments(io: &UdpSocket) {
    use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
    let _ = sockopt::set_ip_mtu_discover(io, Ipv4PathMtuDiscovery::WANT);
    let _ = sockopt::set_ipv6_mtu_discover(io, Ipv6PathMtuDiscovery::WANT);
    if io.local_addr().is_ok_and(|addr| addr.is_ipv6()) {
        allow_ipv6_fragments(io);
    }
}

/// No crate of ours has this option.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn allow_ipv6_fragments(io: &UdpSocket) {
    use std::os::fd::AsRawFd as _;
    let off: libc::c_int = 0;
    let len = size_of_val(&off) as libc::socklen_t;
    // SAFETY: the descriptor is open as long as `io` lives, and the option's value is the `len`
    // bytes of `off`, which the call only reads.
    let _ = unsafe {
        let value = std::ptr::from_ref(&off).cast();
        libc::setsockopt(
            io.as_raw_fd(),
            libc::IPPROTO_IPV6,
            libc::IPV6_DONTFRAG,
            value,
            len,
        )
    };
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, unsafe_code)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd as _;

    #[tokio::test]
    async fn fragments_are_allowed() {
        let Ok(io) = UdpSocket::bind("[::1]:0").await else {
            return;
        };
        let socket = Socket::new(io).unwrap();
        let (mut value, mut len) = (7, size_of::<libc::c_int>() as libc::socklen_t);
        // SAFETY: as above, and the call writes no more than `len` bytes to `value`.
        let result = unsafe {
            libc::getsockopt(
                socket.io.as_raw_fd(),
                libc::IPPROTO_IPV6,
                libc::IPV6_DONTFRAG,
                std::ptr::from_mut(&mut value).cast(),
                &raw mut len,
            )
        };
        assert_eq!((result, value), (0, 0));
    }
}
