//! The user whom a work connection is for, as the server announces it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use frp_log::{Log, debug, warn};
use frp_proto::msg::StartWorkConn;
use frp_proto::proxy_protocol::{self, Version};
use frp_relay::counted::Count;
use frp_relay::relay::{Relayed, Tally, Traffic};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::live::Conn;
use crate::reach::Reach;
use crate::tasks::Tasks;

/// One user of a proxy, with all that whoever serves it may know of the proxy.
#[derive(Debug, Clone)]
pub(crate) struct User {
    /// The proxy's.
    pub(crate) log: Log,
    /// Its bytes.
    pub(crate) traffic: Arc<Meter>,
    /// Whether the proxy's service can be reached.
    pub(crate) reach: Arc<Reach>,
    /// The PROXY header that the service wants.
    pub(crate) proxy_protocol: Option<Version>,
    /// The user's address and the one that the user connected to, where the server says them.
    pub(crate) addresses: Option<(SocketAddr, SocketAddr)>,
    /// For what may outlive the user, such as a connection that is kept for the next one.
    pub(crate) tasks: Tasks,
}

/// Counts the bytes of a user, for its proxy and for itself. The tunnel is the far side.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) all: Arc<Traffic>,
    pub(crate) own: Option<Arc<Conn>>,
}

impl Meter {
    pub(crate) fn tally(&self) -> Tally<'_> {
        Tally {
            all: &self.all,
            own: self.own.as_ref().map(|own| &own.traffic),
        }
    }
}

impl Count for Meter {
    fn read(&self, bytes: usize) -> io::Result<()> {
        self.tally().add_far_to_near(bytes);
        Ok(())
    }

    fn written(&self, bytes: usize) {
        self.tally().add_near_to_far(bytes);
    }
}

/// Why the service was not told who the user is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("{0}")]
    None(#[from] proxy_protocol::HeaderError),
    #[error("write proxy protocol header to local conn error: {0}")]
    Write(#[from] io::Error),
}

impl User {
    /// Writes the PROXY header that is configured, if one is, as the first bytes to the service.
    pub(crate) async fn write_header<W>(&self, service: &mut W) -> Result<(), HeaderError>
    where
        W: AsyncWrite + Unpin,
    {
        let Some(version) = self.proxy_protocol else {
            return Ok(());
        };
        match self.addresses {
            Some((src, dst)) => {
                let header = proxy_protocol::header(version, src, dst)?;
                service.write_all(&header).await?;
            }
            None => warn!(
                self.log,
                "no user address from the server, PROXY header left out"
            ),
        }
        Ok(())
    }

    /// Notes that the user's bytes have been carried.
    pub(crate) fn log_end(&self, relayed: &Relayed) {
        debug!(self.log, "join connections closed: {relayed}");
    }
}

/// The addresses that the server announces a user with, if it does.
pub(crate) fn addresses(start: &StartWorkConn) -> Option<(SocketAddr, SocketAddr)> {
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
