//! The client's end: name → addresses → QUIC connection.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig};
use quinn::{ClientConfig, Endpoint, EndpointConfig};
use rustls::pki_types::ServerName;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use super::{
    ALPN, Options, QuicConn, QuicDialError, QuicEnd, Role, Tracked, bind, take_large_datagrams,
    transport,
};
use crate::dial::{DialOptions, Progress, dial_any};
use crate::limits::{QUIC_KNOCK, QUIC_REFUSED};
use crate::listen::source;
use crate::udp_socket::keep_bursts;

/// Why one address did not do.
enum Failed {
    Socket(io::Error),
    Handshake(QuicEnd),
}

/// Connects to `host:port`, its addresses raced as by [`dial`](crate::dial::dial). `tls` is that of
/// frpc, `server_name` as for [`tls::connect`](crate::tls::connect). The connection's own tasks are
/// spawned by `tasks`.
///
/// # Errors
/// See [`QuicDialError`].
pub async fn connect(
    host: &str,
    port: u16,
    dial: &DialOptions,
    tls: &rustls::ClientConfig,
    server_name: &str,
    options: &Options,
    tasks: &TaskTracker,
) -> Result<QuicConn, QuicDialError> {
    let config = client_config(tls)?;
    let mut progress = Progress::default();
    let config = &config;
    let connect = |addr| async move {
        let from = source(dial.local_ip, addr);
        let socket = bind(from, false).map_err(Failed::Socket)?;
        let connected = connect_one(socket, addr, config.clone(), server_name, options, tasks);
        tokio::select! {
            connected = connected => connected,
            refused = refused(from, addr) => Err(Failed::Socket(refused)),
        }
    };
    match dial_any(host, port, dial, &mut progress, connect).await {
        Some(conn) => Ok(QuicConn::new(conn, 0, tasks.clone())),
        None => Err(match progress {
            Progress {
                first_failed: Some(Failed::Handshake(end)),
                ..
            } => end.into(),
            Progress {
                first: Some(addr),
                first_failed: Some(Failed::Socket(source)),
                ..
            } => QuicDialError::Socket { addr, source },
            Progress {
                first: None,
                not_found: Some(error),
                ..
            } => QuicDialError::Resolve(error),
            _ => QuicDialError::TimedOut,
        }),
    }
}

/// Connects to `peer` over a socket that is open already, such as one that a hole was punched with. The
/// rest as for [`connect`]; for how long is up to the caller.
///
/// # Errors
/// See [`QuicDialError`].
pub async fn connect_over(
    socket: UdpSocket,
    peer: SocketAddr,
    tls: &rustls::ClientConfig,
    server_name: &str,
    options: &Options,
    tasks: &TaskTracker,
) -> Result<QuicConn, QuicDialError> {
    let config = client_config(tls)?;
    match connect_one(socket, peer, config, server_name, options, tasks).await {
        Ok(conn) => Ok(QuicConn::new(conn, 0, tasks.clone())),
        Err(Failed::Handshake(end)) => Err(end.into()),
        Err(Failed::Socket(source)) => Err(QuicDialError::Socket { addr: peer, source }),
    }
}

fn client_config(tls: &rustls::ClientConfig) -> Result<ClientConfig, NoInitialCipherSuite> {
    let mut tls = tls.clone();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    Ok(ClientConfig::new(Arc::new(QuicClientConfig::try_from(
        tls,
    )?)))
}

async fn connect_one(
    socket: UdpSocket,
    addr: SocketAddr,
    mut config: ClientConfig,
    server_name: &str,
    options: &Options,
    tasks: &TaskTracker,
) -> Result<quinn::Connection, Failed> {
    config.transport_config(transport(options, Role::Client, addr.ip()));
    // As in `tls::connect`: Go sends no name then.
    let server_name = match ServerName::try_from(server_name) {
        Ok(_) => server_name,
        Err(_) => "0.0.0.0",
    };
    keep_bursts(&socket);
    let runtime = Arc::new(Tracked(tasks.clone()));
    let mut taken = EndpointConfig::default();
    take_large_datagrams(&mut taken);
    let endpoint = Endpoint::new(taken, None, socket, runtime);
    // It lives as long as its connection.
    let connecting = endpoint
        .map_err(Failed::Socket)?
        .connect_with(config, addr, server_name)
        .map_err(|e| Failed::Socket(io::Error::new(io::ErrorKind::InvalidInput, e)))?;
    connecting
        .await
        .map_err(|e| Failed::Handshake(QuicEnd::from(e)))
}

/// Completes when the system says that nothing listens at `addr`. It says so to connected sockets, and quinn's is
/// none, lest any router end its connection. What is sent is no packet of QUIC and has no answer.
async fn refused(from: SocketAddr, addr: SocketAddr) -> io::Error {
    let knocking = async {
        let socket = tokio::net::UdpSocket::bind(from).await?;
        socket.connect(addr).await?;
        loop {
            socket.send(&[0]).await?;
            if let Ok(heard) = timeout(QUIC_KNOCK, socket.recv(&mut [0])).await {
                heard?;
            }
        }
    };
    let Err::<Infallible, io::Error>(e) = knocking.await;
    if e.kind() != io::ErrorKind::ConnectionRefused {
        std::future::pending::<()>().await;
    }
    // Who lets QUIC alone pass may say so, too.
    sleep(QUIC_REFUSED).await;
    e
}
