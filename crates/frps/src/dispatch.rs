//! Stage 2: from a connection to streams: what do its first bytes say, is it TLS, is it
//! multiplexed?

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::limits::{MAX_STREAMS_IN_GREETING, MUX_WITHOUT_SESSION};
use bytes::Bytes;
use frp_log::{Log, debug, trace, warn};
use frp_net::carrier::{Arrivals, Carrier};
use frp_net::kcp::{KcpStream, Stranger};
use frp_net::limits::{END_KEEPALIVE, HANDSHAKE_WAIT, MAX_STRANGER_STREAMS};
use frp_net::listen::tune;
use frp_net::memory::MemoryConn;
use frp_net::mux;
use frp_net::or_never::or_never;
use frp_net::quic::Arriving;
use frp_net::rewind::Rewind;
use frp_net::sniff::{Kind, Users, sniff};
use frp_net::strangers::Turn;
use frp_net::stream::{Stream, Transport};
use frp_net::tls::{self, HandshakeError};
use frp_net::websocket::{self, AcceptError};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::caller::{Caller, Greeting, Link, Permit};
use crate::policy::Policy;
use crate::proxied::Ends;
use crate::shared::Shared;
use crate::stats::logins::{Cause, Who};
use crate::{greet, vhost};

/// Where a connection goes.
enum Opened {
    /// To [`greet`]: the stream inside it, and what was read of that already.
    Frp(Stream, Bytes),
    /// To the vhost of that kind.
    User(Kind, TcpStream, Bytes),
}

/// Why a connection was not dispatched.
#[derive(Debug, thiserror::Error)]
enum DoorError {
    #[error("no first bytes within {} s", HANDSHAKE_WAIT.as_secs())]
    Silent,
    #[error("closed before its first bytes: {0}")]
    Sniff(#[from] std::io::Error),
    #[error("TLS handshake: {0}")]
    Tls(#[from] HandshakeError),
    #[error("non-TLS connection received on a TlsOnly server")]
    PlainRefused,
    #[error("{0}")]
    Websocket(#[from] AcceptError),
}

/// Takes an accepted TCP connection as far as it gets.
pub(crate) async fn enter_tcp(shared: Arc<Shared>, turn: Turn, conn: TcpStream, ends: Ends) {
    let policy = shared.policy();
    tune(&conn, policy.tcp_keepalive);
    enter(shared, policy, turn, Stream::Tcp(conn), ends).await;
}

/// Takes a kcp session as far as it gets.
pub(crate) async fn enter_kcp(
    shared: Arc<Shared>,
    conn: KcpStream,
    stranger: Stranger,
    peer: SocketAddr,
) {
    let local = conn.local_addr().ok();
    let turn = Turn::of_kcp(stranger);
    let policy = shared.policy();
    let ends = Ends {
        peer,
        local,
        by_proxy: false,
    };
    enter(shared, policy, turn, Stream::Kcp(conn), ends).await;
}

/// Takes a connection as far as it gets.
async fn enter(shared: Arc<Shared>, policy: Arc<Policy>, turn: Turn, conn: Stream, ends: Ends) {
    let Ends {
        peer,
        local,
        by_proxy,
    } = ends;
    let log = Log::root().by(peer.ip());
    let transport = match &conn {
        Stream::Kcp(_) => Transport::Kcp,
        _ => Transport::Tcp,
    };
    let caller = Caller {
        peer,
        local,
        transport,
        tls: false,
        may_be_fronted: by_proxy || is_near(peer.ip()),
        link: None,
        channel: None,
        kcp: match &conn {
            Stream::Kcp(conn) => Some(conn.peer()),
            _ => None,
        },
    };
    let opened = tokio::select! {
        opened = open(&shared, &policy, conn, &turn) => opened,
        () = turn.evicted() => return debug!(log, "[{peer}] made room for newer connections"),
        () = shared.stop.cancelled() => return,
    };
    let keepalive = policy.mux_keepalive;
    drop(policy);
    let (stream, first) = match opened {
        Ok(Opened::Frp(stream, first)) => (stream, first),
        Ok(Opened::User(kind, conn, first)) => {
            drop(turn);
            return Box::pin(serve_user(shared, kind, conn, first, ends)).await;
        }
        Err(DoorError::Sniff(e)) => return trace!(log, "[{peer}] {}", DoorError::Sniff(e)),
        Err(e) => {
            remember(&shared, &e, (peer, transport));
            return warn!(log, "connection from [{peer}] refused: {e}");
        }
    };
    let (transport, tls) = stream.transport();
    let caller = Caller {
        transport,
        tls,
        channel: stream.channel().map(|channel| channel.key),
        ..caller
    };
    if shared.bound.tcp_mux {
        let io = Rewind::new(first, stream);
        Box::pin(serve_mux(shared, io, keepalive, caller, turn)).await;
    } else {
        Box::pin(greet::serve(
            shared,
            stream,
            first,
            caller,
            Permit::Stranger(turn),
        ))
        .await;
    }
}

/// Whether an address is one of this machine, or of a network that the internet has no way to.
fn is_near(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Whoever did not get past TLS may be a client that cannot log in.
fn remember(shared: &Shared, error: &DoorError, from: (SocketAddr, Transport)) {
    let cause = match error {
        DoorError::Tls(_) => Cause::Tls,
        DoorError::PlainRefused => Cause::TlsRequired,
        DoorError::Silent | DoorError::Sniff(_) | DoorError::Websocket(_) => return,
    };
    if let Some(stats) = &shared.stats {
        let text = error.to_string();
        stats.logins.failed(cause, &text, Who::default(), from);
    }
}

/// A user of a vhost whose port is bindPort.
async fn serve_user(shared: Arc<Shared>, kind: Kind, conn: TcpStream, first: Bytes, ends: Ends) {
    tune(&conn, Some(END_KEEPALIVE));
    if kind == Kind::UserTls {
        vhost::https::serve(shared, conn, first, ends).await;
    } else {
        vhost::http::serve(shared, Rewind::new(first, conn), ends.peer).await;
    }
}

/// Takes the layers off, one by one: a websocket may be within TLS (`wss`), or TLS within it.
async fn open(
    shared: &Shared,
    policy: &Policy,
    mut conn: Stream,
    turn: &Turn,
) -> Result<Opened, DoorError> {
    let is_tcp = matches!(conn, Stream::Tcp(_));
    let users = if is_tcp {
        shared.vhosts.at_bind_port
    } else {
        Users::default()
    };
    let path = is_tcp.then_some(policy.websocket.path.as_str());
    let (kind, first) = look(&mut conn, users, path).await?;
    turn.spoke();
    match (kind, conn) {
        (Kind::Tls | Kind::TlsAfterMark, conn) => {
            let mut conn = end_tls(policy, conn, first).await?;
            let (kind, first) = look(&mut conn, Users::default(), path).await?;
            if kind != Kind::Websocket {
                return Ok(Opened::Frp(conn, first));
            }
            let conn = end_websocket(policy, conn, first).await?;
            Ok(Opened::Frp(conn, Bytes::new()))
        }
        (Kind::UserHttp | Kind::UserTls, Stream::Tcp(conn)) => Ok(Opened::User(kind, conn, first)),
        (Kind::Websocket, conn) => {
            let mut conn = end_websocket(policy, conn, first).await?;
            let (kind, first) = look(&mut conn, Users::default(), None).await?;
            if matches!(kind, Kind::Tls | Kind::TlsAfterMark) {
                let conn = end_tls(policy, conn, first).await?;
                return Ok(Opened::Frp(conn, Bytes::new()));
            }
            plain(policy, conn, first)
        }
        (_, conn) => plain(policy, conn, first),
    }
}

fn plain(policy: &Policy, conn: Stream, first: Bytes) -> Result<Opened, DoorError> {
    if policy.tls_force {
        return Err(DoorError::PlainRefused);
    }
    Ok(Opened::Frp(conn, first))
}

async fn look(
    conn: &mut Stream,
    users: Users,
    path: Option<&str>,
) -> Result<(Kind, Bytes), DoorError> {
    let looked = timeout(HANDSHAKE_WAIT, sniff(conn, users, path)).await;
    Ok(looked.map_err(|_| DoorError::Silent)??)
}

async fn end_tls(policy: &Policy, conn: Stream, first: Bytes) -> Result<Stream, DoorError> {
    let io = Rewind::new(first, conn);
    let tls = tls::accept(policy.tls.clone(), io, HANDSHAKE_WAIT).await?;
    Ok(Stream::Tls(Box::new(tls)))
}

async fn end_websocket(policy: &Policy, conn: Stream, first: Bytes) -> Result<Stream, DoorError> {
    let io = Rewind::new(first, conn);
    let websocket = websocket::accept(io, &policy.websocket, HANDSHAKE_WAIT).await?;
    Ok(Stream::Websocket(Box::new(websocket)))
}

/// Takes a QUIC connection, of which a first packet has come, as far as it gets.
pub(crate) async fn enter_quic(shared: Arc<Shared>, arriving: Arriving) {
    let peer = arriving.peer();
    let log = Log::root().by(peer.ip());
    let turn = shared.strangers.enter(peer.ip());
    let policy = shared.policy();
    let (settings, by_challenge) = (policy.quic.clone(), policy.by_challenge);
    drop(policy);
    let accepted = tokio::select! {
        accepted = arriving.accept(&settings, HANDSHAKE_WAIT) => accepted,
        () = turn.evicted() => return debug!(log, "[{peer}] made room for newer connections"),
        () = shared.stop.cancelled() => return,
    };
    let conn = match accepted {
        Ok(conn) => conn,
        Err(e) => return debug!(log, "QUIC connection from [{peer}] refused: {e}"),
    };
    let port = shared.bound.quic_port.unwrap_or_default();
    let caller = Caller {
        peer,
        local: conn.local_ip().map(|ip| SocketAddr::new(ip, port)),
        transport: Transport::Quic,
        tls: true,
        may_be_fronted: false,
        link: None,
        channel: conn
            .channel()
            .filter(|_| by_challenge)
            .map(|channel| channel.key),
        kcp: None,
    };
    let streams = Arrivals::Quic(conn.clone());
    Box::pin(serve_carrier(
        shared,
        Carrier::Quic(conn),
        streams,
        caller,
        Some(turn),
    ))
    .await;
}

/// Serves a client that lives in this program.
pub(crate) async fn enter_inside(
    shared: Arc<Shared>,
    conn: MemoryConn,
    streams: Arrivals,
    peer: SocketAddr,
) {
    let caller = Caller {
        peer,
        local: None,
        transport: Transport::Inside,
        tls: false,
        may_be_fronted: false,
        link: None,
        channel: None,
        kcp: None,
    };
    let carrier = Carrier::Memory(conn);
    Box::pin(serve_carrier(shared, carrier, streams, caller, None)).await;
}

/// Starts the mux on what is left of a connection.
async fn serve_mux(
    shared: Arc<Shared>,
    io: Rewind<Stream>,
    keepalive: Duration,
    caller: Caller,
    turn: Turn,
) {
    let config = mux::Config {
        keepalive_interval: Some(keepalive),
        stranger: true,
    };
    let (mux, incoming, driver) = mux::session(io, mux::Role::Server, config);
    shared.tasks.spawn(driver);
    let streams = Arrivals::Mux(incoming);
    serve_carrier(shared, Carrier::Mux(mux), streams, caller, Some(turn)).await;
}

/// Hands out the streams of a connection until it ends, or until nobody has logged in on it for too
/// long.
async fn serve_carrier(
    shared: Arc<Shared>,
    carrier: Carrier,
    mut streams: Arrivals,
    caller: Caller,
    turn: Option<Turn>,
) {
    let link = Arc::new(Link::new(carrier.clone()));
    let peer = caller.peer;
    let caller = Caller {
        link: Some(link.clone()),
        ..caller
    };
    let ended = tokio::select! {
        () = serve_streams(&shared, &link, &mut streams, &caller, turn) => None,
        reason = carrier.closed() => Some(reason),
        () = shared.stop.cancelled() => {
            carrier.go_away();
            // An end of a control stream is what every frpc understands.
            link.deserted().await;
            None
        }
    };
    carrier.close();
    if let Some(reason) = ended {
        debug!(
            Log::root().by(peer.ip()),
            "[{peer}] connection ended: {reason}"
        );
    }
}

async fn serve_streams(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    streams: &mut Arrivals,
    caller: &Caller,
    mut turn: Option<Turn>,
) {
    let peer = caller.peer;
    let mut lonely_since = Instant::now();
    loop {
        let lonely = !link.has_session();
        if !lonely && let Some(turn) = turn.take() {
            turn.admit();
        }
        tokio::select! {
            arrived = streams.next() => {
                let Some(stream) = arrived else { return };
                spawn_greeting(shared, link, stream, caller.clone());
            }
            () = link.changed() => lonely_since = Instant::now(),
            () = sleep_until(lonely_since + MUX_WITHOUT_SESSION), if lonely => {
                return debug!(Log::root().by(peer.ip()), "[{peer}] closed: no session on the connection");
            }
            () = or_never(turn.as_ref().map(Turn::evicted)), if lonely => {
                return debug!(Log::root().by(peer.ip()), "[{peer}] made room for newer connections");
            }
        }
    }
}

fn spawn_greeting(shared: &Arc<Shared>, link: &Arc<Link>, stream: Stream, caller: Caller) {
    let limit = if link.has_session() {
        MAX_STREAMS_IN_GREETING
    } else {
        MAX_STRANGER_STREAMS
    };
    let Some(greeting) = Greeting::begin(link, limit) else {
        debug!(
            Log::root().by(caller.peer.ip()),
            "[{}] too many streams without a first message", caller.peer
        );
        return stream.refuse();
    };
    let shared = shared.clone();
    shared.tasks.clone().spawn(async move {
        let permit = Permit::Stream(greeting);
        greet::serve(shared, stream, Bytes::new(), caller, permit).await;
    });
}
