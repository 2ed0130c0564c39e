//! Stage 5: the local service, and the bytes between it and the work connection
//! (frp `client/proxy/proxy.go`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use frp_log::{debug, error, warn};
use frp_net::dial::{DialError, DialOptions, dial};
use frp_net::layers::{Side, wrap};
use frp_net::limits::{END_KEEPALIVE, LOCAL_DIAL};
use frp_net::msg_stream::MsgStream;
use frp_net::relay::relay;
use frp_net::stream::Stream;
use frp_proto::msg::StartWorkConn;
use frp_proto::proxy_protocol;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::proxy::Proxy;

#[derive(Debug, thiserror::Error)]
enum LocalError {
    #[error("connect to local service [{host}:{port}] error: {source}")]
    Dial {
        host: String,
        port: u16,
        source: DialError,
    },
    #[error("{0}")]
    NoHeader(#[from] proxy_protocol::HeaderError),
    #[error("write proxy protocol header to local conn error: {0}")]
    Header(io::Error),
}

/// Carries one user to the local service until both ends are done.
pub(crate) async fn serve(proxy: &Proxy, stream: MsgStream<Stream>, start: &StartWorkConn) {
    let local = match open(proxy, start).await {
        Ok(local) => local,
        Err(e) => return error!(proxy.log, "{e}"),
    };
    let (stream, rest) = stream.into_parts();
    let carried = wrap(stream, rest, &proxy.layers, Side::Client);
    let relayed = relay(local, carried, &proxy.traffic).await;
    debug!(proxy.log, "join connections closed: {relayed}");
}

async fn open(proxy: &Proxy, start: &StartWorkConn) -> Result<TcpStream, LocalError> {
    let cfg = &proxy.cfg;
    let options = DialOptions {
        timeout: LOCAL_DIAL,
        keepalive: Some(END_KEEPALIVE),
        local_ip: None,
    };
    let dialled = dial(&cfg.local_ip, cfg.local_port, &options).await;
    let mut local = dialled.map_err(|source| LocalError::Dial {
        host: cfg.local_ip.clone(),
        port: cfg.local_port,
        source,
    })?;
    if let Some(version) = cfg.transport.proxy_protocol {
        match user_addresses(start) {
            Some((src, dst)) => {
                let header = proxy_protocol::header(version, src, dst)?;
                local.write_all(&header).await.map_err(LocalError::Header)?;
            }
            None => warn!(
                proxy.log,
                "no user address from the server, PROXY header left out"
            ),
        }
    }
    Ok(local)
}

/// The user's address and the one that the user connected to, where the server says them.
fn user_addresses(start: &StartWorkConn) -> Option<(SocketAddr, SocketAddr)> {
    if start.src_port == 0 {
        return None;
    }
    let src: IpAddr = start.src_addr.parse().ok()?;
    let dst: IpAddr = start
        .dst_addr
        .parse()
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Some((
        SocketAddr::new(src, start.src_port),
        SocketAddr::new(dst, start.dst_port),
    ))
}
