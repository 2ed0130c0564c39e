//! The user whom a work connection is for, as the server announces it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use frp_log::{debug, warn};
use frp_net::relay::Relayed;
use frp_proto::msg::StartWorkConn;
use frp_proto::proxy_protocol;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::proxy::Proxy;
use crate::service::Tasks;

/// One user of a proxy.
#[derive(Debug)]
pub(crate) struct User<'a> {
    /// The proxy: its log, its counters, its settings.
    pub(crate) proxy: &'a Arc<Proxy>,
    /// The user's address and the one that the user connected to, where the server says them.
    pub(crate) addresses: Option<(SocketAddr, SocketAddr)>,
    /// For what may outlive the user, such as a connection that is kept for the next one.
    pub(crate) tasks: &'a Tasks,
}

/// Why the service was not told who the user is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("{0}")]
    None(#[from] proxy_protocol::HeaderError),
    #[error("write proxy protocol header to local conn error: {0}")]
    Write(#[from] io::Error),
}

impl<'a> User<'a> {
    pub(crate) fn new(proxy: &'a Arc<Proxy>, tasks: &'a Tasks, start: &StartWorkConn) -> Self {
        Self {
            proxy,
            addresses: addresses(start),
            tasks,
        }
    }

    /// Writes the PROXY header that is configured, if one is, as the first bytes to the service.
    pub(crate) async fn write_header<W>(&self, service: &mut W) -> Result<(), HeaderError>
    where
        W: AsyncWrite + Unpin,
    {
        let Some(version) = self.proxy.cfg.transport.proxy_protocol else {
            return Ok(());
        };
        match self.addresses {
            Some((src, dst)) => {
                let header = proxy_protocol::header(version, src, dst)?;
                service.write_all(&header).await?;
            }
            None => warn!(
                self.proxy.log,
                "no user address from the server, PROXY header left out"
            ),
        }
        Ok(())
    }

    /// Notes that the user's bytes have been carried.
    pub(crate) fn log_end(&self, relayed: &Relayed) {
        debug!(self.proxy.log, "join connections closed: {relayed}");
    }
}

fn addresses(start: &StartWorkConn) -> Option<(SocketAddr, SocketAddr)> {
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
