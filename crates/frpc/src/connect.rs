//! Stage 1: streams to the server. With the mux, or with QUIC, they share one connection; otherwise
//! each has its own (frp `client/connector.go`).

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use frp_config::{ClientConfig, Secret, TransportProtocol};
use frp_net::abort::AbortHandle;
use frp_net::carrier::{Carrier, Lost, OpenError};
use frp_net::dial::{self, DialError, DialOptions};
use frp_net::go_text::join_host_port;
use frp_net::kcp;
use frp_net::limits::HANDSHAKE_WAIT;
use frp_net::mux;
use frp_net::quic::{self, QuicDialError};
use frp_net::sniff::FRP_TLS_FIRST_BYTE;
use frp_net::stream::Stream;
use frp_net::tls::{self, Channel, HandshakeError, TlsFiles};
use frp_net::websocket;
use frp_net::websocket::handshake::{Field, Request};
use frp_proto::fingerprint::Fingerprint;
use frp_proto::wire::{MAGIC_V2, WireProtocol};
use frp_relay::msg_stream::MsgStream;
use tokio::io::AsyncWriteExt;
use tokio_util::task::TaskTracker;

use crate::identity::Refusal;
use crate::nathole::Exchange;
use crate::one_way::OneWay;
use crate::proof::Streams;

/// Opens streams to the server on one way.
#[derive(Debug)]
pub(crate) struct Connector {
    way: Arc<OneWay>,
    shared: Option<Carrier>,
    /// Of the first connection; once its login is answered, only over kcp.
    abort: OnceLock<Option<AbortHandle>>,
    /// The key that the server has shown first.
    key: OnceLock<Option<Fingerprint>>,
    /// What the TLS of the first connection is known by.
    channel: OnceLock<Option<Channel>>,
    /// A login is on its way.
    unanswered: bool,
    tasks: TaskTracker,
}

/// What the streams of a session need to know of it.
#[derive(Debug, Clone)]
pub(crate) struct ServerLink {
    /// Questions about direct paths.
    pub(crate) holes: Arc<Exchange>,
    pub(crate) connector: Arc<Connector>,
    pub(crate) run_id: String,
    /// What the server's other streams show, where the token was proven.
    pub(crate) streams: Option<Arc<Streams>>,
    /// An end on one of the server's streams is that of one direction only.
    pub(crate) half_closes: bool,
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("{0}")]
    Dial(#[from] DialError),
    #[error("{0}")]
    Identity(#[from] Box<Refusal>),
    #[error("{0}")]
    Tls(#[from] HandshakeError),
    #[error("{0}")]
    Websocket(#[from] websocket::ConnectError),
    #[error("{0}")]
    Quic(#[from] QuicDialError),
    #[error("{0}")]
    Open(#[from] OpenError),
    /// We sent to an address from which nothing came back (kcp).
    #[error("i/o timeout")]
    Unheard,
}

impl ServerLink {
    /// A new stream, on which the first message can be sent.
    pub(crate) async fn stream(&self) -> Result<MsgStream<Stream>, ConnectError> {
        let protocol = self.connector.way.transport.wire_protocol;
        let stream = self.connector.stream().await?;
        let mut stream = MsgStream::new(stream, protocol, BytesMut::new());
        if protocol == WireProtocol::V2 {
            stream.queue_raw(&MAGIC_V2);
        }
        Ok(stream)
    }
}

impl Connector {
    fn new(way: Arc<OneWay>, tasks: &TaskTracker) -> Self {
        Self {
            way,
            shared: None,
            abort: OnceLock::new(),
            key: OnceLock::new(),
            channel: OnceLock::new(),
            unanswered: false,
            tasks: tasks.clone(),
        }
    }

    /// Connects where streams share a connection; otherwise every stream connects by itself.
    pub(crate) async fn open(way: Arc<OneWay>, tasks: &TaskTracker) -> Result<Self, ConnectError> {
        let mut connector = Self::new(way, tasks);
        let way = &connector.way;
        way.identity.look_again().await;
        if way.protocol == TransportProtocol::Quic {
            let conn = connector.dial_quic(tasks).await;
            let conn = conn.map_err(|e| connector.or_refused(e))?;
            let _ = connector.key.set(conn.peer_key());
            let _ = connector.channel.set(conn.channel());
            connector.shared = Some(Carrier::Quic(conn));
        } else if way.transport.tcp_mux {
            let config = mux::Config {
                keepalive_interval: Some(way.transport.tcp_mux_keepalive_interval),
                stranger: false,
            };
            let io = connector.dial().await?;
            // The server opens no streams; what it opens all the same is refused by dropping this.
            let (mux, _incoming, driver) = mux::session(io, mux::Role::Client, config);
            tasks.spawn(driver);
            connector.shared = Some(Carrier::Mux(mux));
        }
        Ok(connector)
    }

    /// A new stream.
    pub(crate) async fn stream(&self) -> Result<Stream, ConnectError> {
        match &self.shared {
            Some(shared) => Ok(shared.open().await?),
            None => self.dial().await,
        }
    }

    /// Why the shared connection ended, if there is one and it has.
    pub(crate) fn close_reason(&self) -> Option<Lost> {
        self.shared.as_ref()?.close_reason()
    }

    /// Whether the server may not be there at all: its address has answered nothing.
    pub(crate) fn is_unheard(&self) -> bool {
        let abort = self.abort.get().and_then(Option::as_ref);
        abort.is_some_and(|abort| !abort.is_heard())
    }

    /// A login is on its way. Dropped before it is [answered](Self::answered), this breaks the
    /// connection off: otherwise the login would be delivered for as long as that takes.
    pub(crate) fn expect_answer(&mut self) {
        self.unanswered = true;
    }

    /// What is sent from here on may arrive late.
    pub(crate) fn answered(&mut self) {
        self.unanswered = false;
        let kept = self.abort.take().flatten();
        self.abort = OnceLock::from(kept.and_then(AbortHandle::without_descriptor));
    }

    /// Whether nobody tells us when the server's program has ended. With TCP its system does.
    pub(crate) fn ends_silently(&self) -> bool {
        self.way.protocol.is_udp()
    }

    /// Has the server say something over UDP, be it that it knows nothing of us, for it was restarted.
    pub(crate) fn ask(&self) {
        if let Some(Some(kcp)) = self.abort.get() {
            kcp.ask();
        }
        if let Some(Carrier::Quic(conn)) = &self.shared {
            conn.ask();
        }
    }

    /// Has the server answer, if only that it knows nothing of our connection: what has ended another connection may
    /// have ended this one, too.
    pub(crate) fn check(&self) {
        if let Some(shared) = &self.shared {
            shared.ask();
        }
    }

    /// What the TLS that the login goes by is known by to both ends.
    pub(crate) fn channel(&self) -> Option<Channel> {
        self.channel.get().copied().flatten()
    }

    /// The way that it goes.
    pub(crate) fn way(&self) -> &OneWay {
        &self.way
    }

    /// The server's own address, where it is known without asking anybody and no proxy lies between.
    pub(crate) fn server_ips(&self) -> Vec<IpAddr> {
        let way = &self.way;
        if way.transport.proxy_url.is_some() && !way.protocol.is_udp() {
            return Vec::new();
        }
        match way.server_addr.as_str() {
            "localhost" => vec![Ipv4Addr::LOCALHOST.into()],
            addr => addr.parse().into_iter().collect(),
        }
    }

    /// Whether its streams are those of the mux.
    pub(crate) fn is_muxed(&self) -> bool {
        matches!(self.shared, Some(Carrier::Mux(_)))
    }

    /// From here to the server and back, where streams share a connection. Has it be measured again.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let shared = self.shared.as_ref()?;
        if self.is_muxed() {
            shared.ask();
        }
        shared.round_trip()
    }

    /// The server ends one direction of a stream at a time.
    pub(crate) fn server_half_closes(&self) {
        if let Some(shared) = &self.shared {
            shared.peer_half_closes();
        }
    }

    fn abort(&self) {
        if let Some(Some(abort)) = self.abort.get() {
            abort.abort();
        }
        if let Some(shared) = &self.shared {
            shared.abort();
        }
    }

    /// Ends the shared connection and its streams, if there is one.
    pub(crate) fn close(&self) {
        if let Some(shared) = &self.shared {
            shared.close();
        }
    }

    /// The key that the server has shown, where there is TLS.
    pub(crate) fn server_key(&self) -> Option<Fingerprint> {
        self.key.get().copied().flatten()
    }

    async fn dial(&self) -> Result<Stream, ConnectError> {
        self.dial_layers().await.map_err(|e| self.or_refused(e))
    }

    /// Who the server is was the matter, or `error`: over QUIC it is not said otherwise.
    fn or_refused(&self, error: ConnectError) -> ConnectError {
        match self.way.identity.take_refusal() {
            Some(refusal) => refusal.into(),
            None => error,
        }
    }

    /// The layers of the protocol, from the wire up, in frp's order.
    async fn dial_layers(&self) -> Result<Stream, ConnectError> {
        let conn = dial_server(&self.way, &self.tasks).await?;
        self.abort.get_or_init(|| AbortHandle::of(&conn));
        match self.way.protocol {
            TransportProtocol::Wss => {
                let conn = self.begin_tls(conn, false).await?;
                Ok(self.begin_websocket(conn).await?)
            }
            TransportProtocol::Websocket => {
                let conn = self.begin_websocket(conn).await?;
                Ok(self.begin_tls(conn, true).await?)
            }
            TransportProtocol::Tcp | TransportProtocol::Kcp | TransportProtocol::Quic => {
                match self.begin_tls(conn, true).await {
                    Err(e) if e.source.kind() == io::ErrorKind::TimedOut && self.is_unheard() => {
                        Err(ConnectError::Unheard)
                    }
                    begun => Ok(begun?),
                }
            }
        }
    }

    /// Where TLS is on. `mark`: frp's first byte goes in front, if that is configured.
    async fn begin_tls(&self, mut conn: Stream, mark: bool) -> Result<Stream, HandshakeError> {
        let Some(tls) = &self.way.tls else {
            return Ok(conn);
        };
        if mark && !self.way.transport.tls.disable_custom_first_byte {
            let marked = conn.write_all(&[FRP_TLS_FIRST_BYTE]).await;
            marked.map_err(|source| HandshakeError {
                source,
                first_bytes: Vec::new(),
            })?;
        }
        let pipe = tls::connect(tls.now(), self.server_name(), conn, HANDSHAKE_WAIT).await?;
        let _ = self.key.set(pipe.peer_key());
        let _ = self.channel.set(pipe.channel());
        Ok(Stream::Tls(Box::new(pipe)))
    }

    async fn begin_websocket(&self, conn: Stream) -> Result<Stream, websocket::ConnectError> {
        let request = self.websocket_request();
        let pipe = websocket::connect(conn, &request, HANDSHAKE_WAIT).await?;
        Ok(Stream::Websocket(Box::new(pipe)))
    }

    fn websocket_request(&self) -> Request {
        let way = &self.way;
        let host = match way.protocol {
            // As in frp: the name that TLS checks, without a port.
            TransportProtocol::Wss if self.server_name().contains(':') => {
                format!("[{}]", self.server_name())
            }
            TransportProtocol::Wss => self.server_name().to_owned(),
            _ => join_host_port(&way.server_addr, way.server_port),
        };
        let field = |(name, value): (&String, &Secret)| Field {
            name: name.clone(),
            value: value.expose().to_owned(),
        };
        let settings = &way.transport.websocket;
        Request {
            path: settings.path.clone(),
            host,
            fields: settings.headers.iter().map(field).collect(),
        }
    }

    async fn dial_quic(&self, tasks: &TaskTracker) -> Result<quic::QuicConn, ConnectError> {
        let way = &self.way;
        let settings = &way.transport.quic;
        let options = quic::Options {
            keepalive: settings.keepalive_period,
            idle: settings.max_idle_timeout,
            max_streams: settings.max_incoming_streams,
        };
        // This protocol always has it.
        let tls = way.tls.as_ref().ok_or(QuicDialError::NoTls)?.now();
        let (host, port) = (&way.server_addr, way.server_port);
        let dial = dial_options(way);
        let name = self.server_name();
        Ok(quic::connect(host, port, &dial, &tls, name, &options, tasks).await?)
    }

    fn server_name(&self) -> &str {
        let configured = self.way.transport.tls.server_name.as_ref();
        configured.unwrap_or(&self.way.server_addr)
    }
}

/// The certificate that the server shows on `way`, DER, where it shows one.
#[cfg(feature = "doctor")]
pub(crate) async fn certificate(
    way: Arc<OneWay>,
    tasks: &TaskTracker,
) -> Result<Option<Vec<u8>>, ConnectError> {
    let stream = Connector::new(way, tasks).dial().await?;
    Ok(stream.peer_certificate().map(<[u8]>::to_vec))
}

/// Whether the server's port answers a TLS handshake; for the diagnosis of a failed plain login.
pub(crate) async fn answers_tls(way: &OneWay, tasks: &TaskTracker) -> bool {
    let probe = async {
        let tls = tls::client_config(&TlsFiles::default()).ok()?;
        let conn = dial_server(way, tasks).await.ok()?;
        tls::connect(tls, &way.server_addr, conn, PROBE).await.ok()
    };
    matches!(tokio::time::timeout(PROBE, probe).await, Ok(Some(_)))
}

/// The limit of a probe: it delays an error message.
const PROBE: Duration = Duration::from_secs(3);

/// The connection that everything else runs on, perhaps made by a proxy.
async fn dial_server(way: &OneWay, tasks: &TaskTracker) -> Result<Stream, DialError> {
    let options = dial_options(way);
    if way.protocol == TransportProtocol::Kcp {
        // No proxy of these carries UDP.
        let (conn, driver) = kcp::dial(&way.server_addr, way.server_port, &options).await?;
        tasks.spawn(driver);
        return Ok(Stream::Kcp(conn));
    }
    let proxy = way.transport.proxy_url.as_ref();
    dial::dial_server(&way.server_addr, way.server_port, &options, proxy).await
}

fn dial_options(cfg: &ClientConfig) -> DialOptions {
    let transport = &cfg.transport;
    DialOptions {
        timeout: transport.dial_server_timeout,
        keepalive: transport.dial_server_keepalive,
        local_ip: transport.connect_server_local_ip,
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        if self.unanswered {
            self.abort();
        }
        self.close();
    }
}
