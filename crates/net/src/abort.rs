//! What a connection runs over, for whoever has given its stream away: whether the peer is there, and
//! how to end it so that nothing of what was written arrives any more. Closing is not enough for that:
//! the system, or kcp, goes on delivering for as long as the peer may take it.

use std::time::Duration;

use socket2::{SockRef, Socket};

use crate::kcp;
use crate::stream::Stream;

/// See the module.
#[derive(Debug)]
pub struct AbortHandle(Wire);

#[derive(Debug)]
enum Wire {
    /// Another descriptor of the socket.
    Tcp(Socket),
    Kcp(kcp::Peer),
}

impl AbortHandle {
    /// `None` where the stream shares its connection, or no descriptor is left.
    pub fn of(stream: &Stream) -> Option<Self> {
        if let Some(peer) = stream.kcp_peer() {
            return Some(Self(Wire::Kcp(peer)));
        }
        let socket = SockRef::from(stream.socket()?).try_clone().ok()?;
        Some(Self(Wire::Tcp(socket)))
    }

    /// Whether anything came from the peer, where bytes can be sent before that is known.
    pub fn is_heard(&self) -> bool {
        match &self.0 {
            Wire::Tcp(_) => true,
            Wire::Kcp(peer) => peer.is_heard(),
        }
    }

    /// What can be kept for as long as the stream: no descriptor.
    #[must_use]
    pub fn without_descriptor(self) -> Option<Self> {
        match self.0 {
            Wire::Tcp(_) => None,
            Wire::Kcp(_) => Some(self),
        }
    }

    /// Has a peer that would not tell of its end by itself say that it is there, or that it knows nothing of this.
    pub fn ask(&self) {
        match &self.0 {
            Wire::Tcp(_) => {}
            Wire::Kcp(peer) => peer.ask(),
        }
    }

    /// Nothing is delivered any more: by kcp from now on, by TCP once this and the stream are dropped,
    /// which then resets the connection.
    pub fn abort(&self) {
        match &self.0 {
            // Fails only where the connection has ended.
            Wire::Tcp(socket) => drop(socket.set_linger(Some(Duration::ZERO))),
            Wire::Kcp(peer) => peer.abort(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::ErrorKind;
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;
    use crate::mux;

    /// For what takes no time.
    const SOON: Duration = Duration::from_secs(8);

    #[tokio::test]
    async fn tcp_is_reset_below_a_mux_that_still_has_to_send() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap());
        let (dialled, accepted) = tokio::join!(dialled, listener.accept());
        let (stream, mut peer) = (Stream::Tcp(dialled.unwrap()), accepted.unwrap().0);
        let handle = AbortHandle::of(&stream).unwrap();
        let config = mux::Config {
            keepalive_interval: None,
            stranger: false,
        };
        let (mux, _incoming, driver) = mux::session(stream, mux::Role::Client, config);
        let driver = tokio::spawn(driver);
        let mut login = mux.open().await.unwrap();
        login.write_all(b"login").await.unwrap();
        let mut byte = [0];
        peer.read_exact(&mut byte).await.unwrap();

        handle.abort();
        mux.abort();
        drop(handle);
        // It waits for no end of the peer's direction.
        tokio::time::timeout(SOON, driver).await.unwrap().unwrap();
        let mut rest = Vec::new();
        let ended = peer.read_to_end(&mut rest).await.unwrap_err();
        assert_eq!(ended.kind(), ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn kcp_repeats_nothing_that_was_not_acknowledged() {
        let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = peer.local_addr().unwrap();
        socket.connect(addr).await.unwrap();
        let (stream, driver) = kcp::connect(socket, addr, 1).unwrap();
        let driver = tokio::spawn(driver);
        let mut stream = Stream::Kcp(stream);
        let handle = AbortHandle::of(&stream).unwrap();
        stream.write_all(b"login").await.unwrap();
        stream.flush().await.unwrap();
        let mut datagram = [0; 2000];
        peer.recv(&mut datagram).await.unwrap();

        handle.abort();
        // The one that would repeat it.
        tokio::time::timeout(SOON, driver).await.unwrap().unwrap();
        let ended = stream.write_all(b"more").await.unwrap_err();
        assert_eq!(ended.kind(), ErrorKind::BrokenPipe);
    }
}
