//! The server's end: a UDP socket, and what strangers may cost.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quinn::crypto::rustls::NoInitialCipherSuite;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, Incoming, ServerConfig};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::any_name;
use super::{
    ALPN, Options, QuicConn, QuicEnd, ResetSecret, Role, Tracked, bind, take_large_datagrams,
    transport,
};
use crate::limits::{
    MAX_QUIC_UNPROVEN, MAX_QUIC_WAITING, MAX_QUIC_WAITING_BYTES, MAX_QUIC_WAITING_TOTAL,
};
use crate::listen::{Host, canonical};
use crate::tls::{self, TlsSetupError};
use crate::udp_socket::keep_bursts;

/// A UDP socket that clients connect to.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    /// Handshakes under way with addresses that may be forged.
    unproven: Arc<AtomicUsize>,
    tasks: TaskTracker,
}

/// What a connection is made with.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    config: ServerConfig,
    options: Options,
}

impl ServerSettings {
    /// `tls` is that of frps.
    ///
    /// # Errors
    /// It does not do for QUIC.
    pub fn new(
        tls: &rustls::ServerConfig,
        options: &Options,
    ) -> Result<Self, NoInitialCipherSuite> {
        Ok(Self::with(for_quic(tls.clone())?, options))
    }

    /// For a peer, which may ask for any name, and be shown any certificate: with one of our own.
    ///
    /// # Errors
    /// The certificate cannot be made.
    pub fn of_peer(options: &Options) -> Result<Self, TlsSetupError> {
        let tls = tls::self_signed_config(any_name::provider())?;
        let tls = for_quic(tls).map_err(|e| rustls::Error::General(e.to_string()))?;
        Ok(Self::with(any_name::AnyName(Arc::new(tls)), options))
    }

    fn with(tls: impl quinn::crypto::ServerConfig + 'static, options: &Options) -> Self {
        let mut config = ServerConfig::with_crypto(Arc::new(tls));
        config
            .max_incoming(MAX_QUIC_WAITING)
            .incoming_buffer_size(MAX_QUIC_WAITING_BYTES)
            .incoming_buffer_size_total(MAX_QUIC_WAITING_TOTAL);
        Self {
            config,
            options: *options,
        }
    }
}

fn for_quic(mut tls: rustls::ServerConfig) -> Result<QuicServerConfig, NoInitialCipherSuite> {
    tls.alpn_protocols = vec![ALPN.to_vec()];
    QuicServerConfig::try_from(tls)
}

/// A connection of which there is no more than a first packet.
#[derive(Debug)]
pub struct Arriving {
    incoming: Incoming,
    unproven: Option<Unproven>,
    tasks: TaskTracker,
}

impl Listener {
    /// Opens a socket on `host:port`, port 0 letting the system choose. Clients of a server that was here before
    /// with the same `resets` learn that it has gone. The tasks of all connections are spawned by `tasks`.
    ///
    /// # Errors
    /// The host name has no address, the port is taken or not ours to open.
    pub fn bind(
        host: &str,
        port: u16,
        settings: &ServerSettings,
        resets: &ResetSecret,
        tasks: &TaskTracker,
    ) -> io::Result<Self> {
        let socket = Host::resolve(host)?.open(port, bind)?;
        Self::over(socket, settings, resets, tasks)
    }

    /// Listens on a socket that is open already, such as one that a hole was punched with.
    ///
    /// # Errors
    /// The system's, where the socket cannot be set up.
    pub fn over(
        socket: UdpSocket,
        settings: &ServerSettings,
        resets: &ResetSecret,
        tasks: &TaskTracker,
    ) -> io::Result<Self> {
        keep_bursts(&socket);
        let mut endpoint = resets.endpoint(socket.local_addr()?);
        take_large_datagrams(&mut endpoint);
        let config = settings.config.clone();
        let runtime = Arc::new(Tracked(tasks.clone()));
        let endpoint = Endpoint::new(endpoint, Some(config), socket, runtime)?;
        Ok(Self {
            endpoint,
            unproven: Arc::default(),
            tasks: tasks.clone(),
        })
    }

    /// The next connection; `None` once the listener is closed.
    ///
    /// Where many handshakes are under way whose clients have not shown that they are where their
    /// packets claim to come from, a newcomer is asked to show it first, which costs it a round trip
    /// and us nothing (RFC 9000, section 8.1.2). So forged packets take no more than a few places.
    pub async fn accept(&self) -> Option<Arriving> {
        loop {
            let incoming = self.endpoint.accept().await?;
            let unproven = if incoming.remote_address_validated() {
                None
            } else {
                match Unproven::begin(&self.unproven) {
                    Some(place) => Some(place),
                    None => {
                        // One whose packets may not be answered so is refused by the drop.
                        let _ = incoming.retry();
                        continue;
                    }
                }
            };
            return Some(Arriving {
                incoming,
                unproven,
                tasks: self.tasks.clone(),
            });
        }
    }

    /// The address that clients connect to.
    ///
    /// # Errors
    /// The system's.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Refuses new connections from now on; those that there are go on.
    pub fn refuse(&self) {
        self.endpoint.set_server_config(None);
    }

    /// Ends all connections, telling their peers, and takes no more.
    pub fn close(&self) {
        self.endpoint.close(0_u32.into(), b"");
    }
}

impl Arriving {
    /// Where it claims to come from.
    pub fn peer(&self) -> SocketAddr {
        canonical(self.incoming.remote_address())
    }

    /// The handshake, by `settings`. The connection's own tasks run on the runtime that this is called in.
    ///
    /// # Errors
    /// Why it failed; [`QuicEnd::TimedOut`] also where `limit` was over.
    pub async fn accept(
        self,
        settings: &ServerSettings,
        limit: Duration,
    ) -> Result<QuicConn, QuicEnd> {
        let Self {
            incoming,
            unproven,
            tasks,
        } = self;
        let options = &settings.options;
        let peer = incoming.remote_address().ip();
        let mut config = settings.config.clone();
        config.transport_config(transport(options, Role::Server, peer));
        let connecting = incoming.accept_with(Arc::new(config))?;
        let conn = timeout(limit, connecting)
            .await
            .map_err(|_| QuicEnd::TimedOut)??;
        drop(unproven);
        Ok(QuicConn::new(conn, options.max_streams, tasks))
    }
}

/// A handshake with an address that may be forged, counted until dropped.
#[derive(Debug)]
struct Unproven(Arc<AtomicUsize>);

impl Unproven {
    fn begin(count: &Arc<AtomicUsize>) -> Option<Self> {
        if count.fetch_add(1, Ordering::AcqRel) < MAX_QUIC_UNPROVEN {
            return Some(Self(count.clone()));
        }
        count.fetch_sub(1, Ordering::AcqRel);
        None
    }
}

impl Drop for Unproven {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
