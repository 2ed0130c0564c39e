//! A direct path that stands: QUIC, or kcp with the mux, over the socket by which the peer was heard. Whether
//! the peer is still there is asked again and again, for nobody else would say.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use frp_config::{QuicOptions, XtcpProtocol};
use frp_net::carrier::{Arrivals, Carrier, OpenError};
use frp_net::quic::{self, QuicDialError, QuicEnd, ResetSecret, ServerSettings};
use frp_net::stream::Stream;
use frp_net::tls::{TlsFiles, TlsSetupError, client_config};
use frp_net::{kcp, mux};
use frp_proto::wire::WireProtocol;
use frp_relay::msg_stream::MsgStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::punch::{Does, Hole};
use crate::limits::{TUNNEL_ACCEPT, TUNNEL_FRESH, TUNNEL_HANDSHAKE, TUNNEL_LOOK, TUNNEL_SILENT};
use crate::port_mapping::PortMapping;

/// The conversation of kcp between peers (frp `pkg/util/net/kcp.go`: NewKCPConnFromUDP).
const CONV: u32 = 1;

/// How often an answer of the peer is looked for, while somebody waits.
const GLANCE: Duration = Duration::from_millis(5);

/// See the module.
#[derive(Debug)]
pub(crate) struct Tunnel {
    carrier: Carrier,
    does: Does,
    pub(crate) peer: SocketAddr,
    seen: Mutex<Seen>,
    /// The port of a router by which the peer may come.
    _mapping: Option<PortMapping>,
}

/// When the peer was heard last, as far as was looked.
#[derive(Debug)]
struct Seen {
    heard: Option<u64>,
    at: Instant,
    /// It has not answered when it was asked.
    is_doubtful: bool,
}

/// The path of a proxy, and the streams that come by it.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) tunnel: Tunnel,
    pub(crate) arrivals: Arrivals,
    /// QUIC's end of the socket.
    pub(crate) listener: Option<quic::Listener>,
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Why there is no path although the peer was heard.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TunnelError {
    #[error("set up the socket: {0}")]
    Socket(#[from] io::Error),
    #[error("{0}")]
    Tls(#[from] TlsSetupError),
    #[error("dial quic error: {0}")]
    Dial(#[from] QuicDialError),
    #[error("quic accept connection error: {0}")]
    Accept(QuicEnd),
    #[error("the peer did not begin within {} s", TUNNEL_ACCEPT.as_secs())]
    NotBegun,
    #[error("the peer did not answer within {} s", TUNNEL_HANDSHAKE.as_secs())]
    Unanswered,
}

impl Tunnel {
    /// The visitor's end.
    pub(crate) async fn dial(
        hole: Hole,
        protocol: XtcpProtocol,
        options: &QuicOptions,
        tasks: &TaskTracker,
    ) -> Result<Self, TunnelError> {
        let Hole {
            socket,
            peer,
            does,
            mapping,
        } = hole;
        let carrier = match protocol {
            XtcpProtocol::Quic => {
                // The hole is what shows who the peer is; frp looks at no certificate either.
                let tls = client_config(&TlsFiles::default())?;
                let name = peer.ip().to_string();
                let (socket, options) = (socket.into_std()?, quic_options(options));
                let dial = quic::connect_over(socket, peer, &tls, &name, &options, tasks);
                let conn = timeout(TUNNEL_HANDSHAKE, dial).await;
                Carrier::Quic(conn.map_err(|_| TunnelError::Unanswered)??)
            }
            XtcpProtocol::Kcp => {
                // The proxy opens no streams; what it opens all the same is refused by the drop.
                let (mux, _) = mux_over(socket, peer, mux::Role::Client, tasks)?;
                Carrier::Mux(mux)
            }
        };
        let tunnel = Self::new(carrier, does, peer, mapping);
        // Kcp greets nobody.
        match tunnel.is_alive(TUNNEL_HANDSHAKE).await {
            true => Ok(tunnel),
            false => Err(TunnelError::Unanswered),
        }
    }

    /// The proxy's end.
    pub(crate) async fn accept(
        hole: Hole,
        protocol: XtcpProtocol,
        options: &QuicOptions,
        tasks: &TaskTracker,
    ) -> Result<Accepted, TunnelError> {
        let Hole {
            socket,
            peer,
            does,
            mapping,
        } = hole;
        let (carrier, arrivals, listener) = match protocol {
            XtcpProtocol::Quic => {
                let settings = ServerSettings::of_peer(&quic_options(options))?;
                // Nobody comes back to this socket.
                let resets = ResetSecret::new(&[&super::random::<32>()]);
                let listener = quic::Listener::over(socket.into_std()?, &settings, &resets, tasks)?;
                let first = timeout(TUNNEL_ACCEPT, accept_from(&listener, peer, &settings));
                let conn = first.await.map_err(|_| TunnelError::NotBegun)??;
                listener.refuse();
                let arrivals = Arrivals::Quic(conn.clone());
                (Carrier::Quic(conn), arrivals, Some(listener))
            }
            XtcpProtocol::Kcp => {
                let (mux, incoming) = mux_over(socket, peer, mux::Role::Server, tasks)?;
                (Carrier::Mux(mux), Arrivals::Mux(incoming), None)
            }
        };
        carrier.admit();
        Ok(Accepted {
            tunnel: Self::new(carrier, does, peer, mapping),
            arrivals,
            listener,
        })
    }

    fn new(carrier: Carrier, does: Does, peer: SocketAddr, mapping: Option<PortMapping>) -> Self {
        if does.half_close {
            carrier.peer_half_closes();
        }
        let seen = Seen {
            heard: carrier.heard(),
            at: Instant::now(),
            is_doubtful: false,
        };
        // Whatever brought the path about does not show that it stands.
        let seen = match carrier {
            Carrier::Quic(_) => seen,
            Carrier::Mux(_) | Carrier::Memory(_) => Seen {
                at: seen.at.checked_sub(TUNNEL_FRESH).unwrap_or(seen.at),
                ..seen
            },
        };
        Self {
            carrier,
            does,
            peer,
            seen: Mutex::new(seen),
            _mapping: mapping,
        }
    }

    /// A stream to the peer.
    pub(crate) async fn open(&self) -> Result<Stream, StreamError> {
        let mut stream = self.carrier.open().await?;
        if self.has_first_byte() {
            stream.write_all(&[0]).await?;
        }
        Ok(stream)
    }

    /// A stream of the peer, which arrived just now, as it is for a user.
    pub(crate) async fn received(
        &self,
        mut stream: Stream,
    ) -> Result<MsgStream<Stream>, StreamError> {
        if self.has_first_byte() {
            stream.read_u8().await?;
        }
        Ok(MsgStream::new(stream, WireProtocol::V1, BytesMut::new()))
    }

    fn has_first_byte(&self) -> bool {
        self.does.first_byte && matches!(self.carrier, Carrier::Quic(_))
    }

    /// The peer ends one direction of a stream at a time.
    pub(crate) fn half_closes(&self) -> bool {
        self.does.half_close
    }

    /// Whether the peer was heard just now, or answers within `limit`. One that did not the last time is not
    /// waited for again.
    pub(crate) async fn is_alive(&self, limit: Duration) -> bool {
        if self.carrier.close_reason().is_some() {
            return false;
        }
        let was_doubtful = match self.look() {
            (silent, _) if silent < TUNNEL_FRESH => return true,
            (_, is_doubtful) => is_doubtful,
        };
        let before = self.carrier.heard();
        self.carrier.ask();
        let answered = async {
            while self.carrier.heard() == before {
                sleep(GLANCE).await;
            }
        };
        let is_alive = !was_doubtful && timeout(limit, answered).await.is_ok();
        match is_alive {
            true => drop(self.look()),
            false => self.seen().is_doubtful = true,
        }
        is_alive
    }

    /// Completes when the path is lost, and says how.
    pub(crate) async fn lost(&self) -> String {
        let silent = async {
            loop {
                sleep(TUNNEL_LOOK).await;
                let (silent, _) = self.look();
                if silent >= TUNNEL_SILENT {
                    return;
                }
                if silent >= TUNNEL_LOOK {
                    self.carrier.ask();
                }
            }
        };
        tokio::select! {
            lost = self.carrier.closed() => lost.to_string(),
            () = silent => format!("nothing came from {} for {} s", self.peer, TUNNEL_SILENT.as_secs()),
        }
    }

    /// Ends the path and its streams.
    pub(crate) fn close(&self) {
        self.carrier.close();
    }

    /// How long the peer has not been heard, and whether it did not answer.
    fn look(&self) -> (Duration, bool) {
        let heard = self.carrier.heard();
        let mut seen = self.seen();
        if seen.heard != heard {
            *seen = Seen {
                heard,
                at: Instant::now(),
                is_doubtful: false,
            };
        }
        (seen.at.elapsed(), seen.is_doubtful)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The peer's connection; anybody else gets none.
async fn accept_from(
    listener: &quic::Listener,
    peer: SocketAddr,
    settings: &ServerSettings,
) -> Result<quic::QuicConn, TunnelError> {
    loop {
        let arriving = listener.accept().await.ok_or(TunnelError::NotBegun)?;
        if arriving.peer() != peer {
            continue;
        }
        let conn = arriving.accept(settings, TUNNEL_HANDSHAKE).await;
        return conn.map_err(TunnelError::Accept);
    }
}

fn mux_over(
    socket: tokio::net::UdpSocket,
    peer: SocketAddr,
    role: mux::Role,
    tasks: &TaskTracker,
) -> io::Result<(mux::Mux, mux::Incoming)> {
    let (stream, driver) = kcp::connect(socket, peer, CONV)?;
    tasks.spawn(driver);
    let config = mux::Config {
        // It is asked often enough as it is.
        keepalive_interval: None,
        stranger: false,
    };
    let (mux, incoming, driver) = mux::session(Stream::Kcp(stream), role, config);
    tasks.spawn(driver);
    Ok((mux, incoming))
}

fn quic_options(options: &QuicOptions) -> quic::Options {
    quic::Options {
        keepalive: options.keepalive_period,
        idle: options.max_idle_timeout,
        max_streams: options.max_incoming_streams,
    }
}
