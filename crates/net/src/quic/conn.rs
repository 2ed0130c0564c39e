//! A connection, and why it ended.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use frp_proto::fingerprint::Fingerprint;
use quinn::{Connection, ConnectionError, TransportErrorCode, VarInt};
use rustls::pki_types::CertificateDer;
use tokio_util::task::TaskTracker;

use super::end::QuicEnd;
use super::{QuicStream, varint};
use crate::limits::MAX_STRANGER_STREAMS;
use crate::tls;
use crate::tls::Channel;
use crate::tls::binding::{LABEL, is_marked_identity};

/// Streams that a peer may have open once it has logged in, to begin with. quinn makes room for as
/// many at once, so it is not the whole of `maxIncomingStreams`.
const STREAMS_AFTER_LOGIN: u64 = 256;

/// The limit grows by this factor when half of it is open.
const STREAMS_GROW: u64 = 4;

/// A connection whose streams are frp's; a cheap handle. The connection ends when it is closed, or
/// when the last handle and the last stream are gone.
#[derive(Debug, Clone)]
pub struct QuicConn {
    conn: Connection,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Streams of the peer that are open.
    live: Arc<AtomicUsize>,
    /// How many it may have open now, and at most.
    limit: AtomicU64,
    max: u64,
    tasks: TaskTracker,
}

impl From<ConnectionError> for QuicEnd {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::VersionMismatch => Self::Version,
            ConnectionError::TransportError(e) => match alert(e.code) {
                Some(alert) => Self::Tls {
                    alert,
                    remote: false,
                    text: e.reason,
                },
                None => Self::Protocol(e.to_string()),
            },
            ConnectionError::ConnectionClosed(close) => match alert(close.error_code) {
                Some(alert) => Self::Tls {
                    alert,
                    remote: true,
                    text: String::from_utf8_lossy(&close.reason).into_owned(),
                },
                None => Self::Protocol(close.to_string()),
            },
            ConnectionError::ApplicationClosed(close) => Self::Peer(close.error_code.into_inner()),
            ConnectionError::Reset => Self::Reset,
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::LocallyClosed => Self::Local,
            e @ ConnectionError::CidsExhausted => Self::Protocol(e.to_string()),
        }
    }
}

/// TLS alerts have the codes from 0x100 on (RFC 9001, section 4.8).
fn alert(code: TransportErrorCode) -> Option<u8> {
    u8::try_from(u64::from(code).checked_sub(0x100)?).ok()
}

impl QuicConn {
    /// `max`: streams that the peer may have open after [`admit`](Self::admit).
    pub(super) fn new(conn: Connection, max: u64, tasks: TaskTracker) -> Self {
        let shared = Shared {
            live: Arc::default(),
            limit: AtomicU64::new(max.min(MAX_STRANGER_STREAMS as u64)),
            max,
            tasks,
        };
        Self {
            conn,
            shared: Arc::new(shared),
        }
    }

    /// The fingerprint of the key of the peer, where that has shown a certificate.
    pub fn peer_key(&self) -> Option<Fingerprint> {
        let shown = self.conn.peer_identity()?;
        let shown = shown.downcast::<Vec<CertificateDer<'static>>>().ok()?;
        shown.first().and_then(tls::key_of)
    }

    /// Opens a stream; waits while the peer allows no more. The peer sees it with its first byte.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn open(&self) -> Result<QuicStream, QuicEnd> {
        let (send, recv) = self.conn.open_bi().await?;
        Ok(QuicStream::new(send, recv, None, self.shared.tasks.clone()))
    }

    /// What the connection is known by to both ends.
    pub fn channel(&self) -> Option<Channel> {
        let mut key = [0; 32];
        let exported = self.conn.export_keying_material(&mut key, LABEL, b"");
        exported.ok()?;
        let is_marked = is_marked_identity(self.conn.peer_identity());
        Some(Channel { key, is_marked })
    }

    /// The next stream that the peer opens; `None` once the connection has ended.
    pub async fn accept(&self) -> Option<QuicStream> {
        let (send, recv) = self.conn.accept_bi().await.ok()?;
        let live = Live::begin(&self.shared.live);
        self.grow();
        let tasks = self.shared.tasks.clone();
        Some(QuicStream::new(send, recv, Some(live), tasks))
    }

    /// The peer has logged in: what it may send and open is no longer that of a stranger.
    pub fn admit(&self) {
        // As with the mux, each stream has its window, and none takes another one's.
        self.conn.set_receive_window(VarInt::MAX);
        self.allow(STREAMS_AFTER_LOGIN.min(self.shared.max));
    }

    /// Lets the peer have more streams when it comes near its limit.
    fn grow(&self) {
        let limit = self.shared.limit.load(Ordering::Relaxed);
        let live = self.shared.live.load(Ordering::Relaxed) as u64;
        if limit >= STREAMS_AFTER_LOGIN && live >= limit / 2 {
            self.allow((limit * STREAMS_GROW).min(self.shared.max));
        }
    }

    fn allow(&self, streams: u64) {
        if self.shared.limit.fetch_max(streams, Ordering::Relaxed) < streams {
            self.conn.set_max_concurrent_bi_streams(varint(streams));
        }
    }

    /// Sends something that the peer answers, if it is only that it does not know the connection.
    pub fn ask(&self) {
        // That it may send as much as it may already (RFC 9000, section 19.9), which quinn says again whenever the
        // window grows.
        self.conn
            .set_receive_window(varint(VarInt::MAX.into_inner() - 1));
        self.conn.set_receive_window(VarInt::MAX);
    }

    /// Packets that have come: whether there are more shows that the peer is there.
    pub fn heard(&self) -> u64 {
        self.conn.stats().udp_rx.datagrams
    }

    /// From here to the peer and back, smoothed.
    pub fn round_trip(&self) -> Duration {
        self.conn.rtt()
    }

    /// Ends the connection and its streams at once; the peer is told.
    pub fn close(&self) {
        self.conn.close(VarInt::from_u32(0), b"");
    }

    /// Waits for the end of the connection.
    pub async fn closed(&self) -> QuicEnd {
        self.conn.closed().await.into()
    }

    /// Why the connection has ended; `None` while it goes on.
    pub fn close_reason(&self) -> Option<QuicEnd> {
        self.conn.close_reason().map(QuicEnd::from)
    }

    /// Ours, where the system tells it.
    pub fn local_ip(&self) -> Option<IpAddr> {
        self.conn.local_ip().map(|ip| ip.to_canonical())
    }
}

/// An open stream of the peer, counted until dropped.
#[derive(Debug)]
pub(super) struct Live(Arc<AtomicUsize>);

impl Live {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
