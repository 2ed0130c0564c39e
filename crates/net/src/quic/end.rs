//! Why there is no QUIC connection, or no more.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

use super::NoInitialCipherSuite;
use crate::go_text::go_text;
use crate::resolve::LookupError;

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum QuicDialError {
    /// The name has no address.
    #[error("{0}")]
    Resolve(#[source] LookupError),
    /// No TLS settings.
    #[error("QUIC needs TLS")]
    NoTls,
    /// The TLS settings do not do for QUIC.
    #[error("{0}")]
    Tls(#[from] NoInitialCipherSuite),
    /// No socket, the address cannot be dialled, or nothing listens there.
    #[error("dial udp {addr}: {}", go_text(source))]
    Socket {
        /// The address tried first.
        addr: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The build has no QUIC.
    #[error("this program was built without the feature \"quic\"")]
    Absent,
    /// Nothing answered at any address.
    #[error("{}", QuicEnd::TimedOut)]
    TimedOut,
    /// The handshake failed.
    #[error("{0}")]
    Handshake(#[from] QuicEnd),
}

/// Why a connection ended. The texts are those of quic-go where it has some.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuicEnd {
    /// This side closed it.
    #[error("the connection was closed by this side")]
    Local,
    /// The peer closed it, with this code; frp's is 0.
    #[error("Application error {0:#x} (remote)")]
    Peer(u64),
    /// Nothing came for the idle time.
    #[error("timeout: no recent network activity")]
    TimedOut,
    /// The peer has forgotten the connection.
    #[error("received a stateless reset")]
    Reset,
    /// The peer speaks no version of QUIC that we speak.
    #[error("no compatible QUIC version found")]
    Version,
    /// Either end refused the other in the TLS handshake.
    #[error("CRYPTO_ERROR {:#x}{}: {text}", 0x100 + u64::from(*alert), if *remote { " (remote)" } else { "" })]
    Tls {
        /// The TLS alert (RFC 8446, section 6).
        alert: u8,
        /// Whether it was the peer who refused us.
        remote: bool,
        /// What it says of it.
        text: String,
    },
    /// Either end broke the protocol, or refused the connection.
    #[error("{0}")]
    Protocol(String),
}

/// The alert of a peer that does not know `frp` (RFC 7301, section 3.2).
pub const NO_APPLICATION_PROTOCOL: u8 = 120;
